"""Queues over v2: their settings as JSON, changed on conditions, and listed by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import attrs

from queuey.core.messages import MessageExchange
from queuey.core.queues import QueueChanges, QueueDirectory, resolved
from queuey.http.admission.gate import Admitted, AdmittedToQueue
from queuey.http.answers.encoding import json_line
from queuey.http.answers.problems import Problem
from queuey.http.routes import Route
from queuey.http.v2.inputs.conditions import conditions
from queuey.http.v2.inputs.parameters import Members, Query, members
from queuey.http.v2.inputs.tags import tags
from queuey.http.v2.representations.addresses import consistency_word
from queuey.http.v2.representations.fields import HEAD, etag, location
from queuey.http.wire import Request
from queuey.model.applications.access import Operation, is_application
from queuey.model.applications.policy import Policy
from queuey.model.fields import LIMIT, PARTITIONS, TTL
from queuey.model.queues.queue import (
    CLOSING,
    MAX_PRINCIPAL,
    MAX_PRINCIPALS,
    Consistency,
    Guarantee,
    Queue,
    QueueType,
    is_principal,
    name_problem,
)
from queuey.model.reading.depth import Depth
from queuey.model.text import shown
from queuey.model.timeid import to_rfc3339

QUEUES: Final = "/v2/<application>/queues"
QUEUE: Final = "/v2/<application>/queues/<queue>"

PATCH: Final = "application/merge-patch+json"


_SETTINGS: Final = ("type", "partitions", "consistency", "guarantee", "principals", "ttl", "closed")
_READ_ONLY: Final = ("name", "created", "version")
_KIND: Final = "queue"


def queue_json(queue: Queue, policy: Policy, principals: bool) -> dict[str, Any]:
    """Return a queue as JSON, with the application's values for settings that were not chosen.

    :param principals: whether to show them.
    """
    settings = resolved(queue.settings, policy)
    found: dict[str, Any] = {
        "name": queue.name,
        "type": settings.type.value,
        "partitions": settings.partitions,
        "consistency": consistency_word(settings.consistency),
        "guarantee": (settings.guarantee or policy.guarantee).value,
        "principals": list(settings.principals),
        "ttl": settings.ttl,
        "closed": queue.closed is not None,
        "created": to_rfc3339(queue.created),
        "version": queue.version,
    }
    if not principals:
        del found["principals"]
    return found


def counts_json(depth: Depth) -> dict[str, Any]:
    """Return what a queue holds as JSON."""
    return {
        "messages": depth.messages,
        "bytes": depth.bytes,
        "oldest": None if depth.oldest is None else to_rfc3339(depth.oldest),
        "approximate": depth.approximate,
    }


@attrs.frozen
class V2Queues:
    """The handlers of queues."""

    directory: QueueDirectory
    exchange: MessageExchange

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route("GET", QUEUES, Operation.LIST_QUEUES, self.list_queues),
            Route("GET", QUEUE, Operation.SEE_QUEUE, self.show),
            Route("PUT", QUEUE, Operation.CREATE_QUEUE, self.put),
            Route("PATCH", QUEUE, Operation.CHANGE_QUEUE, self.patch),
            Route("DELETE", QUEUE, Operation.DELETE_QUEUE, self.delete),
        )

    async def list_queues(self, request: Request, admitted: Admitted) -> None:
        """A page of the application's queues, by name."""
        query = Query(request, ("prefix", "after", "limit", "counts"))
        prefix, after = query.text("prefix") or "", query.text("after") or ""
        limit, counts = query.number(LIMIT) or LIMIT.default, query.boolean("counts")
        query.check()
        policy = admitted.policy
        page = await self.directory.page(policy.application, prefix, after, limit)
        found = [queue_json(queue, policy, principals=True) for queue in page.queues]
        if counts:
            for one, depth in zip(found, await self.directory.depths(page.queues, policy), strict=True):
                one["counts"] = counts_json(depth)
        headers = list(HEAD)
        if page.next is not None:
            headers.append((b"Link", _next_link(policy.application, prefix, page.next, limit, counts=counts)))
        request.answer(200, headers, json_line({"queues": found, "next": page.next}))

    async def show(self, request: Request, admitted: AdmittedToQueue) -> None:
        """Show one queue; its principals are shown to the application, and to themselves.

        With counts there is no entity tag: the tag names a version of the settings, and counts change without one.
        """
        query = Query(request, ("counts",))
        counts = query.boolean("counts")
        query.check()
        queue, caller = admitted.queue, admitted.caller
        known = tags(request, b"if-none-match")
        if counts:
            await self._show_counts(request, admitted)
            return
        insider = _is_insider(caller, queue)
        tag = (b"ETag", f'{"" if insider else "W/"}"{queue.version}"'.encode("ascii"))
        if known is not None and (known.any or queue.version in known.strong | known.weak):
            request.answer(304, (tag,), b"")
            return
        request.answer(200, (*HEAD, tag), json_line(queue_json(queue, admitted.policy, insider)))

    async def _show_counts(self, request: Request, admitted: AdmittedToQueue) -> None:
        """Show one queue and its counts."""
        queue, insider = admitted.queue, _is_insider(admitted.caller, admitted.queue)
        (depth,) = await self.directory.depths([queue], admitted.policy)
        found = {**queue_json(queue, admitted.policy, insider), "counts": counts_json(depth)}
        request.answer(200, HEAD, json_line(found))

    async def put(self, request: Request, admitted: Admitted, queue: str) -> None:
        """Create a queue, or give the existing one the settings of the body; the others get their defaults."""
        Query(request, ()).check()
        problem = name_problem(queue)
        if problem is not None:
            raise Problem("invalid-parameters", problem, errors=({"parameter": "queue", "detail": problem},))
        request.queue = queue
        given = members(request, (*_SETTINGS, *_READ_ONLY))
        wanted = changes(given, frozenset(_SETTINGS))
        judge = conditions(request, _KIND).judge(queue, given)
        found, made = await self.directory.create(admitted.policy.application, queue, wanted, judge)
        found = await self._closed(found, wanted)
        headers = (location(found),) if made else ()
        _answer(request, 201 if made else 200, found, admitted.policy, headers)

    async def patch(self, request: Request, admitted: AdmittedToQueue) -> None:
        """Change the given settings; null gives a member its default."""
        Query(request, ()).check()
        given = members(request, (*_SETTINGS, *_READ_ONLY), PATCH, b"Accept-Patch")
        wanted = changes(given, frozenset(name for name in _SETTINGS if name in given and given[name] is None))
        judge = conditions(request, _KIND).judge(admitted.queue.name, given)
        queue = await self._closed(await self.directory.change(admitted.queue, wanted, judge), wanted)
        _answer(request, 200, queue, admitted.policy)

    async def _closed(self, queue: Queue, wanted: QueueChanges) -> Queue:
        """Close a queue if that is wanted; returns the queue as it is then."""
        if not wanted.closed or queue.closed not in (None, CLOSING):
            return queue
        await self.exchange.close(queue, (), None)
        return await self.directory.find(queue.application, queue.name)

    async def delete(self, request: Request, admitted: AdmittedToQueue) -> None:
        """End a queue and its messages."""
        Query(request, ()).check()
        asked = conditions(request, _KIND)
        if asked:
            await self.directory.delete_if(admitted.queue, asked.meet)
        else:
            await self.directory.delete(admitted.queue)
        request.answer(204, (), b"")


