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
        """Something is about to be done with messages.

        :param operation: one of those in ``model.served``.
        :param group: the consumer group for which it is done.
        """

    def sent(self, drafts: Sequence[Draft], addresses: Sequence[Address], *, single: bool = False) -> None:
        """Messages were stored; may be said again of more of them.

        :param addresses: where each of them is.
        :param single: whether it is about one only.
        """

    def received(self, messages: Sequence[Message], *, single: bool = False) -> None:
        """Messages are handed out; may be said again of more of them.

        :param single: whether it is about one only.
        """

    def settled(self, count: int) -> None:
        """So many receipts were looked at."""


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
        """See :class:`Untraced`; what has not come to an end ends now."""
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
        told = ((_id(at), draft.content.headers) for at, draft in pairs)
        self._note(None if single else len(drafts), told)

    def received(self, messages: Sequence[Message], *, single: bool = False) -> None:
        """See :class:`Untraced`."""
        told = ((_id(message), message.content.headers) for message in messages)
        self._note(None if single else len(messages), told)

    def settled(self, count: int) -> None:
        """See :class:`Untraced`."""
        self._note(count, ())

    def _note(self, count: int | None, told: Iterable[tuple[str, bytes | None]]) -> None:
        self._ended = self._seconds()
        if count is not None:
            self._count = count + (self._count or 0)
        room = MAX_CARRIED - len(self._carried)
        some = (TracedMessage(id, own) for id, own in told if count is None or (own is not None and _PARENT in own))
        self._carried.extend(islice(some, room))


def _id(where: Address | Message) -> str:
    """The id of a message, as the second API has it."""
    return f"{where.id.hex()}-{where.partition}"
