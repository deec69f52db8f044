"""An application in the store: its policy and the digests of its keys, with their JSON format."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import attrs

from queuey.model.applications.members import Members

FORMAT: Final = 1
"""Of what is kept; a version of the program that changes it reads the earlier ones too."""

MAX_NAME: Final = 50
"""Characters of an application's name."""

ALLOWED_NAME: Final = f"1 to {MAX_NAME} letters, digits, dots, underscores and hyphens"

MAX_KEYS: Final = 8
"""Keys that let one application in at once."""

KEY_BYTES: Final = 32
"""Number of random bytes in a new key: the size of its digest, since more would not add security."""

ID_DIGITS: Final = 12
"""Hex digits of a key's id."""

_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


def name_is_good(name: str) -> bool:
    """Return whether an application may have this name, which is used in URLs and in ``app:NAME``."""
    return len(name) <= MAX_NAME and name not in (".", "..") and _NAME.fullmatch(name) is not None


def digest_of(key: str) -> bytes:
    """Return the digest by which a key is stored."""
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def key_id(digest: bytes) -> str:
    """Return the id of a key: the beginning of its digest."""
    return digest.hex()[:ID_DIGITS]


@attrs.frozen
class Key:
    """One key, stored only as its digest.

    :ivar digest: its SHA-256.
    :ivar made: when it was added, in seconds since 1970.
    """

    digest: bytes = attrs.field(repr=False)
    made: int

    @property
    def id(self) -> str:
        """The id of the key."""
        return key_id(self.digest)


@attrs.frozen
class Application:
    """One application.

    :ivar members: its policy and limits, by name.
    :ivar made: when, in seconds since 1970; and so ``changed``.
    :ivar revision: one more after each change.
    """

    name: str
    members: Members
    keys: tuple[Key, ...]
    made: int
    changed: int
    revision: int


Shard = Mapping[str, Application]
"""The applications that are kept together, by name."""


class Unreadable(Exception):
    """A stored application cannot be read by this version of the program."""


def shard_of(name: str) -> str:
    """Which applications one is kept with: two hex digits."""
    return sha256(name.encode()).hexdigest()[:2]


def encode_shard(shard: Shard) -> bytes:
    """Applications as they are kept together."""
    return _encoded({"format": FORMAT, "applications": {name: _document(one) for name, one in shard.items()}})


def decode_shard(data: bytes) -> dict[str, Application]:
    """Applications that were kept together.

    :raise Unreadable: saying why.
    """
    document = _decoded(data)
    try:
        return {name: _application(name, one) for name, one in document["applications"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable(f"it is damaged: {error!r}") from None


def encode_index(versions: Mapping[str, str]) -> bytes:
    """The index, with the versions of all shards."""
    return _encoded({"format": FORMAT, "shards": dict(versions)})


def decode_index(data: bytes) -> dict[str, str]:
    """The versions of all shards.

    :raise Unreadable: saying why.
    """
    found = _decoded(data).get("shards")
    if not isinstance(found, dict):
        raise Unreadable("it is damaged: it has no shards")
    return found


def _document(application: Application) -> dict[str, Any]:
    return {
        "members": dict(application.members),
        "keys": [{"sha256": key.digest.hex(), "made": key.made} for key in application.keys],
        "made": application.made,
        "changed": application.changed,
        "revision": application.revision,
    }


def _application(name: str, document: Mapping[str, Any]) -> Application:
    return Application(
        name=name,
        members=dict(document["members"]),
        keys=tuple([Key(bytes.fromhex(key["sha256"]), int(key["made"])) for key in document["keys"]]),
        made=int(document["made"]),
        changed=int(document["changed"]),
        revision=int(document["revision"]),
    )


def _encoded(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError:
        raise Unreadable("it is no JSON") from None
    if not isinstance(document, dict):
        raise Unreadable("it is no object")
    if document.get("format") != FORMAT:
        raise Unreadable(f"its format is {document.get('format')!r}, and this version reads {FORMAT}")
    return document
