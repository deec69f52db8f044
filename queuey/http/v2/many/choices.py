"""The queues that a request chooses by name and by prefix, in its body or in its query, and where their log begins."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import attrs

from queuey.core.many.chosen import View
from queuey.http.admission.gate import AdmittedToChoice
from queuey.http.answers.problems import Problem
from queuey.http.v2.inputs.parameters import Members, Query, members
from queuey.http.v2.messages.pages import address_of
from queuey.http.wire import Request
from queuey.model.queues.choice import MAX_NAMES, MAX_NAMES_IN_QUERY, MAX_PREFIXES, QueueChoice, choice_of
from queuey.model.queues.queue import name_problem
from queuey.model.reading import cursor
from queuey.model.reading.many import STORE_OLDEST, StorePosition, after_id
from queuey.model.reading.start import Start
from queuey.model.timeid import Ticks, lower_bound

MAX_NAMED: Final = 100
"""Queues that a refusal names."""

Text = tuple[str, str]
"""The place of a name or a prefix in the request, and its text."""


@attrs.frozen
class Chosen:
    """The queues that a request chooses.

    :ivar where: the place of each name in the request, for problem documents.
    """

    choice: QueueChoice
    where: Mapping[str, Mapping[str, str]]


def choice_in_body(request: Request, application: str, allowed: Collection[str]) -> QueueChoice:
    """Return the queues that the members ``queues`` and ``prefixes`` of a body choose.

    :param allowed: the names of the members that there may be.
    :raise Problem: lists every error in them.
    """
    asked = Members(members(request, allowed))
    found = chosen_in_body(asked, application)
    asked.check()
    return found.choice


def chosen_in_body(asked: Members, application: str) -> Chosen:
    """Return the same for members; mistakes are noted in them."""
    names, prefixes = _texts(asked, "queues", MAX_NAMES), _texts(asked, "prefixes", MAX_PREFIXES)
    if asked.value("queues") is None and asked.value("prefixes") is None:
        asked.wrong("", "chooses no queue; give names in queues, or beginnings of names in prefixes")
    return _chosen(application, names, prefixes, asked.wrong, lambda place: {"pointer": f"/{place}"})


def chosen_in_query(query: Query, application: str) -> Chosen:
    """Return the queues that the parameters ``queue`` and ``prefix`` choose; mistakes are noted in the query."""
    names = [("queue", name) for name in query.texts("queue")]
    prefixes = [("prefix", prefix) for prefix in query.texts("prefix")]
    for name, given, most in (("queue", names, MAX_NAMES_IN_QUERY), ("prefix", prefixes, MAX_PREFIXES)):
        if len(given) > most:
            query.wrong(name, f"is given {len(given)} times; at most {most} are allowed")
    if not names and not prefixes:
        query.wrong("", "chooses no queue; give a name as queue, or the beginning of names as prefix")
    return _chosen(application, names, prefixes, query.wrong, lambda place: {"parameter": place})


def _texts(asked: Members, name: str, most: int) -> Sequence[Text]:
    value = asked.value(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not value:
        asked.wrong(name, "is not a list with at least one text")
        return ()
    if len(value) > most:
        asked.wrong(name, f"has {len(value)} texts; at most {most} are allowed")
        return ()
    for at, text in enumerate(value):
        if not isinstance(text, str):
            asked.wrong(f"{name}/{at}", "is not text")
    return [(f"{name}/{at}", text) for at, text in enumerate(value) if isinstance(text, str)]


def _chosen(
    application: str,
    names: Sequence[Text],
    prefixes: Sequence[Text],
    wrong: Callable[[str, str], None],
    place_of: Callable[[str], Mapping[str, str]],
) -> Chosen:
    """Return a choice, and note the mistakes in its names and prefixes.

    :param place_of: returns a place in the form of problem documents.
    """
    where: dict[str, Mapping[str, str]] = {}
    for place, name in names:
        problem = name_problem(name)
        if problem is not None:
            wrong(place, problem)
        elif name in where:
            wrong(place, "is given twice")
        where[name] = place_of(place)
    for place, prefix in prefixes:
        problem = None if prefix in ("", ".", "..") else name_problem(prefix)
        if problem is not None:
            wrong(place, problem)
    return Chosen(choice_of(application, tuple(where), tuple([prefix for _, prefix in prefixes])), where)


def begin_in_body(asked: Members) -> tuple[str | None, Ticks | None, Start | None]:
    """Return the members ``after``, ``since`` and ``start`` of a body. There may be one of them; errors are noted in
    ``asked``."""
    found = asked.text("after"), asked.time("since"), asked.choice("start", Start)
    places = [name for name in ("after", "since", "start") if asked.value(name) is not None]
    for name in places[1:]:
        asked.wrong(name, f"cannot be given together with {places[0]}")
    return found


def begins_at(after: str | None, since: Ticks | None, start: Start | None) -> StorePosition | None:
    """Return where a read begins; ``None`` is the end of the log.

    :param after: a cursor, or the id of a message.
    :raise QueueyError: the cursor is damaged, or of another kind of read.
    """
    if after is not None:
        address = address_of(after)
        return cursor.parse_many(after) if address is None else after_id(address.id)
    if since is not None:
        return StorePosition(lower_bound(since))
    return STORE_OLDEST if start is Start.OLDEST else None


def permit_choice(chosen: Chosen, admitted: AdmittedToChoice, view: View, *, resumed: bool = False) -> None:
    """Refuse a read that names queues which its caller may not read, or which do not exist.

    :param resumed: whether the reader has begun before: then names without a queue are passed over if any queue is
        left, since queues may have been deleted meanwhile.
    :raise Problem: naming them.
    """
    if view.forbidden:
        code = "forbidden" if admitted.caller else "unauthorized"
        raise _refusal(chosen, code, "Access was denied: this caller may not read messages of", view.forbidden)
    if not view.missing or (admitted.policy.create_on_write and admitted.own):
        return
    if not resumed or not (view.count or chosen.choice.prefixes):
        raise _refusal(chosen, "no-such-queue", "The application has no queue of the name of", view.missing)


def _refusal(chosen: Chosen, code: str, text: str, names: tuple[str, ...]) -> Problem:
    named = set(names)
    some = [name for name in chosen.where if name in named][:MAX_NAMED]
    found = tuple([{**chosen.where[name], "detail": f"{text} {name}."} for name in some])
    return Problem(code, f"{text} {len(names)} of the queues that were named.", errors=found)
