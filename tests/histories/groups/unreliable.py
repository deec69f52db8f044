"""A store whose calls wait for their turn, and fail, or are done without an answer, as a seed decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from random import Random
from typing import Any, Final, cast

import attrs
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from queuey.errors import Unavailable
from queuey.interfaces import IGroupStore, IStateStore, IStore, Outcome, State
from queuey.model.groups.commands import Command, Ran, View
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Terms
from queuey.model.queues.queue import Queue
from queuey.model.timeid import MessageId, Ticks
from queuey.storage.cassandra.cluster.port import ICQLSession, Level, Row, Statement, TransactionResult
from queuey.storage.cassandra.cluster.port import Kind as Says
from queuey.storage.cassandra.groups import CassandraGroups, GroupTables


class Kind(Enum):
    """What a call does, which decides what may be said of it."""

    READ = "read"
    WRITE = "write"
    SWAP = "compare-and-set"
    COMMAND = "commands of a group"


class Fate(Enum):
    """What becomes of a call."""

    DONE = "done"
    REFUSED = "refused"
    LOST = "lost before it was done"
    UNANSWERED = "done, and not answered"
    LATE = "done after it was said not to be known"


FATES: Final = {
    Kind.READ: ((Fate.DONE, 97), (Fate.REFUSED, 3)),
    Kind.WRITE: ((Fate.DONE, 90), (Fate.REFUSED, 4), (Fate.LOST, 3), (Fate.UNANSWERED, 3)),
    Kind.SWAP: ((Fate.DONE, 84), (Fate.REFUSED, 4), (Fate.LOST, 4), (Fate.UNANSWERED, 4), (Fate.LATE, 4)),
    Kind.COMMAND: ((Fate.DONE, 86), (Fate.REFUSED, 4), (Fate.LOST, 3), (Fate.UNANSWERED, 4), (Fate.LATE, 3)),
}
"""How often each comes about, of 100."""

WRITES: Final = frozenset(("append", "append_once", "replace", "put", "remove", "purge"))
"""The calls of messages that change something; those of queues are read here only."""


@attrs.define(eq=False)
class _Held:
    """One call that waits."""

    front: int
    kind: Kind
    begin: Callable[[], Deferred[Any]]
    answer: Deferred[Any]


class Calls:
    """All calls that are under way.

    :ivar broken: whether calls may fail.
    :ivar fates: how often each came about that is not what is wanted.
    """

    def __init__(self, random: Random) -> None:
        self.broken = True
        self.fates: Counter[Fate] = Counter()
        self._random = random
        self._held: list[_Held] = []
        self._dead: set[int] = set()
        self._late: list[Callable[[], Deferred[Any]]] = []

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._held)

    def hold(self, front: int, kind: Kind, begin: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        """Let a call wait for its turn; cancelled before that, it is not begun. Those of the dead wait for ever."""
        answer: Deferred[Any] = Deferred()
        if front not in self._dead:
            self._held.append(_Held(front, kind, begin, answer))
        return answer

    def release(self) -> None:
        """It is some call's turn."""
        held = self._held.pop(self._random.randrange(len(self._held)))
        if held.answer.called:
            return
        if held.kind in (Kind.SWAP, Kind.COMMAND):
            self.be_done_late()
        self._meet(held, self._fate(held.kind))

    def kill(self, front: int) -> None:
        """A front end ends: what it has under way is done, or not, and no client gets the outcome."""
        self._dead.add(front)
        mine = [held for held in self._held if held.front == front]
        self._held = [held for held in self._held if held.front != front]
        for held in mine:
            if held.kind is not Kind.READ and not held.answer.called and self._random.random() < 0.5:
                held.begin().addErrback(_passed_over)

    def calm(self) -> None:
        """Let nothing fail any more."""
        self.broken = False
        self.be_done_late()

    def _fate(self, kind: Kind) -> Fate:
        fates = FATES[kind]
        (fate,) = self._random.choices([one for one, _ in fates], [share for _, share in fates])
        if fate is Fate.DONE or not self.broken:
            return Fate.DONE
        self.fates[fate] += 1
        return fate

    def be_done_late(self) -> None:
        """Do what is late: writes are done one after another, and what reads serially waits for them."""
        while self._late:
            self._late.pop(0)().addErrback(_passed_over)

    def _meet(self, held: _Held, fate: Fate) -> None:
        if fate is Fate.DONE:
            held.begin().addCallbacks(held.answer.callback, held.answer.errback)
            return
        if fate is Fate.UNANSWERED:
            held.begin().addErrback(_passed_over)
        elif fate is Fate.LATE:
            self._late.append(held.begin)
        if fate is Fate.REFUSED:
            held.answer.errback(Unavailable("The store refuses this, for a test.", applied="no"))
        elif held.kind is Kind.SWAP:
            held.answer.callback(Outcome.UNKNOWN)
        else:
            held.answer.errback(Unavailable("The store does not say, for a test.", applied="unknown"))


