"""What the faces for asyncio and Twisted share, on a clock that a test sets: calls, iterators and writers."""

from __future__ import annotations

import gc
import json

from twisted.internet.defer import CancelledError, Deferred

from queuey_client import Answer, Ask, Invalid, NotFound, Opened, Unavailable
from queuey_client.tx import Client
from tests.client.awaiting import AsyncServer, AwaitingTestCase
from tests.client.live_support import begun, came, lines
from tests.client.support import LOST, STORED, answer, page, problem


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


class LiveIncoming:
    """The body of a live read, of which a test says when its pieces come."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.waiting: Deferred[bytes | None] | None = None
        self.closed = False

    async def receive(self, seconds: float) -> bytes | None:
        """Wait for the test."""
        if self.pieces:
            return self.pieces.pop(0)
        self.waiting = Deferred()
        return await self.waiting

    def close(self) -> None:
        """See it."""
        self.closed = True


class LiveAsyncServer(AsyncServer):
    """Opens one live read, and is lost afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.incoming = LiveIncoming()

    async def open(self, ask: Ask) -> Answer:
        """Once."""
        self.asks.append(ask)
        if len(self.asks) > 1:
            raise LOST
        return Opened(200, {"content-type": "application/x-ndjson"}, incoming=self.incoming)


class FollowTests(AwaitingTestCase):
    """Live reads, and their end. What comes of lines is tested with the face for threads."""

    def test_messages(self) -> None:
        """They come as they are stored."""
        server = LiveAsyncServer()
        found = self.queue(server).follow()
        first = Deferred.fromCoroutine(found.__anext__())
        self.assertNoResult(first)
        assert server.incoming.waiting is not None
        server.incoming.waiting.callback(lines(begun(), came(1), came(2)))
        self.assertEqual(self.successResultOf(first).text, "body 1")
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(found.__anext__())).text, "body 2")
        self.successResultOf(Deferred.fromCoroutine(found.aclose()))
        self.assertTrue(server.incoming.closed)

    def test_cancelling(self) -> None:
        """While it waits for a message, and in a pause between two connections: the connection is closed, no other
        one is made, and the iterator is over."""
        for broken in (False, True):
            server = LiveAsyncServer()
            found = self.queue(server).follow()
            waiting = Deferred.fromCoroutine(found.__anext__())
            if broken:
                assert server.incoming.waiting is not None
                server.incoming.waiting.callback(b"")
            self.assertNoResult(waiting)
            waiting.cancel()
            self.failureResultOf(waiting, CancelledError)
            self.assertTrue(server.incoming.closed)
            self.clock.advance(1000)
            self.assertEqual(len(server.asks), 1)
            self.failureResultOf(Deferred.fromCoroutine(found.__anext__()), StopAsyncIteration)

    def test_a_loop_that_raises(self) -> None:
        """The connection is closed, too."""
        server = LiveAsyncServer()
        server.incoming.pieces.append(lines(begun(), came(1)))

        async def read() -> None:
            async for _ in self.queue(server).follow():
                raise RuntimeError

        self.failureResultOf(Deferred.fromCoroutine(read()), RuntimeError)
        gc.collect()
        self.assertTrue(server.incoming.closed)

    def test_a_transport_of_two_methods(self) -> None:
        """It waits for pages."""
        server = AsyncServer(page(7), page(8))
        found = self.queue(server).follow()
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(found.__anext__())).text, "body 8")


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
        """They are raised by the next call, or reported to a callback."""
        refusal = {"code": "invalid-body", "status": 400, "detail": "no", "applied": "no", "line": 1}
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
