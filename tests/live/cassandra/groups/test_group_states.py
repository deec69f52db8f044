"""States of groups on a real node: several front ends at once, snapshots, and very many messages in flight."""

from __future__ import annotations

import gc
import sys
import uuid
from collections.abc import Callable
from itertools import pairwise
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import TestCase

from queuey.errors import NoSuchGroup
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.snapshot import GroupState, state_of
from queuey.service.process.tuning import collect_less
from queuey.storage.cassandra.cluster.cql.session import CQLSession
from queuey.storage.cassandra.cluster.port import Kind, Level, Statement
from queuey.storage.cassandra.groups import rewriting
from queuey.storage.cassandra.groups.cells import remove_state
from tests.contracts.subject import Wall
from tests.live.cassandra.shared import new_keyspace
from tests.live.cassandra.store.test_contracts import connected, reactor, sleep
from tests.storage.cassandra.groups.test_groups_faults import Front, close, lease

MANY = 100_000
AT_ONCE = 10_000


class GroupStatesTests(TestCase):
    """Front ends that share a state."""

    timeout = 300
    keyspace: ClassVar[str] = new_keyspace()

    async def setUp(self) -> None:  # type: ignore[override]
        self.session: CQLSession = await connected(self, self.keyspace)
        self.key = uuid.uuid4().hex

    def front(self, seed: int) -> Front:
        return Front(self.session, Wall(), seed, keyspace=self.keyspace, key=self.key, pause=lambda: sleep(0))

    async def stored(self) -> GroupState:
        return state_of(await self.front(99).cell.read())

    async def test_two_at_the_same_time(self) -> None:
        fronts = [self.front(1), self.front(2)]
        waiting: list[Deferred[int]] = []
        for number in range(1, 201):
            waiting.append(fronts[number % 2].cell.change(lease(number)))
            if not number % 7:
                await sleep(0.005)
        firsts = await gatherResults(waiting)
        self.assertEqual(sorted(firsts), list(range(1, 201)))
        self.assertEqual(len((await self.stored()).open), 200)

    async def test_snapshots(self) -> None:
        self.patch(rewriting, "LEAST", 2000)
        front = self.front(1)
        for number in range(1, 301):
            await front.cell.change(lease(number))
            if number % 3:
                await front.cell.change(close(number))
        self.assertEqual(await self.stored(), state_of(await front.cell.read()))
        count = Statement(f"SELECT count(*) FROM {self.keyspace}.group_events WHERE key = ?", Kind.READ)
        ((rows,),) = await self.session.execute(count, (self.key,), Level.QUORUM)
        self.assertLess(rows, 400)

    async def test_a_state_that_is_removed_while_it_is_changed(self) -> None:
        front = self.front(1)
        await front.cell.change(lease(1))
        await remove_state(self.front(2).shop.tables, self.key, front.shop.now())
        await self.assertFailure(front.cell.change(lease(2)), NoSuchGroup)
        await self.assertFailure(self.front(3).cell.change(lease(2)), NoSuchGroup)

    async def test_very_many_in_flight(self) -> None:
        """They are read back in pieces, with the reactor going on in between."""
        front = self.front(1)
        for start in range(1, MANY, AT_ONCE):
            await front.cell.change(lease(*range(start, start + AT_ONCE)))
        for number in range(1, 2000):  # enough for a snapshot of all of them
            await front.cell.change(self.touch(number))
            if front.cell._held is not None and front.cell._held.head is not None and front.cell._held.head.base:
                break
        turns: list[float] = []
        collect_less()
        self.addCleanup(gc.unfreeze)
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        watching = LoopingCall(lambda: turns.append(reactor.seconds()))
        watching.start(0.001)
        index = await self.front(99).cell.read()
        watching.stop()
        state = state_of(index)
        longest = max(after - before for before, after in pairwise(turns))
        sys.stdout.write(f"{MANY} in flight: the reactor stopped for {1000 * longest:.0f} ms at the most\n")
        self.assertEqual(len(state.open), MANY)
        self.assertEqual(state, state_of(await front.cell.read()))
        self.assertGreater(len(turns), 10)

    def touch(self, number: int) -> Callable[[GroupIndex], Any]:
        """A change of many messages that leaves as many open."""
        return lease(*range(number % 10 * AT_ONCE + 1, (number % 10 + 1) * AT_ONCE + 1))
