"""``queuey schedules``."""

from __future__ import annotations

import click

from queuey_client.cli import completing
from queuey_client.cli.commands.pausable import Kind, add_commands
from queuey_client.cli.options import Subcommands
from queuey_client.core.schedule_calls import NEEDED
from queuey_client.sync.queue import Queue

KIND = Kind(
    noun="schedule",
    columns=("name", "cron", "timezone", "next", "state", "since", "failures", "last_error"),
    state_columns=("name", "state", "next"),
    needed=NEEDED,
    missing=("no-such-schedule",),
    all=Queue.schedules,
    one=Queue.schedule,
    complete=completing.schedules,
    helps={
        "ls": """List the schedules of a queue.

        \b
        next        the next time; - while it is paused
        state       active; failing: the last message could not be posted, and it is tried
                    again; or paused
        since       since when it is failing or paused
        failures    attempts in a row that failed
        last_error  the code of the last error
        """,
        "show": "Show a schedule: its settings, its message, and what it does.",
        "set": """Create a schedule, or change these settings of it and leave the others.

        A new one needs cron and message. KEY=default sets a setting to its default. Prints each setting: + new,
        ~ changed, = as before.
        """,
        "pause": "Post nothing until the schedule is resumed.",
        "resume": "Let a paused schedule go on with its next time. Times that passed meanwhile get no message.",
        "rm": "Delete a schedule. The messages that it has posted stay.",
    },
    examples={
        "ls": "queuey schedules ls orders",
        "show": "queuey schedules show orders nightly",
        "set": "queuey schedules set orders nightly cron='30 2 * * *' message='{\"body\":\"go\"}'\n"
        "queuey schedules set orders nightly timezone=Europe/Berlin missed=once",
        "pause": "queuey schedules pause orders nightly",
        "resume": "queuey schedules resume orders nightly",
        "rm": "queuey schedules rm orders nightly --yes",
    },
)


@click.group("schedules", cls=Subcommands)
def schedules() -> None:
    """List, show, create, change, pause and delete schedules, which post messages at the times of a cron expression."""


add_commands(schedules, KIND)
