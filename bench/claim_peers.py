"""Servers whose messages workers take one by one: Queuey, PostgreSQL, beanstalkd and Redis streams.

Each is started on loopback with files of its own, and has a message on the disk before it acknowledges anything:
PostgreSQL with its own settings for that, beanstalkd with ``-f 0``, Redis with ``appendfsync always``.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import socket
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import attrs

from bench import brokers, figures
from bench.brokers import BODY, ask_redis, found
from bench.protocols import command, reply_end
from bench.servers import KEY, ask, batch, free_port, make_queue, queuey_command, serving
from bench.workers import work

BATCH: Final = 1000
"""Messages that are stored by one request before a round."""

LIMIT: Final = 120.0
"""Seconds that a preparation may take."""

PROGRAMS: Final = {
    "beanstalkd": "beanstalkd",
    "redis-server": "redis-server",
    "redis-cli": "redis-tools",
    "psql": "postgresql-client",
}
"""What has to be there beside ``initdb``, and the package of Debian that it is in."""


@attrs.define(eq=False)
class Side:
    """One server, or one way to take messages from it.

    :ivar kind: and ``options``: of its protocol (:func:`bench.protocols.protocol`).
    :ivar fill: stores a number of messages.
    :ivar left: how many messages the server still has, those that are taken and not acknowledged included.
    :ivar filled: and ``acknowledged``: messages so far.
    """

    name: str
    kind: str
    port: int
    fill: Callable[[int], None]
    left: Callable[[], int]
    options: dict[str, Any] = attrs.Factory(dict)
    filled: int = 0
    acknowledged: int = 0

    def rate(self, workers: int, seconds: float, most: float) -> float:
        """Messages a second that workers took and acknowledged.

        :param most: messages a second for which there have to be enough.
        :raise SystemExit: an answer was wrong, or the messages did not last.
        """
        missing = round(most * seconds) - (self.filled - self.acknowledged)
        if missing > 0:
            self.filled += missing
            self.fill(missing)
        result = figures.good(self.name, work(self.kind, self.port, workers, seconds, **self.options))
        self.acknowledged += result["messages"]
        if result["dry"]:
            raise SystemExit(f"{self.name} had too few messages for {seconds:g} s")
        return float(result["rate"])

    def check(self) -> None:
        """Compare what the server has left with what was stored and acknowledged, and print both.

        :raise SystemExit: they differ.
        """
        expected, left = self.filled - self.acknowledged, self.left()
        print(f"{self.name}: {self.filled} stored, {self.acknowledged} acknowledged, {left} left", flush=True)
        if left != expected:
            raise SystemExit(f"{self.name} has {left} messages left, and not {expected}")


def batches(count: int) -> list[int]:
    """The sizes of the batches that ``count`` messages are stored in."""
    return [min(BATCH, count - start) for start in range(0, count, BATCH)]


# Queuey


def queuey(stack: ExitStack, folder: Path, claims: tuple[int, ...] = (1,), fused: bool = True) -> list[Side]:
    """A daemon with a queue for each way to take messages: claims of each size apart from settlements, and then
    claims of one message that settle the one before."""
    port = free_port()
    stack.enter_context(serving(queuey_command(folder, port), port, folder / "servers.log"))
    ways = [(f"queuey, {_size(claim)}apart", claim, False) for claim in claims]
    if fused:
        ways.append(("queuey, fused", 1, True))
    return [queuey_side(port, name, f"q{number}", claim, fused) for number, (name, claim, fused) in enumerate(ways)]


def _size(claim: int) -> str:
    return f"claims of {claim}, " if claim > 1 else ""


def queuey_side(port: int, name: str, queue: str, claim: int = 1, fused: bool = False) -> Side:
    """A queue of a daemon, with a group ``g`` that has come to its end."""
    make_queue(port, queue)
    group = f"/v2/bench/queues/{queue}/groups/g"
    ask(port, "PUT", group, b"{}", "application/json")
    options = {"group": group, "claim": claim, "fused": fused}
    return Side(name, "queuey", port, partial(fill_queuey, port, queue), partial(left_in_queuey, port, group), options)


def fill_queuey(port: int, queue: str, count: int) -> None:
    """Post messages in batches."""
    connection = HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    fields = {"Authorization": f"Application {KEY}", "Content-Type": "application/json"}
    try:
        for size in batches(count):
            connection.request("POST", f"/v1/bench/{queue}", batch(size, len(BODY)), fields)
            answer = connection.getresponse()
            if answer.read() and answer.status != 201:
                raise SystemExit(f"a batch was answered {answer.status}")
    finally:
        connection.close()


def left_in_queuey(port: int, group: str) -> int:
    """How many messages a group has not settled: takes what is left, and counts it, since ``lag`` is exact only for a
    few."""
    left = 0
    while True:
        body = json.dumps({"limit": BATCH, "max_bytes": 1 << 24}).encode()
        messages = ask(port, "POST", f"{group}/claims", body, "application/json").json["messages"]
        if not messages:
            return left
        left += len(messages)
        done = json.dumps({"ack": [message["receipt"] for message in messages]}).encode()
        ask(port, "POST", f"{group}/settlements", done, "application/json")


# Redis


def redis(stack: ExitStack, folder: Path) -> Side:
    """A stream of Redis with a consumer group."""
    port = brokers.redis(stack, folder)
    ask_redis(port, "XGROUP", "CREATE", "q", "g", "0", "MKSTREAM")
    return Side("Redis streams", "redis", port, partial(fill_redis, port), partial(left_in_redis, port))


def fill_redis(port: int, count: int) -> None:
    """Add entries to the stream."""
    exchange(port, [command(b"XADD", b"q", b"*", b"body", BODY)] * count, reply_end, b"$")


def left_in_redis(port: int) -> int:
    """Entries that the group has not read, and those that it has read and not acknowledged."""
    words = ask_redis(port, "XINFO", "GROUPS", "q").split()
    group = dict(zip(words[::2], words[1::2], strict=True))
    return int(group["lag"]) + int(group["pending"])


# beanstalkd


def beanstalkd(stack: ExitStack, folder: Path) -> Side:
    """The tube ``default`` of a beanstalkd that syncs its log at each change."""
    port = free_port()
    program = ["beanstalkd", "-l", "127.0.0.1", "-p", str(port), "-b", str(folder), "-f", "0"]
    stack.enter_context(serving(program, port, folder / "beanstalkd.log"))
    fill, left = partial(fill_beanstalkd, port), partial(left_in_beanstalkd, port)
    return Side("beanstalkd", "beanstalkd", port, fill, left)


def line_end(received: bytes) -> int | None:
    """Where the first line ends, or ``None`` if it is not whole."""
    return received.find(b"\r\n") + 2 or None if b"\r\n" in received else None


def fill_beanstalkd(port: int, count: int) -> None:
    """Put jobs into the tube."""
    exchange(port, [b"put 1 0 600 %d\r\n%s\r\n" % (len(BODY), BODY)] * count, line_end, b"INSERTED ")


def left_in_beanstalkd(port: int) -> int:
    """Jobs that are ready or reserved."""
    with socket.create_connection(("127.0.0.1", port), LIMIT) as made:
        made.sendall(b"stats-tube default\r\n")
        answer = b""
        while not answer.endswith(b"\r\n\r\n") and not re.search(rb"cmd-pause-tube: \d+\n.*\r\n", answer, re.DOTALL):
            answer += made.recv(65536)
    counts = dict(re.findall(rb"current-jobs-(\w+): (\d+)", answer))
    return int(counts[b"ready"]) + int(counts[b"reserved"])


def exchange(port: int, requests: list[bytes], end: Callable[[bytes], int | None], good: bytes) -> None:
    """Send requests, some hundreds at a time, and check that each answer begins as a good one does.

    :raise SystemExit: one does not.
    """
    with socket.create_connection(("127.0.0.1", port), LIMIT) as made:
        for start in range(0, len(requests), BATCH):
            some = requests[start : start + BATCH]
            made.sendall(b"".join(some))
            received, answers = b"", 0
            while answers < len(some):
                at = end(received)
                if at is None:
                    received += made.recv(65536)
                    continue
                if not received.startswith(good):
                    raise SystemExit(f"a message was not stored: {received[:at]!r}")
                received, answers = received[at:], answers + 1


# PostgreSQL

TABLE: Final = (
    "CREATE TABLE jobs (id bigserial PRIMARY KEY, body bytea NOT NULL, taken timestamptz);"
    "CREATE INDEX ready ON jobs (id) WHERE taken IS NULL"
)


def postgresql(stack: ExitStack, folder: Path) -> Side:
    """A cluster of PostgreSQL's own settings, with one table and an index of the rows that are not taken.

    PostgreSQL refuses to run as root; then it runs as the user ``postgres``.
    """
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if os.getuid() == 0 else []
    if become:
        folder.chmod(0o777)
        for above in folder.parents:
            if above.stat().st_uid == 0 and not above.stat().st_mode & 0o001:
                above.chmod(above.stat().st_mode | 0o001)
    data, port = folder / "data", free_port()
    programs = initdb().parent
    made = [*become, str(programs / "initdb"), "-D", str(data), "-U", user, "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL, timeout=LIMIT, cwd="/")
    settings = ["-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-c", "max_connections=200"]
    program = [*become, str(programs / "postgres"), "-D", str(data), *settings]
    stack.enter_context(serving(program, port, folder / "postgresql.log"))
    query = partial(ask_postgresql, port, user)
    query(TABLE)
    return Side(
        "PostgreSQL",
        "postgresql",
        port,
        lambda count: fill_postgresql(query, count),
        lambda: int(query("SELECT count(*) FROM jobs")),
        {"user": user, "database": "postgres"},
    )


def initdb() -> Path:
    """The newest ``initdb`` of this machine; Debian keeps it out of PATH.

    :raise SystemExit: there is none.
    """
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if programs:
        return programs[-1]
    path = Path(found("initdb"))
    if not path.is_absolute():
        raise SystemExit("peers are missing; on Debian, as root: apt-get install postgresql")
    return path.resolve()


def ask_postgresql(port: int, user: str, text: str) -> str:
    """What PostgreSQL answers a query."""
    program = ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", user, "-d", "postgres", "-qAtX", "-c", text]
    done = subprocess.run(program, check=True, capture_output=True, text=True, timeout=LIMIT)
    return done.stdout.strip()


def fill_postgresql(query: Callable[[str], str], count: int) -> None:
    """Insert rows, and let the planner know of them, as autovacuum would after a while."""
    body = f"convert_to('{BODY.decode()}', 'UTF8')"
    query(f"INSERT INTO jobs (body) SELECT {body} FROM generate_series(1, {count})")
    query("VACUUM ANALYZE jobs")
