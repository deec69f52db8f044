"""Pushes over v2: made, changed, listed, looked at and ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from queuey.core.groups.group_changes import Judge
from queuey.core.groups.rows import in_parallel
from queuey.core.pushes.directory import PushDirectory
from queuey.errors import InvalidRequest, NoSuchGroup, NoSuchPush
from queuey.http.admission.gate import AdmittedToQueue
from queuey.http.answers.encoding import json_line
from queuey.http.routes import Route
from queuey.http.v2.groups.groups import check_name, in_body
from queuey.http.v2.inputs.conditions import Conditions, check_read_only, conditions
from queuey.http.v2.inputs.parameters import members, refuse_query, refuse_reported
from queuey.http.v2.pushes.push_json import READ_ONLY, REPORTED, SETTINGS, push_json, settings
from queuey.http.v2.queues import PATCH, QUEUE
from queuey.http.v2.representations.fields import HEAD, etag, location
from queuey.http.wire import Request
from queuey.model.applications.access import Operation
from queuey.model.groups.settings import Group, group_name_problem
from queuey.model.pushes.places import PushReport
from queuey.model.queues.queue import Queue

PUSHES: Final = f"{QUEUE}/pushes"
PUSH: Final = f"{PUSHES}/<push>"

KIND: Final = "push"


async def named(pushes: PushDirectory, queue: Queue, name: str) -> Group:
    """Return the group of a push.

    :raise NoSuchPush: it does not exist.
    """
    if group_name_problem(name) is not None:
        raise NoSuchPush("No push can have this name.")
    try:
        return await pushes.find(queue, name)
    except NoSuchGroup:
        raise NoSuchPush("The queue has no push of that name.") from None


@attrs.frozen
class V2Pushes:
    """The handlers of pushes.

    :ivar now: the wall clock, in seconds since 1970.
    """

    pushes: PushDirectory
    now: Callable[[], float]

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (
            Route("GET", PUSHES, Operation.SEE_PUSHES, self.list_pushes, check=refuse_query),
            Route("GET", PUSH, Operation.SEE_PUSHES, self.show, check=refuse_query),
            Route("PUT", PUSH, Operation.CHANGE_PUSHES, self.put, check=refuse_query),
            Route("PATCH", PUSH, Operation.CHANGE_PUSHES, self.patch, check=refuse_query),
            Route("DELETE", PUSH, Operation.CHANGE_PUSHES, self.delete, check=refuse_query),
        )

    async def list_pushes(self, request: Request, admitted: AdmittedToQueue) -> None:
        """List all pushes of a queue, sorted by name."""
        found = await self.pushes.names(admitted.queue)
        reports = await in_parallel(found, self.pushes.report)
        shown = self.pushes.shown
        listed = [push_json(shown(group), group, report) for group, report in zip(found, reports, strict=True)]
        request.answer(200, HEAD, json_line({"pushes": listed}))

    async def show(self, request: Request, admitted: AdmittedToQueue, push: str) -> None:
        """Show a push and its state."""
        found = await named(self.pushes, admitted.queue, push)
        await answer_push(self.pushes, request, found)

    async def put(self, request: Request, admitted: AdmittedToQueue, push: str) -> None:
        """Make or replace the settings of a push; members that are missing get their defaults."""
        check_name(push, KIND)
        asked = conditions(request, KIND)
        given = members(request, (*SETTINGS, *READ_ONLY))
        changes, edit = settings(given, frozenset(SETTINGS), admitted.queue)
        judge = _judge(asked, push, given)
        try:
            found, made, secret = await self.pushes.put(admitted.queue, push, changes, edit, judge)
        except InvalidRequest as error:
            raise in_body(error) from None
        headers = (location(admitted.queue, "pushes", found.name),) if made else ()
        report = PushReport() if made else await self.pushes.report(found)
        document = push_json(self.pushes.shown(found), found, report, secret)
        request.answer(201 if made else 200, (*HEAD, etag(found.version), *headers), json_line(document))

    async def patch(self, request: Request, admitted: AdmittedToQueue, push: str) -> None:
        """Change the members that are given; null resets a member to its default."""
        asked = conditions(request, KIND)
        found = await named(self.pushes, admitted.queue, push)
        given = members(request, (*SETTINGS, *READ_ONLY), PATCH, b"Accept-Patch")
        refuse_reported(given, REPORTED)
        reset = frozenset(name for name in SETTINGS if name in given and given[name] is None)
        changes, edit = settings(given, reset, admitted.queue)
        try:
            judge = _judge(asked, push, given)
            changed = await self.pushes.change(admitted.queue, found, changes, edit, judge)
        except InvalidRequest as error:
            raise in_body(error) from None
        await answer_push(self.pushes, request, changed)

    async def delete(self, request: Request, admitted: AdmittedToQueue, push: str) -> None:
        """End a push and its group; the messages of the queue stay."""
        asked = conditions(request, KIND)
        found = await named(self.pushes, admitted.queue, push)
        await self.pushes.delete(admitted.queue, found, asked.meet)
        request.answer(204, (), b"")


async def answer_push(pushes: PushDirectory, request: Request, group: Group) -> None:
    """Answer with a push and its state."""
    document = push_json(pushes.shown(group), group, await pushes.report(group))
    request.answer(200, (*HEAD, etag(group.version)), json_line(document))


def _judge(asked: Conditions, name: str, given: Mapping[str, Any]) -> Judge:
    """Return the precondition of a change: the request's conditional headers and read-only members."""

    def judge(group: Group | None) -> None:
        # A group without a push is no push yet: If-None-Match lets a request make it one.
        asked.meet(None if group is None or group.settings.push is None else group)
        check_read_only(given, KIND, name, group)

    return judge
