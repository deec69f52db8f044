"""Seals the secrets of all pushes with the first key, so that an older key can be removed from the settings."""

from __future__ import annotations

from enum import Enum
from typing import Final

import attrs

from queuey.core.groups.group_changes import GroupChanges
from queuey.core.groups.rows import AT_ONCE, in_parallel
from queuey.core.pushes.directory import PushDirectory
from queuey.deferreds import deferred
from queuey.errors import NoSuchApplication, NoSuchGroup, NoSuchPush, NoSuchQueue
from queuey.interfaces import Unsealable
from queuey.model.pushes.places import PushPlace
from queuey.model.pushes.settings import Push

NOT_SERVED: Final = "The application is not served."


class _Done(Enum):
    SEALED = "sealed"
    CURRENT = "current"
    GONE = "gone"


@attrs.frozen
class Resealed:
    """What became of some pushes.

    :ivar sealed: number of pushes that were sealed with the first key by this call.
    :ivar current: number of those that were sealed with it already.
    :ivar failed: the others, and why they could not be sealed.
    :ivar next: where the next call goes on; ``None`` if there are no more.
    """

    sealed: int
    current: int
    failed: tuple[tuple[PushPlace, str], ...]
    next: str | None


async def seal_pushes(pushes: PushDirectory, after: str, limit: int) -> Resealed:
    """Seal the secrets, URLs and header fields of some pushes with the first key. It may be repeated.

    :param after: where to go on: ``APPLICATION/QUEUE/NAME``, as the last call returned it in ``next``.
    :param limit: maximum number of pushes.
    :return: fails with ``Unavailable``; what was sealed before stays so.
    """
    begin = tuple(after.split("/"))
    places = sorted((one for one in await pushes.registry.read() if _key(one) > begin), key=_key)
    some = places[:limit]
    counts = dict.fromkeys(_Done, 0)
    failed = list[tuple[PushPlace, str]]()
    for start in range(0, len(some), AT_ONCE):
        part = some[start : start + AT_ONCE]
        for place, done in zip(part, await in_parallel(part, lambda place: _seal(pushes, place)), strict=True):
            if isinstance(done, _Done):
                counts[done] += 1
            else:
                failed.append((place, done))
    next = "/".join(_key(some[-1])) if len(places) > limit else None
    return Resealed(counts[_Done.SEALED], counts[_Done.CURRENT], tuple(failed), next)


def _key(place: PushPlace) -> tuple[str, str, str]:
    return place.application, place.queue, place.name


@deferred
async def _seal(pushes: PushDirectory, place: PushPlace) -> _Done | str:
    """Seal one push; return a text if that is impossible."""
    means = pushes.means
    try:
        queue = await means.directory.find(place.application, place.queue)
        if queue.incarnation != place.incarnation:
            return _Done.GONE
        group = await means.groups.read(queue, place.name)
        if group.settings.push is None:
            return _Done.GONE
        if means.sealing.resealed(group.settings.push) is None:
            return _Done.CURRENT

        def edited(current: Push | None) -> Push:
            if current is None:
                raise NoSuchPush("The group of that name has no push.")
            return means.sealing.resealed(current) or current

        await pushes.changed(queue, group, GroupChanges(push=edited), lambda _: None)
    except (NoSuchQueue, NoSuchGroup, NoSuchPush):
        return _Done.GONE
    except NoSuchApplication:
        return NOT_SERVED
    except Unsealable as error:
        return str(error)
    return _Done.SEALED
