"""``queuey settle``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator

import click

from queuey_client.cli import completing
from queuey_client.cli.arguments.times import DURATION
from queuey_client.cli.display.output import Item
from queuey_client.cli.failures import PARTLY
from queuey_client.cli.options import Command
from queuey_client.cli.settings import Settings, complain
from queuey_client.core.errors import Stale
from queuey_client.core.group_calls import MAX_RECEIPTS
from queuey_client.sync.group import Group, Outcomes

MAX_LINE = 1 << 26
BAD = ("stale", "invalid")


@click.command(
    "settle",
    cls=Command,
    epilog="queuey settle jobs workers ack RECEIPT\n"
    "queuey claim jobs workers -n 10 --ndjson | queuey settle jobs workers ack -",
)
@click.argument("queue", shell_complete=completing.queues)
@click.argument("group", shell_complete=completing.groups)
@click.argument("action", type=click.Choice(["ack", "retry", "reject", "extend"]))
@click.argument("receipt", nargs=-1)
@click.option("--delay", type=DURATION, metavar="DURATION", help="retry: deliver the message again after so long")
@click.option("--reason", metavar="TEXT", help="reject: why, for the dead letter")
@click.option("--lease", type=DURATION, metavar="DURATION", help="extend: the new lease, from now on")
@click.pass_obj
def settle(
    settings: Settings,
    queue: str,
    group: str,
    action: str,
    receipt: tuple[str, ...],
    delay: float | None,
    reason: str | None,
    lease: float | None,
) -> int:
    """Ack, retry, reject or extend claimed messages by their receipts.

    \b
    ack      the message is done
    retry    deliver it again
    reject   do not deliver it again; it becomes a dead letter
    extend   keep it for longer

    If RECEIPT is -, receipts are read from standard input: one in each line, or the lines that queuey claim prints,
    also with --ndjson. The exit status is 7 if a receipt is no longer valid, because the lease ended.
    """  # fmt: skip
    for name, value, fitting in (("delay", delay, "retry"), ("reason", reason, "reject"), ("lease", lease, "extend")):
        if value is not None and action != fitting:
            raise click.UsageError(f"--{name} is an option of {fitting} only")
    if not receipt:
        raise click.UsageError("RECEIPT is missing; - reads receipts from standard input")
    target = settings.client.queue(queue).group(group)
    stale = False

    def settled() -> Iterator[Item]:
        nonlocal stale
        for part in _parts(_receipts(receipt)):
            try:
                outcomes = _settle(target, action, part, delay, reason, lease)
            except Stale as error:
                outcomes = error.outcomes
            stale = stale or any(outcome in BAD for _, outcome in outcomes)
            for one, outcome in outcomes:
                document = {"receipt": one, "outcome": outcome}
                yield document, document

    settings.output.rows(("receipt", "outcome"), settled())
    if stale:
        complain("some receipts are not valid: the lease ended, or they belong to another group")
    return PARTLY if stale else 0


def _settle(
    group: Group, action: str, part: list[str], delay: float | None, reason: str | None, lease: float | None
) -> Outcomes:
    if action == "ack":
        return group.ack(*part)
    if action == "retry":
        return group.retry(*part, delay=delay or 0)
    if action == "reject":
        return group.reject(*part, reason=reason or "")
    return group.extend(*part, lease=lease)


def _receipts(given: tuple[str, ...]) -> Iterator[str]:
    for each in given:
        if each != "-":
            yield each
            continue
        while True:
            line = sys.stdin.buffer.readline(MAX_LINE)
            if not line:
                break
            if line.strip():
                yield _receipt(line.decode("utf-8", "replace").strip())


def _receipt(line: str) -> str:
    if not line.startswith("{"):
        return line.split("\t")[0]
    try:
        found = json.loads(line)["receipt"]
    except (KeyError, TypeError, ValueError):
        raise ValueError("standard input: a line is neither a receipt nor an object with one") from None
    return str(found)


def _parts(receipts: Iterable[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for each in receipts:
        part.append(each)
        if len(part) == MAX_RECEIPTS:
            yield part
            part = []
    if part:
        yield part
