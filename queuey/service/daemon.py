"""The daemon: it starts, reads its settings again, and stops without losing a request."""

from __future__ import annotations

import signal
from typing import Any, Final, NoReturn

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.logger import ILogObserver, Logger
from twisted.python.failure import Failure

from queuey import __version__, config
from queuey.config import CassandraStorage
from queuey.deferreds import deferred
from queuey.errors import ConfigurationError, QueueyError, Unavailable
from queuey.logs import EventLog
from queuey.service.assembly import Assembly
from queuey.service.process.ending import end_badly, ends_within
from queuey.service.process.listening import Listeners
from queuey.service.process.log_location import LogPlace, welcome
from queuey.service.process.refusals import with_advice
from queuey.service.process.signals import Signals
from queuey.service.process.starter import Starter, StartRefused
from queuey.service.process.supervision import Supervisor
from queuey.service.process.tuning import collect_less, raise_file_limit, take_turns
from queuey.service.workers.messages import DaemonState

_STARTER_WAITS: Final = 10.0
"""Seconds that the process that starts the daemon waits at most until the store serves, or is refused."""

_WORKERS_END: Final = 5.0
"""Seconds that workers may take to end after their last request."""

_log = EventLog(Logger(namespace="queuey.service"))


class QueueyService(Service):
    """The whole of Queuey as a Twisted service."""

    name = "queuey"

    def __init__(
        self,
        reactor: Any,
        assembly: Assembly,
        listeners: Listeners,
        ops_listeners: Listeners,
        place: LogPlace,
        starter: Starter,
        supervisor: Supervisor,
        signals: Signals,
    ) -> None:
        """:param reactor: the reactor that will run.
        :param assembly: all parts, made from the settings.
        :param listeners: the listeners for clients.
        :param ops_listeners: the listeners for operators, which listen to the end.
        :param place: the destination of the log.
        :param starter: the process that starts the daemon.
        :param supervisor: the service manager.
        :param signals: those that this process handles.
        """
        self._reactor = reactor
        self._assembly = assembly
        self._listeners = listeners
        self._place = place
        self._ops_listeners = ops_listeners
        self._starter = starter
        self._supervisor = supervisor
        self._signals = signals
        self._standing = ""
        self._pausing: Deferred[None] | None = None
        self._hurry = False
        self._stopping = False
        self._leaves = False

    def setServiceParent(self, parent: Any) -> None:
        """Join an application, and let it log as the settings say."""
        if self._place.ours:
            parent.setComponent(ILogObserver, self._assembly.log)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Listen while ports below 1024 are still allowed; connections are accepted once the reactor runs."""
        self._signals.serve(
            self._reactor,
            {
                signal.SIGTERM: self._stop,
                signal.SIGINT: self._stop,
                signal.SIGHUP: self.reload,
                signal.SIGUSR1: self._reopen,
            },
        )
        settings = self._assembly.in_force.settings
        server = settings.server
        try:
            # In this order: workers take the sockets over by it.
            self._listeners.listen(self._reactor, server.http, self._assembly.site)
            self._listeners.listen(self._reactor, settings.sqs.listen, self._assembly.sqs)
            if not server.ops.automatic:
                self._ops_listeners.listen(self._reactor, server.ops.listen, self._assembly.ops)
            self._assembly.dashboard.listen(self._reactor, server.dashboard)
        except QueueyError as error:
            self._listeners.stop()
            self._ops_listeners.stop()
            self._refuse_start(error)

    def startService(self) -> None:
        """Open the store, in the process that serves, and log the addresses."""
        self._supervisor.status("opens the store")
        try:
            self._assembly.store.open()
        except QueueyError as error:
            self._listeners.stop()
            self._ops_listeners.stop()
            self._assembly.dashboard.listeners.stop()
            self._refuse_start(error)
        self._listen_beside_data()
        super().startService()
        if self._assembly.traces is not None:
            self._assembly.traces.start()
        take_turns()
        collect_less()
        self._assembly.pulse.start()
        if self._assembly.statsd is not None:
            self._assembly.statsd.start()
        self._supervisor.beat()
        if self._assembly.activity is not None:
            self._assembly.activity.start()
        self._warn()
        self._start_workers()
        self._wait_for_store()
        for each in self._assembly.following:
            each.start()
        if self._assembly.workers is None:
            self._assembly.pushes.start()
            self._assembly.schedules.start()

    def _listen_beside_data(self) -> None:
        """Listen on the operators' socket in the folder of the data, which the store has made and locked by now.

        The settings do not name this socket, so a daemon that cannot have it serves without.
        """
        ops = self._assembly.in_force.settings.server.ops
        if not ops.automatic:
            return
        try:
            for description in ops.listen:
                self._ops_listeners.listen_beside_data(self._reactor, description, self._assembly.ops)
        except Unavailable as error:
            _log.warn("no-operators", "operators cannot be served: {reason}", reason=error.text)

    def _start_workers(self) -> None:
        """Let the workers accept connections, if there are any."""
        assembly = self._assembly
        if assembly.workers is None:
            return
        shared = not isinstance(assembly.in_force.settings.storage, CassandraStorage)
        assembly.workers.start(
            self._listeners.hand_over(),
            lambda: assembly.in_force.settings,
            assembly.store.capabilities if shared else None,
            lambda: DaemonState(assembly.draining.on, assembly.site.leaving, assembly.log.level),
            assembly.owners.used_elsewhere,
            None if assembly.activity is None else assembly.activity.add,
        )

    def _tell_workers(self) -> None:
        """Send the workers the state of the daemon at once."""
        if self._assembly.workers is not None:
            self._assembly.workers.look()

    def _reopen(self) -> None:
        self._assembly.log.reopen()
        if self._assembly.workers is not None:
            self._assembly.workers.reopen()

    def _wait_for_store(self) -> None:
        """Report that the daemon serves, once the store does and, if there are workers, one of them accepts.

        A store that is elsewhere may be away for long, and others need not wait then.
        """
        opened = self._assembly.store.opened()
        leaving = self._reactor.callLater(_STARTER_WAITS, self._is_late, opened)

        def in_time() -> None:
            if leaving.active():
                leaving.cancel()

        def settled(result: Failure | None) -> None:
            if isinstance(result, Failure):
                self._give_up(result)
                in_time()
                self._starter.leave()
                return
            _log.info("durability", "{durable}", durable=self._assembly.store.capabilities.durable)
            workers = self._assembly.workers
            (succeed(None) if workers is None else workers.accepts()).addCallback(serves)

        def serves(_: None) -> None:
            in_time()
            self._announce()
            self._started("serves")

        opened.addBoth(settled)

    def _is_late(self, opened: Deferred[None]) -> None:
        """Let the command that started the daemon go on: the store is away, or no worker accepts yet."""
        if opened.called:
            self._starter.leave()
            self._supervisor.status("waits for its workers")
        else:
            self._started("waits for its store")

    def _started(self, status: str) -> None:
        """Notify the process that started the daemon of the successful start."""
        self._starter.leave()
        if not self._stopping:
            self._standing = status
            self._supervisor.ready(status)

    def _give_up(self, failure: Failure) -> None:
        """The store will never serve: say why, and end with status 1."""
        if self._stopping:
            return
        if failure.check(QueueyError):
            self._tell_why(failure.value)  # type: ignore[arg-type]
        else:
            _log.failure("start-refused", "the store failed to open", failure)
            self._starter.tell("queuey: the store failed to open; the log says why")
        self._starter.refuse()
        end_badly()
        self._hurry = True
        self._reactor.callWhenRunning(self._stop)

    @deferred
    async def stopService(self) -> None:
        """Stop: report it, wait for ``drain_pause``, stop accepting, finish requests under way, commit, close.

        :return: fires when everything is closed; requests that are under way after ``stop_timeout`` are cut off.
        """
        self._assembly.draining.stop()
        self._tell_workers()
        self._supervisor.stopping("is about to stop")
        limit = self._assembly.in_force.settings.server.stop_timeout
        self._assembly.live.leave(limit)
        await self._pause()
        self._leaves = True
        self._supervisor.status("finishes what is under way")
        _log.info("stopping", "finishing what is under way")
        await self._listeners.stop()
        self._assembly.live.stop(limit)
        # The claims of pushes end before all other waits do: then none of them is tried again.
        pushes = DeferredList((self._assembly.pushes.stop(), self._assembly.schedules.stop()))
        self._assembly.waits.end()
        for each in self._assembly.following:
            each.stop()
        workers = self._assembly.workers
        if not await ends_within(limit, self._assembly.site.drain(), self._reactor):
            _log.warn("cut", "cutting off {busy} requests after {limit} s", busy=self._assembly.site.busy, limit=limit)
            self._assembly.site.abort()
        await ends_within(limit, self._assembly.removals.stop(), self._reactor)
        if not await ends_within(limit, pushes, self._reactor):
            _log.warn("cut", "cutting off {busy} pushes after {limit} s", busy=self._assembly.pushes.busy, limit=limit)
        if workers is not None and not await ends_within(limit + _WORKERS_END, workers.stop(limit), self._reactor):
            _log.warn("cut", "workers have not ended after {limit} s, and are killed", limit=limit + _WORKERS_END)
            workers.kill()
        flushed = succeed(None) if self._assembly.traces is None else self._assembly.traces.stop()
        if self._assembly.in_force.settings.server.ops.automatic:
            # The next daemon of these data takes this path as soon as the store is closed.
            await self._ops_listeners.stop()
        self._supervisor.status("closes the store")
        if not await ends_within(limit, self._assembly.store.close(), self._reactor):
            # What was acknowledged is stored; what hangs in a thread of the store ends with the process.
            _log.error("store-stuck", "the store was not closed within {limit} s", limit=limit)
        await flushed
        # Operators see it through to the end.
        await self._ops_listeners.stop()
        await self._assembly.dashboard.listeners.stop()
        self._assembly.ops.abort()
        self._assembly.dashboard.site.abort()
        self._assembly.pulse.stop()
        if self._assembly.activity is not None:
            self._assembly.activity.stop()
        if self._assembly.statsd is not None:
            self._assembly.statsd.stop()
        self._supervisor.end()
        _log.info("stopped", "queuey {version} has stopped", version=__version__)
        Service.stopService(self)

    async def _pause(self) -> None:
        """Keep serving until the load balancer knows that this front end is to be left out, or until a second request
        to stop."""
        seconds = self._assembly.in_force.settings.server.drain_pause - self._assembly.draining.lasted
        if seconds <= 0 or self._hurry:
            return
        _log.info("draining", "not ready any more; goes on accepting for {seconds} s", seconds=f"{seconds:.1f}")
        self._supervisor.status("is drained, and goes on accepting for a while")
        self._assembly.site.leaving = True
        self._tell_workers()
        self._pausing = Deferred()
        timer = self._reactor.callLater(seconds, self._pausing.callback, None)
        await self._pausing
        self._pausing = None
        if timer.active():
            timer.cancel()

    def reload(self) -> None:
        """Read keys, policies, origins, limits and certificates again: all of them are put in force, or none."""
        if self._standing:
            self._supervisor.reloading()
        self._reload()
        if self._standing and not self._stopping:
            self._supervisor.ready(self._standing)

    def _reload(self) -> None:
        in_force = self._assembly.in_force
        if in_force.settings.source is None:
            _log.warn("reload-refused", "there is no file to read again: the built-in settings are in force")
            return
        try:
            fresh = config.load(in_force.settings.source, in_force.settings.overrides)
            certificates = [*self._listeners.renewed(), *self._ops_listeners.renewed()]
            certificates += self._assembly.dashboard.listeners.renewed()
        except ConfigurationError as error:
            _log.error("reload-refused", "settings stay as they were: {problems}", problems="; ".join(error.problems))
            return
        except Exception as error:  # any error of the TLS library for a file
            _log.error("reload-refused", "settings stay as they were: certificate: {problem}", problem=str(error))
            return
        restart = config.needs_restart(in_force.settings, fresh)
        self._assembly.use(config.with_reloadable(in_force.settings, fresh))
        self._listeners.use(certificates)
        _log.info("reloaded", "settings were read again")
        if restart:
            _log.warn("restart-needed", "these take a restart: {settings}", settings=", ".join(restart))

    def _stop(self) -> None:
        """Stop. A second call goes on to the next step at once: accept no more connections, then cut those that are
        left."""
        if not self._stopping:
            self._stopping = True
            self._reactor.stop()
        elif self._leaves:
            self._assembly.site.abort()
            if self._assembly.workers is not None:
                self._assembly.workers.kill()
        else:
            self._hurry = True
            if self._pausing is not None and not self._pausing.called:
                self._pausing.callback(None)

    def _warn(self) -> None:
        """Log the warnings about the settings, and the addresses for operators."""
        settings, ops = self._assembly.in_force.settings, self._ops_listeners.addresses()
        for warning in (*settings.warnings, *raise_file_limit(settings.server.max_connections)):
            _log.warn("settings", "{warning}", warning=warning)
        if ops:
            _log.info("operators", "operators are served on {addresses}", addresses=", ".join(ops))
        self._assembly.dashboard.announce()

    def _announce(self) -> None:
        """Say that requests are answered, and where."""
        if self._stopping:
            return
        settings, listening = self._assembly.in_force.settings, self._listeners.addresses()
        served, for_sqs = listening[: len(settings.server.http)], listening[len(settings.server.http) :]
        _log.info(
            "started",
            "queuey {version} serves {applications} on {addresses}",
            version=__version__,
            applications=", ".join(each.name for each in settings.applications) or "no application",
            addresses=", ".join(served),
        )
        if for_sqs:
            _log.info("sqs", "clients of SQS are served on {addresses}", addresses=", ".join(for_sqs))
        if settings.source is None:
            operators = self._ops_listeners.addresses()
            sign_in = self._assembly.dashboard.sign_in(settings.server.dashboard)
            self._starter.tell(*welcome(settings, served, operators, sign_in, self._place))

    def _tell_why(self, reason: str) -> None:
        starter_shows_it = self._starter.listens
        self._starter.tell(f"queuey: {reason}")
        if self._place.file is not None or not starter_shows_it:
            _log.error("start-refused", "{reason}", reason=reason)

    def _refuse_start(self, error: QueueyError) -> NoReturn:
        reason = with_advice(error, self._assembly.in_force.settings)
        self._tell_why(reason)
        self._starter.refuse()
        raise StartRefused(reason)
