"""A cluster that fails at any call of a command: answers are true, and no message is lost or leased twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from queuey.errors import Unavailable
from queuey.model.groups.commands import Command, Finish, GiveBack, Seek, Settle, Take
from queuey.model.groups.entries import TOKEN, Target
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.settings import Group
from queuey.model.groups.snapshot import GroupState, state_of
from queuey.model.groups.terms import Action, Result, Settlement, Terms
from queuey.model.queues.queue import Queue
from queuey.model.telemetry.counts import Metric
from queuey.model.timeid import MessageId
from queuey.storage.cassandra.cluster.port import (
    Bound,
    ICQLSession,
    Kind,
    Level,
    Node,
    Row,
    Statement,
    TransactionResult,
)
from queuey.storage.cassandra.groups import rewriting
from tests.core.groups.group_fronts import LEASE, World
from tests.storage.cassandra.groups.test_groups_faults import Front, GroupsCase, lease, number_of
from tests.storage.cassandra.store.store_support import StoreSubject

TERMS: Final = Terms(dead_letter=Target("dead", 7))
POSTED: Final = 4

CHANGES: Final = 32
"""Messages that are given one by one, which takes several snapshots; of those so many after the outage."""

AFTER: Final = 8


@attrs.frozen
class Outage:
    """What becomes of some calls, one after another.

    :ivar at: the first call that fails, from 1 on.
    :ivar calls: how many fail.
    :ivar done: whether the first one is carried out, though its answer is a time-out.
    :ivar certain: whether the nodes say that they did nothing: too few of them are there, or their disks are full.
    """

    at: int
    calls: int
    done: bool = False
    certain: bool = False


@implementer(ICQLSession)
class FailingSession:
    """A session whose cluster fails at some of its calls.

    :ivar calls: how many there were since the outage was set.
    """

    metrics: Sequence[Metric] = ()

    def __init__(self, session: ICQLSession) -> None:
        self._session = session
        self.calls = 0
        self.outage: Outage | None = None

    def begin(self, outage: Outage | None) -> None:
        """Count from here on."""
        self.calls, self.outage = 0, outage

    @property
    def failed(self) -> bool:
        """Whether any call has failed."""
        return self.outage is not None and self.calls >= self.outage.at

    def _do(self, call: Callable[[], Deferred[Any]], changes: bool) -> Deferred[Any]:
        self.calls += 1
        outage = self.outage
        if outage is None or not outage.at <= self.calls < outage.at + outage.calls:
            return call()
        if outage.done and self.calls == outage.at:
            call().addErrback(lambda failure: None)
        return fail(Unavailable("It fails.", applied="unknown" if changes and not outage.certain else "no"))

    def connect(self) -> Deferred[None]:
        return self._session.connect()

    def nodes(self) -> Sequence[Node]:
        return self._session.nodes()

    def execute(self, statement: Statement, values: Sequence[Any], level: Level) -> Deferred[Sequence[Row]]:
        execute = self._session.execute
        return self._do(lambda: execute(statement, values, level), statement.kind is Kind.WRITE)

    def execute_on(self, node: Node, statement: Statement, values: Sequence[Any]) -> Deferred[Sequence[Row]]:
        return self._session.execute_on(node, statement, values)

    def batch(self, bound: Sequence[Bound], level: Level, logged: bool) -> Deferred[None]:
        return self._do(lambda: self._session.batch(bound, level, logged), True)

    def transact(self, statement: Statement, values: Sequence[Any]) -> Deferred[TransactionResult]:
        return self._do(lambda: self._session.transact(statement, values), True)

    def close(self) -> Deferred[None]:
        return self._session.close()


class Scene:
    """A group with two messages in flight and two that are new, a front end that has it cached, and its cluster."""

    def __init__(self, case: SynchronousTestCase, alone: bool) -> None:
        self.subject = StoreSubject()
        self.world = World(case, self.subject)
        self.subject.store.alone = alone
        self.queue: Queue = self.world.make(partitions=2)
        self.group: Group = self.world.group(self.queue)
        self.ids = self.world.post(self.queue, *[b"%d" % number for number in range(POSTED)])
        self.first = self.subject.store.groups
        self.run(Take((1,), 2, LEASE, 1 << 20))
        self.session = FailingSession(self.subject.session)
        self.subject.session = self.session  # type: ignore[assignment]
        self.case = case
        self.world.run(self.warm(alone))

    async def warm(self, alone: bool) -> None:
        """Have a front end on the failing session."""
        await self.subject.reopen()
        self.subject.store.alone = alone
        await self.subject.store.groups.look(self.queue, self.group, 1)

    def run(self, *commands: Command) -> Any:
        """The answers to commands, which come at once."""
        return self.world.get(self.subject.store.groups.run(self.queue, self.group, TERMS, commands)).answers

    def state(self) -> GroupState:
        """What is stored."""
        return self.world.state(self.queue, self.group)

    def settlement(self, place: int, action: Action = Action.ACK) -> Settle:
        """Of one of the two messages in flight."""
        id = self.ids[place]
        entry, generation = self.state().open[id], self.state().generation
        receipt = Receipt(self.queue.incarnation, generation, 1, id, entry.number)
        return Settle((Settlement(action, receipt),))


def taking(scene: Scene) -> Sequence[Command]:
    return (Take((1, 2), 1, LEASE, 1 << 20),)


def under_a_key(scene: Scene) -> Sequence[Command]:
    return (Take((1, 2), 1, LEASE, 1 << 20, b"k" * TOKEN),)


def settling(scene: Scene) -> Sequence[Command]:
    return (scene.settlement(0),)


def both(scene: Scene) -> Sequence[Command]:
    return (scene.settlement(0), Take((1,), 1, LEASE, 1 << 20))


def rejecting(scene: Scene) -> Sequence[Command]:
    return (scene.settlement(0, Action.REJECT),)


def giving_back(scene: Scene) -> Sequence[Command]:
    return (GiveBack(((1, (_taken(scene, scene.ids[1]),)),)),)


def seeking(scene: Scene) -> Sequence[Command]:
    return (Seek(1, scene.ids[1], b"another!"),)


def _taken(scene: Scene, id: MessageId) -> Any:
    entry = scene.state().open[id]
    return attrs.make_class("Taken", ["id", "number"], frozen=True)(id, entry.number)


COMMANDS: Final = (taking, under_a_key, settling, both, rejecting, giving_back, seeking)


def outages(at: int, lengths: Sequence[int]) -> Iterator[Outage]:
    """All that may happen from a call on."""
    for calls in lengths:
        yield Outage(at, calls, certain=True)
        yield Outage(at, calls)
        yield Outage(at, calls, done=True)


class OutageTests(SynchronousTestCase):
    """Each call of each command fails, alone or with all that follow."""

    alone = False
    lengths: Sequence[int] = (1, 2, 1000)
    dies = False

    def test_what_is_answered_is_true(self) -> None:
        for make in COMMANDS:
            for at in count(1):
                if True not in [self.failing(make, outage) for outage in outages(at, self.lengths)]:
                    self.assertGreater(at, 1)
                    break

    def failing(self, make: Callable[[Scene], Sequence[Command]], outage: Outage) -> bool:
        """Whether a call of these commands has failed."""
        scene = Scene(self, self.alone)
        before, commands, what = scene.state(), make(scene), (make.__name__, outage)
        scene.session.begin(outage)
        running = scene.subject.store.groups.run(scene.queue, scene.group, TERMS, commands)
        failed = scene.session.failed
        scene.session.begin(None)
        answered: list[Any] = []
        running.addCallbacks(answered.append, lambda failure: answered.append(failure))
        self.assertEqual(len(answered), 1, what)
        after = scene.state()
        if isinstance(answered[0], Failure):
            error = answered[0].value
            assert isinstance(error, Unavailable), what
            if error.applied == "no":
                self.assertEqual(bare(after), bare(before), what)
            if outage.certain and outage.calls == 1:
                self.assertNotEqual(error.applied, "unknown", what)
        if self.dies:
            scene.world.get(scene.subject.reopen())
        self.goes_on(scene, make, what)
        return failed

    def goes_on(self, scene: Scene, make: Callable[[Scene], Sequence[Command]], what: object) -> None:
        """The same front end, and another one, give all that is not settled, each the same."""
        if scene.state().moves:
            (id,) = scene.state().moves
            number = scene.state().open[id].number
            scene.run(Finish(1, ((id, number, Result.DONE),)))
        scene.world.advance(3600 - 60)
        given: list[MessageId] = []
        for _ in range(2):  # the first may have looked at what it had cached before the outage
            (take,) = scene.run(Take((1,), 1000, LEASE, 1 << 20))
            given += [one.id for share in take.shares for one in share.taken]
        state = scene.state()
        self.assertEqual(sorted(given), sorted(state.open), what)
        settled = set(scene.ids) - set(state.open)
        expected = {"settling": 1, "both": 1, "rejecting": 1, "seeking": 1}.get(make.__name__, 0)
        self.assertLessEqual(len(settled), expected, what)
        self.assertEqual(len({entry.number for entry in state.open.values()}), len(state.open), what)


def bare(state: GroupState) -> object:
    """What is known of messages; that pointers or places moved on does no harm."""
    return state.generation, state.open, state.acked, state.aside, state.moves


class OutageOfOneTests(OutageTests):
    """The same by the only front end, which trusts what it has cached."""

    alone = True


class DyingTests(OutageTests):
    """The front end dies at each call of each command, before it is done or after, and another one goes on."""

    lengths = (1000,)
    dies = True


class SnapshotOutageTests(GroupsCase):
    """Each call of a front end fails, alone or with some that follow, while it gives messages and writes snapshots."""

    def test_nothing_is_lost(self) -> None:
        """The front end goes on after that, and another one finds all that was answered."""
        self.patch(rewriting, "LEAST", 100)
        self.patch(rewriting, "_ENTRY", 1)
        for at in count(1):
            if True not in [self.failing(outage) for outage in outages(at, (1, 2, 4))]:
                self.assertGreater(at, 50)
                return

    def failing(self, outage: Outage) -> bool:
        """Whether a call has failed."""
        self.setUp()
        session = FailingSession(self.session)
        front = Front(session, self.wall, 7)
        self.change(front, lease(1))
        session.begin(outage)
        answered, refused, left = {1}, set[int](), AFTER
        for number in range(2, CHANGES):
            waiting = front.cell.change(lease(number))
            if isinstance(waiting.result, Failure):
                error = waiting.result.value
                assert isinstance(error, Unavailable)
                if error.applied == "no":
                    refused.add(number)
                waiting.addErrback(lambda failure: None)
            else:
                answered.add(number)
            if session.calls >= outage.at + outage.calls - 1:
                stored = self.stored()
                found = {number_of(id) for id in stored.open}
                self.assertEqual((answered - found, refused & found), (set(), set()), outage)
                left -= 1
                if not left:
                    index = self.successResultOf(Deferred.fromCoroutine(front.cell.read()))
                    self.assertEqual(state_of(index), stored, outage)
                    break
        return session.failed
