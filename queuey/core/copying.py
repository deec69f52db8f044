"""Copies what one store holds into another, while daemons may serve from the first.

A copy is made in passes. Each compares both sides, and makes the target hold what the source holds: what is missing or
was changed is written, what is gone is removed. So a pass may end anywhere, also by a kill, and the next one continues;
the only state is what stands in the target. While daemons serve from the source, a pass is behind it at its
end. What counts is the last pass, which finds no difference although no daemon may serve from the source any more.

Messages are compared by their ids and their expiry, which each write of a message sets again, to 100 ns. States are
compared by their versions, which are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure

from queuey.deferreds import deferred
from queuey.errors import BodyTooLarge, InvalidRequest, InvalidUpdate, NoSuchQueue, Unavailable
from queuey.interfaces import IExportSource, IImportTarget, Outcome
from queuey.model.exports import MARK_KEY, ExportPage, GroupPlace, Mark, Size, StoredQueue, UnreadableMark, decode_mark
from queuey.model.groups.rows import place_of
from queuey.model.messages.message import Address, Message
from queuey.model.queues.queue import Queue
from queuey.model.timeid import HIGHEST, LOWEST
from queuey.model.values import frozen

T = TypeVar("T")

HEADS: Final = 2000
"""Messages of a partition that are compared at a time."""

ITEMS: Final = 200
"""Queues, states and answers that are asked for at a time."""

AT_ONCE: Final = 16
"""Queues, or states, that are worked on at the same time."""

BATCH: Final = 100
"""Messages that are written together at the most, and ``BATCH_BYTES`` of bodies, unless one has more."""

BATCH_BYTES: Final = 1 << 18

WAITS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 16.0, 16.0)
"""Seconds between the attempts at one step if a store does not answer: more than a minute in all."""

PASSES: Final = 8
"""Passes over a sealed source after which it is given up to find the two alike."""


@attrs.define
class Tally:
    """Numbers of a pass.

    :ivar queues: how many were looked at, and ``looked`` how many messages.
    :ivar messages: that were written, and ``removed`` that were removed.
    :ivar others: queues, states and answers that were made, changed or removed.
    """

    queues: int = 0
    looked: int = 0
    messages: int = 0
    removed: int = 0
    others: int = 0

    @property
    def changes(self) -> int:
        """Number of changes of the target."""
        return self.messages + self.removed + self.others


@frozen
class Changed:
    """Differences in a range of a partition."""

    wanted: Sequence[Address]
    gone: Sequence[Address]


class Copying:
    """Has a target hold what a source holds.

    :param sleep: waits some seconds.
    :param new_version: makes a text that was never there before.
    :ivar tally: of the pass that is under way, or the last one.
    :ivar size: of the source, as it was when that pass began.
    """

    def __init__(
        self,
        source: IExportSource,
        target: IImportTarget,
        sleep: Callable[[float], Deferred[None]],
        new_version: Callable[[], str],
    ) -> None:
        self._source = source
        self._target = target
        self._sleep = sleep
        self._new_version = new_version
        self.tally = Tally()
        self.size = Size(None, None)

    # The mark

    @deferred
    async def begin(self, name: str) -> None:
        """Make the target a copy of the source, or see that it is one.

        :param name: of the source, in words that differ from store to store.
        :raise InvalidUpdate: the target holds something else.
        :raise Unavailable: a store does not answer.
        """
        state = await self._surely(lambda: self._target.state(MARK_KEY))
        if state is None:
            if not await self._is_empty():
                raise InvalidUpdate("The target holds something already; a copy is made into a store that is empty.")
            await self._set(MARK_KEY, Mark(name).encoded(), self._new_version())
            return
        try:
            mark = decode_mark(state.value)
        except UnreadableMark as error:
            raise InvalidUpdate(str(error)) from None
        if mark.source != name:
            raise InvalidUpdate(f"The target is a copy of {mark.source}, and not of {name}.")
        if mark.whole:
            raise InvalidUpdate(f"The target is a copy of {name} that was completed: daemons may serve from it.")

    async def _is_empty(self) -> bool:
        queues = await self._surely(lambda: self._target.queues(None, 1))
        states = await self._surely(lambda: self._target.state_keys(None, ITEMS))
        return not (queues.items or states.items)

    @deferred
    async def complete(self, name: str) -> int:
        """Copy what is left of a source that is sealed, until both are alike, and allow daemons to serve from the
        target.

        :return: fires with the number of passes. Fails with ``InvalidUpdate`` if the two do not become alike.
        """
        for number in range(1, PASSES + 1):
            await self.run_pass()
            if not self.tally.changes:
                reach = await self._surely(self._source.reach)
                await self._surely(partial(self._target.keep_reach, reach))
                await self._set(MARK_KEY, Mark(name, True).encoded(), self._new_version())
                return number
        raise InvalidUpdate(f"The target still differs from the source after {PASSES} passes.")

    # A pass

    @deferred
    async def run_pass(self) -> None:
        """Compare everything once. Fails with ``Unavailable`` if a store does not answer for a minute."""
        self.tally = Tally()
        self.size = await self._surely(self._source.size)
        await self._all(self._target.queues, self._end_queue)
        await self._all(self._source.queues, self._copy_queue)
        await self._all(self._target.state_keys, self._end_state)
        await self._all(self._source.state_keys, self._copy_state)
        await self._all(self._target.group_states, self._end_group_state)
        await self._all(self._source.group_states, self._copy_group_state)
        await self._copy_answers()

    async def _all(
        self, pages: Callable[[str | None, int], Deferred[ExportPage[T]]], work: Callable[[T], Deferred[None]]
    ) -> None:
        rest: str | None = None
        while True:
            page = await self._surely(partial(pages, rest, ITEMS))
            for start in range(0, len(page.items), AT_ONCE):
                await _together([work(item) for item in page.items[start : start + AT_ONCE]])
            if page.rest is None:
                return
            rest = page.rest

    # Queues and messages

    @deferred
    async def _end_queue(self, standing: StoredQueue) -> None:
        """Delete a queue of the target that was deleted in the source."""
        queue = standing.queue
        found = await self._surely(lambda: self._source.find(queue.application, queue.name))
        if found is None or found.queue.incarnation != queue.incarnation:
            await self._surely(lambda: self._target.end_queue(queue))
            self.tally.others += 1

    @deferred
    async def _copy_queue(self, standing: StoredQueue) -> None:
        self.tally.queues += 1
        queue = standing.queue
        there = await self._surely(lambda: self._target.find(queue.application, queue.name))
        if there != standing:
            await self._surely(lambda: self._target.keep_queue(standing))
            self.tally.others += 1
        new = there is None or there.queue.incarnation != queue.incarnation
        try:
            for partition in range(1, queue.settings.partitions + 1):
                await self._copy_partition(queue, partition, new)
        except NoSuchQueue:
            raise InvalidUpdate(f'The queue "{queue.name}" was removed from the target by somebody else.') from None

    async def _copy_partition(self, queue: Queue, partition: int, new: bool) -> None:
        """Go through the messages on both sides in the order of their ids.

        :param new: whether there are none in the target.
        """
        start = LOWEST
        while True:
            here = await self._surely(partial(self._source.heads, queue, partition, start, HEADS))
            bound, there = here.rest or HIGHEST, {}
            if not new:
                found = await self._surely(partial(self._target.heads, queue, partition, start, HEADS))
                bound = min(bound, found.rest or HIGHEST)
                there = {head.id: head.expires for head in found.heads if head.id < bound}
            mine = {head.id: head.expires for head in here.heads if head.id < bound}
            self.tally.looked += len(mine)
            wanted = [Address(partition, id) for id, expires in mine.items() if there.get(id) != expires]
            await self._change(queue, Changed(wanted, [Address(partition, id) for id in there if id not in mine]))
            if bound == HIGHEST:
                return
            start = bound

    async def _change(self, queue: Queue, changed: Changed) -> None:
        rest: tuple[Address, ...] | None = tuple(changed.wanted)
        while rest:
            part = await self._surely(partial(self._source.lookup, queue, rest))
            for batch in _batches(part.messages):
                await self._keep(queue, batch)
                self.tally.messages += len(batch)
            rest = part.rest
        for start in range(0, len(changed.gone), BATCH):
            gone = changed.gone[start : start + BATCH]
            await self._surely(partial(self._target.remove, queue, gone))
            self.tally.removed += len(gone)

    async def _keep(self, queue: Queue, batch: Sequence[Message]) -> None:
        """Write some messages; one by one if they are too many together.

        :raise InvalidUpdate: names the one that the target can never have.
        """
        try:
            await self._surely(partial(self._target.keep, queue, batch))
        except (BodyTooLarge, InvalidRequest) as error:
            if len(batch) == 1:
                (one,) = batch
                which = f'message {one.id.hex()}-{one.partition} of the queue "{queue.name}" of {queue.application}'
                raise InvalidUpdate(f"The target cannot have the {which}: {error}") from error
            for one in batch:
                await self._keep(queue, [one])

    # States and answers

    @deferred
    async def _end_state(self, item: tuple[str, str]) -> None:
        """Remove a state of the target that the source does not have."""
        key, _ = item
        if await self._surely(lambda: self._source.state(key)) is None:
            place = place_of(key)
            if place is not None and await self._surely(lambda: self._source.group_state(place)) is not None:
                return  # the source keeps it in another form
            await self._set(key, None, self._new_version())
            self.tally.others += 1

    @deferred
    async def _copy_state(self, item: tuple[str, str]) -> None:
        key, version = item
        there = await self._surely(lambda: self._target.state(key))
        if there is not None and there.version == version:
            return
        here = await self._surely(lambda: self._source.state(key))
        if here is not None:
            await self._set(key, here.value, here.version)
            self.tally.others += 1

    @deferred
    async def _end_group_state(self, place: GroupPlace) -> None:
        """Remove a state of a group from the target that the source does not have."""
        if await self._surely(lambda: self._source.group_state(place)) is None:
            await self._surely(lambda: self._target.keep_group_state(place, None))
            self.tally.others += 1

    @deferred
    async def _copy_group_state(self, place: GroupPlace) -> None:
        here = await self._surely(lambda: self._source.group_state(place))
        there = await self._surely(lambda: self._target.group_state(place))
        if here is not None and here != there:
            try:
                await self._surely(lambda: self._target.keep_group_state(place, here))
            except InvalidRequest as error:
                raise InvalidUpdate(f"The target cannot have a group of the source: {error}") from error
            self.tally.others += 1

    async def _set(self, key: str, value: bytes | None, fresh: str) -> None:
        """Let a state of the target have a value, or none, whatever it has."""
        outcome = None
        while outcome is not Outcome.APPLIED:
            there = await self._surely(lambda: self._target.state(key))
            if (there is None and value is None) or (
                there is not None and (there.value, there.version) == (value, fresh)
            ):
                return
            version = None if there is None else there.version
            change = partial(self._target.states.replace, key, version, value, fresh)
            outcome = await self._surely(change)

    async def _copy_answers(self) -> None:
        rest: str | None = None
        while True:
            page = await self._surely(partial(self._source.answers, rest, ITEMS))
            if page.items:
                self.tally.others += await self._surely(partial(self._target.keep_answers, page.items))
            if page.rest is None:
                return
            rest = page.rest

    async def _surely(self, step: Callable[[], Deferred[T]]) -> T:
        """Do something that may be repeated, several times if a store does not answer."""
        for wait in WAITS:
            try:
                return await step()
            except Unavailable:
                await self._sleep(wait)
        return await step()


async def _together(works: Sequence[Deferred[None]]) -> None:
    """Wait for all of these. Fails with the first failure, once all have ended."""
    for came, result in await DeferredList(works, consumeErrors=True):
        if not came and isinstance(result, Failure):
            result.raiseException()


def _batches(messages: Sequence[Message]) -> list[list[Message]]:
    """Messages in parts that are written together."""
    batches: list[list[Message]] = []
    size = 0
    for message in messages:
        if not batches or len(batches[-1]) == BATCH or size + message.content.size > BATCH_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(message)
        size += message.content.size
    return batches
