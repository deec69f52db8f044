"""Stores what becomes of the messages of pushes: settlements, and the answers of endpoints as replies."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from twisted.internet.task import deferLater

from queuey.core.groups.values import Delivery, Settling
from queuey.core.pushes.values import Attempted, PushMeans
from queuey.errors import NoSuchGroup, NoSuchQueue, QueueyError
from queuey.interfaces import BodyEnd
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Action
from queuey.model.messages.message import Content, Draft
from queuey.model.messages.once import Once
from queuey.model.pushes.outcomes import Judgement, Verdict, judge
from queuey.model.pushes.requests import reply_type
from queuey.model.pushes.settings import Push
from queuey.model.queues.queue import Queue

TRIES: Final = 6
"""Attempts to store a settlement; the last one begins before the lease ends."""


async def store_reply(
    means: PushMeans, queue: Queue, group: Group, push: Push, delivery: Delivery, done: Attempted
) -> tuple[Judgement, str | None]:
    """Post the answer to the queue for replies, once for each message.

    :return: the judgement of the attempt, and a word for what went wrong.
    """
    answer, message = done.answer, delivery.message
    assert answer is not None
    assert push.replies is not None
    if answer.end is BodyEnd.TOO_LONG:  # so would be the answer to the same message again
        return Judgement(Verdict.REJECT), "answer-too-long"
    again = judge(push, None, None, delivery.deliveries, group.settings.max_deliveries, means.random())
    if answer.end is BodyEnd.CUT:
        return again, "answer-not-whole"
    id = f"{message.id.hex()}-{message.partition}"
    key = sha256(b"push reply" + group.gid + id.encode("ascii")).digest()
    headers = f'{{"in-reply-to":"{id}"}}'.encode("ascii")
    content = Content(answer.body, reply_type(answer.content_type), headers)
    try:
        policy = await means.policies.policy_for(queue.application)
        replies = await means.directory.find(queue.application, push.replies)
        ttl = policy.ttl if replies.settings.ttl is None else replies.settings.ttl
        # The first answer counts: an attempt that is repeated, because its ack was not stored, changes nothing.
        once = Once(key, key, "", policy.idempotency_ttl)
        await means.messages.append_once(replies, [Draft(content, ttl)], once)
    except QueueyError:
        return again, "reply-not-stored"
    return Judgement(Verdict.ACK), None


async def store_settlement(
    means: PushMeans, queue: Queue, group: Group, delivery: Delivery, judgement: Judgement, reason: str
) -> None:
    """Store what becomes of a message; it is tried several times, since the endpoint will not take it back."""
    if delivery.receipt is None:
        return
    verdict = judgement.verdict
    if verdict is Verdict.ACK:
        settling = Settling(Action.ACK, delivery.receipt)
    elif verdict is Verdict.REJECT:
        settling = Settling(Action.REJECT, delivery.receipt, None, reason)
    else:
        settling = Settling(Action.RETRY, delivery.receipt, judgement.delay)
    for number in range(TRIES):
        try:
            await means.groups.settle(queue, group, (settling,))
        except (NoSuchGroup, NoSuchQueue):
            return
        except QueueyError:
            await deferLater(means.clock, 0.5 * 2.0**number)
        else:
            return
