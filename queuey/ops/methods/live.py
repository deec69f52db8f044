"""Requests that wait, and live reads: ``live.*``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from queuey.core.live.numbers import Waiting
from queuey.errors import QueueyError
from queuey.interfaces import IPolicies
from queuey.model.fields import LIMIT
from queuey.model.timeid import to_seconds
from queuey.ops.parameters import TEXT, Parameter, number
from queuey.ops.rpc import CallContext, Methods, method


class Live(Methods):
    """``live.*``.

    :param waiting: returns what waits and reads live, by application.
    :param scope: as ``Reporter.scope``.
    :param now: the wall clock, in seconds since 1970.
    """

    def __init__(
        self,
        policies: IPolicies,
        waiting: Callable[[], Mapping[str, Waiting]],
        scope: str,
        now: Callable[[], float],
    ) -> None:
        super().__init__()
        self._policies = policies
        self._waiting = waiting
        self._scope = scope
        self._now = now

    @method("object", Parameter("after", TEXT), Parameter("limit", number(LIMIT)))
    async def jsonrpc_list(self, call: CallContext, after: str = "", limit: int = LIMIT.default) -> dict[str, Any]:
        """List the applications that have reads or claims that wait, or live reads, by name: how many of each, how many
        may be, and how many seconds the slowest live read is behind. To continue, pass `next` as `after`."""
        found = self._waiting()
        names = sorted(name for name in found if name > after)
        return {
            "scope": self._scope,
            "applications": [await self._shown(name, found[name]) for name in names[:limit]],
            "next": names[limit - 1] if len(names) > limit else None,
        }

    async def _shown(self, application: str, waiting: Waiting) -> dict[str, Any]:
        try:
            policy = await self._policies.policy_for(application)
        except QueueyError:
            policy = None  # it was removed meanwhile
        slowest = None
        if waiting.behind is not None:
            seconds = max(0.0, self._now() - to_seconds(waiting.behind))
            slowest = {"queue": waiting.slowest, "seconds": round(seconds, 3)}
        return {
            "application": application,
            "reads": waiting.reads,
            "claims": waiting.claims,
            "streams": waiting.streams,
            "blocked": waiting.blocked,
            "max_waits": None if policy is None else policy.max_waits,
            "max_live": None if policy is None else policy.max_live,
            "slowest": slowest,
        }
