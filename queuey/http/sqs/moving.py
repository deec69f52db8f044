"""StartMessageMoveTask, ListMessageMoveTasks and CancelMessageMoveTask."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import attrs

from queuey.core.queues import QueueDirectory
from queuey.core.sqs_queues import SqsQueues
from queuey.errors import NoSuchQueue
from queuey.http.admission.gate import permit
from queuey.http.sqs.callers import Caller, SqsGate
from queuey.http.sqs.errors import SqsError, invalid, out_of_range
from queuey.http.sqs.move_tasks import SqsMoves
from queuey.http.sqs.names import arn, name_of_arn
from queuey.http.sqs.operations import Members
from queuey.http.sqs.queues import SqsAdministration
from queuey.model.applications.access import Operation
from queuey.model.queues.queue import Queue
from queuey.model.queues.sqs_queue import MoveTask, SqsQueue

_SHOWN: Final = 1
"""Tasks that are listed if the request does not say how many."""


@attrs.frozen
class SqsMoving:
    """Handlers of the operations on tasks that move dead letters.

    :ivar now: the wall clock, in seconds since 1970.
    :ivar new_id: returns an id for a task.
    """

    gate: SqsGate
    directory: QueueDirectory
    administration: SqsAdministration
    states: SqsQueues
    moves: SqsMoves
    now: Callable[[], float]
    new_id: Callable[[], str]

    async def start(self, caller: Caller, queue: None, given: Members) -> dict[str, Any]:
        """Start a task."""
        source = await self._queue(caller, given["SourceArn"], "SourceArn", Operation.DELETE_MESSAGES)
        target: Queue | None = None
        if "DestinationArn" in given:
            target = await self._queue(caller, given["DestinationArn"], "DestinationArn", Operation.WRITE_MESSAGES)
            if target.name == source.name:
                raise out_of_range(given["DestinationArn"], "DestinationArn", "It is the source itself.")
            await self._check_kinds(source, target)
        if not (await self.administration.sources(caller, source, {"MaxResults": 1}))["queueUrls"]:
            raise invalid("Source queue must be configured as a Dead Letter Queue.")
        total = (await self.directory.depth(source)).messages
        now = int(self.now() * 1000)
        name = None if target is None else target.name
        rate = given.get("MaxNumberOfMessagesPerSecond", 0)
        task = MoveTask(self.new_id(), "RUNNING", name, rate, now, now, total)

        def begun(state: SqsQueue | None) -> SqsQueue:
            old = state or SqsQueue()
            if any(one.as_of(now).active for one in old.tasks):
                raise invalid(
                    "There is already a task running. Only one active task is allowed for a source queue arn at a "
                    "given time."
                )
            return old.with_task(task)

        await self.states.change(source, begun)
        may = partial(permit, Operation.CHANGE_GROUPS, caller.principals, caller.application)
        self.moves.start(source, task, target, may)
        return {"TaskHandle": _handle(task, given["SourceArn"])}

    async def list(self, caller: Caller, queue: None, given: Members) -> dict[str, Any]:
        """Return the latest tasks of a queue, the newest first."""
        source = await self._queue(caller, given["SourceArn"], "SourceArn", Operation.SEE_QUEUE)
        state, now = await self.states.find(source) or SqsQueue(), int(self.now() * 1000)
        latest = [*reversed(state.tasks)][: given.get("MaxResults", _SHOWN)]
        shown = [_shown(one.as_of(now), given["SourceArn"], caller) for one in latest]
        return {"Results": shown} if shown else {}

    async def cancel(self, caller: Caller, queue: None, given: Members) -> dict[str, Any]:
        """End a task; messages that it has moved are not moved back."""
        id, source_arn = _parsed(given["TaskHandle"])
        if name_of_arn(source_arn, caller.account) is None:
            raise _not_there("SourceArn")
        source = await self._queue(caller, source_arn, "SourceArn", Operation.DELETE_MESSAGES)
        now, moved = int(self.now() * 1000), 0

        def cancelled(state: SqsQueue | None) -> SqsQueue:
            nonlocal moved
            old = state or SqsQueue()
            there = [one for one in old.tasks if one.id == id]
            if not there:
                raise SqsError("ResourceNotFoundException", "Task does not exist.")
            if there[0].as_of(now).status != "RUNNING":
                raise invalid("Only active tasks can be cancelled.")
            moved = there[0].moved
            return old.with_task(attrs.evolve(there[0], status="CANCELLING"))

        await self.states.change(source, cancelled)
        return {"ApproximateNumberOfMessagesMoved": moved}

    async def _queue(self, caller: Caller, text: str, member: str, operation: Operation) -> Queue:
        name = name_of_arn(text, caller.account)
        if name is None:
            raise out_of_range(text[:200], member, "It is not the ARN of a queue of this account.")
        try:
            return await self.gate.queue(caller, name, operation)
        except NoSuchQueue:
            raise _not_there(member) from None

    async def _check_kinds(self, source: Queue, target: Queue) -> None:
        """Refuse a move from a standard queue to a FIFO queue: its messages may have no group."""
        before, after = await self.states.find(source), await self.states.find(target)
        if (after or SqsQueue()).fifo and not (before or SqsQueue()).fifo:
            raise invalid("Source and destination queues must be of the same type.")


def _not_there(member: str) -> SqsError:
    text = f"The resource that you specified for the {member} parameter doesn't exist."
    return SqsError("ResourceNotFoundException", text)


def _shown(task: MoveTask, source: str, caller: Caller) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Status": task.status,
        "SourceArn": source,
        "ApproximateNumberOfMessagesMoved": task.moved,
        "ApproximateNumberOfMessagesToMove": task.total,
        "StartedTimestamp": task.started,
    }
    if task.status == "RUNNING":
        found["TaskHandle"] = _handle(task, source)
    if task.target is not None:
        found["DestinationArn"] = arn(caller.signer.region, caller.account, task.target)
    if task.rate:
        found["MaxNumberOfMessagesPerSecond"] = task.rate
    if task.reason:
        found["FailureReason"] = task.reason
    return found


def _handle(task: MoveTask, source: str) -> str:
    return base64.b64encode(json.dumps({"taskId": task.id, "sourceArn": source}).encode()).decode("ascii")


def _parsed(handle: str) -> tuple[str, str]:
    """Return the id of a task, and the ARN of its queue.

    :raise SqsError: the text is no handle of a task.
    """
    try:
        document = json.loads(base64.b64decode(handle, validate=True))
        id, source = document["taskId"], document["sourceArn"]
    except (binascii.Error, ValueError, KeyError, TypeError, RecursionError):
        id = source = None
    if not isinstance(id, str) or not isinstance(source, str):
        raise invalid("Value for parameter TaskHandle is invalid.")
    return id, source
