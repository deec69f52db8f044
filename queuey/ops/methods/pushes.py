"""The pushes of any application: ``pushes.*``."""

from __future__ import annotations

from typing import Any, Final

from queuey.core.pushes.directory import PushDirectory
from queuey.core.pushes.resealing import seal_pushes
from queuey.core.queues import QueueDirectory
from queuey.http.v2.pushes.push_json import attempt_json, push_json
from queuey.model.fields import LIMIT
from queuey.model.groups.settings import Group
from queuey.model.pushes.places import PushReport, State
from queuey.ops.methods.applications import APPLICATION
from queuey.ops.methods.listing import listing
from queuey.ops.methods.queues import QUEUE
from queuey.ops.parameters import TEXT, Kind, Parameter, number
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
                **{name: value for name, value in self._shown(group, report).items() if name in _SHOWN},
            }
            for place, group, report in found
        ]
        return {"pushes": listed, "next": next}

    @method("object", APPLICATION, QUEUE, PUSH)
    async def jsonrpc_describe(self, call: CallContext, application: str, queue: str, push: str) -> dict[str, Any]:
        """Return a push, without the query of its URL and the values of its header fields, and its last attempts."""
        found = await self._directory.find(application, queue)
        group = await self._pushes.find(found, push)
        report = await self._pushes.report(group)
        return {**self._shown(group, report), "attempts": [attempt_json(one) for one in report.attempts]}

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
        before = self._shown(group, await self._pushes.report(group))
        changed = await self._pushes.set_paused(found, group, paused, lambda _: None)
        after = self._shown(changed, await self._pushes.report(changed))
        call.note(before, after)
        return after

    @method("object", Parameter("after", TEXT), Parameter("limit", number(LIMIT)), changes=True)
    async def jsonrpc_seal(self, call: CallContext, after: str = "", limit: int = LIMIT.default) -> dict[str, Any]:
        """Seal the secrets, URLs and header fields of the pushes of all applications with the first of the `secrets`
        in `[push]`; to continue, pass `next` as `after`. When `next` is null and `failed` was always empty, older
        keys are not needed any more."""
        found = await seal_pushes(self._pushes, after, limit)
        failed = [
            {"application": place.application, "queue": place.queue, "push": place.name, "why": why}
            for place, why in found.failed
        ]
        document = {"sealed": found.sealed, "current": found.current, "failed": failed, "next": found.next}
        call.note(None, document)
        return document

    def _shown(self, group: Group, report: PushReport) -> dict[str, Any]:
        """Return a push for operators and their log.

        The query of the URL and fixed header fields may be credentials, so only the rest and the names are shown.
        """
        push = self._pushes.shown(group)
        found = push_json(push, group, report)
        return {**found, "url": push.target.without_query, "headers": sorted(found["headers"])}
