"""Pushes as JSON: the members of a request, and those of an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs

from queuey.core.groups.group_changes import GroupChanges
from queuey.core.pushes.directory import ShownSecret
from queuey.http.v2.groups.groups import changes, start_text
from queuey.http.v2.inputs.parameters import Members
from queuey.model.fields import PUSH_PARALLEL, PUSH_RATE, PUSH_TIMEOUT
from queuey.model.groups.settings import Group
from queuey.model.pushes.places import Attempt, PushReport, state_of
from queuey.model.pushes.settings import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_TEXT,
    REJECTABLE,
    Format,
    Push,
    header_bytes,
    header_problem,
    prefix_problem,
)
from queuey.model.pushes.targets import BadURL, parse_url
from queuey.model.queues.queue import Queue, name_problem
from queuey.model.text import shown
from queuey.model.timeid import to_rfc3339

OF_PUSH: Final = (
    "url",
    "timeout",
    "parallel",
    "rate",
    "format",
    "headers",
    "header_prefix",
    "event_type",
    "reject_on",
    "replies",
)
OF_GROUP: Final = ("start", "max_deliveries", "dead_letter", "order")
"""The settings of the group that a push has too; a push has no other lease than its time limit needs."""

SETTINGS: Final = (*OF_PUSH, *OF_GROUP)

_BY_STATE: Final = "POST to /pause or /resume below the push changes its state"
_BY_ATTEMPTS: Final = "it shows how the last attempts ended; POST to /resume below the push tries the endpoint at once"
REPORTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "secrets": "POST to /secrets below the push adds one, DELETE of /secrets/ID removes one",
        "state": _BY_STATE,
        "since": _BY_STATE,
        "failures": _BY_ATTEMPTS,
        "last_error": _BY_ATTEMPTS,
        "blocked": "the settings of the operator decide which endpoints are allowed",
    }
)
"""Members that show what a push does, and what changes each of them."""

READ_ONLY: Final = ("name", "created", "version", *REPORTED)


def settings(
    given: Mapping[str, Any], reset: frozenset[str], queue: Queue
) -> tuple[GroupChanges, Callable[[Push | None], Push]]:
    """Parse the settings in a body.

    :param reset: settings that get their defaults unless they are given.
    :return: the changes of the group, and what makes the settings of the push.
    :raise Problem: lists every error.
    """
    asked = Members(given)
    values: dict[str, Any] = {
        "url": _url(asked),
        "timeout": asked.number(PUSH_TIMEOUT),
        "parallel": asked.number(PUSH_PARALLEL),
        "rate": asked.seconds(PUSH_RATE),
        "format": asked.choice("format", Format),
        "headers": _headers(asked),
        "header_prefix": _prefix(asked),
        "event_type": _event_type(asked),
        "reject_on": _reject_on(asked),
        "replies": _replies(asked),
    }
    if "url" in reset and given.get("url") is None:
        asked.wrong("url", "is missing")
    asked.check()
    of_group = {name: value for name, value in given.items() if name in OF_GROUP}
    found = changes(of_group, reset & frozenset(OF_GROUP), queue)

    def edit(push: Push | None) -> Push:
        base = Push(values["url"] or "") if push is None else push
        defaults = {name: getattr(_USUAL, name) for name in reset if name in OF_PUSH and name != "url"}
        return attrs.evolve(base, **{**defaults, **{name: one for name, one in values.items() if one is not None}})

    return found, edit


_USUAL: Final = Push("")


def _url(asked: Members) -> str | None:
    text = asked.text("url")
    if text is None:
        return None
    try:
        return parse_url(text).url
    except BadURL as error:
        asked.wrong("url", str(error))
        return None


def _headers(asked: Members) -> tuple[tuple[str, str], ...] | None:
    given = asked.value("headers")
    if given is None:
        return None
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        asked.wrong("headers", "is not an object of texts")
        return None
    for name, value in given.items():
        problem = header_problem(name, value)
        if problem is not None:
            asked.wrong("headers", f'"{shown(name)}" {problem}')
    if len(given) > MAX_HEADERS or header_bytes(given.items()) > MAX_HEADER_BYTES:
        asked.wrong("headers", f"has more than {MAX_HEADERS} fields or {MAX_HEADER_BYTES} bytes")
    if len({name.lower() for name in given}) < len(given):
        asked.wrong("headers", "has a name twice, in upper and lower case")
    return tuple(given.items())


def _prefix(asked: Members) -> str | None:
    text = asked.text("header_prefix")
    problem = None if text is None else prefix_problem(text)
    if problem is not None:
        asked.wrong("header_prefix", problem)
    return text


def _event_type(asked: Members) -> str | None:
    text = asked.text("event_type")
    if text is not None and not (1 <= len(text) <= MAX_TEXT and text.isascii() and text.isprintable()):
        asked.wrong("event_type", f"is not 1 to {MAX_TEXT} printable ASCII characters")
    return text


def _reject_on(asked: Members) -> tuple[int, ...] | None:
    given = asked.value("reject_on")
    if given is None:
        return None
    good = isinstance(given, list) and all(type(one) is int and one in REJECTABLE for one in given)
    if not good or len(set(given)) < len(given):
        asked.wrong("reject_on", f"is not a list of statuses among {', '.join(map(str, REJECTABLE))}, each once")
        return None
    return tuple(sorted(given))


def _replies(asked: Members) -> str | None:
    name = asked.text("replies")
    if name is not None and name_problem(name) is not None:
        asked.wrong("replies", f'"{shown(name)}" is not the name of a queue')
    return name


def push_json(push: Push, group: Group, report: PushReport, secret: ShownSecret | None = None) -> dict[str, Any]:
    """Return a push as JSON.

    :param push: as it is shown, see ``PushSealing.shown``.
    :param secret: a new one, whose text is shown.
    """
    of_group = group.settings
    paused, error = push.paused, report.attempts[0].error if report.attempts else None
    state, since = state_of(push, report)
    return {
        "name": group.name,
        "url": push.url,
        "timeout": push.timeout,
        "parallel": push.parallel,
        "rate": push.rate,
        "format": push.format.value,
        "headers": dict(push.headers),
        "header_prefix": push.header_prefix,
        "event_type": push.event_type,
        "reject_on": list(push.reject_on),
        "replies": push.replies,
        "start": start_text(of_group.start),
        "max_deliveries": of_group.max_deliveries,
        "dead_letter": of_group.dead_letter,
        "order": of_group.order.value,
        "secrets": [
            {"id": one.id, "created": to_rfc3339(one.created)}
            | ({"secret": secret.text} if secret is not None and secret.id == one.id else {})
            for one in push.secrets
        ],
        "state": state.value,
        "since": None if since is None else to_rfc3339(since),
        "failures": report.failures,
        "last_error": "gone" if paused is not None and paused.reason == "gone" else error,
        "blocked": report.blocked if paused is None else None,
        "created": to_rfc3339(group.created),
        "version": group.version,
    }


def attempt_json(attempt: Attempt) -> dict[str, Any]:
    """Return an attempt as JSON."""
    return {
        "time": to_rfc3339(attempt.time),
        "id": attempt.id,
        "deliveries": attempt.deliveries,
        "status": attempt.status,
        "milliseconds": attempt.milliseconds,
        "error": attempt.error,
    }
