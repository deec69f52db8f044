"""Many queues, as generators: a page of them, readers that follow, and claims of several groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from queuey_client.core.encoding import JSON, compact, time_text
from queuey_client.core.errors import outcomes_of
from queuey_client.core.following import Idle, Source, Start, Waits, followed, start_of
from queuey_client.core.group_calls import Claimed, ClaimOptions, claim, receipts_of
from queuey_client.core.live_read import LiveRead
from queuey_client.core.parsing import deliveries_of, many_page_of, result_of
from queuey_client.core.reading import Bookmark, FollowOptions, ReadOptions
from queuey_client.core.retry import in_seconds
from queuey_client.core.session import Session
from queuey_client.core.steps import Answer, Call, Items, Steps
from queuey_client.core.values import Delivery, Message, Page


@dataclass(frozen=True)
class ManyOptions:
    """Which queues are read, and the page that is asked for.

    :ivar start: ``oldest`` or ``newest``, for a read without a place.
    """

    queues: tuple[str, ...]
    prefixes: tuple[str, ...]
    read: ReadOptions
    start: str = "newest"

    def document(self) -> Mapping[str, Any]:
        """Return the body of the request."""
        read, found = self.read, dict[str, Any]()
        wait = in_seconds(read.wait)
        if self.queues:
            found["queues"] = list(self.queues)
        if self.prefixes:
            found["prefixes"] = list(self.prefixes)
        if read.after is not None:
            found["after"] = read.after
        elif read.since is not None:
            found["since"] = time_text(read.since)
        else:
            found["start"] = self.start
        for name, value in (("limit", read.limit), ("max_bytes", read.max_bytes), ("wait", wait or None)):
            if value is not None:
                found[name] = value
        if read.fresh:
            found["fresh"] = True
        return found


def many_options(queues: Sequence[str], prefix: str | Sequence[str], read: ReadOptions, start: str) -> ManyOptions:
    """Return the options of a read of these queues."""
    if isinstance(queues, str):
        raise TypeError("queues is a list of names, not text")
    prefixes = (prefix,) if isinstance(prefix, str) else tuple(prefix)
    if not queues and not prefixes:
        raise ValueError("no queue is chosen: give queues=[...] or prefix=...")
    return ManyOptions(tuple(queues), prefixes, read, start)


def read_many(session: Session, options: ManyOptions) -> Steps[Page]:
    """Read a page of many queues. It is safe to retry."""
    body, wait = compact(options.document()), in_seconds(options.read.wait)
    call = Call("POST", "/reads", (), {"Content-Type": JSON}, body, safe=True, wait=wait)
    answer: Answer = yield from session.exchange(call)
    return result_of(answer, many_page_of)


def follow_many(session: Session, asked: ManyOptions, options: FollowOptions) -> Items[Message]:
    """Give messages of many queues from a start on, and then those that come: by a live read, or else by pages."""
    bookmark = Bookmark(options, session.clock)
    begin, idle = start_of(options, bookmark), Idle(options.idle, session.clock)

    def at(start: Start, wait: float = 0.0) -> ManyOptions:
        page = replace(asked.read, after=start.after, since=start.since, wait=wait)
        return replace(asked, read=page, start=start.end)

    def call_of(start: Start) -> Call:
        return Call("POST", "/events", (), {"Content-Type": JSON}, compact(at(start).document()), safe=True)

    def read(start: Start, wait: float) -> Steps[Page]:
        return read_many(session, at(start, wait))

    def waits(start: Start) -> Source:
        return Waits(read, start, idle, session.clock)

    # A gap of one queue comes before messages of others, so its error would lose these: pages have it after them.
    live = LiveRead(session, None, call_of, begin, idle, hands_gaps_over=options.on_gap == "raise")
    yield from followed(live, bookmark, "", options.on_gap, waits)


def claim_many(
    session: Session, groups: Sequence[tuple[str, str]], order: str, options: ClaimOptions, ack: Sequence[Delivery]
) -> Steps[Sequence[Delivery]]:
    """Take messages of the first of several groups that has some.

    :param groups: the names of the queue and of the group of each.
    :param ack: messages of these groups, which are acked by the same request.
    """
    if not groups:
        raise ValueError("no group is given")
    asked = {"from": _sources(groups, ack), "order": order}
    body, wait = compact({**asked, **options.document()}), in_seconds(options.wait)
    place = f"/claims {groups}"
    claimed = yield from claim(session, "/claims", place, body, wait, _claimed)
    lost = {receipt for receipt, outcome in claimed.outcomes if outcome in ("stale", "invalid")}
    for each in ack:
        if each.receipt in lost:
            each.state.lost = True
    return claimed.messages


def _sources(groups: Sequence[tuple[str, str]], ack: Sequence[Delivery]) -> list[dict[str, Any]]:
    """Return what is asked of each group."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for queue, group in groups:
        found[queue, group] = {"queue": queue, "group": group}
    for each in ack:
        place = (each.queue, each.group)
        if place not in found:
            raise ValueError(f"a message of {each.queue}/{each.group} is acked, and groups do not have it")
    for (queue, group), source in found.items():
        receipts = receipts_of([each for each in ack if (each.queue, each.group) == (queue, group)])
        if receipts:
            source["settle"] = {"ack": receipts}
    return list(found.values())


def _claimed(document: Mapping[str, Any]) -> Claimed:
    queue, group = document.get("queue", ""), document.get("group", "")
    return Claimed(deliveries_of(queue, group, document), outcomes_of(document), "blocked" in document)
