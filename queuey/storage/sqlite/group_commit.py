"""Group commit: a worker thread that takes all waiting jobs as one batch.

Jobs that arrive while a batch runs make the next batch. So a single caller never waits for others, and many callers
share the cost of one transaction. Callers that were answered together are likely to ask again together, so a batch
waits for as many jobs, for a part of the time that a transaction takes. Otherwise the first of them would get a
transaction of its own, and all others would wait for it; on a quick disk that took up to twice the processor time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from queue import SimpleQueue
from time import monotonic
from typing import Any, Concatenate, Final, Generic, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from queuey.errors import Unavailable
from queuey.logs import EventLog

C = TypeVar("C")
P = ParamSpec("P")
T = TypeVar("T")


class Again:
    """The type of what a job returns if it has more to do: it joins the next batch, behind all waiting jobs."""


AGAIN: Final = Again()
"""Returned by a job that has more to do, and has changed something."""

NOT_YET: Final = Again()
"""Returned by a job that has more to do, and has not changed anything."""

SHARE: Final = 0.5
"""How long a batch waits for the callers that were answered together, as a fraction of the time that the last batch
took."""


BROKEN: Final = "A thread of the store has ended because of a defect. Restart the daemon."


class Job(Generic[C]):
    """One function to call, and its result.

    :ivar answer: fires in the reactor; the worker may check whether it was cancelled.
    :ivar repeated: whether the job has run before and returned ``AGAIN``; so a part of its changes is stored.
    """

    __slots__ = ("answer", "arguments", "error", "function", "named", "repeated", "result")

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        self.function = function
        self.arguments = arguments
        self.named = named
        self.answer: Deferred[Any] = Deferred()
        self.result: Any = None
        self.error: Exception | None = None
        self.repeated = False

    def run(self, context: C) -> None:
        """Do it; whatever it raises goes to the caller."""
        self.result = self.function(context, *self.arguments, **self.named)


class Timer(Protocol):
    """A timer; the reactor's ``IDelayedCall``."""

    def active(self) -> bool:
        """Whether it is still to come."""

    def cancel(self) -> None:
        """Let it not come."""


class Runner(Protocol):
    """Runs write batches: in threads in a daemon, by the caller itself in a test."""

    def start(self, batch: GroupCommit[Any]) -> None:
        """Begin to run a write batch; called once."""

    def gathered(self, batch: GroupCommit[Any]) -> None:
        """Called in the reactor when something waits to be handed over by ``write batch.hand_over``, and again if it
        need not wait for more."""

    def left(self, batch: GroupCommit[Any]) -> None:
        """Called by ``write batch.take`` when something still waits after it."""

    def answer(self, function: Callable[[Sequence[Job[Any]]], None], jobs: Sequence[Job[Any]]) -> None:
        """Call a function in the reactor."""


class Threads:
    """A thread for each write batch.

    What comes in one turn of the reactor is handed over together at its end. A thread that is woken for each job takes
    the interpreter's lock from the reactor as often, which under load cost a third of the throughput. A job that is
    alone is handed over at once: the thread wakes up while the reactor ends its turn.

    :param start_thread: begins a thread with a function.
    :param call_in_reactor: the reactor's ``callFromThread``.
    :param call_later: its ``callLater``.
    """

    def __init__(
        self,
        start_thread: Callable[[Callable[[], None]], object],
        call_in_reactor: Callable[..., object],
        call_later: Callable[[float, Callable[[], None]], Timer],
    ) -> None:
        self._start_thread = start_thread
        self._call_in_reactor = call_in_reactor
        self._call_later = call_later

    def start(self, batch: GroupCommit[Any]) -> None:
        """See Runner."""
        self._start_thread(batch.work_on)

    def gathered(self, batch: GroupCommit[Any]) -> None:
        """See Runner."""
        seconds = batch.patience()
        if seconds is None:
            batch.hand_over()
        elif seconds == 0:
            self._call_later(0, batch.hand_over)
        else:
            batch.wait_for(self._call_later(seconds, batch.hand_over))

    def left(self, batch: GroupCommit[Any]) -> None:
        """See Runner; a thread goes on by itself."""

    def answer(self, function: Callable[[Sequence[Job[Any]]], None], jobs: Sequence[Job[Any]]) -> None:
        """See Runner."""
        self._call_in_reactor(function, jobs)


