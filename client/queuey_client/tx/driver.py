"""Drives the generators of the core by Deferreds."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from queuey_client.awaiting.driver import AsyncDriver, AsyncItems
from queuey_client.core.steps import Items, Steps

T = TypeVar("T")


class Driver:
    """Runs coroutines as Deferreds.

    :ivar coroutines: what they run on.
    """

    def __init__(self, coroutines: AsyncDriver, reactor: Any) -> None:
        self.coroutines = coroutines
        self.reactor = reactor

    def run(self, steps: Steps[T]) -> Deferred[T]:
        """Do what a call needs; fires with its result. Cancelling it ends the request."""
        return self.start(self.coroutines.run(steps))

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Deferred[T]:
        """Run a coroutine; fires with what it returns."""
        return Deferred.fromCoroutine(coroutine)

    def iterate(self, items: Items[T]) -> AsyncItems[T]:
        """Give the values of an iterator, to an ``async for`` in a coroutine that Twisted runs."""
        return self.coroutines.iterate(items)
