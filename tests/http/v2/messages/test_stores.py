"""Messages over v2 again on the other stores, since clients must not see which one there is."""

from __future__ import annotations

from tests.again import again
from tests.http.v1.test_stores import OnCassandra, OnSQLite
from tests.http.v2 import test_beside_v1
from tests.http.v2.messages import (
    test_batches,
    test_headers,
    test_messages,
    test_once,
    test_once_under_way,
    test_purge,
    test_ranges,
    test_single,
    test_traces,
)
from tests.http.v2.reading import test_cursors, test_delays, test_pages, test_wait_ends, test_waits

run_in = "test-long"


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


again(
    __name__,
    {"SQLite": OnSQLite, "Cassandra": OnCassandra},
    (
        test_messages.AppendTests,
        test_messages.OptionTests,
        test_headers.HeadersTests,
        test_messages.BodyTests,
        test_messages.WhoTests,
        test_batches.BatchTests,
        test_once.RepeatTests,
        test_once.ScopeTests,
        test_once_under_way.NotRememberedTests,
        test_once_under_way.UnderWayTests,
        test_traces.TraceTests,
        test_single.TagTests,
        test_ranges.ConditionalGetTests,
        test_ranges.RangeTests,
        test_pages.PageTests,
        test_pages.FormTests,
        test_cursors.CursorTests,
        test_cursors.RandomTests,
        test_purge.PurgeTests,
        test_delays.DelayTests,
        test_waits.WakingTests,
        test_waits.NotWakingTests,
        test_wait_ends.EndTests,
        test_beside_v1.SameDataTests,
    ),
    SingleGetTests=test_single.GetTests,
    SinglePutTests=test_single.PutTests,
    SingleDeleteTests=test_single.DeleteTests,
)


again(
    __name__,
    {"SQLite": OnSQLite},
    (
        test_messages.RoomTests,
        test_cursors.ResumeTests,
    ),
)
