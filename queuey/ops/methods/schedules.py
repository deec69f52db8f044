"""The schedules of any application: ``schedules.*``."""

from __future__ import annotations

from typing import Any, Final

from queuey.core.queues import QueueDirectory
from queuey.core.schedules.directory import ScheduleDirectory
from queuey.http.v2.schedule_json import schedule_json
from queuey.model.fields import LIMIT
from queuey.model.schedules.stored import Schedule, State
from queuey.ops.methods.applications import APPLICATION
from queuey.ops.methods.listing import listing
from queuey.ops.methods.queues import QUEUE
from queuey.ops.parameters import TEXT, Kind, Parameter
from queuey.ops.rpc import CallContext, Methods, method

SCHEDULE: Final = Parameter("schedule", Kind("string", "the name of a schedule", TEXT.read), needed=True)
_SHOWN: Final = ("name", "cron", "timezone", "next", "state", "since", "last_posted", "failures", "last_error")
"""What a list has of each schedule."""


class Schedules(Methods):
    """``schedules.*``."""

    def __init__(self, directory: QueueDirectory, schedules: ScheduleDirectory) -> None:
        super().__init__()
        self._directory = directory
        self._schedules = schedules

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
        """List the schedules of an application by queue and name, or those of one queue or in one state; to continue,
        pass `next` as `after`."""
        wanted = None if state is None else State(state)
        found, next = await self._schedules.page(application, queue, wanted, after, limit)
        listed = [
            {
                "queue": place.queue,
                **{name: value for name, value in schedule_json(place.name, one).items() if name in _SHOWN},
            }
            for place, one in found
        ]
        return {"schedules": listed, "next": next}

    @method("object", APPLICATION, QUEUE, SCHEDULE)
    async def jsonrpc_describe(self, call: CallContext, application: str, queue: str, schedule: str) -> dict[str, Any]:
        """Return a schedule, with the size of the body of its message in place of the body and of the headers."""
        found = await self._directory.find(application, queue)
        return _schedule(schedule, await self._schedules.find(found, schedule))

    @method("object", APPLICATION, QUEUE, SCHEDULE, changes=True)
    async def jsonrpc_pause(self, call: CallContext, application: str, queue: str, schedule: str) -> dict[str, Any]:
        """Pause a schedule: it posts no message until it is resumed. Return it as it is then."""
        return await self._set_paused(call, application, queue, schedule, True)

    @method("object", APPLICATION, QUEUE, SCHEDULE, changes=True)
    async def jsonrpc_resume(self, call: CallContext, application: str, queue: str, schedule: str) -> dict[str, Any]:
        """Let a paused schedule go on with its next time. Return it as it is then."""
        return await self._set_paused(call, application, queue, schedule, False)

    async def _set_paused(
        self, call: CallContext, application: str, queue: str, schedule: str, paused: bool
    ) -> dict[str, Any]:
        found = await self._directory.find(application, queue)
        before = _schedule(schedule, await self._schedules.find(found, schedule))
        changed = await self._schedules.set_paused(found, schedule, paused, lambda _: None)
        after = _schedule(schedule, changed)
        call.note(before, after)
        return after


def _schedule(name: str, schedule: Schedule) -> dict[str, Any]:
    """Return a schedule for operators and their log, who may not read messages."""
    found = schedule_json(name, schedule)
    hidden = ("body", "body_base64", "headers")
    message = {member: value for member, value in found["message"].items() if member not in hidden}
    return {**found, "message": {"bytes": len(schedule.message.content.body), **message}}
