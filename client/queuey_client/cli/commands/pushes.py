"""``queuey pushes``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from queuey_client.cli import completing
from queuey_client.cli.commands.pausable import YES, Kind, add_commands
from queuey_client.cli.display.printing import time_text
from queuey_client.cli.failures import TRY_LATER
from queuey_client.cli.options import Subcommands
from queuey_client.cli.settings import Settings
from queuey_client.core.push_calls import NEEDED
from queuey_client.core.push_values import push_info
from queuey_client.sync.push import Push
from queuey_client.sync.queue import Queue

KIND = Kind(
    noun="push",
    columns=("name", "url", "state", "since", "failures", "last_error"),
    state_columns=("name", "state"),
    needed=NEEDED,
    missing=("no-such-push", "no-such-group"),
    all=Queue.pushes,
    one=Queue.push,
    complete=completing.pushes,
    helps={
        "ls": """List the pushes of a queue.

        \b
        state       active; failing: the last ten attempts or more failed; paused; or
                    blocked: the settings of the server do not allow it
        since       since when it is failing or paused
        failures    attempts in a row that failed
        last_error  how the last attempt failed
        """,
        "show": "Show a push: its settings, and what it does.",
        "set": """Create a push, or change these settings of it and leave the others.

        KEY=default sets a setting to its default. Prints each setting: + new, ~ changed, = as before. When the push is
        created, the last line is the secret by which the receiver verifies requests; it is not shown again. Neither are
        the values of headers: ******** in place of a value keeps it, and a new value prints as before.
        """,
        "pause": "Send nothing more to the endpoint. Messages wait in the queue.",
        "resume": "Let a paused push go on. Its endpoint is tried at once.",
        "rm": "Delete a push and its group. The messages of the queue stay.",
        "test": "Send a test message to the endpoint now, and print what it answers; the exit status is 4 if it is not "
        "2xx.",
        "attempts": "Print the last 100 requests of a push, the newest first.",
        "add-secret": "Add a secret, and print it this once. Each request is signed with all secrets of the push.",
        "remove-secret": 'Remove a secret by its id, which "show" prints. Receivers that have no other one refuse '
        "requests from now on.",
    },
    examples={
        "ls": "queuey pushes ls orders",
        "show": "queuey pushes show orders crm",
        "set": "queuey pushes set orders crm url=https://hooks.example.com/orders\n"
        "queuey pushes set orders crm parallel=4 rate=50 max_deliveries=20",
        "pause": "queuey pushes pause orders crm",
        "resume": "queuey pushes resume orders crm",
        "rm": "queuey pushes rm orders crm --yes",
        "test": "queuey pushes test orders crm",
        "attempts": "queuey pushes attempts orders crm",
        "add-secret": "queuey pushes add-secret orders crm",
        "remove-secret": "queuey pushes remove-secret orders crm SECRET --yes",
    },
)


@click.group("pushes", cls=Subcommands)
def pushes() -> None:
    """List, show, create, change, test, pause and delete pushes, which send messages to HTTP endpoints."""


def _print_secret(settings: Settings, document: Mapping[str, Any]) -> None:
    secret = push_info(document).secret
    if secret is not None and settings.output.tables:
        settings.output.line(f"secret\t{secret}")


add_commands(pushes, KIND, _print_secret)


def _push(settings: Settings, queue: str, name: str) -> Push:
    return settings.client.queue(queue).push(name)


@KIND.command(pushes, "test")
def test(settings: Settings, queue: str, name: str) -> int:
    """Print what the endpoint answered to a test message; return the exit status."""
    found = _push(settings, queue, name).test()
    names = ("status", "milliseconds", "error", "reason")
    settings.output.record({each: getattr(found, each) for each in names})
    return 0 if found.error is None else TRY_LATER


@KIND.command(pushes, "attempts")
def attempts(settings: Settings, queue: str, name: str) -> None:
    """Print the last attempts."""
    names = ("time", "id", "deliveries", "status", "milliseconds", "error")
    found = _push(settings, queue, name).attempts()
    rows = [{**{each: getattr(one, each) for each in names}, "time": time_text(one.time)} for one in found]
    settings.output.rows(names, [(row, row) for row in rows])


@KIND.command(pushes, "add-secret")
def add_secret(settings: Settings, queue: str, name: str) -> None:
    """Add a secret and print it."""
    found = _push(settings, queue, name).add_secret()
    settings.output.record({"id": found.id, "secret": found.secret})


@KIND.command(pushes, "remove-secret", click.argument("id"), YES)
def remove_secret(settings: Settings, queue: str, name: str, id: str, yes: bool) -> None:
    """Ask for confirmation, and remove a secret."""
    settings.confirm(f"Remove the secret {json.dumps(id)} of the push {json.dumps(name)}?", yes)
    _push(settings, queue, name).remove_secret(id)
