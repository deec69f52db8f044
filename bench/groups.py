"""Consumer groups: claiming ten messages and acking them, over and over, against posting such messages singly.

Eight workers share a group of one queue, and then a thousand queues; eight connections post. The workers do the same
with claims of one message. Then
a group that is a million messages behind, against one of the same queue that has only just fallen behind. What is
claimed is posted in batches before each round.

    python -m bench.groups [ROUNDS [SECONDS [QUEUES [BEHIND]]]] [--cassandra]

With ``--cassandra`` also claims of 1, 10 and 100 messages on a node of Cassandra, which it starts and ends (``make
cassandra`` comes first): by workers that share a group, where claims and settlements that come together share a
transaction, and by workers with a queue each, where every claim and every settlement is a transaction of its own.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import attrs

from bench import figures
from bench.arguments import ROUNDS, SECONDS, Number, run
from bench.cassandra import front_end
from bench.folders import fill_with_messages
from bench.load import NUMBER
from bench.servers import KEY, ask, batch, free_port, make_queue, queuey_command, request, serving
from bench.workers import work
from tests.live.cassandra.nodes import running

WORKERS: Final = 8
CLAIM: Final = 10
SIZE: Final = 140
BATCH: Final = 1000

LIMIT: Final = 120.0
"""Seconds in which all queues have to be claimed from once."""

MOST: Final = 15_000
"""Messages a second for which there is enough; a round ends early where they do not last."""

MOST_SINGLE: Final = 5000
"""The same for claims of one message."""

CASSANDRA_MOST: Final = {1: 2000, 10: 8000, 100: 15_000}
"""The same on Cassandra, by the size of a claim."""

POST: Final = request("POST", "/v2/bench/queues/posted/messages", b"x" * SIZE, Content_Type="text/plain")


@attrs.define
class Load:
    """What workers were seen to do.

    :ivar shares: of a core that they took themselves, in each round.
    :ivar asked: claims and settlements a second, in each round.
    """

    shares: list[float] = attrs.Factory(list)
    asked: list[float] = attrs.Factory(list)

    def show(self, what: str, unit: str = "claims and settlements") -> None:
        """Print it."""
        asked, share = statistics.median(self.asked), statistics.median(self.shares)
        print(f"{what}: {asked:.0f} {unit} a second; the workers took {100 * share:.0f} % of a core", flush=True)


def main(rounds: int, seconds: float, queues: int, behind: int, cassandra: bool) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder = Path(name)
        fill_with_messages(folder, "behind", behind, SIZE)
        port = free_port()
        with serving(queuey_command(folder, port), port, folder / "servers.log"):
            against_posting(port, rounds, seconds, queues)
            one_by_one(port, rounds, seconds, queues)
            far_behind(port, rounds, seconds, behind)
        if cassandra:
            with running(1, folder / "node") as cluster, front_end(folder / "front", cluster, "bench", "one") as end:
                on_cassandra(end.port, rounds, seconds)


def against_posting(port: int, rounds: int, seconds: float, queues: int) -> None:
    """Claims and acks on one queue and on many, and posting."""
    make_queue(port, "posted")
    for name, number in (("one", 1), ("many", queues)):
        make_groups(port, name, number)
    one, many = Load(), Load()
    messages = round(seconds * MOST)
    sides: dict[str, Callable[[], float]] = {
        "POSTs": partial(figures.rate, "queuey", port, WORKERS, seconds, POST),
        "messages claimed and acked, one queue": partial(claims, port, seconds, "one", 1, CLAIM, messages, one),
        f"messages claimed and acked, {queues} queues": partial(
            claims, port, seconds, "many", queues, CLAIM, messages, many
        ),
    }
    posted, shared, spread = figures.alternating(rounds, sides).values()
    one.show("one queue")
    many.show(f"{queues} queues")
    figures.show("messages claimed and acked / POSTs", shared / posted, at_least=0.5)
    figures.show(f"messages claimed and acked, {queues} queues / one queue", spread / shared, at_least=1.0)


def one_by_one(port: int, rounds: int, seconds: float, queues: int) -> None:
    """Claims of one message and acks, on one queue and on many in turn."""
    sides: dict[str, Callable[[], float]] = {}
    for name, number in (("single", 1), ("turn", queues)):
        make_groups(port, name, number)
        what = f"messages claimed one by one and acked, {number} queue{'s' if number > 1 else ''}"
        sides[what] = partial(claims, port, seconds, name, number, 1, round(seconds * MOST_SINGLE), Load())
    single, turn = figures.alternating(rounds, sides).values()
    figures.show(f"messages claimed one by one and acked, {queues} queues / one queue", turn / single, at_least=0.8)


def far_behind(port: int, rounds: int, seconds: float, behind: int) -> None:
    """Two groups of one queue."""
    for group, start in (("behind", "oldest"), ("near", "newest")):
        path = f"/v2/bench/queues/behind/groups/{group}"
        ask(port, "PUT", path, json.dumps({"start": start}).encode(), "application/json")
    sides = {
        f"a group {behind} behind": partial(group_of_behind, port, seconds, "behind"),
        "a group that is near": partial(group_of_behind, port, seconds, "near"),
    }
    far, near = figures.alternating(rounds, sides).values()
    figures.show(f"a group {behind} behind / near", far / near, at_least=0.95)


def group_of_behind(port: int, seconds: float, group: str) -> float:
    """Messages that a group of the queue ``behind`` takes in a second."""
    fill(port, ["behind"], round(seconds * MOST))
    return rate(take(port, seconds, CLAIM, f"/v2/bench/queues/behind/groups/{group}"))


def make_groups(port: int, name: str, queues: int) -> None:
    """Make queues with a group each, from which something was claimed before: what comes first is not measured."""
    for queue in names(name, queues):
        make_queue(port, queue)
    fill(port, names(name, queues), 0)
    result = take(port, LIMIT, CLAIM, groups_of(name), queues)
    if not figures.good("queuey", result)["dry"]:
        raise SystemExit(f"{queues} queues were not emptied in {LIMIT:.0f} s")


def groups_of(name: str) -> str:
    """The path of the groups of some queues, with a place for their numbers."""
    return f"/v2/bench/queues/{name}{NUMBER.decode()}/groups/g"


def claims(port: int, seconds: float, name: str, queues: int, claim: int, messages: int, seen: Load) -> float:
    """Messages that are claimed and acked in a second, of queues that are filled before."""
    fill(port, names(name, queues), messages)
    result = take(port, seconds, claim, groups_of(name), queues)
    seen.shares.append(result["cpu"] / result["seconds"])
    seen.asked.append(result["asked_rate"])
    return rate(result)


def take(port: int, seconds: float, claim: int, group: str, queues: int = 1) -> dict[str, Any]:
    """Let workers claim ``claim`` messages at once and ack them, from one group or from ``queues`` groups."""
    return work("queuey", port, WORKERS, seconds, group=group, claim=claim, fused=False, count=queues)


def rate(result: dict[str, Any]) -> float:
    """Messages acked in a second.

    :raise SystemExit: where anything was refused, or nothing was acked.
    """
    figures.good("queuey", result)
    if not result["messages"]:
        raise SystemExit("queuey gave no messages")
    return float(result["rate"])


def names(name: str, count: int) -> list[str]:
    """The names of some queues."""
    return [f"{name}{number:07d}" for number in range(count)]


def fill(port: int, queues: list[str], messages: int) -> None:
    """Post so many messages in batches: as many to each queue, and enough for one claim at the least."""
    each = max(CLAIM, messages // len(queues))
    with connected(port) as connection:
        for queue in queues:
            for start in range(0, each, BATCH):
                post(connection, queue, min(BATCH, each - start))


@contextmanager
def connected(port: int) -> Iterator[HTTPConnection]:
    """A connection that is kept until the block ends."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        yield connection
    finally:
        connection.close()


