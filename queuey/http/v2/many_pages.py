"""Reads of many queues: what is asked for, and the page as an answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Final

import attrs

from queuey.core.many.reading import Gap, ManyAsked, ManyPage
from queuey.http.answers.writing import encoded
from queuey.http.v2.answers import Piece, messages_json, portions
from queuey.http.v2.pages import address_of
from queuey.http.v2.parameters import Members, members
from queuey.http.wire import Request
from queuey.model import cursor
from queuey.model.choice import MAX_NAMES, MAX_PREFIXES, QueueChoice, choice_of
from queuey.model.fields import LIMIT, MAX_BYTES, WAIT
from queuey.model.many import STORE_OLDEST, StorePosition, after_id
from queuey.model.message import Message
from queuey.model.queue import name_problem
from queuey.model.timeid import lower_bound, ticks_of, to_rfc3339

_MEMBERS: Final = ("queues", "prefixes", "after", "since", "start", "limit", "max_bytes", "wait", "fresh", "json")

MAX_GAPS: Final = 1000
"""Gaps that a page names."""


class Start(Enum):
    """Where a read begins that names no place."""

    NEWEST = "newest"
    OLDEST = "oldest"


@attrs.frozen
class ManyWanted:
    """The body of a read of many queues.

    :ivar given: the place of each name in the body.
    :ivar json: whether bodies that are JSON are shown as JSON.
    """

    asked: ManyAsked
    given: Mapping[str, int]
    json: bool


def choice(request: Request, application: str) -> QueueChoice:
    """Return the queues that the body of a request chooses.

    :raise Problem: lists every error in it.
    """
    asked = Members(members(request, _MEMBERS))
    found, _ = _choice(asked, application)
    asked.check()
    return found


def wanted(request: Request, application: str) -> ManyWanted:
    """Parse the body of a read.

    :raise Problem: lists every error.
    :raise QueueyError: the cursor is damaged, or of another kind of read.
    """
    asked = Members(members(request, _MEMBERS))
    chosen, given = _choice(asked, application)
    after, since = asked.text("after"), asked.time("since")
    start = asked.choice("start", Start)
    places = [name for name in ("after", "since", "start") if asked.value(name) is not None]
    for name in places[1:]:
        asked.wrong(name, f"cannot be given together with {places[0]}")
    limit = asked.number(LIMIT) or LIMIT.default
    max_bytes = asked.number(MAX_BYTES) or MAX_BYTES.default
    wait, fresh, json = asked.seconds(WAIT) or 0.0, _boolean(asked, "fresh"), _boolean(asked, "json")
    asked.check()
    assert limit is not None
    assert max_bytes is not None
    place: StorePosition | None = None
    if after is not None:
        address = address_of(after)
        place = cursor.parse_many(after) if address is None else after_id(address.id)
    elif since is not None:
        place = StorePosition(lower_bound(since))
    elif start is Start.OLDEST:
        place = STORE_OLDEST
    return ManyWanted(ManyAsked(chosen, place, after is not None, limit, max_bytes, wait, fresh), given, json)


def _boolean(asked: Members, name: str) -> bool:
    value = asked.value(name)
    if value is not None and not isinstance(value, bool):
        asked.wrong(name, "is neither true nor false")
    return value is True


def _choice(asked: Members, application: str) -> tuple[QueueChoice, dict[str, int]]:
    """Return the choice, and the place of each name in the body."""
    names, prefixes = _texts(asked, "queues", MAX_NAMES), _texts(asked, "prefixes", MAX_PREFIXES)
    given: dict[str, int] = {}
    for at, name in enumerate(names):
        problem = name_problem(name)
        if problem is not None:
            asked.wrong(f"queues/{at}", problem)
        elif name in given:
            asked.wrong(f"queues/{at}", "is there twice")
        given[name] = at
    for at, prefix in enumerate(prefixes):
        problem = None if prefix in ("", ".", "..") else name_problem(prefix)
        if problem is not None:
            asked.wrong(f"prefixes/{at}", problem)
    if asked.value("queues") is None and asked.value("prefixes") is None:
        asked.wrong("", "chooses no queue; queues has names, and prefixes what names begin with")
    return choice_of(application, tuple(names), tuple(prefixes)), given


def _texts(asked: Members, name: str, most: int) -> Sequence[str]:
    value = asked.value(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not value:
        asked.wrong(name, "is not a list with at least one text")
        return ()
    if len(value) > most:
        asked.wrong(name, f"has {len(value)} texts, and may have {most}")
        return ()
    found = []
    for at, text in enumerate(value):
        if isinstance(text, str):
            found.append(text)
        else:
            asked.wrong(f"{name}/{at}", "is not text")
    return found


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
    for (name, place), text in zip(about, messages_json(messages, parsed=parsed), strict=True):
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
