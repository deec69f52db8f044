"""Long histories of consumer groups: ``python -m tests.histories [--store sqlite|cassandra] [--minutes N] [--seed N]
[--workers N]``.

Producers that repeat, workers that settle late, twice and with receipts that do not hold, readers, seeks and redrives,
over HTTP through proxies that cut connections, before servers that are killed, paused, set in time and left without
room. With Cassandra there are two front ends of one keyspace on three nodes of its own, and all of these are killed
and paused.

It prints the seed, how many operations there were by kind and outcome, the faults, and at how much each checker looked.
Where something is wrong it says what, keeps the whole history in a file, and its exit status is 1.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from tests.histories.clients import new_seed
from tests.histories.groups.daemons import FARTHEST, OneDaemon
from tests.histories.groups.daemons import SETTLES as DUE
from tests.histories.groups.field import Field, Load
from tests.histories.groups.frontends import TwoFrontEnds
from tests.live.cassandra.fronts import LEEWAY, SETTLE
from tests.live.cassandra.nodes import needs, running

STORES: Final = ("sqlite", "cassandra")

BETWEEN: Final = (2.0, 8.0)
"""Seconds between two faults."""

SETTLES: Final = 2.0 + SETTLE + LEEWAY
"""Seconds after which everything that was posted shows, delays included."""


def say(text: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def break_for(minutes: float, seed: int, break_something: Callable[[], None]) -> None:
    """Break one thing after another, for so long."""
    random = Random(f"pauses of {seed}")
    until = time.monotonic() + 60 * minutes
    while time.monotonic() < until:
        time.sleep(random.uniform(*BETWEEN))
        break_something()


def on_sqlite(
    folder: Path, minutes: float, seed: int, ends: ExitStack, workers: int = 1
) -> tuple[Field, list[str], str]:
    """One daemon over one folder.

    :param workers: processes that serve; of several, one is killed now and then, and their clocks are not set.
    :return: the history, what is wrong, and the log.
    """
    field = Field([], seed, Load(workers=3, pause=0.5, jumps=FARTHEST, settles=DUE))
    daemon = OneDaemon(folder, seed, field.history, field.clock, ends, workers)
    if daemon.why_no_disk:
        say(f"no disk is filled: {daemon.why_no_disk}")
    daemon.start()
    field.targets = (daemon.proxy,)
    field.set_up(daemon)
    with field.at_work():
        break_for(minutes, seed, daemon.break_something)
        if workers == 1:
            daemon.set_clock(0.0)
    daemon.proxy.calm()
    wrong = field.judge(daemon)
    daemon.stop()
    return field, wrong + list(daemon.defects()), daemon.log()


def on_cassandra(folder: Path, minutes: float, seed: int, ends: ExitStack) -> tuple[Field, list[str], str]:
    """Two front ends on three nodes; the same."""
    needs()
    field = Field([], seed, Load(workers=3, pause=1.0, settles=SETTLES))
    cluster = ends.enter_context(running(3, folder / "cluster"))
    both = TwoFrontEnds(
        folder, cluster.hosts, cluster.port, seed, field.history, ends, cluster=cluster, replication="3"
    )
    both.start()
    field.targets = tuple(both.proxies)
    field.set_up(both.fronts[0])
    with field.at_work():
        break_for(minutes, seed, both.break_something)
        both.calm()
    wrong = field.judge(both.fronts[0])
    both.stop()
    return field, wrong + list(both.defects()), both.log()


def main() -> int:
    """Run one history; the exit status is 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.histories")
    parser.add_argument("--store", choices=STORES, default="sqlite")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N")
    parser.add_argument("--seed", type=int, default=None, metavar="N", help="decides about all that is random")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that serve, on SQLite")
    parser.add_argument(
        "--keep", default=".", metavar="FOLDER", help="where a history goes in which something is wrong"
    )
    told = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seed = new_seed() if told.seed is None else told.seed
    say(f"store {told.store}, {told.minutes:g} minutes, seed {seed}")
    run = partial(on_sqlite, workers=told.workers) if told.store == "sqlite" else on_cassandra
    with (
        tempfile.TemporaryDirectory(prefix="queuey-histories-", ignore_cleanup_errors=True) as name,
        ExitStack() as ends,
    ):
        field, wrong, log = run(Path(name), told.minutes, seed, ends)
    for line in field.report():
        say(line)
    if not wrong:
        say("nothing is wrong")
        return 0
    say("\n".join(wrong))
    say(f"{len(wrong)} lines of what is wrong; {field.keep(told.store, log)}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
