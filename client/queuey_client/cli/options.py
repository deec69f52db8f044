"""Options that every command has, and groups of commands that are imported when they are used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import click

from queuey_client.cli.failures import WRONG_ARGUMENTS
from queuey_client.cli.settings import Settings

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def _given(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    source = ctx.get_parameter_source(param.name or "")
    if source is click.core.ParameterSource.COMMANDLINE and isinstance(ctx.obj, Settings):
        ctx.obj.give(str(param.name), value)
    return value


def _columns(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        _given(ctx, param, [name for name in value.split(",") if name])


def _complete_context(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from queuey_client.cli.completing import contexts

    return contexts(ctx, incomplete)


def common_options(hidden: bool) -> list[click.Option]:
    """Return the options of every command."""

    def option(*names: str, **more: Any) -> click.Option:
        return click.Option(names, expose_value=False, hidden=hidden, **{"callback": _given, **more})

    return [
        option(
            "-C",
            "--context",
            metavar="NAME",
            help="use a context, see queuey context  [env: QUEUEY_CONTEXT]",
            shell_complete=_complete_context,
        ),
        option("-u", "--url", metavar="URL", help="the server  [env: QUEUEY_URL; default: http://127.0.0.1:5000]"),
        option(
            "-a",
            "--application",
            metavar="NAME",
            help="the application that the queues belong to  [env: QUEUEY_APPLICATION]",
        ),
        option(
            "--key-file",
            metavar="FILE",
            help="the file with the application's key; - reads it from standard input  "
            "[env: QUEUEY_KEY_FILE, or the key itself: QUEUEY_KEY]",
        ),
        option("--ca-file", metavar="FILE", help="the certificates to trust  [env: SSL_CERT_FILE]"),
        option(
            "--timeout",
            metavar="SECONDS",
            type=click.FloatRange(0, 86400, min_open=True),
            help="give up a request after so long, all attempts together  [default: 60]",
        ),
        option("--no-retry", is_flag=True, help="send each request once, even if it fails"),
        option("--json", is_flag=True, help="print all that the server answered, as one JSON document"),
        option("--ndjson", is_flag=True, help="print all that the server answered, one JSON object in each line"),
        option("--columns", metavar="A,B,...", callback=_columns, help="print these columns, in this order"),
        option("-q", "--quiet", is_flag=True, help="print only errors on standard error"),
        option(
            "-v", "--verbose", is_flag=True, help="print each request and the status of its answer on standard error"
        ),
    ]


class Command(click.Command):
    """A command that takes the options of every command, without listing them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        taken = {name for param in self.params for name in (*param.opts, *param.secondary_opts)}
        names = {param.name for param in self.params}
        for option in common_options(hidden=True):
            if not taken & {*option.opts} and option.name not in names:
                self.params.append(option)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the examples as they are written, and where the other options are."""
        if self.epilog:
            formatter.write_paragraph()
            for line in self.epilog.splitlines():
                formatter.write(f"  {line}\n" if line else "\n")
        formatter.write_paragraph()
        formatter.write_text("Options that every command takes, such as --json: see queuey --help.")


class _Group(click.Group):
    """A group that prints its help if no command is named. The status is the same with every release of click."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments of the group itself."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True, color=ctx.color)
            raise click.exceptions.Exit(WRONG_ARGUMENTS)
        return super().parse_args(ctx, args)


class LazyGroup(_Group):
    """A group whose commands are imported when they are used.

    :param lazy: the module and the attribute of each command, and what it does in a few words.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self._lazy:
            return None
        module, _, name = self._lazy[cmd_name][0].partition(":")
        found: click.Command = getattr(importlib.import_module(f"queuey_client.cli.{module}"), name)
        return found

    def rows(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Return what a list of commands shows."""
        return [(name, self._lazy[name][1]) for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(self.rows(self.list_commands(ctx)))


class Subcommands(_Group):
    """A group of commands of one module, such as ``queues``."""

    command_class = Command
