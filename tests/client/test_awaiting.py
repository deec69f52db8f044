"""What the faces for asyncio and Twisted share, on a clock that a test sets: calls, iterators, writers and workers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from queuey_client import Answer, Ask, Invalid, NoAnswer, NotFound, Reject, Retry, Unavailable
from queuey_client.tx import Client, Group, Queue
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.client.support import LOST, STORED, answer, message, page, problem

Reply = Answer | NoAnswer | Deferred[Answer]


class AsyncServer:
    """Answers requests by a function, or by a list."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = [*replies]
        self.asks: list[Ask] = []
        self.closed = False

    async def send(self, ask: Ask) -> Answer:
        """Answer, or not, or later."""
        self.asks.append(ask)
        reply = self.reply(ask)
        if isinstance(reply, NoAnswer):
            raise reply
        return await reply if isinstance(reply, Deferred) else reply

    def reply(self, ask: Ask) -> Reply:
        """The next one of the list."""
        return self.replies.pop(0)

    async def close(self) -> None:
        """Nothing is open."""
        self.closed = True


class AwaitingTestCase(SynchronousTestCase):
    """A client on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        logger = logging.getLogger("queuey_client")
        self.addCleanup(logger.setLevel, logger.level)
        logger.setLevel(logging.CRITICAL)

    def queue(self, server: AsyncServer, **options: Any) -> Queue:
        """A queue."""
        client = Client("http://server", "shop", key="k", transport=server, reactor=self.clock, **options)
        return client.queue("orders")


class CallTests(AwaitingTestCase):
    """Calls and iterators."""

    def test_a_call(self) -> None:
        """It fires with the result, after pauses on the clock."""
        server = AsyncServer(LOST, answer(STORED, 201))
        posted = self.queue(server).post("a pear")
        self.assertNoResult(posted)
        self.clock.advance(0.11)
        self.assertEqual(self.successResultOf(posted).id, "1-1")
        self.assertEqual(server.asks[0].headers, server.asks[1].headers)

    def test_an_error(self) -> None:
        """It fails with what threads are raised."""
        self.failureResultOf(self.queue(AsyncServer(problem("no-such-queue", 404))).post("a pear"), NotFound)

    def test_cancelling(self) -> None:
        """In a request and in a pause: nothing more is sent."""
        waiting: Deferred[Answer] = Deferred()
        for server in (AsyncServer(waiting), AsyncServer(LOST)):
            posted = self.queue(server).post("a pear")
            posted.cancel()
            self.failureResultOf(posted, CancelledError)
            self.clock.advance(100)
            self.assertEqual(len(server.asks), 1)

    def test_an_iterator(self) -> None:
        """Page by page, over a cut; an error is raised where it is met."""
        server = AsyncServer(page(1, more=True), LOST, page(2, more=True), problem("no-such-queue", 404))

        async def read() -> list[str]:
            found = []
            try:
                async for each in self.queue(server).messages():
                    found.append(each.text)
            except NotFound:
                found.append("gone")
            return found

        reading = Deferred.fromCoroutine(read())
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(reading), ["body 1", "body 2", "gone"])

    def test_an_iterator_that_is_left(self) -> None:
        """It saves the place of its reader."""

        class Cursors:
            transactional = False
            saved: list[str] = []  # noqa: RUF012

            def load(self, reader: str) -> None:
                return None

            def save(self, reader: str, place: str) -> None:
                self.saved.append(place)

        async def read() -> None:
            found = self.queue(AsyncServer(page(1, 2, 3))).messages(reader="r", cursors=Cursors())
            async for each in found:
                if each.text == "body 2":
                    break
            await found.aclose()

        self.successResultOf(Deferred.fromCoroutine(read()))
        self.assertEqual(Cursors.saved, [f"{1:032x}-1"])

    def test_closing(self) -> None:
        """It closes the transport."""
        server = AsyncServer()
        client = Client("http://server", "shop", key="k", transport=server, reactor=self.clock)
        self.successResultOf(client.close())
        self.assertTrue(server.closed)


DONE = Answer(200, {}, b'{"done": true, "stored": 1, "failed": 0}\n')


class WriterTests(AwaitingTestCase):
    """Streams."""

    def bodies(self, server: AsyncServer) -> list[str]:
        """The bodies of each request, joined."""
        return ["".join(json.loads(line)["body"] for line in (ask.body or b"").splitlines()) for ask in server.asks]

    def test_linger(self) -> None:
        """What comes within five milliseconds, or while a request is under way, goes together."""
        first: Deferred[Answer] = Deferred()
        server = AsyncServer(first, DONE)
        writer = self.queue(server).writer()
        for body in "ab":
            self.successResultOf(writer.post(body))
        self.assertEqual(self.bodies(server), [])
        self.clock.advance(0.006)
        for body in "cd":
            self.successResultOf(writer.post(body))
        self.clock.advance(1)
        self.assertEqual((self.bodies(server), writer.stored), (["ab"], 0))
        first.callback(DONE)
        self.clock.advance(0.006)
        self.assertEqual((self.bodies(server), writer.stored), (["ab", "cd"], 4))

    def test_back_pressure(self) -> None:
        """With ``pending`` messages that are not stored, the next one waits."""
        first: Deferred[Answer] = Deferred()
        writer = self.queue(AsyncServer(first, DONE)).writer(pending=2)
        for body in "ab":
            self.successResultOf(writer.post(body))
        third = writer.post("c")
        self.clock.advance(1)
        self.assertNoResult(third)
        first.callback(DONE)
        self.successResultOf(third)

    def test_flush(self) -> None:
        """It does not linger, and has a limit."""
        first: Deferred[Answer] = Deferred()
        server = AsyncServer(first)
        writer = self.queue(server).writer(linger=60)
        writer.post("a")
        flushing = writer.flush(timeout=5)
        self.assertEqual(self.bodies(server), ["a"])
        self.clock.advance(5.1)
        error = self.failureResultOf(flushing, Unavailable).value
        self.assertEqual(error.applied, "unknown")
        again = writer.flush()
        first.callback(DONE)
        self.successResultOf(again)

    def test_refusals(self) -> None:
        """They are raised by the next call, or told of."""
        refusal = {"code": "invalid-body", "status": 400, "detail": "no", "line": 1}
        failed = Answer(200, {}, json.dumps(refusal).encode() + b'\n{"done": true, "stored": 0, "failed": 1}\n')
        writer = self.queue(AsyncServer(failed)).writer()
        writer.post("a")
        self.failureResultOf(writer.flush(), Invalid)
        self.successResultOf(writer.flush())
        self.assertEqual((writer.stored, writer.failed), (0, 1))
        told: list[bytes] = []
        writer = self.queue(AsyncServer(failed)).writer(on_error=lambda draft, why: told.append(draft.body))
        writer.post("a")
        self.successResultOf(writer.flush())
        self.assertEqual(told, [b"a"])

    def test_a_body_that_raises(self) -> None:
        """What is not sent yet is dropped."""
        server = AsyncServer()

        async def write() -> None:
            async with self.queue(server).writer() as writer:
                await writer.post("a")
                raise RuntimeError

        self.failureResultOf(Deferred.fromCoroutine(write()), RuntimeError)
        self.clock.advance(1)
        self.assertEqual(server.asks, [])


class GroupServer(AsyncServer):
    """Gives the messages of a list to claims, and keeps what was settled."""

    def __init__(self, *numbers: int) -> None:
        super().__init__()
        self.numbers = [*numbers]
        self.settled: list[dict[str, Any]] = []
        self.waiting: list[Deferred[Answer]] = []
        self.outcome: Callable[[str, str], str] = lambda action, receipt: action
        self.claim: Reply | None = None

    def reply(self, ask: Ask) -> Reply:
        """Answer a claim or a settlement; a claim waits if there is nothing."""
        document = json.loads(ask.body or b"{}")
        if ask.url.endswith("/claims"):
            if self.claim is not None:
                return self.claim
            given, self.numbers = self.numbers[: document["limit"]], self.numbers[document["limit"] :]
            if not given:
                self.waiting.append(Deferred())
                return self.waiting[-1]
            return answer({"messages": [message(n, receipt=f"r{n}", deliveries=1, lease=30) for n in given]})
        self.settled.append({name: [self.receipt(one) for one in found] for name, found in document.items()})
        outcomes = [
            {"receipt": self.receipt(one), "outcome": self.outcome(name, self.receipt(one))}
            for name, found in document.items()
            for one in found
        ]
        if any(each["outcome"] == "stale" for each in outcomes):
            return problem("stale-receipts", 409, applied="partly", outcomes=outcomes)
        return answer({"outcomes": outcomes})

    def receipt(self, one: Any) -> str:
        """Of a member of a settlement."""
        return str(one if isinstance(one, str) else one["receipt"])


class WorkerTests(AwaitingTestCase):
    """A worker on Twisted; asyncio's differs in its signals alone."""

    def group(self, server: GroupServer) -> Group:
        """A group of that server."""
        return self.queue(server, retry=Retry(deadline=5)).group("g")

    def handle(self, delivery: Any) -> Deferred[None]:
        """Work until the test says that it is done."""
        self.working.append(delivery)
        self.done.append(Deferred())
        return self.done[-1]

    def setUp(self) -> None:
        super().setUp()
        self.working: list[Any] = []
        self.done: list[Deferred[None]] = []
        self.events: list[str] = []

    def begin(self, server: GroupServer, **options: Any) -> Any:
        """A worker that works on one message at a time, and holds one more."""
        settings = {"concurrency": 1, "on_event": lambda name, details: self.events.append(name), **options}
        worker = self.group(server).worker(self.handle, **settings)
        worker.start()
        self.addCleanup(self.end, worker)
        return worker

    def end(self, worker: Any) -> None:
        """Leave nothing of it to the collection of garbage."""
        for each in self.done:
            each.addErrback(lambda failure: None)
        Deferred.fromCoroutine(worker.abandon()).addErrback(lambda failure: None)
        self.clock.pump([0.5] * 20)

    def test_acks(self) -> None:
        """What is done is acked, with what else is done within a moment."""
        server = GroupServer(1, 2, 3)
        worker = self.begin(server, concurrency=2)
        self.assertEqual(([each.text for each in self.working], worker.busy), (["body 1", "body 2"], 2))
        self.done[0].callback(None)
        self.done[1].callback(None)
        self.assertEqual(server.settled, [])
        self.clock.advance(0.03)
        self.assertEqual(server.settled, [{"ack": ["r1", "r2"]}])
        self.assertEqual(len(self.working), 3)

    def test_leases(self) -> None:
        """They are extended at a third, those that wait too; a lost one is told, and not worked on."""
        server = GroupServer(1, 2)
        self.begin(server)
        self.clock.advance(10.1)
        self.assertEqual(server.settled, [{"extend": ["r1", "r2"]}])
        server.outcome = lambda action, receipt: "stale"
        self.clock.advance(10.1)
        self.assertTrue(self.working[0].lost)
        self.assertEqual(self.events.count("lost"), 2)
        self.done[0].callback(None)
        self.clock.advance(1)
        self.assertEqual((len(self.working), len(server.settled)), (1, 2))

    def test_failures(self) -> None:
        """They are given again, or given up."""
        server = GroupServer(1, 2, 3)
        worker = self.begin(server)
        self.done[0].errback(Reject("why"))
        self.done[1].errback(ValueError())
        self.clock.advance(0.03)
        self.assertEqual(server.settled, [{"retry": ["r2"], "reject": ["r1"]}])
        self.assertEqual((worker.busy, self.events.count("failed")), (1, 2))

    def test_stopping(self) -> None:
        """The claim that waits is cancelled, the buffer is given back at once, and what is worked on is finished."""
        server = GroupServer(1, 2)
        worker = self.begin(server, prefetch=2)
        stopping = worker.stop()
        self.clock.advance(0)
        self.assertEqual(server.settled, [])
        self.clock.advance(0.03)
        self.assertEqual(server.settled, [{"retry": ["r2"]}])
        self.assertTrue(server.waiting[0].called)
        self.clock.advance(12)
        self.assertEqual(server.settled[1:], [{"extend": ["r1"]}])
        self.assertNoResult(stopping)
        self.done[0].callback(None)
        self.clock.advance(0.03)
        self.assertIs(self.successResultOf(stopping), True)
        self.assertEqual(server.settled[2:], [{"ack": ["r1"]}])
        self.assertEqual(self.events[-2:], ["handled", "stopped"])

    def test_the_grace_is_over(self) -> None:
        """What is worked on is cancelled and given back, and so it is when it is asked to stop again."""
        for second in (False, True):
            self.setUp()
            server = GroupServer(1)
            worker = self.begin(server)
            stopping = worker.stop(grace=5)
            self.done[0].addErrback(lambda failure: failure.trap(CancelledError) and None)
            if second:
                worker.ask_to_stop()
                self.clock.advance(0.03)
            else:
                self.clock.advance(4.9)
                self.assertNoResult(stopping)
                self.clock.advance(0.2)
            self.clock.advance(0.03)
            self.assertIs(self.successResultOf(stopping), False)
            self.assertEqual(server.settled[-1], {"retry": ["r1"]})

    def test_a_claim_that_is_refused(self) -> None:
        """It ends the worker: another attempt would be refused as well."""
        server = GroupServer()
        server.claim = problem("no-such-queue", 404)
        worker = self.group(server).worker(self.handle)
        running = worker.run(signals=False)
        self.clock.advance(0.03)
        self.failureResultOf(running, NotFound)
        self.assertFalse(worker.healthy)

    def test_a_server_that_is_away(self) -> None:
        """It goes on when the server is back."""
        server = GroupServer(1)
        server.claim = LOST
        worker = self.begin(server)
        self.clock.pump([0.5] * 200)
        self.assertFalse(worker.healthy)
        self.assertIn("claim-failed", self.events)
        self.assertLess(len(server.asks), 120)
        server.claim = None
        self.clock.pump([0.5] * 100)
        self.assertTrue(worker.healthy)
        self.assertEqual(len(self.working), 1)

    def test_deliveries(self) -> None:
        """Each is acked when the next is asked for; one whose body raises is given again, and so is what waits."""
        server = GroupServer(1, 2, 3)

        async def work() -> None:
            async with self.group(server).deliveries(prefetch=2) as deliveries:
                async for delivery in deliveries:
                    if delivery.text == "body 2":
                        raise RuntimeError

        working = Deferred.fromCoroutine(work())
        self.clock.advance(0.03)
        self.failureResultOf(working, RuntimeError)
        settled = {name: found for each in server.settled for name, found in each.items()}
        self.assertEqual((settled["ack"], sorted(settled["retry"])), (["r1"], ["r2", "r3"]))