def _passed_over(_: object) -> None:
    """No client gets the outcome."""


@implementer(IStateStore)
class UnreliableStates:
    """Its states."""

    def __init__(self, states: IStateStore, calls: Calls, front: int) -> None:
        self._states = states
        self._calls = calls
        self._front = front

    def read(self, key: str) -> Deferred[State | None]:
        """See IStateStore."""
        return self._calls.hold(self._front, Kind.READ, lambda: self._states.read(key))

    def replace(self, key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        """See IStateStore."""
        return self._calls.hold(self._front, Kind.SWAP, lambda: self._states.replace(key, version, value, fresh))


@implementer(IGroupStore)
class UnreliableGroups:
    """Its groups."""

    def __init__(self, store: Callable[[], IStore], calls: Calls, front: int) -> None:
        self._store = store
        self._calls = calls
        self._front = front

    def run(self, queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Deferred[Ran]:
        """See IGroupStore."""
        groups = self._store().groups
        return self._calls.hold(self._front, Kind.COMMAND, lambda: groups.run(queue, group, terms, commands))

    def follow_writes(self) -> bool:
        """See IGroupStore; the calls that are held up lose their order."""
        return False

    def look(self, queue: Queue, group: Group, partition: int, ids: Sequence[MessageId] = ()) -> Deferred[View]:
        """See IGroupStore."""
        groups = self._store().groups
        return self._calls.hold(self._front, Kind.READ, lambda: groups.look(queue, group, partition, ids))

    def end(self, incarnation: int, gid: bytes, partitions: int) -> Deferred[None]:
        """See IGroupStore."""
        groups = self._store().groups
        return self._calls.hold(self._front, Kind.WRITE, lambda: groups.end(incarnation, gid, partitions))


class UnreliableSession:
    """Its tables of group states."""

    def __init__(self, session: ICQLSession, calls: Calls, front: int) -> None:
        self._session = session
        self._calls = calls
        self._front = front

    def execute(self, statement: Statement, values: Sequence[Any], level: Level) -> Deferred[Sequence[Row]]:
        """See ICQLSession; a serial read decides what is under way before it."""

        def execute() -> Deferred[Sequence[Row]]:
            if level is Level.SERIAL:
                self._calls.be_done_late()
            return self._session.execute(statement, values, level)

        return self._calls.hold(self._front, Kind.READ if statement.kind is Says.READ else Kind.WRITE, execute)

    def transact(self, statement: Statement, values: Sequence[Any]) -> Deferred[TransactionResult]:
        """See ICQLSession."""

        def known(verdict: TransactionResult | Outcome) -> TransactionResult:
            if isinstance(verdict, TransactionResult):
                return verdict
            raise Unavailable("The store does not say, for a test.", applied="unknown")

        held = self._calls.hold(self._front, Kind.SWAP, lambda: self._session.transact(statement, values))
        return held.addCallback(known)


class _Latest:
    """The states of a store as it is now."""

    def __init__(self, states: Callable[[], IStateStore]) -> None:
        self._states = states

    def __getattr__(self, name: str) -> Any:
        return getattr(self._states(), name)


class UnreliableStore:
    """One front end's way to the store: every other method of it is the store's own, held back.

    :param store: as it is now; it may be opened again.
    :param session: if given, states of groups are in these tables of Cassandra; else the store itself has them.
    :param now: the wall clock, if there is a session.
    """

    def __init__(
        self,
        store: Callable[[], IStore],
        calls: Calls,
        front: int,
        session: ICQLSession | None = None,
        now: Callable[[], Ticks] = lambda: Ticks(0),
        seed: int = 0,
    ) -> None:
        self._store = store
        self._calls = calls
        self._front = front
        self.capabilities = store().capabilities
        self.groups: IGroupStore = UnreliableGroups(store, calls, front)
        if session is not None:
            random = Random(f"groups of front end {front} of {seed}")
            tables = GroupTables(cast(ICQLSession, UnreliableSession(session, calls, front)), "ks")
            store_of_states = cast(IStore, self)
            self.groups = CassandraGroups(
                store_of_states, self._states(), tables, lambda: None, now, random.randbytes, lambda: succeed(None)
            )

    def _states(self) -> IStateStore:
        return cast(IStateStore, _Latest(lambda: self.states))

    @property
    def states(self) -> IStateStore:
        """See IStore."""
        return UnreliableStates(self._store().states, self._calls, self._front)

    def subscribe(self, arrived: Callable[[int], None]) -> float | None:
        """See IStore; others write too."""
        return 0.25

    def __getattr__(self, name: str) -> Callable[..., Deferred[Any]]:
        kind = Kind.WRITE if name in WRITES else Kind.READ

        def call(*arguments: Any) -> Deferred[Any]:
            return self._calls.hold(self._front, kind, lambda: getattr(self._store(), name)(*arguments))

        return call
