"""The formats of live reads: Server-Sent Events (the HTML standard, section 9.2) and lines of JSON.

The JSON of a message has no line end, so text of a client cannot look like a field of the format.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final

from queuey.core.live.source import Event, LivePage, Source
from queuey.errors import QueueyError
from queuey.http.answers.encoding import encoded
from queuey.http.answers.messages import joined_json
from queuey.http.answers.problems import document, of
from queuey.http.v2.representations.messages import PLAIN
from queuey.model.messages.message import Message
from queuey.model.timeid import Ticks, to_rfc3339

SSE: Final = "text/event-stream"


def _messages_json(page: LivePage) -> list[bytes]:
    """Each message of a page as JSON; with the name of its queue if the source has several."""
    if not page.messages:
        return []
    texts = joined_json(PLAIN, page.messages, b"\n").split(b"\n")
    if page.names is None:
        return texts
    return [b'{"queue":%b,%b' % (encoded(name), text[1:]) for name, text in zip(page.names, texts, strict=True)]


class Events:
    """Server-Sent Events; ``data`` is the message as JSON."""

    media_type = SSE
    kind = "sse"

    def begin(self, retry: int, cursor: str) -> bytes:
        """See :class:`~queuey.core.live.outlet.Format`."""
        return b"retry: %d\nid: %b\n\n" % (retry, cursor.encode("ascii"))

    def page(self, source: Source, page: LivePage) -> bytes:
        """See :class:`~queuey.core.live.outlet.Format`; each event has the place after it as its id."""
        before = source.cursor(page.start)
        parts = [self.event(event, before) for event in page.events]
        data = self._data(page)
        parts += [
            b"id: %b\n%b\n" % (source.cursor(place).encode("ascii"), text)
            for place, text in zip(page.places, data, strict=True)
        ]
        parts += [self.event(event, source.cursor(page.place)) for event in page.last_events]
        return b"".join(parts)

    def event(self, event: Event, cursor: str) -> bytes:
        """See :class:`~queuey.core.live.outlet.Format`."""
        return _event(event.name, event.data, cursor.encode("ascii"))

    def _data(self, page: LivePage) -> Sequence[bytes]:
        """The fields of each message besides its id, as lines."""
        return [b"data: %b\n" % text for text in _messages_json(page)]

    def caught_up(self, stable: Ticks, cursor: str) -> bytes:
        """See :class:`~queuey.core.live.outlet.Format`."""
        return _event("caught-up", {"stable_until": to_rfc3339(stable)}, cursor.encode("ascii"))

    def closed(self, cursor: str) -> bytes:
        """See :class:`~queuey.core.live.outlet.Format`."""
        return _event("closed", {"next": cursor}, cursor.encode("ascii"))

    def beat(self, cursor: str, *, moved: bool) -> bytes:
        """See :class:`~queuey.core.live.outlet.Format`."""
        return b"id: %b\n\n" % cursor.encode("ascii") if moved else b":\n\n"

    def problem(self, error: QueueyError, instance: str) -> bytes:
        """See :class:`~queuey.core.live.outlet.Format`."""
        return self.refusal(document(of(error), instance))

    def refusal(self, problem: Mapping[str, Any]) -> bytes:
        """Return the event that has a problem document."""
        return _event("problem", problem)

    def end(self, retry: int) -> bytes:
        """See :class:`~queuey.core.live.outlet.Format`."""
        return b"retry: %d\n\n" % retry


class BodyEvents(Events):
    """Server-Sent Events; ``data`` is the body of the message, as text if it is UTF-8."""

    def _data(self, page: LivePage) -> Sequence[bytes]:
        return [_body_fields(message) for message in page.messages]


def _body_fields(message: Message) -> bytes:
    body = message.content.body
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return b"event: base64\ndata: %b\n" % b64encode(body)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "".join([f"data: {line}\n" for line in lines]).encode("utf-8")


def _event(name: str, data: Mapping[str, Any], cursor: bytes | None = None) -> bytes:
    id = b"" if cursor is None else b"id: %b\n" % cursor
    return b"event: %b\n%bdata: %b\n\n" % (name.encode("ascii"), id, encoded(data))


class Lines:
    """Lines of JSON: an object each, whose ``next`` is the place after it."""

    media_type = "application/x-ndjson"
    kind = "ndjson"

    def begin(self, retry: int, cursor: str) -> bytes:
        """See :class:`~queuey.core.live.outlet.Format`."""
        return _line({"retry": retry, "next": cursor})

    def page(self, source: Source, page: LivePage) -> bytes:
        """See :class:`~queuey.core.live.outlet.Format`."""
        before = source.cursor(page.start)
        parts = [self.event(event, before) for event in page.events]
        parts += [
            b'{"message":%b,"next":"%b"}\n' % (text, source.cursor(place).encode("ascii"))
            for place, text in zip(page.places, _messages_json(page), strict=True)
        ]
        parts += [self.event(event, source.cursor(page.place)) for event in page.last_events]
        return b"".join(parts)

    def event(self, event: Event, cursor: str) -> bytes:
        """See :class:`~queuey.core.live.outlet.Format`."""
        return _line({event.name: event.data, "next": cursor})

    def caught_up(self, stable: Ticks, cursor: str) -> bytes:
        """See :class:`~queuey.core.live.outlet.Format`."""
        return _line({"caught_up": {"stable_until": to_rfc3339(stable)}, "next": cursor})

    def closed(self, cursor: str) -> bytes:
        """See :class:`~queuey.core.live.outlet.Format`."""
        return _line({"closed": True, "next": cursor})

    def beat(self, cursor: str, *, moved: bool) -> bytes:
        """See :class:`~queuey.core.live.outlet.Format`."""
        return _line({"next": cursor})

    def problem(self, error: QueueyError, instance: str) -> bytes:
        """See :class:`~queuey.core.live.outlet.Format`."""
        return self.refusal(document(of(error), instance))

    def refusal(self, problem: Mapping[str, Any]) -> bytes:
        """Return the line that has a problem document."""
        return _line({"problem": problem})

    def end(self, retry: int) -> bytes:
        """See :class:`~queuey.core.live.outlet.Format`."""
        return _line({"retry": retry})


def _line(members: Mapping[str, Any]) -> bytes:
    return encoded(members) + b"\n"


Format = Events | Lines

EVENTS: Final = Events()
BODIES: Final = BodyEvents()
LINES: Final = Lines()
