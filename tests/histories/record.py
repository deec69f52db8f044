"""What producers and readers of the v2 API did and saw, noted by all of their threads."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator

import attrs

from queuey.model.reading.window import Position
from queuey.model.timeid import Ticks
from tests.live.cassandra.histories import Outcome, Stored


@attrs.frozen
class Send:
    """One request under an Idempotency-Key, or one line of a stream, which has a key of its own.

    :ivar process: whom it was sent to, by a name.
    :ivar bodies: of its messages; no two keys have one in common.
    :ivar reuse: whether other bodies were sent under the key, and answered 2xx, before.
    :ivar invoked: when it was sent, in seconds by a clock that is never set.
    :ivar ended: when it was answered, or given up.
    :ivar status: of the answer; 0 where there was none.
    :ivar stored: where the messages are, in the order of ``bodies``; empty unless the outcome is OK.
    :ivar duplicate: whether they had been stored before, as the answer says; ``None`` where it does not say.
    :ivar replayed: the same, as a field of the answer's head says; ``None`` for lines of a stream, which have none.
    """

    process: str
    queue: str
    key: str
    bodies: tuple[str, ...]
    reuse: bool
    invoked: float
    ended: float
    outcome: Outcome
    status: int
    stored: tuple[Stored, ...] = ()
    duplicate: bool | None = None
    replayed: bool | None = None


@attrs.frozen
class Page:
    """One page that a reader was given; the next one was asked for with its cursor.

    :ivar partitions: those that the reader reads.
    :ivar position: how far its cursor says that the reader has come.
    :ivar more: whether there was more to read just then.
    :ivar clock: the time by the clock of this machine when it was answered, with a little added for what clocks do.
    """

    reader: str
    process: str
    queue: str
    partitions: tuple[int, ...]
    invoked: float
    ended: float
    found: tuple[Stored, ...]
    position: Position
    more: bool
    clock: Ticks


class Record:
    """All that was done.

    :ivar statuses: how many answers there were of each, by the method of the request; 0 stands for none.
    :ivar problems: answers that should never be given.
    """

    def __init__(self) -> None:
        self.sends: list[Send] = []
        self.pages: list[Page] = []
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.problems: list[str] = []
        self._lock = threading.Lock()

    def add(self, *operations: Send | Page) -> None:
        """Note what is over."""
        with self._lock:
            for operation in operations:
                if isinstance(operation, Send):
                    self.sends.append(operation)
                else:
                    self.pages.append(operation)

    def answered(self, method: str, status: int) -> None:
        """Count an answer."""
        with self._lock:
            self.statuses[method, status] += 1

    def wrong(self, text: str) -> None:
        """Note an answer that should never be given."""
        with self._lock:
            self.problems.append(text)

    def answers(self) -> dict[str, list[Send]]:
        """The requests of each key that were answered 2xx, those that used it for something else left out."""
        found = defaultdict(list)
        for send in self.sends:
            if send.outcome is Outcome.OK and not send.reuse:
                found[send.key].append(send)
        return found

    def acknowledged(self) -> Iterator[Stored]:
        """Every message that some 2xx names, each once."""
        yield from dict.fromkeys(
            stored for sends in self.answers().values() for send in sends for stored in send.stored
        )

    def readers(self) -> dict[str, list[Page]]:
        """The pages of each reader, in their order."""
        found = defaultdict(list)
        for page in sorted(self.pages, key=lambda page: page.invoked):
            found[page.reader].append(page)
        return found

    def summary(self) -> str:
        """How much was done, for a line of figures."""
        outcomes = Counter(send.outcome.value for send in self.sends)
        keys = {send.key for send in self.sends}
        told = Counter(status for _, status in self.statuses.elements())
        answers = ", ".join(f"{number} of {status or 'none'}" for status, number in sorted(told.items()))
        return (
            f"{len(keys)} keys, {sum(1 for _ in self.acknowledged())} messages acknowledged, "
            f"{len(self.sends)} sends ({', '.join(f'{n} {word}' for word, n in sorted(outcomes.items()))}), "
            f"{sum(bool(send.duplicate) for send in self.sends)} of them answered as duplicates, "
            f"{self.saved()} of which another message would have come, "
            f"{sum(send.reuse for send in self.sends)} with a key of something else; "
            f"{len(self.pages)} pages; answers: {answers}"
        )

    def saved(self) -> int:
        """How many keys were stored by a request whose client got no answer that says so, and found stored by a later
        one."""
        found = 0
        for sends in self.answers().values():
            found += all(send.duplicate for send in sends)
        return found
