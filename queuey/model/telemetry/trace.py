"""The trace that a message belongs to: W3C Trace Context (https://www.w3.org/TR/trace-context/).

A message carries its context among its own headers, under the names of the standard, on every store; a consumer finds
it there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from queuey.model.values import frozen

PARENT: Final = "traceparent"
STATE: Final = "tracestate"

MAX_STATE: Final = 1024
"""Characters that are kept of a tracestate; the standard asks for 512 or more."""

_MAX_MEMBERS: Final = 32
_LONG: Final = 128
"""Members that are longer are dropped first if there is no room for all (section 3.3.1.5)."""

_SAMPLED: Final = 1
_PARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_KEY: Final = r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
_MEMBER: Final = re.compile(rf"({_KEY})=[ -+\--<>-~]{{0,255}}[!-+\--<>-~]")

_compact: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@frozen
class TraceContext:
    """The position in a trace from which something was sent.

    :ivar trace_id: 32 hexadecimal digits in lower case, not all of them zero.
    :ivar parent_id: 16 of them: the span that sent it.
    :ivar flags: from 0 to 255; the lowest bit means that the sender may have recorded the trace.
    :ivar state: the members of vendors, as a tracestate has them, or empty.
    """

    trace_id: str
    parent_id: str
    flags: int
    state: str = ""

    @property
    def parent(self) -> str:
        """It as a traceparent of version 00."""
        return f"00-{self.trace_id}-{self.parent_id}-{self.flags:02x}"


def context_of(parents: Sequence[bytes], states: Iterable[bytes]) -> TraceContext | None:
    """Return the context that the fields of a request give; ``None`` if there is none, or it has to be ignored.

    :param parents: the values of its traceparent fields; several count as none.
    :param states: those of its tracestate fields, in their order.
    """
    if len(parents) != 1:
        return None
    match = _PARENT.fullmatch(parents[0])
    if match is None or match[1] == b"ff" or match[2] == b"0" * 32 or match[3] == b"0" * 16:
        return None
    flags = int(match[4], 16)
    if match[1] == b"00":
        if match[5] is not None:
            return None
    else:
        # Of a later version only these are known; it is passed on as the version that is known.
        flags &= _SAMPLED
    return TraceContext(match[2].decode("ascii"), match[3].decode("ascii"), flags, _state(states))


def _state(fields: Iterable[bytes]) -> str:
    """Return the part of a tracestate that is kept; empty if any part is invalid."""
    found: dict[str, str] = {}
    for part in b",".join(fields).decode("latin-1").split(","):
        member = part.strip(" \t")
        if not member:
            continue
        match = _MEMBER.fullmatch(member)
        if match is None or match[1] in found:
            return ""
        found[match[1]] = member
    return "" if len(found) > _MAX_MEMBERS else _fitting(list(found.values()))


def _fitting(members: list[str]) -> str:
    """Return the members of a state that fit: long ones are dropped first, then those at the end."""
    while len(state := ",".join(members)) > MAX_STATE:
        long = [at for at, member in enumerate(members) if len(member) > _LONG]
        del members[long[-1] if long else -1]
    return state


def with_context(headers: bytes | None, context: TraceContext, most: int) -> bytes | None:
    """Return a message's own headers with the context in which it was sent.

    If the sender has set a trace in the headers of the message itself, that one stays.

    :param headers: as they are stored: compact JSON of an object, or ``None``.
    :param most: bytes that they may have; if there is no room, the state is left out, or else all of it.
    """
    own = headers or b"{}"
    if not _members(own).keys().isdisjoint((PARENT, STATE)):
        return headers
    parent = {PARENT: context.parent}
    for candidate in ({**parent, STATE: context.state}, parent) if context.state else (parent,):
        # What the sender wrote is not parsed, which may fail if it is nested more deeply than the stack allows now.
        added = _compact(candidate).encode("ascii")
        joined = added if own == b"{}" else own[:-1] + b"," + added[1:]
        if len(joined) <= most:
            return joined
    return headers


def own_context(headers: bytes | None) -> TraceContext | None:
    """Return the context in a message's own headers; ``None`` if they have none, or a wrong one."""
    if headers is None or PARENT.encode("ascii") not in headers:
        return None
    found = _members(headers)
    parent, state = found.get(PARENT), found.get(STATE, "")
    if not isinstance(parent, str):
        return None
    states = [state.encode("utf-8", "replace")] if isinstance(state, str) else []
    return context_of([parent.encode("utf-8", "replace")], states)


def _members(headers: bytes) -> dict[str, Any]:
    """Return the members of headers; empty if they cannot be parsed here."""
    if PARENT.encode("ascii") not in headers and STATE.encode("ascii") not in headers:
        return {}
    try:
        found = json.loads(headers)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
