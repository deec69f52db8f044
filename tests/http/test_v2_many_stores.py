"""Reads and claims of many queues over v2 again on the other stores, since clients must not see which one there is."""

from __future__ import annotations

from tests.http import test_v2_many_claims
from tests.http.test_v1_stores import OnCassandra, OnSQLite


class SQLiteServedTests(OnSQLite, test_v2_many_claims.ServedTests):
    pass


class SQLiteWaitingTests(OnSQLite, test_v2_many_claims.WaitingTests):
    pass


class SQLiteKeysTests(OnSQLite, test_v2_many_claims.KeysTests):
    pass


class CassandraServedTests(OnCassandra, test_v2_many_claims.ServedTests):
    pass


class CassandraWaitingTests(OnCassandra, test_v2_many_claims.WaitingTests):
    pass


class CassandraKeysTests(OnCassandra, test_v2_many_claims.KeysTests):
    pass
