"""The processes that serve requests for the daemon: they are started, informed of changes, restarted, and ended."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from queuey.config import Settings
from queuey.core.activity import Counted, Name
from queuey.core.live.numbers import Waiting
from queuey.deferreds import bounded
from queuey.errors import Unavailable
from queuey.interfaces import Capabilities
from queuey.logs import EventLog
from queuey.model.telemetry.counts import Counter, Metric, gauge
from queuey.service.workers.counting import Snapshot, past
from queuey.service.workers.messages import LINK, DaemonState, SetUp, WorkerCommand, WorkerReport, packed, unpacked
from queuey.service.workers.processes import Processes
from queuey.storage.shared import Hub
from queuey.storage.shared.wire import connect

PROGRAM: Final = "queuey.service.worker"

_START: Final = """\
import ctypes, os, runpy
ctypes.CDLL(None).prctl({}, {})
if os.getppid() == {}:
    runpy.run_module({!r}, run_name="__main__")
"""
"""Starts a worker. It has the daemon's sockets, but cannot see that the daemon is gone until it reads its link. So the
kernel ends it if its parent ends (prctl(2)); if the daemon ended before that call, the parent is another process."""

_PARENT_DEATH_SIGNAL: Final = 1
"""``PR_SET_PDEATHSIG`` of ``linux/prctl.h``."""

STAND: Final = 0.5
"""Seconds between two checks whether workers have to be informed of the daemon's state."""

COUNT: Final = 10
"""Such checks between two requests for counts; a scrape of the metrics asks in any case."""

PATIENCE: Final = 2.0
"""Seconds in which a worker has to send its counts; after that the last ones that it sent are used."""

LIVED: Final = 10.0
"""A worker that ran for this number of seconds is replaced at once; if it ran shorter, the pause doubles each time."""

LONGEST: Final = 30.0
"""Maximum pause in seconds before a worker starts again."""

_log = EventLog(Logger(namespace="queuey.service"))


