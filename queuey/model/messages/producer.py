"""Exactly-once producers on a store without transactions that span messages: the steps of a writer under a key, and
what a reader does with a message that is not decided yet.

The protocol is Queuey's own; docs/architecture/writes-once.rst has the reason for each step. One row for each key
decides; it is changed by compare-and-set alone. It names an *attempt* by the first id of its messages. An attempt
reserves the key, writes its messages, makes sure that this was in time for every reader, commits by one more change of
the row, and only then flags its messages as *live* and answers. A reader shows live messages, and asks the row about
others.

These are the rules without I/O, so that a test can run every interleaving of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from enum import Enum
from typing import Final

import attrs

from queuey.model.timeid import SECOND, Ticks

PATIENCE: Final = 10.0
"""Seconds for which an attempt that has not come to its end is left alone, by writers under its key and by readers."""

KILLED: Final = bytes(16)
"""Stored in place of the id of an attempt that was ended; no attempt has this id."""

CHANGES: Final = 8
"""Maximum number of times that an attempt starts again, or repeats a change of its row."""


@attrs.frozen
class Reservation:
    """The row of a key.

    :ivar txn: the attempt that it names.
    :ivar digest: the hash of the request under the key.
    :ivar done: whether that attempt has committed; from then on the row does not change.
    :ivar reserved: when the key was reserved for it, by the clock of the writer that did so.
    :ivar answer: the answer of a committed attempt, encoded by the store of the row.
    """

    txn: bytes
    digest: bytes
    done: bool
    reserved: Ticks
    answer: bytes = b""


class Step(Enum):
    """The next step of a writer."""

    STAMP = "take fresh ids, the first of which names the attempt"
    INSERT = "reserve the key, if it has no row"
    TAKE = "reserve the key, if its row names the attempt that was seen, and that has not committed"
    READ = "read the row, at SERIAL"
    WRITE = "write the messages, which are not live"
    CHECK = "see whether the write was in time for every reader, and the queue lives"
    COMMIT = "mark the row as done, if it names this attempt, and that has not committed"
    FLAG = "mark the messages of the committed attempt as live"
    ANSWER = "answer"
    REUSED = "refuse: the key stands for another request"
    IN_USE = "refuse: another attempt is under way"
    GIVE_UP = "refuse: other requests were first too often"


def reserve(row: Reservation | None, digest: bytes, now: Ticks, own: frozenset[bytes]) -> Step:
    """Return what to do about a key whose row does not name the attempt that asks.

    :param row: as it was read; ``None`` if there is none.
    :param now: by the clock of the caller. It is compared with another's clock; that decides how long one waits, never
        what is stored.
    :param own: attempts of the same writer, for which it need not wait.
    """
    if row is None:
        return Step.INSERT
    if row.txn == KILLED:
        return Step.TAKE
    if row.digest != digest:
        return Step.REUSED
    if row.done:
        return Step.FLAG
    if row.txn not in own and abs(now - row.reserved) < PATIENCE * SECOND:
        return Step.IN_USE
    return Step.TAKE


@attrs.frozen
class Attempt:
    """The progress of one writer; each method returns how it continues after a step.

    A change of the row is applied (``True``), refused (``False``), or its outcome is unknown (``None``). A refusal is
    checked by reading the row, because Cassandra may refuse if another node has completed the change.

    :ivar digest: the hash of the request.
    :ivar step: the next step.
    :ivar txn: the name of the attempt, once there are ids.
    :ivar seen: the attempt that the row named when it was last read, if that one is to be taken over.
    :ivar own: all names that this writer has had.
    :ivar named: whether the row may name, or have named, this attempt.
    :ivar checked: whether its write was found to be in time.
    :ivar unsure: whether it may be committed although no answer confirmed it.
    :ivar stands: the committed attempt, once it is known.
    :ivar left: changes that it may still make.
    """

    digest: bytes
    step: Step = Step.STAMP
    txn: bytes = b""
    seen: bytes = b""
    own: frozenset[bytes] = frozenset()
    named: bool = False
    checked: bool = False
    unsure: bool = False
    stands: bytes = b""
    left: int = CHANGES

    @property
    def duplicate(self) -> bool:
        """Return whether another writer has stored the messages."""
        return self.stands not in self.own

    @property
    def left_behind(self) -> bytes | None:
        """Return the attempt that the row may name when this writer ends here; it is to be ended, so that no writer has
        to wait for it."""
        if self.named:
            return self.txn
        return self.seen if self.seen in self.own else None

    def stamped(self, txn: bytes) -> Attempt:
        """There are fresh ids."""
        step = Step.TAKE if self.seen else Step.INSERT
        return attrs.evolve(self, step=step, txn=txn, own=self.own | {txn}, named=False, checked=False)

    def reserved(self, applied: bool | None) -> Attempt:
        """The row was asked to name this attempt."""
        named = self.named or applied is not False
        return attrs.evolve(self, step=Step.WRITE if applied else Step.READ, named=named)

    def read(self, row: Reservation | None, now: Ticks) -> Attempt:
        """The row was read, since a change of it was not applied for certain."""
        if row is not None and row.txn == self.txn:
            known = attrs.evolve(self, named=True)
            return known._stands(row.txn) if row.done else known._again(Step.COMMIT if self.checked else Step.WRITE)
        step = reserve(row, self.digest, now, self.own)
        # The row does not name this attempt, so no commit of it can be applied any more.
        known = attrs.evolve(self, seen=b"" if row is None else row.txn, unsure=False)
        if row is not None and step is Step.FLAG:
            return known._stands(row.txn)
        if step in (Step.REUSED, Step.IN_USE):
            return attrs.evolve(known, step=step)
        # Readers pass over what an attempt wrote once the row names it no more: it takes other ids.
        return known._again(Step.STAMP if self.named else step)

    def wrote(self) -> Attempt:
        """The messages were written, in time or not."""
        return attrs.evolve(self, step=Step.CHECK)

    def check(self, in_time: bool) -> Attempt:
        """It was found out whether the write was in time; if not, a reader may have passed the messages over."""
        if in_time:
            return attrs.evolve(self, step=Step.COMMIT, checked=True)
        return attrs.evolve(self, seen=self.txn)._again(Step.STAMP)

    def committed(self, applied: bool | None) -> Attempt:
        """The row was asked to be done."""
        if applied:
            return self._stands(self.txn)
        return attrs.evolve(self, step=Step.READ, unsure=True)

    def flagged(self) -> Attempt:
        """All messages are live."""
        return attrs.evolve(self, step=Step.ANSWER)

    def _stands(self, txn: bytes) -> Attempt:
        return attrs.evolve(self, step=Step.FLAG, stands=txn, unsure=False)

    def _again(self, step: Step) -> Attempt:
        """Change the row once more, unless that was done too often."""
        if not self.left:
            return attrs.evolve(self, step=Step.GIVE_UP)
        return attrs.evolve(self, step=step, left=self.left - 1)


class ReadDecision(Enum):
    """The decision of a reader about a message that is not live."""

    SHOW = "make it live; once that is stored, show it"
    SKIP = "it is no message: pass over it, and delete it"
    WAIT = "show no message from there on"
    KILL = "clear the owner of the row; if that was applied, pass over it, else show no message from there on"


def judge(txn: bytes, row: Reservation | None, seconds: float) -> ReadDecision:
    """Return what a reader does with a message that is not live.

    :param txn: the attempt that wrote it.
    :param row: of its key, read at SERIAL after the message; ``None`` if there is none. A row lives longer than the
        messages that are written under it.
    :param seconds: since this reader first saw a message of this attempt so, by a monotonic clock.
    """
    if row is None or row.txn != txn:
        return ReadDecision.SKIP
    if row.done:
        return ReadDecision.SHOW
    return ReadDecision.WAIT if seconds < PATIENCE else ReadDecision.KILL


class Waiting:
    """Since when a reader has waited for attempts to end; the last ones are remembered, up to a number.

    For one that was forgotten the wait begins again, which does no harm.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._since: OrderedDict[Hashable, float] = OrderedDict()

    def seconds(self, attempt: Hashable, now: float) -> float:
        """Return how long the reader has waited for an attempt; the time begins with the first call."""
        since = self._since.setdefault(attempt, now)
        self._since.move_to_end(attempt)
        if len(self._since) > self._most:
            self._since.popitem(last=False)
        return now - since

    def over(self, attempt: Hashable) -> None:
        """One has come to its end."""
        self._since.pop(attempt, None)
