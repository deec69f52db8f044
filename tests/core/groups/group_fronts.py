"""Front ends over one store, each of which may die at any of its calls, and what a test does with groups by them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from random import Random
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from queuey.core.activity import QueueCounts
from queuey.core.groups.dead_letters import DeadLetters
from queuey.core.groups.directory import GroupDirectory
from queuey.core.groups.group_changes import GroupChanges
from queuey.core.groups.redriving import Redrives
from queuey.core.groups.seek_and_lag import SeekAndLag
from queuey.core.groups.values import Redriven, Redriving
from queuey.core.policies import GivenPolicies
from queuey.core.waiting import Waits
from queuey.interfaces import IGroupStore, IStateStore, IStore, State
from queuey.interfaces import Outcome as Swapped
from queuey.model.applications.policy import Ack, Policy
from queuey.model.groups.commands import Command, Ran, Settle, SettleAnswer, Take, TakeAnswer, View
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.rows import state_key
from queuey.model.groups.settings import Group
from queuey.model.groups.snapshot import GroupState, decode, state_of
from queuey.model.groups.terms import Action, Outcome, Settlement, Taken, Terms
from queuey.model.messages.message import Content, Message, NewMessage
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.window import Merge
from queuey.model.timeid import SECOND, MessageId, Ticks, from_seconds
from queuey.storage.cassandra.groups import CassandraGroups, GroupTables
from queuey.storage.cassandra.groups.loading import Source
from queuey.storage.cassandra.groups.tables import ENDED
from tests.contracts.reading import TERMS
from tests.contracts.subject import Subject
from tests.storage.cassandra.store.store_support import StoreSubject
from tests.storage.quick import quick_directory
from tests.storage.sqlite.runners import Inline
from tests.storage.subjects import MemorySubject, SQLiteSubject

T = TypeVar("T")

POLICY = Policy("app", 1 << 20, ttl=3600)
LEASE = Ticks(30 * SECOND)


def anyhow(group: Group | None) -> None:
    """Take a group for what it is."""


class Cut:
    """Counts the calls of one process, which dies at one of them.

    :param at: the number of that call, from 1 on; 0: at none.
    :param done: whether that call is carried out although its caller does not learn of it.
    """

    def __init__(self, at: int = 0, done: bool = False) -> None:
        self.at = at
        self.done = done
        self.calls = 0

    @property
    def dead(self) -> bool:
        """Whether the process has died."""
        return 0 < self.at <= self.calls

    def call(self, begin: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Make a call; from the cut on, nothing is answered."""
        if self.dead:
            return Deferred()
        self.calls += 1
        if not self.dead:
            return begin()
        if self.done:
            begin().addErrback(lambda failure: None)
        return Deferred()


@implementer(IStateStore)
class CutStates:
    """The states of a store, as long as the process lives."""

    def __init__(self, states: IStateStore, cut: Cut) -> None:
        self._states = states
        self._cut = cut

    def read(self, key: str) -> Deferred[State | None]:
        """See IStateStore."""
        return self._cut.call(lambda: self._states.read(key))

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Swapped]:
        """See IStateStore."""
        return self._cut.call(lambda: self._states.replace(key, version, value, fresh))


