"""Workers of the asynchronous faces, on a clock that a test sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from queuey_client import Answer, Ask, NotFound, Reject, Retry
from queuey_client.tx import Group
from tests.client.awaiting import AsyncServer, AwaitingTestCase, Reply
from tests.client.support import LOST, answer, message, problem


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
        """Leases are extended at a third of their time, those of waiting messages too; a lost lease is reported, and
        its message is not worked on."""
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
