"""Workers that take ONE message and acknowledge it, on Queuey and on its peers, everything on the disk.

The peers are PostgreSQL (``FOR UPDATE SKIP LOCKED``), beanstalkd (``-f 0``) and Redis streams (``appendfsync
always``). All take turns, under the same program of workers. "Apart" is a claim and a settlement in requests of their
own; "fused" is a claim that settles what the claim before it gave. Then Queuey alone: claims of 10 and of 100.
The time of a sync of the disk is printed at the beginning of each round's turns, since ratios depend on it. In the end
each server has to have left what was not acknowledged, and nothing else. ``make bench-claims`` installs the peers
where it runs as root; they are started here, each with its own configuration, and end with the program.

    python -m bench.claims [ROUNDS [SECONDS]] [--apart]

With ``--apart`` claims that settle are left out.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from bench import brokers, claim_peers, figures
from bench.arguments import ROUNDS, SECONDS, run
from bench.claim_peers import Side
from bench.lone import sync

WORKERS: Final = (1, 8, 32)

MOST: Final = {1: 8_000, 8: 20_000, 32: 30_000}
"""Messages a second for which each server has enough, by the number of workers."""

BATCHES: Final = {10: 32, 100: 8}
"""Workers that share claims of each size."""

BATCHES_MOST: Final = {10: 45_000, 100: 90_000}

ASKED: Final = {
    ("PostgreSQL", "apart"): (0.6, 0.9, 1.3),
    ("PostgreSQL", "fused"): (1.1, 1.3, 2.2),
    ("beanstalkd", "apart"): (0.4, 0.6, 0.9),
    ("beanstalkd", "fused"): (0.8, 1.0, 1.6),
    ("Redis streams", "apart"): (0.5, 0.5, 0.5),
    ("Redis streams", "fused"): (1.0, 0.9, 0.9),
}
"""The least ratio to each peer, for each number of workers."""

BATCHES_ASKED: Final = {10: 25_000, 100: 50_000}
"""Messages a second, at the least."""


def compare(ours: list[Side], peers: list[Side], workers: int, rounds: int, seconds: float, page: Path) -> None:
    """Let all take turns, and print the ratio of each of ours to each of the peers."""
    print(f"== {workers} worker{'s' if workers > 1 else ''}", flush=True)
    print(f"a sync of the disk takes {sync(page, 0.5):.3f} ms", flush=True)
    sides = {side.name: partial(side.rate, workers, seconds, MOST[workers]) for side in (*ours, *peers)}
    rates = figures.alternating(rounds, sides)
    print(f"a sync of the disk takes {sync(page, 0.5):.3f} ms", flush=True)
    for peer in peers:
        for own in ours:
            way = own.name.rpartition(" ")[2]
            asked = ASKED[peer.name, way][WORKERS.index(workers)]
            figures.show(f"{own.name} / {peer.name}", rates[own.name] / rates[peer.name], at_least=asked)


def main(rounds: int, seconds: float, apart: bool) -> None:
    """Measure and print."""
    brokers.prepare(claim_peers.PROGRAMS)
    claim_peers.initdb()
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name, ExitStack() as stack:

        def folder(side: str) -> Path:
            made = Path(name) / side
            made.mkdir()
            return made

        ours = claim_peers.queuey(stack, folder("queuey"), fused=not apart)
        large = claim_peers.queuey(stack, folder("large"), tuple(BATCHES), fused=False)
        peers = [
            claim_peers.postgresql(stack, folder("postgresql")),
            claim_peers.beanstalkd(stack, folder("beanstalkd")),
            claim_peers.redis(stack, folder("redis")),
        ]
        for workers in WORKERS:
            compare(ours, peers, workers, rounds, seconds, Path(name) / "page")
        for side, (claim, workers) in zip(large, BATCHES.items(), strict=True):
            measure = partial(side.rate, workers, seconds, BATCHES_MOST[claim])
            rate = figures.alternating(rounds, {side.name: measure})[side.name]
            print(f"{side.name}, {workers} workers: {rate:.0f}/s (at least {BATCHES_ASKED[claim]})", flush=True)
        for one in (*ours, *large, *peers):
            one.check()


if __name__ == "__main__":
    run(main, "apart", rounds=ROUNDS, seconds=SECONDS)
