"""Errors of the command, and the exit statuses that they have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from queuey_client.core.errors import NotFound, QueueyError, Stale

DONE = 0
REFUSED = 1
WRONG_ARGUMENTS = 2
NOT_FOUND = 3
TRY_LATER = 4
UNKNOWN = 5
NO_MESSAGES = 6
PARTLY = 7
INTERRUPTED = 130
OUTPUT_CLOSED = 141

MAX_LINES = 20
"""Lines about single failures that are printed; the others are counted."""

MAX_TEXT = 1000
"""Characters of one line of words."""

_HINTS = {
    "no-such-application": "name the application with --application, QUEUEY_APPLICATION or a context",
    "no-such-queue": "create it with: queuey queues set NAME; list the queues with: queuey queues ls",
    "no-such-group": "create it with: queuey groups set QUEUE NAME; list the groups with: queuey groups ls QUEUE",
    "no-such-push": "create it with: queuey pushes set QUEUE NAME url=URL; list them with: queuey pushes ls QUEUE",
    "no-such-schedule": "create it with: queuey schedules set QUEUE NAME cron=CRON message=MESSAGE; "
    "list them with: queuey schedules ls QUEUE",
    "foreign-answer": "name the server with --url, QUEUEY_URL or a context",
}


class Failure(Exception):
    """The command cannot do what it was asked to do.

    :ivar lines: words for standard error.
    """

    def __init__(self, *lines: str, status: int = REFUSED) -> None:
        super().__init__("; ".join(lines))
        self.lines: Sequence[str] = lines
        self.status = status


@contextmanager
def may_be_missing(is_allowed: bool, *codes: str) -> Iterator[None]:
    """Ignore that what a command deletes does not exist.

    :param is_allowed: whether ``--missing-ok`` was given; without it the error is raised.
    :param codes: the errors that say so.
    """
    try:
        yield
    except NotFound as error:
        if not is_allowed or error.code not in codes:
            raise


def status_of(error: QueueyError) -> int:
    """Return the exit status for an error of the API."""
    if isinstance(error, Stale) or error.applied == "partly":
        return PARTLY
    if error.applied == "unknown":
        return UNKNOWN
    if error.retryable:
        return TRY_LATER
    return NOT_FOUND if error.status == 404 else REFUSED


def lines_of(error: QueueyError) -> list[str]:
    """Return lines that say what went wrong, and what to do."""
    times = f" ({error.attempts} attempts)" if error.attempts > 1 else ""
    if error.status is None and error.code == "no-answer":
        lines = [f"{shortened(error.detail)}{times}"]
        if error.applied == "unknown":
            lines.append("the server may have done it, or not")
        else:
            lines.append("is the daemon running? Name the server with --url, QUEUEY_URL or a context")
        return lines
    lines = [f"{error.detail}{times} ({error.code})"]
    mistakes = [_mistake(each) for each in list(error.errors)[:MAX_LINES]]
    lines += [each for each in mistakes if each != error.detail]  # the detail of a single mistake says all of it
    if error.applied == "unknown":
        lines.append("the server may have done it, or not")
    if error.status == 401:
        lines.append("give the key with --key-file, QUEUEY_KEY or a context")
    elif error.code in _HINTS:
        lines.append(_HINTS[error.code])
    return lines


def printable(text: str) -> str:
    """Return text on one line, without characters that a terminal obeys."""
    return "".join(_escaped(each) for each in text)


_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}


def _escaped(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00  # a byte that is no UTF-8
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def _mistake(each: object) -> str:
    found = dict(each) if isinstance(each, dict) else {}
    place = found.get("parameter") or found.get("pointer") or ""
    return f"{place}: {found.get('detail', '')}" if place else str(found.get("detail", ""))


def shortened(detail: str) -> str:
    """Leave out the names of urllib3's objects."""
    text = re.sub(r"\w+\(host='([^']*)', port=(\w+)\):", r"\1:\2:", detail)
    return re.sub(r"\('([^']*)\.?', \w+\((?:\d+, )?'([^']*)'\)\)", r"\1: \2", text).replace(".: ", ": ")
