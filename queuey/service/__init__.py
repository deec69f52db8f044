"""The service that ``twistd queuey`` runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, NoReturn

from twisted.application.service import IService
from twisted.logger import Logger
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from queuey import __version__, config
from queuey.auth.users import make_web
from queuey.config import CassandraStorage, Overrides, Settings
from queuey.errors import ConfigurationError
from queuey.logs import EventLog, LogObserver, open_log
from queuey.service.assembly import assemble
from queuey.service.daemon import QueueyService
from queuey.service.process.listening import Listeners
from queuey.service.process.log_location import LogPlace, log_place, wrong_folders
from queuey.service.process.signals import Signals
from queuey.service.process.starter import Starter, StartRefused
from queuey.service.process.supervision import own_supervisor
from queuey.service.workers.workers import Workers
from queuey.storage import count_calls, make_store
from queuey.storage.shared import Hub
from queuey.tracing import make_traces

_STANDARD_ERROR = 2

_NOT_WITH_WORKERS = (
    "[server] workers: more than 1 write the log that [logging] describes; leave out twistd's --logfile, --syslog and "
    "--logger"
)


class Options(UsageOptions):
    """The options of ``twistd queuey``."""

    synopsis = "[--config FILE] [--http ENDPOINT] [--data DIR] [--ops ENDPOINT] [--dashboard ENDPOINT]"
    longdesc = "A message queue over HTTP. Without --config it serves development settings on loopback, port 5000."
    optParameters: ClassVar = [
        ["config", "c", None, "The settings, an ini file; see docs/configuration."],
        ["data", None, None, "The folder of the data, in place of [storage] path."],
        ["ops", None, None, "The operators' port, in place of [server] ops: an endpoint, or off."],
        ["dashboard", None, None, "Where the dashboard is served, in place of [server] dashboard: an endpoint."],
    ]

    def opt_http(self, endpoint: str) -> None:
        """Where HTTP is served, in place of [server] http, such as tcp:5100:interface=127.0.0.1; may be repeated."""
        self["http"] = f"{self['http']}\n{endpoint}" if self.get("http") is not None else endpoint

    @property
    def overrides(self) -> Overrides:
        """Settings of the command line, which replace those of the file."""
        return Overrides(Path.cwd(), self.get("http"), self["data"], self["ops"], self["dashboard"])

    def parseArgs(self, *words: str) -> None:
        """Refuse words that are not options; most often such a word is the settings file."""
        if words:
            raise UsageError(f"{words[0]!r} is not an option; the settings are named by --config FILE")

    def opt_version(self) -> NoReturn:
        """Print the version of Queuey and exit."""
        sys.stdout.write(f"queuey {__version__}\n")
        sys.exit(0)


def makeService(options: Options) -> IService:
    """Make the service; if the settings are invalid, print a line for each mistake and exit with status 1.

    :param options: as parsed by twistd.
    """
    signals = Signals()
    signals.catch()
    from twisted.internet import reactor

    twistd: Mapping[str, Any] = options.parent or {}
    starter = Starter(_STANDARD_ERROR, forks=not twistd.get("nodaemon"))
    try:
        if wrong := wrong_folders(twistd):
            raise ConfigurationError(wrong)
        settings = _settings(options["config"], options.overrides)
        place = log_place(settings.logging.file, twistd)
        if settings.server.workers > 1 and not place.ours:
            raise ConfigurationError((_NOT_WITH_WORKERS,))
        log = _open_log(settings, place)
        # Timers use a monotonic clock. By the wall clock, an hour back would hold up every time limit, and an hour on
        # would end all of them.
        reactor.seconds = time.monotonic  # type: ignore[method-assign]
        # Each process counts its own calls, so calls of workers through this process are not counted twice.
        store = make_store(settings.storage, reactor, time.time, metered=False)
        traces = make_traces(settings.tracing, reactor)
    except ConfigurationError as error:
        starter.tell(*error.problems)
        sys.exit(1)
    workers = None
    if settings.server.workers > 1:
        hub = Hub(store, reactor, EventLog(Logger(namespace="queuey.storage")))
        store = store if isinstance(settings.storage, CassandraStorage) else hub.store
        workers = Workers(reactor, hub, place.file)
    store = count_calls(store, reactor, settings.metrics.enabled)
    assembly = assemble(
        settings, reactor, time.time, store, log, lambda: make_web(reactor), traces, workers, place.ours
    )
    sys.excepthook = _quiet_about_refusals
    supervisor = own_supervisor(reactor, lambda: "threads" not in store.health_problems())
    return QueueyService(reactor, assembly, Listeners(), Listeners(), place, starter, supervisor, signals)


def _open_log(settings: Settings, place: LogPlace) -> LogObserver:
    logging = settings.logging
    try:
        return open_log(place.file, logging.format, logging.level, _STANDARD_ERROR, time.time, logging.modes)
    except ConfigurationError as error:
        where = settings.source or "built-in settings"
        raise ConfigurationError(tuple(f"{where}: {problem}" for problem in error.problems)) from None


def _settings(file: str | None, overrides: Overrides) -> Settings:
    return config.development(Path.cwd(), overrides) if file is None else config.load(Path(file), overrides)


def _quiet_about_refusals(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Report what ends the process; a start that was refused has been reported already, without a traceback."""
    if not issubclass(kind, StartRefused):
        sys.__excepthook__(kind, error, traceback)
