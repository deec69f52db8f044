"""Consumer groups over a real store whose calls a test can count, hold back or answer differently."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from itertools import count, cycle
from pathlib import Path
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from queuey.core.activity import QueueCounts
from queuey.core.contention import Retries
from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.group_changes import GroupChanges
from queuey.core.groups.rows import GroupRows
from queuey.core.groups.values import Claiming, Delivered, Settling
from queuey.core.messages import MessageExchange
from queuey.core.policies import GivenPolicies
from queuey.core.queues import QueueChanges, QueueDirectory
from queuey.core.rates import RateLimits
from queuey.core.waiting import Waits
from queuey.errors import QueueyError, Unavailable
from queuey.interfaces import IGroupStore, IStateStore, IStore, Outcome, State
from queuey.model.applications.policy import Ack, Policy
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Action
from queuey.model.groups.terms import Outcome as Settled
from queuey.model.messages.message import Address, Content, Draft, Message
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import LookupSlice, Merge, MergeSlice
from queuey.model.timeid import SECOND, Ticks, from_seconds
from queuey.storage.cassandra.cluster.port import ICQLSession
from queuey.storage.cassandra.groups import CassandraGroups, GroupTables
from queuey.storage.cassandra.groups.tables import Head, Seen
from tests.storage.cassandra.row_tables import RowTables
from tests.storage.cassandra.store.store_support import StoreSubject
from tests.storage.sqlite.runners import Inline
from tests.storage.subjects import MemorySubject, SQLiteSubject

T = TypeVar("T")

POLICY = Policy("a", 1 << 20)

Change = Callable[[Outcome], Outcome]
"""What a test makes of the outcome of a replace."""


class Held:
    """Answers that a test holds back, in the order in which they were asked for."""

    def __init__(self) -> None:
        self.on = False
        self.waiting: list[Deferred[None]] = []

    def turn(self, answer: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Ask now, or when the test lets it."""
        if not self.on:
            return answer()
        begun: Deferred[None] = Deferred()
        self.waiting.append(begun)
        return begun.addCallback(lambda _: answer())

    def release(self, how_many: int = 1) -> None:
        """Let some go on."""
        for _ in range(how_many):
            self.waiting.pop(0).callback(None)

    def let_all_go(self) -> None:
        """Hold back nothing any more."""
        self.on = False
        self.release(len(self.waiting))


@implementer(IStateStore)
class SpiedStates:
    """The states of a store.

    :ivar changes: what is made of the next outcomes.
    :ivar failing: what the next changes fail with; nothing is changed by them.
    :ivar failing_after: changes that come before those.
    """

    def __init__(self, states: IStateStore) -> None:
        self._states = states
        self.reads = 0
        self.replaces = 0
        self.held = Held()
        self.changes: list[Change] = []
        self.failing: list[QueueyError] = []
        self.failing_after = 0
        self.unreadable = 0

    def read(self, key: str) -> Deferred[State | None]:
        self.reads += 1
        if self.unreadable:
            self.unreadable -= 1
            return fail(away())
        return self._states.read(key)

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        self.replaces += 1
        if self.failing_after:
            self.failing_after -= 1
        elif self.failing:
            return fail(self.failing.pop(0))

        def changed(outcome: Outcome) -> Outcome:
            return self.changes.pop(0)(outcome) if self.changes else outcome

        replace = self._states.replace
        return self.held.turn(lambda: replace(key, version, value, fresh)).addCallback(changed)


class SpiedTables(GroupTables):
    """The tables of group states: what is read and appended there counts, and is changed, as what is done to states."""

    def __init__(self, states: SpiedStates, session: ICQLSession) -> None:
        super().__init__(session, "ks")
        self._spied = states

    def newest(self, key: str) -> Deferred[Seen]:
        """See GroupTables."""
        return self._seen() or super().newest(key)

    def since(self, key: str, number: int) -> Deferred[Seen]:
        """See GroupTables."""
        return self._seen() or super().since(key, number)

    def _seen(self) -> Deferred[Seen] | None:
        self._spied.reads += 1
        if not self._spied.unreadable:
            return None
        self._spied.unreadable -= 1
        return fail(away())

    def append(
        self, key: str, seen: int | None, token: bytes, events: bytes, head: Head | None = None
    ) -> Deferred[bool]:
        """See GroupTables."""
        spied, append = self._spied, super().append
        spied.replaces += 1
        if spied.failing:
            return fail(spied.failing.pop(0))

        def changed(applied: bool) -> bool:
            outcome = Outcome.APPLIED if applied else Outcome.REFUSED
            if spied.changes:
                outcome = spied.changes.pop(0)(outcome)
            if outcome is Outcome.UNKNOWN:
                raise Unavailable("It does not answer.", applied="unknown")
            return outcome is Outcome.APPLIED

        return spied.held.turn(lambda: append(key, seen, token, events, head)).addCallback(changed)


