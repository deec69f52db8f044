"""Two front ends and a cluster in memory whose answers a test chooses: producers under a few keys, and readers with
cursors.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from twisted.internet.task import Clock
from twisted.python.failure import Failure

from queuey.errors import KeyInUse, Unavailable
from queuey.model.applications.policy import Ack
from queuey.model.messages.message import Address, Content, NewMessage
from queuey.model.messages.once import Appended
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.window import LookupSlice, Merge, MergeSlice
from queuey.model.timeid import MessageId
from queuey.storage.cassandra.messages.store import Messages
from queuey.storage.memory import MemoryStore
from tests.contracts.subject import Wall
from tests.storage.cassandra.messages.message_support import LIMITS, NODE, MemoryRegistry
from tests.storage.cassandra.messages.message_tables import MessageTables
from tests.storage.cassandra.messages.once_parts import (
    BATCH,
    PARTITIONS,
    TERMS,
    Asked,
    FrontEnd,
    HeldSession,
    PeerTimes,
    Reader,
    key,
    keyed,
)
from tests.storage.subjects import CLOCK_SEQUENCE, random_bits, versions

ENOUGH = 2
"""Answers for one key, after which the next key is used as well."""


class OnceWorld:
    """All of it, and what was answered.

    :param make_times: makes the times of a front end.
    :ivar answered: what keyed calls were answered, by their keys.
    :ivar plain: where messages are that were stored without a key.
    :ivar missed: what was answered for or shown, and was not there for who looked it up then.
    """

    def __init__(self, seed: int, make_times: Callable[..., PeerTimes] = PeerTimes) -> None:
        self.draw = random.Random(seed)
        self.wall, self.clock = Wall(), Clock()
        self.tables = MessageTables(self.wall)
        self._make_times = make_times
        self._queues = MemoryStore(self.clock, self.wall, 1 << 40, NODE, CLOCK_SEQUENCE, versions(), random_bits())
        self._queues.open()
        self.registry = MemoryRegistry(self._queues, 3600, bytes(8))
        self.queue = self._new_queue()
        self.fronts = [self.front(), self.front()]
        self.readers = [Reader(), Reader()]
        self.limbo: list[Asked] = []
        self.answered: list[list[Appended]] = [[]]
        self.failed: list[Exception] = []
        self.plain: list[Address] = []
        self.missed: list[Address] = []

    def _new_queue(self) -> Queue:
        found: list[Queue] = []
        settings = QueueSettings(partitions=max(PARTITIONS))
        self._queues.create("app", "q", settings, None).addCallback(lambda made: found.append(made[0]))
        return found[0]

    def front(self) -> FrontEnd:
        """A new process."""
        session = HeldSession(self.tables)
        times = self._make_times(self.wall, self.clock.seconds, self.draw.getrandbits)
        rest = self.draw.randrange(256)
        return FrontEnd(
            session,
            Messages(session, times, self.registry, lambda: LIMITS, False, "ks", self.clock, rest, ""),
        )

    # What clients do

    def begin_keyed(self, front: FrontEnd, number: int = 0) -> None:
        """Store the batch under one of the keys."""
        front.running += 1
        answer = front.messages.append_once(self.queue, BATCH, TERMS, key(number))
        answer.addCallbacks(self._answered, self._failed, callbackArgs=(front, number), errbackArgs=(front,))

    def _answered(self, appended: Appended, front: FrontEnd, number: int) -> None:
        front.running -= 1
        if front.dead:
            return
        self._look_up(appended.addresses)
        self.answered[number].append(appended)
        if len(self.answered[-1]) == ENOUGH:
            self.answered.append([])

    def _failed(self, failure: Failure, front: FrontEnd) -> None:
        front.running -= 1
        failure.trap(Unavailable, KeyInUse)
        assert isinstance(failure.value, Exception)
        self.failed.append(failure.value)

    def begin_plain(self, front: FrontEnd) -> None:
        partition = self.draw.choice(PARTITIONS)
        answer = front.messages.append(self.queue, [NewMessage(partition, Content(b"plain"), 3600)], TERMS)

        def stored(ids: tuple[MessageId, ...]) -> None:
            if not front.dead:
                self.plain.append(Address(partition, ids[0]))

        answer.addCallbacks(stored, lambda failure: None if failure.check(Unavailable) else failure)

    def begin_page(self, reader: Reader, front: FrontEnd, limit: int = 0) -> None:
        """Ask for the next page, unless the last one is waited for; where no limit is set it may be small."""
        if reader.front is not None and not reader.front.dead:
            return
        reader.front = front
        merge = Merge(PARTITIONS, lower=reader.cursor, limit=limit or self.draw.choice((1, 2, 100)))
        answer = front.messages.read_merged(self.queue, merge, Ack.MAJORITY)

        def came(page: MergeSlice) -> None:
            if not front.dead:
                shown = [Address(message.partition, message.id) for message in page.messages]
                self._look_up(shown)
                reader.front = None
                reader.cursor = page.position
                reader.shown += shown
                reader.keyed |= keyed(page)

        def failed(failure: Failure) -> None:
            failure.trap(Unavailable)
            if not front.dead:
                reader.front = None

        answer.addCallbacks(came, failed)

    def _look_up(self, addresses: Sequence[Address]) -> None:
        """See whether messages are there, which are never removed."""
        found: list[LookupSlice] = []
        if addresses:
            self._apart().messages.lookup(self.queue, addresses, Ack.MAJORITY).addCallback(found.append)
            there = {Address(message.partition, message.id) for message in found[0].messages}
            self.missed += [address for address in addresses if address not in there]

    def _apart(self) -> FrontEnd:
        """A process that does not belong to a test."""
        front = self.front()
        front.session.free = True
        return front

    # What becomes of it

    def advance(self, seconds: float) -> None:
        self.wall.seconds += seconds
        self.clock.advance(seconds)

    def crash(self) -> None:
        """A process dies; what it had sent is done, or not, now or later."""
        dead = self.draw.choice(self.fronts)
        dead.dead = True
        self.fronts[self.fronts.index(dead)] = self.front()
        for asked in dead.session.held:
            if not asked.read and self.draw.random() < 0.5:
                self.limbo.append(asked)
        dead.session.held.clear()

    def fate(self) -> None:
        """Something becomes of something that was asked."""
        fronts = [front for front in self.fronts if front.session.held]
        if not fronts:
            return
        held = self.draw.choice(fronts).session.held
        asked = held.pop(self.draw.randrange(len(held)))
        draw = self.draw.random()
        if draw < 0.85:
            asked.served()
        elif draw < 0.87:
            asked.denied()
        elif draw < 0.90:
            asked.unheard()
        elif draw < 0.93:
            asked.refused()
        else:
            asked.lost()
            if not asked.read and draw > 0.95:
                self.limbo.append(asked)

    def step(self) -> None:
        """Something happens."""
        draw, front = self.draw.random(), self.draw.choice(self.fronts)
        if draw < 0.06 and sum(front.running for front in self.fronts) < 3:
            last = len(self.answered) - 1
            self.begin_keyed(front, max(0, last - (self.draw.random() < 0.1)))
        elif draw < 0.08:
            self.begin_plain(front)
        elif draw < 0.15:
            self.begin_page(self.draw.choice(self.readers), front)
        elif draw < 0.25:
            self.advance(self.draw.choice((0.01, 0.1, 0.6, 0.6, 2.6, 11)))
        elif draw < 0.26:
            self.crash()
        elif draw < 0.29 and self.limbo:
            self.limbo.pop(self.draw.randrange(len(self.limbo))).run().addErrback(lambda failure: None)
        else:
            self.fate()

    # The end

    def settle(self) -> None:
        """Everything that waits comes to its end, the call is repeated until it is answered, and all is read."""
        for front in self.fronts:
            front.session.free = True
            while front.session.held:
                front.session.held.pop(0).served()
        self.advance(11)
        for asked in self.limbo:
            asked.run().addErrback(lambda failure: None)
        for number in range(len(self.answered)):
            self.repeat(self.fronts[0], number)
        self.read_on()

    def read_on(self) -> None:
        """All readers read for as long as anything may be withheld from them."""
        for _ in range(30):
            self.advance(3)
            for reader in self.readers:
                self.begin_page(reader, self.draw.choice(self.fronts))

    def repeat(self, front: FrontEnd, number: int = 0) -> None:
        """Ask until there is an answer."""
        answers = self.answered[number]
        before = len(answers)
        for _ in range(4):
            self.begin_keyed(front, number)
            if len(answers) > before:
                return
            self.advance(11)
        raise AssertionError(self.failed)

    def broken(self) -> str:
        """What was promised and is not so; empty where all is."""
        answered: set[Address] = set()
        for answers in self.answered:
            told = {appended.addresses for appended in answers}
            if len(told) > 1:
                return f"several answers: {told}"
            answered.update(*told)
        wanted = {*answered, *self.plain}
        for reader in self.readers:
            if len(set(reader.shown)) < len(reader.shown):
                return "something was shown twice"
            if wanted - set(reader.shown):
                return f"passed over: {wanted - set(reader.shown)}"
            if reader.keyed != answered:
                return f"shown and not answered: {reader.keyed - answered}"
        if self.missed:
            return f"not found: {self.missed}"
        return self._unexpected(answered)

    def _unexpected(self, answered: set[Address]) -> str:
        """What is there under keys beside what was answered: plain messages may be without having been answered."""
        front = self._apart()
        found: list[MergeSlice] = []
        front.messages.read_merged(self.queue, Merge(PARTITIONS), Ack.MAJORITY).addCallback(found.append)
        counted: list[int] = []
        front.messages.count(self.queue, Ack.MAJORITY).addCallback(counted.append)
        if keyed(found[0]) != answered:
            return f"not what was answered: {keyed(found[0])}"
        return "" if counted == [len(found[0].messages)] else "counted otherwise"
