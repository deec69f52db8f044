"""Messages over v2 again on the other stores, since clients must not see which one there is."""

from __future__ import annotations

from tests.http.v1.test_stores import OnCassandra, OnSQLite
from tests.http.v2 import test_beside_v1
from tests.http.v2.messages import (
    test_batches,
    test_messages,
    test_once,
    test_purge,
    test_ranges,
    test_single,
    test_traces,
)
from tests.http.v2.reading import test_cursors, test_delays, test_pages, test_waits

run_in = "test-long"


class SQLiteAppendTests(OnSQLite, test_messages.AppendTests):
    pass


class SQLiteOptionTests(OnSQLite, test_messages.OptionTests):
    pass


class SQLiteHeadersTests(OnSQLite, test_messages.HeadersTests):
    pass


class SQLiteBodyTests(OnSQLite, test_messages.BodyTests):
    pass


class SQLiteRoomTests(OnSQLite, test_messages.RoomTests):
    pass


class SQLiteWhoTests(OnSQLite, test_messages.WhoTests):
    pass


class SQLiteBatchTests(OnSQLite, test_batches.BatchTests):
    pass


class SQLiteRepeatTests(OnSQLite, test_once.RepeatTests):
    pass


class SQLiteScopeTests(OnSQLite, test_once.ScopeTests):
    pass


class SQLiteNotRememberedTests(OnSQLite, test_once.NotRememberedTests):
    pass


class SQLiteUnderWayTests(OnSQLite, test_once.UnderWayTests):
    pass


class SQLiteTraceTests(OnSQLite, test_traces.TraceTests):
    pass


class SQLiteSingleGetTests(OnSQLite, test_single.GetTests):
    pass


class SQLiteSinglePutTests(OnSQLite, test_single.PutTests):
    pass


class SQLiteTagTests(OnSQLite, test_single.TagTests):
    pass


class SQLiteSingleDeleteTests(OnSQLite, test_single.DeleteTests):
    pass


class SQLiteConditionalGetTests(OnSQLite, test_ranges.ConditionalGetTests):
    pass


class SQLiteRangeTests(OnSQLite, test_ranges.RangeTests):
    pass


class SQLitePageTests(OnSQLite, test_pages.PageTests):
    pass


class SQLiteFormTests(OnSQLite, test_pages.FormTests):
    pass


class SQLiteCursorTests(OnSQLite, test_cursors.CursorTests):
    pass


class SQLiteResumeTests(OnSQLite, test_cursors.ResumeTests):
    pass


class SQLiteRandomTests(OnSQLite, test_cursors.RandomTests):
    pass


class SQLitePurgeTests(OnSQLite, test_purge.PurgeTests):
    pass


class SQLiteDelayTests(OnSQLite, test_delays.DelayTests):
    pass


class SQLiteWakingTests(OnSQLite, test_waits.WakingTests):
    pass


class SQLiteNotWakingTests(OnSQLite, test_waits.NotWakingTests):
    pass


class SQLiteEndTests(OnSQLite, test_waits.EndTests):
    pass


class SQLiteSameDataTests(OnSQLite, test_beside_v1.SameDataTests):
    pass


class CassandraAppendTests(OnCassandra, test_messages.AppendTests):
    pass


class CassandraOptionTests(OnCassandra, test_messages.OptionTests):
    pass


class CassandraHeadersTests(OnCassandra, test_messages.HeadersTests):
    pass


class CassandraBodyTests(OnCassandra, test_messages.BodyTests):
    pass


class CassandraWhoTests(OnCassandra, test_messages.WhoTests):
    pass


class CassandraBatchTests(OnCassandra, test_batches.BatchTests):
    pass


class CassandraRepeatTests(OnCassandra, test_once.RepeatTests):
    pass


class CassandraScopeTests(OnCassandra, test_once.ScopeTests):
    pass


class CassandraNotRememberedTests(OnCassandra, test_once.NotRememberedTests):
    pass


class CassandraUnderWayTests(OnCassandra, test_once.UnderWayTests):
    pass


class CassandraTraceTests(OnCassandra, test_traces.TraceTests):
    pass


class CassandraSingleGetTests(OnCassandra, test_single.GetTests):
    pass


class CassandraSinglePutTests(OnCassandra, test_single.PutTests):
    pass


class CassandraTagTests(OnCassandra, test_single.TagTests):
    pass


class CassandraSingleDeleteTests(OnCassandra, test_single.DeleteTests):
    pass


class CassandraConditionalGetTests(OnCassandra, test_ranges.ConditionalGetTests):
    pass


class CassandraRangeTests(OnCassandra, test_ranges.RangeTests):
    pass


class CassandraPageTests(OnCassandra, test_pages.PageTests):
    pass


class CassandraFormTests(OnCassandra, test_pages.FormTests):
    pass


class CassandraCursorTests(OnCassandra, test_cursors.CursorTests):
    pass


class CassandraResumeTests(OnCassandra, test_cursors.ResumeTests):
    def test_nothing_came(self) -> None:
        """There the stable time goes on though nothing comes: who sleeps for long may have missed something."""
        self.make("short", ttl=10)
        self.appended("a", queue="short")
        page = self.page(queue="short")
        for seconds, resume in ((9, "exact"), (1000, "truncated")):
            self.clock.advance(seconds)
            self.assertEqual(self.page(f"after={page['next']}", "short")["resume"], resume)
        self.assertEqual(self.page(f"after={self.page(queue='short')['next']}", "short")["resume"], "exact")


class CassandraRandomTests(OnCassandra, test_cursors.RandomTests):
    pass


class CassandraPurgeTests(OnCassandra, test_purge.PurgeTests):
    pass


class CassandraDelayTests(OnCassandra, test_delays.DelayTests):
    pass


class CassandraWakingTests(OnCassandra, test_waits.WakingTests):
    pass


class CassandraNotWakingTests(OnCassandra, test_waits.NotWakingTests):
    pass


class CassandraEndTests(OnCassandra, test_waits.EndTests):
    pass


class CassandraSameDataTests(OnCassandra, test_beside_v1.SameDataTests):
    pass
