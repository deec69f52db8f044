"""Consumer groups over v2 again on the other stores, since clients must not see which one there is."""

from __future__ import annotations

from tests.http import test_v2_claims, test_v2_groups, test_v2_seek, test_v2_settlements
from tests.http.test_v1_stores import OnCassandra, OnSQLite

run_in = "test-long"


class SQLiteGroupPutTests(OnSQLite, test_v2_groups.PutTests):
    pass


class SQLiteGroupPatchTests(OnSQLite, test_v2_groups.PatchTests):
    pass


class SQLiteGroupConditionTests(OnSQLite, test_v2_groups.ConditionTests):
    pass


class SQLiteGroupListTests(OnSQLite, test_v2_groups.ListTests):
    pass


class SQLiteGroupGetTests(OnSQLite, test_v2_groups.GetTests):
    pass


class SQLiteGroupDeleteTests(OnSQLite, test_v2_groups.DeleteTests):
    pass


class SQLiteGroupCallerTests(OnSQLite, test_v2_groups.CallerTests):
    pass


class SQLiteClaimTests(OnSQLite, test_v2_claims.ClaimTests):
    pass


class SQLitePartitionTests(OnSQLite, test_v2_claims.PartitionTests):
    pass


class SQLiteKeyTests(OnSQLite, test_v2_claims.KeyTests):
    pass


class SQLiteKeysOfPartitionsTests(OnSQLite, test_v2_claims.KeysOfPartitionsTests):
    pass


class SQLiteAtMostOnceTests(OnSQLite, test_v2_claims.AtMostOnceTests):
    pass


class SQLiteWaitTests(OnSQLite, test_v2_claims.WaitTests):
    pass


class SQLiteSettleTests(OnSQLite, test_v2_settlements.SettleTests):
    pass


class SQLiteManyPartitionsTests(OnSQLite, test_v2_settlements.ManyPartitionsTests):
    pass


class SQLiteDeadLetterTests(OnSQLite, test_v2_settlements.DeadLetterTests):
    pass


class SQLiteSeekTests(OnSQLite, test_v2_seek.SeekTests):
    pass


class SQLiteRedriveTests(OnSQLite, test_v2_seek.RedriveTests):
    pass


class CassandraGroupPutTests(OnCassandra, test_v2_groups.PutTests):
    pass


class CassandraGroupPatchTests(OnCassandra, test_v2_groups.PatchTests):
    pass


class CassandraGroupConditionTests(OnCassandra, test_v2_groups.ConditionTests):
    pass


class CassandraGroupListTests(OnCassandra, test_v2_groups.ListTests):
    pass


class CassandraGroupGetTests(OnCassandra, test_v2_groups.GetTests):
    pass


class CassandraGroupDeleteTests(OnCassandra, test_v2_groups.DeleteTests):
    pass


class CassandraGroupCallerTests(OnCassandra, test_v2_groups.CallerTests):
    pass


class CassandraClaimTests(OnCassandra, test_v2_claims.ClaimTests):
    pass


class CassandraPartitionTests(OnCassandra, test_v2_claims.PartitionTests):
    pass


class CassandraKeyTests(OnCassandra, test_v2_claims.KeyTests):
    pass


class CassandraKeysOfPartitionsTests(OnCassandra, test_v2_claims.KeysOfPartitionsTests):
    pass


class CassandraAtMostOnceTests(OnCassandra, test_v2_claims.AtMostOnceTests):
    pass


class CassandraWaitTests(OnCassandra, test_v2_claims.WaitTests):
    pass


class CassandraSettleTests(OnCassandra, test_v2_settlements.SettleTests):
    pass


class CassandraManyPartitionsTests(OnCassandra, test_v2_settlements.ManyPartitionsTests):
    pass


class CassandraDeadLetterTests(OnCassandra, test_v2_settlements.DeadLetterTests):
    pass


class CassandraSeekTests(OnCassandra, test_v2_seek.SeekTests):
    pass


class CassandraRedriveTests(OnCassandra, test_v2_seek.RedriveTests):
    pass
