"""Settings of the first version's ini files: those that are still read, and replacements for the others."""

from __future__ import annotations

from typing import Final

from queuey.config.declarations.declared import key_of
from queuey.config.declarations.server import ServerSettings
from queuey.config.kinds.endpoints import tcp
from queuey.config.mistakes import Mistake, Report, plain
from queuey.config.reading import Section

HTTP: Final = key_of(ServerSettings, "http")

SERVER_MAIN: Final = "server:main"

_REPLACED: Final = {
    "global": "[logging] takes its place",
    "metlog": "the access lines of the log, set up by [logging], take its place",
    "cef": "the access lines of the log, set up by [logging], take its place",
    "loggers": "[logging] takes its place",
    "handlers": "[logging] takes its place",
    "formatters": "[logging] takes its place",
}
_REPLACED_BY_PREFIX: Final = {
    "filter:": "the daemon has its own way of requests, set up by [server]",
    "pipeline:": "the daemon has its own way of requests, set up by [server]",
    "app:": "the daemon is started by twistd queuey, and needs no such section",
    "logger_": "[logging] takes its place",
    "handler_": "[logging] takes its place",
    "formatter_": "[logging] takes its place",
}

BACKENDS: Final = {
    "queuey.storage.memory.MemoryQueueBackend": "memory",
    "queuey.storage.cassandra.CassandraQueueBackend": "cassandra",
}
"""The first version's names of backends in ``[storage]``."""

METADATA_BACKENDS: Final = {
    "queuey.storage.memory.MemoryMetadata": "memory",
    "queuey.storage.cassandra.CassandraMetadata": "cassandra",
}
"""The first version's names of backends in ``[metadata]``."""

CASSANDRA_KEYS: Final = (
    "host",
    "username",
    "password",
    "database",
    "multi_dc",
    "create_schema",
    "base_delay",
)
"""The keys that the first version's files have for a backend, whichever it is."""


def replacement(section: str) -> str | None:
    """Return the replacement for a section of the first version; ``None`` for any other section."""
    if section in _REPLACED:
        return _REPLACED[section]
    for prefix, text in _REPLACED_BY_PREFIX.items():
        if section.startswith(prefix):
            return text
    return None


def passed_over(section: str) -> bool:
    """Whether the content of a section does not matter."""
    return replacement(section) is not None


def warn_of_passed_over(sections: dict[str, Section], report: Report) -> None:
    """One warning line for each section that is passed over."""
    for name in sections:
        text = replacement(name)
        if text is not None:
            report.warn(f"[{plain(name)}]", f"is passed over: {text}")


def take_server_main(sections: dict[str, Section], http: str, report: Report) -> str:
    """The endpoint of the first version's ``[server:main]``, where ``[server]`` names none.

    :param http: what ``[server]`` names.
    :return: an endpoint description, or an empty text if there is none.
    """
    section = sections.get(SERVER_MAIN)
    if section is None:
        return ""
    host, port = section.values.get("host", ""), section.values.get("port", "")
    rest = ", ".join(plain(name) for name in section.values if name not in ("host", "port"))
    if http or not (host or port):
        report.warn(f"[{SERVER_MAIN}]", f"is passed over: {HTTP.place} takes its place")
        return ""
    endpoint = _endpoint(host or "127.0.0.1", port or "5000", report)
    passed = f"; passed over: {rest}" if rest else ""
    report.warn(f"[{SERVER_MAIN}]", f"host and port are read as {HTTP.place} = {endpoint}{passed}")
    return endpoint


def _endpoint(host: str, port: str, report: Report) -> str:
    found = []
    for name, tried in (("port", (port, "127.0.0.1")), ("host", ("5000", host))):
        try:
            found.append(tcp(*tried))
        except Mistake as mistake:
            report.problem(f"[{SERVER_MAIN}] {name}", mistake.what)
    return tcp(port, host) if len(found) == 2 else HTTP.default
