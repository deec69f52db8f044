"""POSTs while 100,000 messages that have expired are swept, against POSTs before and after that.

The folder is filled through the store, with some queues whose messages all expire at one moment each. POSTs of
140 bytes go on all the time; from when to when a sweep takes place is seen by a look into the database.

    python -m bench.sweep [SWEEPS [COUNT [PAUSE]]]
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import apsw

from bench import figures
from bench.arguments import Number, run
from bench.figures import Interval
from bench.folders import fill_with_messages
from bench.servers import free_port, loading, make_queue, queuey_command, request, serving
from queuey.model.timeid import from_seconds
from queuey.storage.sqlite.database.files import DATABASE

CONNECTIONS = 32
LIMIT = 60.0
"""Seconds that a sweep may take."""

_FIRST = "SELECT seq FROM messages WHERE expires <= ? ORDER BY expires, queue, seq LIMIT 1"
_LET_EXPIRE = "UPDATE messages SET expires = ? WHERE queue = (SELECT queue FROM queues WHERE name = ?)"


def main(sweeps: int, count: int, pause: float) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queuey-bench-")))
        names = [f"short-lived-{number}" for number in range(sweeps)]
        for name in names:
            fill_with_messages(folder, name, count, 140)
        port = free_port()
        stack.enter_context(serving(queuey_command(folder, port), port, folder / "servers.log"))
        make_queue(port, "q")
        database = stack.enter_context(closing(apsw.Connection(str(folder / "data" / DATABASE))))
        database.set_busy_timeout(5000)
        first = time.time() + sweeps * count / 100_000 + 1 + pause
        times = [first + pause * number for number in range(sweeps)]
        let_expire(database, names, times)
        one = request("POST", "/v1/bench/q", b"x" * 140, Content_Type="text/plain")
        running = stack.enter_context(loading(port, CONNECTIONS, times[-1] + LIMIT - time.time(), one))
        intervals = [watch(database, moment) for moment in times]
        time.sleep(pause / 2)
        figures.show_in_and_out(f"{count} expired messages are swept", running.stop(), intervals)


def let_expire(database: apsw.Connection, names: Sequence[str], times: Sequence[float]) -> None:
    """Give all messages of each queue the same moment to expire at, in seconds since 1970."""
    for name, moment in zip(names, times, strict=True):
        database.execute(_LET_EXPIRE, (from_seconds(moment), name))
    if time.time() > times[0] - 2:
        raise SystemExit("the first messages expire before POSTs go on: give it a longer pause")


def watch(database: apsw.Connection, moment: float) -> Interval:
    """Wait for the sweep of what expires at some moment to begin and to end."""
    time.sleep(max(0.0, moment - time.time()))
    bound = (from_seconds(moment),)
    first = database.execute(_FIRST, bound).get
    begin = None
    while time.time() < moment + LIMIT:
        now = database.execute(_FIRST, bound).get
        if begin is None and now != first:
            begin = time.time()
        if now is None:
            return Interval(begin or moment, time.time())
        time.sleep(0.01)
    raise SystemExit(f"the sweep was not over after {LIMIT:.0f} s")


if __name__ == "__main__":
    run(main, sweeps=Number(3), count=Number(100_000), pause=Number(8.0))
