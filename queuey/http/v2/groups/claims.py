"""Claims over v2: a worker takes messages under a lease."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.group_changes import GroupChanges
from queuey.core.groups.values import Claiming, Delivered, Delivery, Settling
from queuey.core.messages import MessageExchange
from queuey.errors import NoSuchGroup, QueueyError
from queuey.http.admission.gate import AdmittedToQueue
from queuey.http.answers.pieces import MAX_AT_ONCE, Piece, answer_in_pieces, portions
from queuey.http.requests.traced import UNTRACED
from queuey.http.routes import Route
from queuey.http.v2.groups.groups import GROUP, check_name, guarantee_of, named
from queuey.http.v2.groups.settlements import ACTIONS, outcomes_json, settlings
from queuey.http.v2.inputs import repeats
from queuey.http.v2.inputs.header_fields import bad_field
from queuey.http.v2.inputs.parameters import Members, members, refuse_query
from queuey.http.v2.representations.fields import HEAD
from queuey.http.v2.representations.messages import message_format
from queuey.http.wire import Request
from queuey.model import fields
from queuey.model.applications.access import Operation, is_application
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.groups.terms import Outcome, applied_by
from queuey.model.messages.columns import sizes
from queuey.model.messages.message import Message
from queuey.model.queues.queue import Guarantee, Queue
from queuey.model.telemetry.served import RECEIVE
from queuey.model.timeid import to_rfc3339

CLAIMS: Final = f"{GROUP}/claims"

BLOCKED: Final = "in-flight-limit"
BEGIN: Final = '{"messages":['
_END: Final = "]}\n"
"""Start and usual end of an answer."""

MAX_REMEMBERED: Final = 256
"""Bytes that a body may have to be remembered: ten thousand connections remember one each."""


@attrs.frozen
class V2Claims:
    """The handler of claims."""

    groups: GroupExchange
    exchange: MessageExchange

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (Route("POST", CLAIMS, Operation.CLAIM_MESSAGES, self.claim, check=refuse_query),)

    async def claim(self, request: Request, admitted: AdmittedToQueue, group: str) -> None:
        """Claim messages. With the application's key, a group that does not exist is created."""
        queue = admitted.queue
        found = self.groups.cached(queue, group) or await self._found(admitted, group)
        claiming, parsed = wanted(request, admitted)
        settings = GroupSettings() if found is None else found.settings
        if claiming.key is not None and guarantee_of(settings, queue, admitted.policy) is Guarantee.AT_MOST_ONCE:
            raise bad_field("Idempotency-Key", "is not taken by a group that is given each message at most once")
        if found is None:
            check_name(group)
            found, _ = await self.groups.put(queue, group, GroupChanges(), lambda _: None)
        if request.traced is not UNTRACED:
            request.traced.begin(RECEIVE, group)
        if claiming.wait:
            delivered = await self._waited(request, admitted, found, claiming)
        else:
            try:
                delivered = await self.groups.claim(queue, found, claiming)
            except NoSuchGroup:
                await self.exchange.as_it_is(queue)  # if the queue was deleted, that is why there is no group
                raise
        messages = [delivery.message for delivery in delivered.deliveries]
        if request.traced is not UNTRACED:
            request.traced.received(messages)
        plain = claiming.settlings is None and not delivered.blocked
        end = _END if plain else _end(claiming, delivered)
        bodies, contents = sizes(messages)
        if contents <= MAX_AT_ONCE:
            text = f"{BEGIN}{deliveries_json(messages, delivered.deliveries, parsed=parsed)}{end}"
            request.answer(200, HEAD, text.encode("ascii"))
            request.count_messages(len(messages), bodies)
        else:
            await answer_in_pieces(request, HEAD, pieces(delivered.deliveries, messages, end, parsed=parsed))

    async def _waited(self, request: Request, admitted: AdmittedToQueue, group: Group, claiming: Claiming) -> Delivered:
        """Claim with a wait; the caller's access is checked again after it."""
        queue, settled = admitted.queue, SettledFirst(request, claiming.settlings)
        try:
            with admitted.gate.ongoing.during(request, admitted, Operation.CLAIM_MESSAGES, settled.end) as may:
                delivered = await self.groups.claim(queue, group, claiming, may, settled.note)
                if not delivered.deliveries:
                    await may()
        except NoSuchGroup as error:
            try:
                await self.exchange.as_it_is(queue)
            except QueueyError as other:
                raise settled.of(other) from None
            raise settled.of(error) from None
        except QueueyError as error:
            raise settled.of(error) from None
        return delivered

    async def _found(self, admitted: AdmittedToQueue, name: str) -> Group | None:
        """Return the group; ``None`` if it does not exist and the claim may create it."""
        try:
            return await named(self.groups, admitted.queue, name)
        except NoSuchGroup:
            if is_application(admitted.caller, admitted.queue.application):
                return None
            raise


class SettledFirst:
    """The state of settlements that are stored before a claim has its messages, even if the claim fails after that."""

    __slots__ = ("_applied", "_request", "_storing", "_why")

    def __init__(self, request: Request, settlings: Sequence[Settling] | None) -> None:
        self._request = request
        self._storing = bool(settlings)
        self._applied = "no"
        self._why: QueueyError | None = None

    def note(self, outcomes: Sequence[Outcome]) -> None:
        """Store the outcomes; raise the error if the request had to end while the settlements were being stored."""
        self._storing = False
        self._applied = applied_by(outcomes)
        if self._why is not None:
            raise self._why

    def of(self, error: QueueyError) -> QueueyError:
        """Return the error with ``applied`` set for the settlements."""
        return error.after(self._applied)

    def end(self, error: QueueyError) -> None:
        """End the request. While the settlements are being stored, it ends only after that, so that the error reports
        them."""
        if self._storing:
            self._why = error
        else:
            self._request.end(self.of(error))


