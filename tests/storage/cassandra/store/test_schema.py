"""Making the tables, one front end at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import ConfigurationError, Unavailable
from queuey.storage.cassandra.cluster.port import Kind, Level, Row, Statement, StatementRefused
from queuey.storage.cassandra.schema import Schema, SchemaSettings
from queuey.storage.cassandra.scripts import column_added, replication_cql, scripts, table_id, whole
from tests.storage.cassandra.row_tables import Cell, RowTables


class Cluster:
    """What several sessions share."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.data: dict[str, Any] = {}
        self.tables: dict[str, UUID] = {}
        self.columns: list[tuple[str, str]] = []
        self.made: list[str] = []
        self.refusal: Exception | None = None


class Session(RowTables):
    """A session with a cluster that takes definitions, each after a second."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.clock.seconds, cluster.data)
        self.cluster = cluster

    def execute(self, statement: Statement, values: Sequence[Any], level: Level) -> Deferred[Sequence[Row]]:
        text = statement.text
        if "system_schema.tables" in text:
            return succeed(list(self.cluster.tables.items()))
        if "system_schema.columns" in text:
            return succeed([(column,) for table, column in self.cluster.columns if table == values[1]])
        if "schema_version" in text:
            return succeed([("x",)])
        if statement.kind is Kind.DEFINITION:
            return self.define(text)
        return super().execute(statement, values, level)

    def define(self, text: str) -> Deferred[Any]:
        if self.cluster.refusal is not None:
            return fail(self.cluster.refusal)
        self.cluster.made.append(text.split("(")[0].strip())
        added = column_added(text)
        if added in self.cluster.columns:
            return fail(StatementRefused(f"Invalid column name {added} because it conflicts with an existing column"))

        def made() -> list[Row]:
            if added is not None:
                self.cluster.columns.append(added)
            if text.startswith("CREATE TABLE"):
                name = text.split("ks.")[1].split(" ")[0]
                self.cluster.tables[name] = table_id("ks", name)
            return []

        return deferLater(self.cluster.clock, 1, made)


class SchemaTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cluster = Cluster()
        self.said: list[str] = []

    def begin(self, number: int = 1, create: bool = True) -> tuple[Session, Deferred[None]]:
        session = Session(self.cluster)
        clock = self.cluster.clock
        schema = Schema(
            session,
            SchemaSettings("ks", 3, create),
            UUID(int=number),
            lambda seconds: deferLater(clock, seconds, lambda: None),
            self.said.append,
        )
        return session, Deferred.fromCoroutine(schema.ensure("5.0.8"))

    def go_on(self, seconds: float) -> None:
        self.cluster.clock.pump([0.25] * int(seconds * 4))

    def test_made_once_by_one_of_four(self) -> None:
        begun = [self.begin(number)[1] for number in range(4)]
        self.go_on(20)
        for answer in begun:
            self.successResultOf(answer)
        tables = [text for text in self.cluster.made if "schema_state" not in text and "KEYSPACE" not in text]
        self.assertEqual(len(tables), len(set(tables)))
        self.assertEqual(len(tables), 13)
        self.assertIn("another front end makes the tables in the keyspace ks", self.said)
        self.assertNotIn(("lock",), dict(self.begin()[0]._rows("schema_state")))

    def test_one_who_died_is_waited_for(self) -> None:
        self.cluster.tables["schema_state"] = table_id("ks", "schema_state")
        self.cluster.data["schema_state"] = {("lock",): {"owner": Cell(UUID(int=9), 30.0)}}
        _, answer = self.begin()
        self.go_on(29)
        self.assertEqual(self.cluster.made, [])
        self.go_on(20)
        self.successResultOf(answer)

    def test_who_loses_the_lock_begins_anew(self) -> None:
        _, answer = self.begin()
        self.go_on(4)
        self.cluster.data["schema_state"][("lock",)] = {"owner": Cell(UUID(int=9), 10.0)}
        made = len(self.cluster.made)
        self.go_on(5)
        self.assertLessEqual(len(self.cluster.made), made + 1)  # the one that was under way
        self.assertNoResult(answer)
        self.go_on(20)
        self.successResultOf(answer)

    def test_there_already(self) -> None:
        self.begin()
        self.go_on(20)
        made = len(self.cluster.made)
        self.successResultOf(self.begin(2)[1])
        self.assertEqual(len(self.cluster.made), made)

    def test_lost_transactions(self) -> None:
        session, answer = self.begin()
        session.faults = ["after"]
        self.go_on(20)
        error = self.failureResultOf(answer, Unavailable)
        self.assertEqual(error.value.applied, "unknown")
        _, answer = self.begin()
        self.go_on(20)
        self.successResultOf(answer)

    def test_without_leave(self) -> None:
        _, answer = self.begin(1, create=False)
        self.go_on(5)
        self.assertNoResult(answer)
        self.assertEqual(self.cluster.made, [])
        self.assertIn("has no tables, version 4 is needed, and create_schema is false", self.said[0])
        self.begin(2)
        self.go_on(20)
        self.successResultOf(answer)

    def test_of_another_program(self) -> None:
        for tables in ({"things": UUID(int=5)}, {"schema_state": UUID(int=5)}):
            self.cluster.tables = tables
            error = self.failureResultOf(self.begin()[1], ConfigurationError)
            self.assertIn("is not Queuey's", str(error.value))

    def test_older(self) -> None:
        """Version 1 is upgraded, also by a daemon that comes after one that died in the middle of it."""
        self.begin()
        self.go_on(20)
        for columns in ([], [("queues", "guarantee")], [("queues", "guarantee"), ("queues", "ttl")]):
            self.cluster.columns, self.cluster.made = list(columns), []
            self.cluster.data["schema_state"][("version",)]["version"] = Cell(1, None)
            _, answer = self.begin(2)
            self.go_on(20)
            self.successResultOf(answer)
            self.assertEqual(self.cluster.columns, [("queues", "guarantee"), ("queues", "ttl"), ("queues", "closed")])
            self.assertEqual(len(self.cluster.made), 6 - len(columns))

    def test_a_column_that_another_one_adds_at_the_same_time(self) -> None:
        self.begin()
        self.go_on(20)
        self.cluster.data["schema_state"][("version",)]["version"] = Cell(1, None)
        self.cluster.columns = [("queues", "guarantee")]
        _, answer = self.begin(2)
        while "ALTER TABLE ks.queues ADD ttl int" not in self.cluster.made[-1:]:
            self.go_on(0.25)
        self.cluster.columns.append(("queues", "ttl"))
        self.go_on(20)
        self.successResultOf(answer)

    def test_newer(self) -> None:
        self.begin()
        self.go_on(20)
        row = self.cluster.data["schema_state"][("version",)]
        row["version"] = Cell(5, None)
        error = self.failureResultOf(self.begin()[1], ConfigurationError)
        self.assertIn("have version 5, made by a newer Queuey; this one knows versions up to 4", str(error.value))

    def test_refused_by_the_cluster(self) -> None:
        self.cluster.refusal = StatementRefused("Unrecognized strategy option {nowhere}")
        error = self.failureResultOf(self.begin()[1], ConfigurationError)
        self.assertIn("'replication_factor': 3}: Unrecognized strategy option", str(error.value))


class ScriptTests(SynchronousTestCase):
    def test_numbers_go_up_by_one(self) -> None:
        self.assertEqual([script.number for script in scripts()], list(range(len(scripts()))))

    def test_every_statement_may_be_repeated(self) -> None:
        for script in scripts():
            for text in script.statements({"keyspace": "ks", "replication": "{}"}):
                if column_added(text) is not None:
                    continue
                self.assertRegex(text, r"\ACREATE (KEYSPACE|TABLE) IF NOT EXISTS ks")
                if "TABLE" in text:
                    name = text.split("ks.")[1].split(" ")[0]
                    self.assertIn(f"WITH id = {table_id('ks', name)}", text)

    def test_columns(self) -> None:
        self.assertEqual(column_added("ALTER TABLE ks.queues ADD ttl int"), ("queues", "ttl"))
        self.assertIsNone(column_added("CREATE TABLE IF NOT EXISTS ks.queues (ttl int)"))

    def test_replication(self) -> None:
        strategy = "{'class': 'NetworkTopologyStrategy', "
        self.assertEqual(replication_cql(3), strategy + "'replication_factor': 3}")
        self.assertEqual(replication_cql(3, ("a", "b")), strategy + "'a': 3, 'b': 3}")
        self.assertEqual(replication_cql((("a", 3), ("b", 2))), strategy + "'a': 3, 'b': 2}")

    def test_the_whole(self) -> None:
        text = whole("ks", 3)
        self.assertNotIn("{keyspace}", text)
        self.assertNotIn("{id of", text)
        versions = [line for line in text.splitlines() if line.startswith("UPDATE")]
        self.assertEqual(versions, [
            "UPDATE ks.schema_state SET version = 1 WHERE k = 'version' IF version = null;",
            "UPDATE ks.schema_state SET version = 2 WHERE k = 'version' IF version = 1;",
            "UPDATE ks.schema_state SET version = 3 WHERE k = 'version' IF version = 2;",
            "UPDATE ks.schema_state SET version = 4 WHERE k = 'version' IF version = 3;",
        ])  # fmt: skip
