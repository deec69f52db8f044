"""Whole reads, the ends of a log, and bodies as JSON again on the other stores, since clients must not see which one
there is.
"""

from __future__ import annotations

from tests.http.v1.test_stores import OnCassandra, OnSQLite
from tests.http.v2.reading import test_ends, test_json_bodies, test_whole

run_in = "test-long"


class SQLiteWholeTests(OnSQLite, test_whole.ReadingTests):
    pass


class SQLiteEndTests(OnSQLite, test_ends.ReadingTests):
    pass


class SQLitePurgeTests(OnSQLite, test_ends.PurgeTests):
    pass


class SQLiteJSONTests(OnSQLite, test_json_bodies.ReadingTests):
    pass


class CassandraWholeTests(OnCassandra, test_whole.ReadingTests):
    pass


class CassandraEndTests(OnCassandra, test_ends.ReadingTests):
    pass


class CassandraPurgeTests(OnCassandra, test_ends.PurgeTests):
    pass


class CassandraJSONTests(OnCassandra, test_json_bodies.ReadingTests):
    pass
