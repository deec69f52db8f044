"""Ten thousand claims that wait for a message: of one group, and of as many groups, each of a queue of its own.

Printed is what they cost in memory beside the same daemon without them, and beside as many connections that do
nothing; what processor time the daemon takes while nothing comes; how soon a message that comes has been given to one
of them, and how soon five hundred that come together have been given to as many.

    python -m bench.group_waits [COUNT [SECONDS]]

The daemon is looked at for SECONDS while all wait, which is less than the 20 s for which they do.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from typing import Final

from bench import figures
from bench.arguments import Number, run
from bench.load import NUMBER
from bench.servers import ask, batch, request
from bench.waits import WAIT, Daemon, connected, daemon_of_many, look
from bench.workers import work

LIMIT: Final = 300.0
"""Seconds in which all groups have to be made, and in which claims have to be answered."""

WORKERS: Final = 8
TOGETHER: Final = 500
"""Messages that come together; fewer than may be in flight."""


def main(count: int, seconds: float) -> None:
    """Measure and print."""
    # All groups are there before, and at their ends.
    with daemon_of_many(count, lambda port: settle_all(port, count)) as (daemon, alone, _):
        one_group(daemon, alone, count, seconds)
        many_groups(daemon, alone, count, seconds)


def one_group(daemon: Daemon, alone: int, count: int, seconds: float) -> None:
    """All wait for the messages of one queue."""
    with connected(daemon.port, [waiting_claim(0)] * count) as sockets:
        look(f"{count} waiting claims of one group", daemon, alone, seconds)
        for messages in (1, min(TOGETHER, count - 1)):
            began = time.perf_counter()
            ask(daemon.port, "POST", f"/v1/bench/{queue(0)}", batch(messages, 140), "application/json")
            sockets = unanswered(sockets, messages)
            took = time.perf_counter() - began
            print(f"{messages} come: as many claims have one after {took:.4f} s", flush=True)


def many_groups(daemon: Daemon, alone: int, count: int, seconds: float) -> None:
    """Each waits for the messages of a queue of its own, and one comes to the last."""
    with connected(daemon.port, [waiting_claim(number) for number in range(count)]) as sockets:
        look(f"{count} waiting claims of as many groups", daemon, alone, seconds)
        began = time.perf_counter()
        ask(daemon.port, "POST", f"/v1/bench/{queue(count - 1)}", batch(1, 140), "application/json")
        unanswered(sockets[-1:], 1)
        print(f"1 comes: its claim has it after {time.perf_counter() - began:.4f} s", flush=True)


def queue(number: int) -> str:
    """The name of a queue."""
    return f"q{number:07d}"


def claims(number: int) -> str:
    """Where the group of a queue is claimed from."""
    return f"/v2/bench/queues/{queue(number)}/groups/g/claims"


def waiting_claim(number: int) -> bytes:
    """The request that waits for one message of a queue."""
    body = b'{"limit":1,"lease":3600,"wait":%d}' % WAIT
    return request("POST", claims(number), body, Content_Type="application/json")


def settle_all(port: int, count: int) -> None:
    """Bring the groups of all queues to their ends, each of which is made by that."""
    group = f"/v2/bench/queues/q{NUMBER.decode()}/groups/g"
    result = work("queuey", port, WORKERS, LIMIT, group=group, claim=1, fused=False, count=count)
    if figures.good("queuey", result)["messages"] != count:
        raise SystemExit(f"{result['messages']} of {count} messages were settled in {LIMIT:.0f} s")


def unanswered(sockets: Sequence[socket.socket], answers: int) -> list[socket.socket]:
    """Wait until ``answers`` connections have an answer; check that each is a 200 with a message.

    :return: those that still wait.
    """
    poll, waiting = select.poll(), {each.fileno(): each for each in sockets}
    for number in waiting:
        poll.register(number, select.POLLIN)
    deadline = time.monotonic() + LIMIT
    while len(waiting) > len(sockets) - answers:
        if time.monotonic() > deadline:
            raise SystemExit(f"{answers} claims were not answered in {LIMIT:.0f} s")
        for number, _ in poll.poll(1000):
            answer = waiting[number].recv(65536)
            if not answer.startswith(b"HTTP/1.1 200 ") or b'"receipt"' not in answer:
                raise SystemExit(f"a claim was answered {answer[:500]!r}")
            poll.unregister(number)
            del waiting[number]
    return list(waiting.values())


if __name__ == "__main__":
    run(main, count=Number(10_000, least=2), seconds=Number(8.0, most=WAIT / 2))
