"""Reads and claims of many queues over v2 again on the other stores, since clients must not see which one there is."""

from __future__ import annotations

from tests.http.v1.test_stores import OnCassandra, OnSQLite
from tests.http.v2.many import test_claims


class SQLiteServedTests(OnSQLite, test_claims.ServedTests):
    pass


class SQLiteWaitingTests(OnSQLite, test_claims.WaitingTests):
    pass


class SQLiteKeysTests(OnSQLite, test_claims.KeysTests):
    pass


class CassandraServedTests(OnCassandra, test_claims.ServedTests):
    pass


class CassandraWaitingTests(OnCassandra, test_claims.WaitingTests):
    pass


class CassandraKeysTests(OnCassandra, test_claims.KeysTests):
    pass
