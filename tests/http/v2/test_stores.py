"""Queues over v2 again on the other stores, since clients must not see which one there is."""

from __future__ import annotations

from tests.http.v1.test_stores import OnCassandra, OnSQLite
from tests.http.v2 import test_frame, test_queues

run_in = "test-long"


class SQLitePutTests(OnSQLite, test_queues.PutTests):
    pass


class SQLitePromiseTests(OnSQLite, test_queues.PromiseTests):
    pass


class SQLitePatchTests(OnSQLite, test_queues.PatchTests):
    pass


class SQLiteConditionTests(OnSQLite, test_queues.ConditionTests):
    pass


class SQLiteGetTests(OnSQLite, test_queues.GetTests):
    pass


class SQLiteDeleteTests(OnSQLite, test_queues.DeleteTests):
    pass


class SQLiteListTests(OnSQLite, test_queues.ListTests):
    pass


class SQLiteCreateOnWriteTests(OnSQLite, test_frame.CreateOnWriteTests):
    pass


class CassandraPutTests(OnCassandra, test_queues.PutTests):
    pass


class CassandraPromiseTests(OnCassandra, test_queues.PromiseTests):
    pass


class CassandraPatchTests(OnCassandra, test_queues.PatchTests):
    pass


class CassandraConditionTests(OnCassandra, test_queues.ConditionTests):
    pass


class CassandraGetTests(OnCassandra, test_queues.GetTests):
    pass


class CassandraDeleteTests(OnCassandra, test_queues.DeleteTests):
    pass


class CassandraListTests(OnCassandra, test_queues.ListTests):
    pass


class CassandraCreateOnWriteTests(OnCassandra, test_frame.CreateOnWriteTests):
    pass
