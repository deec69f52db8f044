"""The sections of the daemon itself: the server, its store, its log and its metrics, one function a section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from queuey.config import keys, legacy
from queuey.config.declarations.dashboard import DashboardSettings
from queuey.config.declarations.declared import attributes, key_of, keys_of
from queuey.config.declarations.observed import LoggingSettings, MetricsSettings
from queuey.config.declarations.policies import MAX_AGE
from queuey.config.declarations.server import OpsSettings, ServerSettings
from queuey.config.declarations.storage import (
    BACKEND,
    METADATA,
    CassandraStorage,
    ClusterTLS,
    MemoryStorage,
    SQLiteStorage,
    Storage,
)
from queuey.config.kinds.endpoints import local
from queuey.config.kinds.kinds import BOOLEAN
from queuey.config.mistakes import Report, nearest, plain, shown
from queuey.config.sections.reader import Reader

_BACKENDS: Final = tuple(keys.STORAGE)
_NEEDS_TOKEN: Final = "can be reached by others than the operators of this machine, so it needs an ops_token"
_GONE: Final[Mapping[str, str]] = {"channel": "is ignored: there is only one way to read the heads of requests"}
_NO_USE: Final = "is passed over: the memory backend has no use for it"


def _without_gone(reader: Reader, gone: Mapping[str, str]) -> Reader:
    """Leave out keys that were settings once, with a warning for each: files that have them can still be loaded."""
    for name, why in gone.items():
        if name in reader.values:
            reader.report.warn(reader.place(name), why)
    return attrs.evolve(reader, values={name: text for name, text in reader.values.items() if name not in gone})


def server(reader: Reader, endpoint: str) -> ServerSettings:
    """The ``[server]`` section.

    :param endpoint: the default, if the section names none.
    """
    reader = _without_gone(reader, _GONE)
    reader.refuse_unknown(keys.names(keys.SERVER))
    http = reader.value(legacy.HTTP)
    return reader.section(
        ServerSettings,
        http=http if reader.values.get(legacy.HTTP.name) or not endpoint else (endpoint,),
        ops=_ops(reader),
        dashboard=reader.section(DashboardSettings),
    )


def _ops(reader: Reader) -> OpsSettings:
    ops = reader.section(OpsSettings)
    if ops.token is None and not reader.values.get(key_of(OpsSettings, "token").name):
        for one in ops.listen:
            if not local(one):
                reader.report.problem(reader.place(key_of(OpsSettings, "named").name), f"{shown(one)} {_NEEDS_TOKEN}")
    return ops


def applications(reader: Reader) -> float:
    """The ``[applications]`` section: seconds."""
    reader.refuse_unknown(keys.names(keys.APPLICATIONS))
    return reader.value(MAX_AGE)


def backend(reader: Reader) -> str | None:
    """The backend that ``[storage]`` names; ``None`` if it was refused, and reported."""
    return _backend(reader, legacy.BACKENDS)


def storage(reader: Reader, backend: str | None) -> Storage:
    """The rest of the ``[storage]`` section.

    :param backend: as :func:`backend` found it.
    """
    if backend is None:
        # The keys belong to a backend that was refused: to judge them by another one's would mislead.
        reader = attrs.evolve(reader, values={})
    else:
        _refuse_other_backends(reader, backend)
    if backend == "memory":
        return reader.section(MemoryStorage)
    if backend == "cassandra":
        return _cassandra(reader)
    return reader.section(SQLiteStorage)


def _cassandra(reader: Reader) -> CassandraStorage:
    found = reader.section(CassandraStorage, tls=_tls(reader))
    if (found.username is None) is not (found.password is None):
        given, missing = ("password", "username") if found.username is None else ("username", "password")
        reader.report.problem(reader.place(given), f"has no effect without {missing}")
    return found


def _tls(reader: Reader) -> ClusterTLS | None:
    tls = reader.section(ClusterTLS)
    switch = key_of(CassandraStorage, "tls")
    if tls.key is not None and tls.certificate is None:
        reader.report.problem(reader.place("tls_key"), "has no effect without tls_certificate")
    if reader.value(attrs.evolve(switch, kind=BOOLEAN)):
        return tls
    for _, key in attributes(ClusterTLS):
        if reader.values.get(key.name):
            reader.report.problem(reader.place(key.name), "has no effect without tls = true")
    return None


def _backend(reader: Reader, dotted: Mapping[str, str]) -> str | None:
    """The backend that a section names; ``None`` if it was refused."""
    text = reader.values.get("backend") or BACKEND.default
    found = dotted.get(text, text)
    if found in _BACKENDS:
        return found
    known = (*_BACKENDS, *dotted)
    reader.report.problem(
        reader.place("backend"),
        f"{plain(text)} is not known",
        allowed=", ".join(_BACKENDS),
        meant=nearest(text, known),
    )
    return None


def _refuse_other_backends(reader: Reader, backend: str) -> None:
    own = keys.names(keys.STORAGE[backend])
    left = {}
    for name, text in reader.values.items():
        owners = [other for other, table in keys.STORAGE.items() if name in keys.names(table)]
        if name in own or not owners:
            left[name] = text
        elif name in legacy.CASSANDRA_KEYS and reader.values.get("backend", "") in legacy.BACKENDS:
            reader.report.warn(reader.place(name), _NO_USE)
        else:
            reader.report.problem(
                reader.place(name), f"belongs to backend = {owners[0]}, not {backend}", allowed=", ".join(own)
            )
    attrs.evolve(reader, values=left).refuse_unknown(own)


def metadata(reader: Reader, backend: str | None) -> None:
    """The ``[metadata]`` section, which may only repeat the backend of ``[storage]``.

    :param backend: that of ``[storage]``, ``None`` if it was refused.
    """
    found = _backend(reader, legacy.METADATA_BACKENDS) if reader.values.get("backend") else backend
    if found is None or backend is None:
        return
    if found != backend:
        what = f"{found} is not that of [storage], and this version keeps queues and messages in one backend"
        reader.report.problem(reader.place("backend"), what, allowed=backend)
    left = {}
    for name, text in reader.values.items():
        if name not in legacy.CASSANDRA_KEYS or not (found == "cassandra" or _is_dotted(reader)):
            left[name] = text
        elif found == "cassandra":
            reader.report.warn(reader.place(name), "is passed over: what [storage] has holds for queues too")
        else:
            reader.report.warn(reader.place(name), _NO_USE)
    attrs.evolve(reader, values=left).refuse_unknown((METADATA.name,))


def _is_dotted(reader: Reader) -> bool:
    return reader.values.get("backend", "") in legacy.METADATA_BACKENDS


def logging(reader: Reader) -> LoggingSettings:
    """The ``[logging]`` section."""
    reader.refuse_unknown(keys.names(keys_of(LoggingSettings)))
    return reader.section(LoggingSettings)


def metrics(reader: Reader) -> MetricsSettings:
    """The ``[metrics]`` section."""
    reader.refuse_unknown(keys.names(keys_of(MetricsSettings)))
    found = reader.section(MetricsSettings)
    for name, given in (("statsd", found.statsd), ("groups", found.groups)):
        if given and not found.enabled:
            reader.report.problem(reader.place(name), "has no effect without enabled = true")
    return found


def refuse_lone_workers(server: ServerSettings, storage: Storage | None, report: Report) -> None:
    """Check that a cluster expects several front ends, as each worker is one."""
    if server.workers > 1 and isinstance(storage, CassandraStorage) and storage.frontends == "one":
        report.problem("[server] workers", "are several front ends of the cluster: they need frontends = many")
