"""What clients of consumer groups did and saw, as values, and the history that has all of it."""

from __future__ import annotations

import json
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from queuey.model.groups.entries import GENERATION
from queuey.model.groups.settings import GroupSettings
from queuey.model.queues.queue import Guarantee
from queuey.model.timeid import MessageId
from tests.histories.record import Page, Record, Send
from tests.live.cassandra.histories import Outcome, Stored

_RECEIPT: Final = struct.Struct(f">B16s{GENERATION}sB16sQ16s")
"""Of a receipt: its version, the queue's incarnation, the generation, the partition, the id, the number, the seal."""


@attrs.frozen
class Plan:
    """A group, and what is done to it.

    :ivar rejects: whether messages are rejected.
    :ivar seeks: whether it is moved now and then.
    :ivar queue: of which it is; ``None`` if there is only one.
    """

    name: str
    settings: GroupSettings
    rejects: bool = False
    seeks: bool = False
    queue: str | None = None

    @property
    def at_most_once(self) -> bool:
        """Whether what it is given is settled by that."""
        return self.settings.guarantee is Guarantee.AT_MOST_ONCE

    @property
    def gives_up(self) -> bool:
        """Whether a message may end otherwise than by an ack."""
        return self.rejects or self.settings.max_deliveries > 0


@attrs.frozen
class Given:
    """One message that a claim was given.

    :ivar receipt: as it was given; ``None`` where it is at most once.
    :ivar generation: that the receipt names, and ``number``, the lease's; they are empty and 0 without a receipt.
    :ivar lease: seconds.
    :ivar until: when the lease ends, in seconds since 1970.
    """

    message: Stored
    receipt: str | None = None
    generation: str = ""
    number: int = 0
    deliveries: int = 1
    lease: int = 0
    until: float = 0.0


@attrs.frozen
class Claimed:
    """One claim.

    :ivar group: that has served it; if none has, or it is not known, the first one that it named.
    :ivar groups: all that it named, if it is a claim of several; else empty.
    :ivar client: who asked.
    :ivar process: whom it was sent to.
    :ivar invoked: when it was sent, in seconds by a clock that is never set; and ``ended``, when it was answered or
        given up.
    :ivar clock: when it was answered, by the server's clock, in seconds since 1970.
    """

    client: str
    process: str
    group: str
    key: str | None
    limit: int
    invoked: float
    ended: float
    clock: float
    outcome: Outcome
    given: tuple[Given, ...] = ()
    blocked: bool = False
    groups: tuple[str, ...] = ()

    def may_have_taken_of(self, group: str) -> bool:
        """Whether messages of a group may have been taken, as far as its client knows."""
        return group == self.group or (self.outcome is Outcome.UNKNOWN and group in self.groups)


@attrs.frozen
class Asked:
    """What was asked for one receipt, and what that was answered.

    :ivar given: whose receipt it is.
    :ivar span: seconds of a retry's delay, or of the lease that an extension asks for.
    :ivar forged: a receipt that was sent in place of its own; empty where that was sent.
    :ivar outcome: the word; ``None`` where the answer is not known.
    """

    action: str
    given: Given
    span: int = 0
    forged: str = ""
    outcome: str | None = None

    @property
    def receipt(self) -> str:
        """What was sent."""
        return self.forged or self.given.receipt or ""


@attrs.frozen
class Settled:
    """One request to settle; the times as those of a claim."""

    client: str
    process: str
    group: str
    invoked: float
    ended: float
    outcome: Outcome
    asked: tuple[Asked, ...]


@attrs.frozen
class Sought:
    """A group was moved, or that was asked for."""

    client: str
    process: str
    group: str
    to: str
    invoked: float
    ended: float
    outcome: Outcome


@attrs.frozen
class Redriven:
    """Dead letters were taken back, or that was asked for."""

    client: str
    process: str
    group: str
    invoked: float
    ended: float
    outcome: Outcome
    moved: int = 0


@attrs.frozen
class Fault:
    """Something that was broken on purpose.

    :ivar at: when, by the clock of the operations, and ``until`` when that was over.
    :ivar sets_clock: whether leases may end sooner for it than they say.
    """

    kind: str
    at: float
    until: float
    sets_clock: bool = False


@attrs.frozen
class Letter:
    """A dead letter that is there at the end.

    :ivar origin: the id of the message that it was.
    """

    group: str
    queue: str
    origin: str
    body: str
    deliveries: int


def letter_of(headers: Mapping[str, Any], body: str) -> Letter:
    """A dead letter, as it is found."""
    origin = headers["queuey-dead-letter"]
    return Letter(origin["group"], origin["queue"], origin["id"], body, origin["deliveries"])


@attrs.frozen
class End:
    """What is there once nothing is broken any more and every group has been emptied.

    :ivar found: the messages of the queue.
    :ivar aside: how many messages each group has set aside.
    """

    found: Sequence[Stored]
    letters: Sequence[Letter] = ()
    aside: Mapping[str, int] = attrs.Factory(dict)


Operation = Claimed | Settled | Sought | Redriven
Done = Operation | Send | Page

_WORDS: Final[Mapping[type, str]] = {
    Claimed: "claim",
    Settled: "settle",
    Sought: "seek",
    Redriven: "redrive",
    Send: "post",
    Page: "read",
}


