"""Queues over v2 again on the other stores, since clients must not see which one there is."""

from __future__ import annotations

from tests.http import test_v2_frame, test_v2_queues
from tests.http.test_v1_stores import OnCassandra, OnSQLite

run_in = "test-long"


class SQLitePutTests(OnSQLite, test_v2_queues.PutTests):
    pass


class SQLitePromiseTests(OnSQLite, test_v2_queues.PromiseTests):
    pass


class SQLitePatchTests(OnSQLite, test_v2_queues.PatchTests):
    pass


class SQLiteConditionTests(OnSQLite, test_v2_queues.ConditionTests):
    pass


class SQLiteGetTests(OnSQLite, test_v2_queues.GetTests):
    pass


class SQLiteDeleteTests(OnSQLite, test_v2_queues.DeleteTests):
    pass


class SQLiteListTests(OnSQLite, test_v2_queues.ListTests):
    pass


class SQLiteCreateOnWriteTests(OnSQLite, test_v2_frame.CreateOnWriteTests):
    pass


class CassandraPutTests(OnCassandra, test_v2_queues.PutTests):
    pass


class CassandraPromiseTests(OnCassandra, test_v2_queues.PromiseTests):
    pass


class CassandraPatchTests(OnCassandra, test_v2_queues.PatchTests):
    pass


class CassandraConditionTests(OnCassandra, test_v2_queues.ConditionTests):
    pass


class CassandraGetTests(OnCassandra, test_v2_queues.GetTests):
    pass


class CassandraDeleteTests(OnCassandra, test_v2_queues.DeleteTests):
    pass


class CassandraListTests(OnCassandra, test_v2_queues.ListTests):
    pass


class CassandraCreateOnWriteTests(OnCassandra, test_v2_frame.CreateOnWriteTests):
    pass
