"""The command ``queuey keys``: keys of applications, and the credentials that they are for clients of SQS."""

from __future__ import annotations

import argparse
import os
import secrets
from pathlib import Path
from typing import Any, TextIO

from queuey import config
from queuey.errors import ConfigurationError
from queuey.file_modes import OWN_USER
from queuey.logs import printable
from queuey.model.applications.application import KEY_BYTES, digest_of
from queuey.model.applications.aws_keys import aws_key


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
    aws = actions.add_parser(
        "aws",
        help="print the credentials of a key for clients of Amazon SQS",
        description="Print the access key id and the secret access key that belong to a key, as lines of a shell. The "
        "application needs sqs = true in its settings.",
        allow_abbrev=False,
    )
    aws.add_argument("key_file", type=Path, metavar="KEY-FILE", help="the file with the key")


def run(arguments: Any, stdout: TextIO, stderr: TextIO) -> int:
    """Run the command, and return its exit status."""
    if arguments.action == "aws":
        return _aws_key(arguments.key_file, stdout)
    return _new_key(arguments.name, arguments.key_file, stdout, stderr)


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


def _aws_key(file: Path, stdout: TextIO) -> int:
    pair = aws_key(digest_of(read_key(file)))
    print(f"export AWS_ACCESS_KEY_ID={pair.id}", file=stdout)
    print(f"export AWS_SECRET_ACCESS_KEY={pair.secret}", file=stdout)
    return 0


def _new_key(name: str, file: Path | None, stdout: TextIO, stderr: TextIO) -> int:
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
