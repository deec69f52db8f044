"""Reports of pushes: their last attempts and their circuits, stored so that every process can show them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from queuey.deferreds import deferred
from queuey.errors import QueueyError, Unavailable
from queuey.interfaces import IStateStore, Outcome
from queuey.model.groups.settings import Group
from queuey.model.pushes.places import (
    MAX_ATTEMPTS,
    Attempt,
    PushReport,
    UnreadablePushes,
    decode_report,
    encode_report,
    report_key,
)
from queuey.model.timeid import Ticks

LATEST: Final = 1.0
"""Seconds after which a changed report is stored."""

_ATTEMPTS: Final = 5
_TOKEN: Final = 16


class Reporter:
    """The report of one push, in the process that sends it; the attempts that are stored already are kept."""

    def __init__(
        self, states: IStateStore, clock: IReactorTime, new_bytes: Callable[[int], bytes], group: Group
    ) -> None:
        self._states = states
        self._clock = clock
        self._new_bytes = new_bytes
        self._key = report_key(group.queue, group.gid)
        self._attempts: list[Attempt] = []
        self._failing: Ticks | None = None
        self._failures = 0
        self._blocked: str | None = None
        self._timer: IDelayedCall | None = None
        self._storing = False
        self._ended = False
        self._later()  # another process may have stored a state that is over

    def attempted(self, attempt: Attempt, failures: int, failing: Ticks | None) -> None:
        """Note an attempt.

        :param failures: in a row, and ``failing`` since when the circuit is open.
        """
        self._attempts.insert(0, attempt)
        del self._attempts[MAX_ATTEMPTS:]
        self._failures, self._failing = failures, failing
        self._later()

    def reset(self) -> None:
        """Note that the circuit was closed without an attempt."""
        if self._failures:
            self._failures, self._failing = 0, None
            self._later()

    def blocked(self, why: str | None) -> None:
        """Note why the push sends no messages, or that it sends them."""
        if why != self._blocked:
            self._blocked = why
            self._later()

    def _later(self) -> None:
        if self._timer is None and not self._ended:
            self._timer = self._clock.callLater(LATEST, self._store)

    def _store(self) -> None:
        self._timer = None
        if not self._storing:
            self._storing = True
            self._stored().addBoth(self._over)

    def _over(self, _: object) -> None:
        self._storing = False

    @deferred
    async def _stored(self) -> None:
        """Store the report together with attempts that another process has stored; an error only delays the report."""
        for _ in range(_ATTEMPTS):
            try:
                state = await self._states.read(self._key)
                stored = PushReport() if state is None else decode_report(state.value)
                known = {(one.time, one.id) for one in self._attempts}
                both = [*self._attempts, *(one for one in stored.attempts if (one.time, one.id) not in known)]
                both = sorted(both, key=lambda one: one.time, reverse=True)[:MAX_ATTEMPTS]
                report = PushReport(self._failing, self._failures, self._blocked, tuple(both))
                if report == stored:
                    return
                version, fresh = None if state is None else state.version, self._new_bytes(_TOKEN).hex()
                if await self._states.replace(self._key, version, encode_report(report), fresh) is Outcome.APPLIED:
                    return
            except (QueueyError, UnreadablePushes):
                break
        self._later()

    @deferred
    async def end(self) -> None:
        """Store the reports that are not stored yet."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            await self._stored()


def read_report(states: IStateStore, group: Group) -> Deferred[PushReport]:
    """Read the report of a push. Fails with ``Unavailable``."""

    def decoded(state: object) -> PushReport:
        value = getattr(state, "value", None)
        try:
            return PushReport() if value is None else decode_report(value)
        except UnreadablePushes as error:
            raise Unavailable(f"The report of the push {error}.") from None

    return states.read(report_key(group.queue, group.gid)).addCallback(decoded)
