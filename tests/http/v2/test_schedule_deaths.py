"""Each time gets one message, whenever a process dies, and whatever a store reports of its writes."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from queuey.core.schedules.engine import ScheduleEngine
from queuey.errors import Unavailable
from queuey.interfaces import IStateStore, Outcome, State
from tests.http.v2.test_schedule_orphans import Front, Interrupted
from tests.http.v2.test_schedules import BODY, ScheduleTestCase

MINUTES = 3


@implementer(IStateStore)
class UnsureStates:
    """A state store that reports of one change that its outcome is unknown.

    :param at: the number of that change; ``None``: there is none.
    :param applied: whether it was applied all the same.
    :param away: whether the value cannot be read afterwards, once.
    :ivar changes: the number of changes so far.
    """

    def __init__(self, states: IStateStore, at: int | None, applied: bool, away: bool) -> None:
        self._states = states
        self._at = at
        self._applied = applied
        self._away = away
        self._fails = False
        self.changes = 0

    def read(self, key: str) -> Deferred[State | None]:
        if self._fails:
            self._fails = False
            return fail(Unavailable("away"))
        found: Deferred[State | None] = self._states.read(key)
        return found

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        self.changes += 1
        unsure = self.changes - 1 == self._at
        if unsure and not self._applied:
            self._fails = self._away
            return succeed(Outcome.UNKNOWN)
        done: Deferred[Outcome] = self._states.replace(key, version, value, fresh)
        if not unsure:
            return done
        self._fails = self._away
        return done.addCallback(lambda outcome: Outcome.UNKNOWN if outcome is Outcome.APPLIED else outcome)


class DeathTests(ScheduleTestCase):
    """A process does what is due; another one begins later, or lives beside it."""

    def process(self, states: IStateStore) -> ScheduleEngine:
        _, engine = self.put_together(Front(states))
        self.engines.append(engine)
        engine.start()
        return engine

    def make_schedule(self, name: str) -> None:
        """A schedule whose first time is the next minute, from the beginning of a minute on."""
        self.clock.advance(60 - self.now() % 60)
        body = {**BODY, "message": {"body": name}}
        self.assertEqual(self.put_schedule(name, body).status, 201)

    def check_each(self, make: Callable[[int | None], tuple[IStateStore, Callable[[], int]]], beside: bool) -> None:
        """Let a process have states with a fault at each of its operations, and count the messages.

        :param make: makes states with a fault at an operation, and what tells how many operations there were.
        :param beside: whether another process lives all the time; if not, it begins after two minutes.
        """
        self.successResultOf(self.assembly.schedules.stop())
        at: int | None = None
        operations = 0
        for _ in range(1000):
            name = f"s{at}"
            self.make_schedule(name)
            states, count = make(at)
            first = self.process(states)
            second = self.process(self.store.states) if beside else None
            self.run_for(60 * MINUTES + 10 if beside else 70)
            stopping = first.stop()
            second = second or self.process(self.store.states)
            self.run_for(5 if beside else 60 * (MINUTES - 1))
            self.successResultOf(stopping)
            self.assertEqual(self.seen().count(name), MINUTES, f"fault at {at}")
            self.assertEqual(self.shown(name).json["state"], "active")
            self.send("DELETE", f"/queues/q/schedules/{name}")
            self.send("DELETE", "/queues/q/messages?before=now")
            self.successResultOf(second.stop())
            if at is None:
                operations = count()
                self.assertGreater(operations, 2)
            at = 0 if at is None else at + 1
            if at >= operations:
                return
        self.fail("there are too many operations")

    def deaths(self, at: int | None) -> tuple[IStateStore, Callable[[], int]]:
        states = Interrupted(self.store.states, lambda: None, at, True)
        return states, lambda: states.count

    def test_deaths(self) -> None:
        """A process dies, and another one takes over a minute later."""
        self.check_each(self.deaths, False)

    def test_deaths_beside_another(self) -> None:
        self.check_each(self.deaths, True)

    def test_unknown_outcomes(self) -> None:
        for applied in (False, True):
            for away in (False, True):
                with self.subTest(applied=applied, away=away):
                    self.check_each(self.unsure(applied, away), True)

    def unsure(self, applied: bool, away: bool) -> Callable[[int | None], tuple[IStateStore, Callable[[], int]]]:
        def make(at: int | None) -> tuple[IStateStore, Callable[[], int]]:
            states = UnsureStates(self.store.states, at, applied, away)
            return states, lambda: states.changes

        return make
