"""A core over a memory store, which tests can look into and hold back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, cycle
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.core.contention import Retries
from queuey.core.groups.rows import GroupRows
from queuey.core.messages import MessageExchange
from queuey.core.policies import GivenPolicies
from queuey.core.queues import QueueChanges, QueueDirectory
from queuey.core.rates import RateLimits
from queuey.core.waiting import Waits
from queuey.errors import Conflict
from queuey.model.applications.policy import Ack, Policy, WriteTerms
from queuey.model.messages.message import NewMessage
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.window import Merge, MergeSlice
from queuey.model.timeid import MessageId
from queuey.storage.memory import MemoryStore


class Recording(MemoryStore):
    """A memory store that remembers on what terms it was asked, and can hold its answers back."""

    terms: WriteTerms | None = None
    ack: Ack | None = None
    held: Deferred[None] | None = None
    conflicts = 0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.merges: list[Merge] = []

    def append(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms
    ) -> Deferred[tuple[MessageId, ...]]:
        self.terms = terms
        stored = super().append(queue, messages, terms)
        if self.held is None:
            return stored
        return self.held.addCallback(lambda _: stored)

    def read_merged(self, queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
        self.merges.append(merge)
        return super().read_merged(queue, merge, ack)

    def count(self, queue: Queue, ack: Ack) -> Deferred[int]:
        self.ack = ack
        return super().count(queue, ack)

    def update(self, queue: Queue, settings: QueueSettings) -> Deferred[Queue]:
        if self.conflicts:
            self.conflicts -= 1
            return fail(Conflict("Somebody else was first."))
        return super().update(queue, settings)


POLICY = Policy("a", 1000, max_bytes=10_000, max_queues=5)


class CoreTestCase(SynchronousTestCase):
    """A core of its own."""

    def setUp(self) -> None:
        self.clock, versions = Clock(), count()
        told, bits = self.clock.seconds, Random(1).getrandbits
        self.store = Recording(self.clock, told, 1 << 24, 1 << 40, 1, lambda: f"v{next(versions)}", bits)
        self.waits = Waits(self.clock, self.store.subscribe)
        self.store.open()
        policies = GivenPolicies(lambda: {"a": POLICY})
        turns = cycle(range(200))
        self.exchange = MessageExchange(
            self.store,
            policies,
            lambda below: next(turns) % below,
            self.waits,
            RateLimits(policies, self.clock),
            settles=False,
        )
        new_bytes = Random(2).randbytes
        rows = GroupRows(self.store.states, new_bytes, self.store.groups)
        self.directory = QueueDirectory(self.store, policies, rows, Retries(self.clock, new_bytes))

    def make(self, **changes: object) -> Queue:
        queue, _ = self.successResultOf(
            self.directory.create("a", "q", QueueChanges(**changes))  # type: ignore[arg-type]
        )
        return queue
