"""Drives the generators of the core by coroutines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, TypeVar

from queuey_client.awaiting.runtime import AsyncTransport, Runtime
from queuey_client.core.steps import (
    Answer,
    Ask,
    Effect,
    Give,
    Items,
    NoAnswer,
    NotStreaming,
    Open,
    Receive,
    Sleep,
    Steps,
)

T = TypeVar("T")


class AsyncDriver:
    """Sends by a transport, sleeps by the loop."""

    def __init__(self, transport: AsyncTransport, runtime: Runtime) -> None:
        self.transport = transport
        self.runtime = runtime

    async def run(self, steps: Steps[T]) -> T:
        """Do what a call needs, and return its result."""
        try:
            value: object = None
            while True:
                # Not in a function of its own: no StopIteration gets out of a coroutine.
                try:
                    effect = steps.throw(value) if isinstance(value, Exception) else steps.send(value)
                except StopIteration as end:
                    result: T = end.value
                    return result
                value = await self.do(effect)
        finally:
            steps.close()

    def iterate(self, items: Items[T]) -> AsyncItems[T]:
        """Give the values of an iterator."""
        return AsyncItems(self, items)

    async def do(self, effect: Effect) -> object:
        """Do one effect. Return its result, or the error that is to be thrown into the generator."""
        try:
            if isinstance(effect, Sleep):
                await self.runtime.sleep(effect.seconds)
                return None
            if isinstance(effect, Receive):
                return await effect.incoming.receive(effect.seconds)
            if isinstance(effect, Open):
                return await self._open(effect.ask)
            return await self.transport.send(effect.ask)
        except (NoAnswer, NotStreaming) as lost:
            return lost

    async def _open(self, ask: Ask) -> Answer:
        open: Callable[[Ask], Awaitable[Answer]] | None = getattr(self.transport, "open", None)
        if open is None:
            raise NotStreaming
        return await open(ask)


class AsyncItems(AsyncIterator[T], Generic[T]):
    """Values that are fetched when they are wanted.

    A loop that is left early ends it; :meth:`aclose` does so for certain, such as by ``contextlib.aclosing``.
    """

    def __init__(self, driver: AsyncDriver, items: Items[T]) -> None:
        self._driver = driver
        self._items = items

    async def __anext__(self) -> T:
        """Return the next value."""
        value: Any = None
        while True:
            try:
                effect = self._items.throw(value) if isinstance(value, Exception) else self._items.send(value)
            except StopIteration:
                raise StopAsyncIteration from None
            if isinstance(effect, Give):
                found: T = effect.value
                return found
            try:
                value = await self._driver.do(effect)
            except BaseException:
                # It was cancelled: what is open is closed, and the place is saved.
                self._items.close()
                raise

    async def aclose(self) -> None:
        """End it: a reader that keeps its place saves it."""
        self._items.close()
