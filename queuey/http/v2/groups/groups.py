"""Consumer groups over v2: their settings and lag as JSON, with conditional changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.group_changes import GroupChanges
from queuey.core.groups.values import PartitionLag
from queuey.errors import InvalidRequest, NoSuchGroup
from queuey.http.admission.gate import AdmittedToQueue
from queuey.http.answers.encoding import json_line
from queuey.http.answers.problems import Problem
from queuey.http.routes import Route
from queuey.http.v2.inputs.conditions import conditions
from queuey.http.v2.inputs.parameters import Members, Query, members
from queuey.http.v2.queues import PATCH, QUEUE
from queuey.http.v2.representations.addresses import id_text
from queuey.http.v2.representations.fields import HEAD, etag, location
from queuey.http.wire import Request
from queuey.model.applications.access import Operation
from queuey.model.applications.policy import Policy
from queuey.model.fields import LEASE, MAX_DELIVERIES, MAX_IN_FLIGHT
from queuey.model.groups.settings import Group, GroupSettings, group_name_problem
from queuey.model.groups.terms import Order
from queuey.model.queues.queue import Guarantee, Queue, name_problem
from queuey.model.reading.cursor import Cursor
from queuey.model.reading.start import NO_PLACE, Start, parse_place
from queuey.model.reading.window import Position
from queuey.model.text import shown
from queuey.model.timeid import SECOND, Ticks, from_seconds, ticks_of, to_rfc3339

GROUPS: Final = f"{QUEUE}/groups"
GROUP: Final = f"{GROUPS}/<group>"

_SETTINGS: Final = ("start", "lease", "max_deliveries", "dead_letter", "order", "guarantee", "max_in_flight")
_READ_ONLY: Final = ("name", "created", "version", "lag")
_KIND: Final = "group"


def guarantee_of(settings: GroupSettings, queue: Queue, policy: Policy) -> Guarantee:
    """Return the delivery guarantee of a group with these settings; its default is that of the queue, then of the
    policy."""
    return settings.guarantee or queue.settings.guarantee or policy.guarantee


def start_text(start: Start | Ticks) -> str:
    """Return the initial position of a group in the form that v2 uses."""
    return start.value if isinstance(start, Start) else to_rfc3339(start)


def group_json(group: Group, admitted: AdmittedToQueue) -> dict[str, Any]:
    """Return a group as JSON; a setting that was not chosen has the default of its queue."""
    settings = group.settings
    return {
        "name": group.name,
        "start": start_text(settings.start),
        "lease": settings.lease,
        "max_deliveries": settings.max_deliveries,
        "dead_letter": settings.dead_letter,
        "order": settings.order.value,
        "guarantee": guarantee_of(settings, admitted.queue, admitted.policy).value,
        "max_in_flight": settings.max_in_flight,
        "created": to_rfc3339(group.created),
        "version": group.version,
    }


def check_name(name: str, parameter: str = "group") -> None:
    """Refuse an invalid name for a new group.

    :param parameter: of the path.
    :raise Problem: with the reason.
    """
    problem = group_name_problem(name)
    if problem is not None:
        problem = problem.replace("group", parameter)
        raise Problem("invalid-parameters", problem, errors=({"parameter": parameter, "detail": problem},))


async def named(groups: GroupExchange, queue: Queue, name: str) -> Group:
    """Return the group of that name.

    :raise NoSuchGroup: it does not exist.
    """
    found = groups.cached(queue, name)
    if found is not None:
        return found
    if group_name_problem(name) is not None:
        raise NoSuchGroup("No group can have this name.")
    return await groups.find(queue, name)


@attrs.frozen
class V2Groups:
    """The handlers of groups.

    :ivar now: the wall clock, in seconds since 1970.
    """

    groups: GroupExchange
    now: Callable[[], float]

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route("GET", GROUPS, Operation.SEE_GROUPS, self.list_groups),
            Route("GET", GROUP, Operation.SEE_GROUPS, self.show),
            Route("PUT", GROUP, Operation.CHANGE_GROUPS, self.put),
            Route("PATCH", GROUP, Operation.CHANGE_GROUPS, self.patch),
            Route("DELETE", GROUP, Operation.CHANGE_GROUPS, self.delete),
        )

    async def list_groups(self, request: Request, admitted: AdmittedToQueue) -> None:
        """List all groups of a queue, sorted by name."""
        Query(request, ()).check()
        found = await self.groups.names(admitted.queue)
        request.answer(200, HEAD, json_line({"groups": [group_json(group, admitted) for group in found]}))

    async def show(self, request: Request, admitted: AdmittedToQueue, group: str) -> None:
        """Show a group and its lag in each partition. There are no conditional reads, because the lag changes all the
        time."""
        Query(request, ()).check()
        found = await named(self.groups, admitted.queue, group)
        lag = await self.groups.lag(admitted.queue, found)
        now = from_seconds(self.now())
        document = {**group_json(found, admitted), "lag": [_lag_json(one, admitted.queue, now) for one in lag]}
        request.answer(200, (*HEAD, etag(found.version)), json_line(document))

    async def put(self, request: Request, admitted: AdmittedToQueue, group: str) -> None:
        """Create or replace the settings of a group; members that are missing get their defaults."""
        Query(request, ()).check()
        check_name(group)
        given = members(request, (*_SETTINGS, *_READ_ONLY))
        wanted = changes(given, frozenset(_SETTINGS), admitted.queue)
        judge = conditions(request, _KIND).judge(group, given)
        try:
            found, made = await self.groups.put(admitted.queue, group, wanted, judge)
        except InvalidRequest as error:
            raise in_body(error) from None
        headers = (location(admitted.queue, "groups", found.name),) if made else ()
        document = json_line(group_json(found, admitted))
        request.answer(201 if made else 200, (*HEAD, etag(found.version), *headers), document)

    async def patch(self, request: Request, admitted: AdmittedToQueue, group: str) -> None:
        """Change the members that are given; null resets a member to its default."""
        Query(request, ()).check()
        found = await named(self.groups, admitted.queue, group)
        given = members(request, (*_SETTINGS, *_READ_ONLY), PATCH, b"Accept-Patch")
        reset = frozenset(name for name in _SETTINGS if name in given and given[name] is None)
        wanted = changes(given, reset, admitted.queue)
        judge = conditions(request, _KIND).judge(group, given)
        try:
            changed = await self.groups.change(admitted.queue, found, wanted, judge)
        except InvalidRequest as error:
            raise in_body(error) from None
        request.answer(200, (*HEAD, etag(changed.version)), json_line(group_json(changed, admitted)))

    async def delete(self, request: Request, admitted: AdmittedToQueue, group: str) -> None:
        """Delete a group; the messages of the queue stay."""
        Query(request, ()).check()
        asked = conditions(request, _KIND)
        found = await named(self.groups, admitted.queue, group)
        await self.groups.delete(admitted.queue, found, asked.meet)
        request.answer(204, (), b"")


def changes(given: Mapping[str, Any], reset: frozenset[str], queue: Queue) -> GroupChanges:
    """Parse the settings in a body.

    :param reset: settings that get their defaults unless they are given.
    :param queue: that of the group.
    :raise Problem: lists every error.
    """
    asked = Members(given)
    wanted = GroupChanges(
        start=_start(asked),
        lease=asked.number(LEASE),
        max_deliveries=asked.number(MAX_DELIVERIES),
        dead_letter=_dead_letter(asked, queue),
        order=asked.choice("order", Order),
        guarantee=asked.choice("guarantee", Guarantee),
        max_in_flight=asked.number(MAX_IN_FLIGHT),
        reset=reset,
    )
    asked.check()
    return wanted


def _start(asked: Members) -> Start | Ticks | None:
    raw = asked.text("start")
    if raw is None:
        return None
    found = parse_place(raw)
    if found is None:
        asked.wrong("start", f'"{shown(raw)}" is {NO_PLACE}')
    return found


def _dead_letter(asked: Members, queue: Queue) -> str | None:
    name = asked.text("dead_letter")
    if name is not None and name_problem(name) is not None:
        asked.wrong("dead_letter", f'"{shown(name)}" is not the name of a queue')
    elif name == queue.name:
        asked.wrong("dead_letter", "is the queue of the group itself")
    return name


def in_body(error: InvalidRequest) -> Problem:
    """Return the problem for members of a body that turn out to be invalid only when the change is made."""
    found = tuple({"pointer": f"/{name}", "detail": text} for name, text in error.problems.items())
    return Problem("invalid-body", " ".join(error.problems.values()), errors=found)


def _lag_json(lag: PartitionLag, queue: Queue, now: Ticks) -> dict[str, Any]:
    """Return the lag of a group in one partition as JSON.

    The position is a cursor: a reader of the partition that starts there sees the unsettled messages.
    """
    place = Cursor(queue.incarnation, Position(lag.settled_through), partitions=(lag.partition,))
    oldest = lag.oldest
    return {
        "partition": lag.partition,
        "settled_through": place.text(),
        "in_flight": lag.in_flight,
        "waiting": lag.waiting,
        "set_aside": lag.set_aside,
        "behind": {"count": lag.behind, "exact": lag.exact},
        "oldest": None if oldest is None else id_text(oldest, lag.partition),
        "oldest_age": None if oldest is None else max(0, now - ticks_of(oldest)) / SECOND,
    }
