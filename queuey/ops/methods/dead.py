"""What consumer groups gave up: ``dead.*``, and the redrive of ``groups.redrive``."""

from __future__ import annotations

from typing import Any, Final

from queuey.core.groups.dead_list import DeadAsked, DeadMessage
from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.values import MAX_REDRIVEN, Redriven, Redriving
from queuey.core.queues import QueueDirectory
from queuey.http.v2.messages.pages import address_of
from queuey.model.fields import Whole
from queuey.model.messages.message import Address
from queuey.model.reading.start import Start
from queuey.model.timeid import Ticks, to_rfc3339
from queuey.ops.faults import invalid_params
from queuey.ops.methods.applications import APPLICATION
from queuey.ops.methods.queues import QUEUE
from queuey.ops.methods.reports import REPORT_LIMIT
from queuey.ops.methods.shown import message_id
from queuey.ops.parameters import ARRAY, PLACE, TEXT, Kind, Parameter, number
from queuey.ops.rpc import CallContext, Methods, method

MAX_REASONS: Final = 20
"""Reasons that are listed, the commonest first."""

MAX_IDS: Final = 1000
"""Ids in one call."""

GROUP: Final = Parameter("group", Kind("string", "the name of a group", TEXT.read), needed=True)
REASON: Final = Parameter("reason", Kind("string", "a text that the reason of a rejection has", TEXT.read))
SINCE: Final = Parameter("since", PLACE)
BEFORE: Final = Parameter("before", PLACE)
AFTER: Final = Parameter("after", Kind("string", "the `next` of an earlier answer", TEXT.read))
RATE: Final = Parameter("rate", number(Whole("rate", 1, MAX_REDRIVEN, MAX_REDRIVEN, "messages a second")))


def _ids(value: Any) -> tuple[Address, ...]:
    found: dict[Address, None] = {}
    for text in ARRAY.read(value):
        address = address_of(text) if isinstance(text, str) else None
        if address is None:
            raise ValueError("has something that is not the id of a message")
        found[address] = None
    if not 1 <= len(found) <= MAX_IDS:
        raise ValueError(f"does not have 1 to {MAX_IDS} ids")
    return tuple(found)


IDS: Final = Parameter("ids", Kind("array", f"1 to {MAX_IDS} ids of messages", _ids))


class Dead(Methods):
    """``dead.*``."""

    def __init__(self, directory: QueueDirectory, groups: GroupExchange) -> None:
        super().__init__()
        self._directory = directory
        self._groups = groups

    @method("object", APPLICATION, QUEUE, GROUP, REASON, SINCE, BEFORE, AFTER, Parameter("limit", REPORT_LIMIT))
    async def jsonrpc_list(
        self,
        call: CallContext,
        application: str,
        queue: str,
        group: str,
        reason: str = "",
        since: Start | Ticks | None = None,
        before: Start | Ticks | None = None,
        after: str = "",
        limit: int = 50,
    ) -> dict[str, Any]:
        """List what a consumer group gave up, without bodies: messages that were set aside, and the dead letters of its
        dead-letter queue. At most 1000 messages are looked at; to continue, pass `next` as `after`, also if no message
        was listed. `reasons` counts those of all dead letters that were looked at."""
        found = await self._directory.find(application, queue)
        its = await self._groups.find(found, group)
        asked = DeadAsked(reason, moment(since), moment(before), limit, after)
        page = await self._groups.dead(found, its, asked)
        return {
            "dead_letters": [_shown(each) for each in page.messages],
            "reasons": dict(page.reasons.most_common(MAX_REASONS)),
            "scanned": page.scanned,
            "dead_letter_queue": page.letters,
            "next": page.next,
        }


def _shown(message: DeadMessage) -> dict[str, Any]:
    return {
        "id": message_id(message.address),
        "partition": message.address.partition,
        "where": "set-aside" if message.aside else "queue",
        "reason": message.reason or None,
        "deliveries": message.deliveries,
        "since": to_rfc3339(message.since),
        "original": message_id(message.original),
        "type": message.content_type,
        "bytes": message.size,
    }


def moment(place: Start | Ticks | None) -> Ticks | None:
    """Return a place as a bound in time; the oldest and the newest are no bounds."""
    return None if isinstance(place, Start) else place


def redriving(
    ids: tuple[Address, ...] | None,
    all: bool | None,
    since: Ticks | None,
    before: Ticks | None,
    **more: Any,
) -> Redriving:
    """Return the choice of dead letters.

    :param more: further fields of ``Redriving``.
    :raise Failed: it is not said by exactly one of ids, a time or a reason, or all.
    """
    some = since is not None or before is not None or bool(more.get("reason"))
    if all is False or (ids is not None) + bool(all) + (some and ids is None) != 1:
        raise invalid_params({"ids": "is missing; give ids, all, since, before or reason"})
    return Redriving(addresses=ids, since=since, until=before, **more)


def redriven(result: Redriven, *, dry: bool) -> dict[str, Any]:
    """Return the result of a redrive as JSON."""
    return {
        "moved": result.moved,
        "copies": result.copies,
        "missing": result.missing,
        "left": result.left_words(),
        "dry_run": dry,
        "next": result.next,
    }
