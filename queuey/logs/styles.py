"""The format of events and access lines, as text and as JSON. Clients cannot add lines of their own."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, Protocol

from twisted.logger import formatEvent
from twisted.python.failure import Failure

from queuey.errors import QueueyError

Event = dict[str, Any]

MAX_VALUE: Final = 1024
"""Maximum length of a value in an access line; a longer one is cut, and its length is added."""

MAX_TEXT: Final = 8192
"""Maximum length of the text of a line; a longer one is cut in the same way."""

MAX_TRACEBACK: Final = 65536
"""Characters of a traceback that are logged, from its end."""

ACCESS: Final = "access_line"
"""The field of an event that holds an :class:`AccessLine`."""

_PLAIN: Final = re.compile(r"[!#-\[\]-~]+")
"""Values that need no quotes: visible ASCII without the quote and the backslash."""

_SHORT: Final = re.compile(r"[!#-\[\]-~]{1,1024}")
"""The same if they are not cut either."""

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_WORD: Final = re.compile(r"[a-z][a-z0-9-]*")
_RESERVED: Final = frozenset({"time", "level", "event", "namespace", "text", "traceback"})


class AccessLine(Protocol):
    """One request and its answer, as the HTTP server reports it; the duration is in seconds, sizes are in bytes."""

    @property
    def request_id(self) -> str:
        """The id that the answer carries too."""

    @property
    def client(self) -> str:
        """The client's address."""

    @property
    def method(self) -> str:
        """The method, as it came."""

    @property
    def path(self) -> str:
        """The path and the query, as they came."""

    @property
    def status(self) -> int:
        """The status of the answer."""

    @property
    def bytes_in(self) -> int:
        """Read for the request, its head included."""

    @property
    def bytes_out(self) -> int:
        """Written for the answer, its head included."""

    @property
    def seconds(self) -> float:
        """From the first byte of the request to the last of the answer."""

    @property
    def application(self) -> str | None:
        """The application, if there is one."""

    @property
    def queue(self) -> str | None:
        """The queue, if there is one."""

    @property
    def trace(self) -> str | None:
        """The id of the trace, if there is one."""


class Style(Protocol):
    """Format of log lines."""

    def line(self, event: Event) -> str:
        """Format an event as a line without its newline; empty if the event has no text."""

    def access(self, line: AccessLine, seconds: float | None) -> str:
        """The line of a request that is over, without its newline.

        :param seconds: since 1970.
        """


class TextStyle:
    """``TIME LEVEL EVENT TEXT``, a traceback on lines that begin with spaces and a bar."""

    def __init__(self) -> None:
        self._times = _Times()

    def line(self, event: Event) -> str:
        """See :class:`Style`."""
        access = event.get(ACCESS)
        if access is not None:
            return self.access(access, event.get("log_time"))
        head = self._times.text(event.get("log_time"))
        text, traceback = _text(event), _traceback(event)
        if not text and not traceback:
            return ""
        word = _word(event) or _value(str(event.get("log_namespace") or "-"))
        line = f"{head} {_level(event)} {word} {printable(_cut(text, MAX_TEXT))}"
        return "\n".join([line, *(f"    | {printable(part)}" for part in traceback.split("\n") if part)])

    def access(self, line: AccessLine, seconds: float | None) -> str:
        """See :class:`Style`."""
        of, about = _shown(line.method, line.path, line.client, line.application, line.queue)
        id = line.request_id
        return (
            f"{self._times.text(seconds)} info access {line.status} {of} in={line.bytes_in} out={line.bytes_out}"
            f" ms={line.seconds * 1000:.2f}{about}{'' if line.trace is None else f' trace={line.trace}'}"
            f" id={id if _SHORT.fullmatch(id) is not None else _value(id)}"
        )


class JSONStyle:
    """One object a line."""

    def __init__(self) -> None:
        self._times = _Times()

    def line(self, event: Event) -> str:
        """See :class:`Style`."""
        access = event.get(ACCESS)
        if access is not None:
            return self.access(access, event.get("log_time"))
        head = {"time": self._times.text(event.get("log_time")), "level": _level(event)}
        text, traceback = _text(event), _traceback(event)
        if not text and not traceback:
            return ""
        word = _word(event)
        if word is not None:
            head["event"] = word
        fields = {"namespace": str(event.get("log_namespace")), "text": _cut(text, MAX_TEXT), **_fields(event)}
        if traceback:
            fields["traceback"] = traceback
        return printable(_encode({**head, **fields}))

    def access(self, line: AccessLine, seconds: float | None) -> str:
        """See :class:`Style`."""
        of, about = _shown_as_json(line.method, line.path, line.client, line.application, line.queue)
        id = line.request_id
        if _SHORT.fullmatch(id) is None:
            id = printable(_encode(_cut(id, MAX_VALUE)))[1:-1]
        return (
            f'{{"time":"{self._times.text(seconds)}","level":"info","event":"access","status":{line.status},{of}'
            f'"in":{line.bytes_in},"out":{line.bytes_out},"ms":{round(line.seconds * 1000, 2)},{about}'
            f"{'' if line.trace is None else _member('trace', line.trace)}"
            f'"id":"{id}"}}'
        )


