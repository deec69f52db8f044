"""Readers of many queues over any store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.core.many.chosen import View
from queuey.core.many.reading import ManyAsked, ManyPage, ManyReader
from queuey.core.many.watching import ManyWatch
from queuey.core.policies import GivenPolicies
from queuey.core.waiting import Waits
from queuey.interfaces import IStore
from queuey.model.applications.policy import Ack, Policy, WriteTerms
from queuey.model.messages.message import Content, NewMessage
from queuey.model.queues.choice import choice_of
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.many import STORE_OLDEST, StorePosition
from queuey.model.timeid import from_seconds

OWNER = frozenset(("app:app",))
TERMS = WriteTerms(Ack.MAJORITY)


def anything(view: View) -> None:
    """Permit everything."""


class Process:
    """What one process needs to read many queues."""

    def __init__(
        self, store: IStore, clock: Clock, now: Callable[[], float], policy: Policy | None = None, settle: float = 0
    ) -> None:
        self.store = store
        self.policy = policy or Policy("app", 1000)
        policies = GivenPolicies(lambda: {"app": self.policy})
        self.waits = Waits(clock, store.subscribe)
        self.watch = ManyWatch(store, self.waits, lambda: from_seconds(now()), settle)
        self.reader = ManyReader(self.watch, store, policies, lambda: from_seconds(now()))

    def page(
        self,
        names: Sequence[str] = (),
        prefixes: Sequence[str] = (),
        place: StorePosition | None = STORE_OLDEST,
        *,
        caller: frozenset[str] = OWNER,
        permit: Callable[[View], None] = anything,
        **asked: Any,
    ) -> Deferred[ManyPage]:
        """Read a page."""
        choice = choice_of("app", tuple(names), tuple(prefixes))
        wanted = attrs.evolve(ManyAsked(choice, place, resumed=False, limit=100, max_bytes=1 << 20), **asked)
        return Deferred.fromCoroutine(self.reader.page(wanted, caller, permit))


def shown(page: ManyPage) -> list[str]:
    """Queue and body of each message."""
    return [
        f"{queue}:{message.content.body.decode()}" for queue, message in zip(page.queues, page.messages, strict=True)
    ]


class ManyCase(SynchronousTestCase):
    """One process over a store of its own."""

    store: IStore
    clock: Clock
    process: Process

    def make(self, name: str, **settings: Any) -> Queue:
        queue, _ = self.successResultOf(self.store.create("app", name, QueueSettings(**settings), None))
        return queue

    def post(self, queue: Queue, *texts: str, delay: int = 0, partition: int = 1, ttl: int = 3600) -> None:
        new = [NewMessage(partition, Content(text.encode()), ttl, delay) for text in texts]  # type: ignore[arg-type]
        self.successResultOf(self.store.append(queue, new, TERMS))
        self.process.waits.wake(queue.incarnation, new)

    def read(self, *names: str, **asked: Any) -> ManyPage:
        return self.successResultOf(self.process.page(names, **asked))
