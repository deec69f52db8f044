"""The commands that work beside the daemon: check settings, make keys, back up.

They join the command ``queuey`` of ``queuey_client.cli`` by entry points, which call :func:`command`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Final, TextIO

from queuey import __version__, config
from queuey.cli import keys, ops, samples, starting
from queuey.cli.processes import Processes
from queuey.cli.restoring import Client, RestoringFailed, connect, restore_queue
from queuey.config import CassandraStorage, MemoryStorage, OpsSettings, Overrides
from queuey.config.declarations.declared import key_of
from queuey.config.kinds import kinds
from queuey.config.mistakes import Mistake, shown_path
from queuey.config.sections.operators_socket import socket_of
from queuey.errors import ConfigurationError, QueueyError
from queuey.file_modes import OWN_USER, FileModes
from queuey.logs import printable
from queuey.model.timeid import to_rfc3339
from queuey.storage.sqlite.upkeep.backup import Archive, back_up, size_of
from queuey_client.cli.progress import Progress
from queuey_client.core.counted import counted

_LEAST_PRIORITY: Final = 19
"""Of a process, as nice(1) counts."""

_PATIENT: Final = ("backup", "copy", "restore-queue")
"""The commands that work long, and leave the processor to the daemon."""

_CANNOT_START: Final = 3
"""The exit status of a check that finds the settings right, and this machine not ready for them."""

_OTHER_DATA: Final = "; if its data are elsewhere, as with make run DATA=..., say --data DIR"
"""Added to the error of a call of a daemon that no option names."""

_LONGEST_WAIT: Final = 86400
"""Seconds that a cluster may be waited for."""


def command(argv: Sequence[str], stdout: TextIO, stderr: TextIO) -> int:
    """Run the command in a process of its own; the entry point of each command.

    :return: the exit status.
    """
    if argv[:1] and argv[0] in _PATIENT:
        # The daemon beside has the processor first: a backup can wait, and requests cannot.
        os.setpriority(os.PRIO_PROCESS, 0, _LEAST_PRIORITY)
    return main(argv, stdout, stderr)


def main(argv: Sequence[str], stdout: TextIO, stderr: TextIO) -> int:
    """Run the command.

    :param argv: without the program's name.
    :return: the exit status: 0, 1 if the command failed, 2 if the arguments are wrong.
    """
    if not argv:
        _parser().print_help(stderr)
        return 2
    try:
        with redirect_stdout(stdout), redirect_stderr(stderr):
            arguments = _parser().parse_args(argv)
    except SystemExit as exit:
        return exit.code if isinstance(exit.code, int) else 2
    try:
        if arguments.command == "check":
            return _check(arguments, stdout, stderr)
        if arguments.command == "backup":
            return _back_up(arguments, stdout)
        if arguments.command == "restore-queue":
            return _restore_queue(arguments, stdout)
        if arguments.command == "copy":
            return _copy(arguments, stdout)
        if arguments.command == "schema":
            return _schema(arguments, stdout)
        if arguments.command == "config":
            return _config(arguments, stdout)
        if arguments.command == "ops":
            return _ops(arguments, stdout, stderr)
        return keys.run(arguments, stdout, stderr)
    except ConfigurationError as error:
        lines = error.problems
    except (QueueyError, RestoringFailed, ops.CallFailed) as error:
        lines = (str(error),)
    for line in lines:
        print(line, file=stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="queuey",
        description="Commands for operators. To start the daemon: twistd queuey --config FILE",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"queuey {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser(
        "check",
        help="check a settings file, and print the settings in force",
        description="Check a settings file as the daemon does, print the settings in force, with keys as their "
        "digests, and try whether a daemon could start here as this user: folders, log and ports. The exit status is "
        "1 if the file has a mistake, and 3 if the file is right and a daemon could not start here now. A daemon that "
        "runs with this file already does not count.",
        allow_abbrev=False,
    )
    check.add_argument("--settings-only", action="store_true", help="do not look at folders and ports of this machine")
    check.add_argument("--http", action="append", metavar="ENDPOINT", help="as for twistd queuey; may be repeated")
    check.add_argument("--data", metavar="DIR", help="as for twistd queuey")
    check.add_argument("--ops", metavar="ENDPOINT", help="as for twistd queuey")
    check.add_argument("--dashboard", metavar="ENDPOINT", help="as for twistd queuey")
    check.add_argument("file", type=Path, metavar="FILE")
    _config_parser(commands)
    _backup_parser(commands)
    _restore_parser(commands)
    _copy_parser(commands)
    _schema_parser(commands)
    _ops_parser(commands)
    keys.add_parser(commands)
    return parser


def _config_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "config",
        help="print sample settings, or a unit of systemd, a proxy's configuration, alerts and so on",
        description="Print a sample to begin with: settings for production, or what the option names. queuey config "
        "--list says where each of them belongs.",
        allow_abbrev=False,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--list", action="store_true", help="the samples that there are")
    for sample in samples.SAMPLES:
        if sample.option:
            which.add_argument(
                f"--{sample.option}", dest="sample", action="store_const", const=sample, help=sample.what
            )
    parser.set_defaults(sample=samples.SAMPLES[0])


def _backup_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    backup = commands.add_parser(
        "backup",
        help="copy the data; the daemon may run meanwhile",
        description="Copy the data as it is at this moment into a new folder, from which a daemon can serve. The "
        "daemon may run meanwhile. Without an option the data is that of the built-in settings, ./queuey-data.",
        allow_abbrev=False,
    )
    where = backup.add_mutually_exclusive_group()
    where.add_argument("--config", type=Path, metavar="FILE", help="the settings that name the data")
    where.add_argument("--data", type=Path, metavar="DIR", help="the data, or an earlier backup")
    backup.add_argument("target", type=Path, metavar="TARGET_DIR", help="the folder to make")


def _restore_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    restore = commands.add_parser(
        "restore-queue",
        help="put one queue of a backup into a running daemon",
        description="Put the messages of one queue of a backup into a running daemon, under their own ids. Messages "
        "that the daemon has under these ids stay unchanged. The command may be repeated.",
        allow_abbrev=False,
    )
    restore.add_argument("backup", type=Path, metavar="BACKUP_DIR")
    restore.add_argument("application", metavar="APPLICATION")
    restore.add_argument("queue", metavar="QUEUE")
    restore.add_argument("--to", required=True, metavar="URL", help="the daemon, such as http://127.0.0.1:5000")
    restore.add_argument(
        "--key-file", required=True, type=Path, metavar="FILE", help="a file with the application's key"
    )
    restore.add_argument("--as", dest="name", metavar="NAME", help="another name for the queue")


def _copy_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    copy = commands.add_parser(
        "copy",
        help="copy one store into another; daemons may serve from the first meanwhile",
        description="Copy everything that the store of one settings file holds into that of another, which is empty or "
        "an unfinished copy of the first. Daemons may serve from the first meanwhile; none can serve from the second "
        "before the copy is complete. It ends when little is left. After an interruption repeat the command.",
        allow_abbrev=False,
    )
    copy.add_argument(
        "--finish",
        action="store_true",
        help="go on until the daemons of the first are stopped, copy the rest, and let daemons serve from the second",
    )
    copy.add_argument(
        "--wait",
        type=_wait,
        default=180.0,
        metavar="SECONDS",
        help="how long a cluster may take to answer and to be ready (default: 180, since it may have to create tables)",
    )
    copy.add_argument("source", type=Path, metavar="FROM.ini", help="the settings of the store to copy")
    copy.add_argument("target", type=Path, metavar="TO.ini", help="the settings of the new store")


def _wait(text: str) -> float:
    try:
        return kinds.seconds(0, _LONGEST_WAIT).read(text, Path())
    except Mistake as mistake:
        raise argparse.ArgumentTypeError(f"{mistake}; allowed: 0 to {_LONGEST_WAIT} seconds") from None


def _schema_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    schema = commands.add_parser(
        "schema",
        help="print or create the tables that Cassandra needs",
        description="Print, in CQL, the keyspace and the tables that a daemon with backend = cassandra needs, for "
        "clusters on which the daemon may not create them (create_schema = false). Run it on one machine at a time.",
        allow_abbrev=False,
    )
    schema.add_argument("--config", type=Path, metavar="FILE", help="the settings; without it, the defaults")
    schema.add_argument("--apply", action="store_true", help="create or upgrade them instead")


def _ops_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "ops",
        help="call a method of a running daemon",
        description="Call a method of the operators' port of a running daemon: system.listMethods lists them, and "
        "system.methodHelp method=NAME explains one. A value that is JSON, such as 60, true, null or [1,2], is sent as "
        "JSON, any other as text. Without --config, --data and --to the daemon is that of the built-in settings, with "
        "its data in ./queuey-data. The exit status is 1 if the daemon refuses, or does not answer.",
        allow_abbrev=False,
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--config", type=Path, metavar="FILE", help="the settings of the daemon")
    where.add_argument("--data", type=Path, metavar="DIR", help="the daemon's data folder, which contains its socket")
    where.add_argument("--to", metavar="ADDRESS", help="unix:PATH, or a URL such as http://127.0.0.1:5001")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="a file with the operators' token")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.add_argument("method", metavar="METHOD")
    # With a default, a missing METHOD is not reported together with what may be left out.
    parser.add_argument("parameters", nargs="*", metavar="KEY=VALUE", default=[])


def _ops(arguments: argparse.Namespace, stdout: TextIO, stderr: TextIO) -> int:
    params = ops.parameters(arguments.parameters)
    to = arguments.to or _operators(arguments.config, arguments.data)
    token = None if arguments.token_file is None else keys.read_key(arguments.token_file)
    connection = ops.connect(to)
    try:
        result = ops.call(connection, arguments.method, params, token)
    except ops.Fault as fault:
        if arguments.json:
            print(json.dumps(fault.error, indent=2), file=stdout)
        else:
            print("\n".join(map(printable, fault.lines)), file=stderr)
        return 1
    except ops.CallFailed as error:
        guessed = arguments.to is None and arguments.config is None and arguments.data is None
        raise ops.CallFailed(f"{printable(to)}: {error}{_OTHER_DATA if guessed else ''}") from None
    finally:
        connection.close()
    for line in [json.dumps(result, indent=2)] if arguments.json else ops.shown(result, arguments.method):
        print(line, file=stdout)
    return 0


def _operators(file: Path | None, data: Path | None) -> str:
    """Return the address of the operators' port of a daemon: that of its settings, or of its data."""
    if data is not None:
        return f"unix:{socket_of(data)}"
    settings = config.development(Path.cwd()) if file is None else config.load(file)
    for warning in settings.warnings:
        if key_of(OpsSettings, "named").place in warning:
            raise ops.CallFailed(warning)
    return ops.place(settings.server.ops, "built-in settings" if file is None else str(file))


