"""``queuey tail``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import click

from queuey_client.cli import completing
from queuey_client.cli.arguments.times import DURATION
from queuey_client.cli.commands.read import matching, reading_options
from queuey_client.cli.display.output import Output
from queuey_client.cli.display.printing import Printer, time_text
from queuey_client.cli.failures import NO_MESSAGES, Failure
from queuey_client.cli.following.many_queues import MAX_QUEUES, Several
from queuey_client.cli.following.one_queue import Start, follow, last
from queuey_client.cli.options import Command
from queuey_client.cli.settings import Settings
from queuey_client.core.values import Message

COLUMNS = ("id", "timestamp", "content_type", "body")
OF_SEVERAL = ("queue", "timestamp", "content_type", "body")
EXAMPLES = """\
queuey tail orders
queuey tail 'log-*' --raw
queuey tail orders -F -n 3
queuey tail orders --graph --idle 2s"""

STEP = 1.0
"""Seconds of one line of a graph."""


@click.command("tail", cls=Command, epilog=EXAMPLES)
@click.argument("queue", nargs=-1, required=True, shell_complete=completing.queues)
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, 1000),
    metavar="N",
    help="begin with the last N messages  [default: 10; with several queues 0]",
)
@click.option("-F", "--no-follow", is_flag=True, help="print the last messages, and end")
@reading_options
@click.option("--count", type=click.IntRange(1), metavar="N", help="end after N messages")
@click.option("--idle", type=DURATION, metavar="DURATION", help="end when no message came for so long")
@click.option("--fail-empty", is_flag=True, help="exit with status 6 if no message came at all")
@click.option(
    "--exec",
    "command",
    metavar="COMMAND",
    help="run a shell command for each message instead of printing it. It gets the body as its standard input, and "
    "QUEUEY_ID, QUEUEY_TYPE, QUEUEY_HEADERS ... in its environment. If it fails, tail ends, and --reader begins with "
    "the same message the next time.",
)
@click.option("--graph", is_flag=True, help="print how many messages came in each second, instead of the messages")
@click.pass_obj
def tail(
    settings: Settings,
    queue: tuple[str, ...],
    lines: int | None,
    no_follow: bool,
    since: datetime | None,
    after: str | None,
    partition: tuple[int, ...],
    reader: str | None,
    raw: bool,
    null: bool,
    grep: str | None,
    on_gap: str,
    count: int | None,
    idle: float | None,
    fail_empty: bool,
    command: str | None,
    graph: bool,
) -> int:
    """Print the last messages of queues, and new ones as they come, until Ctrl-C or until the queue is closed.

    A QUEUE that ends with * stands for all queues whose names begin so, also those that are made later.
    """  # fmt: skip
    several = len(queue) > 1 or queue[0].endswith("*")
    if several and (after is not None or reader is not None or no_follow):
        raise click.UsageError("--after, --reader and --no-follow work with one queue only")
    if graph and (no_follow or command is not None or reader is not None or raw or null):
        raise click.UsageError("--graph does not go with --no-follow, --exec, --reader, --raw and --null")
    settings.connections = MAX_QUEUES if several else settings.connections
    start = Start((0 if several or graph else 10) if lines is None else lines, since, after, reader, partition, on_gap)
    output = settings.output
    with Several(settings, queue, start) as all_queues:
        if graph:
            done = _graph(output, all_queues, count, idle, grep)
            return NO_MESSAGES if fail_empty and not done else 0
        messages: Iterator[Message]
        if several:
            messages = all_queues.messages(idle)
        elif no_follow:
            messages = iter(last(settings, queue[0], start))
        else:
            messages = follow(settings, queue[0], start, idle)
        printer = Printer(output, raw or null, b"\0" if null else b"\n", None, OF_SEVERAL if several else COLUMNS)
        done = _print(output, printer, messages, grep, count, command)
    return NO_MESSAGES if fail_empty and not done else 0


def _print(
    output: Output,
    printer: Printer,
    messages: Iterator[Message],
    grep: str | None,
    count: int | None,
    command: str | None,
) -> int:
    """Print messages, or run a command for each. :return: how many."""
    done = 0
    if command is None:
        printer.start()
    try:
        for message in matching(messages, grep):
            if command is None:
                printer.one(message)
                output.flush()
            else:
                _run(command, message)
            done += 1
            if done == count:
                break
    finally:
        if hasattr(messages, "close"):
            messages.close()
    if command is None:
        printer.finish()
    return done


def _graph(output: Output, several: Several, count: int | None, idle: float | None, grep: str | None) -> int:
    """Print a line for each second: how many messages came, and their bytes. :return: how many came in all."""
    if output.form == "json":
        raise click.UsageError("--graph prints lines: --ndjson, not --json")
    done, most = 0, 1
    heard = time.monotonic()
    ends = heard + STEP
    while True:
        found: list[Message] = []
        while (left := ends - time.monotonic()) > 0 and (count is None or done < count) and not several.over:
            message = several.next(left)
            if message is not None and list(matching(iter([message]), grep)):
                found.append(message)
                done += 1
        if found:
            heard = time.monotonic()
        most = max(most, len(found))
        _graph_line(output, len(found), sum(len(each.body) for each in found), most)
        if count == done or several.over or (idle is not None and time.monotonic() - heard >= idle):
            return done
        ends = max(ends + STEP, time.monotonic())


def _graph_line(output: Output, messages: int, size: int, most: int) -> None:
    now = datetime.now(timezone.utc).replace(microsecond=0)
    row = {"time": time_text(now), "messages": messages, "bytes": size}
    if output.tables and output.terminal and output.columns is None:
        room = max(10, shutil.get_terminal_size().columns - 40)
        output.line(f"{now:%H:%M:%S}  {messages:>8} messages  {'#' * -(-messages * room // most)}")
    else:
        output.rows(("time", "messages", "bytes"), [(row, row)])
    output.flush()


def _run(command: str, message: Message) -> None:
    """Run a command for a message. :raise Failure: if it fails, so that the place of the reader is not kept."""
    sys.stdout.flush()
    done = subprocess.run(command, shell=True, input=message.body, env={**os.environ, **environment_of(message)})
    if done.returncode:
        raise Failure(f"message {message.id}: {command!r} ended with status {done.returncode}")


def environment_of(message: Message) -> Mapping[str, str]:
    """Return what a command gets to know of a message besides its body."""
    import json

    found: dict[str, Any] = {
        "QUEUEY_ID": message.id,
        "QUEUEY_QUEUE": message.queue,
        "QUEUEY_TYPE": message.content_type,
        "QUEUEY_PARTITION": str(message.partition),
        "QUEUEY_TIMESTAMP": time_text(message.timestamp) or "",
        "QUEUEY_HEADERS": json.dumps(dict(message.headers)),
        "QUEUEY_MESSAGE_KEY": message.key or "",
    }
    # An environment cannot have NUL.
    return {name: value.replace("\0", "") for name, value in found.items()}