class GroupCommit(Generic[C]):
    """The queue of jobs of one worker.

    :param runner: runs the worker.
    :param most: jobs in one batch; the jobs of the last hand-over may make it up to twice as many.
    :param seconds: a monotonic clock, of which only differences are used; the worker calls it.
    :ivar waiting: jobs that are not answered yet.
    :ivar broken: whether the worker's thread has ended by an exception. Then all jobs have failed, and new ones are
        refused: only a new process has a worker that can be relied on.
    """

    _log = EventLog(Logger(namespace="queuey.storage"))

    def __init__(self, runner: Runner, most: int, seconds: Callable[[], float] = monotonic) -> None:
        self._runner = runner
        self._seconds = seconds
        self._work: Callable[[Sequence[Job[C]]], None] = _nothing
        self._rest: Callable[[], None] = _nothing
        self._most = most
        self._gathered: list[Job[C]] = []
        self._waiting: SimpleQueue[list[Job[C]]] = SimpleQueue()
        self._closed = True
        self.waiting = 0
        self.broken = False
        self._closing = False
        self._under_way: list[Job[C]] = []
        self._one_before = False
        self._took = 0.0
        self._repeats = False
        self._expected = 0
        self._held = False
        self._timer: Timer | None = None
        self._finish: Callable[[], None] = _nothing
        self._end: Job[C] = Job(_nothing, (), {})

    def open(self, work: Callable[[Sequence[Job[C]]], None], rest: Callable[[], None]) -> None:
        """Start to accept jobs; called once.

        :param work: runs jobs, and sets in each its result or its error; called by the runner.
        :param rest: does work that no caller waits for; called after each batch was answered.
        """
        self._work = work
        self._rest = rest
        self._closed = False
        self._runner.start(self)

    def submit(
        self, function: Callable[Concatenate[C, P], T | Again], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]:
        """Put a job on the write batch; called in the reactor.

        :param function: is called by the worker, with the worker's own object before the arguments. If it returns
            ``AGAIN`` or ``NOT_YET``, it is called once more in the next batch.
        :return: fires with what the function returns and fails with what it raises, or with ``Unavailable`` after
            ``close``. Cancelling it stops no write that was accepted.
        """
        if self._closed:
            return fail(Unavailable(BROKEN if self.broken else "The store is closed."))
        job: Job[C] = Job(function, args, kwargs)
        first = not self._gathered
        self._gathered.append(job)
        self.waiting += 1
        if first:
            self._runner.gathered(self)
        elif len(self._gathered) == self._expected:
            if self._held:
                self._runner.gathered(self)  # at the end of the turn: no other work is expected
            else:
                self.hand_over()
        return job.answer

    def hold(self) -> None:
        """Keep the next job until the end of this turn at least, because others will follow that belong to it. Once as
        many jobs have gathered as are expected, they are kept no longer than that."""
        self._held = True

    def patience(self) -> float | None:
        """Return how many seconds the jobs that begin to gather wait for more; called by the runner.

        :return: 0 for the end of the turn; ``None`` for a job that is the only one, as the one before it was: no others
            are expected, and it does not wait even for that.
        """
        if self._closed:
            return 0
        if self._one_before and self.waiting == 1:
            return 0 if self._held else None
        if self._repeats:
            return 0  # the next batch begins without a pause: what waits here would miss it
        if self.waiting > len(self._gathered):
            return self._took  # at the most: once the write batch under way is answered, it is known what to wait for
        return self._took * SHARE if len(self._gathered) < self._expected else 0

    def wait_for(self, timer: Timer) -> None:
        """Keep what has gathered until a timer hands it over, or something else does; called by the runner."""
        self._stop_waiting()
        self._timer = timer

    def _stop_waiting(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def hand_over(self) -> None:
        """Give the worker what has gathered; called in the reactor."""
        if self._timer is not None:
            self._stop_waiting()
        jobs, self._gathered, self._expected, self._held = self._gathered, [], 0, False
        for start in range(0, len(jobs), self._most):
            self._waiting.put(jobs[start : start + self._most])

    def close(self, finish: Callable[[], None], after: Deferred[Any] | None = None) -> Deferred[None]:
        """Refuse new jobs, and run those that were accepted.

        :param finish: the last call of the worker.
        :param after: a Deferred that must fire or fail before that call; its result is passed on unchanged.
        :return: fires after ``finish``, or fails with what it raised; fires at once if it is closed already.
        """
        if self._closing or (self._closed and not self.broken):
            return succeed(None)
        self._closed = self._closing = True
        self._finish = finish
        if self.broken:
            self._runner.start(self)  # for the last call
        if after is None:
            self._end_work(None)
        else:
            after.addBoth(self._end_work)
        return self._end.answer

    def _end_work(self, result: T) -> T:
        """Hand over the last job."""
        self._gathered.append(self._end)
        self._runner.gathered(self)
        return result

    def work_on(self) -> None:
        """The whole life of a thread: one write batch after another."""
        try:
            while self._take(self._waiting.get()):
                pass
        except BaseException:
            self._log.failure("store-thread-ended", "a thread of the store has ended: restart the daemon", Failure())
            self._runner.answer(self._break, self._under_way)

    def _break(self, jobs: Sequence[Job[C]]) -> None:
        """Fail all jobs, since the worker's thread has ended; called in the reactor.

        :param jobs: of the batch under way. It is not known what the worker did of them; it did none of the others.
        """
        self.broken = self._closed = True
        self._stop_waiting()
        others, self._gathered = self._gathered, []
        while not self._waiting.empty():
            others += self._waiting.get()
        self.waiting = 0
        pending = dict.fromkeys((*jobs, *others))
        failed = [job for job in pending if not job.answer.called and job is not self._end]
        for job in failed:
            job.error = Unavailable(BROKEN, applied="unknown" if job in jobs or job.repeated else "no")
        if self._end in pending:
            self._waiting.put([self._end])
            self._runner.start(self)
        _fire(failed)

    def take(self) -> None:
        """Take one write batch if anything waits, for runners without threads."""
        self.hand_over()
        if not self._waiting.empty():
            self._take(self._waiting.get())
        if not self._waiting.empty():
            self._runner.left(self)

    def _take(self, jobs: list[Job[C]]) -> bool:
        """Take a write batch, beginning with these jobs; whether there may be another one."""
        while len(jobs) < self._most and not self._waiting.empty():
            jobs += self._waiting.get()
        self._under_way = list(jobs)
        ending = self._end in jobs
        if ending:
            jobs.remove(self._end)
        if jobs:
            self._run(jobs)
        if not ending:
            return True
        if self._waiting.empty():
            self._last()
            return False
        self._waiting.put([self._end])
        return True

    def _run(self, jobs: list[Job[C]]) -> None:
        began = self._seconds()
        try:
            self._work(jobs)
        except Exception as error:
            # A defect of the worker: its callers get the error, and the next batch may succeed.
            for job in jobs:
                job.error = error
        done = [job for job in jobs if job.error is not None or type(job.result) is not Again]
        self._repeats = len(done) < len(jobs)
        if self._repeats:
            self._repeat(jobs)
        self._took = self._seconds() - began
        self._runner.answer(self._answer, done)
        try:
            self._rest()
        except Exception:
            self._log.failure("store-defect", "background work of the store failed", Failure())

    def _answer(self, jobs: Sequence[Job[C]]) -> None:
        """Answer jobs; called in the reactor.

        If more gathered meanwhile than are answered, they are handed over first. Otherwise they wait for those that are
        answered, which are likely to come again: one batch of both costs less than two.
        """
        self.waiting -= len(jobs)
        self._one_before = len(jobs) == 1 and not self.waiting
        few = len(self._gathered) <= len(jobs) and not self._repeats
        self._expected = len(jobs) + len(self._gathered) if few else 0
        if not few:
            self.hand_over()
        waits = bool(self._gathered)
        _fire(jobs)
        if waits and self._gathered:
            self._runner.gathered(self)

    def _repeat(self, jobs: list[Job[C]]) -> None:
        again = [job for job in jobs if job.error is None and type(job.result) is Again]
        for job in again:
            job.repeated = job.repeated or job.result is AGAIN
        self._waiting.put(again)

    def _last(self) -> None:
        try:
            self._finish()
        except BaseException as error:
            self._end.error = error if isinstance(error, Exception) else Unavailable(BROKEN)
        self._runner.answer(_fire, (self._end,))


def _nothing(*arguments: object) -> None:
    """Do nothing: the work of a write batch before ``open``."""


def _fire(jobs: Sequence[Job[Any]]) -> None:
    for job in jobs:
        if job.error is None:
            # The worker has the job until its next batch, and the messages of a large claim would stay as long.
            result, job.result = job.result, None
            job.answer.callback(result)
        else:
            job.answer.errback(job.error)
