"""The checker of groups that are given the messages of each key in order."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from math import inf

import attrs

from queuey.model.groups.terms import Order
from tests.histories.groups.view import Place, View
from tests.histories.keys import key_of
from tests.live.cassandra.histories import Outcome, Spot, Stored


@attrs.frozen
class _Row:
    """The messages of one key in one partition, in order.

    :ivar ids: of the messages, ascending.
    :ivar settled: when the settlement of each was asked for; infinite if it never was.
    :ivar latest: the greatest of ``settled`` up to and including each.
    """

    ids: Sequence[bytes]
    settled: Sequence[float]
    latest: Sequence[float]

    def blocking(self, at: int, until: float) -> Iterator[int]:
        """Yield the places of earlier messages whose settlement was not asked for until a time."""
        while at > 0 and self.latest[at - 1] > until:
            at -= 1
            if self.settled[at] > until:
                yield at


def key_turns(view: View) -> Iterator[str | None]:
    """A message was given, of whose key an earlier one was neither settled nor given by the same claim."""
    for plan in view.plans.values():
        if plan.settings.order is not Order.KEY:
            continue
        rows = _rows(view, plan.name)
        for (group, _), takes in view.shared.items():
            for take in view.first_takes(takes) if group == plan.name else ():
                message = take.given.message
                row = rows.get((message.spot, key_of(message.body)))
                if row is None:
                    continue
                at = bisect_left(row.ids, message.id)
                beside = {given.message.id for given in take.claim.given}
                before = [row.ids[one] for one in row.blocking(at, take.claim.ended)]
                missing = [id for id in before if id not in beside]
                wrong = f"{message.body} before {len(missing)} others of its key"
                yield f"out of the order of keys in {group}: {wrong}" if missing else None


def _rows(view: View, group: str) -> Mapping[tuple[Spot, str | None], _Row]:
    found: dict[tuple[Spot, str], dict[bytes, Stored]] = defaultdict(dict)
    for message in [*view.acknowledged, *view.end.found]:
        key = key_of(message.body)
        if key is not None:
            found[message.spot, key][message.id] = message
    rows: dict[tuple[Spot, str | None], _Row] = {}
    for place, messages in found.items():
        ids = sorted(messages)
        settled = [_settled(view, Place(group, place[0], messages[id].id)) for id in ids]
        rows[place] = _Row(ids, settled, list(accumulate(settled, max)))
    return rows


def _settled(view: View, place: Place) -> float:
    """When an ack of a message was first asked for that may have settled it."""
    asked = [
        wish.request.invoked
        for wish in view.wishes.get(place, ())
        if wish.asked.action in ("ack", "reject")
        and (wish.asked.outcome in ("acked", "already-acked") or wish.request.outcome is Outcome.UNKNOWN)
    ]
    return min(asked, default=inf)
