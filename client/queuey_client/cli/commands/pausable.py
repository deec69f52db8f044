"""The commands that pushes and schedules share: ``ls``, ``show``, ``set``, ``pause``, ``resume`` and ``rm``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

import click

from queuey_client.cli import completing
from queuey_client.cli.arguments import members
from queuey_client.cli.failures import may_be_missing
from queuey_client.cli.settings import Settings
from queuey_client.core.push_values import PushInfo
from queuey_client.core.schedule_values import ScheduleInfo
from queuey_client.sync.push import Push
from queuey_client.sync.queue import Queue
from queuey_client.sync.schedule import Schedule

Info = Union[PushInfo, ScheduleInfo]


@dataclass(frozen=True)
class Kind:
    """One of the two kinds, and what its commands differ in.

    :ivar noun: its name in the singular.
    :ivar columns: of ``ls``; ``state_columns``: of ``pause`` and ``resume``.
    :ivar needed: the settings that a new one needs.
    :ivar missing: the codes of errors that mean that it does not exist.
    :ivar all: returns those of a queue, and ``one`` returns one by its name.
    :ivar complete: completes names in a shell.
    :ivar helps: the help of each command, and ``examples`` the examples below it.
    """

    noun: str
    columns: Sequence[str]
    state_columns: Sequence[str]
    needed: Sequence[str]
    missing: Sequence[str]
    all: Callable[[Queue], Sequence[Info]]
    one: Callable[[Queue, str], Push | Schedule]
    complete: Callable[..., Any]
    helps: Mapping[str, str]
    examples: Mapping[str, str]

    def named(self, settings: Settings, queue: str, name: str) -> Push | Schedule:
        """Return one by the names that were given."""
        return self.one(settings.client.queue(queue), name)

    def row_of(self, info: Info) -> dict[str, Any]:
        """Return what one does, as a row."""
        return {name: info.document[name] for name in self.columns}

    def command(self, group: click.Group, name: str, *params: Callable[[Any], Any]) -> Callable[[Any], click.Command]:
        """Declare a command of one; the function gets the settings, and ``queue`` and ``name`` as texts."""

        def declare(function: Any) -> click.Command:
            wrapped = click.pass_obj(function)
            for param in reversed(params):
                wrapped = param(wrapped)
            wrapped = click.argument("name", metavar=self.noun.upper(), shell_complete=self.complete)(wrapped)
            wrapped = click.argument("queue", shell_complete=completing.queues)(wrapped)
            return group.command(name, help=self.helps[name], epilog=self.examples[name])(wrapped)

        return declare


YES = click.option("--yes", is_flag=True, help="do not ask for confirmation")


def add_commands(
    group: click.Group, kind: Kind, on_set: Callable[[Settings, Mapping[str, Any]], None] | None = None
) -> None:
    """Add the common commands to a group.

    :param on_set: is called with the answer of ``set``.
    """

    def print_state(settings: Settings, info: Info) -> None:
        settings.output.rows(kind.state_columns, [(kind.row_of(info), info.document)])

    @group.command("ls", help=kind.helps["ls"], epilog=kind.examples["ls"])
    @click.argument("queue", shell_complete=completing.queues)
    @click.pass_obj
    def ls(settings: Settings, queue: str) -> None:
        rows = [(kind.row_of(each), each.document) for each in kind.all(settings.client.queue(queue))]
        settings.output.rows(kind.columns, rows)

    @kind.command(group, "show")
    def show(settings: Settings, queue: str, name: str) -> None:
        settings.output.record(kind.named(settings, queue, name).info().document)

    @kind.command(
        group,
        "set",
        click.argument("settings_", nargs=-1, metavar="[KEY=VALUE]..."),
        click.option("--if-match", metavar="VERSION", help="change it only if it still has this version"),
        click.option("--create-only", is_flag=True, help="fail if it exists already"),
    )
    def set_(
        settings: Settings,
        queue: str,
        name: str,
        settings_: tuple[str, ...],
        if_match: str | None,
        create_only: bool,
    ) -> None:
        target = kind.named(settings, queue, name)
        calls = target._calls
        driver, session, path = target._driver, calls.session, calls.path
        found = members.apply(settings, driver, session, path, settings_, create_only, if_match, kind.needed)
        if on_set is not None:
            on_set(settings, found)

    @kind.command(group, "pause")
    def pause(settings: Settings, queue: str, name: str) -> None:
        print_state(settings, kind.named(settings, queue, name).pause())

    @kind.command(group, "resume")
    def resume(settings: Settings, queue: str, name: str) -> None:
        print_state(settings, kind.named(settings, queue, name).resume())

    @kind.command(
        group, "rm", YES, click.option("--missing-ok", is_flag=True, help="exit with status 0 if it does not exist")
    )
    def rm(settings: Settings, queue: str, name: str, yes: bool, missing_ok: bool) -> None:
        settings.confirm(f"Delete the {kind.noun} {json.dumps(name)} of the queue {json.dumps(queue)}?", yes)
        with may_be_missing(missing_ok, *kind.missing):
            kind.named(settings, queue, name).remove()
