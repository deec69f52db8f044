"""The method ``queues.report``, on a whole daemon in memory."""

from __future__ import annotations

import json
from typing import Any

from queuey.core.activity import ENTRIES, GIVEN, SPAN
from queuey.http.answers.pieces import MAX_AT_ONCE
from tests.http.api_support import OWNER, SETTINGS
from tests.ops.support import OpsTestCase

MESSAGES = "/v2/app/queues/{}/messages"
PLAIN = {**OWNER, "Content-Type": "text/plain"}
JSON = {**OWNER, "Content-Type": "application/json"}


class ReportsTestCase(OpsTestCase):
    """Posts, reads and claims, and asks for reports."""

    def setUp(self) -> None:
        super().setUp()
        for name in ("orders", "quiet"):
            self.expect(201, self.ask("PUT", f"/v2/app/queues/{name}", JSON, b"{}"))

    def post_to(self, queue: str, number: int = 1) -> None:
        for _ in range(number):
            self.expect(201, self.ask("POST", MESSAGES.format(queue), PLAIN, b"12345"))

    def take(self) -> None:
        """What the daemon does every second."""
        assert self.assembly.activity is not None
        self.assembly.activity.look()

    def report(self, **params: Any) -> dict[str, Any]:
        self.take()
        found: dict[str, Any] = self.call("queues.report", **params)
        return found


class ReportTests(ReportsTestCase):
    """What is reported."""

    def test_a_report(self) -> None:
        group = "/v2/app/queues/orders/groups/billing"
        self.expect(201, self.ask("PUT", group, JSON, b"{}"))
        self.post_to("orders", 3)
        self.expect(200, self.ask("GET", MESSAGES.format("orders")))
        (got, *_) = self.expect(200, self.ask("POST", f"{group}/claims", JSON, b'{"limit": 2}'))["messages"]
        body = f'{{"ack": ["{got["receipt"]}"]}}'.encode()
        self.expect(200, self.ask("POST", f"{group}/settlements", JSON, body))
        found = self.report()
        self.assertEqual((found["scope"], found["span"], found["kept"], found["next"]), ("daemon", SPAN, 1, None))
        self.assertEqual(found["total"], {"stored": 0.3, "given": 0.5, "acked": 0.1, "history": None})
        orders, quiet = found["queues"]
        self.assertEqual((orders["application"], orders["name"], orders["messages"]), ("app", "orders", 3))
        self.assertEqual(orders["rates"], {"stored": 0.3, "given": 0.5, "acked": 0.1})
        self.assertNotIn("principals", orders)
        (lag,) = orders["groups"]
        self.assertEqual((lag["name"], lag["behind"], lag["exact"], lag["in_flight"]), ("billing", 2, True, 1))
        self.assertEqual((quiet["name"], quiet["messages"], quiet["rates"], quiet["groups"]), ("quiet", 0, None, []))
        self.assertEqual((orders["history"], quiet["history"]), (None, None))

    def test_histories(self) -> None:
        self.post_to("orders", 3)
        self.take()
        self.clock.advance(SPAN)
        found = self.report(history=True, limit=1)
        expected = [0] * (ENTRIES - 1) + [3]
        self.assertEqual(found["queues"][0]["history"]["stored"], expected)
        self.assertEqual(found["total"]["history"]["stored"], expected)
        self.assertEqual(found["total"]["history"]["acked"], [0] * ENTRIES)

    def test_growing(self) -> None:
        """A backlog that grows slowly for ten minutes is seen while messages are few and young."""
        group = "/v2/app/queues/orders/groups/billing"
        self.post_to("orders")
        self.assertEqual([one["growing"] for one in self.report()["queues"]], [False, None])
        self.expect(201, self.ask("PUT", group, JSON, b"{}"))
        self.expect(201, self.ask("PUT", "/v2/app/queues/orders/groups/once", JSON, b'{"guarantee": "at-most-once"}'))
        growing = []
        for taken in (2, 1):
            for _ in range(ENTRIES):
                self.post_to("orders", 2)
                self.expect(200, self.ask("POST", group.replace("billing", "once/claims"), JSON, b'{"limit": 9}'))
                found = self.expect(200, self.ask("POST", f"{group}/claims", JSON, b'{"limit": %d}' % taken))
                acks = json.dumps({"ack": [one["receipt"] for one in found["messages"]]}).encode()
                self.expect(200, self.ask("POST", f"{group}/settlements", JSON, acks))
                self.take()
                self.clock.advance(SPAN)
            growing.append(self.report()["queues"][0]["growing"])
        self.assertEqual(growing, [False, True])

    def test_pages(self) -> None:
        self.post_to("quiet")
        for sort, expected in (("stored", ["quiet", "orders"]), ("name", ["orders", "quiet"])):
            first = self.report(sort=sort, limit=1)
            last = self.report(sort=sort, limit=1, after=first["next"], application="app")
            self.assertEqual([first["queues"][0]["name"], last["queues"][0]["name"]], expected)
            self.assertIsNone(last["next"])
        self.assertEqual([one["name"] for one in self.report(prefix="or")["queues"]], ["orders"])
        self.assertEqual(self.report(application="other")["queues"], [])

    def test_refusals(self) -> None:
        for params in (
            {"sort": "depth"},
            {"limit": 101},
            {"limit": 0},
            {"history": "yes"},
            {"application": "app", "after": "other/q"},
            {"after": "orders"},
            {"after": "1" * 6},
            {"after": "-1"},
            {"after": "7", "sort": "name"},
        ):
            self.assertEqual(self.fault("queues.report", **params)["data"]["code"], "invalid-parameters", params)


