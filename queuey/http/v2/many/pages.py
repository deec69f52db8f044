"""Reads of many queues: the parameters, and the page as an answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import attrs

from queuey.core.many.reading import Gap, ManyAsked, ManyPage
from queuey.http.answers.encoding import encoded
from queuey.http.answers.pieces import Piece, portions
from queuey.http.v2.inputs.parameters import Members, members
from queuey.http.v2.many.choices import Chosen, begin_in_body, begins_at, choice_in_body, chosen_in_body
from queuey.http.v2.representations.messages import message_format
from queuey.http.wire import Request
from queuey.model.fields import LIMIT, MAX_BYTES, WAIT
from queuey.model.messages.message import Message
from queuey.model.queues.choice import QueueChoice
from queuey.model.reading import cursor
from queuey.model.reading.many import StorePosition
from queuey.model.timeid import ticks_of, to_rfc3339

_MEMBERS: Final = ("queues", "prefixes", "after", "since", "start", "limit", "max_bytes", "wait", "fresh", "json")

MAX_GAPS: Final = 1000
"""Gaps that a page names."""


@attrs.frozen
class ManyWanted:
    """The body of a read of many queues.

    :ivar json: whether bodies that are JSON are shown as JSON.
    """

    chosen: Chosen
    asked: ManyAsked
    json: bool


def choice(request: Request, application: str) -> QueueChoice:
    """Return the queues that the body of a request chooses.

    :raise Problem: lists every error in it.
    """
    return choice_in_body(request, application, _MEMBERS)


def wanted(request: Request, application: str) -> ManyWanted:
    """Parse the body of a read.

    :raise Problem: lists every error.
    :raise QueueyError: the cursor is damaged, or of another kind of read.
    """
    asked = Members(members(request, _MEMBERS))
    chosen = chosen_in_body(asked, application)
    after, since, start = begin_in_body(asked)
    limit = asked.number(LIMIT) or LIMIT.default
    max_bytes = asked.number(MAX_BYTES) or MAX_BYTES.default
    wait, fresh, json = asked.seconds(WAIT) or 0.0, asked.boolean("fresh"), asked.boolean("json")
    asked.check()
    assert limit is not None
    assert max_bytes is not None
    place = begins_at(after, since, start)
    return ManyWanted(chosen, ManyAsked(chosen.choice, place, after is not None, limit, max_bytes, wait, fresh), json)


def pieces(page: ManyPage, *, lines: bool, parsed: bool) -> Iterator[Piece]:
    """Return the parts of a page.

    :param lines: whether it is a page of lines, and not one object.
    :param parsed: whether bodies that are JSON are shown as JSON.
    """
    begin, start = b"" if lines else b'{"messages":[', 0
    for some in portions(page.messages):
        end = start + len(some)
        about = zip(page.queues[start:end], page.places[start:end], strict=True)
        text = ("\n" if lines else ",").join(_messages(some, about, parsed=parsed)).encode("ascii")
        yield begin + text + (b"\n" if lines else b""), some
        begin, start = b"" if lines else b",", end
    last = encoded(_members(page))
    yield (last if lines else (b'{"messages":[' if not start else b"") + b"]," + last[1:]), ()


def _messages(
    messages: Sequence[Message], about: Iterable[tuple[str, StorePosition]], *, parsed: bool
) -> Iterator[str]:
    """Return messages as JSON, each with the name of its queue and the cursor just after it."""
    names: dict[str, str] = {}
    for (name, place), text in zip(about, message_format(parsed=parsed).each(messages), strict=True):
        if name not in names:
            names[name] = encoded(name).decode("ascii").strip()
        yield f'{{"queue":{names[name]},"place":"{cursor.many_text(place)}",{text[1:]}'


def _members(page: ManyPage) -> dict[str, Any]:
    """Return the members of a page beside its messages."""
    found: dict[str, Any] = {
        "next": cursor.many_text(page.position),
        "more": page.more,
        "stable_until": to_rfc3339(ticks_of(page.stable)),
        "resume": "truncated" if page.gaps else "exact",
        "queues": page.view.count,
        "not_readable": page.view.left_out,
    }
    if page.gaps:
        found["gaps"] = [_gap(gap) for gap in page.gaps[:MAX_GAPS]]
    if len(page.gaps) > MAX_GAPS:
        found["gaps_left_out"] = len(page.gaps) - MAX_GAPS
    return found


def _gap(gap: Gap) -> dict[str, str]:
    return {"queue": gap.queue, "why": gap.why, "first": cursor.many_text(gap.first)}