class Worker(ProcessProtocol):
    """One worker of the daemon: its process, and a new process after that has ended.

    :ivar counted: the counts that the process sent last; ``waiting``: the requests that waited there.
    """

    def __init__(self, workers: Workers, number: int) -> None:
        self._workers = workers
        self.number = number
        self._reactor = workers.reactor
        self._began = 0.0
        self._pause = 0.0
        self._again: IDelayedCall | None = None
        self._ended: list[Deferred[None]] = []
        self._questions = count(1)
        self._asked: dict[int, Deferred[None]] = {}
        self.counted = Snapshot()
        self.waiting: Mapping[str, Waiting] = {}
        self.up = False

    def start(self) -> None:
        """Start a process."""
        self._again = None
        self._began = self._reactor.seconds()
        ours, theirs = socket.socketpair()
        self._end = self._workers.hub.join(self._is_stuck)
        self._end.other = self._on_report
        connect(ours, self._end, self._reactor)
        null = os.open(os.devnull, os.O_RDWR)
        descriptors = {0: null, 1: 1, 2: 2, LINK: theirs.fileno()}
        for at, listening in enumerate(self._workers.sockets):
            descriptors[LINK + 1 + at] = listening.fileno()
        self._reactor.spawnProcess(self, sys.executable, _command(), env=_environment(), childFDs=descriptors)
        theirs.close()
        os.close(null)
        self.tell(WorkerCommand.SET_UP, self._workers.set_up())
        self.tell(WorkerCommand.STAND, self._workers.standing())

    def tell(self, order: WorkerCommand, value: Any = None, question: int = 0) -> None:
        """Send the process a message. It may still be starting: messages arrive in order.

        :param question: the number of the request, if it expects an answer.
        """
        self._end.send(question, order, packed(value))

    def _on_report(self, number: int, kind: int, body: msgspec.Raw) -> None:
        if kind == WorkerReport.UP:
            self.up = True
            _log.info("worker-up", "worker {number} accepts, pid {pid}", number=self.number, pid=self.pid)
            self._workers.is_up()
        elif kind == WorkerReport.COUNTS:
            self.counted = unpacked(body, Snapshot)
            self._on_counts(number)
        elif kind == WorkerReport.USED:
            self._workers.used(unpacked(body, dict))
        elif kind == WorkerReport.ACTIVITY:
            counted, self.waiting = unpacked(body, tuple)
            self._workers.active(counted)

    def count(self) -> Deferred[None]:
        """Request the counts of the process.

        :return: fires when they have come or ``PATIENCE`` is over; never fails.
        """
        if not self.up:
            return succeed(None)
        question = next(self._questions)
        asked = self._asked[question] = Deferred()
        self.tell(WorkerCommand.COUNT, question=question)
        answered = bounded(asked, PATIENCE, self._reactor, lambda: Unavailable(""))
        return answered.addErrback(self._on_timeout, question)

    def _on_counts(self, question: int) -> None:
        """Fire the Deferred of the request that this report answers."""
        asked = self._asked.pop(question, None)
        if asked is not None and not asked.called:
            asked.callback(None)

    def _on_timeout(self, failure: Failure, question: int) -> None:
        failure.trap(Unavailable)
        self._asked.pop(question, None)

    def stop(self, limit: float) -> Deferred[None]:
        """End the process, and do not start another one.

        :param limit: seconds that requests under way may take.
        :return: fires once it has ended.
        """
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self.pid is None:
            return succeed(None)
        self.tell(WorkerCommand.STOP, limit)
        ended: Deferred[None] = Deferred()
        self._ended.append(ended)
        return ended

    def kill(self) -> None:
        """End the process at once."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)

    @property
    def pid(self) -> int | None:
        """The process, if there is one."""
        return None if self.transport is None else self.transport.pid

    def _is_stuck(self) -> None:
        _log.error("worker-stuck", "worker {number} does not read its socket, and is killed", number=self.number)
        self.kill()

    def processEnded(self, reason: Failure) -> None:
        """Start another process, unless the daemon stops."""
        self.up = False
        self._workers.has_ended(self.counted)
        self.counted = Snapshot()
        self.waiting = {}
        for question in tuple(self._asked):
            self._on_counts(question)
        ended, self._ended = self._ended, []
        for each in ended:
            each.callback(None)
        if self._workers.stopping:
            return
        lived = self._reactor.seconds() - self._began
        self._pause = 0.0 if lived >= LIVED else min(LONGEST, max(1.0, 2 * self._pause))
        _log.error(
            "worker-ended",
            "worker {number} has ended ({reason}); another one starts in {pause:g} s",
            number=self.number,
            reason=_how(reason),
            pause=self._pause,
        )
        self._again = self._reactor.callLater(self._pause, self.start)


class Workers:
    """All workers of a daemon.

    :param hub: the owner's end of the sockets, for the store and the daemon.
    :param log: the file of the log; ``None`` is standard error.
    """

    _settings: Callable[[], Settings]
    _capabilities: Capabilities | None

    def __init__(self, reactor: Any, hub: Hub, log: Path | None) -> None:
        self.reactor = reactor
        self.hub = hub
        self._log = log
        self.standing: Callable[[], DaemonState] = DaemonState
        self.used: Callable[[Mapping[bytes, int]], None] = _pass_over
        self.active: Callable[[Mapping[Name, Counted]], None] = _pass_over
        self.sockets: Sequence[socket.socket] = ()
        self.stopping = False
        self._workers: list[Worker] = []
        self._stood = DaemonState()
        self._looking = LoopingCall(self._turn)
        self._looking.clock = reactor
        self._turns = 0
        self._past = Snapshot()
        self._first: Deferred[None] = Deferred()
        self._processes = Processes(self._pids)
        self._restarts = Counter("queuey_worker_restarts_total", "Workers that ended before the daemon did.")
        self.metrics: tuple[Metric, ...] = (
            gauge(
                "queuey_workers",
                "Workers that accept connections; 0 if the daemon serves requests itself.",
                self.accepting,
            ),
            self._restarts,
            *self._processes.metrics,
        )

    def start(
        self,
        sockets: Sequence[socket.socket],
        settings: Callable[[], Settings],
        capabilities: Capabilities | None,
        standing: Callable[[], DaemonState],
        used: Callable[[Mapping[bytes, int]], None],
        active: Callable[[Mapping[Name, Counted]], None] | None,
    ) -> None:
        """Start all workers.

        :param sockets: the sockets on which they accept connections.
        :param settings: returns the settings in force.
        :param capabilities: of the store that they reach through the daemon; ``None`` if each has its own.
        :param standing: returns the state of the daemon.
        :param used: is called when keys, by their digests, were used at one of them.
        :param active: is called with what one of them has counted for each queue; ``None`` if that is not counted.
        """
        self.used = used
        self.active = active or _pass_over
        self.sockets = sockets
        self._settings = settings
        self._capabilities = capabilities
        self.standing = standing
        self._stood = standing()
        self._workers = [Worker(self, number) for number in range(1, self._settings().server.workers + 1)]
        for worker in self._workers:
            worker.start()
        self._looking.start(STAND, now=False)

    def accepting(self) -> int:
        """Number of workers that accept connections."""
        return sum(worker.up for worker in self._workers)

    def accepts(self) -> Deferred[None]:
        """Return a Deferred that fires when the first worker accepts connections, and never fails. Call it once."""
        return self._first

    def is_up(self) -> None:
        """Note that a worker accepts connections."""
        if not self._first.called:
            self._first.callback(None)

    def _pids(self) -> Mapping[int, int]:
        return {worker.number: worker.pid for worker in self._workers if worker.pid is not None}

    def set_up(self) -> SetUp:
        """Return the settings that a worker needs now."""
        return SetUp(self._settings(), tuple(each.family for each in self.sockets), self._log, self._capabilities)

    def has_ended(self, counted: Snapshot) -> None:
        """Keep the counts of a worker that has ended."""
        self._past = past(self._past, counted)
        if not self.stopping:
            self._restarts.add()

    def use(self) -> None:
        """Send new settings to the workers."""
        for worker in self._workers:
            worker.tell(WorkerCommand.USE, self.set_up())

    def reopen(self) -> None:
        """Let the workers open the log file again, after it was rotated."""
        for worker in self._workers:
            worker.tell(WorkerCommand.REOPEN)

    def _turn(self) -> None:
        """Send the state of the daemon if it has changed, and request the counts in every ``COUNT``-th turn."""
        self._turns += 1
        if self._turns % COUNT == 0:
            self.count()
        self.look()

    def look(self) -> None:
        """Send the workers the state of the daemon if it has changed."""
        now = self.standing()
        if now != self._stood:
            self._stood = now
            for worker in self._workers:
                worker.tell(WorkerCommand.STAND, now)

    def count(self) -> Deferred[None]:
        """Request the counts of all workers, and measure the memory and processor time of their processes.

        :return: fires when all have answered or their time is over; never fails.
        """
        self._processes.look()
        return gatherResults([worker.count() for worker in self._workers]).addCallback(lambda _: None)

    def counted(self) -> list[Snapshot]:
        """Return the last known metrics of the workers, including those of workers that have ended."""
        return [self._past, *(worker.counted for worker in self._workers)]

    def waiting(self) -> list[Mapping[str, Waiting]]:
        """Return what waited and read live when the workers were last asked, by application."""
        return [worker.waiting for worker in self._workers]

    def under_way(self) -> Mapping[str, int]:
        """Return the last known numbers of requests in progress."""
        return {
            shown: int(sum(sum(each.gauges.get(name, {}).values()) for each in self.counted()))
            for shown, name in (
                ("connections", "queuey_http_connections"),
                ("requests", "queuey_http_requests_in_progress"),
            )
        }

    def stop(self, limit: float) -> Deferred[None]:
        """End all.

        :param limit: seconds that requests under way may take.
        :return: fires once they have ended.
        """
        self.stopping = True
        if self._looking.running:
            self._looking.stop()
        return gatherResults([worker.stop(limit) for worker in self._workers]).addCallback(lambda _: None)

    def kill(self) -> None:
        """End all at once."""
        for worker in self._workers:
            worker.kill()


def _pass_over(report: Mapping[Any, Any]) -> None:
    """Ignore what a worker reports."""


def _command() -> list[str]:
    return [sys.executable, "-P", "-c", _START.format(_PARENT_DEATH_SIGNAL, signal.SIGTERM.value, os.getpid(), PROGRAM)]


def _environment() -> dict[str, str]:
    """Return the environment of this process with the paths of its modules, without variables meant for it alone."""
    kept = {name: value for name, value in os.environ.items() if name not in _ITS_OWN}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


_ITS_OWN: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


def _how(reason: Failure) -> str:
    """Describe how a process ended."""
    status = getattr(reason.value, "status", None)
    if status is not None and os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"status {getattr(reason.value, 'exitCode', None)}"
