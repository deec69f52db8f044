"""The log: lines of text or of JSON, in a file or on standard error. Clients cannot add lines of their own to it.

Each line of this package has an event word that stays the same from version to version, so that operators can search
for it. A log that cannot be written never stops the program; how many lines were lost is logged once it can be written
again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import Any, Final

from twisted.logger import ILogObserver, Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from queuey.errors import ConfigurationError
from queuey.file_modes import OWN_USER, FileModes, Findings
from queuey.logs.file import LogFile
from queuey.logs.styles import ACCESS, STYLES, AccessLine, Event, Style, printable
from queuey.model.telemetry.counts import NONE, Counter, Metric

__all__ = [
    "ALWAYS",
    "LEVELS",
    "STYLES",
    "AccessLine",
    "EventLog",
    "LogFile",
    "LogObserver",
    "access_logger",
    "open_log",
    "printable",
]

ALWAYS: Final = "log_always"
"""The field of an event that no level hides."""

LEVELS: Final = ("debug", "info", "warn", "error")

_LEGACY: Final = "log_legacy"
"""The namespace of events that come by Twisted's older way of logging."""

_TWISTED: Final = "twisted."

_MOST_GATHERED: Final = 1000
"""Maximum number of access lines that are kept until the turn of the reactor ends."""


@implementer(ILogObserver)
class LogObserver:
    """Writes the events of twisted.logger, from a level upwards; those with ``ALWAYS`` whatever their level is.

    Access lines have a way of their own besides, which is a tenth of the time of a POST shorter than that of events:
    those of one turn of the reactor are written at once, and before any event that comes after them.

    :ivar level: the level; see :meth:`set_level`.
    """

    level: str

    def __init__(self, file: LogFile, style: Style, level: str, clock: Callable[[], float]) -> None:
        """
        :param style: how lines look.
        :param level: one of ``LEVELS``.
        :param clock: gives seconds since 1970.
        """
        self._file = file
        self._style = style
        self._clock = clock
        self._lost = 0
        self._gathered: list[str] = []
        self._at_end: Callable[[Callable[[], None]], None] | None = None
        # Lines are counted in the threads that log, one of which may be interrupted by a line of its own.
        self._lock = RLock()
        self._lines = Counter("queuey_log_lines_total", "Lines that were written to the log.", ("level",))
        self._lines_lost = Counter("queuey_log_lines_lost_total", "Lines of the log that could not be written.")
        self.set_level(level)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Counters of log lines."""
        return (self._lines, self._lines_lost)

    def set_level(self, level: str) -> None:
        """From now on, write events of this level and above; one of ``LEVELS``."""
        self.level = level
        lowest = LogLevel.levelWithName(level)
        self._hidden = frozenset(one for one in LogLevel.iterconstants() if one < lowest)
        self._hides_access = LogLevel.info in self._hidden
        self._hides_debug = LogLevel.debug in self._hidden

    def gather(self, at_end: Callable[[Callable[[], None]], None]) -> None:
        """From now on, write access lines at the end of the reactor's turn, all lines of a turn by one call.

        :param at_end: runs a function then. The sender of answers calls :meth:`write_gathered` before it sends, so that
            a client never has an answer that the log does not have.
        """
        self._at_end = at_end

    def access(self, line: AccessLine) -> None:
        """Write the line of a request that is over. Never raises; for the reactor's thread."""
        if self._hides_access:
            return
        try:
            text = self._style.access(line, self._clock())
        except Exception as error:
            self._put_unformattable(error)
            return
        with self._lock:
            gathered = self._gathered
            gathered.append(text)
            count = len(gathered)
        if self._at_end is None or count >= _MOST_GATHERED:
            self.write_gathered()
        elif count == 1:
            self._at_end(self.write_gathered)

    def write_gathered(self) -> None:
        """Write the access lines that have come since this was done last. Never raises."""
        # The lock is held until they are written. Another thread may have begun to write them, and a caller that wants
        # them written before it sends an answer has to wait for that.
        with self._lock:
            if self._gathered:
                fresh: list[str] = []
                lines, self._gathered = self._gathered, fresh
                self._put(lines, LogLevel.info)

    def __call__(self, event: Event) -> None:
        """Write an event. Never raises."""
        if event.get("log_level") in self._hidden and not event.get(ALWAYS):
            return
        if self._hides_debug and _is_chatter(event):
            return
        try:
            line = self._style.line(event)
        except Exception as error:
            self._put_unformattable(error)
            return
        if line:
            self._put_now(line, event.get("log_level", LogLevel.info))

    def _put_unformattable(self, error: Exception) -> None:
        text = f"An event cannot be shown: {type(error).__name__}"
        self._put_now(self._own(LogLevel.error, "log-unformattable", text), LogLevel.error)

    def reopen(self) -> None:
        """Open the file of this name again; an error is logged to the old one."""
        self.write_gathered()
        findings = Findings()
        try:
            self._file.reopen(findings)
            self.tell(findings)
        except OSError as error:
            text = f"The log file {self._file.path} cannot be opened again, the old one is kept: {error.strerror}"
            self._put_now(self._own(LogLevel.error, "log-reopen-failed", text), LogLevel.error)

    def tell(self, findings: Findings) -> None:
        """Write what others could read until the file was opened, and what they may read or replace still."""
        if LogLevel.warn in self._hidden:
            return
        if findings.tightened:
            text = f"these files were readable for other users, and are not any more: {', '.join(findings.tightened)}"
            self._put_now(self._own(LogLevel.warn, "files-tightened", text), LogLevel.warn)
        if findings.left:
            text = f"others may read or replace these: {', '.join(findings.left)}"
            self._put_now(self._own(LogLevel.warn, "files-open", text), LogLevel.warn)

    def close(self) -> None:
        """Close the file."""
        self.write_gathered()
        self._file.close()

    def _put_now(self, line: str, level: Any) -> None:
        """Write a line, and what was gathered before it."""
        if self._gathered:
            self.write_gathered()
        self._put([line], level)

    def _put(self, lines: list[str], level: Any) -> None:
        if self._lost:
            text = f"{self._lost} lines of the log could not be written"
            if not self._write([self._own(LogLevel.warn, "log-lines-lost", text)], LogLevel.warn):
                self._lose(len(lines))
                return
            self._lost = 0
        lost = len(lines) - self._write(lines, level)
        if lost:
            self._lose(lost)

    def _write(self, lines: list[str], level: Any) -> int:
        """Write lines; return how many of them were written whole."""
        data = _encoded("\n".join(lines))
        written, count = self._file.write(data), len(lines)
        if written < len(data):
            count = 0 if count == 1 else data.count(b"\n", 0, written)
        if count:
            with self._lock:
                self._lines.add((getattr(level, "name", "info"),), count)
        return count

    def _lose(self, count: int) -> None:
        self._lost += count
        with self._lock:
            self._lines_lost.add(NONE, count)

    def _own(self, level: Any, word: str, text: str) -> str:
        event = {"log_level": level, "log_namespace": __name__, "log_time": self._clock(), "event": word, "own": text}
        return self._style.line({**event, "log_format": "{own}"})