class GroupHistory(Record):
    """All that was done to a queue and its groups.

    :ivar operations: of groups, in the order in which they ended.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.faults: list[Fault] = []

    def add(self, *operations: Done) -> None:
        """Note what is over."""
        for operation in operations:
            if isinstance(operation, Send | Page):
                super().add(operation)
            else:
                with self._lock:
                    self.operations.append(operation)

    def broken(self, fault: Fault) -> None:
        """Note a fault."""
        with self._lock:
            self.faults.append(fault)

    @property
    def claims(self) -> list[Claimed]:
        """All claims."""
        return [one for one in self.operations if isinstance(one, Claimed)]

    @property
    def settlements(self) -> list[Settled]:
        """All requests to settle."""
        return [one for one in self.operations if isinstance(one, Settled)]

    @property
    def settled_by_claims(self) -> Counter[str]:
        """The outcomes of the settlements that claims of several groups have made."""
        claims = {(one.client, one.invoked) for one in self.claims if one.groups}
        with_claims = [one for one in self.settlements if (one.client, one.invoked) in claims]
        return Counter(asked.outcome or "unknown" for one in with_claims for asked in one.asked)

    @property
    def seeks(self) -> list[Sought]:
        """All seeks."""
        return [one for one in self.operations if isinstance(one, Sought)]

    @property
    def redrives(self) -> list[Redriven]:
        """All redrives."""
        return [one for one in self.operations if isinstance(one, Redriven)]

    def counts(self) -> Counter[tuple[str, str]]:
        """How many operations there were, by kind and outcome; of pages only those are noted that came."""
        every: list[Send | Operation] = [*self.sends, *self.operations]
        found = Counter((_WORDS[type(one)], one.outcome.value) for one in every)
        found["read", Outcome.OK.value] = len(self.pages)
        return +found

    def lines(self) -> Iterator[str]:
        """How much was done, for people."""
        counts = self.counts()
        for word in _WORDS.values():
            told = [f"{counts[word, one.value]} {one.value}" for one in Outcome if counts[word, one.value]]
            if told:
                yield f"{word}: {', '.join(told)}"
        outcomes = Counter(asked.outcome or "unknown" for one in self.settlements for asked in one.asked)
        yield f"outcomes of settlements: {_told(outcomes)}"
        served = Counter(one.group for one in self.claims if one.groups and one.given)
        if served:
            yield f"claims of several groups were served by: {_told(served)}"
            yield f"and have settled: {_told(self.settled_by_claims)}"
        yield f"faults: {_told(Counter(fault.kind for fault in self.faults))}"

    def events(self) -> Iterator[dict[str, Any]]:
        """Everything that happened in the order of time: each operation as it was begun, and as it ended."""
        found: list[tuple[float, int, dict[str, Any]]] = []
        every: list[Done] = [*self.sends, *self.pages, *self.operations]
        for number, one in enumerate(every):
            what, outcome = _WORDS[type(one)], getattr(one, "outcome", Outcome.OK)
            found.append((one.invoked, number, {"number": number, "event": "invoke", "what": what}))
            found.append((one.ended, number, {"number": number, "event": outcome.value, "what": what, **_plain(one)}))
        found += [(fault.at, -1, {"event": "fault", **_plain(fault)}) for fault in self.faults]
        for at, _, event in sorted(found, key=lambda one: one[:2]):
            yield {"at": round(at, 6), **event}

    def save(self, path: Path) -> None:
        """Write all events to a file, one a line, as JSON."""
        with path.open("w", encoding="utf-8") as file:
            for event in self.events():
                file.write(json.dumps(event) + "\n")


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {word}" for word, number in sorted(counts.items())) or "none"


def _plain(value: Any) -> dict[str, Any]:
    """A value as JSON can have it."""

    def one(_: type, __: Any, value: Any) -> Any:
        if isinstance(value, bytes):
            return value.hex()
        return value.value if isinstance(value, Outcome) else value

    return attrs.asdict(value, value_serializer=one)


# Receipts, as somebody sees them who does not have the key


def read_receipt(text: str) -> tuple[str, int, MessageId, int]:
    """The generation, the partition, the id and the number that a receipt names."""
    _, _, generation, partition, id, number, _ = _RECEIPT.unpack(urlsafe_b64decode(text))
    return generation.hex(), partition, MessageId(id), number


def forged(text: str, by: int) -> str:
    """A receipt whose number is another one, with the seal that it had."""
    *head, number, seal = _RECEIPT.unpack(urlsafe_b64decode(text))
    return urlsafe_b64encode(_RECEIPT.pack(*head, max(0, number + by), seal)).decode("ascii")


def given(message: Stored, receipt: str | None, deliveries: int, lease: int, until: float) -> Given:
    """A message as a claim was given it.

    :raise ValueError: its receipt names another message.
    """
    if receipt is None:
        return Given(message, deliveries=deliveries)
    generation, partition, id, number = read_receipt(receipt)
    if (partition, id) != (message.spot.partition, message.id):
        raise ValueError(f"the receipt of {message} names {id.hex()}-{partition}")
    return Given(message, receipt, generation, number, deliveries, lease, until)
