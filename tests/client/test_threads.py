"""Writers in threads, with a server that is a list: no sleeps and no sockets."""

from __future__ import annotations

import json
import threading

from twisted.trial.unittest import SynchronousTestCase

from queuey_client import Answer, Ask, Invalid, Unavailable
from tests.client.support import Server

LIMIT = 60.0


def stored(ask: Ask) -> Answer:
    """All lines are stored."""
    count = len((ask.body or b"").splitlines())
    return Answer(200, {}, json.dumps({"done": True, "stored": count, "failed": 0}).encode() + b"\n")


def first_refused(ask: Ask) -> Answer:
    """The first line is refused."""
    refusal = {"code": "invalid-body", "status": 400, "detail": "no", "applied": "no", "line": 1}
    count = len((ask.body or b"").splitlines()) - 1
    return Answer(200, {}, "\n".join(map(json.dumps, [refusal, {"done": True, "stored": count, "failed": 1}])).encode())


class WriterTests(SynchronousTestCase):
    """A writer and its thread."""

    def test_all_is_stored_at_the_end(self) -> None:
        """In order, in few requests."""
        server = Server(*[stored] * 100)
        with server.queue().writer() as writer:
            for number in range(2500):
                writer.post(str(number))
        sent = [json.loads(line)["body"] for ask in server.asks for line in (ask.body or b"").splitlines()]
        self.assertEqual((sent, writer.stored, writer.failed), ([str(n) for n in range(2500)], 2500, 0))

    def test_back_pressure(self) -> None:
        """A writer that is full waits for the server."""
        may, asked = threading.Event(), threading.Event()

        def slow(ask: Ask) -> Answer:
            asked.set()
            self.assertTrue(may.wait(LIMIT))
            return stored(ask)

        server = Server(*[slow] * 10)
        with server.queue().writer(pending=2, linger=0) as writer:
            writer.post("a")
            self.assertTrue(asked.wait(LIMIT))
            writer.post("b")
            self.assertRaises(Unavailable, writer.flush, timeout=0)
            third = threading.Thread(target=writer.post, args=("c",))
            third.start()
            may.set()
            third.join(LIMIT)
        self.assertEqual(writer.stored, 3)

    def test_a_refusal_is_raised_once(self) -> None:
        """By the next call; the writer goes on."""
        server = Server(first_refused, stored)
        with server.queue().writer() as writer:
            writer.post("a")
            self.assertRaises(Invalid, writer.flush)
            writer.post("b")
        self.assertEqual((writer.stored, writer.failed), (1, 1))

    def test_on_error(self) -> None:
        """The callback is called with each; if it raises, that is raised by the next call."""
        told: list[bytes] = []
        with Server(first_refused).queue().writer(on_error=lambda draft, why: told.append(draft.body)) as writer:
            writer.post("a")
        self.assertEqual(told, [b"a"])

        def fail(draft: object, why: object) -> None:
            raise RuntimeError

        def write() -> None:
            with Server(first_refused).queue().writer(on_error=fail) as writer:
                writer.post("a")

        self.assertRaises(RuntimeError, write)

    def test_a_body_that_raises(self) -> None:
        """What is not sent yet is dropped, and the writer takes nothing more."""
        server = Server()
        writer = server.queue().writer(linger=60)

        def write() -> None:
            with writer:
                writer.post("a")
                raise RuntimeError

        self.assertRaises(RuntimeError, write)
        self.assertEqual((server.asks, writer.failed), ([], 1))
        self.assertRaises(ValueError, writer.post, "b")
