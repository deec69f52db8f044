"""Queues over v2 again on the other stores, since clients must not see which one there is."""

from __future__ import annotations

from tests.again import again
from tests.http.v1.test_stores import OnCassandra, OnSQLite
from tests.http.v2 import test_create_on_write, test_queue_changes, test_queues

run_in = "test-long"


again(
    __name__,
    {"SQLite": OnSQLite, "Cassandra": OnCassandra},
    (
        test_queues.PutTests,
        test_queue_changes.PromiseTests,
        test_queue_changes.PatchTests,
        test_queue_changes.ConditionTests,
        test_queues.GetTests,
        test_queues.DeleteTests,
        test_queues.ListTests,
        test_create_on_write.CreateOnWriteTests,
    ),
)
