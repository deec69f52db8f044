"""Operations on queues: making, finding, listing, changing, purging and deleting them, and their tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs

from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.rows import in_parallel
from queuey.core.messages import MessageExchange
from queuey.core.queues import QueueDirectory
from queuey.core.sqs_queues import SqsQueues, check_fits
from queuey.deferreds import KeyedLock, deferred
from queuey.errors import NoSuchGroup, NoSuchQueue
from queuey.http.sqs import attributes, redrive_allow
from queuey.http.sqs.attributes import KEEP, RETENTION, Wanted
from queuey.http.sqs.callers import Caller
from queuey.http.sqs.errors import NO_QUEUE, SqsError, invalid, out_of_range
from queuey.http.sqs.names import check_new_name, queue_url
from queuey.http.sqs.operations import Members
from queuey.model.groups.settings import Group
from queuey.model.queues.queue import Queue
from queuey.model.queues.sqs_queue import GROUP, MAX_TAGS, SqsQueue
from queuey.model.timeid import from_seconds, lower_bound

DELAYED: Final = 10_000
"""Maximum number of delayed messages that are counted."""

_PAGE: Final = 1000
"""Queues of a page of names."""

_SOURCES: Final = 10_000
"""Maximum number of queues that are looked at for the sources of a dead-letter queue."""

_MAX_TAG: Final = 128
_MAX_TAG_VALUE: Final = 256


@attrs.frozen
class SqsAdministration:
    """Handlers of the operations on queues. Each takes a caller, the queue if there is one, and the members.

    :ivar now: the wall clock, in seconds since 1970.
    :ivar base: the URL below which clients reach the queues; ``None``: as each of them has reached us.
    """

    directory: QueueDirectory
    exchange: MessageExchange
    groups: GroupExchange
    states: SqsQueues
    now: Callable[[], float]
    base: str | None = None
    _turns: KeyedLock = attrs.field(factory=KeyedLock, init=False, repr=False)

    async def create(self, caller: Caller, queue: None, given: Members) -> dict[str, Any]:
        """Make a queue; return the URL of the one that is there if it has the same attributes."""
        name, asked = given["QueueName"], given.get("Attributes", {})
        check_new_name(name)
        wanted = attributes.wanted(asked, caller.account, policies=caller.keeps_policies)
        attributes.check_fifo(name, wanted)
        attributes.check_of_fifo(asked, wanted.state.get("fifo", False))
        await self._check_target(caller, wanted, name, wanted.state.get("fifo", False))
        tags = _tags(name, given.get("tags", {}))
        check_fits(wanted.of_state(SqsQueue(tags=tags), int(self.now())))
        turn = (caller.application, name)
        await self._turns.take(turn, lambda: self._create(caller, name, asked, wanted, tags))
        return {"QueueUrl": self._url(caller, name)}

    @deferred
    async def _create(
        self, caller: Caller, name: str, asked: dict[str, str], wanted: Wanted, tags: dict[str, str]
    ) -> None:
        """Make a queue, or compare the one that is there; one call at a time for each name."""
        try:
            queue = await self.directory.find(caller.application, name)
        except NoSuchQueue:
            changes = attrs.evolve(wanted.of_queue(), ttl=wanted.retention or RETENTION)
            queue, made = await self.directory.create(caller.application, name, changes)
        else:
            made = False
        state = await self.states.find(queue)
        if not made and state is not None:
            group = await self.group(queue)
            different = attributes.difference(asked, self._shown(caller, queue, state, group), caller.account)
            if different is not None:
                raise SqsError(
                    "QueueNameExists",
                    "A queue already exists with the same name and a different value for attribute " + different,
                )
            return
        await self._apply(queue, wanted, SqsQueue(keep=not made, tags=tags))

    async def _apply(self, queue: Queue, wanted: Wanted, new: SqsQueue) -> None:
        """Change the state of a queue, or make it, and the group that clients receive from."""
        now = int(self.now())
        state = await self.states.change(queue, lambda old: wanted.of_state(new if old is None else old, now))
        await self.groups.put(queue, GROUP, wanted.of_group(state), lambda _: None)

    async def _check_target(self, caller: Caller, wanted: Wanted, name: str, fifo: bool) -> None:
        """Refuse a dead-letter queue that is not there, is of the other type, or does not allow this queue.

        :param name: of the queue whose dead letters would go there.
        """
        target = None if wanted.redrive is None else wanted.redrive.queue
        if target is None:
            return
        if target == name:
            raise out_of_range(target, attributes.REDRIVE, "A queue cannot be its own dead-letter queue here.")
        try:
            found = await self.directory.find(caller.application, target)
        except NoSuchQueue:
            raise out_of_range(target, attributes.REDRIVE, "Dead letter target does not exist.") from None
        state = await self.states.find(found) or SqsQueue()
        if state.fifo != fifo:
            reason = "Dead-letter queue must be same type of queue as the source."
            raise out_of_range(target, attributes.REDRIVE, reason)
        source = f"{caller.account}:{name}"
        if not redrive_allow.allows(state.others.get(redrive_allow.ATTRIBUTE, ""), source):
            reason = f"The {redrive_allow.ATTRIBUTE} of the dead-letter queue does not allow this queue."
            raise out_of_range(target, attributes.REDRIVE, reason)

    @deferred
    async def group(self, queue: Queue) -> Group | None:
        """Return the group that clients receive from, if there is one."""
        try:
            return await self.groups.find(queue, GROUP)
        except NoSuchGroup:
            return None

    def _url(self, caller: Caller, name: str) -> str:
        return queue_url(caller.request, caller.account, name, self.base)

    def _shown(self, caller: Caller, queue: Queue, state: SqsQueue, group: Group | None) -> dict[str, str]:
        ttl = queue.settings.ttl or caller.policy.ttl
        return attributes.shown(queue, state, group, caller.signer.region, caller.account, ttl)

    async def url(self, caller: Caller, queue: None, given: Members) -> dict[str, Any]:
        """Return the URL of a queue that exists."""
        if given.get("QueueOwnerAWSAccountId", caller.account) != caller.account:
            raise SqsError("QueueDoesNotExist", NO_QUEUE)
        found = await self.directory.find(caller.application, given["QueueName"])
        return {"QueueUrl": self._url(caller, found.name)}

    async def list(self, caller: Caller, queue: None, given: Members) -> dict[str, Any]:
        """Return the URLs of queues, in the order of their names."""
        limit, after = given.get("MaxResults", _PAGE), given.get("NextToken", "")
        start = after + "\0" if after else ""
        names = await self.directory.store.names(caller.application, start, limit + 1, given.get("QueueNamePrefix", ""))
        urls = [self._url(caller, name) for name in names[:limit]]
        found: dict[str, Any] = {"QueueUrls": urls} if urls else {}
        if len(names) > limit and "MaxResults" in given:
            found["NextToken"] = names[limit - 1]
        return found

    async def delete(self, caller: Caller, queue: Queue, given: Members) -> dict[str, Any]:
        """Delete a queue with all its messages."""
        await self.directory.delete(queue)
        return {}

    async def describe(self, caller: Caller, queue: Queue, given: Members) -> dict[str, Any]:
        """Return the attributes that are asked for."""
        names = given.get("AttributeNames", [])
        for name in names:
            if name not in attributes.SHOWN and name != "All":
                raise attributes.unknown(name)
        state, group = await self.states.find(queue) or SqsQueue(), await self.group(queue)
        found = self._shown(caller, queue, state, group)
        if "All" in names or not set(attributes.COUNTS).isdisjoint(names):
            found.update(await self._counts(queue, group, state))
        if "All" not in names:
            found = {name: value for name, value in found.items() if name in names}
        elif not state.keep and KEEP not in names:
            del found[KEEP]  # with the value that means the behaviour of AWS, clients see no attribute but those of AWS
        return {"Attributes": found} if found else {}

    async def _counts(self, queue: Queue, group: Group | None, state: SqsQueue) -> dict[str, str]:
        """Count messages.

        A lag is counted up to a limit. Beyond it, all messages of the queue are those that are not deleted, if deleted
        ones are removed.
        """
        delayed = await self.exchange.delayed(queue, DELAYED)
        if group is None:
            visible, hidden = (await self.directory.depth(queue)).messages - delayed, 0
        else:
            lag = await self.groups.lag(queue, group)
            hidden = sum(one.in_flight for one in lag)
            visible = sum(one.behind for one in lag) - hidden
            if not state.keep and not all(one.exact for one in lag):
                visible = max(visible, (await self.directory.depth(queue)).messages - delayed - hidden)
        return dict(zip(attributes.COUNTS, map(str, (max(0, visible), hidden, delayed)), strict=True))

    async def change(self, caller: Caller, queue: Queue, given: Members) -> dict[str, Any]:
        """Set attributes."""
        asked = given["Attributes"]
        wanted = attributes.wanted(asked, caller.account, policies=caller.keeps_policies)
        state = await self.states.find(queue) or SqsQueue()
        if wanted.state.get("fifo", state.fifo) != state.fifo:
            raise attributes.another_type() if state.fifo else attributes.unknown("FifoQueue")
        attributes.check_of_fifo(asked, state.fifo)
        await self._check_target(caller, wanted, queue.name, state.fifo)
        if wanted.retention is not None:
            queue = await self.directory.change(queue, wanted.of_queue())
        await self._apply(queue, wanted, SqsQueue())
        return {}

    async def purge(self, caller: Caller, queue: Queue, given: Members) -> dict[str, Any]:
        """Delete all messages that were sent until now, delayed ones and those in flight included."""
        now = from_seconds(self.now())
        state = await self.states.find(queue)
        if state is not None and state.fifo:
            # First, so that the purge deletes no message that is stored under a deduplication id of after it.
            await self.states.change(queue, _purged)
        await self.exchange.purge(queue, lower_bound(now))
        await self.exchange.purge_delayed(queue)
        group = await self.group(queue)
        if group is not None:
            await self.groups.seek(queue, group, now, None)
        return {}

    async def tag(self, caller: Caller, queue: Queue, given: Members) -> dict[str, Any]:
        """Add tags, or change their values."""
        new = _tags(queue.name, given["Tags"])
        if not new:
            raise SqsError("MissingRequiredParameterException", "The request must contain the parameter Tags.")

        def change(old: SqsQueue | None) -> SqsQueue:
            state = old or SqsQueue()
            return attrs.evolve(state, tags=_tags(queue.name, {**state.tags, **new}))

        await self.states.change(queue, change)
        return {}

    async def untag(self, caller: Caller, queue: Queue, given: Members) -> dict[str, Any]:
        """Remove tags."""
        gone = frozenset(given["TagKeys"])
        if not gone or not all(1 <= len(name) <= _MAX_TAG for name in gone):
            raise invalid(f"Tag keys must be between 1 and {_MAX_TAG} characters in length.")

        def change(old: SqsQueue | None) -> SqsQueue:
            state = old or SqsQueue()
            return attrs.evolve(state, tags={name: text for name, text in state.tags.items() if name not in gone})

        await self.states.change(queue, change)
        return {}

    async def tags(self, caller: Caller, queue: Queue, given: Members) -> dict[str, Any]:
        """Return the tags."""
        state = await self.states.find(queue)
        return {"Tags": dict(state.tags)} if state is not None and state.tags else {}

    async def sources(self, caller: Caller, queue: Queue, given: Members) -> dict[str, Any]:
        """Return the URLs of the queues whose dead letters come here."""
        limit, after = given.get("MaxResults", _PAGE), given.get("NextToken", "")
        found: list[str] = []
        for _ in range(_SOURCES // _PAGE):
            page = await self.directory.page(caller.application, "", after, _PAGE)
            groups = await in_parallel(page.queues, self.group)
            for one, group in zip(page.queues, groups, strict=True):
                if group is not None and group.settings.dead_letter == queue.name:
                    found.append(one.name)
            if page.next is None or len(found) > limit:
                break
            after = page.next
        urls = [self._url(caller, name) for name in found[:limit]]
        more = {"NextToken": found[limit - 1]} if len(found) > limit and "MaxResults" in given else {}
        return {"queueUrls": urls, **more}


def _purged(state: SqsQueue | None) -> SqsQueue:
    """Return a state whose deduplication ids are forgotten."""
    state = state or SqsQueue()
    return attrs.evolve(state, purges=state.purges + 1)


def _tags(queue: str, given: dict[str, str]) -> dict[str, str]:
    """Return tags if a queue may have them.

    :raise SqsError: there are too many, or one is too long.
    """
    if len(given) > MAX_TAGS:
        raise invalid(f"Too many tags added for queue {queue}.")
    for name, text in given.items():
        if not 1 <= len(name) <= _MAX_TAG or len(text) > _MAX_TAG_VALUE:
            raise invalid("A tag has a key of 1 to 128 characters and a value of at most 256.")
        if name.lower().startswith("aws:"):
            raise invalid("Keys of tags that begin with aws: are reserved.")
    return given
