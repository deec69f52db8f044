"""The location of the log, and the text that is printed when Queuey starts without a settings file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Any, Final

import attrs

from queuey.config import DEVELOPMENT_APPLICATION, DEVELOPMENT_KEY, Settings, SQLiteStorage

SOCKET: Final = "unix socket "
"""The beginning of the address of a local socket, as ``Listeners.addresses`` shows it; its path follows."""

_TWISTDS_OWN: Final = ("logfile", "syslog", "logger")
"""The options of twistd that set the location of the log."""


@attrs.frozen
class LogPlace:
    """The location of the log.

    :ivar ours: whether we write it; otherwise twistd does, as its options say.
    :ivar file: ``None`` is standard error.
    :ivar foreground: whether a person may read standard error and type Ctrl-C.
    :ivar pid_file: the file that has the number of the process, if twistd writes one.
    """

    ours: bool
    file: Path | None
    foreground: bool
    pid_file: Path | None = None


def log_place(file: Path | None, twistd: Mapping[str, Any]) -> LogPlace:
    """Find the location of the log: the file of the settings, else what twistd's options say, else standard error.

    A daemon in the background has no standard error; its log is the file that twistd itself would write.

    :param twistd: twistd's options.
    """
    foreground = bool(twistd.get("nodaemon"))
    folder = Path(twistd.get("rundir") or ".").absolute()
    pid_file = folder / twistd["pidfile"] if twistd.get("pidfile") else None
    if file is not None:
        return LogPlace(True, file, foreground, pid_file)
    if any(twistd.get(name) for name in _TWISTDS_OWN):
        return LogPlace(False, None, foreground, pid_file)
    return LogPlace(True, None if foreground else folder / "twistd.log", foreground, pid_file)


def wrong_folders(twistd: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a line for each option of twistd that names a folder that is not there, or cannot be written to.

    Twistd itself would end with a traceback, and in the background without a word.

    :param twistd: twistd's options, as it has read them.
    """
    found = [
        f"twistd --{name}: {twistd[name]} is not a folder" for name in ("chroot", "rundir") if _no_folder(twistd, name)
    ]
    if found or twistd.get("chroot"):
        return tuple(found)  # the other paths are seen from there
    for name in ("pidfile", "logfile"):
        path = twistd.get(name)
        folder = Path(path or ".").parent
        if path and Path(path).is_dir():
            found.append(f"twistd --{name}: {path} is a folder")
        elif path and path != "-" and not os.access(folder, os.W_OK | os.X_OK):
            why = "cannot be written to" if folder.is_dir() else "is not a folder"
            found.append(f"twistd --{name}: {path} cannot be made: {folder} {why}")
    return tuple(found)


def _no_folder(twistd: Mapping[str, Any], name: str) -> bool:
    return bool(twistd.get(name)) and not Path(twistd[name]).is_dir()


def welcome(
    settings: Settings,
    addresses: list[str],
    operators: list[str],
    dashboard: str | None,
    place: LogPlace,
    python: str = sys.executable,
) -> list[str]:
    """Return lines with the addresses, the key, the place of the data, commands to try, and how to stop.

    :param addresses: of clients, at least one.
    :param operators: the addresses of the operators' port.
    :param dashboard: a URL that signs in at the dashboard, if there is one.
    :param python: the Python that runs, beside which ``pip`` puts the command ``queuey``.
    """
    storage = settings.storage
    log = place.file or ("here, on standard error" if place.ours else "where the options of twistd say")
    data = str(storage.path) if isinstance(storage, SQLiteStorage) else "in memory"
    return [
        "",
        f"Queuey serves its built-in development settings on {', '.join(addresses)}.",
        f"  application  {DEVELOPMENT_APPLICATION}",
        f"  key          {DEVELOPMENT_KEY} (public: for this machine only)",
        f"  data         {data}",
        f"  operators    {', '.join(operators) or 'none'}",
        f"  log          {log}",
        *([] if dashboard is None else [f"  dashboard    {dashboard}"]),
        *_first_commands(addresses[0]),
        *_command_of_operators(operators, python),
        _how_to_stop(place),
        "",
    ]


def _first_commands(address: str) -> list[str]:
    """Return commands that make a queue, post a message to it and read it."""
    if address.startswith(SOCKET):
        curl, url = f"curl --unix-socket {quote(address.removeprefix(SOCKET))}", "http://localhost"
    else:
        curl, url = "curl", f"http://{address}"
    queue = f"{url}/v2/{DEVELOPMENT_APPLICATION}/queues/first"
    return [
        "Try this:",
        f"  KEY='Authorization: Application {DEVELOPMENT_KEY}'",
        f'  {curl} -H "$KEY" -X PUT {queue}',
        f"  {curl} -H \"$KEY\" -H 'Content-Type: text/plain' -d 'Hello' {queue}/messages",
        f'  {curl} -H "$KEY" {queue}/messages',
    ]


def _command_of_operators(operators: list[str], python: str) -> list[str]:
    """Return a command that asks this daemon for its state, if the operators' port is a local socket."""
    for address in operators:
        if address.startswith(SOCKET):
            beside = Path(python).with_name("queuey")
            program = str(beside) if beside.exists() else "queuey"
            return [f"  {quote(program)} ops --to {quote('unix:' + address.removeprefix(SOCKET))} status"]
    return []


def _how_to_stop(place: LogPlace) -> str:
    if place.foreground:
        return "Ctrl-C stops the daemon."
    if place.pid_file is None:
        return f"This stops the daemon: kill {os.getpid()}"
    return f'This stops the daemon: kill "$(cat {quote(str(place.pid_file))})"'