def post(connection: HTTPConnection, queue: str, count: int) -> None:
    """Post one batch."""
    fields = {"Authorization": f"Application {KEY}", "Content-Type": "application/json"}
    connection.request("POST", f"/v1/bench/{queue}", batch(count, SIZE), fields)
    answer = connection.getresponse()
    if answer.read() and answer.status != 201:
        raise SystemExit(f"a batch was answered {answer.status}")


def on_cassandra(port: int, rounds: int, seconds: float) -> None:
    """Claims of each size, of one queue and of a queue for each worker."""
    for queues in (1, WORKERS):
        for claim, most in CASSANDRA_MOST.items():
            name = f"c{claim}of{queues}q"
            make_groups(port, name, queues)
            what = f"Cassandra, claims of {claim}, {WORKERS} workers on {queues} queue{'s' if queues > 1 else ''}"
            seen = Load()
            measure = partial(claims, port, seconds, name, queues, claim, round(seconds * most), seen)
            figures.alternating(rounds, {f"{what}, messages": measure})
            seen.show(what, "claims and settlements" if queues == 1 else "transactions")


if __name__ == "__main__":
    run(
        main,
        "cassandra",
        rounds=ROUNDS,
        seconds=SECONDS,
        queues=Number(1000),
        behind=Number(1_000_000),
    )
