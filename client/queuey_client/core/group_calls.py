"""The calls of a consumer group, as generators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from queuey_client.core.encoding import (
    JSON,
    compact,
    is_end,
    key_header,
    new_key,
    place_text,
    plain_number,
    segment,
    time_text,
)
from queuey_client.core.errors import Invalid, Stale, outcomes_of
from queuey_client.core.parsing import deliveries_of, group_info, redriven_of, result_of
from queuey_client.core.queue_calls import ensured, removed
from queuey_client.core.retry import Seconds, in_seconds
from queuey_client.core.session import Session
from queuey_client.core.steps import Answer, Call, Sleep, Steps
from queuey_client.core.values import Delivery, GroupInfo, Redriven

MAX_RECEIPTS = 1000
"""Receipts of one settlement."""

FULL_PAUSE = 1.0
"""Seconds before a redrive asks again after a call that moved no message and got no further: the group has too many
messages in flight."""

MAX_REASON = 1024
"""Bytes of the reason of a rejection."""


@dataclass(frozen=True)
class ClaimOptions:
    """What a claim may be asked for.

    :ivar settle: what is settled by the same request, as :meth:`Settlement.document` returns it.
    """

    limit: int = 10
    lease: Seconds | None = None
    wait: Seconds = 20
    max_bytes: int | None = None
    partitions: Sequence[int] = ()
    settle: Mapping[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """Return the body of the request."""
        found: dict[str, Any] = {"limit": self.limit, "wait": plain_number(self.wait)}
        if self.lease is not None:
            found["lease"] = plain_number(self.lease)
        if self.max_bytes is not None:
            found["max_bytes"] = self.max_bytes
        if self.partitions:
            found["partitions"] = list(self.partitions)
        if self.settle is not None:
            found["settle"] = self.settle
        return found


@dataclass(frozen=True)
class Claimed:
    """The answer to a claim.

    :ivar outcomes: of what was settled with it.
    :ivar blocked: whether the limit of messages in flight kept it from getting any.
    """

    messages: Sequence[Delivery]
    outcomes: Sequence[tuple[str, str]]
    blocked: bool


@dataclass(frozen=True)
class Settlement:
    """What became of messages, each by its receipt.

    :ivar retry: pairs of a receipt and the seconds until it is given again.
    :ivar reject: pairs of a receipt and a reason.
    :ivar extend: pairs of a receipt and the seconds of its new lease; ``None``: as the group says.
    """

    ack: Sequence[str] = ()
    retry: Sequence[tuple[str, Seconds]] = ()
    reject: Sequence[tuple[str, str]] = ()
    extend: Sequence[tuple[str, Seconds | None]] = ()

    def __len__(self) -> int:
        return len(self.ack) + len(self.retry) + len(self.reject) + len(self.extend)

    def document(self) -> dict[str, Any]:
        """Return the body of the request."""
        found: dict[str, Any] = {}
        if self.ack:
            found["ack"] = list(self.ack)
        if self.retry:
            found["retry"] = [{"receipt": receipt, "delay": plain_number(delay)} for receipt, delay in self.retry]
        if self.reject:
            found["reject"] = [_rejected(receipt, reason) for receipt, reason in self.reject]
        if self.extend:
            found["extend"] = [
                receipt if lease is None else {"receipt": receipt, "lease": plain_number(lease)}
                for receipt, lease in self.extend
            ]
        return found

    def parts(self) -> list[Settlement]:
        """Split it into as many as the server takes at once."""
        if len(self) <= MAX_RECEIPTS:
            return [self]
        found = []
        for name in ("ack", "retry", "reject", "extend"):
            whole = getattr(self, name)
            for at in range(0, len(whole), MAX_RECEIPTS):
                found.append(replace(Settlement(), **{name: whole[at : at + MAX_RECEIPTS]}))
        return found


def _rejected(receipt: str, reason: str) -> dict[str, str]:
    shortened = reason.encode()[:MAX_REASON].decode("utf-8", "ignore")
    return {"receipt": receipt, "reason": shortened} if shortened else {"receipt": receipt}


def receipts_of(deliveries: Sequence[Delivery | str]) -> list[str]:
    """Return the receipts of messages, each once. Messages of a group that is at-most-once have none."""
    found: dict[str, None] = {}
    for each in deliveries:
        receipt = each if isinstance(each, str) else each.receipt
        if receipt is not None:
            found[receipt] = None
    return list(found)


def claim(
    session: Session, path: str, place: str, body: bytes, wait: float, parse: Callable[[Mapping[str, Any]], Claimed]
) -> Steps[Claimed]:
    """Take messages, under a key: an answer that is lost loses no time.

    :param place: the group, or the groups, of which it is noted how many claims under a key are open.
    """

    def call(key: str | None) -> Call:
        return Call("POST", path, (), {"Content-Type": JSON, **key_header(key)}, body, safe=bool(key), wait=wait)

    keys, now = session.claim_keys, session.clock()
    key = new_key() if session.takes_keys(place) and keys.room(place, now) else None
    try:
        answer: Answer = yield from session.exchange(call(key))
    except Invalid as error:
        if key is None or not any(each.get("parameter") == "Idempotency-Key" for each in error.errors):
            raise
        # The group is at-most-once: it takes no keys, and what is lost is lost.
        answer = yield from session.exchange(call(None))
        session.refuses_keys(place)
    claimed = result_of(answer, parse)
    if key is not None and claimed.messages:
        keys.used(place, now + claimed.messages[0].lease)
    elif key is not None and claimed.blocked:
        keys.crowded(place, session.clock())
    return claimed


class GroupCalls:
    """What can be asked of one group."""

    def __init__(self, session: Session, queue: str, name: str) -> None:
        self.session = session
        self.queue = queue
        self.name = name
        self.queue_path = f"/queues/{segment(queue)}"
        self.path = f"{self.queue_path}/groups/{segment(name)}"

    def ensure(self, settings: Mapping[str, Any]) -> Steps[GroupInfo]:
        """Create the group, or give it these settings and leave the others."""
        answer = yield from ensured(self.session, self.path, settings)
        return result_of(answer, group_info)

    def info(self) -> Steps[GroupInfo]:
        """Ask for the settings, and how far the group is."""
        answer: Answer = yield from self.session.exchange(Call("GET", self.path))
        return result_of(answer, group_info)

    def remove(self) -> Steps[None]:
        """Delete the group."""
        yield from removed(self.session, self.path)

    def claim(self, options: ClaimOptions) -> Steps[Claimed]:
        """Take messages, under a key: an answer that is lost loses no time."""
        body, wait = compact(options.document()), in_seconds(options.wait)
        return (yield from claim(self.session, f"{self.path}/claims", self.path, body, wait, self._claimed))

    def deliveries(self, options: ClaimOptions) -> Steps[Sequence[Delivery]]:
        """Take messages, and return only them."""
        claimed = yield from self.claim(options)
        return claimed.messages

    def _claimed(self, document: Mapping[str, Any]) -> Claimed:
        messages = deliveries_of(self.queue, self.name, document)
        return Claimed(messages, outcomes_of(document), "blocked" in document)

    def settle(self, settlement: Settlement) -> Steps[Sequence[tuple[str, str]]]:
        """Say what became of messages.

        :return: the outcomes, in the order of the lists.
        :raise Stale: if some of the receipts had no effect; the others were applied.
        """
        outcomes: list[tuple[str, str]] = []
        stale: Stale | None = None
        for part in settlement.parts():
            if not len(part):
                continue
            body = compact(part.document())
            call = Call("POST", f"{self.path}/settlements", (), {"Content-Type": JSON}, body)
            try:
                answer: Answer = yield from self.session.exchange(call)
                outcomes.extend(result_of(answer, outcomes_of))
            except Stale as error:
                stale = error
                outcomes.extend(error.outcomes)
        if stale is not None:
            stale.outcomes = outcomes
            raise stale
        return outcomes

    def seek(self, to: datetime | str, partitions: Sequence[int]) -> Steps[None]:
        """Go on from another place."""
        document: dict[str, Any] = {"to": place_text(to)}
        if partitions:
            document["partitions"] = list(partitions)
        # At the end, a repeat would pass over what came in between.
        safe = not is_end(to)
        call = Call("POST", f"{self.path}/seek", (), {"Content-Type": JSON}, compact(document), safe=safe)
        yield from self.session.exchange(call)

    def redrive(
        self,
        ids: Sequence[str],
        since: datetime | None,
        until: datetime | None,
        everything: bool,
        on_moved: Callable[[int], object] = lambda moved: None,
    ) -> Steps[Redriven]:
        """Take dead letters back, however many calls that takes. While the group has too many messages in flight, ask
        once a second.

        :param on_moved: is called after each call with the number of messages that were moved so far.
        """
        if bool(ids) + (since is not None or until is not None) + everything != 1:
            raise ValueError("say which dead letters: ids, a time (since, until), or all=True")
        wanted: dict[str, Any] = {"all": True} if everything else {}
        if since is not None:
            wanted["since"] = time_text(since)
        if until is not None:
            wanted["until"] = time_text(until)
        moved, left = 0, Counter[str]()
        for at in range(0, max(len(ids), 1), MAX_RECEIPTS):
            if ids:
                wanted["ids"] = list(ids[at : at + MAX_RECEIPTS])
            after: str | None = None
            while True:
                document = wanted if after is None else {**wanted, "after": after}
                call = Call("POST", f"{self.path}/redrive", (), {"Content-Type": JSON}, compact(document))
                answer: Answer = yield from self.session.exchange(call)
                before = after
                some, after = result_of(answer, redriven_of)
                moved += some.moved
                left.update(some.left)
                on_moved(moved)
                if after is None:
                    break
                if after == before and not some.moved:
                    yield Sleep(FULL_PAUSE)
        return Redriven(moved, dict(left))
