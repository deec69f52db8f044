"""Settled pages over v2 again on the other stores; and in memory without anything that is kept."""

from __future__ import annotations

from itertools import count
from random import Random

from queuey.interfaces import IStore
from queuey.storage.memory import MemoryStore
from tests.http.api_support import ApiTestCase
from tests.http.v1.test_stores import OnCassandra, OnSQLite
from tests.http.v2.reading import test_settled

run_in = "test-long"


class InMemoryAlone(ApiTestCase):
    """The memory store, of which nothing is kept."""

    def make_store(self) -> IStore:
        numbers, told = count(1), self.clock.seconds
        return MemoryStore(self.clock, told, 1 << 28, 1 << 40, 7, lambda: f"v{next(numbers)}", Random(7).getrandbits)


class SQLiteSettledTests(OnSQLite, test_settled.SettledTests):
    pass


class SQLiteRandomTests(OnSQLite, test_settled.RandomTests):
    examples = 20


class AloneSettledTests(InMemoryAlone, test_settled.SettledTests):
    pass


class AloneRandomTests(InMemoryAlone, test_settled.RandomTests):
    examples = 20


class CassandraSettledTests(OnCassandra, test_settled.SettledTests):
    pass


class CassandraRandomTests(OnCassandra, test_settled.RandomTests):
    examples = 10
