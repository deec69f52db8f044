"""DeleteMessage and ChangeMessageVisibility, and their batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs
from twisted.logger import Logger
from twisted.python.failure import Failure

from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.values import Settling
from queuey.core.messages import MessageExchange
from queuey.core.sqs_queues import SqsQueues
from queuey.deferreds import deferred
from queuey.errors import NoSuchGroup, QueueyError
from queuey.http.sqs.batches import batch
from queuey.http.sqs.callers import Caller
from queuey.http.sqs.errors import SqsError, invalid
from queuey.http.sqs.operations import OPERATIONS, Members
from queuey.logs import EventLog
from queuey.model.group_settings import Group
from queuey.model.groups.terms import Action, Outcome
from queuey.model.message import Address
from queuey.model.queue import Queue
from queuey.model.receipts import Receipts
from queuey.model.sqs_queue import GROUP, SqsQueue

AT_ONCE: Final = 1000
"""Messages that are removed in one write."""

MAX_WAITING: Final = 100_000
"""Deleted messages of a queue that wait for their removal; what is beyond stays until it expires."""

_log = EventLog(Logger(namespace="queuey.http"))
_DELETE: Final = OPERATIONS["DeleteMessageBatch"].members[1].entry
_CHANGE: Final = OPERATIONS["ChangeMessageVisibilityBatch"].members[1].entry


class Removals:
    """Removes messages that were deleted through SQS: their ack is stored by then, and answered.

    Each queue has one write under way at most; what is deleted meanwhile is removed by the next one.
    """

    def __init__(self, exchange: MessageExchange) -> None:
        self._exchange = exchange
        self._waiting: dict[int, list[Address]] = {}

    def add(self, queue: Queue, addresses: Sequence[Address]) -> None:
        """Remove messages soon."""
        if not addresses:
            return
        waiting = self._waiting.get(queue.incarnation)
        if waiting is None:
            self._waiting[queue.incarnation] = list(addresses)
            self._run(queue).addErrback(_defect)
        elif len(waiting) < MAX_WAITING:
            waiting.extend(addresses)

    @deferred
    async def _run(self, queue: Queue) -> None:
        waiting = self._waiting[queue.incarnation]
        try:
            while waiting:
                some = waiting[:AT_ONCE]
                del waiting[:AT_ONCE]
                await self._exchange.remove(queue, some)
        except QueueyError as error:
            # They are acked, so nobody receives them; they take room until they expire.
            _log.warn("deleted-left", "deleted messages could not be removed: {text}", text=error.text)
        finally:
            del self._waiting[queue.incarnation]


@attrs.frozen
class SqsSettling:
    """Handlers of the operations on received messages."""

    groups: GroupExchange
    states: SqsQueues
    removals: Removals

    async def delete(self, caller: Caller, queue: Queue, given: Members) -> dict[str, Any]:
        """Delete a message."""
        (error,) = await self._delete(queue, [given["ReceiptHandle"]])
        if error is not None:
            raise error
        return {}

    async def delete_batch(self, caller: Caller, queue: Queue, given: Members) -> dict[str, Any]:
        """Delete the messages of a batch."""
        found = batch(given["Entries"], _DELETE)
        places = list(found.entries)
        errors = await self._delete(queue, [found.entries[place]["ReceiptHandle"] for place in places])
        return _answer(found, places, errors)

    async def _delete(self, queue: Queue, handles: Sequence[str]) -> list[SqsError | None]:
        """Delete messages; return what is wrong with each."""
        state, group = await self.states.find(queue) or SqsQueue(), await self._group(queue)
        if group is None:
            return [_false(handle) for handle in handles]
        settlings = [Settling(Action.ACK, handle, live=state.fifo) for handle in handles]
        outcomes = await self.groups.settle(queue, group, settlings) if settlings else ()
        receipts = Receipts(group.secret)
        done: list[Address] = []
        errors: list[SqsError | None] = []
        for handle, outcome in zip(handles, outcomes, strict=True):
            receipt = receipts.parse(handle, queue.incarnation)
            if receipt is None:
                errors.append(_false(handle))
                continue
            errors.append(None)
            if outcome in (Outcome.ACKED, Outcome.ALREADY_ACKED):
                done.append(Address(receipt.partition, receipt.id))
            elif state.fifo and outcome is Outcome.STALE:
                reason = f"Value {handle} for parameter ReceiptHandle is invalid. "
                errors[-1] = invalid(f"{reason}Reason: The receipt handle has expired.")
        if not state.keep:
            self.removals.add(queue, done)
        return errors

    async def change(self, caller: Caller, queue: Queue, given: Members) -> dict[str, Any]:
        """Change for how long a message stays hidden, from now on."""
        (error,) = await self._change(queue, [given])
        if error is not None:
            raise error
        return {}

    async def change_batch(self, caller: Caller, queue: Queue, given: Members) -> dict[str, Any]:
        """Change it for the messages of a batch."""
        found = batch(given["Entries"], _CHANGE)
        places = list(found.entries)
        return _answer(found, places, await self._change(queue, [found.entries[place] for place in places]))

    async def _change(self, queue: Queue, asked: Sequence[Members]) -> list[SqsError | None]:
        group = await self._group(queue)
        if group is None:
            return [_false(one["ReceiptHandle"]) for one in asked]
        settlings = [
            Settling(Action.EXTEND, one["ReceiptHandle"], one.get("VisibilityTimeout", 0), live=True) for one in asked
        ]
        outcomes = await self.groups.settle(queue, group, settlings) if settlings else ()
        receipts = Receipts(group.secret)
        errors: list[SqsError | None] = []
        for one, outcome in zip(asked, outcomes, strict=True):
            handle = one["ReceiptHandle"]
            if receipts.parse(handle, queue.incarnation) is None:
                errors.append(_false(handle))
            elif outcome is Outcome.EXTENDED:
                errors.append(None)
            else:
                text = f"Value {handle} for parameter ReceiptHandle is invalid. "
                text += "Reason: Message does not exist or is not available for visibility timeout change."
                errors.append(SqsError("MessageNotInflight", text))
        return errors

    async def _group(self, queue: Queue) -> Group | None:
        try:
            return self.groups.cached(queue, GROUP) or await self.groups.find(queue, GROUP)
        except NoSuchGroup:
            return None


def _defect(failure: Failure) -> None:
    _log.failure("removal-defect", "deleted messages could not be removed", failure)


def _answer(found: Any, places: Sequence[int], errors: Sequence[SqsError | None]) -> dict[str, Any]:
    for place, error in zip(places, errors, strict=True):
        if error is not None:
            found.fail(place, error)
    answer: dict[str, Any] = found.answer({place: {} for place in found.entries})
    return answer


def _false(handle: str) -> SqsError:
    return SqsError(
        "ReceiptHandleIsInvalid", f'The input receipt handle "{handle[:200]}" is not a valid receipt handle.'
    )
