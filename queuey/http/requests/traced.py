"""Notes about a request while it is handled, if requests are traced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

from queuey.model.messages.message import Address, Draft, Message
from queuey.model.telemetry.served import MAX_CARRIED, TracedMessage, Work
from queuey.model.telemetry.trace import PARENT

_PARENT: Final = PARENT.encode("ascii")


class Untraced:
    """Ignores all notes, so that handlers do not have to check whether requests are traced."""

    __slots__ = ()

    @property
    def work(self) -> Work | None:
        """The work on messages, if it has begun."""
        return None

    def begin(self, operation: str, group: str | None = None) -> None:
        """Note that the work on messages begins.

        :param operation: one of those in ``model.served``.
        :param group: the consumer group for which it is done.
        """

    def sent(self, drafts: Sequence[Draft], addresses: Sequence[Address], *, single: bool = False) -> None:
        """Note that messages were stored. Further calls add to the number.

        :param addresses: the address of each message.
        :param single: whether the request is about a single message.
        """

    def received(self, messages: Sequence[Message], *, single: bool = False) -> None:
        """Note that messages are delivered. Further calls add to the number.

        :param single: whether the request is about a single message.
        """

    def settled(self, count: int) -> None:
        """Note the number of receipts that were settled."""


UNTRACED: Final = Untraced()


class Traced(Untraced):
    """Keeps the notes for the tracer, and only those messages that a span reports."""

    __slots__ = ("_began", "_carried", "_count", "_ended", "_group", "_operation", "_seconds")

    def __init__(self, seconds: Callable[[], float]) -> None:
        """:param seconds: since the request began."""
        self._seconds = seconds
        self._operation: str | None = None
        self._group: str | None = None
        self._began = 0.0
        self._ended: float | None = None
        self._count: int | None = None
        self._carried: list[TracedMessage] = []

    @property
    def work(self) -> Work | None:
        """See :class:`Untraced`; work that has not ended is said to end now."""
        if self._operation is None:
            return None
        ended = self._seconds() if self._ended is None else self._ended
        return Work(self._operation, self._began, ended, self._count, self._group, tuple(self._carried))

    def begin(self, operation: str, group: str | None = None) -> None:
        """See :class:`Untraced`."""
        self._operation, self._group, self._began = operation, group, self._seconds()

    def sent(self, drafts: Sequence[Draft], addresses: Sequence[Address], *, single: bool = False) -> None:
        """See :class:`Untraced`."""
        pairs = zip(addresses, drafts, strict=True)
        noted = ((_id(at), draft.content.headers) for at, draft in pairs)
        self._note(None if single else len(drafts), noted)

    def received(self, messages: Sequence[Message], *, single: bool = False) -> None:
        """See :class:`Untraced`."""
        noted = ((_id(message), message.content.headers) for message in messages)
        self._note(None if single else len(messages), noted)

    def settled(self, count: int) -> None:
        """See :class:`Untraced`."""
        self._note(count, ())

    def _note(self, count: int | None, pairs: Iterable[tuple[str, bytes | None]]) -> None:
        self._ended = self._seconds()
        if count is not None:
            self._count = count + (self._count or 0)
        room = MAX_CARRIED - len(self._carried)
        some = (TracedMessage(id, own) for id, own in pairs if count is None or (own is not None and _PARENT in own))
        self._carried.extend(islice(some, room))


def _id(where: Address | Message) -> str:
    """Return the id of a message as v2 shows it."""
    return f"{where.id.hex()}-{where.partition}"
