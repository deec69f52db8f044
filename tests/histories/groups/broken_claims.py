"""Rules of claims of several groups that are broken on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from queuey.core.groups.many_claims import ClaimSource, ManyClaims, Served
from queuey.core.groups.values import Claiming, Delivered


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


ANY: Final[tuple[Any, str, Any]] = (ManyClaims, "_given", given_by_nobody)
ALL: Final[tuple[Any, str, Any]] = (ManyClaims, "_claim", takes_of_all)
