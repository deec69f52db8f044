"""Reports of queues: the method ``queues.report``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from queuey.core.activity import ACKED, GIVEN, SPAN, STORED, Activity, Name
from queuey.core.backlog import grows
from queuey.core.groups.values import PartitionLag
from queuey.core.reports import Asked, GroupReport, Place, QueueReport, QueueReports
from queuey.model.fields import LIMIT
from queuey.model.queues.queue import Guarantee, Queue
from queuey.model.timeid import Ticks, from_seconds, ticks_of, to_rfc3339
from queuey.ops.faults import invalid_params
from queuey.ops.methods import shown
from queuey.ops.parameters import number, word

KINDS: Final[Mapping[str, int]] = {"stored": STORED, "given": GIVEN, "acked": ACKED}
"""Whose rates queues can be sorted by."""

DAEMON: Final = "daemon"
"""The scope of rates that are those of all processes which use the store."""

SORT: Final = word(*KINDS, "name")

REPORT_LIMIT: Final = number(attrs.evolve(LIMIT, high=100, default=50))

_PLACE: Final = "is not the `next` of an earlier answer"


@attrs.frozen
class Reporter:
    """Makes reports as JSON.

    :ivar scope: ``daemon`` if the rates are those of all, or ``front-end`` if others have rates of their own.
    :ivar now: the wall clock, in seconds since 1970.
    """

    reports: QueueReports
    activity: Activity | None
    scope: str
    now: Callable[[], float]

    async def report(
        self, application: str | None, prefix: str, sort: str, after: str, limit: int, *, history: bool
    ) -> dict[str, Any]:
        """Return a page of the report."""
        asked = Asked(application, prefix, KINDS.get(sort), limit)
        found = await self.reports.report(asked, _place(after, asked))
        activity, total = self.activity, self._rates(None)
        return {
            "now": to_rfc3339(from_seconds(self.now())),
            "scope": self.scope,
            "span": SPAN,
            "ends": None if activity is None else round(activity.ends, 3),
            "kept": 0 if activity is None else activity.kept,
            "total": None if total is None else {**total, "history": self._history(None, wanted=history)},
            "queues": [self._queue(each, history=history) for each in found.queues],
            "next": None if found.next is None else _text(found.next),
        }

    def _rates(self, name: Name | None) -> dict[str, float] | None:
        found = None if self.activity is None else self.activity.rates(name)
        return None if found is None else {word: round(getattr(found, word), 6) for word in KINDS}

    def _history(self, name: Name | None, *, wanted: bool) -> dict[str, list[int] | None] | None:
        activity = self.activity if wanted else None
        if activity is None or activity.rates(name) is None:
            return None
        return {word: activity.history(name, kind) for word, kind in KINDS.items()}

    def _queue(self, report: QueueReport, *, history: bool) -> dict[str, Any]:
        name = report.queue.application, report.queue.name
        unknown = dict.fromkeys(("messages", "bytes", "oldest", "approximate"))
        return {
            **_settings(report.queue),
            **(unknown if report.depth is None else shown.depth(report.depth)),
            "rates": self._rates(name),
            "history": self._history(name, wanted=history),
            "groups": None if report.groups is None else [_group(each) for each in report.groups],
            "more_groups": report.more_groups,
            "growing": self._is_growing(name, report),
        }

    def _is_growing(self, name: Name, report: QueueReport) -> bool | None:
        """Return whether consumers of a queue slowly lose ground.

        :return: ``None`` if that is not known: not all that is acknowledged is counted here, or not all groups are.
        """
        activity = self.activity if self.scope == DAEMON else None
        stored = None if activity is None else activity.history(name, STORED)
        acked = None if activity is None else activity.history(name, ACKED)
        if stored is None or acked is None or report.groups is None or report.more_groups:
            return None
        # A group of the guarantee at-most-once has no acks.
        acking = [each for each in report.groups if each.group.settings.guarantee is not Guarantee.AT_MOST_ONCE]
        if any(each.lags is None for each in acking):
            return None
        behind = sum(lag.behind for each in acking for lag in each.lags or ())
        return grows(stored, acked, len(acking), behind)


def _settings(queue: Queue) -> dict[str, Any]:
    """Return the settings of a queue without its principals, which may be long."""
    found = shown.queue(queue)
    del found["principals"]
    return {"application": queue.application, **found}


def _group(report: GroupReport) -> dict[str, Any]:
    """Return a group with its lag, summed over the partitions."""
    group, lags = report.group, report.lags
    found: dict[str, Any] = {"name": group.name, "dead_letter": group.settings.dead_letter}
    if lags is None:
        return {**found, **dict.fromkeys(("behind", "exact", "in_flight", "waiting", "set_aside", "oldest"))}
    return {
        **found,
        "behind": sum(lag.behind for lag in lags),
        "exact": all(lag.exact for lag in lags),
        "in_flight": sum(lag.in_flight for lag in lags),
        "waiting": sum(lag.waiting for lag in lags),
        "set_aside": sum(lag.set_aside for lag in lags),
        "oldest": _oldest(lags),
    }


def _oldest(lags: Sequence[PartitionLag]) -> str | None:
    times: list[Ticks] = [ticks_of(lag.oldest) for lag in lags if lag.oldest is not None]
    return to_rfc3339(min(times)) if times else None


def _text(place: Place) -> str:
    return str(place.busiest) if place.busiest is not None else "/".join(place.after)


def _place(text: str, asked: Asked) -> Place:
    """Parse a place.

    :raise Failed: it is none of this report.
    """
    application, slash, name = text.partition("/")
    if slash and asked.application in (None, application):
        return Place(None, (application, name))
    if not text:
        return Place() if asked.kind is None else Place(0)
    if slash or asked.kind is None or not (text.isascii() and text.isdigit() and len(text) < 6):
        raise invalid_params({"after": _PLACE})
    return Place(int(text))
