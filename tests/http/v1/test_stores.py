"""All of v1 again on the other stores, since clients must not see which one there is."""

from __future__ import annotations

from pathlib import Path

from queuey import config
from queuey.errors import ConfigurationError
from queuey.interfaces import IStore
from queuey.storage.caching import CachedStore
from queuey.storage.sqlite import SQLiteSettings, SQLiteStore
from tests.http.api_support import ApiTestCase
from tests.http.v1 import test_messages, test_queues, test_refusals
from tests.storage.cassandra.store_support import StoreSubject
from tests.storage.runners import Inline
from tests.storage.subjects import CLOCK_SEQUENCE, NODE, random_bits, versions

run_in = "test-long"


class OnSQLite(ApiTestCase):
    """SQLite, with both of its threads in the one that asks."""

    _data: Path

    def make_store(self) -> IStore:
        self._data = Path(self.mktemp())
        return self._open()

    def _open(self) -> IStore:
        told = self.clock.seconds
        settings = SQLiteSettings(relaxed=True, cache_bytes=1 << 20)
        store = SQLiteStore(
            self._data, settings, self.clock, told, Inline(), NODE, CLOCK_SEQUENCE, versions(), random_bits()
        )
        return CachedStore(store, 100)

    def make_store_again(self) -> IStore:
        """Another store of the same data, as after a restart."""
        self.successResultOf(self.store.close())
        return self._open()


class OnCassandra(ApiTestCase):
    """The store on Cassandra, with tables in memory."""

    _subject: StoreSubject

    def make_store(self) -> IStore:
        self._subject = StoreSubject(self.clock.seconds)
        return self._subject.store

    def make_store_again(self) -> IStore:
        """Another store of the same tables, as after a restart."""
        self.successResultOf(self._subject.reopen())
        return self._subject.store


class SQLitePostTests(OnSQLite, test_messages.PostTests):
    pass


class SQLiteBatchTests(OnSQLite, test_messages.BatchTests):
    pass


class SQLiteReadTests(OnSQLite, test_messages.ReadTests):
    pass


class SQLiteLookupTests(OnSQLite, test_messages.LookupTests):
    pass


class SQLiteCreateTests(OnSQLite, test_queues.CreateTests):
    pass


class SQLiteChangeTests(OnSQLite, test_queues.ChangeTests):
    pass


class SQLiteListTests(OnSQLite, test_queues.ListTests):
    pass


class SQLiteDeleteTests(OnSQLite, test_queues.DeleteTests):
    pass


class SQLiteCallerTests(OnSQLite, test_refusals.CallerTests):
    pass


class SQLiteOrderTests(OnSQLite, test_refusals.OrderTests):
    pass


class SQLitePathTests(OnSQLite, test_refusals.PathTests):
    pass


class SQLiteLimitTests(OnSQLite, test_refusals.LimitTests):
    pass


class CassandraPostTests(OnCassandra, test_messages.PostTests):
    pass


class CassandraBatchTests(OnCassandra, test_messages.BatchTests):
    pass


class CassandraReadTests(OnCassandra, test_messages.ReadTests):
    pass


class CassandraLookupTests(OnCassandra, test_messages.LookupTests):
    pass


class CassandraCreateTests(OnCassandra, test_queues.CreateTests):
    pass


class CassandraChangeTests(OnCassandra, test_queues.ChangeTests):
    pass


class CassandraListTests(OnCassandra, test_queues.ListTests):
    pass


class CassandraDeleteTests(OnCassandra, test_queues.DeleteTests):
    pass


class CassandraCallerTests(OnCassandra, test_refusals.CallerTests):
    pass


class CassandraOrderTests(OnCassandra, test_refusals.OrderTests):
    pass


class CassandraPathTests(OnCassandra, test_refusals.PathTests):
    pass


class CassandraLimitTests(OnCassandra, test_refusals.LimitTests):
    run_in = "test"

    def test_max_bytes(self) -> None:
        """What a cluster cannot keep is refused at the start."""
        file = Path(self.mktemp())
        file.write_text("[storage]\nbackend = cassandra\n[application:app]\nmax_bytes = 1KiB\n")
        error = self.assertRaises(ConfigurationError, config.load, file)
        self.assertIn("max_bytes", error.text)
