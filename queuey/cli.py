"""The ``queuey`` command, for what is done beside the daemon: checking a settings file, and making keys."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import TextIOWrapper
from pathlib import Path
from typing import Final, TextIO

from queuey import __version__, config
from queuey.errors import ConfigurationError

KEY_BYTES: Final = 32
"""Random bytes in a new key: as many as in its digest, since more would add nothing."""


def run() -> int:
    """What the console script calls.

    :return: the exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A path may hold what the terminal's encoding lacks; that must not end in a traceback.
            stream.reconfigure(errors="backslashreplace")
    try:
        status = main(sys.argv[1:], sys.stdout, sys.stderr)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has seen enough; the interpreter must not fail at its last flush either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def main(argv: Sequence[str], stdout: TextIO, stderr: TextIO) -> int:
    """Do what the arguments say.

    :param argv: without the program's name.
    :return: the exit status: 0, 1 where what was asked for failed, 2 where the arguments are wrong.
    """
    try:
        with redirect_stdout(stdout), redirect_stderr(stderr):
            arguments = _parser().parse_args(argv)
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else 2
    if arguments.command == "check":
        return _check(arguments.file, stdout, stderr)
    return _new_key(arguments.name, stdout, stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="queuey",
        description="What is done beside the daemon, which is started by: twistd queuey --config FILE",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"queuey {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser(
        "check",
        help="check a settings file, and print the settings in force",
        description="Check a settings file as the daemon does before it opens anything, and print the settings in "
        "force; keys are printed as their digests. The exit status is 1 where there is a mistake.",
    )
    check.add_argument("file", type=Path, metavar="FILE")
    keys = commands.add_parser("keys", help="make keys of applications", description="Make keys of applications.")
    actions = keys.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = actions.add_parser(
        "new",
        help="print a new key, and the line of the settings file that lets it in",
        description="Print a new key, and the line for [application_keys] that lets it in without telling it.",
    )
    new.add_argument("name", nargs="?", default="NAME", metavar="NAME", help="the application's name")
    return parser


def _check(file: Path, stdout: TextIO, stderr: TextIO) -> int:
    try:
        settings = config.load(file)
    except ConfigurationError as error:
        for problem in error.problems:
            print(problem, file=stderr)
        return 1
    for warning in settings.warnings:
        print(f"warning: {warning}", file=stderr)
    for line in settings.describe():
        print(line, file=stdout)
    return 0


def _new_key(name: str, stdout: TextIO, stderr: TextIO) -> int:
    if not config.name_is_good(name):
        print("NAME: an application's name is 1 to 50 letters, digits, dots, underscores and hyphens", file=stderr)
        return 1
    key = secrets.token_urlsafe(KEY_BYTES)
    print(key, file=stdout)
    print(config.digest_line(name, key), file=stdout)
    return 0
