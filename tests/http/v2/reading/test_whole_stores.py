"""Whole reads, the ends of a log, and bodies as JSON again on the other stores, since clients must not see which one
there is.
"""

from __future__ import annotations

from tests.again import again
from tests.http.v1.test_stores import OnCassandra, OnSQLite
from tests.http.v2.reading import test_ends, test_json_bodies, test_whole

run_in = "test-long"


again(
    __name__,
    {"SQLite": OnSQLite, "Cassandra": OnCassandra},
    (test_ends.PurgeTests,),
    WholeTests=test_whole.ReadingTests,
    EndTests=test_ends.ReadingTests,
    JSONTests=test_json_bodies.ReadingTests,
)
