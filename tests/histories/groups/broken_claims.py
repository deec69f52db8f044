"""Rules of claims of several groups that are broken on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from queuey.core.groups import many_claims
from queuey.core.groups.many_claims import ClaimSource, ManyClaims, Served
from queuey.core.groups.values import Claiming, Delivered
from queuey.model.groups.terms import Outcome


async def given_by_nobody(self: ManyClaims, sources: Sequence[ClaimSource], claiming: Claiming) -> Served:
    """Does not ask which group has served a claim of several before."""
    return None, Delivered(())


async def takes_of_all(self: ManyClaims, sources: Sequence[ClaimSource], claiming: Claiming, *, strict: bool) -> Served:
    """Takes messages of each group, and gives those of the first."""
    served: Served = None, Delivered(())
    for at, source in enumerate(sources):
        got = await self._take(source.queue, source.group, claiming, source.partitions)
        if served[0] is None and got.deliveries:
            served = at, got
    return served


async def settles_nothing(self: ManyClaims, sources: Sequence[ClaimSource]) -> tuple[Outcome, ...]:
    """Answers that everything is acked."""
    return tuple(Outcome.ACKED for source in sources for _ in source.settlings)


def settled_before(outcomes: Sequence[Outcome]) -> str:
    """Says of each error that nothing was applied."""
    return "no"


ANY: Final[tuple[Any, str, Any]] = (ManyClaims, "_given", given_by_nobody)
ALL: Final[tuple[Any, str, Any]] = (ManyClaims, "_claim", takes_of_all)
NONE: Final[tuple[Any, str, Any]] = (ManyClaims, "_settled", settles_nothing)
UNSAID: Final[tuple[Any, str, Any]] = (many_claims, "applied_by", settled_before)
