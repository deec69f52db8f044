"""``queuey top``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import click

from queuey_client.cli import completing
from queuey_client.cli.commands.groups import row_of
from queuey_client.cli.commands.queues import held
from queuey_client.cli.commands.top_of_daemon import COLUMNS as COLUMNS_OF_DAEMON
from queuey_client.cli.commands.top_of_daemon import LookAtDaemon, check_sort
from queuey_client.cli.options import Command
from queuey_client.cli.settings import Settings
from queuey_client.core.errors import NotFound
from queuey_client.core.values import QueueInfo

MAX_QUEUES = 500
"""Queues that are looked at."""

COLUMNS = ("queue", "messages", "bytes", "oldest_age", "change_per_s", "groups", "behind", "in_flight", "group_age")
SORTS = {
    "behind": "behind",
    "messages": "messages",
    "bytes": "bytes",
    "age": "oldest_age",
    "change": "change_per_s",
    "stored": "stored_per_s",
    "given": "given_per_s",
    "acked": "acked_per_s",
    "name": "queue",
}
"""What can be sorted by, and the column of each."""

KEYS = {"b": "behind", "m": "messages", "y": "bytes", "a": "age", "c": "change", "n": "name"}
KEYS_OF_DAEMON = {"b": "behind", "m": "messages", "y": "bytes", "a": "age", "s": "stored", "g": "given", "k": "acked",
                  "n": "name"}  # fmt: skip
"""Keys of the keyboard that choose it, too."""

Row = dict[str, Any]


@click.command("top", cls=Command, epilog="queuey top\nqueuey top --once --sort messages")
@click.argument("prefix", default="", shell_complete=completing.queues)
@click.option("-s", "--sort", type=click.Choice([*SORTS]), default="behind", show_default=True)
@click.option("-i", "--interval", type=click.FloatRange(0.2, 3600), default=2.0, metavar="SECONDS", show_default=True)
@click.option("--ops", metavar="ADDRESS", help="the operators' port of a daemon: unix:PATH or a URL (QUEUEY_OPS)")
@click.option("--token-file", metavar="FILE", help="the file with the token of the operators' port")
@click.option("--once", is_flag=True, help="print one table and end. A pipe, --json and --ndjson always do so.")
@click.pass_obj
def top(
    settings: Settings, prefix: str, sort: str, interval: float, once: bool, ops: str | None, token_file: str | None
) -> None:
    """Show the queues whose names begin with PREFIX, every two seconds, until Ctrl-C.

    \b
    messages, bytes  what the queue holds (~ marks an estimate)
    oldest_age       age of the oldest message, in seconds
    change_per_s     messages stored minus messages removed, each second
    behind           messages that its consumer groups still have to handle
    in_flight        messages that workers have now
    group_age        age of the oldest message that a group still has to handle

    With --ops it shows the busiest queues of the daemon, of all applications or of the one that is named. In place of
    change_per_s there are

    \b
    stored_per_s  messages stored each second, over the last minute
    given_per_s   messages given to readers and workers
    acked_per_s   messages acknowledged

    The keys b, m, y, a, c and n sort by behind, messages, bytes, age, change and name; with --ops, s, g and k by
    stored, given and acked.
    """  # fmt: skip
    settings.give("ops", ops)
    settings.give("token_file", token_file)
    address = settings.ops
    check_sort(sort, address)
    columns, keys = (COLUMNS, KEYS) if address is None else (COLUMNS_OF_DAEMON, KEYS_OF_DAEMON)
    if address is None:
        rows_by: Callable[[str], list[Row]] = _Look(settings, prefix).rows
    else:
        daemon = LookAtDaemon(settings, address, prefix, MAX_QUEUES)
        rows_by = lambda sort: daemon.rows(sort, SORTS[sort])  # noqa: E731
    output = settings.output
    if once or not output.terminal or not output.tables:
        output.rows(columns, [({**row, **shown(row)}, row) for row in rows_by(sort)])
        return
    from queuey_client.cli.display.live_table import Keys, live

    chosen = output.chosen(columns, [])
    with Keys(keys, sort) as pressed:

        def rows_now() -> list[Row]:
            return [{**row, **shown(row)} for row in rows_by(pressed.chosen)]

        live(chosen, rows_now, interval, pressed, output.colour)


def shown(row: Row) -> Row:
    """Return the cells that are not numbers alone: estimates, and lower bounds."""
    about = "~" if row["approximate"] else ""
    least = "" if row["exact"] else ">="
    return {
        "messages": None if row["messages"] is None else f"{about}{row['messages']}",
        "bytes": None if row["bytes"] is None else f"{about}{row['bytes']}",
        "behind": None if row["behind"] is None else f"{least}{row['behind']}",
    }


class _Look:
    """Looks at the queues, and remembers what they held the last time."""

    def __init__(self, settings: Settings, prefix: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._prefix = prefix
        self._clock = clock
        self._before: Mapping[str, int] = {}
        self._at: float | None = None

    def rows(self, sort: str) -> list[Row]:
        """Return a row for each queue."""
        client = self._settings.client
        infos = list(islice(client.queues(self._prefix, counts=True), MAX_QUEUES))
        now = self._clock()
        seconds = None if self._at is None else max(now - self._at, 0.001)
        rows = [row for each in infos if (row := self._row(each, seconds)) is not None]
        self._before = {each.name: each.counts.messages for each in infos if each.counts is not None}
        self._at = now
        column = SORTS[sort]
        if sort == "name":
            return rows
        return sorted(rows, key=lambda row: -abs(row[column] or 0))

    def _row(self, info: QueueInfo, seconds: float | None) -> Row | None:
        queue = self._settings.client.queue(info.name)
        try:
            # A list of groups does not say how far they are behind.
            groups = [each if each.lag else queue.group(each.name).info() for each in queue.groups()]
        except NotFound:
            return None  # it was removed meanwhile
        found = [row_of(each) for each in groups]
        ages = [each["oldest_age"] for each in found if each["oldest_age"] is not None]
        counts, before = info.counts, self._before.get(info.name)
        change = None
        if seconds is not None and counts is not None and before is not None:
            change = (counts.messages - before) / seconds
        return {
            "queue": info.name,
            "messages": None if counts is None else counts.messages,
            "bytes": None if counts is None else counts.bytes,
            "approximate": counts is not None and counts.approximate,
            "oldest_age": held(info).get("oldest_age"),
            "change_per_s": change,
            "groups": len(groups),
            "behind": sum(lag.behind for each in groups for lag in each.lag) if groups else None,
            "exact": all(lag.exact for each in groups for lag in each.lag),
            "in_flight": sum(each["in_flight"] for each in found) if groups else None,
            "group_age": max(ages) if ages else None,
        }
