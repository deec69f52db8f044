"""Lists of what the registries have: pushes, or schedules, of an application by queue and name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred

from queuey.core.groups.rows import AT_ONCE, in_parallel
from queuey.core.pushes.registry import PushRegistry
from queuey.model.pushes.places import PushPlace

T = TypeVar("T")

Page = tuple[list[tuple[PushPlace, T]], str | None]
"""One page of the list, and where the next page begins; ``None`` at the end."""


async def page_of(
    registry: PushRegistry,
    application: str,
    queue: str | None,
    after: str,
    limit: int,
    look: Callable[[PushPlace], Deferred[T | None]],
) -> Page[T]:
    """List what a registry has of an application.

    :param queue: the queue that is wanted; ``None`` for all queues.
    :param after: where the page begins: the ``QUEUE/NAME`` that the page before returned.
    :param look: looks one up; fires with ``None`` if it is gone, or is not wanted.
    """
    places = sorted(
        one
        for one in await registry.read()
        if one.application == application and queue in (None, one.queue) and _key(one) > tuple(after.split("/"))
    )
    found: list[tuple[PushPlace, T]] = []
    for start in range(0, len(places), AT_ONCE):
        some = places[start : start + AT_ONCE]
        for place, one in zip(some, await in_parallel(some, look), strict=True):
            if one is None:
                continue
            if len(found) == limit:
                return found, "/".join(_key(found[-1][0]))
            found.append((place, one))
    return found, None


def _key(place: PushPlace) -> tuple[str, str]:
    return place.queue, place.name
