"""The contracts that every real store passes. A module of a store lists what it passes besides."""

from __future__ import annotations

from typing import Any, Final

from tests.contracts import (
    closing,
    delays,
    depth,
    groups,
    lives,
    many,
    merging,
    messages,
    putting,
    queues,
    replacing,
    restoring,
    states,
    timing,
)

EVERY: Final[tuple[type[Any], ...]] = (
    closing.ClosingContract,
    depth.DepthContract,
    groups.GroupsContract,
    many.ChangesContract,
    many.ManyContract,
    merging.MergeContract,
    messages.AppendContract,
    lives.LifeContract,
    replacing.ReplaceContract,
    messages.ScanContract,
    putting.PutContract,
    queues.QueuesContract,
    restoring.RestoreContract,
    states.StatesContract,
    delays.DelayContract,
    timing.ExpiryContract,
    timing.FutureContract,
)