def _check(arguments: argparse.Namespace, stdout: TextIO, stderr: TextIO) -> int:
    file = arguments.file
    http = None if arguments.http is None else "\n".join(arguments.http)
    settings = config.load(file, Overrides(Path.cwd(), http, arguments.data, arguments.ops, arguments.dashboard))
    for warning in settings.warnings:
        print(f"warning: {warning}", file=stderr)
    for line in settings.describe():
        print(line, file=stdout)
    if arguments.settings_only:
        return 0
    found = starting.look(settings, Processes())
    if found.served_by is not None:
        print(f"note: process {found.served_by} serves these settings now", file=stderr)
    for problem in found.problems:
        print(f"{shown_path(file)}: {problem}", file=stderr)
    return _CANNOT_START if found.problems else 0


def _back_up(arguments: argparse.Namespace, stdout: TextIO) -> int:
    source, modes = (arguments.data, OWN_USER) if arguments.data else _data_of(arguments.config)
    with Progress(sys.stderr.isatty(), "backup, KiB", size_of(source) >> 10) as bar:
        made = back_up(
            source.absolute(), arguments.target.absolute(), modes, parents=True, on_bytes=lambda n: bar.update(n >> 10)
        )
    stable = to_rfc3339(made.stable) if made.stable else "none yet"
    what = f"{counted(made.bytes, 'byte')}, {counted(made.messages, 'message')} in {counted(made.queues, 'queue')}"
    print(f"{made.path}: {what}, stable time {stable}", file=stdout)
    return 0