class ManyQueuesTests(ReportsTestCase):
    """Messages of an answer with those of several queues count for their own queues."""

    def given(self) -> dict[str, int]:
        """Messages that were given since this was last asked, by queue."""
        counts = self.assembly.by_queue.take()
        return {name: line[GIVEN] for (_, name), line in counts.items() if line[GIVEN]}

    def setUp(self) -> None:
        super().setUp()
        self.post_to("orders", 3)
        self.post_to("quiet", 1)

    def test_reads(self) -> None:
        body = b'{"queues": ["orders", "quiet"], "start": "oldest"}'
        self.assertEqual(len(self.expect(200, self.ask("POST", "/v2/app/reads", JSON, body))["messages"]), 4)
        self.assertEqual(self.given(), {"orders": 3, "quiet": 1})

    def test_large_reads(self) -> None:
        """In pieces, each of which counts for itself."""
        for queue in ("orders", "quiet", "orders"):
            self.expect(201, self.ask("POST", MESSAGES.format(queue), PLAIN, b"x" * MAX_AT_ONCE))
        body = b'{"queues": ["orders", "quiet"], "start": "oldest"}'
        self.expect(200, self.ask("POST", "/v2/app/reads", JSON, body))
        self.assertEqual(self.given(), {"orders": 5, "quiet": 2})

    def test_claims(self) -> None:
        for queue in ("orders", "quiet"):
            self.expect(201, self.ask("PUT", f"/v2/app/queues/{queue}/groups/g", JSON, b"{}"))
        body = b'{"from": [{"queue": "quiet", "group": "g"}, {"queue": "orders", "group": "g"}], "limit": 2}'
        given = sorted([self.expect(200, self.ask("POST", "/v2/app/claims", JSON, body))["queue"] for _ in range(2)])
        self.assertEqual(given, ["orders", "quiet"])
        self.assertEqual(self.given(), {"orders": 2, "quiet": 1})


class UncountedTests(ReportsTestCase):
    """If the settings switch counting off, there are no rates, and the queues are listed by name."""

    settings = f"{SETTINGS}\n[metrics]\nenabled = no\n"

    def test_without_rates(self) -> None:
        self.post_to("quiet")
        self.assertIsNone(self.assembly.activity)
        found: dict[str, Any] = self.call("queues.report", history=True)
        self.assertEqual((found["total"], found["kept"], found["ends"]), (None, 0, None))
        self.assertEqual([(one["name"], one["rates"]) for one in found["queues"]], [("orders", None), ("quiet", None)])
