"""Whole reads, the ends of a log, and bodies as JSON again on the other stores, since clients must not see which one
there is.
"""

from __future__ import annotations

from tests.http import test_v2_ends, test_v2_json_bodies, test_v2_whole
from tests.http.test_v1_stores import OnCassandra, OnSQLite

run_in = "test-long"


class SQLiteWholeTests(OnSQLite, test_v2_whole.ReadingTests):
    pass


class SQLiteEndTests(OnSQLite, test_v2_ends.ReadingTests):
    pass


class SQLitePurgeTests(OnSQLite, test_v2_ends.PurgeTests):
    pass


class SQLiteJSONTests(OnSQLite, test_v2_json_bodies.ReadingTests):
    pass


class CassandraWholeTests(OnCassandra, test_v2_whole.ReadingTests):
    pass


class CassandraEndTests(OnCassandra, test_v2_ends.ReadingTests):
    pass


class CassandraPurgeTests(OnCassandra, test_v2_ends.PurgeTests):
    pass


class CassandraJSONTests(OnCassandra, test_v2_json_bodies.ReadingTests):
    pass
