"""Claims over v2: messages that are taken under a lease, by one of many workers."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs

from queuey.core.groups.directory import GroupChanges
from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.values import Claiming, Delivered, Delivery, Settling
from queuey.core.messages import MessageExchange
from queuey.errors import NoSuchGroup, QueueyError
from queuey.http.authorized import AdmittedToQueue, Route
from queuey.http.parameters import not_whole
from queuey.http.v2 import repeats
from queuey.http.v2.answers import HEAD, Piece, answer_in_pieces, encoded, messages_json, portions
from queuey.http.v2.groups import GROUP, check_name, guarantee_of, named
from queuey.http.v2.pages import DEFAULT_BYTES, MAX_BYTES, MAX_LIMIT, MAX_WAIT
from queuey.http.v2.parameters import Members, Query, bad_field, members
from queuey.http.v2.settlements import ACTIONS, outcomes_json, settlings
from queuey.http.wire import Request
from queuey.model.access import Operation, is_application
from queuey.model.columns import content_bytes
from queuey.model.group_settings import MAX_LEASE, Group, GroupSettings
from queuey.model.groups.terms import UNCHANGED, Outcome
from queuey.model.message import Message
from queuey.model.queue import Guarantee, Queue
from queuey.model.served import RECEIVE
from queuey.model.timeid import to_rfc3339

CLAIMS: Final = f"{GROUP}/claims"

DEFAULT_LIMIT: Final = 10

_NAMES: Final = ("limit", "lease", "wait", "max_bytes", "partitions", "settle")
_BLOCKED: Final = "in-flight-limit"


@attrs.frozen
class V2Claims:
    """The handler of claims."""

    groups: GroupExchange
    exchange: MessageExchange

    def routes(self) -> tuple[Route, ...]:
        """What there is."""
        return (Route("POST", CLAIMS, Operation.CLAIM_MESSAGES, self.claim),)

    async def claim(self, request: Request, admitted: AdmittedToQueue, group: str) -> None:
        """Take messages; for the application's key, of a group that is made now if it is not there."""
        Query(request, ()).check()
        queue = admitted.queue
        found = await self._found(admitted, group)
        claiming = wanted(request, admitted)
        settings = GroupSettings() if found is None else found.settings
        if claiming.key is not None and guarantee_of(settings, admitted) is Guarantee.AT_MOST_ONCE:
            raise bad_field("Idempotency-Key", "is not taken by a group that is given each message at most once")
        if found is None:
            check_name(group)
            found, _ = await self.groups.put(queue, group, GroupChanges(), lambda _: None)
        request.traced.begin(RECEIVE, group)
        delivered = await self._delivered(request, admitted, found, claiming)
        request.traced.received([delivery.message for delivery in delivered.deliveries])
        await _answer(request, claiming, delivered)

    async def _delivered(
        self, request: Request, admitted: AdmittedToQueue, group: Group, claiming: Claiming
    ) -> Delivered:
        """What the group is given; after a wait only if its caller may still have it."""
        queue = admitted.queue
        settled = _Settled(claiming.settlings)
        try:
            if not claiming.wait:
                return await self.groups.claim(queue, group, claiming)
            ongoing = admitted.gate.ongoing
            end = functools.partial(settled.end, request)
            with ongoing.during(request, admitted, Operation.CLAIM_MESSAGES, end) as may:
                delivered = await self.groups.claim(queue, group, claiming, may, settled.note)
                if not delivered.deliveries:
                    await may()
        except NoSuchGroup as error:
            try:
                await self.exchange.as_it_is(queue)  # if the queue was deleted, that is why there is no group
            except QueueyError as other:
                raise settled.of(other) from None
            raise settled.of(error) from None
        except QueueyError as error:
            raise settled.of(error) from None
        return delivered

    async def _found(self, admitted: AdmittedToQueue, name: str) -> Group | None:
        """The group; ``None`` where the claim is to make it."""
        try:
            return await named(self.groups, admitted.queue, name)
        except NoSuchGroup:
            if is_application(admitted.caller, admitted.queue.application):
                return None
            raise


