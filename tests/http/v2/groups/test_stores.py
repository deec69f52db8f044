"""Consumer groups over v2 again on the other stores, since clients must not see which one there is."""

from __future__ import annotations

from tests.again import again
from tests.http.v1.test_stores import OnCassandra, OnSQLite
from tests.http.v2.groups import test_claim_waits, test_claims, test_groups, test_put, test_seek, test_settlements

run_in = "test-long"


again(
    __name__,
    {"SQLite": OnSQLite, "Cassandra": OnCassandra},
    (
        test_claims.ClaimTests,
        test_claims.PartitionTests,
        test_claims.KeyTests,
        test_claims.KeysOfPartitionsTests,
        test_claims.AtMostOnceTests,
        test_claim_waits.WaitTests,
        test_settlements.SettleTests,
        test_settlements.ManyPartitionsTests,
        test_settlements.DeadLetterTests,
        test_seek.SeekTests,
        test_seek.RedriveTests,
    ),
    GroupPutTests=test_put.PutTests,
    GroupPatchTests=test_groups.PatchTests,
    GroupConditionTests=test_put.ConditionTests,
    GroupListTests=test_groups.ListTests,
    GroupGetTests=test_groups.GetTests,
    GroupDeleteTests=test_groups.DeleteTests,
    GroupCallerTests=test_groups.CallerTests,
)
