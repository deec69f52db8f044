"""``queuey queues``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import click

from queuey_client.cli import completing
from queuey_client.cli.arguments import members
from queuey_client.cli.display.output import Item
from queuey_client.cli.failures import may_be_missing
from queuey_client.cli.options import Subcommands
from queuey_client.cli.settings import Settings
from queuey_client.core.values import GroupInfo, QueueInfo

COLUMNS = ("name", "type", "partitions", "guarantee", "ttl")
HELD = ("messages", "bytes", "oldest_age")


@click.group("queues", cls=Subcommands)
def queues() -> None:
    """List, show, create, change and delete queues."""


@queues.command("ls", epilog="queuey queues ls orders- --count\nqueuey queues ls --columns name,ttl")
@click.argument("prefix", default="", shell_complete=completing.queues)
@click.option("--count", is_flag=True, help="also show messages, bytes, and the age of the oldest message in seconds")
@click.pass_obj
def ls(settings: Settings, prefix: str, count: bool) -> None:
    """List the queues whose names begin with PREFIX, in the order of their names."""

    def rows() -> Iterator[Item]:
        for each in settings.client.queues(prefix, counts=count):
            yield {**each.document, **held(each)}, each.document

    settings.output.rows((*COLUMNS, *(HELD if count else ())), rows())


def held(queue: QueueInfo) -> dict[str, Any]:
    """Return what a queue holds, for a row; empty if the server was not asked for it."""
    counts = queue.counts
    if counts is None:
        return {}
    age = None if counts.oldest is None else max(0.0, time.time() - counts.oldest.timestamp())
    about = "~" if counts.approximate else ""
    return {"messages": f"{about}{counts.messages}", "bytes": f"{about}{counts.bytes}", "oldest_age": age}


@queues.command("show", epilog="queuey queues show orders --json")
@click.argument("queue", shell_complete=completing.queues)
@click.pass_obj
def show(settings: Settings, queue: str) -> None:
    """Show a queue: its settings, what it holds, and its groups."""
    target = settings.client.queue(queue)
    info = target.info(counts=True)
    # A list does not say how far they are behind.
    groups = [each if each.lag else target.group(each.name).info() for each in target.groups()]
    if not settings.output.tables:
        settings.output.document({**info.document, "groups": [each.document for each in groups]})
        return
    shown = {name: value for name, value in info.document.items() if name != "counts"}
    names = ", ".join(f"{each.name} ({behind(each)} behind)" for each in groups)
    settings.output.record({**shown, **held(info), "groups": names})


def behind(group: GroupInfo) -> str:
    """Return how many messages a group is behind; ``>=`` if there are more than were counted."""
    exact = all(each.exact for each in group.lag)
    return f"{'' if exact else '>='}{sum(each.behind for each in group.lag)}"


@queues.command("set", epilog="queuey queues set orders partitions=4 ttl=86400\nqueuey queues set orders ttl=default")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("settings_", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--if-match", metavar="VERSION", help="change it only if it still has this version")
@click.option("--create-only", is_flag=True, help="fail if it exists already")
@click.pass_obj
def set_(settings: Settings, queue: str, settings_: tuple[str, ...], if_match: str | None, create_only: bool) -> None:
    """Create a queue, or change these settings of it and leave the others.

    KEY=default sets a setting to its default. Prints each setting: + new, ~ changed, = as before.
    """
    target = settings.client.queue(queue)
    calls = target._calls
    members.apply(settings, target._driver, calls.session, calls.path, settings_, create_only, if_match)


@queues.command("rm", epilog="queuey queues rm orders --yes --missing-ok")
@click.argument("queue", shell_complete=completing.queues)
@click.option("--yes", is_flag=True, help="do not ask for confirmation")
@click.option("--missing-ok", is_flag=True, help="exit with status 0 if it does not exist")
@click.pass_obj
def rm(settings: Settings, queue: str, yes: bool, missing_ok: bool) -> None:
    """Delete a queue with its messages and groups."""
    settings.confirm(f"Delete the queue {json.dumps(queue)} with all its messages and groups?", yes)
    with may_be_missing(missing_ok, "no-such-queue"):
        settings.client.queue(queue).remove()
