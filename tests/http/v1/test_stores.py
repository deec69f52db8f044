"""All of v1 again on the other stores, since clients must not see which one there is."""

from __future__ import annotations

from pathlib import Path

from queuey import config
from queuey.errors import ConfigurationError
from queuey.interfaces import IStore
from queuey.storage.caching import CachedStore
from queuey.storage.sqlite import SQLiteSettings, SQLiteStore
from tests.again import again
from tests.http.api_support import ApiTestCase
from tests.http.v1 import test_lookup, test_messages, test_queues, test_refusals
from tests.storage.cassandra.store.store_support import StoreSubject
from tests.storage.sqlite.runners import Inline
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


class CassandraLimitTests(OnCassandra, test_refusals.LimitTests):
    run_in = "test"

    def test_max_bytes(self) -> None:
        """What a cluster cannot keep is refused at the start."""
        file = Path(self.mktemp())
        file.write_text("[storage]\nbackend = cassandra\n[application:app]\nmax_bytes = 1KiB\n")
        error = self.assertRaises(ConfigurationError, config.load, file)
        self.assertIn("max_bytes", error.text)


again(
    __name__,
    {"SQLite": OnSQLite, "Cassandra": OnCassandra},
    (
        test_messages.PostTests,
        test_messages.BatchTests,
        test_messages.ReadTests,
        test_lookup.LookupTests,
        test_queues.CreateTests,
        test_queues.ChangeTests,
        test_queues.ListTests,
        test_queues.DeleteTests,
        test_refusals.CallerTests,
        test_refusals.OrderTests,
        test_refusals.PathTests,
    ),
)


again(__name__, {"SQLite": OnSQLite}, (test_refusals.LimitTests,))
