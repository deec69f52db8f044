"""The settings: frozen values from an ini file. All mistakes in the file are reported at once.

:func:`load` and :func:`development` make :class:`Settings`. A daemon that reloads its file calls :func:`needs_restart`
    to learn what it cannot take over, and goes on with :func:`with_reloadable`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from queuey.config.declarations.dashboard import DashboardSettings
from queuey.config.declarations.observed import LoggingSettings, MetricsSettings, TracingSettings
from queuey.config.declarations.pushes import PushSettings
from queuey.config.declarations.server import OpsSettings, ServerSettings
from queuey.config.declarations.sqs import SqsSettings
from queuey.config.declarations.storage import CassandraStorage, ClusterTLS, MemoryStorage, SQLiteStorage, Storage
from queuey.config.declarations.users import BrowserIDSettings, IdentitySettings, IssuerSettings
from queuey.config.legacy import passed_over, take_server_main, warn_of_passed_over
from queuey.config.mistakes import Report, shown_path
from queuey.config.overrides import NONE, Overrides
from queuey.config.reading import Section, parse, read_text
from queuey.config.sections import daemon
from queuey.config.sections.applications import applications, digest_line, refuse_counting, refuse_guarantees
from queuey.config.sections.identities import identities, refuse_unknown_identities
from queuey.config.sections.operators_socket import with_socket
from queuey.config.sections.push import check_pushes, push
from queuey.config.sections.reader import Reader, refuse_unknown_sections
from queuey.config.sections.sqs import refuse_ignored_signatures, refuse_shared_endpoints, sqs
from queuey.config.sections.tracing import tracing
from queuey.config.settings import ApplicationSettings, Settings, needs_restart, with_reloadable
from queuey.model.applications.application import name_is_good

__all__ = [
    "DEVELOPMENT_APPLICATION",
    "DEVELOPMENT_KEY",
    "DEVELOPMENT_SETTINGS",
    "ApplicationSettings",
    "BrowserIDSettings",
    "CassandraStorage",
    "ClusterTLS",
    "DashboardSettings",
    "IdentitySettings",
    "IssuerSettings",
    "LoggingSettings",
    "MemoryStorage",
    "MetricsSettings",
    "OpsSettings",
    "Overrides",
    "PushSettings",
    "SQLiteStorage",
    "ServerSettings",
    "Settings",
    "SqsSettings",
    "Storage",
    "TracingSettings",
    "defaults",
    "development",
    "digest_line",
    "load",
    "name_is_good",
    "needs_restart",
    "with_reloadable",
]

DEVELOPMENT_APPLICATION: Final = "queuey"
DEVELOPMENT_KEY: Final = "f25bfb8fe200475c8a0532a9cbe7651e"
"""The key of the first version's development settings. It is public, so the daemon announces it if it is in force."""

DEVELOPMENT_SETTINGS: Final = f"""\
[application_keys]
{DEVELOPMENT_APPLICATION} = {DEVELOPMENT_KEY}

[application:{DEVELOPMENT_APPLICATION}]
cors_origins = http://localhost:* http://127.0.0.1:*
signed_urls = true
sqs = true
"""
"""For pages that are tried on the same machine, for URLs that their servers sign, and for clients of SQS."""


def load(path: Path, overrides: Overrides = NONE) -> Settings:
    """Read and check a settings file; opens only that file and the files that its ssl endpoints name.

    :param overrides: replace what the file says.
    :raise ConfigurationError: with a line for each mistake in it.
    """
    absolute = path.absolute()
    shown = shown_path(path)
    return _settings(read_text(absolute, shown), absolute, shown, absolute.parent, overrides)


def development(directory: Path, overrides: Overrides = NONE) -> Settings:
    """The settings without a file: an embedded store in ``queuey-data`` there, on the loopback interface alone.

    :param directory: an absolute path.
    :param overrides: replace the built-in values.
    :raise ConfigurationError: the overrides have mistakes.
    """
    return _settings(DEVELOPMENT_SETTINGS, None, "built-in settings", directory, overrides)


def defaults(backend: str) -> Storage:
    """Return the settings of ``[storage]`` for a backend that needs no further keys.

    :param backend: one that needs none.
    """
    return _settings(f"[storage]\nbackend = {backend}\n", None, "built-in settings", Path.cwd(), NONE).storage


def _settings(text: str, source: Path | None, shown: str, base: Path, overrides: Overrides) -> Settings:
    report = Report(shown)
    found = parse(text, report, passed_over)
    overrides.put(found, report)
    refuse_unknown_sections(found, report)
    warn_of_passed_over(found, report)

    def reader(name: str) -> Reader:
        return Reader(name, found.get(name, Section(0)).values, base, report)

    endpoint = take_server_main(found, reader("server").values.get("http", ""), report)
    server = daemon.server(reader("server"), endpoint)
    backend = daemon.backend(reader("storage"))
    storage = daemon.storage(reader("storage"), backend)
    if isinstance(storage, SQLiteStorage):
        storage = attrs.evolve(storage, modes=server.modes)
    server = with_socket(server, storage, report)
    if "metadata" in found:
        daemon.metadata(reader("metadata"), backend)
    logging = attrs.evolve(daemon.logging(reader("logging")), modes=server.modes)
    metrics = daemon.metrics(reader("metrics"))
    traces = tracing(reader("tracing"))
    pushes = push(reader("push"))
    max_age = daemon.applications(reader("applications"))
    named = applications(found, server.max_body, base, report)
    if backend == "cassandra":
        refuse_counting(named, report)
    over_sqs = sqs(reader("sqs"))
    refuse_shared_endpoints(over_sqs, server, report)
    refuse_ignored_signatures(over_sqs, server, named, report)
    refuse_guarantees(named, storage, report)
    daemon.refuse_lone_workers(server, storage, report)
    users = identities(found, base, report)
    refuse_unknown_identities(named, users.names, report)
    check_pushes(named, pushes, report)
    report.stop_if_wrong()
    warnings = tuple(report.warnings)
    return Settings(
        source=source,
        server=server,
        storage=storage,
        applications=named,
        logging=logging,
        max_age=max_age,
        warnings=warnings,
        identities=users,
        metrics=metrics,
        tracing=traces,
        push=pushes,
        sqs=over_sqs,
        overrides=overrides,
    )
