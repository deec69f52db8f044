"""Consumer groups over v2 again on the other stores, since clients must not see which one there is."""

from __future__ import annotations

from tests.http.v1.test_stores import OnCassandra, OnSQLite
from tests.http.v2.groups import test_claims, test_groups, test_seek, test_settlements

run_in = "test-long"


class SQLiteGroupPutTests(OnSQLite, test_groups.PutTests):
    pass


class SQLiteGroupPatchTests(OnSQLite, test_groups.PatchTests):
    pass


class SQLiteGroupConditionTests(OnSQLite, test_groups.ConditionTests):
    pass


class SQLiteGroupListTests(OnSQLite, test_groups.ListTests):
    pass


class SQLiteGroupGetTests(OnSQLite, test_groups.GetTests):
    pass


class SQLiteGroupDeleteTests(OnSQLite, test_groups.DeleteTests):
    pass


class SQLiteGroupCallerTests(OnSQLite, test_groups.CallerTests):
    pass


class SQLiteClaimTests(OnSQLite, test_claims.ClaimTests):
    pass


class SQLitePartitionTests(OnSQLite, test_claims.PartitionTests):
    pass


class SQLiteKeyTests(OnSQLite, test_claims.KeyTests):
    pass


class SQLiteKeysOfPartitionsTests(OnSQLite, test_claims.KeysOfPartitionsTests):
    pass


class SQLiteAtMostOnceTests(OnSQLite, test_claims.AtMostOnceTests):
    pass


class SQLiteWaitTests(OnSQLite, test_claims.WaitTests):
    pass


class SQLiteSettleTests(OnSQLite, test_settlements.SettleTests):
    pass


class SQLiteManyPartitionsTests(OnSQLite, test_settlements.ManyPartitionsTests):
    pass


class SQLiteDeadLetterTests(OnSQLite, test_settlements.DeadLetterTests):
    pass


class SQLiteSeekTests(OnSQLite, test_seek.SeekTests):
    pass


class SQLiteRedriveTests(OnSQLite, test_seek.RedriveTests):
    pass


class CassandraGroupPutTests(OnCassandra, test_groups.PutTests):
    pass


class CassandraGroupPatchTests(OnCassandra, test_groups.PatchTests):
    pass


class CassandraGroupConditionTests(OnCassandra, test_groups.ConditionTests):
    pass


class CassandraGroupListTests(OnCassandra, test_groups.ListTests):
    pass


class CassandraGroupGetTests(OnCassandra, test_groups.GetTests):
    pass


class CassandraGroupDeleteTests(OnCassandra, test_groups.DeleteTests):
    pass


class CassandraGroupCallerTests(OnCassandra, test_groups.CallerTests):
    pass


class CassandraClaimTests(OnCassandra, test_claims.ClaimTests):
    pass


class CassandraPartitionTests(OnCassandra, test_claims.PartitionTests):
    pass


class CassandraKeyTests(OnCassandra, test_claims.KeyTests):
    pass


class CassandraKeysOfPartitionsTests(OnCassandra, test_claims.KeysOfPartitionsTests):
    pass


class CassandraAtMostOnceTests(OnCassandra, test_claims.AtMostOnceTests):
    pass


class CassandraWaitTests(OnCassandra, test_claims.WaitTests):
    pass


class CassandraSettleTests(OnCassandra, test_settlements.SettleTests):
    pass


class CassandraManyPartitionsTests(OnCassandra, test_settlements.ManyPartitionsTests):
    pass


class CassandraDeadLetterTests(OnCassandra, test_settlements.DeadLetterTests):
    pass


class CassandraSeekTests(OnCassandra, test_seek.SeekTests):
    pass


class CassandraRedriveTests(OnCassandra, test_seek.RedriveTests):
    pass
