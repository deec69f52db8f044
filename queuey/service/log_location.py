"""The location of the log, and the text that is printed when Queuey starts without a settings file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from queuey.config import DEVELOPMENT_APPLICATION, DEVELOPMENT_KEY, Settings, SQLiteStorage

_TWISTDS_OWN: Final = ("logfile", "syslog", "logger")
"""The options of twistd that set the location of the log."""


@attrs.frozen
class LogPlace:
    """The location of the log.

    :ivar ours: whether we write it; otherwise twistd does, as its options say.
    :ivar file: ``None`` is standard error.
    :ivar foreground: whether a person may read standard error and type Ctrl-C.
    """

    ours: bool
    file: Path | None
    foreground: bool


def log_place(file: Path | None, twistd: Mapping[str, Any]) -> LogPlace:
    """Find the location of the log: the file of the settings, else what twistd's options say, else standard error.

    A daemon in the background has no standard error; its log is the file that twistd itself would write.

    :param twistd: twistd's options.
    """
    foreground = bool(twistd.get("nodaemon"))
    if file is not None:
        return LogPlace(True, file, foreground)
    if any(twistd.get(name) for name in _TWISTDS_OWN):
        return LogPlace(False, None, foreground)
    background = Path(twistd.get("rundir") or ".").absolute() / "twistd.log"
    return LogPlace(True, None if foreground else background, foreground)


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


def welcome(settings: Settings, addresses: list[str], place: LogPlace) -> list[str]:
    """Return lines that say where the daemon listens, who may use it, where its data are, and what to try."""
    storage = settings.storage
    log = place.file or ("here, on standard error" if place.ours else "where twistd was told to log")
    authorization = f"-H 'Authorization: Application {DEVELOPMENT_KEY}'"
    url = f"http://{addresses[0]}/v1/{DEVELOPMENT_APPLICATION}"
    return [
        "",
        f"Queuey serves its built-in development settings on {', '.join(addresses)}.",
        f"  application  {DEVELOPMENT_APPLICATION}",
        f"  key          {DEVELOPMENT_KEY} (everybody knows it: for this machine only)",
        f"  data         {storage.path if isinstance(storage, SQLiteStorage) else 'in memory'}",
        f"  log          {log}",
        "Try this; Ctrl-C stops the daemon:" if place.foreground else "Try this:",
        f"  curl {authorization} -d queue_name=first {url}",
        "",
    ]
