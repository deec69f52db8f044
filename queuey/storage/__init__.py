"""Where messages, queues and states are kept: one room a back end, each passing the same contract suites."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from threading import Thread
from typing import Any

from queuey.config import CassandraStorage, MemoryStorage, Storage
from queuey.interfaces import IStore
from queuey.storage.caching import CachedStore
from queuey.storage.metered import MeteredStore
from queuey.storage.pages import Told
from queuey.storage.timed import TimedStore

_MULTICAST = 1 << 40
"""The bit that tells a random node from the address of a network card (RFC 9562, section 6.10)."""

_CACHED_QUEUES = 4096
"""Queues whose settings are kept at hand, some 4 MiB of them."""

_CACHED_PAGES = 32 << 20
"""Bytes that pages kept at hand may take, their JSON included, counted for the worst case: plain text takes half."""

_LIMIT = 10.0
"""Seconds after which a request is told that the storage does not answer."""

_CLUSTER_LIMIT = 60.0
"""The same for a cluster, whose requests have limits of their own: what takes several of them may take longer."""

_PING_LIMIT = 3.0
"""Seconds after which the heartbeat says so."""


def make_store(settings: Storage, reactor: Any, now: Callable[[], float], metered: bool) -> IStore:
    """The back end that the settings ask for, not open yet; only its own room is imported.

    :param reactor: whose timers it uses, and in which its threads answer.
    :param now: the wall clock, in seconds since 1970; threads call it.
    :param metered: whether its calls are counted.
    :raise ConfigurationError: where what it needs is not installed.
    """
    store = _bare_store(settings, reactor, now)
    return MeteredStore(store, reactor) if metered else store


def _bare_store(settings: Storage, reactor: Any, now: Callable[[], float]) -> IStore:
    if isinstance(settings, CassandraStorage):
        from queuey.storage.cassandra.assembly import make_cassandra_store

        return TimedStore(make_cassandra_store(settings, reactor, now), reactor, _CLUSTER_LIMIT, _PING_LIMIT)
    told = Told(now)
    node, clock_sequence = secrets.randbits(48) | _MULTICAST, secrets.randbits(14)
    if isinstance(settings, MemoryStorage):
        from queuey.storage.memory import MemoryStore

        memory = MemoryStore(reactor, told, settings.max_bytes, node, clock_sequence, _new_version, secrets.randbits)
        return CachedStore(memory, told, _CACHED_QUEUES, _CACHED_PAGES)
    from queuey.storage.sqlite import SQLiteSettings, SQLiteStore, Threads

    store = SQLiteStore(
        settings.path,
        SQLiteSettings(settings.durability == "relaxed", settings.cache_bytes),
        reactor,
        told,
        Threads(
            lambda work: Thread(target=work, name="queuey-store", daemon=True).start(),
            reactor.callFromThread,
            lambda call: reactor.callLater(0, call),
        ),
        node,
        clock_sequence,
        _new_version,
        secrets.randbits,
    )
    return TimedStore(CachedStore(store, told, _CACHED_QUEUES, _CACHED_PAGES), reactor, _LIMIT, _PING_LIMIT)


def _new_version() -> str:
    return uuid.uuid4().hex
