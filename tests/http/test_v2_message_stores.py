"""Messages over v2 again on the other stores, since clients must not see which one there is."""

from __future__ import annotations

from tests.http import (
    test_v2_beside_v1,
    test_v2_cursors,
    test_v2_delays,
    test_v2_messages,
    test_v2_once,
    test_v2_purge,
    test_v2_ranges,
    test_v2_reading,
    test_v2_single,
    test_v2_traces,
    test_v2_waits,
    test_v2_whole_batches,
)
from tests.http.test_v1_stores import OnCassandra, OnSQLite

run_in = "test-long"


class SQLiteAppendTests(OnSQLite, test_v2_messages.AppendTests):
    pass


class SQLiteOptionTests(OnSQLite, test_v2_messages.OptionTests):
    pass


class SQLiteHeadersTests(OnSQLite, test_v2_messages.HeadersTests):
    pass


class SQLiteBodyTests(OnSQLite, test_v2_messages.BodyTests):
    pass


class SQLiteRoomTests(OnSQLite, test_v2_messages.RoomTests):
    pass


class SQLiteWhoTests(OnSQLite, test_v2_messages.WhoTests):
    pass


class SQLiteBatchTests(OnSQLite, test_v2_whole_batches.BatchTests):
    pass


class SQLiteRepeatTests(OnSQLite, test_v2_once.RepeatTests):
    pass


class SQLiteScopeTests(OnSQLite, test_v2_once.ScopeTests):
    pass


class SQLiteNotRememberedTests(OnSQLite, test_v2_once.NotRememberedTests):
    pass


class SQLiteUnderWayTests(OnSQLite, test_v2_once.UnderWayTests):
    pass


class SQLiteTraceTests(OnSQLite, test_v2_traces.TraceTests):
    pass


class SQLiteSingleGetTests(OnSQLite, test_v2_single.GetTests):
    pass


class SQLiteSinglePutTests(OnSQLite, test_v2_single.PutTests):
    pass


class SQLiteTagTests(OnSQLite, test_v2_single.TagTests):
    pass


class SQLiteSingleDeleteTests(OnSQLite, test_v2_single.DeleteTests):
    pass


class SQLiteConditionalGetTests(OnSQLite, test_v2_ranges.ConditionalGetTests):
    pass


class SQLiteRangeTests(OnSQLite, test_v2_ranges.RangeTests):
    pass


class SQLitePageTests(OnSQLite, test_v2_reading.PageTests):
    pass


class SQLiteFormTests(OnSQLite, test_v2_reading.FormTests):
    pass


class SQLiteCursorTests(OnSQLite, test_v2_cursors.CursorTests):
    pass


class SQLiteResumeTests(OnSQLite, test_v2_cursors.ResumeTests):
    pass


class SQLiteRandomTests(OnSQLite, test_v2_cursors.RandomTests):
    pass


class SQLitePurgeTests(OnSQLite, test_v2_purge.PurgeTests):
    pass


class SQLiteDelayTests(OnSQLite, test_v2_delays.DelayTests):
    pass


class SQLiteWakingTests(OnSQLite, test_v2_waits.WakingTests):
    pass


class SQLiteNotWakingTests(OnSQLite, test_v2_waits.NotWakingTests):
    pass


class SQLiteEndTests(OnSQLite, test_v2_waits.EndTests):
    pass


class SQLiteSameDataTests(OnSQLite, test_v2_beside_v1.SameDataTests):
    pass


class CassandraAppendTests(OnCassandra, test_v2_messages.AppendTests):
    pass


class CassandraOptionTests(OnCassandra, test_v2_messages.OptionTests):
    pass


class CassandraHeadersTests(OnCassandra, test_v2_messages.HeadersTests):
    pass


class CassandraBodyTests(OnCassandra, test_v2_messages.BodyTests):
    pass


class CassandraWhoTests(OnCassandra, test_v2_messages.WhoTests):
    pass


class CassandraBatchTests(OnCassandra, test_v2_whole_batches.BatchTests):
    pass


class CassandraRepeatTests(OnCassandra, test_v2_once.RepeatTests):
    pass


class CassandraScopeTests(OnCassandra, test_v2_once.ScopeTests):
    pass


class CassandraNotRememberedTests(OnCassandra, test_v2_once.NotRememberedTests):
    pass


class CassandraUnderWayTests(OnCassandra, test_v2_once.UnderWayTests):
    pass


class CassandraTraceTests(OnCassandra, test_v2_traces.TraceTests):
    pass


class CassandraSingleGetTests(OnCassandra, test_v2_single.GetTests):
    pass


class CassandraSinglePutTests(OnCassandra, test_v2_single.PutTests):
    pass


class CassandraTagTests(OnCassandra, test_v2_single.TagTests):
    pass


class CassandraSingleDeleteTests(OnCassandra, test_v2_single.DeleteTests):
    pass


class CassandraConditionalGetTests(OnCassandra, test_v2_ranges.ConditionalGetTests):
    pass


class CassandraRangeTests(OnCassandra, test_v2_ranges.RangeTests):
    pass


class CassandraPageTests(OnCassandra, test_v2_reading.PageTests):
    pass


class CassandraFormTests(OnCassandra, test_v2_reading.FormTests):
    pass


class CassandraCursorTests(OnCassandra, test_v2_cursors.CursorTests):
    pass


class CassandraResumeTests(OnCassandra, test_v2_cursors.ResumeTests):
    def test_nothing_came(self) -> None:
        """There the stable time goes on though nothing comes: who sleeps for long may have missed something."""
        self.make("short", ttl=10)
        self.appended("a", queue="short")
        page = self.page(queue="short")
        for seconds, resume in ((9, "exact"), (1000, "truncated")):
            self.clock.advance(seconds)
            self.assertEqual(self.page(f"after={page['next']}", "short")["resume"], resume)
        self.assertEqual(self.page(f"after={self.page(queue='short')['next']}", "short")["resume"], "exact")


class CassandraRandomTests(OnCassandra, test_v2_cursors.RandomTests):
    pass


class CassandraPurgeTests(OnCassandra, test_v2_purge.PurgeTests):
    pass


class CassandraDelayTests(OnCassandra, test_v2_delays.DelayTests):
    pass


class CassandraWakingTests(OnCassandra, test_v2_waits.WakingTests):
    pass


class CassandraNotWakingTests(OnCassandra, test_v2_waits.NotWakingTests):
    pass


class CassandraEndTests(OnCassandra, test_v2_waits.EndTests):
    pass


class CassandraSameDataTests(OnCassandra, test_v2_beside_v1.SameDataTests):
    pass
