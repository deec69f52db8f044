"""Reads and claims of many queues over v2 again on the other stores, since clients must not see which one there is."""

from __future__ import annotations

from tests.again import again
from tests.http.v1.test_stores import OnCassandra, OnSQLite
from tests.http.v2.many import test_claims, test_settle_and_claim

again(
    __name__,
    {"SQLite": OnSQLite, "Cassandra": OnCassandra},
    (
        test_claims.ServedTests,
        test_claims.WaitingTests,
        test_claims.KeysTests,
        test_settle_and_claim.SettleTests,
        test_settle_and_claim.WaitTests,
    ),
)
