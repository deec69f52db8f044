"""Ways in which FIFO queues could be broken, each with the checker that has to find it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

import attrs

from queuey.http.sqs import attributes, receiving, sending
from queuey.http.sqs.sending import SqsSending
from queuey.http.sqs.settling import SqsSettling
from queuey.model.groups.terms import Order
from queuey.model.messages.message import Address
from queuey.model.timeid import MessageId


@attrs.frozen
class Mutant:
    """Something that is broken.

    :ivar place: the module or class that has it.
    :ivar make: makes what replaces it, of what was there.
    """

    name: str
    checker: str
    place: Any
    attribute: str
    make: Callable[[Any], Any]

    @contextmanager
    def at_large(self) -> Iterator[None]:
        """Let it loose for a while."""
        right = getattr(self.place, self.attribute)
        setattr(self.place, self.attribute, self.make(right))
        try:
            yield
        finally:
            setattr(self.place, self.attribute, right)


def _not_all_are_stored(right: Any) -> Any:
    numbers = count(1)
    before: list[Any] = []

    async def store(self: SqsSending, caller: Any, queue: Any, state: Any, some: Sequence[Any]) -> Any:
        if before and next(numbers) % 7 == 0:
            last = before[-1]
            return [Address(last.partition, MessageId(bytes(last.id)[:8] + next(numbers).to_bytes(8, "big")))]
        before[:] = await right(self, caller, queue, state, some)
        return list(before)

    return store


def _forgets_ids(right: Any) -> Any:
    numbers = count()

    def deduplicated(queue: Any, state: Any, one: Any) -> Any:
        return attrs.evolve(right(queue, state, one), key=next(numbers).to_bytes(32, "big"))

    return deduplicated


def _another_group(right: Any) -> Any:
    def body(message: Any) -> Any:
        return attrs.evolve(right(message), group_id="A")

    return body


def _no_order(right: Any) -> Any:
    def of_group(self: Any, state: Any) -> Any:
        return attrs.evolve(right(self, state), order=Order.NONE)

    return of_group


def _numbers_fall(right: Any) -> Any:
    return lambda id: f"{(1 << 62) - int(right(id)):020d}"


def _claims(**more: Any) -> Callable[[Any], Any]:
    def make(right: Any) -> Any:
        return lambda *given, **named: attrs.evolve(right(*given, **named), **more)

    return make


def _deletes_nothing(right: Any) -> Any:
    async def delete(self: SqsSettling, queue: Any, handles: Sequence[str]) -> list[None]:
        return [None] * len(handles)

    return delete


MUTANTS: Final = (
    Mutant("not all are stored", "lost", SqsSending, "_store", _not_all_are_stored),
    Mutant("deduplication ids are forgotten", "stored_twice", sending, "_deduplicated", _forgets_ids),
    Mutant("the group is another one", "unexpected", receiving, "body", _another_group),
    Mutant("groups have no order", "out_of_order", attributes.Wanted, "of_group", _no_order),
    Mutant("numbers fall", "numbered_wrongly", sending, "sequence_number", _numbers_fall),
    Mutant("messages are not hidden", "leased_twice", receiving, "_claiming", _claims(lease=0)),
    Mutant("deleted messages are kept", "came_back", SqsSettling, "_delete", _deletes_nothing),
    Mutant("attempts are forgotten", "not_repeated", receiving, "_claiming", _claims(key=None)),
)
