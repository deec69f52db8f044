"""The tables of all settings, made from the classes that declare them. Tests compare the documentation with them."""

from __future__ import annotations

from typing import Any, Final

from queuey.config.dashboard import DashboardSettings
from queuey.config.declared import Key, keys_of
from queuey.config.observed import LoggingSettings, MetricsSettings, TracingSettings
from queuey.config.policies import APPLICATION, APPLICATION_KEYS, MAX_AGE
from queuey.config.pushes import PushSettings
from queuey.config.server import OpsSettings, ServerSettings
from queuey.config.sqs_settings import SqsSettings
from queuey.config.storage import BACKEND, METADATA, CassandraStorage, ClusterTLS, MemoryStorage, SQLiteStorage
from queuey.config.users import BrowserIDSettings, IssuerSettings

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
