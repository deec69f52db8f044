"""``queuey pushes``."""

from __future__ import annotations

import json
from typing import Any

import click

from queuey_client.cli import completing
from queuey_client.cli.arguments import members
from queuey_client.cli.display.printing import time_text
from queuey_client.cli.failures import TRY_LATER, may_be_missing
from queuey_client.cli.options import Subcommands
from queuey_client.cli.settings import Settings
from queuey_client.core.push_calls import NEEDED
from queuey_client.core.push_values import PushInfo, push_info
from queuey_client.sync.push import Push

COLUMNS = ("name", "url", "state", "since", "failures", "last_error")


@click.group("pushes", cls=Subcommands)
def pushes() -> None:
    """List, show, create, change, test, pause and delete pushes, which send messages to HTTP endpoints."""


def _push(settings: Settings, queue: str, push: str) -> Push:
    return settings.client.queue(queue).push(push)


def row_of(push: PushInfo) -> dict[str, Any]:
    """Return what a push does, as a row."""
    return {name: push.document[name] for name in COLUMNS}


@pushes.command("ls", epilog="queuey pushes ls orders")
@click.argument("queue", shell_complete=completing.queues)
@click.pass_obj
def ls(settings: Settings, queue: str) -> None:
    """List the pushes of a queue.

    \b
    state       active; failing: the last ten attempts or more failed; paused; or
                blocked: the settings of the server do not allow it
    since       since when it is failing or paused
    failures    attempts in a row that failed
    last_error  how the last attempt failed
    """
    rows = [(row_of(each), each.document) for each in settings.client.queue(queue).pushes()]
    settings.output.rows(COLUMNS, rows)


@pushes.command("show", epilog="queuey pushes show orders crm")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("push", shell_complete=completing.pushes)
@click.pass_obj
def show(settings: Settings, queue: str, push: str) -> None:
    """Show a push: its settings, and what it does."""
    settings.output.record(_push(settings, queue, push).info().document)


@pushes.command(
    "set",
    epilog="queuey pushes set orders crm url=https://hooks.example.com/orders\n"
    "queuey pushes set orders crm parallel=4 rate=50 max_deliveries=20",
)
@click.argument("queue", shell_complete=completing.queues)
@click.argument("push", shell_complete=completing.pushes)
@click.argument("settings_", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--if-match", metavar="VERSION", help="change it only if it still has this version")
@click.option("--create-only", is_flag=True, help="fail if it exists already")
@click.pass_obj
def set_(
    settings: Settings,
    queue: str,
    push: str,
    settings_: tuple[str, ...],
    if_match: str | None,
    create_only: bool,
) -> None:
    """Create a push, or change these settings of it and leave the others.

    KEY=default sets a setting to its default. Prints each setting: + new, ~ changed, = as before. When the push is
    created, the last line is the secret by which the receiver verifies requests; it is not shown again. Neither are the
    values of headers: ******** in place of a value keeps it, and a new value prints as before.
    """
    target = _push(settings, queue, push)
    calls = target._calls
    driver, session, path = target._driver, calls.session, calls.path
    found = members.apply(settings, driver, session, path, settings_, create_only, if_match, NEEDED)
    secret = push_info(found).secret
    if secret is not None and settings.output.tables:
        settings.output.line(f"secret\t{secret}")


@pushes.command("test", epilog="queuey pushes test orders crm")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("push", shell_complete=completing.pushes)
@click.pass_obj
def test(settings: Settings, queue: str, push: str) -> int:
    """Send a test message to the endpoint now, and print what it answers; the exit status is 4 if it is not 2xx."""
    found = _push(settings, queue, push).test()
    names = ("status", "milliseconds", "error", "reason")
    settings.output.record({name: getattr(found, name) for name in names})
    return 0 if found.error is None else TRY_LATER


@pushes.command("pause", epilog="queuey pushes pause orders crm")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("push", shell_complete=completing.pushes)
@click.pass_obj
def pause(settings: Settings, queue: str, push: str) -> None:
    """Send nothing more to the endpoint. Messages wait in the queue."""
    _print_state(settings, _push(settings, queue, push).pause())


@pushes.command("resume", epilog="queuey pushes resume orders crm")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("push", shell_complete=completing.pushes)
@click.pass_obj
def resume(settings: Settings, queue: str, push: str) -> None:
    """Let a paused push go on. Its endpoint is tried at once."""
    _print_state(settings, _push(settings, queue, push).resume())


def _print_state(settings: Settings, push: PushInfo) -> None:
    settings.output.rows(("name", "state"), [(row_of(push), push.document)])


@pushes.command("attempts", epilog="queuey pushes attempts orders crm")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("push", shell_complete=completing.pushes)
@click.pass_obj
def attempts(settings: Settings, queue: str, push: str) -> None:
    """Print the last 100 requests of a push, the newest first."""
    names = ("time", "id", "deliveries", "status", "milliseconds", "error")
    found = _push(settings, queue, push).attempts()
    rows = [{**{name: getattr(each, name) for name in names}, "time": time_text(each.time)} for each in found]
    settings.output.rows(names, [(row, row) for row in rows])


@pushes.command("add-secret", epilog="queuey pushes add-secret orders crm")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("push", shell_complete=completing.pushes)
@click.pass_obj
def add_secret(settings: Settings, queue: str, push: str) -> None:
    """Add a secret, and print it this once. Each request is signed with all secrets of the push."""
    found = _push(settings, queue, push).add_secret()
    settings.output.record({"id": found.id, "secret": found.secret})


@pushes.command("remove-secret", epilog="queuey pushes remove-secret orders crm SECRET --yes")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("push", shell_complete=completing.pushes)
@click.argument("id")
@click.option("--yes", is_flag=True, help="do not ask for confirmation")
@click.pass_obj
def remove_secret(settings: Settings, queue: str, push: str, id: str, yes: bool) -> None:
    """Remove a secret by its id, which "show" prints. Receivers that have no other one refuse requests from now on."""
    settings.confirm(f"Remove the secret {json.dumps(id)} of the push {json.dumps(push)}?", yes)
    _push(settings, queue, push).remove_secret(id)


@pushes.command("rm", epilog="queuey pushes rm orders crm --yes")
@click.argument("queue", shell_complete=completing.queues)
@click.argument("push", shell_complete=completing.pushes)
@click.option("--yes", is_flag=True, help="do not ask for confirmation")
@click.option("--missing-ok", is_flag=True, help="exit with status 0 if it does not exist")
@click.pass_obj
def rm(settings: Settings, queue: str, push: str, yes: bool, missing_ok: bool) -> None:
    """Delete a push and its group. The messages of the queue stay."""
    settings.confirm(f"Delete the push {json.dumps(push)} of the queue {json.dumps(queue)}?", yes)
    with may_be_missing(missing_ok, "no-such-push", "no-such-group"):
        _push(settings, queue, push).remove()
