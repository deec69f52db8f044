"""What the state machine of stores draws, and what it needs of a store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from hypothesis import strategies as st

from queuey.errors import Conflict, IdOutOfRange, KeyReused, NoSuchQueue, PreconditionFailed, StorageFull
from queuey.model.messages.message import MAX_TTL, Content
from queuey.model.queues.queue import Consistency, Guarantee, Queue, QueueSettings, QueueType
from queuey.model.timeid import (
    MAX_TICKS,
    SECOND,
    Ticks,
    make,
)
from tests.contracts.subject import Subject

APPLICATIONS = st.sampled_from(["app", "app2"])


NAMES = st.sampled_from(["a", "ab", "b", "\uffff", "\U00010000"])


SETTINGS = st.builds(
    QueueSettings,
    st.sampled_from(QueueType),
    st.integers(1, 200),
    st.sampled_from(Consistency),
    st.lists(st.sampled_from(["app:x", "bid:a@b.example"]), unique=True).map(tuple),
    st.none() | st.sampled_from(Guarantee),
    st.none() | st.integers(1, MAX_TTL),
)


PARTITIONS = st.sampled_from([1, 1, 1, 2, 3])


TTLS = st.sampled_from([60, 60, 60, 8, 5, 2, 1])


DELAYS = st.sampled_from([0, 0, 0, 1, SECOND, 3 * SECOND, 9 * SECOND]).map(Ticks)


CONDITIONS = st.sampled_from(["any", "any", "absent", "present", "these", "others", "not these", "not others"])


LIFETIMES = st.sampled_from([3600, 3600, 10, 3])


CONTENTS = st.builds(
    Content, st.binary(max_size=12), st.none() | st.text("a\u00e9", max_size=4), st.none() | st.binary(max_size=3)
)


LIMITS = st.sampled_from([None, None, None, 10, 30, 60, 100])


SELDOM = st.sampled_from([False, False, False, True])


PLACES = st.integers(0, 40)


# How an id is chosen: one that is there, one that the store itself is about to make, or any other.
IDS = st.one_of(
    st.tuples(st.just("known"), PLACES),
    st.tuples(st.just("next"), st.integers(1, 4)),
    st.tuples(st.just("other"), st.integers(-20, 40)),
    st.tuples(st.just("extreme"), st.integers(0, 1)),
)


EXTREMES = (make(Ticks(0), 0, 0), make(MAX_TICKS, 0x3FFF, (1 << 48) - 1))


WORDS = (NoSuchQueue, StorageFull, Conflict, KeyReused, PreconditionFailed, IdOutOfRange)


Check = Callable[[Any], None]


class HoldableSubject(Subject, Protocol):
    """A subject whose write batches the machine may hold back; others answer at once.

    :ivar counts_bytes: whether it holds the limit on an application's bytes.
    :ivar clock_goes_back: whether its clock may be set back.
    :ivar stamps_all: whether its stable time goes with the clock, and it takes an id of now also for a message that has
        another.
    :ivar forgets_in_time: whether it remembers what was answered to a key for just as long as it is asked to.
    """

    @property
    def counts_bytes(self) -> bool: ...

    @property
    def clock_goes_back(self) -> bool: ...

    @property
    def forgets_in_time(self) -> bool: ...

    @property
    def stamps_all(self) -> bool: ...

    def hold(self) -> None:
        """Let writes wait."""

    def release(self) -> None:
        """Let all that wait go on, as one write batch."""


def within(queue: Queue, partition: int) -> int:
    """One of the partitions that a queue has: messages are put into no others."""
    return (partition - 1) % queue.settings.partitions + 1
