"""Tasks that move the dead letters of a queue, as ``StartMessageMoveTask`` of SQS starts them.

A task belongs to the process that began it. Its state is kept with the queue, so that every process can show it and ask
for its end. If the process ends first, the task counts as failed; a new one goes on with what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.rows import in_parallel
from queuey.core.groups.values import Redriving
from queuey.core.messages import MessageExchange
from queuey.core.queues import QueueDirectory
from queuey.core.sqs_queues import SqsQueues
from queuey.deferreds import deferred
from queuey.errors import NoSuchGroup, NoSuchQueue, QueueyError, Unavailable
from queuey.http.sqs.errors import CODES
from queuey.logs import EventLog
from queuey.model.groups.settings import Group
from queuey.model.messages.dead_letter_headers import key_of, letter_of, move_key, moved
from queuey.model.messages.message import Address, Draft, Message
from queuey.model.messages.once import Once
from queuey.model.queues.queue import Consistency, Queue
from queuey.model.queues.sqs_queue import MoveTask, SqsQueue
from queuey.model.reading.window import OLDEST, Merge, Position
from queuey.model.timeid import from_seconds, lower_bound

MAX_SLICE: Final = 100
"""Messages that are moved before the task is noted again."""

UNKNOWN_SOURCE: Final = "CouldNotDetermineMessageSource"
"""Why a task fails if a message did not come from a queue, or comes from one that is gone."""

REMEMBERED: Final = 86_400
"""Seconds for which a move to another queue is not repeated."""

_MAX_REASON: Final = 200
"""Characters of the reason of a failure that are kept."""

_PATIENCE: Final = 30
"""Attempts, a second apart, while a queue takes no more messages back or the newest messages cannot be read yet."""

_log = EventLog(Logger(namespace="queuey.http"))

May = Callable[[Queue], None]
"""Raises ``Forbidden`` if messages may not be moved back to a queue."""


class _Stopped(Exception):
    """Somebody has cancelled the task, or the queue no longer has it."""


@attrs.frozen
class SqsMoves:
    """Runs the tasks of this process.

    :ivar now: the wall clock, in seconds since 1970.
    """

    exchange: MessageExchange
    directory: QueueDirectory
    groups: GroupExchange
    states: SqsQueues
    clock: IReactorTime
    now: Callable[[], float]

    def start(self, source: Queue, task: MoveTask, target: Queue | None, may: May) -> None:
        """Move the messages that a queue has now, in the background."""
        self._run(source, task, target, may).addErrback(_defect)

    @deferred
    async def _run(self, source: Queue, task: MoveTask, target: Queue | None, may: May) -> None:
        try:
            reason = await self._everything(source, task.id, task.rate, target, may)
            status = "FAILED" if reason else "COMPLETED"
        except _Stopped:
            status, reason = "CANCELLED", ""
        except QueueyError as error:
            status = "FAILED"
            reason = CODES["QueueDoesNotExist"][0] if isinstance(error, NoSuchQueue) else error.text[:_MAX_REASON]
            _log.warn("move-failed", "a task that moves messages has failed: {text}", text=error.text)
        try:
            await self.note(source, task.id, lambda one: attrs.evolve(one, status=status, reason=reason))
        except (_Stopped, QueueyError):
            return  # the queue is gone, or the task will count as failed after a while

    async def note(self, source: Queue, id: str, change: Callable[[MoveTask], MoveTask]) -> MoveTask:
        """Change the state of a task.

        :raise _Stopped: the queue no longer has it.
        """
        found: list[MoveTask] = []

        def changed(state: SqsQueue | None) -> SqsQueue:
            there = [one for one in (state or SqsQueue()).tasks if one.id == id]
            if not there:
                raise _Stopped
            found[:] = [change(there[0])]
            return (state or SqsQueue()).with_task(found[0])

        await self.states.change(source, changed)
        return found[0]

    async def _everything(self, source: Queue, id: str, rate: int, target: Queue | None, may: May) -> str:
        """Move all messages; return why some had to stay, or an empty text."""
        every = tuple(range(1, source.settings.partitions + 1))
        place, upper = OLDEST, Position(lower_bound(from_seconds(self.now())))
        why, patience = "", _PATIENCE
        while True:
            policy = await self.exchange.policies.policy_for(source.application)
            merge = Merge(every, place, max(place, upper), limit=min(rate or MAX_SLICE, MAX_SLICE))
            slice = await self.exchange.first(source, merge, policy)
            some = slice.messages
            number, left = await (self._back(source, some, may) if target is None else self._to(source, some, target))
            why = why or left or (UNKNOWN_SOURCE if number < len(some) else "")
            task = await self.note(source, id, lambda one, more=number: self._seen(one, more))  # type: ignore[misc]
            if task.status == "CANCELLING":
                raise _Stopped
            if slice.over:
                return why
            if slice.position == place:
                patience -= 1
                if not patience:
                    return why
            if rate or slice.position == place:
                await deferLater(self.clock, max(number / rate if rate else 1.0, 0.01))
            place = slice.position

    def _seen(self, task: MoveTask, more: int) -> MoveTask:
        return attrs.evolve(task, moved=task.moved + more, seen=int(self.now() * 1000))

    async def _back(self, source: Queue, messages: Sequence[Message], may: May) -> tuple[int, str]:
        """Give messages back to the groups that gave them up; return how many, and why the others were left if their
        queue takes no copies of them."""
        by_group: dict[tuple[str, str, bytes], list[Address]] = {}
        for message in messages:
            letter = letter_of(message.content)
            if letter is not None:
                place = (letter.queue, letter.group, letter.gid)
                by_group.setdefault(place, []).append(Address(message.partition, message.id))
        done, why = 0, ""
        for (name, group, gid), addresses in by_group.items():
            found = await self._origin(source, name, group, gid)
            if found is not None:
                may(found[0])
                number, left = await self._redrive(*found, addresses)
                done, why = done + number, why or left
        return done, why

    async def _origin(self, source: Queue, name: str, group: str, gid: bytes) -> tuple[Queue, Group] | None:
        try:
            queue = await self.directory.find(source.application, name)
            found = await self.groups.find(queue, group)
        except (NoSuchQueue, NoSuchGroup):
            return None
        return (queue, found) if found.gid == gid and found.settings.dead_letter == source.name else None

    async def _redrive(self, queue: Queue, group: Group, addresses: Sequence[Address]) -> tuple[int, str]:
        done, after, why = 0, None, ""
        for _ in range(_PATIENCE):
            redriven = await self.groups.redrive(queue, group, Redriving(tuple(addresses), after=after))
            done += redriven.moved
            words = ", ".join(redriven.left_words())
            why = why or (f"The queue that messages are moved to takes no copies of some: {words}." if words else "")
            if redriven.next is None:
                return done, why
            after = redriven.next
            await deferLater(self.clock, 1.0)
        raise Unavailable("The queue that messages are moved to has too many messages in flight.")

    async def _to(self, source: Queue, messages: Sequence[Message], target: Queue) -> tuple[int, str]:
        """Move messages to another queue: store each there, once whatever happens, and then remove it here."""

        @deferred
        async def copy(message: Message) -> None:
            policy = await self.exchange.policies.policy_for(target.application)
            ttl = target.settings.ttl or policy.ttl
            address = Address(message.partition, message.id)
            drafts = [Draft(moved(message.content), ttl, None, key_of(message.content))]
            if self.exchange.store.capabilities.not_once or target.settings.consistency is Consistency.WEAK:
                await self.exchange.append(target, drafts)
            else:
                key = move_key(source.incarnation, address, target.incarnation)
                await self.exchange.append_once(target, drafts, Once(key, key, "", REMEMBERED))

        # One after another, so that the messages of a group keep their order.
        await in_parallel(messages, copy, at_once=1)
        if messages:
            await self.exchange.remove(source, [Address(one.partition, one.id) for one in messages])
        return len(messages), ""


def _defect(failure: Failure) -> None:
    _log.failure("move-defect", "a task that moves messages has ended with a defect", failure)
