"""A queue that is deleted or replaced while a schedule of it is being made: nothing of the schedule is left."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from random import Random

import attrs
from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from queuey.core.schedules.directory import ScheduleDirectory, ScheduleSettings
from queuey.errors import QueueyError, Unavailable
from queuey.interfaces import IStateStore, IStore, Outcome, State
from queuey.model.messages.message import Content, Draft
from queuey.model.queues.queue import Queue
from queuey.model.schedules.stored import Missed, schedule_key
from queuey.storage.caching import CachedStore
from queuey.storage.memory.store import MemoryStore
from tests.http.v2.test_schedules import ScheduleTestCase

LONG = 200
"""Seconds after which every process has removed what is left of a queue that is gone."""


@implementer(IStateStore)
class Interrupted:
    """A state store to which something happens before one of its operations.

    :ivar at: the number of that operation; ``None``: nothing happens.
    :ivar dies: whether its process dies then: that operation and all later ones fail.
    """

    def __init__(self, states: IStateStore, happens: Callable[[], None], at: int | None, dies: bool) -> None:
        self._states = states
        self._happens = happens
        self._at = at
        self._dies = dies
        self.count = 0

    def read(self, key: str) -> Deferred[State | None]:
        if self._interrupted():
            return fail(Unavailable("dead"))
        found: Deferred[State | None] = self._states.read(key)
        return found

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        if self._interrupted():
            return fail(Unavailable("dead"))
        found: Deferred[Outcome] = self._states.replace(key, version, value, fresh)
        return found

    def _interrupted(self) -> bool:
        if self.count == self._at:
            self._happens()
        self.count += 1
        return self._dies and self._at is not None and self.count > self._at


@attrs.frozen
class Front:
    """A process, as far as its schedules need one."""

    states: IStateStore


class LastingStore(MemoryStore):
    """A store that may keep the states of a queue that was deleted."""

    keeps_states = False

    def _forget(self, queue: Queue) -> bool:
        if self.keeps_states:
            return self._queues.forget(queue)
        return super()._forget(queue)


class OrphanTests(ScheduleTestCase):
    """The process that makes the schedule is another one than the one that posts."""

    def make_store(self) -> IStore:
        numbers, seconds = count(1), self.clock.seconds
        bits = Random(7).getrandbits
        self.memory = LastingStore(self.clock, seconds, 1 << 28, 1 << 40, 7, lambda: f"v{next(numbers)}", bits)
        return CachedStore(self.memory, 100)

    def front(self, states: IStateStore) -> ScheduleDirectory:
        directory, _ = self.put_together(Front(states))
        return directory

    def queue(self) -> Queue:
        return self.successResultOf(self.assembly.schedules.directory.find("app", "q"))

    def put_by(self, front: ScheduleDirectory, queue: Queue) -> bool:
        """Whether the schedule was made."""
        results: list[object] = []
        wanted = ScheduleSettings("* * * * *", "UTC", Draft(Content(b"tick", "text/plain"), 0), Missed.SKIP)
        front.put(queue, "s", lambda _: wanted, lambda _: None).addBoth(results.append)
        self.clock.pump([0.1] * 100)  # compare-and-set is tried again for some seconds
        (result,) = results
        if isinstance(result, tuple):
            return True
        self.assertIsInstance(getattr(result, "value", None), QueueyError)
        return False

    def replace_queue(self) -> None:
        self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
        self.assertEqual(self.send("PUT", "/queues/q", {}).status, 201)

    def check_interleavings(self, dies: bool, lasting: bool) -> None:
        """Replace the queue before each of the operations of the process that makes the schedule.

        :param lasting: whether states of a queue outlive it, as on Cassandra.
        """
        states = self.store.states
        if lasting:
            self.memory.keeps_states = True
        whole = Interrupted(states, lambda: None, None, False)
        self.assertTrue(self.put_by(self.front(whole), self.queue()))
        self.assertGreater(whole.count, 10)
        for at in range(whole.count + 1):
            with self.subTest(at=at):
                self.replace_queue()
                old = self.queue()
                made = self.put_by(self.front(Interrupted(states, self.replace_queue, at, dies)), old)
                if at == whole.count:
                    self.replace_queue()
                self.run_for(LONG)
                self.assertIsNone(self.successResultOf(states.read(schedule_key(old.incarnation, "s"))))
                places = self.successResultOf(self.assembly.schedules.registry.read())
                self.assertEqual((places, self.assembly.schedules.registry.known), (frozenset(), frozenset()))
                self.assertEqual(self.seen(), [])
                self.assertEqual(self.send("GET", "/queues/q/schedules").json, {"schedules": []})
                if at < whole.count:
                    self.assertFalse(made, "a schedule of a queue that is gone was acknowledged")

    def test_replaced(self) -> None:
        self.check_interleavings(False, False)

    def test_replaced_and_the_process_dies(self) -> None:
        self.check_interleavings(True, False)

    def test_replaced_with_states_that_last(self) -> None:
        self.check_interleavings(False, True)

    def test_replaced_with_states_that_last_and_the_process_dies(self) -> None:
        self.check_interleavings(True, True)
