"""A worker: a process that serves requests for a daemon that has the sockets and, if it is embedded, the store.

It is started by :mod:`queuey.service.workers.workers`, and receives everything over the socket that is its descriptor
3. It ends when the daemon says so, or is gone. Signals are handled by the daemon: a worker ignores them.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from functools import partial
from typing import Any, Final

import msgspec
from twisted.internet.defer import DeferredList, succeed
from twisted.logger import Logger, globalLogBeginner

from queuey.auth.users import make_web
from queuey.config import Settings
from queuey.core.live.numbers import waiting_here
from queuey.deferreds import deferred
from queuey.logs import EventLog, open_log
from queuey.service.assembly import Assembly, assemble
from queuey.service.process.ending import ends_within
from queuey.service.process.listening import Listeners
from queuey.service.process.tuning import collect_less, take_turns
from queuey.service.workers.counting import snapshot
from queuey.service.workers.messages import LINK, DaemonState, SetUp, WorkerCommand, WorkerReport, packed, unpacked
from queuey.storage import make_store, share_store
from queuey.storage.shared.link import Link
from queuey.storage.shared.wire import connect
from queuey.tracing import make_traces

_STANDARD_ERROR: Final = 2
_PASSED_OVER: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)

_log = EventLog(Logger(namespace="queuey.service"))


class Worker:
    """The process, from the first word of the daemon to the last.

    :ivar status: what the process ends with.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._link = Link(reactor, self._orphaned)
        self._link.other = self._ordered
        self._listeners = Listeners()
        self._assembly: Assembly
        self._told_used: dict[bytes, int] = {}
        self._stopping = False
        self.status = 0

    def begin(self, descriptor: int) -> None:
        """Listen to the daemon."""
        connect(socket.socket(fileno=descriptor), self._link, self._reactor)

    def _ordered(self, number: int, kind: int, body: msgspec.Raw) -> None:
        if kind == WorkerCommand.SET_UP:
            self._set_up(unpacked(body, SetUp))
        elif kind == WorkerCommand.USE:
            self._use(unpacked(body, SetUp).settings)
        elif kind == WorkerCommand.STAND:
            self._stand(unpacked(body, DaemonState))
        elif kind == WorkerCommand.REOPEN:
            self._assembly.log.reopen()
        elif kind == WorkerCommand.COUNT:
            self._tell_used()
            waiting = waiting_here(self._assembly.waits.seats, self._assembly.live)
            self._link.send(0, WorkerReport.ACTIVITY, packed((self._assembly.by_queue.take(), waiting)))
            self._assembly.let_go()
            self._link.send(number, WorkerReport.COUNTS, packed(snapshot(self._assembly.metrics)))
        elif kind == WorkerCommand.STOP and not self._stopping:
            self._stop(unpacked(body, float))

    def _set_up(self, set_up: SetUp) -> None:
        settings = set_up.settings
        logging = settings.logging
        log = open_log(set_up.log, logging.format, logging.level, _STANDARD_ERROR, time.time, logging.modes)
        globalLogBeginner.beginLoggingTo([log], redirectStandardIO=False)
        if set_up.capabilities is None:
            store = make_store(settings.storage, self._reactor, time.time, settings.metrics.enabled)
        else:
            store = share_store(self._link, set_up.capabilities, self._reactor, time.time, settings.metrics.enabled)
        traces = make_traces(settings.tracing, self._reactor)
        web = partial(make_web, self._reactor)
        self._assembly = assemble(settings, self._reactor, time.time, store, log, web, traces, alone=True)
        store.open()
        if traces is not None:
            traces.start()
        take_turns()
        collect_less()
        self._assembly.pulse.start()
        self._assembly.pushes.start()
        self._assembly.schedules.start()
        sockets = [(LINK + 1 + number, family) for number, family in enumerate(set_up.families)]
        count = len(settings.server.http)
        self._listeners.take_over(self._reactor, settings.server.http, sockets[:count], self._assembly.site)
        self._listeners.take_over(self._reactor, settings.sqs.listen, sockets[count:], self._assembly.sqs)
        self._link.send(0, WorkerReport.UP, None)

    def _use(self, settings: Settings) -> None:
        self._assembly.use(settings)
        try:
            self._listeners.use(self._listeners.renewed())
        except Exception as error:  # the daemon could read them, but that was before
            _log.error("reload-refused", "certificates stay as they were: {problem}", problem=str(error))

    def _tell_used(self) -> None:
        """Report which keys were used since the last report: operators ask the daemon."""
        used = self._assembly.owners.used()
        news = {digest: time for digest, time in used.items() if self._told_used.get(digest) != time}
        if news:
            self._link.send(0, WorkerReport.USED, packed(news))
        self._told_used = used

    def _stand(self, standing: DaemonState) -> None:
        self._assembly.draining.ask(standing.drained)
        self._assembly.site.leaving = standing.leaving
        self._assembly.log.set_level(standing.level)

    @deferred
    async def _stop(self, limit: float) -> None:
        self._stopping = True
        self._listeners.pause()
        self._assembly.live.stop(limit)
        pushes = DeferredList((self._assembly.pushes.stop(), self._assembly.schedules.stop()))
        self._assembly.waits.end()
        if not await ends_within(limit, self._assembly.site.drain(), self._reactor):
            _log.warn("cut", "cutting off {busy} requests after {limit} s", busy=self._assembly.site.busy, limit=limit)
            self._assembly.site.abort()
        await ends_within(limit, self._assembly.removals.stop(), self._reactor)
        if not await ends_within(limit, pushes, self._reactor):
            _log.warn("cut", "cutting off {busy} pushes after {limit} s", busy=self._assembly.pushes.busy, limit=limit)
        flushed = succeed(None) if self._assembly.traces is None else self._assembly.traces.stop()
        await ends_within(limit, self._assembly.store.close(), self._reactor)
        await flushed
        self._assembly.pulse.stop()
        self._reactor.stop()

    def _orphaned(self) -> None:
        """End at once, because the daemon is gone without a word, as if this process had been killed with it.

        Without a store no waiting request can be answered, and a daemon that is started again needs its ports.
        """
        if not self._stopping:
            _log.error("worker-orphaned", "the daemon is gone; ending too")
            self.status = 1
            self._reactor.stop()


def main() -> None:
    """Be a worker."""
    from twisted.internet import reactor

    for number in _PASSED_OVER:
        signal.signal(number, signal.SIG_IGN)
    reactor.seconds = time.monotonic  # type: ignore[method-assign]
    worker = Worker(reactor)
    worker.begin(LINK)
    reactor.run(installSignalHandlers=False)  # type: ignore[call-arg]
    sys.exit(worker.status)


if __name__ == "__main__":
    main()
