"""``queuey purge``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import islice, takewhile

import click

from queuey_client.cli import completing
from queuey_client.cli.arguments.times import SPOT
from queuey_client.cli.display.printing import time_text
from queuey_client.cli.options import Command
from queuey_client.cli.settings import Settings
from queuey_client.core.counted import counted
from queuey_client.core.reading import FollowOptions, ReadOptions
from queuey_client.core.values import Message
from queuey_client.sync.queue import Queue

COUNTED = 10_000
"""How many messages are counted at most before the question, which then says that there are more."""


@click.command("purge", cls=Command, epilog="queuey purge orders 7d --dry-run\nqueuey purge orders now --yes")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("before", type=SPOT)
@click.option("--yes", is_flag=True, help="do not ask for confirmation")
@click.option("--dry-run", is_flag=True, help="print how many messages there are, and delete none")
@click.pass_obj
def purge(settings: Settings, queue: str, before: datetime | str, yes: bool, dry_run: bool) -> None:
    """Delete all messages that are older than BEFORE.

    BEFORE is a time, a duration (7d is seven days ago), the id of a message, or now. The messages are counted first, by
    reading up to 10,000 of them, and you are asked for confirmation.
    """
    target = settings.client.queue(queue)
    if isinstance(before, datetime) and before > datetime.now(timezone.utc):
        raise click.UsageError("BEFORE is in the future; the latest is now")
    place = time_text(before) if isinstance(before, datetime) else before
    count = _count(target, before)
    more = count > COUNTED
    shown = counted(f"more than {COUNTED}" if more else count, "message")
    if not dry_run:
        settings.confirm(f"Delete {shown} of {json.dumps(queue)} older than {place}?", yes)
        target.purge(before)
    document = {
        "queue": queue,
        "before": place,
        "messages": min(count, COUNTED),
        "exact": not more,
        "deleted": not dry_run,
    }
    row = {"messages": f">{COUNTED}" if more else count}
    if settings.output.tables:
        settings.output.rows(("messages",), [(row, document)])
    else:
        settings.output.document(document)


def _count(queue: Queue, before: datetime | str) -> int:
    until = before if isinstance(before, datetime) else None
    options = ReadOptions(until=until, limit=1000)
    found: Iterator[Message] = queue._driver.iterate(queue._calls.messages(FollowOptions(options, on_gap="ignore")))
    if isinstance(before, str) and before != "now":
        # Ids sort by time; what stands behind the hyphen is the partition.
        place = before.partition("-")[0]
        found = takewhile(lambda message: message.id.partition("-")[0] < place, found)
    return sum(1 for _ in islice(found, COUNTED + 1))
