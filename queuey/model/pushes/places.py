"""The stored formats of pushes beside their groups: the registry of pushes, the senders, and the reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from hashlib import sha256
from typing import Any, Final

import attrs

from queuey.model.pushes.settings import Push
from queuey.model.queues.queue import states_prefix
from queuey.model.timeid import Ticks

INDEX: Final = "pushes"
"""The key of the versions of all shards."""

SENDERS: Final = "pushes/senders"
"""The key of the processes that send pushes."""

MAX_ATTEMPTS: Final = 100
"""Number of attempts of each push that are kept."""

_FORMAT: Final = 1
_compact: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


class UnreadablePushes(Exception):
    """The bytes are damaged, or another version of Queuey wrote them."""


@attrs.frozen(order=True)
class PushPlace:
    """Where a push is.

    :ivar incarnation: of the queue.
    :ivar name: of the push and its group.
    """

    application: str
    queue: str
    incarnation: int
    name: str

    @property
    def shard(self) -> str:
        """The shard of the registry in which the push is listed: two hex digits."""
        return sha256(f"{self.incarnation:032x}/{self.name}".encode()).hexdigest()[:2]


def shard_key(root: str, shard: str) -> str:
    """Return the key of a shard of a registry."""
    return f"{root}/{shard}"


def report_key(incarnation: int, gid: bytes) -> str:
    """Return the key of the report of a push; it is removed with its queue."""
    return f"{states_prefix(incarnation)}push/{gid.hex()}"


def encode_shard(places: Mapping[PushPlace, str]) -> bytes:
    """Encode the pushes of a shard, each with a stamp that is another one after each change of the push."""
    rows = [[one.application, one.queue, f"{one.incarnation:x}", one.name, places[one]] for one in sorted(places)]
    return _encoded({"pushes": rows})


def decode_shard(value: bytes) -> dict[PushPlace, str]:
    """Decode the pushes of a shard, and their stamps.

    :raise UnreadablePushes: saying why.
    """
    try:
        return {PushPlace(a, q, int(i, 16), n): stamp for a, q, i, n, stamp in _decoded(value)["pushes"]}
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadablePushes(f"is damaged: {error!r}") from None


def encode_numbers(values: Mapping[str, Any]) -> bytes:
    """Encode a mapping of names, as the index and the senders are."""
    return _encoded({"values": dict(values)})


def decode_numbers(value: bytes) -> dict[str, Any]:
    """Decode such a mapping.

    :raise UnreadablePushes: saying why.
    """
    found = _decoded(value).get("values")
    if not isinstance(found, dict):
        raise UnreadablePushes("is damaged: it has no values")
    return found


@attrs.frozen
class Attempt:
    """One attempt.

    :ivar id: of the message.
    :ivar deliveries: of the message, including this one.
    :ivar status: of the answer; ``None`` if there was none.
    :ivar error: a word for what went wrong; ``None`` if the endpoint took the message.
    """

    time: Ticks
    id: str
    deliveries: int
    status: int | None
    milliseconds: int
    error: str | None


@attrs.frozen
class PushReport:
    """What became of the attempts of a push.

    :ivar failing: since when the circuit is open; ``None`` if it is not.
    :ivar failures: in a row.
    :ivar blocked: why the push, which is not paused, sends no messages; ``None`` if it sends them.
    :ivar attempts: the newest first.
    """

    failing: Ticks | None = None
    failures: int = 0
    blocked: str | None = None
    attempts: tuple[Attempt, ...] = ()


class State(Enum):
    """What a push does."""

    ACTIVE = "active"
    FAILING = "failing"
    PAUSED = "paused"
    BLOCKED = "blocked"


def state_of(push: Push, report: PushReport) -> tuple[State, Ticks | None]:
    """Return what a push does, and since when if it is paused or failing."""
    if push.paused is not None:
        return State.PAUSED, push.paused.since
    if report.blocked is not None:
        return State.BLOCKED, None
    return (State.ACTIVE, None) if report.failing is None else (State.FAILING, report.failing)


def encode_report(report: PushReport) -> bytes:
    """Encode a report; it has less than 32 KiB."""
    rows = [[a.time, a.id, a.deliveries, a.status, a.milliseconds, a.error] for a in report.attempts]
    return _encoded(
        {"failing": report.failing, "failures": report.failures, "blocked": report.blocked, "attempts": rows}
    )


def decode_report(value: bytes) -> PushReport:
    """Decode a report.

    :raise UnreadablePushes: saying why.
    """
    row = _decoded(value)
    try:
        failing = row["failing"]
        attempts = tuple(Attempt(Ticks(time), *rest) for time, *rest in row["attempts"])
        return PushReport(None if failing is None else Ticks(failing), row["failures"], row["blocked"], attempts)
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadablePushes(f"is damaged: {error!r}") from None


def _encoded(row: dict[str, Any]) -> bytes:
    return _compact({"format": _FORMAT, **row}).encode("ascii")


def _decoded(value: bytes) -> dict[str, Any]:
    try:
        row = json.loads(value)
    except ValueError:
        raise UnreadablePushes("is no JSON") from None
    if not isinstance(row, dict) or row.get("format") != _FORMAT:
        raise UnreadablePushes("has a format of another version of Queuey")
    return row
