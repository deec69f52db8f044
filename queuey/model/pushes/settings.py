"""A push: the settings by which the daemon sends the messages of a group to an endpoint, and their stored format."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final

import attrs

from queuey.model import fields
from queuey.model.pushes.targets import Target, parse_url
from queuey.model.timeid import Ticks

REJECTABLE: Final = (400, 404, 413, 415, 422)
"""Statuses that may mean that the endpoint will never take the message."""

MAX_HEADERS: Final = 20
"""Maximum number of fixed header fields."""

MAX_HEADER_BYTES: Final = 4096
"""Maximum size of their names and values together."""

MASK: Final = "********"
"""Shown in place of the value of a fixed header field. In a request it means to keep the stored value."""

MAX_PREFIX: Final = 32
"""Maximum number of characters of ``header_prefix``."""

MAX_TEXT: Final = 255
"""Maximum number of characters of the type of events."""

OWN_PREFIXES: Final = ("webhook-", "ce-", "queuey-")
"""Fields with these beginnings are Queuey's own."""

OWN_HEADERS: Final = frozenset(
    (
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "traceparent",
        "tracestate",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
        "x-forwarded-for",
        "x-real-ip",
    )
)
"""Header fields that frame or route a request, or that Queuey sets."""

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}")
_VALUE: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_PREFIX: Final = re.compile(rf"[0-9A-Za-z][0-9A-Za-z-]{{0,{MAX_PREFIX - 2}}}-")


class Format(Enum):
    """How a message is written into a request."""

    RAW = "raw"
    CLOUDEVENTS = "cloudevents"
    CLOUDEVENTS_STRUCTURED = "cloudevents-structured"


@attrs.frozen
class Secret:
    """A secret that signs the requests of a push.

    :ivar id: names it; not secret.
    :ivar sealed: the secret, encrypted with a key of the settings.
    """

    id: str
    sealed: bytes = attrs.field(repr=False)
    created: Ticks


@attrs.frozen
class Paused:
    """A pause of a push.

    :ivar reason: ``"requested"``, or ``"gone"`` if the endpoint answered 410.
    """

    since: Ticks
    reason: str


@attrs.frozen
class Push:
    """The settings of a push, which are a part of the settings of its group.

    The URL and the values of the fixed header fields may be credentials, so they are stored sealed. A push is *closed*
    as it is stored, and *open* while it is sent or shown.

    :ivar url: of the endpoint; of a closed push only its scheme, host and port.
    :ivar timeout: seconds until the answer has to begin.
    :ivar parallel: maximum number of requests at the same time.
    :ivar rate: maximum number of requests a second; ``None`` is no limit.
    :ivar headers: fixed header fields; the values of a closed push are ``MASK``.
    :ivar header_prefix: what the names of a message's own headers begin with in the request.
    :ivar event_type: the type of CloudEvents.
    :ivar reject_on: statuses that reject a message at once.
    :ivar replies: the queue that the answers are posted to, in the same application.
    :ivar secrets: the newest first.
    :ivar sealed: what a closed push does not show, encrypted with a key of the settings; ``None`` if the push is open,
        as those are that versions without this stored.
    """

    url: str
    timeout: int = attrs.field(default=fields.PUSH_TIMEOUT.default, validator=fields.PUSH_TIMEOUT.check)
    parallel: int = attrs.field(default=fields.PUSH_PARALLEL.default, validator=fields.PUSH_PARALLEL.check)
    rate: float | None = attrs.field(default=None, validator=fields.PUSH_RATE.check)
    format: Format = Format.RAW
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    header_prefix: str = "message-"
    event_type: str = "queuey.message"
    reject_on: tuple[int, ...] = ()
    replies: str | None = None
    secrets: tuple[Secret, ...] = ()
    paused: Paused | None = None
    sealed: bytes | None = attrs.field(default=None, repr=False)

    @property
    def target(self) -> Target:
        """The parts of the URL."""
        return parse_url(self.url)