def changes(given: Mapping[str, Any], reset: frozenset[str]) -> QueueChanges:
    """The settings that a body asks for.

    :param reset: the members that get their defaults if they are not given.
    :raise Problem: naming everything that is wrong.
    """
    asked = Members(given)
    wanted = QueueChanges(
        type=asked.choice("type", QueueType),
        partitions=asked.number(PARTITIONS),
        consistency=asked.choice("consistency", Consistency),
        principals=_principals(asked),
        guarantee=asked.choice("guarantee", Guarantee),
        ttl=asked.number(TTL),
        closed=None if given.get("closed") is None else asked.boolean("closed"),
        reset=reset - {"closed"},
    )
    asked.check()
    return wanted


def _principals(asked: Members) -> tuple[str, ...] | None:
    given = asked.value("principals")
    if given is None:
        return None
    if not isinstance(given, list):
        asked.wrong("principals", "is not a list")
        return None
    if len(given) > MAX_PRINCIPALS:
        asked.wrong("principals", f"has {len(given)} principals, and a queue has at most {MAX_PRINCIPALS}")
        return None
    for at, each in enumerate(given):
        problem = _principal_problem(each)
        if problem is not None:
            asked.wrong(f"principals/{at}", problem)
    return tuple(dict.fromkeys(each for each in given if isinstance(each, str)))


def _principal_problem(given: Any) -> str | None:
    """Return why a principal of a list is refused, or ``None`` if it is valid."""
    if isinstance(given, str):
        if is_principal(given):
            return None
        if len(given) > MAX_PRINCIPAL:
            return f"has {len(given)} characters, and a principal has at most {MAX_PRINCIPAL}"
    said = f'"{shown(given)}"' if isinstance(given, str) else "this"
    return f"{said} is none of app:<application>, bid:<e-mail address> or sub:<issuer>#<subject>"


def _answer(
    request: Request, status: int, queue: Queue, policy: Policy, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    request.answer(
        status, (*HEAD, etag(queue.version), *headers), json_line(queue_json(queue, policy, principals=True))
    )


def _is_insider(caller: frozenset[str], queue: Queue) -> bool:
    """Return whether a caller is the application, or one of the principals of the queue."""
    return is_application(caller, queue.application) or not caller.isdisjoint(queue.settings.principals)


def _next_link(application: str, prefix: str, after: str, limit: int, *, counts: bool) -> bytes:
    asked = {**({"prefix": prefix} if prefix else {}), **({"counts": "true"} if counts else {})}
    query = urlencode({**asked, "after": after, "limit": limit}, quote_via=quote)
    return f'</v2/{quote(application, safe="")}/queues?{query}>; rel="next"'.encode("ascii")
