"""The driver by itself, with as many requests under way as are asked for: what a front end is compared with.

It runs in a process of its own, over the driver's own connections, and binds nothing but prepared statements:

    python -m bench.raw_driver HOST PORT KEYSPACE WHAT IN_FLIGHT SECONDS

WHAT is ``post`` (one row a request), ``batch`` (100 rows in an unlogged batch), ``page`` (100 rows read), all at
QUORUM and on the rows that Queuey writes, or ``names=APP:COUNT``, which fills in the rows of that many queues. It
prints one line of JSON: requests answered a second, failures, and its seconds of CPU.
"""

from __future__ import annotations

import json
import os
import sys
import time
import zlib
from collections.abc import Callable
from itertools import count
from threading import Event, Lock
from typing import Any, Final

from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.query import BatchStatement, BatchType

from queuey.model.timeid import SECOND, from_seconds, make

BODY: Final = b"x" * 140
BATCH: Final = 100
BUCKET: Final = 6 * 3600 * SECOND
TTL: Final = 259_260
SHARDS: Final = 16


class Loop:
    """Keeps a number of requests under way until the time is over, or there are no more."""

    def __init__(self, session: Session, next_query: Callable[[], Any]) -> None:
        self._session = session
        self._next = next_query
        self._lock = Lock()
        self._over = Event()
        self._under_way = 0
        self._until = 0.0
        self.answered = 0
        self.failed = 0

    def run(self, in_flight: int, seconds: float) -> float:
        """Do it; the seconds that it took."""
        began = time.monotonic()
        self._until = began + seconds
        self._under_way = in_flight
        for _ in range(in_flight):
            self._send()
        self._over.wait(seconds + 60)
        return time.monotonic() - began

    def _send(self) -> None:
        query = self._next() if time.monotonic() < self._until else None
        if query is not None:
            self._session.execute_async(query).add_callbacks(self._done, self._wrong)
            return
        with self._lock:
            self._under_way -= 1
            if not self._under_way:
                self._over.set()

    def _done(self, _: Any) -> None:
        self.answered += 1
        self._send()

    def _wrong(self, _: Exception) -> None:
        self.failed += 1
        self._send()


def rows(life: bytes) -> Callable[[], tuple[Any, ...]]:
    """Values of one row after the other, each with an id of now."""
    numbers = count()

    def values() -> tuple[Any, ...]:
        ticks = from_seconds(time.time())
        id = make(ticks, next(numbers) & 0x3FFF, 1)
        expires = ticks + TTL * SECOND
        return life, 1, ticks // BUCKET, id, BODY, "text/plain", expires, (ticks - 0x01B21DD213814000) // 10, TTL

    return values


def insert(session: Session, keyspace: str) -> Any:
    """The statement that Queuey writes a message with."""
    return session.prepare(
        f"INSERT INTO {keyspace}.messages (life, part, bucket, id, body, content_type, expires) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"
    )


def posts(session: Session, keyspace: str) -> Callable[[], Any]:
    """One row a request."""
    statement, values = insert(session, keyspace), rows(os.urandom(16))
    return lambda: statement.bind(values())


def batches(session: Session, keyspace: str) -> Callable[[], Any]:
    """Batches of rows, each within one partition."""
    statement, values = insert(session, keyspace), rows(os.urandom(16))

    def query() -> Any:
        batch = BatchStatement(BatchType.UNLOGGED)
        for _ in range(BATCH):
            batch.add(statement.bind(values()))
        return batch

    return query


def pages(session: Session, keyspace: str) -> Callable[[], Any]:
    """The first hundred rows of a partition of a thousand."""
    life, values = os.urandom(16), rows(b"")
    statement = insert(session, keyspace)
    bucket = 0
    for _ in range(1000):
        _, part, bucket, *others = values()
        session.execute(statement.bind((life, part, bucket, *others)))
    page = session.prepare(
        f"SELECT id, body, content_type, headers, expires, gone FROM {keyspace}.messages "
        "WHERE life = ? AND part = ? AND bucket = ? AND id >= ? AND id < ? LIMIT ?"
    )
    bounds = (bytes(16), b"\xff" * 16, 100)
    return lambda: page.bind((life, 1, bucket, *bounds))


def names(session: Session, keyspace: str, what: str) -> Callable[[], Any]:
    """The rows of queues that no client has made by name."""
    application, _, wanted = what.partition(":")
    statement = session.prepare(
        f"UPDATE {keyspace}.queues SET life = ?, created = ?, version = ?, type = 'user', partitions = 1, "
        "consistency = 'strong', principals = [], bucket_seconds = 21600 WHERE app = ? AND shard = ? AND name = ?"
    )
    numbers = iter(range(int(wanted)))

    def query() -> Any:
        number = next(numbers, None)
        if number is None:
            return None
        name = f"q{number:07d}"
        shard = zlib.crc32(name.encode()) % SHARDS
        return statement.bind(
            (os.urandom(16), from_seconds(time.time()), os.urandom(16).hex(), application, shard, name)
        )

    return query


def main(host: str, port: int, keyspace: str, what: str, in_flight: int, seconds: float) -> None:
    """Connect, do it, and print."""
    policy = TokenAwarePolicy(DCAwareRoundRobinPolicy("datacenter1"))
    profile = ExecutionProfile(policy, consistency_level=ConsistencyLevel.QUORUM, request_timeout=30)
    profiles = {EXEC_PROFILE_DEFAULT: profile}
    cluster = Cluster([host], port, execution_profiles=profiles, protocol_version=4)
    session = cluster.connect()
    makers = {"post": posts, "batch": batches, "page": pages}
    kind, _, more = what.partition("=")
    queries = names(session, keyspace, more) if kind == "names" else makers[kind](session, keyspace)
    loop = Loop(session, queries)
    began = time.process_time()
    took = loop.run(in_flight, seconds)
    result = {"rate": loop.answered / took, "answered": loop.answered, "refused": loop.failed}
    print(json.dumps({**result, "cpu": time.process_time() - began}))
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]), float(sys.argv[6]))
