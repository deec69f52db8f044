"""The consumer groups of any queue: ``groups.*``."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.values import MAX_REDRIVEN, PartitionLag
from queuey.core.queues import QueueDirectory
from queuey.model.groups.settings import Group
from queuey.model.messages.message import Address
from queuey.model.queues.queue import MAX_PARTITIONS
from queuey.model.reading.start import Start
from queuey.model.timeid import LOWEST, MessageId, Ticks, ticks_of, to_rfc3339
from queuey.ops.faults import invalid_params
from queuey.ops.methods.applications import APPLICATION
from queuey.ops.methods.dead import AFTER, BEFORE, GROUP, IDS, RATE, REASON, SINCE, moment, redriven, redriving
from queuey.ops.methods.queues import QUEUE
from queuey.ops.parameters import ARRAY, BOOLEAN, PLACE, Kind, Parameter
from queuey.ops.rpc import CallContext, Methods, method

_PARTITIONS: Final = Kind("array", "numbers of partitions, each once", ARRAY.read)


class Groups(Methods):
    """``groups.*``."""

    def __init__(self, directory: QueueDirectory, groups: GroupExchange, clock: IReactorTime) -> None:
        super().__init__()
        self._clock = clock
        self._directory = directory
        self._groups = groups

    @method("array", APPLICATION, QUEUE)
    async def jsonrpc_list(self, call: CallContext, application: str, queue: str) -> list[dict[str, Any]]:
        """List the consumer groups of a queue, by name."""
        found = await self._directory.find(application, queue)
        return [_group(group) for group in await self._groups.names(found)]

    @method("object", APPLICATION, QUEUE, GROUP)
    async def jsonrpc_describe(self, call: CallContext, application: str, queue: str, group: str) -> dict[str, Any]:
        """Return a consumer group, and its position in each partition."""
        found = await self._directory.find(application, queue)
        its = await self._groups.find(found, group)
        lags = await self._groups.lag(found, its)
        return {**_group(its), "partitions": [_lag(lag) for lag in lags]}

    @method(
        "boolean",
        APPLICATION,
        QUEUE,
        GROUP,
        Parameter("to", PLACE, needed=True),
        Parameter("partitions", _PARTITIONS),
        changes=True,
    )
    async def jsonrpc_seek(
        self,
        call: CallContext,
        application: str,
        queue: str,
        group: str,
        to: Start | Ticks,
        partitions: list[Any] | None = None,
    ) -> bool:
        """Move a consumer group to another position, in all partitions or in some."""
        found = await self._directory.find(application, queue)
        its = await self._groups.find(found, group)
        some = None if partitions is None else _numbers(partitions, found.settings.partitions)
        await self._groups.seek(found, its, to, some)
        return True

    @method(
        "object",
        APPLICATION,
        QUEUE,
        GROUP,
        IDS,
        Parameter("all", BOOLEAN),
        SINCE,
        BEFORE,
        REASON,
        AFTER,
        Parameter("dry_run", BOOLEAN),
        RATE,
        changes=True,
    )
    async def jsonrpc_redrive(
        self,
        call: CallContext,
        application: str,
        queue: str,
        group: str,
        ids: tuple[Address, ...] | None = None,
        all: bool | None = None,
        since: Start | Ticks | None = None,
        before: Start | Ticks | None = None,
        reason: str = "",
        after: str | None = None,
        dry_run: bool = False,
        rate: int = MAX_REDRIVEN,
    ) -> dict[str, Any]:
        """Make messages that a consumer group gave up deliverable again: those with the `ids`, those of a time or a
        reason, or `all`; with `dry_run`, only count them. A call redrives at most 100, or as many as `rate` says, and
        then takes a second; to continue, pass `next` as `after`."""
        call.silent = dry_run
        began = self._clock.seconds()
        times = moment(since), moment(before)
        limit = MAX_REDRIVEN if dry_run else rate
        asked = redriving(ids, all, *times, after=after, reason=reason, limit=limit, dry=dry_run)
        found = await self._directory.find(application, queue)
        its = await self._groups.find(found, group)
        result = await self._groups.redrive(found, its, asked)
        call.note(None, {"moved": result.moved})
        if rate < MAX_REDRIVEN and result.moved and not dry_run:
            await deferLater(self._clock, max(0.0, began + 1.0 - self._clock.seconds()))
        return redriven(result, dry=dry_run)


def _numbers(partitions: list[Any], most: int) -> tuple[int, ...]:
    good = [one for one in partitions if isinstance(one, int) and not isinstance(one, bool) and 1 <= one <= most]
    if not partitions or good != partitions or len(set(good)) < len(good) or len(good) > MAX_PARTITIONS:
        raise invalid_params({"partitions": f"are not partitions of the queue; allowed: 1 to {most}"})
    return tuple(good)


def _group(group: Group) -> dict[str, Any]:
    settings = group.settings
    return {
        "name": group.name,
        "lease": settings.lease,
        "max_deliveries": settings.max_deliveries,
        "dead_letter": settings.dead_letter,
        "order": settings.order.value,
        "guarantee": settings.guarantee.value if settings.guarantee else None,
        "created": to_rfc3339(group.created),
    }


def _lag(lag: PartitionLag) -> dict[str, Any]:
    return {
        "partition": lag.partition,
        "behind": lag.behind,
        "exact": lag.exact,
        "in_flight": lag.in_flight,
        "waiting": lag.waiting,
        "set_aside": lag.set_aside,
        "oldest": _time(lag.oldest),
        "settled_through": _time(lag.settled_through),
    }


def _time(id: MessageId | None) -> str | None:
    return None if id is None or id == LOWEST else to_rfc3339(ticks_of(id))
