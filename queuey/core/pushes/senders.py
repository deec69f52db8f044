"""Which process sends a push: the processes that live share the pushes, each of which has one owner.

Each process writes a beat into one value of the store every few seconds, and reads the beats of the others. A process
whose beat has not changed for a while, by the reader's own clock, is dead; clocks of machines are not compared. The
owner of a push is the living process with the highest hash of both (rendezvous hashing), so a process that comes or
goes moves only its share of the pushes.

A new process waits before it takes its share, until all others have seen it; a process that could not write its beat
for a while stops in time. So two processes send the same push only if a process stood still for long, and then the
leases of the group keep them from sending the same message.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

import attrs
from twisted.internet.interfaces import IReactorTime

from queuey.deferreds import deferred
from queuey.errors import QueueyError
from queuey.interfaces import IStateStore, Outcome
from queuey.model.pushes.places import SENDERS, PushPlace, UnreadablePushes, decode_numbers, encode_numbers

BEAT: Final = 3.0
"""Seconds between two beats."""

DEAD: Final = 15.0
"""Seconds without a new beat after which a process is dead."""

MAX_SENDERS: Final = 500
_ATTEMPTS: Final = 10
_TOKEN: Final = 16


@attrs.define
class _Seen:
    """A beat of another process, and when it was first seen, in seconds of our clock."""

    beat: Any
    since: float


class Senders:
    """The processes that send.

    :param alone: whether no other process sends: then every push is ours, and nothing is stored.
    """

    def __init__(
        self, states: IStateStore, clock: IReactorTime, new_bytes: Callable[[int], bytes], alone: bool
    ) -> None:
        self._states = states
        self._seconds = clock.seconds
        self._new_bytes = new_bytes
        self._alone = alone
        self._own = new_bytes(8).hex()
        self._beat = 0
        self._last: float | None = None
        self._joined: float | None = None
        self._seen: dict[str, _Seen] = {}

    @property
    def living(self) -> frozenset[str]:
        """The processes among which pushes are shared, as they are known now; empty if this one may not send."""
        if self._alone:
            return frozenset((self._own,))
        now = self._seconds()
        if self._last is None or now - self._last > DEAD - BEAT * 2:
            return frozenset()
        others = {id for id, seen in self._seen.items() if now - seen.since <= DEAD}
        if self._joined is None or (others and now - self._joined < BEAT * 2):
            return frozenset()
        return frozenset((*others, self._own))

    def owns(self, place: PushPlace, living: frozenset[str]) -> bool:
        """Return whether a push is ours.

        :param living: see above.
        """
        return self._alone or (self._own in living and max(living, key=lambda id: _weight(id, place)) == self._own)

    @deferred
    async def beat(self) -> None:
        """Write a beat, and see those of the others; errors count as no beat."""
        if self._alone:
            return
        began = self._seconds()
        self._beat += 1
        try:
            beats = await self._change({self._own: self._beat})
        except QueueyError:
            return
        if beats is None:
            return
        now = self._seconds()
        if self._last is None or began - self._last > DEAD - BEAT * 2:
            self._joined = now
        self._last = began
        seen = {}
        for id, value in beats.items():
            if id != self._own:
                before = self._seen.get(id)
                seen[id] = before if before is not None and before.beat == value else _Seen(value, now)
        self._seen = seen

    @deferred
    async def leave(self) -> None:
        """Let the others take over at once."""
        self._last = None
        if not self._alone:
            try:
                await self._change({self._own: None})
            except QueueyError:
                return

    async def _change(self, changes: dict[str, int | None]) -> dict[str, Any] | None:
        """Change the stored beats, without those of dead processes; return them, or ``None`` if others were first too
        often."""
        for _ in range(_ATTEMPTS):
            state = await self._states.read(SENDERS)
            try:
                found = {} if state is None else decode_numbers(state.value)
            except UnreadablePushes:
                found = {}
            now = self._seconds()
            dead = {id for id, seen in self._seen.items() if now - seen.since > DEAD and found.get(id) == seen.beat}
            kept = {**{id: beat for id, beat in found.items() if id not in dead}, **changes}
            kept = {id: beat for id, beat in kept.items() if beat is not None}
            if len(kept) > MAX_SENDERS:
                return None
            seen_version = None if state is None else state.version
            fresh = self._new_bytes(_TOKEN).hex()
            outcome = await self._states.replace(SENDERS, seen_version, encode_numbers(kept), fresh)
            if outcome is Outcome.APPLIED:
                return kept
        return None


def _weight(id: str, place: PushPlace) -> bytes:
    return blake2b(f"{id}/{place.incarnation:x}/{place.name}".encode(), digest_size=8).digest()
