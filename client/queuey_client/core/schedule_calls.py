"""The calls of a schedule, as generators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from queuey_client.core.encoding import segment
from queuey_client.core.parsing import result_of
from queuey_client.core.queue_calls import ensured, removed
from queuey_client.core.schedule_values import ScheduleInfo, schedule_info
from queuey_client.core.session import Session
from queuey_client.core.steps import Answer, Call, Steps
from queuey_client.core.values import Draft

NEEDED = ("cron", "message")
"""Settings without which a schedule cannot be created."""


class ScheduleCalls:
    """What can be asked of one schedule."""

    def __init__(self, session: Session, queue: str, name: str) -> None:
        self.session = session
        self.queue = queue
        self.name = name
        self.path = f"/queues/{segment(queue)}/schedules/{segment(name)}"

    def ensure(self, settings: Mapping[str, Any]) -> Steps[ScheduleInfo]:
        """Create the schedule, or give it these settings and leave the others."""
        message = settings.get("message")
        if isinstance(message, Draft):
            settings = {**settings, "message": message.document()}
        answer = yield from ensured(self.session, self.path, settings, NEEDED)
        return result_of(answer, schedule_info)

    def info(self) -> Steps[ScheduleInfo]:
        """Ask for the settings, and what the schedule does."""
        answer: Answer = yield from self.session.exchange(Call("GET", self.path))
        return result_of(answer, schedule_info)

    def pause(self) -> Steps[ScheduleInfo]:
        """Pause it: it posts no message until it is resumed."""
        answer: Answer = yield from self.session.exchange(Call("POST", f"{self.path}/pause"))
        return result_of(answer, schedule_info)

    def resume(self) -> Steps[ScheduleInfo]:
        """Let it go on."""
        answer: Answer = yield from self.session.exchange(Call("POST", f"{self.path}/resume"))
        return result_of(answer, schedule_info)

    def remove(self) -> Steps[None]:
        """Delete the schedule."""
        yield from removed(self.session, self.path)


def schedules_of(session: Session, queue_path: str) -> Steps[Sequence[ScheduleInfo]]:
    """Ask for all schedules of a queue."""
    answer: Answer = yield from session.exchange(Call("GET", f"{queue_path}/schedules"))
    return result_of(answer, lambda document: [schedule_info(each) for each in document["schedules"]])
