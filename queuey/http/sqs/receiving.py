"""ReceiveMessage."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.group_changes import GroupChanges
from queuey.core.groups.values import Claiming, Delivery
from queuey.core.sqs_queues import SqsQueues
from queuey.errors import NoSuchGroup
from queuey.http.sqs import message_attributes
from queuey.http.sqs.bodies import body, sequence_number
from queuey.http.sqs.callers import Caller, SqsGate
from queuey.http.sqs.errors import SqsError, is_query
from queuey.http.sqs.names import arn
from queuey.http.sqs.operations import Members
from queuey.model.applications.access import Operation
from queuey.model.groups.entries import TOKEN
from queuey.model.groups.settings import Group
from queuey.model.messages.dead_letter_headers import key_of
from queuey.model.queues.queue import Queue
from queuey.model.queues.sqs_queue import GROUP, SqsQueue

MAX_BYTES: Final = 4 << 20
"""Bytes of the bodies of one answer; a longer message comes alone."""

MAX_XML_BYTES: Final = 1 << 20
"""The same of an answer in XML, whose characters may all have to be escaped: up to 35 ms for a mebibyte."""

PAUSE: Final = 1.0
"""Seconds after which a client that asks too often, or while too many wait, gets an empty answer. Some clients end if
they get an error here."""


@attrs.frozen
class SqsReceiving:
    """The handler of receives.

    :ivar now: the wall clock, in seconds since 1970.
    """

    gate: SqsGate
    groups: GroupExchange
    states: SqsQueues
    clock: IReactorTime
    now: Callable[[], float]

    async def receive(self, caller: Caller, queue: Queue, given: Members) -> dict[str, Any]:
        """Receive messages, or wait for some."""
        state = await self.states.find(queue)
        group = self.groups.cached(queue, GROUP) or await self.group(queue)
        claiming = _claiming(caller, state or SqsQueue(), group, given, known=state is not None)

        async def may() -> None:
            await self.gate.look_again(caller, queue, Operation.CLAIM_MESSAGES)

        delivered = await self.groups.claim(queue, group, claiming, may if claiming.wait else None)
        if claiming.wait and not delivered.deliveries:
            await may()
        if delivered.blocked and not claiming.wait and not (state or SqsQueue()).fifo:
            raise SqsError("OverLimit", "Too many messages of this queue are in flight.")
        names = frozenset((*given.get("AttributeNames", ()), *given.get("MessageSystemAttributeNames", ())))
        wanted = given.get("MessageAttributeNames", ())
        shown = [self._shown(caller, state, names, wanted, one) for one in delivered.deliveries]
        if state is not None and state.fifo and len(shown) > 1:
            shown = _by_group(shown, [key_of(one.message.content) for one in delivered.deliveries])
        return {"Messages": shown} if shown else {}

    async def pause(self) -> dict[str, Any]:
        """Answer a receive that is one too many: with no message, after a while."""
        await deferLater(self.clock, PAUSE)
        return {}

    async def group(self, queue: Queue) -> Group:
        """Return the group that clients receive from; the first receive makes it."""
        try:
            return await self.groups.find(queue, GROUP)
        except NoSuchGroup:
            found, _ = await self.groups.put(queue, GROUP, GroupChanges(), lambda _: None)
            return found

    def _shown(
        self,
        caller: Caller,
        state: SqsQueue | None,
        names: frozenset[str],
        wanted: Sequence[str],
        delivery: Delivery,
    ) -> dict[str, Any]:
        """Return a message as its receiver sees it.

        :param names: of the system attributes that it asks for, and ``wanted`` those of the other attributes.
        """
        if delivery.receipt is None:
            text = "This queue delivers messages at most once and without receipts, so SQS cannot receive them."
            raise SqsError("UnsupportedOperation", text)
        message = delivery.message
        one = body(message)
        found: dict[str, Any] = {
            "MessageId": one.message_id,
            "ReceiptHandle": delivery.receipt,
            "MD5OfBody": hashlib.md5(one.data, usedforsecurity=False).hexdigest(),
            "Body": one.text,
        }
        if names:
            system = {
                "SenderId": one.details.sender or caller.application,
                "SentTimestamp": str(one.sent),
                "ApproximateReceiveCount": str(one.deliveries + delivery.deliveries),
                "ApproximateFirstReceiveTimestamp": str(int(self.now() * 1000)),
            }
            if one.details.trace:
                system["AWSTraceHeader"] = one.details.trace
            if one.group_id is not None:
                system["MessageGroupId"] = one.group_id
            if state is not None and state.fifo:
                system["MessageDeduplicationId"] = one.details.deduplication
                system["SequenceNumber"] = sequence_number(message.id)
            if one.dead_from is not None:
                system["DeadLetterQueueSourceArn"] = arn(caller.signer.region, caller.account, one.dead_from)
            shown = {name: value for name, value in system.items() if "All" in names or name in names}
            if shown:
                found["Attributes"] = shown
        if attributes := message_attributes.wanted(one.details.attributes, wanted):
            found["MessageAttributes"] = {name: attribute.json() for name, attribute in attributes.items()}
            found["MD5OfMessageAttributes"] = message_attributes.md5(attributes)
        return found


def _by_group(shown: Sequence[dict[str, Any]], groups: Sequence[str | None]) -> list[dict[str, Any]]:
    """Return the messages of an answer with those of a message group together, as AWS does; their order stays."""
    first: dict[str | None, int] = {}
    places = [first.setdefault(group, place) for place, group in enumerate(groups)]
    return [shown[place] for place in sorted(range(len(shown)), key=places.__getitem__)]


def _claiming(caller: Caller, state: SqsQueue, group: Group, given: Members, *, known: bool) -> Claiming:
    """Return the claim that a receive is.

    :param known: whether the queue has a state; without one the lease of the group counts.
    """
    lease = given.get("VisibilityTimeout", state.visibility_timeout if known else None)
    key = None
    if state.fifo and "ReceiveRequestAttemptId" in given:
        text = f"{caller.application}\0{given['ReceiveRequestAttemptId']}".encode()
        key = hashlib.blake2b(text, digest_size=TOKEN).digest()
    return Claiming(
        given.get("MaxNumberOfMessages", 1),
        lease,
        float(given.get("WaitTimeSeconds", state.wait)),
        MAX_XML_BYTES if is_query(caller.request) else MAX_BYTES,
        key=key,
        key_optional=True,  # some clients send an id with each receive, and would get no messages beyond the limit
    )
