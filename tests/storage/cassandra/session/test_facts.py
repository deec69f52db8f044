"""Facts that are read from a cluster, and the settings that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Unavailable
from queuey.storage.cassandra.cluster.facts import Facts, find_out
from queuey.storage.cassandra.cluster.port import Level, Node, Row, Statement, StatementRefused
from tests.storage.cassandra.row_tables import RowTables

FACTS = Facts("5.0.8", 1, frozenset({"batch"}), 4 << 20, 1 << 20, False)


Told = Mapping[str, str | None] | Exception


class Nodes(RowTables):
    """Nodes with settings, or with the failure that one answers with."""

    def __init__(self, settings: Sequence[Told], replication: Mapping[str, str]) -> None:
        super().__init__(lambda: 0.0)
        self.settings = settings
        self.replication = replication

    def nodes(self) -> Sequence[Node]:
        return [Node(str(number), "dc") for number in range(len(self.settings))]

    def execute(self, statement: Statement, values: Sequence[Any], level: Level) -> Deferred[Sequence[Row]]:
        return succeed([(self.replication,)])

    def execute_on(self, node: Node, statement: Statement, values: Sequence[Any]) -> Deferred[Sequence[Row]]:
        found = self.settings[int(node.address)]
        return fail(found) if isinstance(found, Exception) else succeed(list(found.items()))


class FindingTests(SynchronousTestCase):
    def found(self, settings: Sequence[Any], replication: Mapping[str, str]) -> Facts:
        return self.successResultOf(Deferred.fromCoroutine(find_out(Nodes(settings, replication), "5.0.8", "ks")))

    def test_the_least_of_all_nodes(self) -> None:
        one = {"commitlog_sync": "batch", "batch_size_fail_threshold": "4MiB", "max_mutation_size": "4096KiB"}
        other = {"commitlog_sync": "periodic", "batch_size_fail_threshold": "50KiB", "max_mutation_size": "1GiB"}
        far = "storage_compatibility_mode"
        found = self.found(
            [{**one, far: "NONE"}, {**other, far: "NONE"}], {"class": "NetworkTopologyStrategy", "a": "3", "b": "2/1"}
        )
        self.assertEqual(found, Facts("5.0.8", 5, frozenset({"batch", "periodic"}), 50 << 10, 4 << 20, True))
        found = self.found([{**one, far: "NONE"}, {**other, far: None}], {"class": "SimpleStrategy", "factor": "1"})
        self.assertFalse(found.far_expiry)

    def test_nodes_that_do_not_tell(self) -> None:
        found = self.found([StatementRefused("no such table"), Unavailable("gone")], {"class": "x", "a": "1"})
        self.assertEqual(found, Facts("5.0.8", 1, frozenset(), None, None, False))


class RefusalTests(SynchronousTestCase):
    def test_one_copy_that_is_synced_later(self) -> None:
        for replicas, syncs, refused in (
            (1, {"periodic"}, True),
            (1, {"batch", "periodic"}, True),
            (1, {"batch"}, False),
            (1, {"group"}, False),
            (1, set(), False),
            (2, {"periodic"}, False),
        ):
            facts = attrs.evolve(FACTS, replicas=replicas, syncs=frozenset(syncs))
            self.assertEqual(facts.refusal("ks") is not None, refused, facts)

    def test_promises(self) -> None:
        text = FACTS.capabilities()
        self.assertIn("is on the disks", text.durable)
        self.assertIn("1 copy of each row", text.durable)
        self.assertTrue(text.survives_power_loss)
        text = attrs.evolve(FACTS, replicas=3, syncs=frozenset({"periodic"})).capabilities()
        self.assertIn("may lose it when they die", text.durable)
        self.assertIn("3 copies of each row", text.durable)
        self.assertFalse(text.survives_power_loss)
        self.assertFalse(attrs.evolve(FACTS, syncs=frozenset()).capabilities().survives_power_loss)
