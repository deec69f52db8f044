"""Our session with Cassandra against the driver over its own connections: requests for each second of the client's CPU.

Rows of 140 bytes are written and read one by one, with as many requests under way on both sides, each side in a process
of its own and by turns, against one node: the one that is named, or one that is started for this.

    python -m bench.session [--host HOST:PORT] [--seconds S] [--rounds N]

It also prints how long the reactor was away from its other work at the most, and the same with all layers around the
session. Asked for: at least 0.9 of the driver by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any

IN_FLIGHT = 128
KEYSPACE = "bench_session"
BODY = b"x" * 140
INSERT = f"INSERT INTO {KEYSPACE}.rows (id, body) VALUES (?, ?)"
SELECT = f"SELECT body FROM {KEYSPACE}.rows WHERE id = ?"
TABLE = f"CREATE TABLE IF NOT EXISTS {KEYSPACE}.rows (id uuid PRIMARY KEY, body blob)"
REPLICATION = "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"
CREATE = f"CREATE KEYSPACE IF NOT EXISTS {KEYSPACE} WITH replication = {REPLICATION} AND durable_writes = false"
SIDES = {"driver": "the driver, libev", "session": "our session", "layered": "our session, with its layers"}
#: Seconds between two looks at the reactor.
LOOK = 0.005


def report(answered: int, cpu: float, took: float, gaps: Sequence[float]) -> None:
    """Tell the program that compares."""
    ordered = sorted(gaps) or [0.0]
    gap, most = ordered[-1], ordered[len(ordered) * 99 // 100]
    print(json.dumps({"answered": answered, "cpu": cpu, "took": took, "gap": gap, "p99": most}))


def values(what: str, keys: Sequence[uuid.UUID]) -> Callable[[], tuple[Any, ...]]:
    """The values of one request after the other."""
    if what == "write":
        return lambda: (random.choice(keys), BODY)
    return lambda: (random.choice(keys),)


def run_driver(host: str, port: int, what: str, seconds: float) -> None:
    """The driver by itself: its own loop, and a callback that sends the next request."""
    from cassandra import ConsistencyLevel
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
    from cassandra.io.libevreactor import LibevConnection
    from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy
    from cassandra.query import tuple_factory

    profile = ExecutionProfile(
        TokenAwarePolicy(DCAwareRoundRobinPolicy()),
        consistency_level=ConsistencyLevel.QUORUM,
        serial_consistency_level=ConsistencyLevel.SERIAL,
        row_factory=tuple_factory,
    )
    cluster = Cluster(
        [host],
        port=port,
        protocol_version=4,
        compression=False,
        connection_class=LibevConnection,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    )
    session = cluster.connect()
    keys = [uuid.uuid4() for _ in range(1000)]
    insert = session.prepare(INSERT)
    for key in keys:
        session.execute(insert, (key, BODY))
    statement, next_values = session.prepare(INSERT if what == "write" else SELECT), values(what, keys)
    over, answered, until = Event(), [0, IN_FLIGHT], time.monotonic() + seconds

    def done(_: Any) -> None:
        answered[0] += 1
        send()

    def send() -> None:
        if time.monotonic() < until:
            session.execute_async(statement.bind(next_values())).add_callbacks(done, done)
            return
        answered[1] -= 1
        if not answered[1]:
            over.set()

    cpu, began = time.process_time(), time.monotonic()
    for _ in range(IN_FLIGHT):
        send()
    over.wait(seconds + 60)
    report(answered[0], time.process_time() - cpu, time.monotonic() - began, [])
    cluster.shutdown()


def run_session(host: str, port: int, what: str, seconds: float, layers: bool) -> None:
    """Our session, with whom every request is a Deferred."""
    from twisted.internet import reactor as chosen  # noqa: TID251  # a program of its own
    from twisted.internet import task
    from twisted.internet.defer import Deferred, gatherResults
    from twisted.internet.threads import deferToThread

    from queuey.storage.cassandra.cluster.cql.session import CQLSession
    from queuey.storage.cassandra.cluster.layers import Bounds, CallLimits, layered
    from queuey.storage.cassandra.cluster.port import Kind, Level, Statement
    from queuey.storage.cassandra.cluster.settings import Host, SessionSettings

    reactor: Any = chosen
    settings = SessionSettings((Host(host, port),))
    session: Any = CQLSession(settings, reactor, deferToThread)
    if layers:
        session = layered(session, reactor, Bounds(), CallLimits(), random.random)
    insert, select = Statement(INSERT, Kind.WRITE), Statement(SELECT, Kind.READ)
    keys = [uuid.uuid4() for _ in range(1000)]
    gaps: list[float] = []

    def look(last: float) -> None:
        now = time.monotonic()
        gaps.append(now - last - LOOK)
        reactor.callLater(LOOK, look, now)

    async def prepare() -> None:
        await session.connect()
        await session.execute(Statement(CREATE, Kind.DEFINITION), (), Level.QUORUM)
        await session.execute(Statement(TABLE, Kind.DEFINITION), (), Level.QUORUM)
        for key in keys:
            await session.execute(insert, (key, BODY), Level.QUORUM)
        await session.execute(select, (keys[0],), Level.QUORUM)

    async def main() -> None:
        await prepare()
        statement, next_values = insert if what == "write" else select, values(what, keys)
        answered, until, over = [0, IN_FLIGHT], time.monotonic() + seconds, Deferred[None]()

        def done(_: Any) -> None:
            answered[0] += 1
            send()

        def send() -> None:
            if time.monotonic() < until:
                session.execute(statement, next_values(), Level.QUORUM).addBoth(done)
                return
            answered[1] -= 1
            if not answered[1]:
                over.callback(None)

        cpu, began = time.process_time(), time.monotonic()
        look(began - LOOK)
        for _ in range(IN_FLIGHT):
            send()
        await over
        report(answered[0], time.process_time() - cpu, time.monotonic() - began, gaps)
        await session.close()

    task.react(lambda _: gatherResults([Deferred.fromCoroutine(main())]))


def side(name: str, address: str, what: str, seconds: float) -> dict[str, float]:
    """Run one side in a process of its own."""
    command = [sys.executable, "-m", "bench.session", "--side", name, "--what", what]
    command += ["--host", address, "--seconds", str(seconds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 120)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(address: str, seconds: float, rounds: int) -> bool:
    """Both sides by turns, and what came of it."""
    # The first run makes the table, and warms the node.
    side("session", address, "write", 3.0)
    good = True
    for what in ("write", "read"):
        found: dict[str, list[dict[str, float]]] = {name: [] for name in SIDES}
        for turn in range(rounds):
            names = list(SIDES) if turn % 2 else list(reversed(SIDES))
            for name in names:
                found[name].append(side(name, address, what, seconds))
        base = median(one["answered"] / one["cpu"] for one in found["driver"])
        print(f"\n{what}, {IN_FLIGHT} under way, {rounds} runs of {seconds:g} s each")
        for name, label in SIDES.items():
            rate = median(one["answered"] / one["cpu"] for one in found[name])
            speed = median(one["answered"] / one["took"] for one in found[name])
            gaps = "" if name == "driver" else _gaps(found[name])
            print(f"  {label:30} {rate:8.0f}/CPU-s  {rate / base:5.2f}  {speed:8.0f}/s{gaps}")
            good = good and (name != "session" or rate / base >= 0.9)
    print(f"\nour session against the driver, asked at least 0.9: {'kept' if good else 'not kept'}")
    return good


def _gaps(found: Sequence[dict[str, float]]) -> str:
    longest, most = max(one["gap"] for one in found), median(one["p99"] for one in found)
    return f"  reactor away at most {longest * 1000:.0f} ms, 99 % below {most * 1000:.0f} ms"


@contextlib.contextmanager
def node(named: str) -> Iterator[str]:
    """The node that is asked: the one named, or one of its own."""
    if named:
        yield named
        return
    from tests.live.cassandra.nodes import running

    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as folder, running(1, Path(folder)) as cluster:
        yield f"{cluster.hosts[0]}:{cluster.port}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--host", default="")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--what", help=argparse.SUPPRESS)
    told = parser.parse_args()
    host, _, port = told.host.rpartition(":")
    if told.side == "driver":
        run_driver(host, int(port), told.what, told.seconds)
    elif told.side:
        run_session(host, int(port), told.what, told.seconds, told.side == "layered")
    else:
        with node(told.host) as address:
            return 0 if compare(address, told.seconds, told.rounds) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
