"""``queuey groups``."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from queuey_client.cli import completing
from queuey_client.cli.arguments import members
from queuey_client.cli.arguments.times import DURATION, SPOT
from queuey_client.cli.commands.queues import behind
from queuey_client.cli.failures import TRY_LATER, may_be_missing
from queuey_client.cli.options import Subcommands
from queuey_client.cli.settings import Settings, complain
from queuey_client.core.counted import counted
from queuey_client.core.values import GroupInfo

LEAST_PAUSE = 0.2
LONGEST_PAUSE = 2.0
"""Seconds between two looks at a group."""


COLUMNS = ("name", "behind", "in_flight", "waiting", "set_aside", "oldest_age")


@click.group("groups", cls=Subcommands)
def groups() -> None:
    """List, show, create, change, move and delete consumer groups."""


def row_of(group: GroupInfo) -> dict[str, Any]:
    """Return how far a group is, over all partitions."""
    ages = [each.oldest_age for each in group.lag if each.oldest_age is not None]
    return {
        "name": group.name,
        "behind": behind(group),
        "in_flight": sum(each.in_flight for each in group.lag),
        "waiting": sum(each.waiting for each in group.lag),
        "set_aside": sum(each.set_aside for each in group.lag),
        "oldest_age": max(ages) if ages else None,
    }


@groups.command("ls", epilog="queuey groups ls orders")
@click.argument("queue", shell_complete=completing.queues)
@click.pass_obj
def ls(settings: Settings, queue: str) -> None:
    """List the groups of a queue.

    \b
    behind      messages that are not settled yet
    in_flight   of these, messages that workers have now
    waiting     of these, messages that wait to be delivered again
    set_aside   messages that were given up, in a group without a dead-letter queue
    oldest_age  age of the oldest message that is not settled, in seconds
    """
    target = settings.client.queue(queue)
    rows = []
    for each in target.groups():
        # A list does not say how far they are.
        found = each if each.lag else target.group(each.name).info()
        rows.append((row_of(found), found.document))
    settings.output.rows(COLUMNS, rows)


@groups.command("show", epilog="queuey groups show orders billing")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("group", shell_complete=completing.groups)
@click.pass_obj
def show(settings: Settings, queue: str, group: str) -> None:
    """Show a group: its settings, and its state in each partition."""
    info = settings.client.queue(queue).group(group).info()
    output = settings.output
    if not output.tables or output.columns is not None:
        output.record(info.document)
        return
    output.record({name: value for name, value in info.document.items() if name != "lag"})
    output.line("")
    rows = []
    for each in info.lag:
        row = {
            "partition": each.partition,
            "behind": f"{'' if each.exact else '>='}{each.behind}",
            "in_flight": each.in_flight,
            "waiting": each.waiting,
            "set_aside": each.set_aside,
            "oldest_age": each.oldest_age,
            "settled_through": each.settled_through,
        }
        rows.append((row, row))
    output.rows(("partition", "behind", "in_flight", "waiting", "set_aside", "oldest_age", "settled_through"), rows)


@groups.command("set", epilog="queuey groups set orders billing lease=60 max_deliveries=5 dead_letter=failed")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("group", shell_complete=completing.groups)
@click.argument("settings_", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--if-match", metavar="VERSION", help="change it only if it still has this version")
@click.option("--create-only", is_flag=True, help="fail if it exists already")
@click.pass_obj
def set_(
    settings: Settings,
    queue: str,
    group: str,
    settings_: tuple[str, ...],
    if_match: str | None,
    create_only: bool,
) -> None:
    """Create a group, or change these settings of it and leave the others.

    KEY=default sets a setting to its default. Prints each setting: + new, ~ changed, = as before.
    """
    target = settings.client.queue(queue).group(group)
    calls = target._calls
    members.apply(settings, target._driver, calls.session, calls.path, settings_, create_only, if_match)


@groups.command(
    "seek", epilog="queuey groups seek orders billing oldest --yes\nqueuey groups seek orders billing 2h --yes"
)
@click.argument("queue", shell_complete=completing.queues)
@click.argument("group", shell_complete=completing.groups)
@click.argument("to", type=SPOT, metavar="oldest|newest|TIME|PLACE")
@click.option(
    "-p",
    "--partition",
    type=click.IntRange(1),
    multiple=True,
    metavar="N",
    help="only this partition; may be repeated  [default: all]",
)
@click.option("--yes", is_flag=True, help="do not ask for confirmation")
@click.pass_obj
def seek(settings: Settings, queue: str, group: str, to: Any, partition: tuple[int, ...], yes: bool) -> None:
    """Move a group to another place, and print where it was and where it is.

    PLACE is the id of a message, or a cursor. The group continues with the message after it.
    """
    target = settings.client.queue(queue).group(group)
    before = target.info()
    settings.confirm(
        f"Move the group {json.dumps(group)}, which is {counted(behind(before), 'message')} behind? "
        "Its receipts become invalid.",
        yes,
    )
    target.seek(to, partitions=partition)
    old = {each.partition: each for each in before.lag}
    rows = []
    for each in target.info().lag:
        if partition and each.partition not in partition:
            continue
        was = old.get(each.partition)
        row = {
            "partition": each.partition,
            "from": None if was is None else was.settled_through,
            "to": each.settled_through,
            "behind": f"{'' if each.exact else '>='}{each.behind}",
        }
        rows.append((row, row))
    settings.output.rows(("partition", "from", "to", "behind"), rows)


@groups.command("wait", epilog="queuey groups wait jobs workers --timeout 5m && ./deploy.sh")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("group", shell_complete=completing.groups)
@click.option(
    "--until-behind",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="wait until it is at most N messages behind  [default: 0]",
)
@click.option(
    "--timeout",
    "limit",
    type=DURATION,
    metavar="DURATION",
    help="give up after so long, with status 4  [default: no limit]",
)
@click.pass_obj
def wait(settings: Settings, queue: str, group: str, until_behind: int, limit: float | None) -> int:
    """Wait until a group has settled its messages; for scripts and deployments.

    Messages that are in flight, or wait to be delivered again, are not settled.
    """
    target = settings.client.queue(queue).group(group)
    began, pause = time.monotonic(), LEAST_PAUSE
    while True:
        info = target.info()
        count = sum(each.behind for each in info.lag)
        exact = all(each.exact for each in info.lag)
        if count <= until_behind and exact:
            settings.output.rows(("name", "behind"), [(row_of(info), info.document)])
            return 0
        left = None if limit is None else began + limit - time.monotonic()
        if left is not None and left <= 0:
            complain(f"{group} is still {counted(behind(info), 'message')} behind")
            return TRY_LATER
        time.sleep(pause if left is None else min(pause, left))
        pause = min(LONGEST_PAUSE, pause * 1.5)


@groups.command("rm", epilog="queuey groups rm orders billing --yes")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("group", shell_complete=completing.groups)
@click.option("--yes", is_flag=True, help="do not ask for confirmation")
@click.option("--missing-ok", is_flag=True, help="exit with status 0 if it does not exist")
@click.pass_obj
def rm(settings: Settings, queue: str, group: str, yes: bool, missing_ok: bool) -> None:
    """Delete a group. The messages of the queue stay."""
    settings.confirm(f"Delete the group {json.dumps(group)} of the queue {json.dumps(queue)}?", yes)
    with may_be_missing(missing_ok, "no-such-group"):
        settings.client.queue(queue).group(group).remove()
