"""The back ends that store messages, queues and states: one package for each, and all pass the same contract suites."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from queuey.config import CassandraStorage, MemoryStorage, SQLiteStorage, Storage
from queuey.errors import ConfigurationError
from queuey.interfaces import Capabilities, IExportSource, IImportTarget, IStore
from queuey.storage.caching import CachedStore
from queuey.storage.metered import MeteredStore
from queuey.storage.shared import SharedStore
from queuey.storage.shared.link import Link
from queuey.storage.timed import TimedStore

if TYPE_CHECKING:
    from queuey.storage.sqlite import SQLiteStore, Threads

ONLY_IN_MEMORY: Final = (
    "what is kept in memory is known to its own daemon alone, and ends with it: it is neither copied nor copied to"
)
"""Why such a store has no part in a copy."""

NOT_FROM_A_CLUSTER: Final = (
    "a cluster cannot be the source of a copy: cursors and receipts contain the incarnations of its queues, which are "
    "larger numbers than an embedded store can hold; use the snapshots of nodetool for a cluster"
)
"""Why no copy is made from there."""

_MULTICAST = 1 << 40
"""The bit that distinguishes a random node from the address of a network card (RFC 9562, section 6.10)."""

_CACHED_QUEUES = 4096
"""Queues that are cached; they take some 4 MiB."""

_LIMIT = 10.0
"""Seconds after which a request fails because the storage does not answer."""

_CLUSTER_LIMIT = 60.0
"""The same for a cluster, whose requests have limits of their own: what takes several of them may take longer."""

_PING_LIMIT = 3.0
"""Seconds after which the heartbeat says so."""


def make_store(settings: Storage, reactor: Any, now: Callable[[], float], metered: bool) -> IStore:
    """Make the back end that the settings name, not open yet; only its own package is imported.

    :param reactor: whose timers it uses, and in which its threads answer.
    :param now: the wall clock, in seconds since 1970; threads call it.
    :param metered: whether its calls are counted.
    :raise ConfigurationError: a library that it needs is not installed.
    """
    return count_calls(_bare_store(settings, reactor, now), reactor, metered)


def count_calls(store: IStore, reactor: Any, metered: bool) -> IStore:
    """Return the same store with its calls counted, if they should be."""
    return MeteredStore(store, reactor) if metered else store


def share_store(
    link: Link, capabilities: Capabilities, reactor: Any, now: Callable[[], float], metered: bool
) -> IStore:
    """Return the client of an embedded store that another process has open; not opened yet.

    :param link: the socket to that process.
    :param capabilities: of its store.
    :param metered: whether the calls that are made here are counted.
    """
    shared = SharedStore(link, capabilities)
    cached = CachedStore(shared, _CACHED_QUEUES, link.lease.holds)
    link.keeps = cached
    return count_calls(TimedStore(cached, reactor, _LIMIT, _PING_LIMIT), reactor, metered)


def _bare_store(settings: Storage, reactor: Any, now: Callable[[], float]) -> IStore:
    if isinstance(settings, CassandraStorage):
        from queuey.storage.cassandra.assembly import make_cassandra_store

        return TimedStore(make_cassandra_store(settings, reactor, now), reactor, _CLUSTER_LIMIT, _PING_LIMIT)
    if isinstance(settings, MemoryStorage):
        from queuey.storage.memory import MemoryStore

        node, clock_sequence = secrets.randbits(48) | _MULTICAST, secrets.randbits(14)
        memory = MemoryStore(reactor, now, settings.max_bytes, node, clock_sequence, _new_version, secrets.randbits)
        return CachedStore(memory, _CACHED_QUEUES)
    cached = CachedStore(_embedded(settings, reactor, now, False), _CACHED_QUEUES)
    return TimedStore(cached, reactor, _LIMIT, _PING_LIMIT)


def make_export_source(settings: Storage, reactor: Any, now: Callable[[], float]) -> IExportSource:
    """Return the contents of a back end as the source of a copy, even if a daemon serves from it; see ``make_store``.

    :raise ConfigurationError: this kind of back end cannot be copied.
    :raise Unavailable: it cannot be read.
    """
    if isinstance(settings, SQLiteStorage):
        from queuey.storage.sqlite.upkeep.export_source import SQLiteHoldings

        return SQLiteHoldings(settings.path, now, _threads(reactor))
    if isinstance(settings, MemoryStorage):
        raise ConfigurationError((f"[storage] backend: {ONLY_IN_MEMORY}",))
    raise ConfigurationError((f"[storage] backend: {NOT_FROM_A_CLUSTER}",))


def make_import_target(settings: Storage, reactor: Any, now: Callable[[], float]) -> IImportTarget:
    """Open a back end that serves no client, as the target of a copy; see ``make_store``.

    :raise ConfigurationError: this kind of back end cannot be the target of a copy.
    :raise Unavailable: it cannot be used.
    """
    if isinstance(settings, CassandraStorage):
        from queuey.storage.cassandra.assembly import make_import_target as make_cassandra_target

        return make_cassandra_target(settings, reactor, now)
    if isinstance(settings, MemoryStorage):
        raise ConfigurationError((f"[storage] backend: {ONLY_IN_MEMORY}",))
    store = _embedded(settings, reactor, now, True)
    store.open()
    return store.import_target()


def _embedded(settings: SQLiteStorage, reactor: Any, now: Callable[[], float], filling: bool) -> SQLiteStore:
    """The embedded store, not open yet.

    :param filling: whether it may be a copy that is not whole yet.
    """
    from queuey.storage.sqlite import SQLiteSettings, SQLiteStore

    return SQLiteStore(
        settings.path,
        SQLiteSettings(settings.durability == "relaxed", settings.cache_bytes, filling=filling, modes=settings.modes),
        reactor,
        now,
        _threads(reactor),
        secrets.randbits(48) | _MULTICAST,
        secrets.randbits(14),
        _new_version,
        secrets.randbits,
    )


def _threads(reactor: Any) -> Threads:
    from queuey.storage.sqlite import Threads

    return Threads(
        lambda work: Thread(target=work, name="queuey-store", daemon=True).start(),
        reactor.callFromThread,
        reactor.callLater,
    )


def _new_version() -> str:
    return uuid.uuid4().hex
