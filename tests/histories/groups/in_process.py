"""The same minds in one process, on a store whose calls wait for their turn, in an order that a seed decides.

Everything that may come in between two calls comes in between. There are front ends that share nothing but the store;
one may end at any moment, with what it has under way done or not, and never answered.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Coroutine, Sequence
from itertools import count
from random import Random
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from queuey.core.contention import Retries
from queuey.core.groups.rows import GroupRows
from queuey.core.policies import GivenPolicies
from queuey.core.queues import QueueChanges, QueueDirectory
from queuey.errors import KeyInUse, QueueyError, Unavailable
from queuey.interfaces import IStore
from queuey.model.applications.policy import Ack
from queuey.model.groups.settings import Group
from queuey.model.messages.message import Message
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import Merge
from queuey.model.timeid import from_seconds
from tests.histories.groups.history import (
    End,
    Fault,
    GroupHistory,
    Plan,
    letter_of,
)
from tests.histories.groups.in_process_parts import (
    APPLICATION,
    FARTHEST,
    JUMPS,
    KILLS,
    POLICY,
    QUEUE,
    STEP,
    ClockedSubject,
    Front,
    Hand,
    T,
    changes_of,
    front_of,
    result_of,
    stored_of,
)
from tests.histories.groups.in_process_requests import Request
from tests.histories.groups.intents import Intent, Rest
from tests.histories.groups.minds import DEAD, PARTITIONS, PLANS, QUIET, DrainMind, SenderMind, Told
from tests.histories.groups.several import minds
from tests.histories.groups.unreliable import Calls, Fate, UnreliableStore
from tests.histories.groups.view import View
from tests.live.cassandra.histories import Outcome
from tests.storage.cassandra.row_tables import RowTables
from tests.storage.cassandra.store.store_support import StoreSubject


class World:
    """One queue or several, their groups, two front ends, and all clients.

    :param subject: whose store it is; it answers at once.
    :param tables: if given, states of groups are in these tables of Cassandra; else the store has them.
    :ivar history: what the clients did and saw.
    """

    def __init__(
        self,
        subject: ClockedSubject,
        seed: int,
        plans: Sequence[Plan] = PLANS,
        fronts: int = 2,
        tables: RowTables | None = None,
    ) -> None:
        self.history = GroupHistory()
        self._subject = subject
        self._plans = plans
        self._seed = seed
        self._random = Random(seed)
        self._calls = Calls(self._random)
        self._tables = subject.session.rows if isinstance(subject, StoreSubject) else tables
        self._steps = 0
        self._ahead = 0.0
        self._groups: dict[str, Group] = {}
        self._homes: dict[str, Queue] = {}
        self._numbers = count()
        self._fronts = [self._front() for _ in range(fronts)]
        self._hands = [Hand(mind, 0) for mind in minds(plans, seed, 2, 2.0)]
        self._queues = self._make()
        for queue in self._queues:
            names = [f"p{n}" if queue == QUEUE else f"p{n}-{queue}" for n in range(2)]
            self._hands += [Hand(SenderMind(name, Random(f"{name} of {seed}"), 0.3, queue), 0) for name in names]

    @property
    def fates(self) -> Counter[Fate]:
        """How often each came about of what is not wanted."""
        return self._calls.fates

    # Time

    def now(self) -> float:
        """By a clock that is never set; no two things happen at one time."""
        self._steps += 1
        return self._subject.clock.seconds() + self._steps * STEP

    def wall(self) -> float:
        return self._subject.wall.seconds

    # What there is

    def _front(self) -> Front:
        number = next(self._numbers)
        now, calls = lambda: from_seconds(self.wall()), self._calls
        store = cast(IStore, UnreliableStore(lambda: self._subject.store, calls, number, self._tables, now, self._seed))
        random = Random(f"front end {number} of {self._seed}")  # of its own: some of it may go on after its end
        return front_of(number, store, self._subject.clock, self.wall, random)

    def _make(self) -> dict[str, Queue]:
        """The queues, that of dead letters, and the groups."""
        self._calls.broken = False
        policies = GivenPolicies(lambda: {APPLICATION: POLICY})
        store = self._subject.store
        bytes = self._random.randbytes
        retries = Retries(self._subject.clock, bytes)
        directory = QueueDirectory(store, policies, GroupRows(store.states, bytes, store.groups), retries)
        found: dict[str, Queue] = {}
        for name in dict.fromkeys(plan.queue or QUEUE for plan in self._plans):
            found[name], _ = result_of(directory.create(APPLICATION, name, QueueChanges(partitions=PARTITIONS)))
        result_of(directory.create(APPLICATION, DEAD, QueueChanges()))
        for plan in self._plans:
            queue = self._homes[plan.name] = found[plan.queue or QUEUE]
            made = self._fronts[0].groups.put(queue, plan.name, changes_of(plan), lambda _: None)
            self._groups[plan.name], _ = self._finish(made)
        self._calls.broken = True
        return found

    def queue(self, name: str | None) -> Queue:
        """A queue by its name, or the only one."""
        return self._queues[name or QUEUE]

    def home(self, group: str) -> Queue:
        """The queue of a group."""
        return self._homes[group]

    def _finish(self, waiting: Deferred[T] | Coroutine[Deferred[Any], Any, T]) -> T:
        """Let calls take their turns until this is answered."""
        found: list[Any] = []
        ensureDeferred(waiting).addBoth(found.append)
        while not found:
            self._calls.release() if self._calls else self._pass_time(0.5)
        if isinstance(found[0], Failure):
            found[0].raiseException()
        return cast(T, found[0])

    # One step after another

    def run(self, steps: int) -> View:
        """So many steps with everything that may go wrong; then the groups are emptied.

        :return: the history, to be judged.
        """
        for _ in range(steps):
            self._step()
            if self._random.random() < KILLS:
                self._kill(self._random.randrange(len(self._fronts)))
            if self._random.random() < JUMPS and self._subject.clock_goes_back:
                self._set_clock(self._random.choice((-2.0, 0.0, 1.0, 3.0)))
        self._calls.calm()
        self._hands = [hand for hand in self._hands if hand.busy]
        self._work_off(steps)
        self._hands = [Hand(DrainMind(plan, QUIET + FARTHEST), place % 2) for place, plan in enumerate(self._plans)]
        self._work_off(2000 + 3 * steps)
        return View(self.history, self._end(), self._plans, slack=0.0)

    def _work_off(self, steps: int) -> None:
        """Run until every client is done; clients that are no drainers begin nothing new.

        :param steps: that it may take.
        """
        for _ in range(steps):
            if not self._hands:
                return
            self._step()
            self._hands = [
                hand for hand in self._hands if hand.busy or (isinstance(hand.mind, DrainMind) and not hand.mind.over)
            ]
        self.history.wrong(f"{[hand.mind.name for hand in self._hands]} did not come to an end")

    def _step(self) -> None:
        now = self._subject.clock.seconds()
        ready = [hand for hand in self._hands if hand.busy is None and hand.rests <= now and not hand.mind.over]
        choice = self._random.random()
        if self._calls and (choice < 0.7 or not ready):
            self._calls.release()
        elif ready and choice < 0.95:
            self._begin(self._random.choice(ready))
        else:
            stands_still = self._random.random() < 0.2
            self._pass_time(self._random.uniform(0.5, 1.5) if stands_still else self._random.uniform(0.0, 0.2))

    def _pass_time(self, seconds: float) -> None:
        result_of(self._subject.advance(seconds))

    def _kill(self, place: int) -> None:
        """A front end ends, and another one takes its place: clients that sent it requests do not know the outcome."""
        at = self.now()
        self.history.broken(Fault("kill", at, at))
        self._calls.kill(self._fronts[place].number)
        self._fronts[place] = self._front()
        for hand in self._hands:
            if hand.busy is not None and hand.front == place:
                intent, invoked = hand.busy
                self._over(hand, intent, self._unknown(hand, intent, invoked, Outcome.UNKNOWN))

    def _set_clock(self, ahead: float) -> None:
        """The wall clock is set, so many seconds off from where it began to be."""
        self._subject.wall.seconds += ahead - self._ahead
        self._ahead = ahead
        at = self.now()
        self.history.broken(Fault("clock set", at, at, sets_clock=True))

    # What clients do

    def _begin(self, hand: Hand) -> None:
        intent = hand.mind.next(self._subject.clock.seconds())
        if isinstance(intent, Rest):
            hand.rests = self._subject.clock.seconds() + intent.seconds
            return
        hand.front = self._random.randrange(len(self._fronts))
        hand.busy = busy = (intent, self.now())

        def over(result: Told | Failure) -> None:
            if hand.busy is busy:
                told = self._failed(hand, intent, busy[1], result) if isinstance(result, Failure) else result
                self._over(hand, intent, told)

        doing = Request(self, hand, self._fronts[hand.front], busy[1])
        Deferred.fromCoroutine(doing.do(intent)).addBoth(over)

    def _over(self, hand: Hand, intent: Intent, told: Told) -> None:
        hand.busy = None
        self.history.add(told.operation, *told.settled)
        hand.mind.heard(intent, told)

    def _failed(self, hand: Hand, intent: Intent, invoked: float, failure: Failure) -> Told:
        error = failure.value
        if not isinstance(error, QueueyError):
            self.history.wrong(f"{hand.mind.name}: {failure.getTraceback()}")
        elif error.applied == "no":
            if not isinstance(error, Unavailable | KeyInUse):
                self.history.wrong(f"{hand.mind.name}: {error!r} of {intent}")
            return self._unknown(hand, intent, invoked, Outcome.FAILED)
        return self._unknown(hand, intent, invoked, Outcome.UNKNOWN)

    def _unknown(self, hand: Hand, intent: Intent, invoked: float, outcome: Outcome) -> Told:
        """What is noted of what has no answer, or a bad one."""
        doing = Request(self, hand, self._fronts[hand.front], invoked)
        return Told(doing.operation(intent, outcome), settled=doing.settled(intent, outcome))

    # The end

    def _end(self) -> End:
        found = [
            stored_of(queue, message) for queue in self._queues.values() for message in self._all(queue, PARTITIONS)
        ]
        (dead,) = result_of(self._subject.store.describe(APPLICATION, (DEAD,)))
        assert dead is not None
        letters = [
            letter_of(json.loads(message.content.headers or b"{}"), message.content.body.decode())
            for message in self._all(dead, 1)
        ]
        aside = {
            name: sum(one.set_aside for one in self._finish(self._fronts[0].groups.lag(self._homes[name], group)))
            for name, group in self._groups.items()
        }
        return End(found, letters, aside)

    def _all(self, queue: Queue, partitions: int) -> list[Message]:
        found: list[Message] = []
        merge = Merge(tuple(range(1, partitions + 1)), limit=1000)
        while True:
            slice = result_of(self._subject.store.read_merged(queue, merge, Ack.MAJORITY))
            found += slice.messages
            if slice.over:
                return found
            merge = attrs.evolve(merge, lower=slice.position)
