"""The calls of pushes: what each sends, and what it makes of the answer."""

from __future__ import annotations

from datetime import datetime, timezone

from twisted.trial.unittest import SynchronousTestCase

from queuey_client import NotFound, PushSecret, PushTest, Unavailable
from tests.client.support import LOST, ROOT, Server, answer, problem

URL = "https://hooks.example.com/orders"
PUSH = {
    "name": "billing",
    "url": URL,
    "timeout": 15,
    "parallel": 8,
    "rate": None,
    "max_deliveries": 0,
    "secrets": [{"id": "9f86d081884c", "created": "2025-11-26T12:14:43.1698736Z"}],
    "state": "failing",
    "since": "2025-11-26T12:14:43.1698736Z",
    "failures": 12,
    "last_error": "timeout",
    "blocked": None,
    "created": "2025-11-26T12:14:43.1698736Z",
    "version": "7",
}
NEW = {
    **PUSH,
    "secrets": [{**PUSH["secrets"][0], "secret": "whsec_x"}],  # type: ignore[index]
    "state": "active",
    "since": None,
    "failures": 0,
    "last_error": None,
}
ATTEMPT = {
    "time": "2025-11-26T12:14:44.0301245Z",
    "id": "1-1",
    "deliveries": 2,
    "status": None,
    "milliseconds": 15000,
    "error": "timeout",
}
PATH = f"{ROOT}/queues/orders/pushes/billing"


class PushTests(SynchronousTestCase):
    def test_making_one(self) -> None:
        """The secret is in the answer that created it; no repr shows it."""
        server = Server(answer(NEW, 201))
        made = server.queue().push("billing").ensure(url=URL)
        self.assertEqual((made.secret, made.state, made.since), ("whsec_x", "active", None))
        self.assertNotIn("whsec_x", repr(made))
        self.assertEqual((server.asks[0].method, server.asks[0].url, server.sent()), ("PUT", PATH, {"url": URL}))

    def test_changing_one(self) -> None:
        there = problem("precondition-failed", 412)
        server = Server(there, answer(PUSH), there, problem("no-such-push", 404), answer(NEW, 201))
        push = server.queue().push("billing")
        self.assertIsNone(push.ensure(url=URL, timeout=15).secret)
        self.assertEqual(push.ensure(url=URL, timeout=15).secret, "whsec_x")
        self.assertEqual([ask.method for ask in server.asks], ["PUT", "PATCH", "PUT", "PATCH", "PUT"])

    def test_changing_one_that_has_to_be_there(self) -> None:
        """Without a URL it cannot be made, so it is not tried."""
        gone = problem("no-such-push", 404)
        server = Server(answer(PUSH), answer(PUSH), gone, gone)
        push = server.queue().push("billing")
        push.ensure(timeout=15)
        push.ensure()
        self.assertRaises(NotFound, push.ensure, timeout=15)
        self.assertRaises(NotFound, push.ensure, url=None)
        self.assertEqual([ask.method for ask in server.asks], ["PATCH", "GET", "PATCH", "PATCH"])

    def test_a_push_of_a_queue_that_is_not_there(self) -> None:
        """It cannot be made."""
        server = Server(problem("no-such-queue", 404))
        self.assertRaises(NotFound, server.queue().push("billing").ensure, url=URL)
        server = Server(problem("precondition-failed", 412), problem("no-such-queue", 404))
        self.assertRaises(NotFound, server.queue().push("billing").ensure, url=URL)

    def test_what_it_does(self) -> None:
        server = Server(answer(PUSH), answer({"pushes": [PUSH]}), answer(PUSH), answer(PUSH))
        queue = server.queue()
        push = queue.push("billing")
        info = push.info()
        self.assertEqual(info.since, datetime(2025, 11, 26, 12, 14, 43, 169873, tzinfo=timezone.utc))
        self.assertEqual((info.state, info.failures, info.last_error, info.blocked), ("failing", 12, "timeout", None))
        self.assertEqual([queue.pushes(), push.pause(), push.resume()], [[info], info, info])
        asked = [("GET", ""), ("GET", None), ("POST", "/pause"), ("POST", "/resume")]
        listed = f"{ROOT}/queues/orders/pushes"
        urls = [(method, listed if rest is None else f"{PATH}{rest}") for method, rest in asked]
        self.assertEqual([(ask.method, ask.url) for ask in server.asks], urls)

    def test_attempts(self) -> None:
        server = Server(answer({"attempts": [ATTEMPT]}))
        (found,) = server.queue().push("billing").attempts()
        self.assertEqual((found.id, found.status, found.error, found.milliseconds), ("1-1", None, "timeout", 15000))

    def test_a_test(self) -> None:
        """The endpoint may take minutes for its answer."""
        told = {"status": 500, "milliseconds": 35, "error": "status-500", "reason": "status-500: no"}
        server = Server(answer(told))
        self.assertEqual(server.queue().push("billing").test(), PushTest(500, 35, "status-500", "status-500: no"))
        self.assertGreater(server.asks[0].timeout, 300)

    def test_secrets(self) -> None:
        """An answer that is lost is not asked for again: that would add another secret."""
        server = Server(LOST, answer({"id": "ab", "secret": "whsec_y"}, 201), LOST, problem("no-such-push", 404))
        push = server.queue().push("billing")
        self.assertRaises(Unavailable, push.add_secret)
        secret = push.add_secret()
        self.assertEqual(secret, PushSecret("ab", "whsec_y"))
        self.assertNotIn("whsec_y", repr(secret))
        push.remove_secret("ab")
        self.assertEqual(server.asks[-1].url, f"{PATH}/secrets/ab")

    def test_removing(self) -> None:
        server = Server(answer(status=204), problem("no-such-push", 404))
        push = server.queue().push("billing")
        push.remove()
        self.assertRaises(NotFound, push.remove)