class _Settled:
    """What is known of the settlements of a claim that waits. They are stored before the wait, however that ends."""

    def __init__(self, settlings: Sequence[Settling] | None) -> None:
        self._storing = bool(settlings)
        self._applied = "no"
        self._why: QueueyError | None = None

    def note(self, outcomes: Sequence[Outcome]) -> None:
        """Learn what became of them, and fail if the request was to end meanwhile."""
        self._storing = False
        self._applied = "no" if UNCHANGED.issuperset(outcomes) else "partly"
        if self._why is not None:
            raise self._why

    def of(self, error: QueueyError) -> QueueyError:
        """An error, with what its client has to know about them."""
        return error.but(self._applied) if error.applied == "no" else error

    def end(self, request: Request, error: QueueyError) -> None:
        """End the request; while they are being stored, as soon as that is done, so that the client learns of it."""
        if self._storing:
            self._why = error
        else:
            request.end(self.of(error))


def wanted(request: Request, admitted: AdmittedToQueue) -> Claiming:
    """What a claim asks for.

    :raise Problem: naming everything that is wrong.
    """
    key = repeats.key(request)
    asked = Members(members(request, _NAMES))
    claiming = Claiming(
        limit=asked.number("limit", 1, MAX_LIMIT) or DEFAULT_LIMIT,
        lease=asked.number("lease", 1, MAX_LEASE),
        wait=asked.seconds("wait", MAX_WAIT) or 0.0,
        max_bytes=asked.number("max_bytes", 1, MAX_BYTES) or DEFAULT_BYTES,
        partitions=partitions(asked, admitted.queue),
        key=None if key is None else repeats.claim_key(request, admitted.caller, key),
        settlings=_settle(asked),
    )
    asked.check()
    return claiming


def _settle(asked: Members) -> tuple[Settling, ...] | None:
    """What a claim settles first; ``None`` if it says nothing of it."""
    given = asked.value("settle")
    if given is None:
        return None
    if not isinstance(given, dict):
        asked.wrong("settle", "is not an object with lists of receipts")
        return None
    inner = asked.within("settle", given)
    inner.only(ACTIONS)
    return settlings(inner, given)


def partitions(asked: Members, queue: Queue) -> tuple[int, ...] | None:
    """The partitions that a body names, each once; ``None`` where it is about all of them."""
    given, most = asked.value("partitions"), queue.settings.partitions
    if given is None:
        return None
    if not isinstance(given, list) or not given:
        asked.wrong("partitions", "is not a list of partitions")
        return None
    if len(given) > most:
        asked.wrong("partitions", f"has {len(given)} partitions, and the queue has {most}")
        return None
    found: list[int] = []
    for at, each in enumerate(given):
        if type(each) not in (int, float) or not 1 <= each <= most or each != int(each):
            asked.wrong(f"partitions/{at}", not_whole(1, most))
        elif each in found:
            asked.wrong(f"partitions/{at}", f"names partition {int(each)} once more")
        else:
            found.append(int(each))
    return tuple(found)


async def _answer(request: Request, claiming: Claiming, delivered: Delivered) -> None:
    """Write what a claim is given."""
    messages = [delivery.message for delivery in delivered.deliveries]
    await answer_in_pieces(request, HEAD, _document(claiming, delivered, messages), content_bytes(messages))


def _document(claiming: Claiming, delivered: Delivered, messages: Sequence[Message]) -> Iterator[Piece]:
    """The answer as one object."""
    left = iter(delivered.deliveries)
    separator = '{"messages":['
    for some in portions(messages):
        text = ",".join([_message_json(text, next(left)) for text in messages_json(some)])
        yield (separator + text).encode("ascii"), some
        separator = ","
    blocked = f',"blocked":"{_BLOCKED}"' if delivered.blocked else ""
    settled = ""
    if claiming.settlings is not None:
        outcomes = outcomes_json(claiming.settlings, delivered.outcomes)
        settled = f',"outcomes":{encoded(outcomes).decode("utf-8")}'
    yield f"{'' if messages else separator}]{blocked}{settled}}}".encode(), ()


def _message_json(text: str, delivery: Delivery) -> str:
    """A message that is given.

    :param text: the message as JSON.
    """
    given: dict[str, Any] = {"deliveries": delivery.deliveries}
    if delivery.receipt is not None and delivery.until is not None:
        lease = {"lease": delivery.lease, "lease_until": to_rfc3339(delivery.until)}
        given = {"receipt": delivery.receipt, **given, **lease}
    return f"{text[:-1]},{json.dumps(given, separators=(',', ':'))[1:]}"
