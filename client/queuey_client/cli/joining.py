"""Commands of other packages, which join by the entry points ``queuey.commands``.

An entry point is a function ``(argv, stdout, stderr) -> status``, and ``argv`` begins with the name of the command. The
daemon's package joins so; its commands read their arguments themselves.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

GROUP = "queuey.commands"

KNOWN = {
    "check": "check a settings file, and print all settings",
    "config": "print sample settings, units of systemd, and other samples",
    "keys": "create keys of applications",
    "backup": "back up the data of a daemon, running or not",
    "restore-queue": "restore one queue of a backup into a running daemon",
    "copy": "move to another store, while the daemons serve",
    "schema": "print or create the tables that Cassandra needs",
    "ops": "call methods of a running daemon, such as status and drain",
}
"""The daemon's commands, so that they can be listed without importing it."""


def joined() -> dict[str, EntryPoint]:
    """Return the commands of other packages that are installed here."""
    found: Any = entry_points()
    # Python 3.9 returns a dictionary.
    chosen = found.select(group=GROUP) if hasattr(found, "select") else found.get(GROUP, ())
    return {each.name: each for each in chosen}


def daemon_commands() -> list[tuple[str, bool, str]]:
    """Return each command with whether it is installed, and what it does."""
    there = joined()
    known = [(name, name in there, text) for name, text in KNOWN.items()]
    return known + [(name, True, f"of {point.value}") for name, point in there.items() if name not in KNOWN]


class PassedOn(click.Command):
    """A command that reads its arguments itself."""

    def __init__(self, point: EntryPoint) -> None:
        super().__init__(point.name, help=KNOWN.get(point.name), add_help_option=False)
        self._point = point

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Leave them as they are."""
        ctx.args = list(args)
        return ctx.args

    def invoke(self, ctx: click.Context) -> int:
        """Run it. :return: its exit status."""
        status: int = self._point.load()([self.name, *ctx.args], sys.stdout, sys.stderr)
        return status


class Missing(click.Command):
    """A command of the daemon's package, which is not installed."""

    def __init__(self, name: str) -> None:
        super().__init__(name, add_help_option=False)

    def parse_args(self, ctx: click.Context, args: Sequence[str]) -> list[str]:
        """Say what to do. :raise click.UsageError: always."""
        raise click.UsageError(
            f"{self.name} is a command of the daemon, which is not installed here: pip install queuey"
        )


def passed_on(name: str) -> click.Command | None:
    """Return a command of another package."""
    point = joined().get(name)
    if point is not None:
        return PassedOn(point)
    return Missing(name) if name in KNOWN else None
