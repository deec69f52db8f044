"""The pushes of any application: ``pushes.*``."""

from __future__ import annotations

from typing import Any, Final

from queuey.core.pushes.directory import PushDirectory
from queuey.core.queues import QueueDirectory
from queuey.http.v2.pushes.push_json import attempt_json, push_json
from queuey.model.fields import LIMIT
from queuey.model.groups.settings import Group
from queuey.model.pushes.places import PushReport, State
from queuey.ops.methods.applications import APPLICATION
from queuey.ops.methods.listing import listing
from queuey.ops.methods.queues import QUEUE
from queuey.ops.parameters import TEXT, Kind, Parameter
from queuey.ops.rpc import CallContext, Methods, method

PUSH: Final = Parameter("push", Kind("string", "the name of a push", TEXT.read), needed=True)
_SHOWN: Final = ("name", "url", "state", "since", "failures", "last_error", "blocked")
"""What a list has of each push."""


class Pushes(Methods):
    """``pushes.*``."""

    def __init__(self, directory: QueueDirectory, pushes: PushDirectory) -> None:
        super().__init__()
        self._directory = directory
        self._pushes = pushes

    @method("object", *listing(State))
    async def jsonrpc_list(
        self,
        call: CallContext,
        application: str,
        queue: str | None = None,
        state: str | None = None,
        after: str = "",
        limit: int = LIMIT.default,
    ) -> dict[str, Any]:
        """List the pushes of an application by queue and name, or those of one queue or in one state; to continue, pass
        `next` as `after`."""
        wanted = None if state is None else State(state)
        found, next = await self._pushes.page(application, queue, wanted, after, limit)
        listed = [
            {
                "queue": place.queue,
                **{name: value for name, value in push_json(group, report).items() if name in _SHOWN},
            }
            for place, group, report in found
        ]
        return {"pushes": listed, "next": next}

    @method("object", APPLICATION, QUEUE, PUSH)
    async def jsonrpc_describe(self, call: CallContext, application: str, queue: str, push: str) -> dict[str, Any]:
        """Return a push, without the values of its fixed header fields, and its last attempts."""
        found = await self._directory.find(application, queue)
        group = await self._pushes.find(found, push)
        report = await self._pushes.report(group)
        return {**_push(group, report), "attempts": [attempt_json(one) for one in report.attempts]}

    @method("object", APPLICATION, QUEUE, PUSH, changes=True)
    async def jsonrpc_pause(self, call: CallContext, application: str, queue: str, push: str) -> dict[str, Any]:
        """Pause a push: its messages wait in the log. Return it as it is then."""
        return await self._set_paused(call, application, queue, push, True)

    @method("object", APPLICATION, QUEUE, PUSH, changes=True)
    async def jsonrpc_resume(self, call: CallContext, application: str, queue: str, push: str) -> dict[str, Any]:
        """Let a paused push go on; its endpoint is tried at once. Return it as it is then."""
        return await self._set_paused(call, application, queue, push, False)

    async def _set_paused(
        self, call: CallContext, application: str, queue: str, push: str, paused: bool
    ) -> dict[str, Any]:
        found = await self._directory.find(application, queue)
        group = await self._pushes.find(found, push)
        before = _push(group, await self._pushes.report(group))
        changed = await self._pushes.set_paused(found, group, paused, lambda _: None)
        after = _push(changed, await self._pushes.report(changed))
        call.note(before, after)
        return after


def _push(group: Group, report: PushReport) -> dict[str, Any]:
    """Return a push for operators and their log.

    Fixed header fields may be credentials, so only their names are shown.
    """
    found = push_json(group, report)
    return {**found, "headers": sorted(found["headers"])}
