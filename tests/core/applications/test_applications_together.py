"""Front ends that change applications and serve them, their steps in every order that chance finds.

No change is lost, and a request that is begun ``max_age`` after a change was answered meets it, or a later one; on the
front end that made it, at once.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from queuey.core.applications.stored import Change, StoredApplications
from queuey.core.contention import Retries
from queuey.errors import Conflict, QueueyError, Unavailable
from queuey.interfaces import IStateStore, Outcome, State
from queuey.model.applications.application import Application, shard_of

RUNS = 150
STEPS = 300
MAX_AGE = 1.0


def names_of_one_shard() -> tuple[str, str, str]:
    """Two names that are kept together, and one that is not."""
    for number in count():
        name = f"b{number}"
        if shard_of(name) == shard_of("a"):
            other = next(one for one in (f"c{n}" for n in count()) if shard_of(one) != shard_of("a"))
            return "a", name, other
    raise AssertionError


NAMES = names_of_one_shard()


@implementer(IStateStore)
class Chance:
    """States whose operations are carried out one at a time, in an order that is chosen; each may go wrong."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._states: dict[str, State] = {}
        self._waiting: list[tuple[Deferred[Any], Callable[[], Any]]] = []
        self.trouble = 0.0

    def read(self, key: str) -> Deferred[State | None]:
        return self._later(lambda: self._states.get(key))

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        def work() -> Outcome:
            lost = self._random.random() < self.trouble
            old = self._states.get(key)
            if not lost and (old.version if old else None) == version:
                assert value is not None
                self._states[key] = State(value, fresh)
                return Outcome.UNKNOWN if self._random.random() < self.trouble else Outcome.APPLIED
            return Outcome.UNKNOWN if lost else Outcome.REFUSED

        return self._later(work)

    def _later(self, work: Callable[[], Any]) -> Deferred[Any]:
        waiting: Deferred[Any] = Deferred()
        self._waiting.append((waiting, work))
        return waiting

    def step(self) -> bool:
        """Carry out one of them, and tell whether there was one."""
        if not self._waiting:
            return False
        waiting, work = self._waiting.pop(self._random.randrange(len(self._waiting)))
        failed = self._random.random() < self.trouble
        result = None if failed else work()
        waiting.callback(Failure(Unavailable("Away.")) if failed else result)
        return True


@attrs.define
class Done:
    """A change that was answered: by which front end, when, and what there was then."""

    front: int
    name: str
    time: float
    revision: int


class World:
    """Some front ends on one store."""

    def __init__(self, seed: int, trouble: float) -> None:
        self.random, self.clock = Random(seed), Clock()
        self.states = Chance(self.random)
        self.states.trouble = trouble
        versions, retries = count(), Retries(self.clock, self.random.randbytes)
        self.fronts = [
            StoredApplications(self.states, retries, lambda: MAX_AGE, lambda: f"v{next(versions)}") for _ in range(3)
        ]
        self.done: list[Done] = []
        self.unknown = 0
        self.served = 0
        self.wrong: list[str] = []

    def act(self) -> None:
        """Begin something, or let something happen."""
        dice, front = self.random.random(), self.random.randrange(len(self.fronts))
        name = self.random.choice(NAMES)
        if dice < 0.12:
            self.change(front, name)
        elif dice < 0.4:
            self.serve(front, name)
        elif dice < 0.5:
            self.clock.advance(self.random.choice((0.01, 0.2, 0.6, 1.5)))
        else:
            self.states.step()

    def change(self, front: int, name: str) -> None:
        def step(application: Application | None) -> Application:
            revision = 0 if application is None else application.revision
            return Application(name, {"ttl": revision + 1}, (), 0, 0, revision + 1)

        def changed(change: Change) -> None:
            assert change.after is not None
            self.done.append(Done(front, name, self.clock.seconds(), change.after.revision))

        self.fronts[front].change(name, step).addCallbacks(changed, self.failed)

    def failed(self, failure: Failure) -> None:
        failure.trap(Conflict, Unavailable)
        assert isinstance(failure.value, QueueyError)
        self.unknown += failure.value.applied == "unknown"

    def serve(self, front: int, name: str) -> None:
        """A request: what it meets has to be new enough."""
        now = self.clock.seconds()
        needed = [
            done.revision
            for done in self.done
            if done.name == name and (done.front == front or done.time <= now - MAX_AGE)
        ]
        snapshot = self.fronts[front].cached()
        answer = self.fronts[front].current() if snapshot is None else succeed(snapshot)

        def met(found: Any) -> None:
            self.served += 1
            application = found.applications.get(name)
            revision = 0 if application is None else application.revision
            if revision < max(needed, default=0):
                self.wrong.append(f"{name} at {front}: revision {revision}, and {max(needed)} was answered")

        answer.addCallbacks(met, self.failed)

    def settle(self) -> None:
        """Let all that was begun come to its end, without trouble."""
        self.states.trouble = 0.0
        while self.states.step() or self.clock.getDelayedCalls():
            self.clock.advance(0.25)


class TogetherTests(SynchronousTestCase):
    """Many runs, each of which can be fetched again by its number."""

    def explore(self, trouble: float) -> tuple[int, int]:
        changes = served = 0
        for seed in range(RUNS):
            world = World(seed, trouble)
            for _ in range(STEPS):
                world.act()
            world.settle()
            world.clock.advance(MAX_AGE)
            for front in range(len(world.fronts)):
                for name in NAMES:
                    world.serve(front, name)
                world.settle()
            self.assertEqual(world.wrong, [], f"run {seed}")
            for name in NAMES:
                revisions = sorted(done.revision for done in world.done if done.name == name)
                self.assertEqual(len(set(revisions)), len(revisions), f"run {seed}: a change of {name} was lost")
                if not world.unknown:
                    self.assertEqual(revisions, list(range(1, len(revisions) + 1)), f"run {seed}")
            changes += len(world.done)
            served += world.served
        return changes, served

    def test_without_trouble(self) -> None:
        changes, served = self.explore(0.0)
        self.assertGreater(changes, 5 * RUNS)
        self.assertGreater(served, 20 * RUNS)

    def test_with_outcomes_that_nobody_knows_and_operations_that_fail(self) -> None:
        changes, _ = self.explore(0.1)
        self.assertGreater(changes, 2 * RUNS)
