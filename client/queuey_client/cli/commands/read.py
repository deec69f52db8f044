"""``queuey read`` and ``queuey get``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Callable

import click

from queuey_client.cli import completing
from queuey_client.cli.arguments.times import MOMENT
from queuey_client.cli.display.printing import Printer, document_of
from queuey_client.cli.failures import NO_MESSAGES
from queuey_client.cli.following.one_queue import PAGE, reader_places
from queuey_client.cli.options import Command
from queuey_client.cli.progress import Progress
from queuey_client.cli.settings import Settings
from queuey_client.core.reading import FollowOptions, ReadOptions
from queuey_client.core.values import Message

Function = Callable[..., Any]


def reading_options(command: Function) -> Function:
    """Add the options that ``read`` and ``tail`` share."""
    for option in (
        click.option("--on-gap", type=click.Choice(["raise", "warn", "ignore"]), default="warn", show_default=True,
                     help="what to do if messages were removed before they could be read"),
        click.option("--grep", metavar="REGEX", help="only messages with this in their body; this computer searches"),
        click.option("--null", "null", is_flag=True, help="print bodies alone, each followed by a NUL character"),
        click.option("--raw", is_flag=True, help="print bodies alone, each followed by a newline"),
        click.option("--reader", metavar="NAME",
                     help="continue where the last run with this name stopped; the place is kept in "
                     "~/.local/state/queuey"),
        click.option("-p", "--partition", type=click.IntRange(1), multiple=True, metavar="N",
                     help="only this partition; may be repeated"),
        click.option("--after", metavar="PLACE", help="begin after this message id or cursor"),
        click.option("--since", type=MOMENT, metavar="TIME|DURATION",
                     help="begin at a time such as 2026-01-31T12:00:00Z or 1769860800 (seconds since 1970), "
                     "or so long ago: 2h"),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command("read", cls=Command, epilog="queuey read orders --since 2h --ndjson\nqueuey read orders --raw -n 10")
@click.argument("queue", shell_complete=completing.queues)
@reading_options
@click.option("--until", type=MOMENT, metavar="TIME|DURATION", help="end before this time, written as for --since")
@click.option("-n", "--limit", type=click.IntRange(0), metavar="N", help="print at most N messages  [default: all]")
@click.option("--newest", is_flag=True, help="print the newest message first")
@click.option("--dump", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
              help="write each body to a file in this folder, named by the id of the message")  # fmt: skip
@click.option("--fail-empty", is_flag=True, help="exit with status 6 if there was no message")
@click.option("--progress/--no-progress", default=None, help="show progress  [default: after a second, on a terminal]")
@click.pass_obj
def read(
    settings: Settings,
    queue: str,
    since: datetime | None,
    after: str | None,
    partition: tuple[int, ...],
    reader: str | None,
    raw: bool,
    null: bool,
    grep: str | None,
    on_gap: str,
    until: datetime | None,
    limit: int | None,
    newest: bool,
    dump: Path | None,
    fail_empty: bool,
    progress: bool | None,
) -> int:
    """Print the messages of a queue, the oldest first. Reading removes nothing."""
    order = "desc" if newest else "asc"
    page = PAGE if limit is None or grep else max(1, min(PAGE, limit))
    options = ReadOptions(after, since, until, order, limit=page, partitions=partition)
    found = settings.client.queue(queue)
    follow = FollowOptions(options, reader=reader, cursors=reader_places(settings, queue, reader), on_gap=on_gap)
    messages = matching(found._driver.iterate(found._calls.messages(follow)), grep)
    printer = Printer(settings.output, raw or null, b"\0" if null else b"\n", dump)
    with Progress(settings.progress(progress, prints=True), f"read {queue}", limit) as bar:
        count = printer.all(counted(islice(messages, limit), bar))
    return NO_MESSAGES if fail_empty and not count else 0


@click.command("get", cls=Command, epilog="queuey get orders ID --raw")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("id")
@click.option("--raw", is_flag=True, help="print the body alone, without a newline")
@click.pass_obj
def get(settings: Settings, queue: str, id: str, raw: bool) -> None:
    """Print one message. ID is the id that post and read print."""
    message = settings.client.queue(queue).get(id)
    output = settings.output
    if output.form == "json" and not raw:
        output.document(document_of(message))
        output.flush()
        return
    Printer(output, raw, b"").all([message])


def matching(messages: Iterator[Message], grep: str | None) -> Iterator[Message]:
    """Give the messages in whose bodies something is found. :raise click.UsageError: if that is no expression."""
    if grep is None:
        return messages
    try:
        wanted = re.compile(grep.encode())
    except re.error as error:
        raise click.UsageError(f"--grep: {error}") from None
    return (message for message in messages if wanted.search(message.body))


def counted(messages: Iterable[Message], bar: Progress) -> Iterator[Message]:
    """Give messages, and show how many there were."""
    for count, message in enumerate(messages, 1):
        yield message
        bar.update(count)
