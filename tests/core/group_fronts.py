"""Front ends over one store, each of which may die at any of its calls, and what a test does with groups by them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from random import Random
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from queuey.core.groups.cells import Cell, Cells
from queuey.core.groups.directory import GroupChanges, GroupDirectory
from queuey.core.groups.moves import Moves
from queuey.core.groups.redriving import Redrives
from queuey.core.groups.values import Redriven, Redriving
from queuey.core.groups.whole import Whole
from queuey.core.policies import GivenPolicies
from queuey.core.waiting import Waits
from queuey.interfaces import IStateStore, IStore, Outcome, State
from queuey.model import group as rules
from queuey.model.group import Action, Found, Settlement, Taken, Wanted
from queuey.model.group_settings import Group
from queuey.model.group_state import GroupState
from queuey.model.message import Address, Content, Message, NewMessage
from queuey.model.policy import Ack, Policy
from queuey.model.queue import Queue, QueueSettings
from queuey.model.receipts import Receipt
from queuey.model.timeid import SECOND, MessageId, Ticks, from_seconds
from queuey.model.window import Merge, Position
from tests.contracts.reading import TERMS
from tests.contracts.subject import Subject
from tests.storage.cassandra.store_support import StoreSubject
from tests.storage.quick import quick_directory
from tests.storage.runners import Inline
from tests.storage.subjects import MemorySubject, SQLiteSubject

T = TypeVar("T")

POLICY = Policy("app", 1 << 20, ttl=3600)
LEASE = Ticks(30 * SECOND)


def anyhow(group: Group | None) -> None:
    """Take a group for what it is."""


class Cut:
    """Counts the calls of one process, which dies at one of them.

    :param at: the number of that call, from 1 on; 0: at none.
    :param done: whether that call is carried out, though nobody learns of it.
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

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        """See IStateStore."""
        return self._cut.call(lambda: self._states.replace(key, version, value, fresh))


class CutStore:
    """A store, as long as the process lives."""

    def __init__(self, store: IStore, cut: Cut) -> None:
        self._store = store
        self._cut = cut
        self.states = CutStates(store.states, cut)
        self.promises = store.promises

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
        self._store = store = cast(IStore, through(cast(IStore, CutStore(world.subject.store, cut))))
        policies = GivenPolicies(lambda: {"app": world.policy})
        self.waits = Waits(world.clock, lambda arrived: 1.0)
        self.directory = GroupDirectory(store, policies, world.clock, world.now, world.random)
        self.cells = Cells(store.states, False, world.random)
        self.moves = Moves(store, policies, self.waits, world.now)
        self.redrives = Redrives(store, policies, self.moves, self.cell, world.now)
        self.whole = Whole(store, policies, self.directory, self.moves, self.cell, world.now, world.random)

    def cell(self, queue: Queue, group: Group, partition: int) -> Cell:
        """The state of a group in a partition."""
        return self.cells.at(self.directory.source(queue, group, partition))

    async def claim(self, queue: Queue, group: Group, partition: int = 1, limit: int = 10) -> tuple[Taken, ...]:
        """Claim as a client would, without what is marked being carried out."""
        terms, now = await self.directory.terms(queue, group), self._world.now()
        cell = self.cell(queue, group, partition)
        cell.forget()
        state = rules.expire(await cell.read(), terms, now)
        look = rules.look(state, limit, terms, now)
        looked = [Address(partition, id) for id in (*look.due, *look.blocking)]
        there = await self.moves.find(queue, looked)
        slice = await self._store.merge(queue, Merge((partition,), Position(state.reach), limit=limit), Ack.MAJORITY)
        found = Found(
            sorted(address.id for address in there),
            [address.id for address in looked if address not in there],
            [message.id for message in slice.messages],
            state.reach,
            Merge((partition,), slice.position).bounds(partition)[0],
        )

        def step(state: GroupState) -> tuple[GroupState, tuple[Taken, ...]]:
            claimed = rules.claim(state, Wanted(limit, LEASE), found, terms, now)
            return claimed.state, claimed.taken

        return await cell.change(step)

    async def settle(
        self, queue: Queue, group: Group, action: Action, taken: Sequence[Taken], partition: int = 1, reason: str = ""
    ) -> tuple[rules.Outcome, ...]:
        """Settle as a client would, without what is marked being carried out."""
        terms, now = await self.directory.terms(queue, group), self._world.now()

        def step(state: GroupState) -> tuple[GroupState, tuple[rules.Outcome, ...]]:
            receipts = [Receipt(queue.incarnation, state.generation, partition, one.id, one.number) for one in taken]
            settled = rules.settle(state, [Settlement(action, one, reason=reason) for one in receipts], terms, now)
            return settled.state, settled.outcomes

        return await self.cell(queue, group, partition).change(step)

    async def carry_out(self, queue: Queue, group: Group, partition: int = 1) -> None:
        """Finish what is marked."""
        await self.moves.carry_out(queue, group, partition, self.cell(queue, group, partition))

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
        """Bytes that nobody has had."""
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
        return list(self.get(self.store.merge(queue, Merge(every, limit=1000), Ack.MAJORITY)).messages)

    def bodies(self, queue: Queue) -> list[bytes]:
        """The bodies of that."""
        return [message.content.body for message in self.shown(queue)]

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.get(self.subject.advance(seconds))

    def state(self, queue: Queue, group: Group, partition: int = 1) -> GroupState:
        """What is stored of a group."""
        return self.run(self.front().cell(queue, group, partition).read())


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
