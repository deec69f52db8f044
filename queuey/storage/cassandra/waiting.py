"""Waiting for several answers of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred, FirstError, gatherResults

T = TypeVar("T")


async def together(answers: Sequence[Deferred[T]]) -> list[T]:
    """Wait for all of them, in their order.

    It fails as the first one that fails; when it is cancelled, so are they.
    """
    try:
        return await gatherResults(answers, consumeErrors=True)
    except FirstError as first:
        first.subFailure.raiseException()
