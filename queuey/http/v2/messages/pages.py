"""Pages of messages: parse the query of a read, and render the page with the cursor of the next."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import cached_property, lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

import attrs

from queuey.errors import CursorMismatch, QueueReplaced
from queuey.http.admission.gate import AdmittedToQueue
from queuey.http.answers.encoding import encoded
from queuey.http.answers.messages import joined_json
from queuey.http.answers.pieces import MAX_AT_ONCE, Piece, portions
from queuey.http.inputs.parameters import MAX_REMEMBERED
from queuey.http.v2.inputs.parameters import Query
from queuey.http.v2.representations.fields import uri_path
from queuey.http.v2.representations.messages import message_format
from queuey.http.wire import Request
from queuey.model.fields import LIMIT, MAX_BYTES, WAIT, partition
from queuey.model.messages.message import Address, Message
from queuey.model.queues.queue import MAX_PARTITIONS, Queue
from queuey.model.reading import cursor
from queuey.model.reading.cursor import Cursor
from queuey.model.reading.start import Start
from queuey.model.reading.window import NEWEST, OLDEST, Merge, MergeSlice, Position
from queuey.model.timeid import SECOND, MessageId, Ticks, from_hex, lower_bound, successor, ticks_of, to_rfc3339

NDJSON: Final = "application/x-ndjson"
JSON: Final = "application/json"

_ALL: Final = "all"

_BEGINNING: Final = b'{"messages":['

_NAMES: Final = ("after", "since", "until", "order", "limit", "max_bytes", "partition", "wait", "fresh", "json")
_ID: Final = re.compile(r"([0-9a-fA-F]{32})-([1-9][0-9]{0,2})", re.ASCII)


class Order(Enum):
    """Which end of a range comes first."""

    ASCENDING = "asc"
    DESCENDING = "desc"


@attrs.frozen
class RangeQuery:
    """The parameters of a read.

    :ivar start: where it goes on; the cursor to whose likes the next one belongs.
    :ivar resumed: whether it goes on from somewhere.
    :ivar wait: seconds.
    :ivar json: whether bodies that are JSON are shown as JSON.
    :ivar all: whether to read to the end in one answer of lines; ``None``: if the answer is of lines.
    :ivar since_end: whether it begins at the end of the log, where that is when it is asked for; see ``with_end``.
    :ivar until_end: whether it ends there.
    """

    merge: Merge
    start: Cursor
    resumed: bool
    wait: float
    json: bool = False
    all: bool | None = False
    since_end: bool = False
    until_end: bool = False

    def of_all(self, queue: Queue) -> RangeQuery:
        """Return the same read of all partitions that a queue has by now."""
        every = tuple(range(1, queue.settings.partitions + 1))
        return attrs.evolve(self, merge=attrs.evolve(self.merge, partitions=every))

    def whole(self) -> RangeQuery:
        """Return the same read with the limits of one part of a whole read."""
        merge = attrs.evolve(self.merge, limit=LIMIT.high, max_bytes=MAX_AT_ONCE)
        return attrs.evolve(self, all=True, merge=merge)

    def cursor(self, position: Position) -> str:
        """The cursor of a place in this read."""
        return attrs.evolve(self.start, position=position).text()

    @property
    def needs_end(self) -> bool:
        """Whether the end of the log has to be known before anything is read."""
        return self.since_end or self.until_end

    def with_end(self, end: MessageId) -> RangeQuery:
        """Return the read with the end of the log in the places that are there.

        :param end: every later message gets an id at or above it.
        """
        start, merge = self.start, self.merge
        if self.since_end:
            start = attrs.evolve(start, floor=end)
        lower = max(merge.lower, Position(end)) if self.since_end else merge.lower
        upper = min(merge.upper, Position(end)) if self.until_end else merge.upper
        return attrs.evolve(self, start=start, merge=attrs.evolve(merge, lower=lower, upper=upper))

    @property
    def everything(self) -> bool:
        """Whether it is about all partitions, however many there are."""
        return self.start.partitions is None


def address_of(text: str) -> Address | None:
    """The address that the id of a message is, as v2 shows it; ``None`` for anything else."""
    match = _ID.fullmatch(text)
    id = None if match is None else from_hex(match[1])
    if match is None or id is None or int(match[2]) > MAX_PARTITIONS:
        return None
    return Address(int(match[2]), id)


def wanted(request: Request, queue: Queue) -> RangeQuery:
    """Read the parameters of ``GET …/messages``.

    :raise Problem: if a parameter is wrong.
    :raise QueueyError: if a cursor is.
    """
    query = request.line.query
    read = _wanted if len(query) <= MAX_REMEMBERED else _wanted.__wrapped__
    return read(query, queue.incarnation, queue.settings.partitions)


@lru_cache(maxsize=256)
def _wanted(text: bytes, incarnation: int, count: int) -> RangeQuery:
    """The same of a query; readers ask for the same again and again.

    :param incarnation: of the queue.
    :param count: how many partitions it has.
    """
    query = Query(text, _NAMES, ("partition",))
    descending = query.choice("order", Order) is Order.DESCENDING
    after, since, until = query.text("after"), query.log_place("since"), query.log_place("until")
    if after is not None and query.text("since") is not None:
        query.wrong("since", "cannot be given together with after")
    limit, all = _limit(query)
    max_bytes = query.number(MAX_BYTES) or MAX_BYTES.default
    partitions = query.many(partition(count)) or None
    wait, fresh, json = query.seconds(WAIT) or 0, query.boolean("fresh"), query.boolean("json")
    query.check()
    floor = None if since is None or isinstance(since, Start) else lower_bound(since)
    asked = Cursor(incarnation, NEWEST if descending else OLDEST, descending, partitions, floor)
    start = asked if after is None else resumed_at(after, asked)
    lower, upper = _bounds(start, _upper(until))
    read = partitions or tuple(range(1, count + 1))
    merge = Merge(read, lower, upper, descending, limit, max_bytes, fresh=fresh)
    ends = since is Start.NEWEST, until is Start.NEWEST
    return RangeQuery(merge, start, after is not None, wait / SECOND, json, all, *ends)


def _limit(query: Query) -> tuple[int, bool | None]:
    """Return the limit of a page, and whether there is to be none; see ``RangeQuery.all``."""
    given, bytes_given = query.text("limit"), query.text("max_bytes")
    if given != _ALL:
        return query.number(LIMIT) or LIMIT.default, None if given is bytes_given is None else False
    if bytes_given is not None:
        query.wrong("max_bytes", "cannot be given together with limit=all")
    return LIMIT.default, True


def _upper(until: Start | Ticks | None) -> Position:
    """Return the place where a read ends; ``RangeQuery.with_end`` puts the end of the log in its place."""
    if until is None or until is Start.NEWEST:
        return NEWEST
    return OLDEST if until is Start.OLDEST else Position(lower_bound(until))


def resumed_at(after: str, asked: Cursor) -> Cursor:
    """Return where a read resumes.

    :param after: a cursor, or the id of a message.
    :param asked: where the read would begin otherwise.
    :raise QueueyError: the cursor is none, or is of another read or another incarnation of the queue.
    """
    address = address_of(after)
    if address is not None:
        return attrs.evolve(asked, position=Position(address.id, address.partition))
    given = cursor.parse(after)
    if given.incarnation != asked.incarnation:
        text = "The cursor is from a queue that was deleted, or from another queue; oldest is a cursor of this one."
        raise QueueReplaced(text, asked.text())
    if (given.descending, given.partitions) != (asked.descending, asked.partitions):
        raise CursorMismatch("The cursor is from a read in another order or of other partitions.")
    return given


def _bounds(start: Cursor, until: Position) -> tuple[Position, Position]:
    """The places between which a read is."""
    lower = OLDEST if start.floor is None else Position(start.floor)
    if start.descending:
        return lower, min(start.position, until)
    return max(lower, start.position), until


@attrs.frozen
class Page:
    """A page and what it answers.

    :ivar slice: what was read.
    :ivar kept: messages before this time may have expired.
    :ivar queue: the queue, as it was when it was read or later.
    """

    wanted: RangeQuery
    slice: MergeSlice
    kept: Ticks
    queue: Queue

    @cached_property
    def next(self) -> str:
        """The cursor to go on from."""
        return self.wanted.cursor(self.slice.position)

    @property
    def more(self) -> bool:
        """Whether the client should read on at once. It should not if it reads messages that are not stable yet and
        this page did not advance its cursor."""
        return not self.slice.over and not (self.wanted.merge.fresh and self.next == self.wanted.start.text())

    @property
    def settled(self) -> bool:
        """Whether it stays as it is until a message of it expires, or is put, deleted or purged."""
        merge = self.wanted.merge
        return not (self.slice.over or merge.descending or merge.fresh)

    @property
    def stable_until(self) -> Ticks:
        """The time up to which the page is complete: that of a settled one ends with it, however late it is."""
        return ticks_of(self.slice.position.id if self.settled else self.slice.stable)

    @cached_property
    def truncated(self) -> bool:
        """Whether something that the reader has not seen may be gone."""
        place, slice, merge = self.wanted.start.position, self.slice, self.wanted.merge
        if not self.wanted.resumed or merge.lower >= merge.upper:
            return False
        if place < Position(slice.purged):
            return True
        return place < Position(min(slice.stable, lower_bound(self.kept)))

    @property
    def closed(self) -> bool:
        """Whether the queue is closed and no message follows this page."""
        merge = self.wanted.merge
        at_end = self.slice.over and not merge.descending and merge.upper == NEWEST
        return at_end and self.queue.is_read_to_its_end(self.slice.stable)

    def first(self) -> str:
        """The place just before the first message that is left."""
        if not self.slice.messages:
            return self.next
        message = self.slice.messages[0]
        if self.wanted.start.descending:
            return self.wanted.cursor(Position(successor(message.id)))
        return self.wanted.cursor(Position(message.id, message.partition - 1))

    def members(self) -> bytes:
        """Render the members of a page besides its messages."""
        found = {
            "next": self.next,
            "more": self.more,
            "stable_until": to_rfc3339(self.stable_until),
            "resume": "truncated" if self.truncated else "exact",
        }
        if self.truncated:
            found["first"] = self.first()
        if self.closed:
            found["closed"] = True
        return encoded(found)[1:-1]

    def pieces(self, form: Form) -> Iterator[Piece]:
        """The text of the page, if it has but one slice."""
        begun = False
        for some in portions(self.slice.messages):
            yield form.joined(some, begun=begun), some
            begun = True
        yield form.ending(self.members(), begun=begun), ()


@attrs.frozen
class Form:
    """How messages and what else a page has are written.

    :ivar lines: whether as lines, the messages first; otherwise it is one object.
    :ivar json: whether bodies that are JSON are shown as JSON.
    """

    lines: bool
    json: bool

    def joined(self, messages: Sequence[Message], *, begun: bool) -> bytes:
        """Messages as they stand on a page.

        :param begun: whether there are others before them.
        """
        format = message_format(parsed=self.json)
        if self.lines:
            return joined_json(format, messages, b"\n") + b"\n"
        return (b"," if begun else _BEGINNING) + joined_json(format, messages)

    def ending(self, members: bytes, *, begun: bool) -> bytes:
        """Render the end of a page, after its messages.

        :param members: of the page, as ``Page.members`` has them.
        :param begun: whether there are any messages.
        """
        return b"{%b}\n" % members if self.lines else b"%b],%b}\n" % (b"" if begun else _BEGINNING, members)


def part(wanted: RangeQuery, merge: Merge, slice: MergeSlice, queue: Queue) -> Page:
    """Return a later part of a whole read as a page that a reader resumes to at the place where the part begins."""
    place = merge.upper if merge.descending else merge.lower
    start = attrs.evolve(wanted.start, position=place)
    # What expires meanwhile is no gap: it would not have been shown to a reader that came later either.
    return Page(attrs.evolve(wanted, start=start, merge=merge, resumed=True), slice, Ticks(0), queue)


def page(admitted: AdmittedToQueue, wanted: RangeQuery, slice: MergeSlice, now: Ticks, queue: Queue) -> Page:
    """The page that was read.

    :param queue: as it was when it was read or later.
    :param now: the time, as it was when the page was asked for.
    """
    kept = Ticks(max(0, now - admitted.ttl * SECOND))
    # A younger queue has not lost any message yet, however early the reader's position is.
    return Page(wanted, slice, kept if kept > admitted.queue.created else Ticks(0), queue)


def link(request: Request, next: str) -> bytes:
    """The link to the next page: the same read, after this one, signed as this one was."""
    parts = [part for part in request.line.query.split(b"&") if _name(part) not in (b"", b"after", b"since")]
    signed = [request.signed] if request.signed else []
    query = b"&".join([*parts, *signed, b"after=" + next.encode("ascii")])
    return b'<%b?%b>; rel="next"' % (uri_path(request.path), query)


def _name(part: bytes) -> bytes:
    return unquote_to_bytes(part.partition(b"=")[0])


def form_of(request: Request, wanted: RangeQuery) -> Form:
    """The form of the answer: all of a queue is always lines."""
    return Form(wanted.all is True or prefers_lines(request), wanted.json)


def prefers_lines(request: Request, other: str = JSON) -> bool:
    """Whether the client asks for lines, and not rather for another type.

    :param other: the type that it gets otherwise.
    """
    accepted = request.fields.get(b"accept")
    if accepted is None or b"ndjson" not in accepted[0].lower() + b",".join(accepted[1:]).lower():
        return False
    qualities = dict(_qualities(b",".join(accepted).decode("latin-1")))
    return 0 < qualities.get(NDJSON, 0) >= qualities.get(other, 0)


MAX_ACCEPTED: Final = 100
"""Types that are looked at in an Accept field; there is room for 60,000."""


def _qualities(accept: str) -> Iterator[tuple[str, float]]:
    for part in accept.lower().split(",", MAX_ACCEPTED)[:MAX_ACCEPTED]:
        name, *options = [piece.strip(" \t") for piece in part.split(";")]
        weight = next((option[2:] for option in options if option.startswith("q=")), "1")
        yield name, float(weight) if _WEIGHT.fullmatch(weight) else 0


_WEIGHT: Final = re.compile(r"[01](?:\.[0-9]{0,3})?", re.ASCII)