def wanted(request: Request, admitted: AdmittedToQueue) -> tuple[Claiming, bool]:
    """Parse the body of a claim; return also whether bodies that are JSON are shown as JSON.

    Most workers send the same body with each claim, and parsing it would be a tenth of the work on such a request. So
    the last body is remembered with the decision to let it in, unless it is long, or has settlements, or the request
    has an Idempotency-Key: these differ each time.

    :raise Problem: lists every error.
    """
    key, plan = repeats.key(request), request.head.plan
    decision = plan.decision_for(admitted) if plan is not None and key is None else None
    if decision is not None and decision.claim is not None and decision.claim[0] == request.body:
        return decision.claim[1]
    asked_for = _parsed(request, admitted, key)
    if decision is not None and asked_for[0].settlings is None and len(request.body) <= MAX_REMEMBERED:
        decision.claim = request.body, asked_for
    return asked_for


def _parsed(request: Request, admitted: AdmittedToQueue, key: str | None) -> tuple[Claiming, bool]:
    """Parse the body of a claim; see ``wanted``.

    :param key: the Idempotency-Key.
    """
    given = members(request, _NAMES)
    asked = Members(given)
    found = dict(_DEFAULTS)
    if key is not None:
        found["key"] = repeats.claim_key(request, admitted.caller, key)
    for name in _MEMBERS:
        if name in given:
            ask_for, read = _MEMBERS[name]
            value = read(asked, admitted.queue)
            if value is not None:
                found[ask_for] = value
    parsed = asked.boolean("json")
    asked.check()
    return Claiming(**found), parsed


def settle_of(asked: Members, seen: set[str] | None = None) -> tuple[Settling, ...] | None:
    """Return the settlements of an object; ``None`` if the member is missing or wrong.

    :param seen: the receipts that the request has had before; those of this object are added.
    """
    given = asked.value("settle")
    if given is None:
        return None
    if not isinstance(given, dict):
        asked.wrong("settle", "is not an object with lists of receipts")
        return None
    inner = asked.within("settle", given)
    inner.only(ACTIONS)
    return settlings(inner, given, set() if seen is None else seen)


def partitions(asked: Members, queue: Queue) -> tuple[int, ...] | None:
    """Return the partitions in the body, each once; ``None`` for all partitions."""
    given, most = asked.value("partitions"), queue.settings.partitions
    if given is None:
        return None
    if not isinstance(given, list) or not given:
        asked.wrong("partitions", "is not a list of partitions")
        return None
    if len(given) > most:
        asked.wrong("partitions", f"has {len(given)} partitions, and the queue has {most}")
        return None
    found, numbers = list[int](), fields.partition(most)
    for at, each in enumerate(given):
        try:
            number = numbers.of_json(each)
        except ValueError:
            asked.wrong(f"partitions/{at}", numbers.refusal())
            continue
        if number in found:
            asked.wrong(f"partitions/{at}", f"names partition {number} twice")
        else:
            found.append(number)
    return tuple(found)


_MEMBERS: Final[Mapping[str, tuple[str, Callable[[Members, Queue], Any]]]] = {
    "limit": ("limit", lambda asked, _: asked.number(fields.CLAIM_LIMIT)),
    "lease": ("lease", lambda asked, _: asked.number(fields.LEASE)),
    "wait": ("wait", lambda asked, _: asked.seconds(fields.WAIT)),
    "max_bytes": ("max_bytes", lambda asked, _: asked.number(fields.MAX_BYTES)),
    "partitions": ("partitions", partitions),
    "settle": ("settlings", lambda asked, _: settle_of(asked)),
}
"""The members of a claim: the attribute of ``Claiming`` that each sets, and the function that parses it."""

_NAMES: Final = (*_MEMBERS, "json")

_DEFAULTS: Final[Mapping[str, Any]] = {"limit": fields.CLAIM_LIMIT.default, "max_bytes": fields.MAX_BYTES.default}


def _end(claiming: Claiming, delivered: Delivered) -> str:
    """Return the end of an answer, after the messages."""
    blocked = f',"blocked":"{BLOCKED}"' if delivered.blocked else ""
    if claiming.settlings is None:
        return f"]{blocked}}}\n"
    return f']{blocked},"outcomes":{outcomes_json(claiming.settlings, delivered.outcomes)}}}\n'


def pieces(deliveries: Sequence[Delivery], messages: Sequence[Message], end: str, *, parsed: bool) -> Iterator[Piece]:
    """Return the parts of a large answer."""
    begin, start = BEGIN, 0
    for some in portions(messages):
        text = deliveries_json(some, deliveries[start : start + len(some)], parsed=parsed)
        yield f"{begin}{text}".encode("ascii"), some
        begin, start = ",", start + len(some)
    yield end.encode("ascii"), ()


def deliveries_json(messages: Sequence[Message], deliveries: Sequence[Delivery], *, parsed: bool) -> str:
    """Return the JSON of the deliveries, separated by commas."""
    found = []
    last, until = None, ""
    for text, delivery in zip(message_format(parsed=parsed).each(messages), deliveries, strict=True):
        lease, receipt = "", ""
        if delivery.receipt is not None and delivery.until is not None:
            if delivery.until != last:
                last, until = delivery.until, to_rfc3339(delivery.until)
            # A receipt has no character that JSON escapes.
            receipt, lease = f'"receipt":"{delivery.receipt}",', f',"lease":{delivery.lease},"lease_until":"{until}"'
        found.append(f'{text[:-1]},{receipt}"deliveries":{delivery.deliveries}{lease}}}')
    return ",".join(found)