def _data_of(file: Path | None) -> tuple[Path, FileModes]:
    """Return the data folder of the settings, and who may read it."""
    settings = config.development(Path.cwd()) if file is None else config.load(file)
    if isinstance(settings.storage, MemoryStorage):
        raise ConfigurationError((f"{file}: [storage] backend: a memory store cannot be copied",))
    if isinstance(settings.storage, CassandraStorage):
        raise ConfigurationError((f"{file}: [storage] backend: a cluster has snapshots of its own, by nodetool",))
    return settings.storage.path, settings.storage.modes


def _config(arguments: argparse.Namespace, stdout: TextIO) -> int:
    text = "\n".join(samples.listing()) + "\n" if arguments.list else arguments.sample.text()
    print(text, file=stdout, end="")
    return 0


def _schema(arguments: argparse.Namespace, stdout: TextIO) -> int:
    from queuey.cli import schema

    storage = schema.settings(arguments.config)
    if arguments.apply:
        print(schema.apply(storage), file=stdout)
    else:
        print(schema.text(storage), file=stdout, end="")
    return 0


def _copy(arguments: argparse.Namespace, stdout: TextIO) -> int:
    from queuey.cli import copying

    copying.copy(copying.copy_arguments(arguments.source, arguments.target, arguments.finish, arguments.wait), stdout)
    return 0


def _restore_queue(arguments: argparse.Namespace, stdout: TextIO) -> int:
    client = Client(connect(arguments.to), arguments.to, arguments.application, keys.read_key(arguments.key_file))
    archive = Archive(arguments.backup.absolute())
    name = arguments.queue if arguments.name is None else arguments.name
    try:
        with Progress(sys.stderr.isatty(), f"restore {name}, messages") as bar:
            done = restore_queue(archive, client, arguments.queue, name, time.time, bar.update)
    finally:
        archive.close()
        client.close()
    put = counted(done.put, "message was put", "messages were put")
    print(f"{put}, {counted(done.there, 'was there', 'were there')}", file=stdout)
    return 0
