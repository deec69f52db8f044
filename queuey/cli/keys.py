"""The command ``queuey keys``: it makes keys of applications."""

from __future__ import annotations

import argparse
import os
import secrets
from pathlib import Path
from typing import TextIO

from queuey import config
from queuey.errors import ConfigurationError
from queuey.file_modes import OWN_USER
from queuey.logs import printable
from queuey.model.application import KEY_BYTES


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    keys = commands.add_parser("keys", help="make keys of applications", description="Make keys of applications.")
    actions = keys.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = actions.add_parser(
        "new",
        help="print a new key, and the line to add to the settings file",
        description="Print a new key, and on the next line the line for [application_keys], which contains only its "
        "digest. Standard error says what each line is. With --key-file the key is written to a new file that only "
        "this user can read, and only the line for the settings is printed.",
        allow_abbrev=False,
    )
    new.add_argument("--key-file", type=Path, metavar="FILE", help="the file to make for the key")
    new.add_argument("name", nargs="?", default="NAME", metavar="NAME", help="the application's name")


def read_key(file: Path) -> str:
    """Return the key in a file.

    :raise ConfigurationError: it cannot be read, or is not one key.
    """
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigurationError((f"{file}: cannot be read: {why}",)) from None
    if not key or len(key.split()) != 1:
        raise ConfigurationError((f"{file}: must contain exactly one key",))
    return key


def new_key(name: str, file: Path | None, stdout: TextIO, stderr: TextIO) -> int:
    """Make a key, print it or write it to a new file, and return the exit status."""
    if not config.name_is_good(name):
        print("NAME: an application's name is 1 to 50 letters, digits, dots, underscores and hyphens", file=stderr)
        return 1
    key = secrets.token_urlsafe(KEY_BYTES)
    if file is None:
        print(f"the key, for the programs of {name}; it is shown only here:", file=stderr, flush=True)
        print(key, file=stdout, flush=True)
    else:
        _write_key(file, key)
        print(f"the key, for the programs of {name}, is in {printable(str(file))}", file=stderr, flush=True)
    print(
        "the line for [application_keys] in the settings, which has only a digest of the key:", file=stderr, flush=True
    )
    print(config.digest_line(name, key), file=stdout)
    return 0


def _write_key(file: Path, key: str) -> None:
    """Write a key to a new file that only this user can read."""
    try:
        with os.fdopen(
            os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWN_USER.file), "w", encoding="ascii"
        ) as made:
            made.write(f"{key}\n")
    except OSError as error:
        raise ConfigurationError((f"{printable(str(file))}: cannot be written: {error.strerror}",)) from None