class Spied:
    """A store of which a test sees the reads; all else goes through."""

    def __init__(self, store: IStore) -> None:
        self._store = store
        self.states = SpiedStates(store.states)
        self.merges: list[Merge] = []
        self.lookups: list[Sequence[Address]] = []
        self.held = Held()
        self.broken: set[int] = set()
        self.unreadable = 0
        self.groups: IGroupStore = store.groups

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read_merged(self, queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
        self.merges.append(merge)
        if self.broken.intersection(merge.partitions):
            return fail(away())
        return self.held.turn(lambda: self._store.read_merged(queue, merge, ack))

    def lookup(self, queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[LookupSlice]:
        self.lookups.append(addresses)
        if self.unreadable:
            self.unreadable -= 1
            return fail(away())
        return self._store.lookup(queue, addresses, ack)


def away() -> QueueyError:
    """What a store says that does not answer."""
    return Unavailable("It does not answer.")


class CassandraSubject(StoreSubject):
    """A store on tables of Cassandra, which tells nothing of what falls due."""

    arrived: Sequence[int] = ()


Subject = MemorySubject | SQLiteSubject | CassandraSubject


class GroupCase(SynchronousTestCase):
    """A front end on a memory store; a queue "q", and a group "g" of it.

    :ivar by_state: whether the states of groups are in tables of Cassandra, through what the test sees; else the store
        runs the commands of groups by itself.
    :ivar look_every: as ``IStore.subscribe`` tells it, where the test says otherwise.
    """

    look_every: float | None = None
    partitions = 1
    by_state = True

    def subject(self) -> Subject:
        return MemorySubject()

    def setUp(self) -> None:
        self.under = self.subject()
        self.addCleanup(lambda: self.successResultOf(self.under.close()))
        self.clock = self.under.clock
        self.spied = Spied(self.under.store)
        self.store = cast(IStore, self.spied)
        self.waits = Waits(self.clock, self.subscribe)
        self.policies = {"a": POLICY}
        given, turns = GivenPolicies(lambda: self.policies), cycle(range(200))
        rates = RateLimits(given, self.clock)
        self.messages = MessageExchange(
            self.store, given, lambda below: next(turns) % below, self.waits, rates, settles=False
        )
        numbers = count(1)

        def new_bytes(size: int) -> bytes:
            return next(numbers).to_bytes(size, "big")

        if self.by_state:
            ticks = lambda: from_seconds(self.under.wall())  # noqa: E731
            alone = 0 if self.waits.look_every is None else None
            session = self.under.session.rows if isinstance(self.under, StoreSubject) else RowTables(self.under.wall)
            tables = SpiedTables(self.spied.states, session)
            self.spied.groups = CassandraGroups(
                self.store, self.spied.states, tables, lambda: alone, ticks, new_bytes, lambda: succeed(None)
            )
        rows = GroupRows(self.store.states, new_bytes, self.store.groups)
        self.queues = QueueDirectory(self.store, given, rows, Retries(self.clock, new_bytes))
        self.counts = QueueCounts()
        self.groups = GroupExchange(self.store, given, self.waits, self.under.wall, new_bytes, activity=self.counts)
        self.queue = self.make_queue("q", partitions=self.partitions)
        self.group = self.make_group()

    def subscribe(self, arrived: Callable[[int], None]) -> float | None:
        self.tell = arrived
        return self.look_every

    def advance(self, seconds: float) -> None:
        """Let time pass, and the store tell of what fell due."""
        told = len(self.under.arrived)
        self.successResultOf(self.under.advance(seconds))
        for incarnation in self.under.arrived[told:]:
            self.tell(incarnation)
        self.clock.advance(0)

    def make_queue(self, name: str, **changes: Any) -> Queue:
        queue, _ = self.successResultOf(self.queues.create("a", name, QueueChanges(**changes)))
        return queue

    def make_group(self, name: str = "g", **changes: Any) -> Group:
        group, _ = self.successResultOf(self.groups.put(self.queue, name, GroupChanges(**changes), lambda _: None))
        return group

    def post(
        self, *bodies: bytes, partition: int | None = 1, delay: float = 0, ttl: int = 86_400, queue: Queue | None = None
    ) -> list[Address]:
        """Messages, in one write each."""
        found: list[Address] = []
        for body in bodies:
            draft = Draft(Content(body), ttl, partition, delay=Ticks(int(delay * SECOND)))
            addresses = self.successResultOf(self.messages.append(queue or self.queue, [draft]))
            found += addresses
        return found

    def claiming(self, group: Group | None = None, **asked: Any) -> Deferred[Delivered]:
        """A claim that may take its time."""
        return begun(self.groups.claim(self.queue, group or self.group, Claiming(**asked)))

    def claim(self, group: Group | None = None, **asked: Any) -> Delivered:
        """A claim that is answered at once."""
        return self.successResultOf(self.claiming(group, **asked))

    def bodies(self, group: Group | None = None, **asked: Any) -> list[bytes]:
        """What a claim is given."""
        return bodies(self.claim(group, **asked))

    def settle(self, action: Action, *receipts: str, group: Group | None = None, **more: Any) -> tuple[Settled, ...]:
        asked = [Settling(action, receipt, **more) for receipt in receipts]
        return self.successResultOf(self.groups.settle(self.queue, group or self.group, asked))

    def read(self, queue: Queue) -> list[Message]:
        """All messages of a queue, as a reader sees them."""
        every = Merge(tuple(range(1, queue.settings.partitions + 1)), limit=1000)
        return list(self.successResultOf(begun(self.messages.page(queue, every, 0))).messages)


class SQLiteGroupCase(GroupCase):
    """The same on SQLite."""

    def subject(self) -> Subject:
        return SQLiteSubject(Path(self.mktemp()), Inline)


class CassandraGroupCase(GroupCase):
    """The same on tables of Cassandra in memory, where others may write too."""

    look_every = 1.0

    def subject(self) -> Subject:
        return CassandraSubject()


def begun(work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    """A coroutine that is on its way."""
    return Deferred.fromCoroutine(work)


def bodies(delivered: Delivered) -> list[bytes]:
    """What was given."""
    return [delivery.message.content.body for delivery in delivered.deliveries]


def receipts(delivered: Delivered) -> list[str]:
    """Its receipts."""
    found = [delivery.receipt for delivery in delivered.deliveries if delivery.receipt is not None]
    assert len(found) == len(delivered.deliveries)
    return found
