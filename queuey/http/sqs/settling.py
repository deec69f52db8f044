"""DeleteMessage and ChangeMessageVisibility, and their batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs

from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.values import Settling
from queuey.core.sqs_queues import SqsQueues
from queuey.errors import NoSuchGroup
from queuey.http.sqs.batches import batch
from queuey.http.sqs.callers import Caller
from queuey.http.sqs.errors import SqsError, out_of_range
from queuey.http.sqs.operations import OPERATIONS, Members
from queuey.http.sqs.removals import Removals
from queuey.model.groups.receipts import Receipts, address_of
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Action, Outcome
from queuey.model.messages.message import Address
from queuey.model.queues.queue import Queue
from queuey.model.queues.sqs_queue import GROUP, SqsQueue

_DELETE: Final = OPERATIONS["DeleteMessageBatch"].members[1].entry
_CHANGE: Final = OPERATIONS["ChangeMessageVisibilityBatch"].members[1].entry


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
        found = batch("DeleteMessage", given["Entries"], _DELETE)
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
        done: list[Address] = []
        errors: list[SqsError | None] = []
        for handle, outcome in zip(handles, outcomes, strict=True):
            error = None
            if outcome is Outcome.ACKED or outcome is Outcome.ALREADY_ACKED:
                if not state.keep:
                    done.append(address_of(handle))
            elif outcome is Outcome.INVALID and not _is_genuine(queue, group, handle):
                error = _false(handle)
            elif state.fifo and outcome is Outcome.STALE:
                error = out_of_range(handle, "ReceiptHandle", "The receipt handle has expired.")
            errors.append(error)
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
        found = batch("ChangeMessageVisibility", given["Entries"], _CHANGE)
        places = list(found.entries)
        return _answer(found, places, await self._change(queue, [found.entries[place] for place in places]))

    async def _change(self, queue: Queue, asked: Sequence[Members]) -> list[SqsError | None]:
        state, group = await self.states.find(queue) or SqsQueue(), await self._group(queue)
        if group is None:
            return [_false(one["ReceiptHandle"]) for one in asked]
        # In a standard queue AWS takes a handle past its time, too, as long as no one else has received the message.
        settlings = [
            Settling(Action.EXTEND, one["ReceiptHandle"], one.get("VisibilityTimeout", 0), live=state.fifo)
            for one in asked
        ]
        outcomes = await self.groups.settle(queue, group, settlings) if settlings else ()
        errors: list[SqsError | None] = []
        for one, outcome in zip(asked, outcomes, strict=True):
            handle = one["ReceiptHandle"]
            if outcome is Outcome.EXTENDED:
                errors.append(None)
            elif outcome is Outcome.INVALID and not _is_genuine(queue, group, handle):
                errors.append(_false(handle))
            else:
                reason = "Message does not exist or is not available for visibility timeout change."
                error = out_of_range(handle, "ReceiptHandle", reason)
                if outcome is Outcome.STALE:
                    error = SqsError("MessageNotInflight", error.text)
                errors.append(error)
        return errors

    async def _group(self, queue: Queue) -> Group | None:
        try:
            return self.groups.cached(queue, GROUP) or await self.groups.find(queue, GROUP)
        except NoSuchGroup:
            return None


def _answer(found: Any, places: Sequence[int], errors: Sequence[SqsError | None]) -> dict[str, Any]:
    for place, error in zip(places, errors, strict=True):
        if error is not None:
            found.fail(place, error)
    answer: dict[str, Any] = found.answer({place: {} for place in found.entries})
    return answer


def _is_genuine(queue: Queue, group: Group, handle: str) -> bool:
    """Return whether a handle was made for the queue; it is invalid nevertheless if the queue was purged since."""
    return Receipts(group.secret).parse((handle,), queue.incarnation) != [None]


def _false(handle: str) -> SqsError:
    return SqsError(
        "ReceiptHandleIsInvalid", f'The input receipt handle "{handle[:200]}" is not a valid receipt handle.'
    )
