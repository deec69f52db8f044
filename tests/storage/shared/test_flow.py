"""How much of the answers to workers is in memory at the same time, and which calls wait for that."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Unavailable
from queuey.interfaces import Outcome
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.groups.commands import Command, Ran, Take, TakeAnswer
from queuey.model.groups.rows import encode_group, group_key
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.groups.terms import Terms
from queuey.model.messages.message import Address, Content, NewMessage
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import LookupSlice, Merge, MergeSlice
from queuey.model.timeid import LOWEST, SECOND, MessageId, Ticks
from queuey.storage.memory import MemoryStore
from queuey.storage.shared import Hub
from queuey.storage.shared.flow import ROOM
from queuey.storage.shared.frames import Frames
from queuey.storage.shared.portions import PORTION
from queuey.storage.shared.wire import Wire
from tests.contracts.subject import Wall
from tests.storage.shared.sharing import LOG, SeveralCase
from tests.storage.subjects import CLOCK_SEQUENCE, NODE, random_bits, versions

MIB = 1 << 20
LARGE = 900_000
LEASE = Ticks(30 * SECOND)


class Slow(MemoryStore):
    """A store that answers reads and claims when the test says so.

    :ivar begun: the calls that wait for that.
    """

    groups: Any

    def __init__(self, clock: Any) -> None:
        super().__init__(clock, Wall(), 1 << 30, NODE, CLOCK_SEQUENCE, versions(), random_bits())
        self.begun: list[Callable[[], None]] = []
        self.groups = SlowGroups(self, self.groups)

    def later(self, ask: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()

        def go_on() -> None:
            if not answer.called:
                ask().chainDeferred(answer)

        self.begun.append(go_on)
        return answer

    def answer(self, count: int = 1) -> None:
        """Answer those that began first."""
        begun, self.begun = self.begun[:count], self.begun[count:]
        for each in begun:
            each()

    def read_merged(self, queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
        return self.later(lambda: MemoryStore.read_merged(self, queue, merge, ack))

    def lookup(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[LookupSlice]:
        return self.later(lambda: MemoryStore.lookup(self, queue, addresses, ack))


class SlowGroups:
    """The groups of such a store."""

    def __init__(self, store: Slow, groups: Any) -> None:
        self._store, self._groups = store, groups
        self.look, self.end, self.follow_writes = groups.look, groups.end, groups.follow_writes

    def run(self, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Deferred[Ran]:
        return self._store.later(lambda: self._groups.run(queue, group, terms, commands))


class SlowCase(SeveralCase):
    """Two workers of a store that is slow."""

    def setUp(self) -> None:
        super().setUp()
        self.slow = Slow(self.clock)
        self.owned.close()
        self.owned = self.slow  # type: ignore[assignment]
        self.hub = Hub(self.slow, self.clock, LOG)
        self.slow.open()
        self.one, self.two = self.worker(), self.worker()
        self.queue = self.make("q")

    def make(self, name: str) -> Queue:
        return self.successResultOf(self.one.store.create("app", name, self.queue.settings, None))[0]

    def post(self, size: int, count: int = 1, queue: Queue | None = None) -> tuple[MessageId, ...]:
        messages = [NewMessage(1, Content(bytes([number % 256]) * size), 60) for number in range(count)]
        return self.successResultOf(self.one.raw.append(queue or self.queue, messages, WriteTerms(Ack.MAJORITY)))

    def read(self, queue: Queue | None = None, limit: int = 100) -> Deferred[MergeSlice]:
        return self.one.raw.read_merged(queue or self.queue, Merge((1,), limit=limit), Ack.MAJORITY)

    def reads(self, count: int, **more: Any) -> list[Deferred[MergeSlice]]:
        return [self.read(**more) for _ in range(count)]


class ReadTests(SlowCase):
    """Reads of large messages, and of small ones."""

    def test_large_reads(self) -> None:
        """No more begin than have room in what may be under way; the others follow as the worker takes the answers."""
        self.post(LARGE)
        reads = self.reads(100)
        self.assertEqual(len(self.slow.begun), 4)
        self.one.answers.held = True
        while self.slow.begun:
            self.slow.answer()
            self.assertLessEqual(self.one.end.unsent, ROOM + MIB)
        self.assertGreater(self.one.end.unsent, ROOM - 2 * MIB)
        self.assertFalse(any(each.called for each in reads))
        while not all(each.called for each in reads):
            self.one.answers.let_through()
            self.assertLessEqual(len(self.slow.begun), 4)
            self.slow.answer()
        self.assertEqual([len(self.successResultOf(each).messages) for each in reads], [1] * 100)
        self.assertEqual((self.one.end._flow._size, self.one.end._flow._under_way), (0, {}))

    def test_lookups(self) -> None:
        """Messages that are read by their addresses count as others do."""
        addresses = [Address(1, id) for id in self.post(LARGE, 3)]
        reads = [self.one.raw.lookup(self.queue, addresses, Ack.MAJORITY) for _ in range(20)]
        self.assertEqual(len(self.slow.begun), 4)
        while self.slow.begun:
            self.slow.answer()
        self.assertTrue(all(self.successResultOf(each).messages for each in reads))

    def test_small_reads(self) -> None:
        """Once it is known that messages are small, dozens of reads go on at the same time."""
        self.post(100, 10)
        first = self.read()
        self.slow.answer()
        self.successResultOf(first)
        reads = self.reads(32)
        self.assertEqual(len(self.slow.begun), 32)
        self.slow.answer(32)
        for each in reads:
            self.successResultOf(each)

    def test_small_reads_beside_large_ones(self) -> None:
        """What another worker reads waits for nothing."""
        self.post(LARGE)
        self.reads(10)
        waiting = len(self.slow.begun)
        self.two.raw.read_merged(self.queue, Merge((1,)), Ack.MAJORITY)
        self.assertEqual(len(self.slow.begun), waiting + 1)

    def test_a_page_without_room(self) -> None:
        """A slice that is empty since its next message is too large says nothing of how large messages are."""
        self.post(LARGE)
        for _ in range(20):
            merge = Merge((1,), max_bytes=1000, owed=False)
            read = self.one.raw.read_merged(self.queue, merge, Ack.MAJORITY)
            self.slow.answer()
            self.assertFalse(self.successResultOf(read).messages)
        self.reads(20)
        self.assertEqual(len(self.slow.begun), 4)

    def test_larger_ones_that_follow(self) -> None:
        """Small messages do not hide for long that there are large ones, nor large ones that they are gone."""
        small = self.make("small")
        self.post(10, 1, small)
        for queue, most in ((small, 32), (self.queue, 4)):
            self.assertEqual(self.begun_at_once(queue), most if queue is small else 4)
        self.post(LARGE, 1, small)
        read = self.read(small)
        self.slow.answer()
        self.successResultOf(read)
        self.assertLess(self.begun_at_once(small), 32)
        for _ in range(40):
            read = self.read(small, 1)
            self.slow.answer()
            self.successResultOf(read)
        self.assertEqual(self.begun_at_once(small), 32)

    def begun_at_once(self, queue: Queue) -> int:
        """How many reads begin at once, after one."""
        if queue is not self.queue:
            self.read(queue, 1)
            self.slow.answer()
        reads = self.reads(32, queue=queue)
        begun = len(self.slow.begun)
        while self.slow.begun:
            self.slow.answer()
        for each in reads:
            self.successResultOf(each)
        return begun

    def test_one_that_is_given_up(self) -> None:
        """A call that waits, and is cancelled, never begins; the others do."""
        reads = self.reads(6)
        for each in (reads[0], reads[5]):
            each.cancel()
            self.failureResultOf(each, CancelledError)
        while self.slow.begun:
            self.slow.answer()
        for each in reads[1:5]:
            self.successResultOf(each)

    def test_a_worker_that_ends(self) -> None:
        """What waits for it never begins."""
        reads = self.reads(10)
        self.one.calls.abortConnection()
        for each in reads:
            self.failureResultOf(each, Unavailable)
        while self.slow.begun:
            self.slow.answer()

    def test_a_read_that_fails(self) -> None:
        """Those that wait have its room."""
        gone = self.queue
        reads = self.reads(20)
        self.successResultOf(self.one.raw.forget(gone))
        while self.slow.begun:
            self.slow.answer()
        for each in reads:
            self.assertTrue(each.called)
            each.addErrback(lambda _: None)


class ClaimTests(SlowCase):
    """Claims of many large messages."""

    def setUp(self) -> None:
        super().setUp()
        self.group = Group(self.queue.incarnation, "g", b"g" * 16, b"s" * 32, GroupSettings(), LOWEST, Ticks(0), "")
        row = encode_group(self.group)
        done = self.one.raw.states.replace(group_key(self.queue.incarnation, "g"), None, row, "1")
        self.assertIs(self.successResultOf(done), Outcome.APPLIED)

    def claim(self, worker: Any = None, limit: int = 100) -> Deferred[Ran]:
        take = Take((1,), limit, LEASE, 16 * MIB)
        return (worker or self.one).raw.groups.run(self.queue, self.group, Terms(), [take])

    def claimed(self, claim: Deferred[Ran]) -> list[bytes]:
        (answer,) = self.successResultOf(claim).answers
        assert isinstance(answer, TakeAnswer)
        for share in answer.shares:
            self.assertEqual([one.id for one in share.taken], [each.id for each in share.messages if each is not None])
        return [
            message.content.body[:1] for share in answer.shares for message in share.messages if message is not None
        ]

    def test_in_portions(self) -> None:
        """No more of an answer is encoded than a portion and a message, while the worker does not take it."""
        self.post(LARGE, 18)
        claim = self.claim()
        self.one.answers.held = True
        self.slow.answer()
        self.assertLess(self.one.end.unsent, PORTION + LARGE)
        self.assertNoResult(claim)
        self.one.answers.let_through()
        self.assertEqual(self.claimed(claim), [bytes([number]) for number in range(18)])

    def test_many_small_ones(self) -> None:
        """The portions of small messages are as large."""
        self.post(5000, 900)
        claim = self.claim(limit=1000)
        self.one.answers.held = True
        self.slow.answer()
        self.assertLess(self.one.end.unsent, PORTION * 2)
        self.one.answers.let_through()
        self.assertEqual(len(self.claimed(claim)), 900)

    def test_one_after_another(self) -> None:
        """A large claim waits until the answer to the one before was sent; a read does not wait for it."""
        self.post(LARGE, 40)
        claims = [self.claim() for _ in range(3)]
        self.assertEqual(len(self.slow.begun), 1)
        read = self.read()
        self.assertEqual(len(self.slow.begun), 2)
        self.one.answers.held = True
        self.slow.answer(2)
        self.assertEqual(len(self.slow.begun), 0)
        self.one.answers.let_through()
        self.successResultOf(read)
        self.assertEqual(len(self.claimed(claims[0])), 18)
        self.assertEqual(len(self.slow.begun), 1)
        self.slow.answer()
        self.slow.answer()
        self.assertEqual([len(self.claimed(each)) for each in claims[1:]], [18, 4])

    def test_small_claims(self) -> None:
        """Hundreds of claims of small messages share a commit."""
        self.post(100, 3)
        first = self.claim(limit=1)
        self.slow.answer()
        self.assertEqual(len(self.claimed(first)), 1)
        for _ in range(300):
            self.claim(limit=1)
        self.assertEqual(len(self.slow.begun), 300)

    def test_the_worker_ends_meanwhile(self) -> None:
        """What was not sent of an answer is forgotten, and it is not known whether the claim was made."""
        self.post(LARGE, 18)
        claim, waiting = self.claim(), self.claim()
        self.one.answers.held = True
        self.slow.answer()
        self.one.calls.abortConnection()
        for each in (claim, waiting):
            self.assertEqual(self.failureResultOf(each, Unavailable).value.applied, "unknown")
        self.assertFalse(self.one.end._sending)
        self.assertFalse(self.slow.begun)

    def test_a_caller_who_has_gone(self) -> None:
        """The owner forgets the rest of the answer at once, and begins the next claim."""
        self.post(LARGE, 36)
        claim = self.claim()
        self.one.answers.held = True
        self.slow.answer()
        self.assertTrue(self.one.end._sending)
        claim.cancel()
        self.failureResultOf(claim, CancelledError)
        self.assertFalse(self.one.end._sending)
        self.one.answers.let_through()
        after = self.claim()
        self.slow.answer()
        self.assertEqual(len(self.claimed(after)), 18)


class Idle:
    """A reactor that notes which sockets wait."""

    def __init__(self) -> None:
        self.writers: set[object] = set()
        self.callLater = Clock().callLater

    def addReader(self, reader: object) -> None:
        """Nothing is read here."""

    def removeReader(self, reader: object) -> None:
        """Nothing is read here."""

    def addWriter(self, writer: object) -> None:
        self.writers.add(writer)

    def removeWriter(self, writer: object) -> None:
        self.writers.discard(writer)


class Drained(Frames):
    """Notes how often the socket took something."""

    times = 0

    def drained(self) -> None:
        self.times += 1

    def ended(self) -> None:
        """Nothing is left to be done."""


class WireTests(SynchronousTestCase):
    """A socket that takes less than there is."""

    def test_unsent(self) -> None:
        """What waits is counted, in its order and without copies, until the socket has taken it."""
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        for end in (ours, theirs):
            end.setblocking(False)
        reactor: Any = Idle()
        frames = Drained(reactor)
        wire = Wire(ours, frames, reactor)
        frames.makeConnection(wire)
        bodies = [bytes([number]) * (200_000 + number) for number in range(10)]
        for body in bodies:
            wire.write(msgspec.Raw(body))
        sent = sum(map(len, bodies)) - wire.unsent
        self.assertTrue(0 < sent < 2_000_000)
        self.assertIs(wire._waiting[-1].obj.__class__, msgspec.Raw)
        came = b""
        while wire.unsent or len(came) < sum(map(len, bodies)):
            came += theirs.recv(100_000)
            if wire in reactor.writers:
                self.assertIsNone(wire.doWrite())
        self.assertEqual(came, b"".join(bodies))
        self.assertEqual(reactor.writers, set())
        self.assertGreater(frames.times, 1)
        wire.connectionLost(None)  # type: ignore[arg-type]
        wire.write(b"x")
        self.assertEqual(wire.unsent, 0)
