"""What clients of a FIFO queue did and saw, as values."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum

import attrs


class Outcome(Enum):
    """What a client knows of a call."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@attrs.frozen
class Got:
    """A message, as a receive gives it.

    :ivar number: its sequence number.
    :ivar receives: how often it was received, this time included.
    """

    id: str
    body: str
    group: str
    number: int
    receives: int
    handle: str


@attrs.frozen
class Sent:
    """One message of a call that sends.

    Each body has one deduplication id and each deduplication id one body, so a body that is sent again is a repeat.

    :ivar invoked: when the call began, in seconds by a clock that is never set; and ``ended``, when it was answered or
        given up.
    :ivar id: of the stored message; ``None`` if there was no answer.
    """

    client: str
    group: str
    body: str
    invoked: float
    ended: float
    id: str | None = None
    number: int = 0


@attrs.frozen
class Received:
    """One receive.

    :ivar attempt: its ReceiveRequestAttemptId.
    :ivar visibility: seconds for which the messages are hidden from others.
    """

    client: str
    attempt: str
    visibility: float
    invoked: float
    ended: float
    outcome: Outcome
    messages: tuple[Got, ...] = ()


@attrs.frozen
class Settled:
    """A message was deleted, or its visibility was changed, or that was asked for.

    :ivar visibility: the new one; ``None``: it was deleted.
    """

    client: str
    message: Got
    visibility: float | None
    invoked: float
    ended: float
    outcome: Outcome

    @property
    def deletes(self) -> bool:
        """Whether the message may be deleted by it."""
        return self.visibility is None and self.outcome is not Outcome.REFUSED


class History:
    """All that was done to a queue; several threads may add to it.

    :ivar now: the clock of all times in it.
    :ivar wrong: what clients saw that no call may be answered.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.sent: list[Sent] = []
        self.received: list[Received] = []
        self.settled: list[Settled] = []
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def add(self, *done: Sent | Received | Settled) -> None:
        """Note calls that are over."""
        with self._lock:
            for one in done:
                if isinstance(one, Sent):
                    self.sent.append(one)
                elif isinstance(one, Received):
                    self.received.append(one)
                else:
                    self.settled.append(one)

    def acknowledged(self) -> list[Sent]:
        """Return the sends that were answered with an id."""
        return [one for one in self.sent if one.id is not None]

    def takes(self) -> Iterator[tuple[Received, Got]]:
        """Yield each message that a receive gave."""
        for receive in self.received:
            for message in receive.messages:
                yield receive, message

    def lines(self) -> Iterator[str]:
        """Yield how many calls there were, by kind and outcome."""
        bodies = Counter(one.body for one in self.sent)
        known = len(self.acknowledged())
        repeated = sum(bodies.values()) - len(bodies)
        yield f"sent: {known} acknowledged, {len(self.sent) - known} not, of which {repeated} were repeats"
        receives = Counter(one.outcome.value for one in self.received)
        yield f"receives: {dict(receives)}, with {sum(1 for _ in self.takes())} messages"
        for name, deletes in (("deletes", True), ("changes of visibility", False)):
            words = Counter(one.outcome.value for one in self.settled if (one.visibility is None) == deletes)
            yield f"{name}: {dict(words)}"
