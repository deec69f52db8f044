"""The end of the process that owns a store, while requests of another process wait for it."""

from __future__ import annotations

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from queuey.core.waiting import Waits
from queuey.errors import Unavailable
from queuey.model.applications.policy import Ack
from queuey.model.reading.window import OLDEST, Merge, MergeSlice, Position
from queuey.storage.shared.calls import FromOwner
from tests.storage.shared.sharing import SeveralCase
from tests.storage.test_timed import READS, WRITES

WAIT = 1.5
"""Seconds that a reader waits."""


class OwnerEndsTests(SeveralCase):
    """Each call fails with ``Unavailable``, whatever else its caller gives up when it hears of that."""

    def test_a_caller_gives_up_another_call(self) -> None:
        """Cancel a later call in the errback of an earlier one: the canceller finds the call, and raises nothing."""
        self.one.calls.held = True
        first, second, third = [self.one.raw.count(self.queue, Ack.MAJORITY) for _ in range(3)]
        raised: list[Exception] = []

        def give_up(failure: Failure) -> Failure:
            try:
                second.cancel()
            except Exception as error:
                raised.append(error)
            return failure

        first.addErrback(give_up)
        self.one.calls.abortConnection()
        self.assertEqual(raised, [])
        self.failureResultOf(first, Unavailable)
        self.failureResultOf(second, CancelledError)
        self.failureResultOf(third, Unavailable)

    def test_cut_within_an_answer(self) -> None:
        """A read has stored nothing; the outcome of a write is unknown, however much of its answer has come."""
        for calls, applied in ((READS, "no"), (WRITES, "unknown")):
            for name, call in calls.items():
                for share in (0.0, 0.1, 0.5, 0.99):
                    worker = self.worker()
                    worker.answers.held = True
                    answer = call(worker.raw)
                    came = b"".join(worker.answers._waiting)
                    self.assertTrue(came, name)
                    worker.link.dataReceived(came[: int(len(came) * share)])
                    worker.calls.abortConnection()
                    self.assertEqual(self.failureResultOf(answer, Unavailable).value.applied, applied, name)

    def test_an_answer_that_cannot_be_read(self) -> None:
        """The call that it is for fails, and the others have theirs."""
        self.one.calls.held = True
        first, second = [self.one.raw.count(self.queue, Ack.MAJORITY) for _ in range(2)]
        (number, *_) = self.one.link._pending
        self.one.end.send(number, FromOwner.ANSWER, "no number")
        self.failureResultOf(first, msgspec.ValidationError)
        self.one.calls.let_through()
        self.assertEqual(self.successResultOf(second), 0)
        self.successResultOf(self.one.store.ping())

    def test_a_reader_that_waits(self) -> None:
        """The last reader of a queue leaves while a look at the queue, made for all who wait there, is under way.

        The reader's own read was sent before that look. So it fails first, and the reader cancels the look.
        """
        waits = Waits(self.clock, self.one.store.subscribe)
        asked = Merge((1,), OLDEST, limit=3)

        def look(merge: Merge) -> Deferred[MergeSlice]:
            return self.one.store.read_merged(self.queue, merge, Ack.MAJORITY)

        async def read() -> None:
            with waits.join(self.queue.incarnation, asked.partitions, WAIT, look, fresh=False) as waiter:
                page = self.successResultOf(look(asked))
                await waiter.arrival(max(asked.lower, Position(page.stable)))
                await look(asked)

        reading = Deferred.fromCoroutine(read())
        self.one.calls.held = True
        waits.wake(self.queue.incarnation)
        self.clock.advance(0)
        assert waits.look_every is not None
        self.clock.advance(waits.look_every)
        self.one.calls.abortConnection()
        self.failureResultOf(reading, Unavailable)
