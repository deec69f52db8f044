"""Live reads of many queues over v2: their messages as they come, as Server-Sent Events or as lines of JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from queuey.core.live.reads import LiveReads
from queuey.core.live.stream import LiveStream
from queuey.core.many.live_source import Beginning, ManySource, opened
from queuey.core.many.reading import ManyReader
from queuey.http.admission.gate import AdmittedToChoice
from queuey.http.routes import Route
from queuey.http.v2.application import APPLICATION
from queuey.http.v2.inputs.parameters import Members, Query, members, refuse_query
from queuey.http.v2.live.events import answer_head, fields_of
from queuey.http.v2.live.frames import SSE, Format
from queuey.http.v2.live.guard import LiveGuard
from queuey.http.v2.live.query import Data, Errors, format_of, last_event_id
from queuey.http.v2.many.choices import (
    Chosen,
    begin_in_body,
    begins_at,
    choice_in_body,
    chosen_in_body,
    chosen_in_query,
    permit_choice,
)
from queuey.http.v2.messages.pages import prefers_lines
from queuey.http.v2.representations.fields import NO_STORE
from queuey.http.wire import Request
from queuey.model.applications.access import Operation
from queuey.model.fields import LIVE_BYTES, LIVE_LIMIT
from queuey.model.queues.choice import QueueChoice
from queuey.model.reading.many import StorePosition
from queuey.model.reading.start import Start
from queuey.model.telemetry.served import RECEIVE
from queuey.model.timeid import ticks_of

PATH: Final = f"{APPLICATION}/events"

_SHARED: Final = ("after", "since", "start", "fresh", "data", "limit", "max_bytes", "end")
_MEMBERS: Final = ("queues", "prefixes", *_SHARED)
_PARAMETERS: Final = ("queue", "prefix", *_SHARED, "errors")


@attrs.frozen
class ManyLive:
    """What a live read of many queues asks for.

    :ivar position: where it begins; ``None`` is the end of the log.
    :ivar resumed: whether the client has read before, and has to learn of gaps.
    :ivar again: whether it comes back by itself, as an EventSource does.
    :ivar fresh: whether unstable messages are wanted.
    :ivar end: whether to end at the end of the log.
    """

    chosen: Chosen
    format: Format
    position: StorePosition | None
    resumed: bool
    again: bool
    fresh: bool
    limit: int
    max_bytes: int
    end: bool


@attrs.frozen
class V2ManyEvents:
    """The handler of live reads of many queues.

    :ivar now: the wall clock, in seconds since 1970.
    """

    reader: ManyReader
    live: LiveReads
    now: Callable[[], float]

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route("GET", PATH, Operation.READ_MESSAGES, self.follow, choice=_choice_in_query),
            Route("POST", PATH, Operation.READ_MESSAGES, self.follow_body, refuse_query, _choice_in_body),
        )

    async def follow(self, request: Request, admitted: AdmittedToChoice) -> None:
        """Begin a live read of the queues that a query chooses."""
        await self._follow(request, admitted, _in_query(request, admitted.policy.application))

    async def follow_body(self, request: Request, admitted: AdmittedToChoice) -> None:
        """Begin a live read of the queues that a body chooses."""
        await self._follow(request, admitted, _in_body(request, admitted.policy.application))

    async def _follow(self, request: Request, admitted: AdmittedToChoice, wanted: ManyLive) -> None:
        """Begin a live read. It goes on when this has ended: a coroutine takes much memory."""
        source = ManySource(self.reader, wanted.chosen.choice, admitted.caller, fresh=wanted.fresh)
        begun = False
        try:
            beginning = await source.begin(wanted.position)
            permit_choice(wanted.chosen, admitted, beginning.view, resumed=wanted.resumed)
            if not admitted.own:
                admitted.gate.count(request, admitted.policy)
            if request.method == b"HEAD":
                answer_head(request, wanted.format)
            elif wanted.again and beginning.over:
                request.answer(204, (NO_STORE,), b"")
            elif not request.gone:
                self.live.limits.enter(admitted.policy, None)
                begun = True
        finally:
            if not begun:
                source.close()
        if begun:
            self._begin(request, admitted, wanted, source, beginning)

    def _begin(
        self,
        request: Request,
        admitted: AdmittedToChoice,
        wanted: ManyLive,
        source: ManySource,
        beginning: Beginning,
    ) -> None:
        request.traced.begin(RECEIVE)
        request.begin(200, fields_of(wanted.format))
        guard = LiveGuard(request, admitted, self.now)
        place = beginning.place
        stream = LiveStream(
            self.live,
            self.live.tail(source),
            request,
            wanted.format,
            guard,
            place,
            admitted.caller,
            (wanted.limit, wanted.max_bytes),
            (admitted.policy.application, None),
            resumed=wanted.resumed,
            stops=wanted.end,
        )
        guard.watch(stream.refuse)
        request.serving, request.lasts = stream, True
        found = beginning.found
        stream.begin(None if found is None else (ticks_of(place.position.id), found), (opened(beginning.view),))


def _choice_in_query(request: Request, application: str) -> QueueChoice:
    query = _query(request)
    found = chosen_in_query(query, application)
    query.check()
    return found.choice


def _choice_in_body(request: Request, application: str) -> QueueChoice:
    return choice_in_body(request, application, _MEMBERS)


def _query(request: Request) -> Query:
    return Query(request, _PARAMETERS, ("queue", "prefix"))


def _in_query(request: Request, application: str) -> ManyLive:
    """Return what a query asks for.

    :raise Problem: lists every error in it.
    :raise QueueyError: a cursor is damaged, or of another kind of read.
    """
    query = _query(request)
    chosen = chosen_in_query(query, application)
    after, since = query.text("after"), query.log_place("since")
    if after is not None and query.text("since") is not None:
        query.wrong("since", "cannot be given together with after")
    start = query.choice("start", Start)
    query.choice("errors", Errors)
    found = _live(request, query, chosen)
    query.check()
    if isinstance(since, Start):
        start, since = since, None
    again = last_event_id(request)
    place = again or after
    position = begins_at(place, since, start)
    return attrs.evolve(found, position=position, resumed=place is not None, again=again is not None)


def _in_body(request: Request, application: str) -> ManyLive:
    """Return what a body asks for; see ``_in_query`` for the errors."""
    asked = Members(members(request, _MEMBERS))
    chosen = chosen_in_body(asked, application)
    after, since, start = begin_in_body(asked)
    found = _live(request, asked, chosen)
    asked.check()
    again = last_event_id(request)
    place = again or after
    position = begins_at(place, since, start)
    return attrs.evolve(found, position=position, resumed=place is not None, again=again is not None)


def _live(request: Request, asked: Query | Members, chosen: Chosen) -> ManyLive:
    """Return the common parts of both kinds of requests; mistakes are noted in them."""
    limit, max_bytes = asked.number(LIVE_LIMIT) or LIVE_LIMIT.default, asked.number(LIVE_BYTES) or LIVE_BYTES.default
    assert limit is not None
    assert max_bytes is not None
    fresh, end = asked.boolean("fresh"), asked.boolean("end")
    lines, data = prefers_lines(request, SSE), asked.choice("data", Data)
    if lines and data is Data.BODY:
        asked.wrong("data", f"body is for {SSE}")
    return ManyLive(chosen, format_of(data, lines=lines), None, False, False, fresh, limit, max_bytes, end)
