"""The settings of the stores: the section ``[storage]``, which has other keys for each backend."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import attrs

from queuey.config.declarations.declared import HIDDEN, RESTART, Key, setting
from queuey.config.kinds import clusters
from queuey.config.kinds.clusters import NodeAddress, Replication, nodes_text, replication_text
from queuey.config.kinds.kinds import BOOLEAN, FILE, FOLDER, Kind, integer, optional, seconds, size, text, word
from queuey.file_modes import OWN_USER, FileModes

_setting: Final = partial(setting, "storage", change=RESTART)


@attrs.frozen
class SQLiteStorage:
    """The embedded store.

    :ivar path: its folder.
    :ivar durability: ``full``, or ``relaxed``: the last writes may be lost with the power.
    :ivar cache_bytes: of each connection.
    :ivar modes: of its files; those of ``ServerSettings``.
    """

    path: Path = _setting("path", FOLDER, "./queuey-data")
    durability: str = _setting("durability", word("full", "relaxed"), "full")
    cache_bytes: int = _setting("cache", size(1 << 20, 64 << 30), "16MiB")
    modes: FileModes = OWN_USER


@attrs.frozen
class MemoryStorage:
    """The store that ends with the process.

    :ivar max_bytes: at which appends are refused.
    """

    max_bytes: int = _setting("max_bytes", size(1 << 10, 1 << 40), "256MiB")


@attrs.frozen
class ClusterTLS:
    """TLS to the nodes of a cluster.

    :ivar authorities: the certificates of the authorities that sign those of the nodes; ``None`` for the system's.
    :ivar certificate: our own, with its key in ``key`` or in the same file.
    :ivar check: how a node's certificate is verified: ``address``, ``authority`` or ``nothing``.
    """

    authorities: Path | None = _setting("tls_authorities", optional(FILE))
    certificate: Path | None = _setting("tls_certificate", optional(FILE))
    key: Path | None = _setting("tls_key", optional(FILE))
    check: str = _setting("tls_check", word("address", "authority", "nothing"), "address")


TLS: Final[Kind[ClusterTLS | None]] = Kind(BOOLEAN.allowed, lambda found, base: None, BOOLEAN.show)
"""Whether there are settings of TLS; they are read, and made, with the section."""


@attrs.frozen
class CassandraStorage:
    """The store in a keyspace of a cluster. Times are in seconds.

    :ivar hosts: nodes, with their ports if they are given.
    :ivar replication: copies of each row in each data centre, or by data centre; for a keyspace that is made.
    :ivar protocol: ``cql`` or ``thrift``.
    :ivar frontends: ``one``, or ``many`` serve from the keyspace.
    :ivar write_timeout: from the stamping of an id to the acknowledgement of its write.
    :ivar clock_skew: how far apart the clocks of two front ends may be.
    :ivar base_delay: for which messages are withheld beyond that.
    :ivar in_flight: requests that wait for the cluster at once.
    """

    hosts: tuple[NodeAddress, ...] = _setting(
        "host", Kind("nodes as host or host:port, separated by commas", clusters.nodes, nodes_text), "127.0.0.1"
    )
    keyspace: str = _setting(
        "database",
        Kind("a keyspace: a letter, and at most 47 more letters, digits and underscores", clusters.keyspace),
        "queuey",
    )
    replication: Replication = _setting(
        "replication",
        Kind("1 to 100, or one for each data centre as dc1:3, dc2:3", clusters.replication, replication_text),
        "1",
    )
    local_dc: str | None = _setting("local_dc", Kind("a data centre", clusters.centre, lambda name: name or ""))
    multi_dc: bool = _setting("multi_dc", BOOLEAN, "false")
    username: str | None = _setting("username", optional(text("a name")))
    password: str | None = _setting(
        "password",
        optional(attrs.evolve(text("a password"), show=lambda password: HIDDEN)),
        secret=True,
    )
    protocol: str = _setting("protocol", word("cql", "thrift"), "cql")
    create_schema: bool = _setting("create_schema", BOOLEAN, "true")
    frontends: str = _setting("frontends", word("one", "many"), "one")
    write_timeout: float = _setting("write_timeout", seconds(0.1, 60), "2")
    clock_skew: float = _setting("clock_skew", seconds(0.01, 60), "0.5")
    base_delay: float = _setting("base_delay", seconds(0, 3600), "0")
    request_timeout: float = _setting("request_timeout", seconds(0.1, 60), "3")
    in_flight: int = _setting("in_flight", integer(1, 32_768), "256")
    tls: ClusterTLS | None = _setting("tls", TLS, "false")


Storage = SQLiteStorage | MemoryStorage | CassandraStorage
"""The settings of a backend."""

BACKENDS: Final[dict[str, type[Storage]]] = {
    "sqlite": SQLiteStorage,
    "memory": MemoryStorage,
    "cassandra": CassandraStorage,
}
BACKEND: Final = Key("storage", "backend", text(", ".join(BACKENDS)), "sqlite", RESTART)
METADATA: Final = Key("metadata", "backend", text("the backend of [storage]"), "", RESTART)