def _is_chatter(event: Event) -> bool:
    """Return whether an event is one of Twisted's routine messages, such as the port that it opens."""
    namespace = event.get("log_namespace")
    return (
        event.get("log_level") is LogLevel.info
        and isinstance(namespace, str)
        and (namespace == _LEGACY or namespace.startswith(_TWISTED))
    )


def _encoded(line: str) -> bytes:
    return (line + "\n").encode("utf-8", "backslashreplace")


def open_log(
    file: Path | None,
    format: str,
    level: str,
    descriptor: int,
    clock: Callable[[], float],
    modes: FileModes = OWN_USER,
) -> LogObserver:
    """Make the observer that the settings ask for.

    :param format: one of ``STYLES``.
    :param level: one of ``LEVELS``.
    :param descriptor: of standard error, if ``file`` is ``None``.
    :param clock: returns seconds since 1970.
    :param modes: of the file and its folder.
    :raise ConfigurationError: the file cannot be opened.
    """
    findings = Findings()
    try:
        opened = LogFile(None, descriptor) if file is None else LogFile.at(file, modes, findings)
    except OSError as error:
        text = f"[logging] file: {printable(str(file))} cannot be opened: {error.strerror}"
        raise ConfigurationError((text,)) from None
    log = LogObserver(opened, STYLES[format](), level, clock)
    log.tell(findings)
    return log


def access_logger(observer: Callable[[Event], None], clock: Callable[[], float]) -> Callable[[AccessLine], None]:
    """Return the function that the HTTP server calls with each answered request.

    :param observer: takes the events; the publisher of twisted.logger.
    :param clock: gives seconds since 1970.
    """

    def log(line: AccessLine) -> None:
        observer(
            {
                "log_level": LogLevel.info,
                "log_namespace": "queuey.access",
                "log_time": clock(),
                "log_format": "{access_line.method} {access_line.path} {access_line.status}",
                "event": "access",
                ACCESS: line,
            }
        )

    return log


class EventLog:
    """A logger whose every line has an event word."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def debug(self, event: str, text: str, /, **fields: object) -> None:
        """For developers; ``text`` may name fields, as in ``"opened {path}"``."""
        self._logger.debug(text, event=event, **fields)

    def info(self, event: str, text: str, /, **fields: object) -> None:
        """Log a normal event that is worth knowing."""
        self._logger.info(text, event=event, **fields)

    def warn(self, event: str, text: str, /, **fields: object) -> None:
        """Log an event that an operator should look at some time."""
        self._logger.warn(text, event=event, **fields)

    def error(self, event: str, text: str, /, **fields: object) -> None:
        """Log an event that an operator should look at now."""
        self._logger.error(text, event=event, **fields)

    def failure(self, event: str, text: str, failure: Failure, /, **fields: object) -> None:
        """Log a defect, or a :class:`~queuey.errors.QueueyError` that no caller gets; only defects have a traceback."""
        self._logger.failure(text, failure, level=LogLevel.error, event=event, **fields)
