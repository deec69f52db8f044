"""The parts that send pushes, put together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from queuey.core.applications.stored import Snapshot, StoredApplications
from queuey.core.contention import Retries
from queuey.core.groups.exchange import GroupExchange
from queuey.core.messages import MessageExchange
from queuey.core.policies import Policies
from queuey.core.pushes.directory import PushDirectory
from queuey.core.pushes.engine import PushEngine
from queuey.core.pushes.registry import PushRegistry
from queuey.core.pushes.sealed import PushSealing
from queuey.core.pushes.senders import Senders
from queuey.core.pushes.values import PushMeans
from queuey.core.queues import QueueDirectory
from queuey.core.rates import RateLimits
from queuey.fair_slots import FairSlots
from queuey.interfaces import IPushSender, ISeals, IStore
from queuey.logs import EventLog
from queuey.model.pushes.addresses import Network
from queuey.service.parts.in_force import InForce

RESOLVING_THREADS: Final = 16
"""Threads that resolve the names of endpoints: slow name servers delay pushes alone, and applications share them."""

MakeSender = Callable[[Any, Callable[[], Iterable[Network]]], IPushSender | None]
"""Makes what sends pushes, of the reactor and the networks that the operator allows; ``None``: libraries are
missing."""

_log: Final = EventLog(Logger(namespace="queuey.service"))


def make_sender(reactor: Any, networks: Callable[[], Iterable[Network]]) -> IPushSender | None:
    """Return what sends pushes over HTTP; its dependencies are imported only when it is made."""
    try:
        from queuey.outgoing.sender import PushSender
    except ImportError:
        return None
    from twisted.internet._resolver import GAIResolver
    from twisted.python.threadpool import ThreadPool

    pool = ThreadPool(0, RESOLVING_THREADS, "resolving")
    pool.start()
    reactor.addSystemEventTrigger("during", "shutdown", pool.stop)
    return PushSender(reactor, GAIResolver(reactor, lambda: pool), networks, RESOLVING_THREADS)


class _Seals:
    """Makes what seals secrets, again if its keys have changed."""

    def __init__(self, keys: Callable[[], tuple[str, ...]]) -> None:
        self._keys = keys
        self._made_of: tuple[str, ...] | None = None
        self._made: ISeals | None = None

    def get(self) -> ISeals | None:
        keys = self._keys()
        if keys != self._made_of:
            try:
                from queuey.outgoing.sealing import Seals
            except ImportError:
                return None
            self._made, self._made_of = Seals(keys), keys
        return self._made


def pushing(
    *,
    in_force: InForce,
    reactor: Any,
    now: Callable[[], float],
    store: IStore,
    directory: QueueDirectory,
    groups: GroupExchange,
    messages: MessageExchange,
    policies: Policies,
    rates: RateLimits,
    stored: StoredApplications,
    alone: bool,
    make: MakeSender,
) -> tuple[PushDirectory, PushEngine]:
    """Put the parts together.

    :param alone: whether no other process sends pushes of this store.
    """
    made: list[IPushSender | None] = []

    def sender() -> IPushSender | None:
        if not made:
            made.append(make(reactor, lambda: in_force.settings.push.networks))
        return made[0]

    def has_pushes(snapshot: Snapshot) -> bool:
        return any(one.members.get("push") for one in snapshot.applications.values())

    def wanted() -> Deferred[bool]:
        if any(policy.push for policy in in_force.policies.values()):
            return succeed(True)
        return stored.current().addCallback(has_pushes)

    def defect(failure: Failure) -> None:
        _log.failure("pushes-failed", "pushes could not be looked at; this is retried", failure)

    means = PushMeans(
        states=store.states,
        directory=directory,
        groups=groups,
        messages=messages,
        policies=policies,
        rates=rates,
        sender=sender,
        sealing=PushSealing(_Seals(lambda: in_force.settings.push.secrets).get),
        ports=lambda: in_force.settings.push.ports,
        slots=FairSlots(in_force.settings.push.max_requests),
        clock=reactor,
        now=now,
        random=Random().random,
        new_bytes=os.urandom,
        defect=defect,
    )
    registry = PushRegistry(store.states, Retries(reactor, os.urandom), os.urandom)
    engine = PushEngine(means, registry, Senders(store.states, reactor, os.urandom, alone), wanted)
    return PushDirectory(means, registry, engine), engine
