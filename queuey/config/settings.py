"""The settings as frozen values, how they are shown, and what of them a running daemon can take over."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

from queuey.config import keys
from queuey.config.values import Network, seconds_text, size_text
from queuey.model.policy import Policy


@attrs.frozen
class ServerSettings:
    """The door.

    :ivar http: endpoint descriptions as Twisted reads them.
    :ivar max_body: bytes of one request's body.
    :ivar max_header: bytes of one request's line and headers.
    :ivar header_timeout: seconds for the line and the headers of a request to arrive.
    :ivar request_timeout: seconds for a whole request to arrive.
    :ivar idle_timeout: seconds that a connection may be idle between requests.
    :ivar stop_timeout: seconds for what is under way when the daemon is to stop.
    :ivar forwarded: proxies whose ``X-Forwarded-For`` is believed.
    """

    http: tuple[str, ...]
    max_body: int
    max_header: int
    header_timeout: float
    request_timeout: float
    idle_timeout: float
    max_connections: int
    stop_timeout: float
    forwarded: tuple[Network, ...]


@attrs.frozen
class SQLiteStorage:
    """The embedded store.

    :ivar path: its folder.
    :ivar durability: ``full``, or ``relaxed``: the last writes may be lost with the power.
    :ivar cache_bytes: of each connection.
    """

    path: Path
    durability: str
    cache_bytes: int


@attrs.frozen
class MemoryStorage:
    """The store that ends with the process.

    :ivar max_bytes: at which appends are refused.
    """

    max_bytes: int


@attrs.frozen
class LoggingSettings:
    """Where the log goes.

    :ivar file: ``None`` is standard error.
    :ivar format: ``text`` or ``json``.
    :ivar level: ``debug``, ``info``, ``warn`` or ``error``.
    """

    file: Path | None
    format: str
    level: str


@attrs.frozen
class ApplicationSettings:
    """One application.

    :ivar digests: the SHA-256 digests of its keys.
    """

    name: str
    digests: frozenset[bytes] = attrs.field(repr=False)
    policy: Policy


@attrs.frozen
class Settings:
    """All settings of a daemon.

    :ivar source: the file they are from, ``None`` for the built-in ones.
    :ivar applications: by name.
    :ivar warnings: one line each, of what the file's owner should know.
    """

    source: Path | None
    server: ServerSettings
    storage: SQLiteStorage | MemoryStorage
    applications: tuple[ApplicationSettings, ...]
    logging: LoggingSettings
    warnings: tuple[str, ...] = ()

    def describe(self) -> list[str]:
        """The settings in force, as lines of an ini file; keys are shown by their digests only."""
        lines = _section("server", _server(self.server))
        lines += ["", *_section("storage", _storage(self.storage))]
        lines += ["", *_section("logging", _logging(self.logging))]
        for application in self.applications:
            lines += ["", *_section(f"application:{application.name}", _application(application))]
        return lines


Pairs = list[tuple[keys.Key[Any], str]]


def _section(name: str, pairs: Pairs) -> list[str]:
    lines = [f"[{name}]"]
    for key, text in pairs:
        lines += f"{key.name} = {text}".rstrip(" ").split("\n")
    return lines


def _lines(values: Iterable[str]) -> str:
    found = tuple(values)
    return found[0] if len(found) == 1 else "".join(f"\n    {value}" for value in found)


def _server(server: ServerSettings) -> Pairs:
    return [
        (keys.HTTP, _lines(server.http)),
        (keys.MAX_BODY, size_text(server.max_body)),
        (keys.MAX_HEADER, size_text(server.max_header)),
        (keys.HEADER_TIMEOUT, seconds_text(server.header_timeout)),
        (keys.REQUEST_TIMEOUT, seconds_text(server.request_timeout)),
        (keys.IDLE_TIMEOUT, seconds_text(server.idle_timeout)),
        (keys.MAX_CONNECTIONS, str(server.max_connections)),
        (keys.STOP_TIMEOUT, seconds_text(server.stop_timeout)),
        (keys.FORWARDED, " ".join(map(str, server.forwarded))),
    ]


def _storage(storage: SQLiteStorage | MemoryStorage) -> Pairs:
    if isinstance(storage, MemoryStorage):
        return [(keys.BACKEND, "memory"), (keys.MEMORY_MAX_BYTES, size_text(storage.max_bytes))]
    return [
        (keys.BACKEND, "sqlite"),
        (keys.PATH, str(storage.path)),
        (keys.DURABILITY, storage.durability),
        (keys.CACHE, size_text(storage.cache_bytes)),
    ]


def _logging(logging: LoggingSettings) -> Pairs:
    return [
        (keys.LOG_FILE, str(logging.file or "")),
        (keys.LOG_FORMAT, logging.format),
        (keys.LOG_LEVEL, logging.level),
    ]


def _application(application: ApplicationSettings) -> Pairs:
    policy = application.policy
    return [
        (keys.GUARANTEE, policy.guarantee.value),
        (keys.CONSISTENCY, policy.consistency.value),
        (keys.CREATE_QUEUES, "explicit"),
        (keys.TTL, str(policy.ttl)),
        (keys.CORS_ORIGINS, " ".join(policy.cors_origins)),
        (keys.MAX_QUEUES, "" if policy.max_queues is None else str(policy.max_queues)),
        (keys.MAX_BYTES, "" if policy.max_bytes is None else size_text(policy.max_bytes)),
        (keys.APPLICATION_MAX_BODY, size_text(policy.max_body)),
        (keys.KEYS, _lines(sorted(f"sha256:{digest.hex()}" for digest in application.digests))),
    ]


def needs_restart(old: Settings, new: Settings) -> tuple[str, ...]:
    """The settings that differ and cannot be taken over by a running daemon, as ``[section] key``."""
    before, after = _fixed(old), _fixed(new)
    # What only one of two backends has goes with the backend itself.
    return tuple(key.place for key in before if key in after and before[key] != after[key])


def _fixed(settings: Settings) -> dict[keys.Key[Any], str]:
    pairs = _server(settings.server) + _storage(settings.storage) + _logging(settings.logging)
    return {key: text for key, text in pairs if key.change == keys.RESTART}


def with_reloadable(old: Settings, new: Settings) -> Settings:
    """The settings that a running daemon has once it has taken over of ``new`` all that it can."""
    return attrs.evolve(
        new,
        server=attrs.evolve(new.server, http=old.server.http),
        storage=old.storage,
        logging=attrs.evolve(old.logging, level=new.logging.level),
    )
