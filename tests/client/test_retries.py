"""When a request is sent again, and when it is not."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from queuey_client import Answer, Invalid, Limited, NoAnswer, NotAllowed, QueueyError, Retry, Unavailable
from queuey_client.core.retry import RESERVE, Budget
from queuey_client.core.session import Credentials, Endpoints
from tests.client.support import LOST, REFUSED, STORED, Server, answer, page, problem

BUSY = problem("unavailable", 503, retryable=True, applied="unknown", headers={"retry-after": "3"})


class RuleTests(SynchronousTestCase):
    """The rules alone."""

    def test_pauses_grow_to_a_bound(self) -> None:
        """They are random up to a length that doubles."""
        retry = Retry(least=0.1, most=2)
        longest = [retry.pause(attempts, None, 1.0) for attempts in range(1, 8)]
        self.assertEqual(longest, [0.1, 0.2, 0.4, 0.8, 1.6, 2, 2])
        self.assertEqual(retry.pause(3, None, 0.0), 0.0)
        self.assertEqual(retry.pause(10_000, None, 0.5), 1.0)

    def test_retry_after_is_the_least(self) -> None:
        """Some jitter comes on top, so that clients do not come back together."""
        self.assertEqual(Retry().pause(1, 3.0, 0.0), 3.0)
        self.assertAlmostEqual(Retry().pause(1, 3.0, 1.0), 3.01)

    def test_what_is_wanted(self) -> None:
        """What is retryable, if it is safe or nothing was stored, unless the caller says otherwise."""
        retry = Retry()
        table = [
            (True, "no", False, True),
            (True, "no", True, True),
            (True, "unknown", False, False),
            (True, "unknown", True, True),
            (True, "partly", False, False),
            (False, "no", True, False),
        ]
        for retryable, applied, safe, wanted in table:
            error = QueueyError("", retryable=retryable, applied=applied)
            self.assertEqual(retry.wanted(error, safe), wanted, (retryable, applied, safe))
            self.assertFalse(Retry.never.wanted(error, safe))
            self.assertFalse(Retry(on=lambda error: False).wanted(error, safe))

    def test_budget(self) -> None:
        """Ten at once, then a fifth of the requests and one a second."""
        budget = Budget(0.2)
        self.assertEqual([budget.take(0) for _ in range(int(RESERVE))], [0.0] * 10)
        self.assertEqual(budget.take(0), 1.0)
        budget.give_back()
        for _ in range(5):
            budget.request(0)
        self.assertAlmostEqual(budget.take(0), 0.0)
        self.assertAlmostEqual(budget.take(5), 0.0)
        self.assertEqual(sum(budget.take(1000) == 0 for _ in range(100)), 10)

    def test_endpoints(self) -> None:
        """Each in turn; one that failed is left alone for a while, unless all did."""
        endpoints = Endpoints(["http://a", "http://b/", "http://c/x"])
        self.assertEqual([endpoints.pick(0) for _ in range(4)], ["http://a", "http://b", "http://c/x", "http://a"])
        endpoints.failed("http://b", 0)
        self.assertEqual({endpoints.pick(1) for _ in range(6)}, {"http://a", "http://c/x"})
        self.assertEqual({endpoints.pick(9) for _ in range(6)}, {"http://a", "http://b", "http://c/x"})
        endpoints.failed("http://a", 10)
        endpoints.failed("http://b", 11)
        endpoints.failed("http://c/x", 12)
        self.assertEqual(endpoints.pick(13), "http://a")

    def test_addresses_that_are_none(self) -> None:
        """They are refused when the client is made."""
        for wrong in ("server:5000", "ftp://server", "http://", "http://user:secret@server", "http://server/?a=b"):
            self.assertRaises(ValueError, Endpoints, [wrong])
        self.assertRaises(ValueError, Endpoints, [])


class ExchangeTests(SynchronousTestCase):
    """A call and its attempts."""

    def test_a_key_is_made_once(self) -> None:
        """And sent with each attempt."""
        server = Server(LOST, BUSY, answer(STORED, 201))
        stored = server.queue().post("a pear")
        self.assertEqual(len(set(server.keys)), 1)
        self.assertEqual(server.keys[0], f'"{stored.key}"')
        self.assertEqual(server.sleeps, [0.1, 3.02])

    def test_keys_differ_between_calls(self) -> None:
        """Two posts are two messages."""
        server = Server(answer(STORED), answer(STORED))
        queue = server.queue()
        self.assertNotEqual(queue.post("a").key, queue.post("a").key)

    def test_without_a_key_what_may_be_stored_is_not_sent_again(self) -> None:
        """It would be stored twice; what was never sent is sent again."""
        server = Server(REFUSED, LOST)
        error = self.assertRaises(Unavailable, server.queue().post, "a pear", idempotency_key="")
        self.assertEqual((error.applied, error.attempts, server.keys), ("unknown", 2, [None, None]))

    def test_a_refusal_is_final(self) -> None:
        """It is raised at once, with all that was said."""
        wrong = problem("invalid-parameters", 400, errors=[{"parameter": "ttl", "detail": "no"}])
        server = Server(wrong)
        error = self.assertRaises(Invalid, server.queue().post, "a pear")
        self.assertEqual((error.code, error.errors[0]["parameter"], error.attempts), ("invalid-parameters", "ttl", 1))
        self.assertEqual(server.sleeps, [])

    def test_the_deadline(self) -> None:
        """No attempt begins after it; the last error is raised."""
        server = Server(*[LOST] * 100)
        error = self.assertRaises(Unavailable, server.queue(retry=Retry(deadline=20)).post, "a pear")
        self.assertLessEqual(sum(server.sleeps), 20)
        self.assertGreater(error.attempts, 5)
        self.assertEqual(error.applied, "unknown")
        self.assertIn("attempts", str(error))

    def test_a_retry_after_beyond_the_deadline(self) -> None:
        """Is not waited for."""
        server = Server(problem("too-many-requests", 429, retryable=True, limit="rate", headers={"retry-after": "90"}))
        error = self.assertRaises(Limited, server.queue().post, "a pear")
        self.assertEqual((error.retry_after, error.limit, server.sleeps), (90.0, "rate", []))

    def test_never(self) -> None:
        """One attempt, with the whole time limit."""
        server = Server(BUSY)
        self.assertRaises(Unavailable, server.queue(retry=Retry.never).post, "a pear")
        self.assertEqual(server.asks[0].timeout, 10.0)

    def test_time_limits(self) -> None:
        """Those of attempts shrink as the deadline comes near; a wait comes on top of both."""
        server = Server(LOST, LOST, page(1))
        server.takes = 7.0
        server.queue(retry=Retry(deadline=15)).read()
        self.assertEqual([round(ask.timeout, 1) for ask in server.asks], [10.0, 7.9, 0.7])
        server = Server(page(1))
        server.queue().read(wait=20)
        self.assertEqual(server.asks[0].timeout, 30.0)

    def test_what_was_unknown_once_stays_so(self) -> None:
        """A refusal does not say what became of the attempt before it."""
        server = Server(LOST, problem("forbidden", 403))
        error = self.assertRaises(NotAllowed, server.queue().post, "a pear")
        self.assertEqual((error.applied, error.attempts), ("unknown", 2))
        server = Server(LOST, problem("forbidden", 403))
        error = self.assertRaises(NotAllowed, server.queue().read)
        self.assertEqual(error.applied, "no")

    def test_a_date_to_come_back_at(self) -> None:
        """Proxies send one as ``Retry-After``; it counts from the date of the answer, else from now."""
        html, at = {"content-type": "text/html"}, "Wed, 26 Nov 2025 12:00:07 GMT"
        for fields, least, most in (
            ({"retry-after": at, "date": "Wed, 26 Nov 2025 12:00:00 GMT"}, 7, 7.02),
            ({"retry-after": at, "date": "Wed, 26 Nov 2025 12:00:09 GMT"}, 0, 0.02),
            ({"retry-after": at}, 0, 0.02),
            ({"retry-after": "Wed, 99 Nov 2025 12:00:07 GMT"}, 0, 0.1),
            ({"retry-after": "soon"}, 0, 0.1),
        ):
            server = Server(Answer(503, {**html, **fields}, b"busy"), answer(STORED, 201))
            server.queue().post("a")
            self.assertTrue(least <= server.sleeps[0] <= most, (fields, server.sleeps))

    def test_an_answer_that_was_cut(self) -> None:
        """A proxy that does not say where it ends has sent half of it: the request is sent again, with the same key."""
        half = Answer(201, {"content-type": "application/json"}, json.dumps(STORED).encode()[:-9])
        server = Server(half, answer(STORED, 201))
        server.queue().post("a")
        self.assertEqual(len({ask.headers["Idempotency-Key"] for ask in server.asks}), 1)
        self.assertEqual(len(server.asks), 2)
        server = Server(half, answer(STORED, 201))
        error = self.assertRaises(Unavailable, server.queue().post, "a", idempotency_key="")
        self.assertEqual((error.applied, error.status, len(server.asks)), ("unknown", 201, 1))
        whole = page(1)
        server = Server(Answer(200, whole.headers, whole.body[:-1]), whole)
        self.assertEqual(len(server.queue().read().messages), 1)

    def test_a_page_in_place_of_an_answer(self) -> None:
        """A success that is not Queuey's leaves open what was stored. It is no success, and is not tried again."""
        server = Server(Answer(200, {"content-type": "text/html"}, b"<h1>Sign in</h1>"))
        error = self.assertRaises(Unavailable, server.queue().post, "a")
        self.assertEqual((error.code, error.applied, error.attempts), ("foreign-answer", "unknown", 1))

    def test_json_of_a_gateway(self) -> None:
        """It may have a code, but only Queuey says what was applied."""
        for code in (503, "ServiceUnavailable"):
            gateway = Answer(503, {"content-type": "application/json"}, json.dumps({"code": code}).encode())
            server = Server(gateway, answer(STORED, 201))
            server.queue().post("a")
            server = Server(gateway)
            error = self.assertRaises(Unavailable, server.queue().post, "a", idempotency_key="")
            self.assertEqual((error.code, error.applied, error.retryable), ("http-503", "unknown", True))

    def test_a_certificate_that_is_not_trusted(self) -> None:
        """Is not trusted the next time either."""
        server = Server(NoAnswer("no", sent=False, final=True))
        self.assertRaises(Unavailable, server.queue().read)
        self.assertEqual(server.sleeps, [])

    def test_the_budget_slows_repeats_down(self) -> None:
        """After ten, it is one a second, and so is the server's burden."""
        server = Server(*[REFUSED] * 500)
        queue = server.queue(retry=Retry(deadline=30, most=0.01))
        self.assertRaises(Unavailable, queue.read)
        self.assertLessEqual(len(server.asks), 42)
        before = len(server.asks)
        self.assertRaises(Unavailable, queue.read)
        self.assertLessEqual(len(server.asks) - before, 33)

    def test_another_server_is_asked(self) -> None:
        """The one that did not answer is left alone."""
        server = Server(LOST, answer(STORED), answer(STORED), answer(STORED))
        queue = server.queue(urls=("http://a", "http://b"))
        for _ in range(3):
            queue.post("a pear")
        self.assertEqual([ask.url[:8] for ask in server.asks], ["http://a", "http://b", "http://b", "http://b"])

    def test_a_key_is_asked_for_again_after_401(self) -> None:
        """Once, so that keys can be rotated."""
        keys = iter(["old", "new", "newer"])
        server = Server(problem("unauthorized", 401), answer(STORED), problem("unauthorized", 401), answer(STORED))
        queue = server.queue(credentials=Credentials(lambda: next(keys), None))
        queue.post("a pear")
        queue.post("a pear")
        shown = [ask.headers["Authorization"] for ask in server.asks]
        self.assertEqual(shown, ["Application old", "Application new", "Application new", "Application newer"])
        server = Server(problem("unauthorized", 401), problem("unauthorized", 401))
        self.assertRaises(NotAllowed, server.queue(credentials=Credentials(lambda: "x", None)).post, "a pear")
        server = Server(problem("unauthorized", 401))
        self.assertRaises(NotAllowed, server.queue().post, "a pear")

    def test_both_credentials(self) -> None:
        """A user with a token, of an application with a key."""
        server = Server(page())
        server.queue(credentials=Credentials("k", "t")).read()
        self.assertEqual(server.asks[0].headers["Authorization"], "Application k; Bearer t")

    def test_promises_are_kept_for_a_minute(self) -> None:
        """One request, and another one later."""
        from queuey_client.sync.transport import Driver

        server = Server(answer({"features": ["waits"]}), answer({"features": ["waits", "live"]}))
        session, driver = server.session(), Driver(server, server.sleep)
        self.assertEqual(driver.run(session.promises()), driver.run(session.promises()))
        server.now += 61
        self.assertEqual(driver.run(session.promises())["features"], ["waits", "live"])
