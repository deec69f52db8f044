"""Many queues, as generators: a page of them, readers that follow, and claims of several groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from queuey_client.core.encoding import JSON, compact, time_text
from queuey_client.core.group_calls import Claimed, ClaimOptions, claim
from queuey_client.core.parsing import deliveries_of, many_page_of, result_of
from queuey_client.core.reading import SETTLED, WAIT, Bookmark, FollowOptions, ReadOptions, page_messages, told_of_gap
from queuey_client.core.retry import in_seconds
from queuey_client.core.session import Session
from queuey_client.core.steps import Answer, Call, Items, Sleep, Steps
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
    """Read a page of many queues. It changes nothing, so it may be sent again."""
    body, wait = compact(options.document()), in_seconds(options.read.wait)
    call = Call("POST", "/reads", (), {"Content-Type": JSON}, body, safe=True, wait=wait)
    answer: Answer = yield from session.exchange(call)
    return result_of(answer, many_page_of)


def follow_many(
    session: Session, asked: ManyOptions, options: FollowOptions, clock: Callable[[], float]
) -> Items[Message]:
    """Give messages of many queues from a start on, and then those that come. A gap is raised after the messages of its
    page, so that its ``first`` is a place from which nothing more is missed."""
    bookmark = Bookmark(options, clock)
    read = replace(asked.read, after=bookmark.load())
    if read.after is None and isinstance(options.start, datetime):
        read = replace(read, since=options.start)
    elif read.after is None and options.start in ("newest", "oldest"):
        asked = replace(asked, start=str(options.start))
    elif read.after is None:
        read = replace(read, after=str(options.start))
    idle = None if options.idle is None else in_seconds(options.idle)
    heard = clock()
    while True:
        wait = WAIT if idle is None else max(0.0, min(WAIT, idle - (clock() - heard)))
        began = clock()
        page = yield from read_many(session, replace(asked, read=replace(read, wait=wait)))
        yield from page_messages(page, bookmark)
        told_of_gap(page, page.gaps[0] if page.gaps else "", options.on_gap)
        read = replace(read, after=page.next, since=None)
        if page.messages:
            heard = clock()
        elif idle is not None and clock() - heard >= idle:
            return
        elif wait and clock() - began < SETTLED and not page.more:
            yield Sleep(SETTLED)  # a server that waits less than it was asked to is not asked without a pause


def claim_many(
    session: Session, groups: Sequence[tuple[str, str]], order: str, options: ClaimOptions
) -> Steps[Sequence[Delivery]]:
    """Take messages of the first of several groups that has some.

    :param groups: the names of the queue and of the group of each.
    """
    if not groups:
        raise ValueError("no group is given")
    asked = {"from": [{"queue": queue, "group": group} for queue, group in groups], "order": order}
    body, wait = compact({**asked, **options.document()}), in_seconds(options.wait)
    place = f"/claims {groups}"
    claimed = yield from claim(session, "/claims", place, body, wait, _claimed)
    return claimed.messages


def _claimed(document: Mapping[str, Any]) -> Claimed:
    queue, group = document.get("queue", ""), document.get("group", "")
    return Claimed(deliveries_of(queue, group, document), (), "blocked" in document)
