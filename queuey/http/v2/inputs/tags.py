"""The entity tags of If-Match and If-None-Match (RFC 9110, section 8.8.3)."""

from __future__ import annotations

import re
from typing import Final

import attrs

from queuey.http.v2.inputs.header_fields import bad_field
from queuey.http.wire import Request

_TAG: Final = re.compile(r'[ \t]*(W/)?"([!\x23-\x7e\x80-\xff]*)"[ \t]*', re.ASCII)


@attrs.frozen
class Tags:
    """The entity tags of an If-Match or If-None-Match field.

    :ivar any: whether it is ``*``: any entity at all.
    :ivar strong: the tags that are strong, without their quotes.
    :ivar weak: those that are weak.
    """

    any: bool = False
    strong: frozenset[str] = frozenset()
    weak: frozenset[str] = frozenset()


def tags(request: Request, name: bytes) -> Tags | None:
    """The entity tags of a header field; ``None`` if it is absent.

    :param name: of the field, in lower case.
    :raise Problem: if it is no list of entity tags.
    """
    values = request.fields.get(name)
    if values is None:
        return None
    raw = b", ".join(values).decode("latin-1")
    if raw.strip(" \t") == "*":
        return Tags(any=True)
    found = _tag_list(raw)
    if not found:
        detail = "is not *, nor entity tags in double quotes, separated by commas"
        raise bad_field(name.decode("ascii").title(), detail)
    strong = frozenset(tag for weak, tag in found if not weak)
    return Tags(False, strong, frozenset(tag for weak, tag in found if weak))


def _tag_list(raw: str) -> list[tuple[bool, str]]:
    """Return whether each tag is weak, and the tag; an empty list if one of them is invalid."""
    found, at = [], 0
    while True:
        match = _TAG.match(raw, at)
        if match is None:
            return []
        found.append((match[1] is not None, match[2]))
        if match.end() == len(raw):
            return found
        if raw[match.end()] != ",":
            return []
        at = match.end() + 1