@implementer(IGroupStore)
class CutGroups:
    """The groups of a store, as long as the process lives."""

    def __init__(self, groups: IGroupStore, cut: Cut) -> None:
        self._groups = groups
        self._cut = cut

    def run(self, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Deferred[Ran]:
        """See IGroupStore."""
        return self._cut.call(lambda: self._groups.run(queue, group, terms, commands))

    def follow_writes(self) -> bool:
        """See IGroupStore; the calls that are held up lose their order."""
        return False

    def look(self, queue: Queue, group: Group, partition: int, ids: Sequence[MessageId] = ()) -> Deferred[View]:
        """See IGroupStore."""
        return self._cut.call(lambda: self._groups.look(queue, group, partition, ids))

    def end(self, incarnation: int, gid: bytes, partitions: int) -> Deferred[None]:
        """See IGroupStore."""
        return self._cut.call(lambda: self._groups.end(incarnation, gid, partitions))


class CutStore:
    """A store, as long as the process lives."""

    def __init__(self, store: IStore, cut: Cut, world: World) -> None:
        self._store = store
        self._cut = cut
        self.states = CutStates(store.states, cut)
        self.groups: IGroupStore = CutGroups(store.groups, cut)
        if isinstance(world.subject, StoreSubject):
            tables = GroupTables(world.subject.session, "ks", cut.call)
            self.groups = CassandraGroups(
                cast(IStore, self), self.states, tables, lambda: None, world.now, world.random, lambda: succeed(None)
            )
        self.capabilities = store.capabilities

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return lambda *arguments: self._cut.call(lambda: method(*arguments))


class Front:
    """One process.

    :param through: how it sees the store.
    :ivar cut: where it dies.
    """

    def __init__(self, world: World, cut: Cut, through: Callable[[IStore], Any] = lambda store: store) -> None:
        self.cut = cut
        self._world = world
        self._store = store = cast(IStore, through(cast(IStore, CutStore(world.subject.store, cut, world))))
        self.groups = store.groups
        policies = GivenPolicies(lambda: {"app": world.policy})
        self.waits = Waits(world.clock, lambda arrived: 1.0)
        self.directory = GroupDirectory(store, policies, world.clock, world.now, world.random)
        self.moves = DeadLetters(store, policies, self.waits, QueueCounts())
        self.redrives = Redrives(store, policies, self.moves, self.directory.terms)
        self.whole = SeekAndLag(store, policies, self.directory, self.moves, world.random)

    async def claim(self, queue: Queue, group: Group, partition: int = 1, limit: int = 10) -> tuple[Taken, ...]:
        """Claim as a client would, without what is marked being carried out."""
        terms = await self.directory.terms(queue, group)
        take = Take((partition,), limit, LEASE, 1 << 20)
        (got,) = (await self._store.groups.run(queue, group, terms, (take,))).answers
        assert isinstance(got, TakeAnswer)
        return tuple([one for share in got.shares for one in share.taken])

    async def settle(
        self, queue: Queue, group: Group, action: Action, taken: Sequence[Taken], partition: int = 1, reason: str = ""
    ) -> tuple[Outcome, ...]:
        """Settle as a client would, without what is marked being carried out."""
        terms = await self.directory.terms(queue, group)
        generation = self._world.state(queue, group, partition).generation
        receipts = [Receipt(queue.incarnation, generation, partition, one.id, one.number) for one in taken]
        settle = Settle(tuple([Settlement(action, one, reason=reason) for one in receipts]))
        (got,) = (await self._store.groups.run(queue, group, terms, (settle,))).answers
        assert isinstance(got, SettleAnswer)
        return got.outcomes

    async def carry_out(self, queue: Queue, group: Group, partition: int = 1) -> None:
        """Finish what is marked."""
        await self.moves.carry_out(queue, group, partition)

    async def redrive(self, queue: Queue, group: Group, asked: Redriving) -> int:
        """Take back all there is, in as many calls as that takes; how many can be claimed again."""
        moved = 0
        for _ in range(100):
            redriven: Redriven = await self.redrives.redrive(queue, group, asked)
            moved += redriven.moved
            if redriven.next is None:
                return moved
            asked = Redriving(asked.addresses, asked.since, asked.until, redriven.next)
        raise AssertionError("a redrive comes to no end")


class World:
    """A store, its clocks, and what is in it.

    :ivar policy: in force.
    """

    def __init__(self, case: SynchronousTestCase, subject: Subject) -> None:
        self.subject = subject
        self.clock = cast(Any, subject).clock
        self.policy = POLICY
        self._case = case
        self._random = Random(3)

    def now(self) -> Ticks:
        """The wall clock."""
        return from_seconds(self.subject.wall.seconds)

    def random(self, size: int) -> bytes:
        """Bytes that were not returned before."""
        return self._random.randbytes(size)

    def front(self, at: int = 0, done: bool = False) -> Front:
        """A process that dies at one of its calls."""
        return Front(self, Cut(at, done))

    @property
    def store(self) -> IStore:
        """The store itself."""
        return self.subject.store

    def get(self, answer: Deferred[T]) -> T:
        """What something comes to, which it does at once."""
        return self._case.successResultOf(answer)

    def run(self, steps: Coroutine[Deferred[Any], Any, T]) -> T:
        """What a coroutine comes to, which it does at once."""
        return self.get(Deferred.fromCoroutine(steps))

    def make(self, name: str = "q", **settings: Any) -> Queue:
        """A queue."""
        return self.get(self.store.create("app", name, QueueSettings(**settings), None))[0]

    def group(self, queue: Queue, name: str = "g", **changes: Any) -> Group:
        """A group."""
        return self.get(self.front().directory.put(queue, name, GroupChanges(**changes), anyhow))[0]

    def post(
        self, queue: Queue, *bodies: bytes, partition: int = 1, ttl: int = 3600, headers: bytes | None = None
    ) -> list[MessageId]:
        """Messages that show."""
        messages = [NewMessage(partition, Content(body, "text/plain", headers), ttl) for body in bodies]
        ids = self.get(self.store.append(queue, messages, TERMS))
        self.advance(0.1)
        return list(ids)

    def shown(self, queue: Queue) -> list[Message]:
        """What readers of a queue see."""
        every = tuple(range(1, queue.settings.partitions + 1))
        return list(self.get(self.store.read_merged(queue, Merge(every, limit=1000), Ack.MAJORITY)).messages)

    def bodies(self, queue: Queue) -> list[bytes]:
        """The bodies of that."""
        return [message.content.body for message in self.shown(queue)]

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.get(self.subject.advance(seconds))

    def state(self, queue: Queue, group: Group, partition: int = 1) -> GroupState:
        """What is stored of a group."""
        found = self.stored(queue, group, partition)
        return GroupState(b"", group.place) if found is None else found

    def stored(self, queue: Queue, group: Group, partition: int = 1) -> GroupState | None:
        """The same, if anything is stored."""
        store = cast(Any, self.store)
        if isinstance(self.subject, MemorySubject):
            index = store._groups._states.get(queue.incarnation, {}).get((group.gid, partition))
            return None if index is None else state_of(index)
        if isinstance(self.subject, SQLiteSubject):
            writer = store._open.writer
            held = "SELECT 1 FROM group_states WHERE gid = ? AND partition = ?"
            if writer.connection.execute(held, (group.gid, partition)).get is None:
                return None
            return state_of(writer.groups.index(queue, group, partition))
        key = state_key(queue.incarnation, group.gid, partition)
        loader = store.groups._shop.loader
        head = self.get(store.groups._shop.tables.newest(key)).head
        if head is not None and head.version == ENDED:
            return None
        if head is not None:
            held = self.get(Deferred.fromCoroutine(loader.load(Source(key, Deferred))))
            return state_of(held.index)
        value = self.get(store.states.read(key))
        return None if value is None else decode(value.value)


class GroupCase(SynchronousTestCase):
    """Tests of groups on one kind of store; the base of those on others."""

    def make_subject(self) -> Subject:
        """A store that is open and empty."""
        return MemorySubject()

    def new_world(self) -> World:
        """A world of its own."""
        subject = self.make_subject()
        world = World(self, subject)
        self.addCleanup(lambda: self.successResultOf(subject.close()))
        return world

    def setUp(self) -> None:
        self.world = self.new_world()

    def each_cut(
        self,
        prepare: Callable[[World], tuple[Any, ...]],
        act: Callable[..., Coroutine[Deferred[Any], Any, Any]],
        check: Callable[..., object],
    ) -> None:
        """Let a process die at its first call, at its second and so on, before or after that is done, each time in a
        world of its own, until it does not die any more.

        :param prepare: makes what there is, of a world.
        :param act: what the process does, of itself and what there is.
        :param check: whether all is well then, of the world and what there is.
        """
        for at in count(1):
            died = False
            for done in (False, True):
                world = self.new_world()
                things = prepare(world)
                front = world.front(at, done)
                acting = Deferred.fromCoroutine(act(front, *things))
                died = died or front.cut.dead
                if not front.cut.dead:
                    world.get(acting)
                check(world, *things)
            if not died:
                self.assertGreater(at, 1)
                return


class OnSQLite:
    """On the embedded store."""

    def make_subject(self) -> Subject:
        """See GroupCase."""
        return SQLiteSubject(quick_directory(cast(SynchronousTestCase, self)), Inline)


class OnCassandra:
    """On the tables of a cluster that is in memory."""

    def make_subject(self) -> Subject:
        """See GroupCase."""
        return StoreSubject()
