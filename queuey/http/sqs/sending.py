"""SendMessage and SendMessageBatch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, Final

import attrs

from queuey.core.messages import MessageExchange
from queuey.core.sqs_queues import SqsQueues
from queuey.http.sqs import message_attributes
from queuey.http.sqs.batches import Batch, batch
from queuey.http.sqs.bodies import Details, content, delay_of, message_id, sequence_number
from queuey.http.sqs.callers import Caller, check_size
from queuey.http.sqs.errors import SqsError, invalid, of, out_of_range
from queuey.http.sqs.message_attributes import NO_ATTRIBUTES, Attribute, encoded
from queuey.http.sqs.operations import OPERATIONS, Members
from queuey.model.messages.message import Address, Draft
from queuey.model.messages.once import Once
from queuey.model.queues.queue import Consistency, Queue
from queuey.model.queues.sqs_queue import SqsQueue
from queuey.model.values import frozen

REMEMBERED: Final = 300
"""Seconds for which a deduplication id, and the id of an invocation, is remembered."""

MAX_BATCH: Final = 1 << 20
"""Bytes of all messages of a batch together."""

_NO_GROUP: Final = "The request must contain the parameter MessageGroupId."
_NO_DEDUPLICATION: Final = (
    "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
)
_TRACE: Final = "AWSTraceHeader"
_TRACE_ID: Final = re.compile(rb"[!-~]{1,512}")
_ID: Final = re.compile(r"[!-~]{1,128}", re.ASCII)
_INVOCATION: Final = re.compile(rb"[A-Za-z0-9-]{8,64}")
_ENTRY: Final = OPERATIONS["SendMessageBatch"].members[1].entry


@frozen
class _Sending:
    """A message that is to be sent.

    :ivar body: in UTF-8.
    :ivar system: the MD5 of its system attributes; ``None`` if it has none.
    :ivar deduplication: its deduplication id in a FIFO queue; ``None`` in others.
    """

    body: bytes
    draft: Draft
    details: Details
    size: int
    system: str | None
    deduplication: str | None

    def answer(self, address: Address, fifo: bool) -> dict[str, Any]:
        """Return the result of the entry once it is stored."""
        found = {
            "MessageId": message_id(address.id),
            "MD5OfMessageBody": hashlib.md5(self.body, usedforsecurity=False).hexdigest(),
        }
        if self.details.attributes:
            found["MD5OfMessageAttributes"] = message_attributes.md5(self.details.attributes)
        if self.system is not None:
            found["MD5OfMessageSystemAttributes"] = self.system
        if fifo:
            found["SequenceNumber"] = sequence_number(address.id)
        return found


@attrs.frozen
class SqsSending:
    """Handlers of the operations that send messages."""

    exchange: MessageExchange
    states: SqsQueues

    async def send(self, caller: Caller, queue: Queue, given: Members) -> dict[str, Any]:
        """Store a message."""
        state = await self.states.find(queue) or SqsQueue()
        sending = _sending(caller, queue, state, given)
        (address,) = await self._store(caller, queue, state, [sending])
        return sending.answer(address, state.fifo)

    async def send_batch(self, caller: Caller, queue: Queue, given: Members) -> dict[str, Any]:
        """Store the messages of a batch: in a standard queue all that are right together."""
        state = await self.states.find(queue) or SqsQueue()
        found = batch("SendMessage", given["Entries"], _ENTRY)
        if state.fifo:
            _check_fifo_batch(state, found)
        sending: dict[int, _Sending] = {}
        total = 0
        for place, entry in list(found.entries.items()):
            try:
                sending[place] = _sending(caller, queue, state, entry, in_batch=True)
                total += sending[place].size
            except SqsError as error:
                found.fail(place, error)
                total += len(entry["MessageBody"].encode())
        if total > MAX_BATCH:
            text = f"Batch requests cannot be longer than {MAX_BATCH} bytes. You have sent {total} bytes."
            raise SqsError("BatchRequestTooLong", text)
        stored = await self._store_batch(caller, queue, state, found, sending)
        return found.answer({place: sending[place].answer(address, state.fifo) for place, address in stored.items()})

    async def _store_batch(
        self, caller: Caller, queue: Queue, state: SqsQueue, found: Batch, sending: dict[int, _Sending]
    ) -> dict[int, Address]:
        if not sending:
            return {}
        if not state.fifo:
            return dict(zip(sending, await self._store(caller, queue, state, list(sending.values())), strict=True))
        stored: dict[int, Address] = {}
        for place, one in sending.items():  # one after another, since their order counts
            try:
                (stored[place],) = await self._store(caller, queue, state, [one])
            except Exception as error:
                known = of(error)
                if known is None:
                    raise
                found.fail(place, known)
        return stored

    async def _store(
        self, caller: Caller, queue: Queue, state: SqsQueue, sending: Sequence[_Sending]
    ) -> Sequence[Address]:
        drafts = [one.draft for one in sending]
        if state.fifo:
            once: Once | None = _deduplicated(queue, state, sending[0])
        else:
            once = None if self._not_once(queue) else _invocation(caller)
        if once is None:
            return await self.exchange.post(queue, drafts, caller.policy)
        appended = await self.exchange.post_once(queue, drafts, once, caller.policy)
        return appended.addresses

    def _not_once(self, queue: Queue) -> bool:
        return bool(self.exchange.store.capabilities.not_once) or queue.settings.consistency is Consistency.WEAK


def _sending(caller: Caller, queue: Queue, state: SqsQueue, given: Members, *, in_batch: bool = False) -> _Sending:
    """Return a message as it is to be stored.

    :raise SqsError: it is not one that the queue takes.
    """
    text = given["MessageBody"]
    if not text:
        raise SqsError("MissingRequiredParameterException", "The request must contain the parameter MessageBody.")
    body = encoded(text)
    if body is None:
        text = "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | "
        raise SqsError("InvalidMessageContents", f"{text}#xE000 to #xFFFD | #x10000 to #x10FFFF")
    found, size = NO_ATTRIBUTES, len(body)
    if given.get("MessageAttributes"):
        found = message_attributes.attributes(given["MessageAttributes"])
        size += message_attributes.size(found)
    trace, system = _system(caller, given)
    check_size(caller, size, state.max_size, "cannot be validated" if in_batch else "are invalid")
    group, deduplication = _fifo(state, given, body)
    delay = given.get("DelaySeconds", state.delay)
    if state.fifo:
        delay = state.delay  # a message has none of its own but 0, which means that of the queue
    details = Details(found, caller.signer.access_key_id, delay, trace, deduplication or "")
    ttl = queue.settings.ttl or caller.policy.ttl
    draft = Draft(content(body, details), ttl, None, group, delay_of(delay))
    return _Sending(body, draft, details, size, system, deduplication)


def _system(caller: Caller, given: Members) -> tuple[str, str | None]:
    """Return the trace header, and the MD5 of all system attributes.

    As on AWS, a request that does not say otherwise gives its messages the trace that its own header field names.
    """
    names = given.get("MessageSystemAttributes")
    if not names:
        return _trace_of(caller), None
    for name in names:
        if name != _TRACE:
            raise invalid(f"Message system attribute name '{name[:200]}' is invalid.")
    value = names[_TRACE].get("StringValue")
    data = encoded(value) if isinstance(value, str) else None
    if names[_TRACE].get("DataType") != "String" or data is None:
        raise invalid(f"The message system attribute '{_TRACE}' must be a string.")
    return value, message_attributes.md5({_TRACE: Attribute("String", data)})


def _trace_of(caller: Caller) -> str:
    """Return the trace of a request; empty if it has none, or one that is not plain."""
    found = caller.request.fields.get(b"x-amzn-trace-id", ())
    return found[0].decode("ascii") if len(found) == 1 and _TRACE_ID.fullmatch(found[0]) else ""


def _fifo(state: SqsQueue, given: Members, body: bytes) -> tuple[str | None, str | None]:
    """Return the message group and the deduplication id of a message."""
    group, deduplication = given.get("MessageGroupId"), given.get("MessageDeduplicationId")
    for name, value in (("MessageGroupId", group), ("MessageDeduplicationId", deduplication)):
        if value is not None and _ID.fullmatch(value) is None:
            reason = f"{name} can only include alphanumeric and punctuation characters. 1 to 128 in length."
            raise out_of_range(value[:200], name, reason)
    if not state.fifo:
        if deduplication is not None:
            reason = "The request includes a parameter that is not valid for this queue type."
            raise out_of_range(deduplication, "MessageDeduplicationId", reason)
        return group, None
    if group is None:
        raise SqsError("MissingRequiredParameterException", _NO_GROUP)
    if given.get("DelaySeconds"):
        reason = "The request include parameter that is not valid for this queue type."
        raise out_of_range(given["DelaySeconds"], "DelaySeconds", reason)
    if deduplication is None:
        if not state.by_content:
            raise invalid(_NO_DEDUPLICATION)
        deduplication = hashlib.sha256(body).hexdigest()
    return group, deduplication


def _check_fifo_batch(state: SqsQueue, found: Batch) -> None:
    """Refuse a batch as a whole, as AWS does, if an entry lacks what messages of the queue have.

    :raise SqsError: saying what.
    """
    for entry in found.entries.values():
        if "MessageGroupId" not in entry:
            raise invalid(_NO_GROUP)
        if "MessageDeduplicationId" not in entry and not state.by_content:
            raise invalid(_NO_DEDUPLICATION)


def _deduplicated(queue: Queue, state: SqsQueue, sending: _Sending) -> Once:
    """Return the key by which repeats of a message of a FIFO queue are found: its deduplication id alone."""
    parts = ["deduplication", sending.deduplication or ""]
    if state.per_group:
        parts.append(sending.draft.key or "")
    if state.purges:
        parts += ["purges", str(state.purges)]
    return Once(_hash(parts), _hash(["any body"]), "", REMEMBERED)


def _invocation(caller: Caller) -> Once | None:
    """Return the id of a call: SDKs send one with each call, and the same with its retries."""
    given = caller.request.fields.get(b"amz-sdk-invocation-id")
    if given is None or len(given) != 1 or _INVOCATION.fullmatch(given[0]) is None:
        return None
    body = hashlib.blake2b(caller.request.body, digest_size=32).digest()
    return Once(_hash(["invocation", caller.application, given[0].decode("ascii")]), body, "", REMEMBERED)


def _hash(parts: Sequence[str]) -> bytes:
    digest = hashlib.blake2b(b"queuey sqs\0", digest_size=32)
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()