def header_problem(name: str, value: str) -> str | None:
    """Return what is wrong with a fixed header field, or ``None`` if it is valid."""
    # CGI-like servers pass fields as environment variables, in which "-" becomes "_".
    lower = name.lower().replace("_", "-")
    if _TOKEN.fullmatch(name) is None:
        return "has a name that is no token of HTTP"
    if lower in OWN_HEADERS or lower.startswith(OWN_PREFIXES):
        return "has a name that Queuey or HTTP uses itself"
    if _VALUE.fullmatch(value) is None:
        return "has a value that is not visible ASCII"
    return None


def header_bytes(headers: Iterable[tuple[str, str]]) -> int:
    """Return the size of the names and values of fixed header fields."""
    return sum(len(name) + len(value) for name, value in headers)


def prefix_problem(prefix: str) -> str | None:
    """Return why a prefix of message headers is refused, or ``None`` if it is valid."""
    if _PREFIX.fullmatch(prefix) is None:
        return f"is not 2 to {MAX_PREFIX} letters, digits and hyphens with a hyphen at the end"
    lower = prefix.lower()
    # A prefix that one of Queuey's own fields begins with would let messages write that field.
    own = (*OWN_HEADERS, *OWN_PREFIXES)
    if lower.startswith(OWN_PREFIXES) or any(name.startswith(lower) for name in own):
        return "is the beginning of fields that Queuey or HTTP uses itself"
    return None


def private_part(push: Push) -> bytes:
    """Return what is sealed of an open push."""
    return json.dumps({"url": push.url, "headers": [value for _, value in push.headers]}).encode("ascii")


def masked(push: Push) -> Push:
    """Return a push with masks for the values of its header fields."""
    return attrs.evolve(push, headers=tuple((name, MASK) for name, _ in push.headers))


def closed_push(push: Push, sealed: bytes) -> Push:
    """Return an open push as it is stored.

    :param sealed: its ``private_part``, encrypted.
    """
    return attrs.evolve(masked(push), url=attrs.evolve(push.target, rest="/").url, sealed=sealed)


def open_push(push: Push, private: bytes) -> Push:
    """Return a closed push with its URL and the values of its header fields.

    :param private: its ``private_part``.
    """
    found = json.loads(private)
    headers = tuple((name, value) for (name, _), value in zip(push.headers, found["headers"], strict=True))
    return attrs.evolve(push, url=found["url"], headers=headers, sealed=None)


def encode_push(push: Push) -> dict[str, Any]:
    """Return a push as it is stored in the row of its group."""
    return {
        "url": push.url,
        "timeout": push.timeout,
        "parallel": push.parallel,
        "rate": push.rate,
        "format": push.format.value,
        "headers": [list(pair) for pair in push.headers],
        "header_prefix": push.header_prefix,
        "event_type": push.event_type,
        "reject_on": list(push.reject_on),
        "replies": push.replies,
        "secrets": [{"id": one.id, "sealed": one.sealed.hex(), "created": one.created} for one in push.secrets],
        "paused": push.paused and {"since": push.paused.since, "reason": push.paused.reason},
        **({} if push.sealed is None else {"sealed": push.sealed.hex()}),
    }


def decode_push(row: Mapping[str, Any]) -> Push:
    """Decode a push.

    :raise Exception: ``KeyError``, ``TypeError`` or ``ValueError``: the row is damaged.
    """
    paused, sealed = row["paused"], row.get("sealed")
    return Push(
        url=row["url"],
        timeout=row["timeout"],
        parallel=row["parallel"],
        rate=row["rate"],
        format=Format(row["format"]),
        headers=tuple((name, value) for name, value in row["headers"]),
        header_prefix=row["header_prefix"],
        event_type=row["event_type"],
        reject_on=tuple(row["reject_on"]),
        replies=row["replies"],
        secrets=tuple(Secret(one["id"], bytes.fromhex(one["sealed"]), Ticks(one["created"])) for one in row["secrets"]),
        paused=paused and Paused(Ticks(paused["since"]), paused["reason"]),
        sealed=None if sealed is None else bytes.fromhex(sealed),
    )
