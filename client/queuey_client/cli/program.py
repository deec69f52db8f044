"""The command ``queuey``: its list of commands, its help, and its exit status."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import click

from queuey_client.cli.failures import (
    INTERRUPTED,
    OUTPUT_CLOSED,
    REFUSED,
    WRONG_ARGUMENTS,
    Failure,
    lines_of,
    status_of,
)
from queuey_client.cli.joining import daemon_commands, passed_on
from queuey_client.cli.options import CONTEXT_SETTINGS, LazyGroup, common_options
from queuey_client.cli.settings import Settings, complain
from queuey_client.core.errors import QueueyError
from queuey_client.core.reading import GapWarning
from queuey_client.version import __version__

COMPLETE = "_QUEUEY_COMPLETE"
"""The variable by which a shell asks for completions."""

SECTIONS = {
    "Messages": ("post", "read", "tail", "get", "claim", "settle"),
    "Queues": ("queues", "groups", "pushes", "schedules", "redrive", "purge"),
    "Watching": ("top", "bench"),
    "This machine": ("context", "signed-url", "completion"),
}

LAZY = {
    "post": ("commands.post:post", "store messages: an argument, files, or lines of standard input"),
    "read": ("commands.read:read", "print the messages of a queue"),
    "tail": ("commands.tail:tail", "print the last messages of queues, and new ones as they come"),
    "get": ("commands.read:get", "print one message"),
    "claim": ("commands.claim:claim", "claim messages of a consumer group, or run a command for each"),
    "settle": ("commands.settle:settle", "ack, retry, reject or extend claimed messages"),
    "queues": ("commands.queues:queues", "list, show, create, change and delete queues"),
    "groups": ("commands.groups:groups", "list, show, create, change, move and delete consumer groups"),
    "pushes": ("commands.pushes:pushes", "list, show, create, change, test, pause and delete pushes to HTTP endpoints"),
    "schedules": ("commands.schedules:schedules", "list, show, create, change, pause and delete schedules of messages"),
    "redrive": ("commands.redrive:redrive", "deliver dead letters again"),
    "purge": ("commands.purge:purge", "delete old messages"),
    "top": ("commands.top:top", "show queues and what happens in them, live"),
    "bench": ("commands.bench:bench", "measure requests a second, and how long they take"),
    "context": ("commands.context:context", "save servers, applications and keys under a name"),
    "signed-url": ("commands.signed_url:signed_url", "print a URL with which others can use a queue for a while"),
    "completion": ("completing:completion", "print the completion script of a shell"),
}

STATUS = (
    "Exit status: 0 done, 1 refused, 2 wrong arguments, 3 not found, 4 failed but may work later, 5 unknown whether it "
    "was done, 6 no messages, 7 partly done, 130 interrupted, 141 standard output was closed."
)


class Root(LazyGroup):
    """The commands of this package, and those that other packages add."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        return super().get_command(ctx, cmd_name) or passed_on(cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names."""
        return [*super().list_commands(ctx), *(name for name, there, _ in daemon_commands() if there)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by what they are for."""
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(self.rows(names), col_spacing=2)
        found = daemon_commands()
        missing = [name for name, there, _ in found if not there]
        with formatter.section("The daemon on this machine"):
            there = [(name, text) for name, joined, text in found if joined]
            if there:
                formatter.write_dl(there, col_spacing=2)
            if missing and not there:
                formatter.write_text(f"pip install queuey adds: {', '.join(missing)}")

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the statuses."""
        formatter.write_paragraph()
        formatter.write_text(STATUS)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run a command, and exit with its status."""
        settings = extra.get("obj") or Settings()
        sys.exit(invoke(self, sys.argv[1:] if args is None else args, settings))


def root() -> Root:
    """Return the command."""
    command = Root(
        name="queuey",
        lazy=LAZY,
        help="Post and read messages, and manage queues and consumer groups, on a Queuey server.",
        params=[*common_options(hidden=False)],
        context_settings=CONTEXT_SETTINGS,
        subcommand_metavar="COMMAND [ARGS]...",
        no_args_is_help=True,
    )
    return click.version_option(__version__, prog_name="queuey", message="%(prog)s %(version)s")(command)


def main(argv: Sequence[str]) -> int:
    """Run the command as a process.

    :return: the exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A path may hold what the terminal's encoding lacks; that must not end in a traceback.
            stream.reconfigure(errors="backslashreplace")
    # What the library logs, the command prints in its own words.
    logging.getLogger("queuey_client").addHandler(logging.NullHandler())
    # Clean up unfinished work, whatever ends the program.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    instruction = os.environ.get(COMPLETE)
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(root(), {"obj": Settings()}, "queuey", COMPLETE, instruction)
    try:
        return invoke(root(), argv, Settings())
    except KeyboardInterrupt:
        # A signal that came before the command began, or while its last words were said.
        complain("interrupted")
        return INTERRUPTED
    finally:
        _ignore_signals()


def _interrupt(number: int, frame: object) -> None:
    """End the command at the first signal; ignore further ones, since it ends already and has its last words to say."""
    _ignore_signals()
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    """Ignore signals in the process that :func:`main` runs."""
    if signal.getsignal(signal.SIGTERM) is _interrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def invoke(command: click.Command, argv: Sequence[str], settings: Settings) -> int:
    """Run a command, and say what went wrong on standard error.

    :return: the exit status.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", GapWarning)
        warnings.showwarning = _shown_warning(settings, warnings.showwarning)
        try:
            return _invoke(command, argv, settings)
        except KeyboardInterrupt:
            complain("interrupted")
            return INTERRUPTED
        finally:
            for line in settings.last_words:
                complain(line)


def _invoke(command: click.Command, argv: Sequence[str], settings: Settings) -> int:
    try:
        status = _run(command, argv, settings)
        sys.stdout.flush()
        return status
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        error.show()
        return WRONG_ARGUMENTS
    except click.Abort:
        # A question that was not answered.
        complain("interrupted")
        return INTERRUPTED
    except click.ClickException as error:
        complain(error.format_message())
        return REFUSED
    except Failure as failure:
        for line in failure.lines:
            complain(line)
        return failure.status
    except QueueyError as error:
        for line in lines_of(error):
            complain(line)
        return status_of(error)
    except BrokenPipeError:
        # The reader of the output has gone; the interpreter must not fail at its last flush either.
        _close_output()
        return OUTPUT_CLOSED
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        complain(f"{name}{error.strerror or error}")
        _flush_output()
        return REFUSED
    except ValueError as error:
        complain(str(error))
        return WRONG_ARGUMENTS


def _run(command: click.Command, argv: Sequence[str], settings: Settings) -> int:
    try:
        with command.make_context("queuey", list(argv), obj=settings) as ctx:
            found = command.invoke(ctx)
            return found if isinstance(found, int) else 0
    except EOFError:
        raise click.Abort from None
    finally:
        settings.close()


def _flush_output() -> None:
    """Write what is left; if that fails, drop it, so that the interpreter does not fail at its last flush."""
    try:
        sys.stdout.flush()
    except OSError:
        _close_output()


def _close_output() -> None:
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, io.UnsupportedOperation):
        return


def _shown_warning(settings: Settings, others: Any) -> Any:
    def show(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, GapWarning):
            settings.say(f"warning: {message}")
        else:
            others(message, category, *rest, **more)

    return show
