"""Seek and redrive over v2: move the position of a group, and return dead letters to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.values import Redriving
from queuey.errors import BadCursor, CursorMismatch, InvalidRequest, QueueReplaced
from queuey.http.admission.gate import AdmittedToQueue
from queuey.http.answers.encoding import json_line
from queuey.http.routes import Route
from queuey.http.v2.groups.claims import partitions
from queuey.http.v2.groups.groups import GROUP, in_body, named
from queuey.http.v2.inputs.parameters import Members, Query, members
from queuey.http.v2.inputs.repeats import refuse_key
from queuey.http.v2.messages.pages import address_of
from queuey.http.v2.representations.fields import HEAD
from queuey.http.wire import Request
from queuey.model.applications.access import Operation
from queuey.model.messages.message import Address
from queuey.model.queues.queue import Queue
from queuey.model.reading import cursor
from queuey.model.reading.cursor import Cursor
from queuey.model.reading.start import WORDS, Start, parse_place
from queuey.model.reading.window import OLDEST, Merge, Position
from queuey.model.text import shown
from queuey.model.timeid import MessageId, Ticks

SEEK: Final = f"{GROUP}/seek"
REDRIVE: Final = f"{GROUP}/redrive"

MAX_IDS: Final = 1000
"""Maximum number of ids in one redrive."""

_WHICH: Final = "needs exactly one choice of dead letters: ids, since and until, or all"


@attrs.frozen
class V2Moving:
    """The handlers of seek and redrive."""

    groups: GroupExchange

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route("POST", SEEK, Operation.CHANGE_GROUPS, self.seek),
            Route("POST", REDRIVE, Operation.CHANGE_GROUPS, self.redrive),
        )

    async def seek(self, request: Request, admitted: AdmittedToQueue, group: str) -> None:
        """Move the position of a group."""
        Query(request, ()).check()
        queue = admitted.queue
        found = await named(self.groups, queue, group)
        asked = Members(members(request, ("to", "partitions")))
        some = partitions(asked, queue)
        to = _place(asked, queue)
        asked.check()
        if to is Start.NEWEST:
            refuse_key(request, f"seek to {asked.text('to')}")
        if isinstance(to, Cursor):
            bounds = _bounds(to, queue, some)
            await self.groups.seek(queue, found, bounds, tuple(bounds))
        else:
            await self.groups.seek(queue, found, to, some)
        request.answer(204, (), b"")

    async def redrive(self, request: Request, admitted: AdmittedToQueue, group: str) -> None:
        """Redrive dead letters."""
        Query(request, ()).check()
        found = await named(self.groups, admitted.queue, group)
        asked = _redriving(request)
        try:
            redriven = await self.groups.redrive(admitted.queue, found, asked)
        except InvalidRequest as error:
            raise in_body(error) from None
        answer = {"moved": redriven.moved, "left": redriven.left_words(), "next": redriven.next}
        request.answer(200, HEAD, json_line(answer))


def _place(asked: Members, queue: Queue) -> Start | Ticks | Cursor:
    """Parse the target of a seek; on an error, ``asked`` has it and the result is meaningless."""
    raw = asked.text("to")
    if raw is None:
        if "to" not in asked or asked.value("to") is None:
            asked.wrong("to", f"is missing; it is one of {WORDS}, a time, a cursor or an id")
        return Start.OLDEST
    place, address = parse_place(raw), address_of(raw)
    if place is not None:
        return place
    if address is not None:
        return Cursor(queue.incarnation, Position(address.id, address.partition))
    try:
        return cursor.parse(raw)
    except BadCursor:
        asked.wrong("to", f'"{shown(raw)}" is neither one of {WORDS}, nor a time, a whole cursor or an id')
        return Start.OLDEST


def _bounds(to: Cursor, queue: Queue, some: tuple[int, ...] | None) -> Mapping[int, MessageId]:
    """Return the first id to deliver in each partition, so that the group continues where a reader with the cursor
    would.

    :param some: the requested partitions; ``None`` means those of the cursor.
    """
    if to.incarnation != queue.incarnation:
        text = "The cursor is from a queue that was deleted, or from another queue; oldest is a cursor of this one."
        raise QueueReplaced(text, Cursor(queue.incarnation, OLDEST).text())
    if to.descending:
        raise CursorMismatch("The cursor is from a read with order=desc; a group takes the oldest message first.")
    every = range(1, queue.settings.partitions + 1)
    of = every if to.partitions is None else to.partitions
    wanted = of if some is None else some
    if not set(wanted) <= {*of} & {*every}:
        raise CursorMismatch("The cursor is from a read of other partitions.")
    place = to.position if to.floor is None else max(to.position, Position(to.floor))
    return {partition: Merge((partition,), place).bounds(partition)[0] for partition in wanted}


def _redriving(request: Request) -> Redriving:
    """Parse the body of a redrive.

    :raise Problem: lists every error.
    """
    asked = Members(members(request, ("ids", "since", "until", "all", "after")))
    if ("ids" in asked) + ("since" in asked or "until" in asked) + ("all" in asked) != 1:
        asked.wrong("", _WHICH)
    if "all" in asked and asked.value("all") is not True:
        asked.wrong("all", "is not true")
    redriving = Redriving(
        addresses=_addresses(asked) if "ids" in asked else None,
        since=_moment(asked, "since"),
        until=_moment(asked, "until"),
        after=asked.text("after"),
    )
    asked.check()
    return redriving


def _moment(asked: Members, name: str) -> Ticks | None:
    if name in asked and asked.value(name) is None:
        asked.wrong(name, "is null; leave it out, or give a time")
    return asked.time(name)


def _addresses(asked: Members) -> tuple[Address, ...]:
    """Parse the ids in a body, each once."""
    ids = asked.value("ids")
    if not isinstance(ids, list) or not 1 <= len(ids) <= MAX_IDS:
        asked.wrong("ids", f"is not a list of 1 to {MAX_IDS} ids")
        return ()
    found: dict[Address, None] = {}
    for at, each in enumerate(ids):
        address = address_of(each) if isinstance(each, str) else None
        if address is None:
            asked.wrong(f"ids/{at}", "is not the id of a message")
        else:
            found[address] = None
    return tuple(found)
