"""``queuey schedules``."""

from __future__ import annotations

import json
from typing import Any

import click

from queuey_client.cli import completing
from queuey_client.cli.arguments import members
from queuey_client.cli.failures import may_be_missing
from queuey_client.cli.options import Subcommands
from queuey_client.cli.settings import Settings
from queuey_client.core.schedule_calls import NEEDED
from queuey_client.core.schedule_values import ScheduleInfo
from queuey_client.sync.schedule import Schedule

COLUMNS = ("name", "cron", "timezone", "next", "state", "since", "failures", "last_error")


@click.group("schedules", cls=Subcommands)
def schedules() -> None:
    """List, show, create, change, pause and delete schedules, which post messages at the times of a cron expression."""


def _schedule(settings: Settings, queue: str, schedule: str) -> Schedule:
    return settings.client.queue(queue).schedule(schedule)


def row_of(schedule: ScheduleInfo) -> dict[str, Any]:
    """Return what a schedule does, as a row."""
    return {name: schedule.document[name] for name in COLUMNS}


@schedules.command("ls", epilog="queuey schedules ls orders")
@click.argument("queue", shell_complete=completing.queues)
@click.pass_obj
def ls(settings: Settings, queue: str) -> None:
    """List the schedules of a queue.

    \b
    next        the next time; - while it is paused
    state       active; failing: the last message could not be posted, and it is tried
                again; or paused
    since       since when it is failing or paused
    failures    attempts in a row that failed
    last_error  the code of the last error
    """
    rows = [(row_of(each), each.document) for each in settings.client.queue(queue).schedules()]
    settings.output.rows(COLUMNS, rows)


@schedules.command("show", epilog="queuey schedules show orders nightly")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("schedule", shell_complete=completing.schedules)
@click.pass_obj
def show(settings: Settings, queue: str, schedule: str) -> None:
    """Show a schedule: its settings, its message, and what it does."""
    settings.output.record(_schedule(settings, queue, schedule).info().document)


@schedules.command(
    "set",
    epilog="queuey schedules set orders nightly cron='30 2 * * *' message='{\"body\":\"go\"}'\n"
    "queuey schedules set orders nightly timezone=Europe/Berlin missed=once",
)
@click.argument("queue", shell_complete=completing.queues)
@click.argument("schedule", shell_complete=completing.schedules)
@click.argument("settings_", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--if-match", metavar="VERSION", help="change it only if it still has this version")
@click.option("--create-only", is_flag=True, help="fail if it exists already")
@click.pass_obj
def set_(
    settings: Settings,
    queue: str,
    schedule: str,
    settings_: tuple[str, ...],
    if_match: str | None,
    create_only: bool,
) -> None:
    """Create a schedule, or change these settings of it and leave the others.

    A new one needs cron and message. KEY=default sets a setting to its default. Prints each setting: + new, ~ changed,
    = as before.
    """
    target = _schedule(settings, queue, schedule)
    calls = target._calls
    members.apply(settings, target._driver, calls.session, calls.path, settings_, create_only, if_match, NEEDED)


@schedules.command("pause", epilog="queuey schedules pause orders nightly")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("schedule", shell_complete=completing.schedules)
@click.pass_obj
def pause(settings: Settings, queue: str, schedule: str) -> None:
    """Post nothing until the schedule is resumed."""
    _print_state(settings, _schedule(settings, queue, schedule).pause())


@schedules.command("resume", epilog="queuey schedules resume orders nightly")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("schedule", shell_complete=completing.schedules)
@click.pass_obj
def resume(settings: Settings, queue: str, schedule: str) -> None:
    """Let a paused schedule go on with its next time. Times that passed meanwhile get no message."""
    _print_state(settings, _schedule(settings, queue, schedule).resume())


def _print_state(settings: Settings, schedule: ScheduleInfo) -> None:
    settings.output.rows(("name", "state", "next"), [(row_of(schedule), schedule.document)])


@schedules.command("rm", epilog="queuey schedules rm orders nightly --yes")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("schedule", shell_complete=completing.schedules)
@click.option("--yes", is_flag=True, help="do not ask for confirmation")
@click.option("--missing-ok", is_flag=True, help="exit with status 0 if it does not exist")
@click.pass_obj
def rm(settings: Settings, queue: str, schedule: str, yes: bool, missing_ok: bool) -> None:
    """Delete a schedule. The messages that it has posted stay."""
    settings.confirm(f"Delete the schedule {json.dumps(schedule)} of the queue {json.dumps(queue)}?", yes)
    with may_be_missing(missing_ok, "no-such-schedule"):
        _schedule(settings, queue, schedule).remove()
