"""The parameters of live reads: the place where they begin, and the format of their answers."""

from __future__ import annotations

from enum import Enum
from typing import Final

import attrs

from queuey.http.v2.inputs.parameters import Query
from queuey.http.v2.live.frames import BODIES, EVENTS, LINES, SSE, Format
from queuey.http.v2.messages.pages import prefers_lines, resumed_at
from queuey.http.wire import Request
from queuey.model.fields import LIMIT, LIVE_BYTES, partition
from queuey.model.queues.queue import Queue
from queuey.model.reading.cursor import Cursor
from queuey.model.reading.start import Start
from queuey.model.reading.window import OLDEST, Position
from queuey.model.timeid import lower_bound

_NAMES: Final = (
    "after", "since", "partition", "start", "fresh", "data", "limit", "max_bytes", "end", "errors",
)  # fmt: skip

_LAST: Final = b"last-event-id"


class Data(Enum):
    """The kinds of data that a message has."""

    MESSAGE = "message"
    BODY = "body"


class Errors(Enum):
    """How refusals are answered that may pass."""

    STATUS = "status"
    EVENTS = "events"


@attrs.frozen
class LiveQuery:
    """The parameters of a live read.

    :ivar position: where it begins; ``None`` is the end of the log.
    :ivar resumed: whether the client has read before, and has to learn of gaps.
    :ivar again: whether it comes back by itself, as an EventSource does.
    :ivar partitions: those to read; ``None`` is all.
    :ivar fresh: whether unstable messages are wanted.
    :ivar end: whether to end at the end of the log.
    """

    format: Format
    position: Position | None
    resumed: bool
    again: bool
    partitions: tuple[int, ...] | None
    fresh: bool
    limit: int
    max_bytes: int
    end: bool


def live_query(request: Request, queue: Queue) -> LiveQuery:
    """Read the parameters of ``GET …/events``.

    :raise Problem: a parameter is wrong.
    :raise QueueyError: a cursor is.
    """
    query = Query(request, _NAMES, ("partition",))
    after, since = query.text("after"), query.log_place("since")
    if after is not None and query.text("since") is not None:
        query.wrong("since", "cannot be given together with after")
    start = query.choice("start", Start) or Start.NEWEST
    limit, max_bytes = query.number(LIMIT) or LIMIT.default, query.number(LIVE_BYTES) or LIVE_BYTES.default
    partitions = query.many(partition(queue.settings.partitions)) or None
    fresh, end = query.boolean("fresh") or False, query.boolean("end") or False
    lines, data = prefers_lines(request, SSE), query.choice("data", Data)
    query.choice("errors", Errors)
    if lines and data is Data.BODY:
        query.wrong("data", f"body is for {SSE}")
    query.check()
    again = last_event_id(request)
    place = again or after
    position: Position | None
    if place is not None:
        given = resumed_at(place, Cursor(queue.incarnation, OLDEST, partitions=partitions))
        position = given.position if given.floor is None else max(given.position, Position(given.floor))
    elif since is not None and not isinstance(since, Start):
        position = Position(lower_bound(since))
    else:
        position = OLDEST if (since or start) is Start.OLDEST else None
    format = format_of(data, lines=lines)
    return LiveQuery(format, position, place is not None, again is not None, partitions, fresh, limit, max_bytes, end)


def format_of(data: Data | None, *, lines: bool) -> Format:
    """Return the format of a live read.

    :param lines: whether the client prefers lines of JSON.
    """
    return LINES if lines else BODIES if data is Data.BODY else EVENTS


def last_event_id(request: Request) -> str | None:
    """Return the place that an EventSource goes on from; ``None`` if it connects for the first time."""
    values = request.fields.get(_LAST)
    return values[-1].decode("utf-8", "replace").strip() or None if values else None
