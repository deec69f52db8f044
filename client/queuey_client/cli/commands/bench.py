"""``queuey bench``."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click

from queuey_client.cli.commands.bench_load import GROUP, LONGEST_WAIT, Load, Outcome, Plan, run_in_process
from queuey_client.cli.failures import REFUSED, Failure
from queuey_client.cli.options import Command
from queuey_client.cli.progress import Progress
from queuey_client.cli.settings import Settings, complain
from queuey_client.core.counted import counted
from queuey_client.core.reading import FollowOptions, ReadOptions
from queuey_client.sync.queue import Queue

KINDS = ("post", "batch", "stream", "read", "claim", "latency", "mixed")
LONGEST = 600.0
"""Seconds of the longest run."""

FILL = 10_000
"""Messages that are stored before they are read or claimed."""

PERCENTILES = (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99), ("max_ms", 1.0))


@click.command("bench", cls=Command, epilog="queuey bench post -d 5\nqueuey bench latency -c 1")
@click.argument("kind", type=click.Choice(KINDS))
@click.option("-c", "--clients", type=click.IntRange(1, 500), default=32, metavar="N", show_default=True,
              help="connections of each process")  # fmt: skip
@click.option("-d", "--duration", type=click.FloatRange(0.1, LONGEST), default=10.0, metavar="S", show_default=True,
              help=f"seconds, up to {LONGEST:.0f}")  # fmt: skip
@click.option("-s", "--size", type=click.IntRange(0, 1 << 24), default=140, metavar="BYTES", show_default=True,
              help="length of each body")  # fmt: skip
@click.option(
    "-r",
    "--rate",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="send N requests a second, whether or not earlier ones are answered  [default: as many as possible]",
)
@click.option("--processes", type=click.IntRange(1, 64), default=1, metavar="N", show_default=True,
              help="processes of this computer that send requests")  # fmt: skip
@click.option("--payload", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="the file that each body is a copy of, instead of --size")  # fmt: skip
@click.option("--keys", is_flag=True, help="send an Idempotency-Key with each request")
@click.option("--guarantee", metavar="G", help="the queue's guarantee, such as exactly-once")
@click.option("--partitions", type=click.IntRange(1), metavar="N", help="the queue's partitions")
@click.option(
    "--csv",
    "csv",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="write a line for each request: the second in which it began, and the seconds that it took",
)
@click.pass_obj
def bench(
    settings: Settings,
    kind: str,
    clients: int,
    duration: float,
    size: int,
    rate: float | None,
    processes: int,
    payload: Path | None,
    keys: bool,
    guarantee: str | None,
    partitions: int | None,
    csv: Path | None,
) -> int:
    """Measure how many requests a server answers, and how long they take.

    \b
    post     store one message with each request
    batch    store 100 messages with each request
    stream   store 1,000 messages over each stream
    read     read pages of 100 messages
    claim    claim and ack 100 messages at a time
    latency  store a message, and wait until a reader gets it
    mixed    a third of the clients each: post, read, claim

    It makes a queue of its own, and removes it at the end. Then it reads back all that was stored: if messages are
    lost, the exit status is 1. One Python process sends a few thousand requests a second at most; with --processes it
    is more.
    """  # fmt: skip
    settings.connections = clients
    body = payload.read_bytes() if payload is not None else b"x" * size
    queue = settings.client.queue(f"queuey-bench-{secrets.token_hex(6)}")
    wanted = {"guarantee": guarantee, "partitions": partitions, "ttl": 3600}
    queue.ensure(**{name: value for name, value in wanted.items() if value is not None})
    plan = Plan(kind, queue.name, body, clients, duration, None if rate is None else rate / processes, keys)
    try:
        filled = _prepare(queue, plan)
        with Progress(settings.progress(None), f"bench {kind}, seconds", int(duration)) as bar:
            if processes == 1:
                outcomes = [Load(queue, plan).run(lambda seconds: bar.update(int(seconds)))]
            else:
                outcomes = _in_processes(settings, plan, processes, bar)
        stored = filled + sum(each.stored for each in outcomes)
        there = _read_back(queue, body, stored)
    finally:
        queue.remove()
    times = sorted((each for outcome in outcomes for each in outcome.times), key=lambda each: each[0])
    if csv is not None:
        csv.write_text("".join(f"{began:.6f},{took:.6f}\n" for began, took in times), encoding="utf-8")
    result = _summary(plan, processes, outcomes, [took for _, took in times])
    lost = max(0, stored - there)
    settings.output.record({**result, "stored": stored, "read_back": there, "lost": lost})
    failures = [each.failure for each in outcomes if each.failure is not None]
    if failures:
        raise Failure(failures[0])
    if lost:
        complain(f"{counted(lost, 'message was', 'messages were')} acknowledged, but cannot be read")
        return REFUSED
    return 0


def _prepare(queue: Queue, plan: Plan) -> int:
    """Store messages to read or claim, and make the group. :return: how many messages are stored."""
    if plan.kind in ("claim", "mixed"):
        queue.group(GROUP).ensure()
    if plan.kind not in ("read", "claim"):
        return 0
    size = max(1, min(1000, (1 << 19) // max(1, len(plan.body))))
    stored = 0
    while stored < FILL and stored * len(plan.body) < 1 << 28:
        stored += len(queue.post_all([plan.body] * size).ids)
    return stored


def _in_processes(settings: Settings, plan: Plan, processes: int, bar: Progress) -> list[Outcome]:
    environment, given = settings.for_another_process()
    began = time.monotonic()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(run_in_process, environment, given, plan) for _ in range(processes)]
        while wait(running, timeout=0.2).not_done:
            bar.update(int(time.monotonic() - began))
        return [each.result() for each in running]


def _read_back(queue: Queue, body: bytes, stored: int) -> int:
    """Count the messages that are there, with the right body; what was stored last is shown after a moment."""
    options = FollowOptions(ReadOptions(limit=1000), on_gap="ignore")
    until = time.monotonic() + LONGEST_WAIT
    while True:
        there = sum(message.body == body for message in queue._driver.iterate(queue._calls.messages(options)))
        if there >= stored or time.monotonic() > until:
            return there
        time.sleep(0.2)


def _summary(plan: Plan, processes: int, outcomes: Sequence[Outcome], times: list[float]) -> dict[str, Any]:
    seconds = max(0.001, max(each.seconds for each in outcomes))
    requests = sum(each.requests for each in outcomes)
    messages = sum(each.messages for each in outcomes)
    times.sort()
    found: dict[str, Any] = {
        "kind": plan.kind,
        "processes": processes,
        "clients": plan.clients * processes,
        "seconds": round(seconds, 3),
        "requests": requests,
        "requests_per_s": round(requests / seconds, 1),
        "messages": messages,
        "messages_per_s": round(messages / seconds, 1),
        "errors": sum(each.errors for each in outcomes),
    }
    for name, part in PERCENTILES:
        found[name] = round(1000 * times[min(len(times) - 1, int(part * len(times)))], 3) if times else None
    return found
