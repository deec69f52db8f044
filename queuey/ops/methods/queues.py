"""The queues of any application: ``queues.*``."""

from __future__ import annotations

from typing import Any, Final

from queuey.core.messages import MessageExchange
from queuey.core.queues import QueueDirectory
from queuey.interfaces import IPolicies
from queuey.model.fields import LIMIT
from queuey.model.queues.queue import Queue
from queuey.model.reading.start import Start
from queuey.model.timeid import HIGHEST, LOWEST, MessageId, Ticks, lower_bound
from queuey.ops.methods import shown
from queuey.ops.methods.applications import APPLICATION, NAME
from queuey.ops.methods.reports import REPORT_LIMIT, SORT, Reporter
from queuey.ops.parameters import BOOLEAN, PLACE, TEXT, Kind, Parameter, number
from queuey.ops.rpc import CallContext, Methods, method

QUEUE: Final = Parameter("queue", Kind("string", "the name of a queue", TEXT.read), needed=True)


class Queues(Methods):
    """``queues.*``."""

    def __init__(
        self, policies: IPolicies, directory: QueueDirectory, exchange: MessageExchange, reporter: Reporter
    ) -> None:
        super().__init__()
        self._reporter = reporter
        self._policies = policies
        self._directory = directory
        self._exchange = exchange

    @method(
        "object",
        APPLICATION,
        Parameter("prefix", TEXT),
        Parameter("after", TEXT),
        Parameter("limit", number(LIMIT)),
    )
    async def jsonrpc_list(
        self, call: CallContext, application: str, prefix: str = "", after: str = "", limit: int = LIMIT.default
    ) -> dict[str, Any]:
        """List the queues of an application, by name, including those that were kept when it was removed; to continue,
        pass `next` as `after`."""
        page = await self._directory.page(application, prefix, after, limit)
        if not page.queues:
            await self._policies.policy_for(application)
        return {"queues": [shown.queue(found) for found in page.queues], "next": page.next}

    @method("object", APPLICATION, QUEUE)
    async def jsonrpc_describe(self, call: CallContext, application: str, queue: str) -> dict[str, Any]:
        """Return a queue, and what it holds: the number and the bytes of its messages, including those that are not due
        yet, the time of the oldest, and whether the numbers are approximate."""
        found = await self._find(application, queue)
        return {**shown.queue(found), **shown.depth(await self._directory.depth(found))}

    @method(
        "object",
        Parameter("application", NAME),
        Parameter("prefix", TEXT),
        Parameter("sort", SORT),
        Parameter("after", TEXT),
        Parameter("limit", REPORT_LIMIT),
        Parameter("history", BOOLEAN),
    )
    async def jsonrpc_report(
        self,
        call: CallContext,
        application: str | None = None,
        prefix: str = "",
        sort: str = "stored",
        after: str = "",
        limit: int = 50,
        history: bool = False,
    ) -> dict[str, Any]:
        """Report the busiest queues first and then the others, or all by name: what they hold, their rates over the
        last minute and, with `history`, every ten seconds of the last ten minutes, and how far their consumer groups
        are behind; null if that could not be measured in two seconds. To continue, pass `next` as `after`. The rates
        are of the busiest 1000 queues of this `scope`: the daemon, or one of several front ends."""
        return await self._reporter.report(application, prefix, sort, after, limit, history=history)

    @method("boolean", APPLICATION, QUEUE, Parameter("before", PLACE), changes=True)
    async def jsonrpc_purge(
        self, call: CallContext, application: str, queue: str, before: Start | Ticks | None = None
    ) -> bool:
        """Delete the messages of a queue: those from before a place, or all that are visible to readers."""
        bound = _bound(Start.NEWEST if before is None else before)
        await self._exchange.purge(await self._find(application, queue), bound)
        return True

    @method("boolean", APPLICATION, QUEUE, changes=True)
    async def jsonrpc_remove(self, call: CallContext, application: str, queue: str) -> bool:
        """Remove a queue with its messages and its consumer groups."""
        found = await self._find(application, queue)
        await self._directory.delete(found)
        call.note(shown.queue(found), None)
        return True

    async def _find(self, application: str, queue: str) -> Queue:
        """A queue, also of an application that is no more."""
        return await self._directory.find(application, queue)


def _bound(before: Start | Ticks) -> MessageId:
    """Return the id below which a purge deletes; it never goes beyond the stable time."""
    if isinstance(before, Start):
        return LOWEST if before is Start.OLDEST else HIGHEST
    return lower_bound(before)
