"""Crowds on several processes that share a store: whose calls come first is left to chance, and all changes succeed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, cast

from twisted.internet.defer import Deferred

from queuey.core.groups.directory import GroupDirectory
from queuey.core.groups.group_changes import GroupChanges
from queuey.core.policies import GivenPolicies
from queuey.deferreds import deferred
from queuey.interfaces import IStore
from queuey.model.queues.queue import Queue
from tests.core.groups.group_fronts import GroupCase, OnCassandra, OnSQLite, anyhow
from tests.histories.groups.unreliable import Calls, UnreliableStore

PROCESSES = 2
CLIENTS = 12
"""Of each process."""


class CrowdTests(GroupCase):
    """Clients with groups of their own on one queue."""

    seeds: Sequence[int] = range(8)

    def crowd(self, seed: int, queue: Queue) -> list[Any]:
        """Let all of them make and delete their groups; what came of each."""
        calls = Calls(Random(seed))
        calls.broken = False
        policies = GivenPolicies(lambda: {"app": self.world.policy})
        results: list[Any] = []
        for number in range(PROCESSES):
            store = cast(IStore, UnreliableStore(lambda: self.world.store, calls, number))
            process = GroupDirectory(store, policies, self.world.clock, self.world.now, self.world.random)
            for client in range(CLIENTS):
                self.client(process, queue, f"p{number}c{client}").addBoth(results.append)
        while len(results) < PROCESSES * CLIENTS:
            if calls:
                calls.release()
            else:
                self.world.clock.advance(0.01)  # all who are left pause
        while calls:
            calls.release()
        return results

    @deferred
    async def client(self, process: GroupDirectory, queue: Queue, name: str) -> str:
        """Make a group, change it, and delete it."""
        group, made = await process.put(queue, name, GroupChanges(lease=7), anyhow)
        found, again = await process.put(queue, name, GroupChanges(lease=7), anyhow)
        deleted: Deferred[None] = process.delete(queue, found, anyhow)
        await deleted
        return f"{made}, {again}, {group == found}"

    def test_all_succeed(self) -> None:
        queue = self.world.make(partitions=2)
        for seed in self.seeds:
            began = self.world.clock.seconds()
            results = self.crowd(seed, queue)
            self.assertEqual(results, ["True, False, True"] * len(results), seed)
            self.assertLess(self.world.clock.seconds() - began, 5)
            front = self.world.front()
            self.assertEqual(self.successResultOf(front.directory.names(queue)), ())
            self.assertEqual(self.successResultOf(front.directory._rows.names(queue.incarnation)), frozenset())


class CrowdOnSQLiteTests(OnSQLite, CrowdTests):
    """The same on the embedded store."""

    seeds = range(3)


class CrowdOnCassandraTests(OnCassandra, CrowdTests):
    """The same on a cluster."""

    seeds = range(3)
