"""``queuey redrive``."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

import click

from queuey_client.cli import completing
from queuey_client.cli.arguments.times import MOMENT
from queuey_client.cli.display.printing import document_of
from queuey_client.cli.failures import PARTLY, REFUSED, Failure
from queuey_client.cli.options import Command
from queuey_client.cli.progress import Progress
from queuey_client.cli.settings import Settings
from queuey_client.core.group_calls import MAX_RECEIPTS
from queuey_client.core.reading import FollowOptions, ReadOptions
from queuey_client.core.values import Message, Redriven
from queuey_client.sync.queue import Queue

HEADER = "queuey-dead-letter"


@click.command(
    "redrive",
    cls=Command,
    epilog="queuey redrive jobs workers --all\nqueuey redrive jobs workers --since 1h --reason 'timeout' --dry-run",
)
@click.argument("queue", shell_complete=completing.queues)
@click.argument("group", shell_complete=completing.groups)
@click.option("--all", "everything", is_flag=True, help="all dead letters of the group")
@click.option("--id", "ids", multiple=True, metavar="ID", help="the dead letter with this id; may be repeated")
@click.option("--since", type=MOMENT, metavar="TIME", help="those that became dead letters at or after this time")
@click.option("--until", type=MOMENT, metavar="TIME", help="those that became dead letters before this time")
@click.option("--reason", metavar="REGEX", help="only those with this in the reason why they were given up")
@click.option(
    "--header", "headers", multiple=True, metavar="NAME=REGEX", help="only those with this in a header; may be repeated"
)
@click.option("--grep", metavar="REGEX", help="only those with this in the body")
@click.option("--dry-run", is_flag=True, help="print the dead letters, and move none")
@click.option("--rate", type=click.FloatRange(0, min_open=True), metavar="N", help="move at most N a second")
@click.option("-n", "--limit", type=click.IntRange(1), metavar="N", help="move at most N")
@click.option("--progress/--no-progress", default=None, help="show progress  [default: after a second, on a terminal]")
@click.pass_obj
def redrive(
    settings: Settings,
    queue: str,
    group: str,
    everything: bool,
    ids: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    reason: str | None,
    headers: tuple[str, ...],
    grep: str | None,
    dry_run: bool,
    rate: float | None,
    limit: int | None,
    progress: bool | None,
) -> None:
    """Deliver dead letters of GROUP again: move them back from its dead-letter queue.

    If the group has no dead-letter queue, messages that it gave up are set aside in it; --all, --id, --since and
    --until take them back as well. With --reason, --header, --grep, --dry-run, --rate or --limit this computer reads
    the dead-letter queue and chooses; these options need a dead-letter queue. The command can be repeated: no message
    is moved twice.
    """  # fmt: skip
    timed = since is not None or until is not None
    if bool(ids) + timed + everything != 1:
        raise click.UsageError("say which dead letters: --all, --id, or --since and --until")
    source = settings.client.queue(queue)
    target = source.group(group)
    chosen = reason is not None or bool(headers) or grep is not None
    output = settings.output
    if not (chosen or dry_run or rate or limit):
        with Progress(settings.progress(progress), f"redrive {queue}", len(ids) or None) as bar:
            redriven = target._driver.run(target._calls.redrive(ids, since, until, everything, bar.update))
        _finish(settings, redriven)
        return
    letters = _letters(settings, queue, group, target.info().dead_letter, since, until)
    wanted = _Wanted(ids, reason, headers, grep)
    found = islice((each for each in letters if wanted.takes(each)), limit)
    if dry_run:
        rows = ((_row(each), document_of(each)) for each in found)
        output.rows(("id", "timestamp", "original", "deliveries", "reason"), rows)
        return
    moved, left = 0, Counter[str]()
    size = MAX_RECEIPTS if rate is None else max(1, min(MAX_RECEIPTS, int(rate)))
    with Progress(settings.progress(progress), f"redrive {queue}", limit) as bar:
        while True:
            began = time.monotonic()
            part = [each.id for each in islice(found, size)]
            if not part:
                break
            some = target.redrive(part)
            moved += some.moved
            left.update(some.left)
            bar.update(moved)
            if rate is not None and len(part) == size:
                time.sleep(max(0.0, len(part) / rate - (time.monotonic() - began)))
    _finish(settings, Redriven(moved, left))


def _finish(settings: Settings, redriven: Redriven) -> None:
    """Print how many dead letters were moved.

    :raise Failure: some were left.
    """
    settings.output.record({"moved": redriven.moved})
    if redriven.left:
        numbers = ", ".join(f"{why}: {number}" for why, number in sorted(redriven.left.items()))
        raise Failure(
            f"some dead letters were left: their originals are gone, and the queue takes no copies of them ({numbers})",
            status=PARTLY if redriven.moved else REFUSED,
        )


class _Wanted:
    """Which dead letters are chosen by what stands in them."""

    def __init__(self, ids: tuple[str, ...], reason: str | None, headers: tuple[str, ...], grep: str | None) -> None:
        self._ids = frozenset(ids)
        self._reason = None if reason is None else _expression("--reason", reason)
        self._grep = None if grep is None else re.compile(_expression("--grep", grep).pattern.encode())
        self._headers = []
        for each in headers:
            name, equals, text = each.partition("=")
            if not equals:
                raise click.UsageError(f"--header: {each!r} is not NAME=REGEX")
            self._headers.append((name, _expression("--header", text)))

    def takes(self, letter: Message) -> bool:
        """Tell whether one is chosen."""
        if self._ids and letter.id not in self._ids:
            return False
        if self._reason is not None and not self._reason.search(str(_origin(letter).get("reason", ""))):
            return False
        if self._grep is not None and not self._grep.search(letter.body):
            return False
        return all(name in letter.headers and each.search(_text(letter.headers[name])) for name, each in self._headers)


def _expression(option: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise click.UsageError(f"{option}: {error}") from None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _origin(letter: Message) -> Mapping[str, Any]:
    found = letter.headers.get(HEADER)
    return found if isinstance(found, dict) else {}


def _row(letter: Message) -> Mapping[str, Any]:
    origin = _origin(letter)
    return {"original": origin.get("id"), "deliveries": origin.get("deliveries"), "reason": origin.get("reason")}


def _letters(
    settings: Settings,
    queue: str,
    group: str,
    name: str | None,
    since: datetime | None,
    until: datetime | None,
) -> Iterator[Message]:
    """Give the dead letters of a group, the oldest first."""
    if name is None:
        raise Failure(
            f"{group} has no dead-letter queue: the messages that it gave up are set aside, and cannot be searched",
            "use --all, --id or --since without --reason, --header, --grep, --dry-run, --rate and --limit",
        )
    letters = settings.client.queue(name)
    for each in _read(letters, ReadOptions(since=since, until=until, limit=1000)):
        origin = _origin(each)
        if origin.get("queue") == queue and origin.get("group") == group:
            yield each


def _read(queue: Queue, options: ReadOptions) -> Iterator[Message]:
    return queue._driver.iterate(queue._calls.messages(FollowOptions(options, on_gap="ignore")))