STYLES: Final[Mapping[str, Callable[[], Style]]] = {"text": TextStyle, "json": JSONStyle}


def printable(text: str) -> str:
    """A text without what ends a line, moves a cursor or turns the direction of writing.

    Such characters are written as JSON writes them in strings, so that JSON stays JSON.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escape(one) for one in text)


def _escape(character: str) -> str:
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if short is not None:
        return short
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _value(text: str) -> str:
    """A value of a text line: as it is if that is one plain word, else in quotes, as JSON writes strings."""
    if len(text) <= MAX_VALUE and _PLAIN.fullmatch(text) is not None:
        return text
    escaped = _cut(text, MAX_VALUE).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{printable(escaped)}"'


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}... ({len(text)} characters)"


@lru_cache(1024)
def _shown(method: str, path: str, client: str, application: str | None, queue: str | None) -> tuple[str, str]:
    """Return the repeated parts of an access line: the text before its numbers, and the text after them.

    To look all of it through for each line takes most of the time of making the line.
    """
    about = "" if application is None else f" app={_value(application)}"
    if queue is not None:
        about += f" queue={_value(queue)}"
    return f"{_value(method)} {_value(path)} client={_value(client)}", about


@lru_cache(1024)
def _shown_as_json(method: str, path: str, client: str, application: str | None, queue: str | None) -> tuple[str, str]:
    """The same as members of an object, each with its comma."""
    about = "" if application is None else _member("app", application)
    if queue is not None:
        about += _member("queue", queue)
    return _member("method", method) + _member("path", path) + _member("client", client), about


def _member(name: str, value: str) -> str:
    return f'"{name}":{printable(_encode(_cut(value, MAX_VALUE)))},'


class _Times:
    """Times as text, UTC to the millisecond; the second is kept, since many lines share it."""

    def __init__(self) -> None:
        self._last = (-1, "")

    def text(self, seconds: float | None) -> str:
        if seconds is None:
            return "-"
        whole = int(seconds)
        last, text = self._last
        if whole != last:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
            # One assignment, since threads share it.
            self._last = (whole, text)
        # It takes half the time that a literal with formats takes.
        return "%s.%03dZ" % (text, (seconds - whole) * 1000)  # noqa: UP031


def _level(event: Event) -> str:
    level = event.get("log_level")
    return "info" if level is None else str(level.name)


def _word(event: Event) -> str | None:
    """Return the event word; ``None`` if the event is not one of this package."""
    word = event.get("event")
    return word if isinstance(word, str) and _WORD.fullmatch(word) else None


def _failure(event: Event) -> Failure | None:
    for name in ("log_failure", "failure"):
        found = event.get(name)
        if isinstance(found, Failure):
            return found
    return None


def _text(event: Event) -> str:
    failure = _failure(event)
    if failure is None:
        return formatEvent(event)
    # The old logging of Twisted puts the traceback into the text.
    text = str(event.get("why") or "") if "log_failure" not in event else formatEvent(event)
    kind = getattr(failure.type, "__name__", "Exception")
    return f"{text or 'Unhandled error'}: {kind}: {failure.getErrorMessage()}"


def _traceback(event: Event) -> str:
    failure = _failure(event)
    if failure is None or failure.check(QueueyError):
        return ""
    return str(failure.getTraceback())[-MAX_TRACEBACK:]


def _fields(event: Event) -> dict[str, object]:
    """The fields of an event of this package; of other events only the text is known to be fit for a log."""
    if _word(event) is None:
        return {}
    found: dict[str, object] = {}
    for name, value in event.items():
        if not name.startswith("log_") and name not in ("event", "own"):
            found[f"{name}_" if name in _RESERVED else name] = _field(value)
    return found


def _field(value: object) -> object:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)
    if isinstance(value, bytes):
        return _cut(value.decode("utf-8", "backslashreplace"), MAX_TEXT)
    return _cut(str(value), MAX_TEXT)
