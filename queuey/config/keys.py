"""The tables of all settings, made from the classes that declare them. Tests compare the documentation with them."""

from __future__ import annotations

from typing import Any, Final

from queuey.config.declarations.dashboard import DashboardSettings
from queuey.config.declarations.declared import Key, keys_of
from queuey.config.declarations.observed import LoggingSettings, MetricsSettings, TracingSettings
from queuey.config.declarations.policies import APPLICATION, APPLICATION_KEYS, MAX_AGE
from queuey.config.declarations.pushes import PushSettings
from queuey.config.declarations.server import OpsSettings, ServerSettings
from queuey.config.declarations.sqs import SqsSettings
from queuey.config.declarations.storage import (
    BACKEND,
    METADATA,
    CassandraStorage,
    ClusterTLS,
    MemoryStorage,
    SQLiteStorage,
)
from queuey.config.declarations.users import BrowserIDSettings, IssuerSettings

SERVER: Final = keys_of(ServerSettings, OpsSettings, DashboardSettings)
STORAGE: Final[dict[str, tuple[Key[Any], ...]]] = {
    "sqlite": (BACKEND, *keys_of(SQLiteStorage)),
    "memory": (BACKEND, *keys_of(MemoryStorage)),
    "cassandra": (BACKEND, *keys_of(CassandraStorage, ClusterTLS)),
}
"""The keys of ``[storage]``, for each backend."""

APPLICATIONS: Final = (MAX_AGE,)
TABLE: Final[tuple[Key[Any], ...]] = (
    *SERVER,
    *STORAGE["sqlite"],
    *STORAGE["memory"][1:],
    *STORAGE["cassandra"][1:],
    METADATA,
    *keys_of(BrowserIDSettings, IssuerSettings),
    APPLICATION_KEYS,
    *APPLICATION,
    *APPLICATIONS,
    *keys_of(LoggingSettings, MetricsSettings, TracingSettings, PushSettings, SqsSettings),
)
"""Every key."""


def names(table: tuple[Key[Any], ...]) -> tuple[str, ...]:
    """Return the names of settings."""
    return tuple(key.name for key in table)
