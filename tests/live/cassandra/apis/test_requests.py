"""Thirty requests of each API to a front end on a real node: each way of using it, answered as it is documented.

What the store does is in ``test_contracts``, and what the APIs answer in ``tests/http``; here the two are together.
"""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import Any
from urllib.parse import urlencode

from tests.live.cassandra.fronts import ANSWER, FrontTestCase
from tests.live.cassandra.shared import cql_node
from tests.live.clients import HEADERS

run_in = "test"

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
PATCH = {"Content-Type": "application/merge-patch+json"}
BATCH = {"Content-Type": "application/vnd.queuey.messages+json"}
TEXT = {"Content-Type": "text/plain"}
REQUESTS = 30


class RequestsTests(FrontTestCase):
    """A client, one request after another."""

    def setUp(self) -> None:
        super().setUp()
        host, port = cql_node()
        self.served = self.front("a", [host], port).serve()
        self.asked = 0

    def ask(self, expected: int, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request, which has to be answered with this status; what the answer says."""
        self.asked += 1
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        with closing(http.client.HTTPConnection("127.0.0.1", self.served.port, timeout=ANSWER)) as connection:
            connection.request(method, path, content, {**HEADERS, **headers})
            answer = connection.getresponse()
            text = answer.read()
        self.assertEqual(answer.status, expected, f"{method} {path}: {text!r}")
        return json.loads(text) if "json" in answer.getheader("Content-Type", "") else text

    def end(self) -> None:
        """There were enough, and the front end has nothing to complain about."""
        self.assertGreaterEqual(self.asked, REQUESTS)
        self.assertEqual(self.defects(self.served), [])

    def bodies(self, path: str) -> list[str]:
        """What a read shows."""
        return [message["body"] for message in self.ask(200, "GET", path)["messages"]]

    def test_v1(self) -> None:
        """Queues are made, changed, listed and deleted; messages are posted, read, overwritten and deleted."""
        application, queue = "/v1/queuey", "/v1/queuey/q"

        def form(**fields: object) -> bytes:
            return urlencode(fields).encode()

        made = self.ask(201, "POST", application, form(queue_name="q", partitions=2), **FORM)
        self.assertEqual((made["queue_name"], made["partitions"], made["consistency"]), ("q", 2, "strong"))
        self.ask(201, "POST", application, form(queue_name="other", consistency="very_strong"), **FORM)
        named = self.ask(201, "POST", application, form(partitions=1), **FORM)["queue_name"]
        self.assertEqual(self.ask(200, "PUT", queue, form(partitions=3), **FORM)["partitions"], 3)
        self.ask(400, "PUT", queue, form(partitions=1), **FORM)
        self.assertEqual(
            {one["queue_name"] for one in self.ask(200, "GET", application)["queues"]}, {"q", "other", named}
        )
        self.assertEqual(self.ask(200, "GET", f"{application}?limit=1&offset=p")["queues"], [{"queue_name": "q"}])
        self.assertEqual(self.bodies(queue), [])
        ids = []
        for body in ("a", "b", "c"):
            (stored,) = self.ask(201, "POST", queue, body.encode(), **TEXT, **{"X-Partition": "1"})["messages"]
            ids.append(stored["key"])
        self.assertEqual(sorted(ids), ids)
        batch = {"messages": [{"body": "d", "partition": 2}, {"body": "e", "partition": 2, "ttl": 60}, {"body": "f"}]}
        self.assertEqual(len(self.ask(201, "POST", queue, batch, **JSON)["messages"]), 3)
        self.ask(400, "POST", queue, {"messages": [{"body": 1}]}, **JSON)
        self.ask(400, "POST", queue, b"", **TEXT)
        self.assertEqual(self.bodies(f"{queue}?limit=2"), ["a", "b"])
        self.assertEqual(self.bodies(f"{queue}?since={ids[1]}&limit=2"), ["b", "c"])
        self.assertEqual(self.bodies(f"{queue}?since={ids[1]}&order=descending"), ["b", "a"])
        self.assertEqual(set(self.bodies(f"{queue}?partitions=1,2,3")), set("abcdef"))
        self.assertEqual(self.bodies(f"{queue}/{ids[2]},1:{ids[0]}"), ["c", "a"])
        (counted,) = self.ask(200, "GET", f"{application}?include_count=true&limit=1&offset=q")["queues"]
        self.assertEqual(counted["count"], 6)
        self.ask(200, "PUT", f"{queue}/{ids[1]}", b"B", **TEXT)
        self.assertEqual(self.bodies(f"{queue}/{ids[1]}"), ["B"])
        self.ask(200, "DELETE", f"{queue}/{ids[0]}")
        self.ask(200, "DELETE", f"{queue}/{ids[0]}")
        self.assertEqual(self.bodies(f"{queue}?limit=2"), ["B", "c"])
        self.ask(404, "GET", f"{application}/missing")
        self.ask(404, "POST", f"{application}/missing", b"a", **TEXT)
        self.ask(200, "DELETE", f"{application}/{named}")
        self.ask(200, "DELETE", queue)
        self.ask(404, "GET", queue)
        self.ask(201, "POST", application, form(queue_name="q"), **FORM)
        self.assertEqual(self.bodies(queue), [])
        self.end()

    def test_v2(self) -> None:
        """Queues, messages, cursors, writes under a key, and a consumer group from its beginning to its end."""
        application = "/v2/queuey"
        queue = f"{application}/queues/q"
        messages, group = f"{queue}/messages", f"{queue}/groups/g"
        self.assertIsNone(self.ask(200, "GET", application)["not_once"])
        self.assertEqual(self.ask(201, "PUT", queue, {"partitions": 1}, **JSON)["partitions"], 1)
        self.ask(200, "PATCH", queue, {"ttl": 3600}, **PATCH)
        self.assertEqual(self.ask(200, "GET", queue)["ttl"], 3600)
        self.assertEqual([one["name"] for one in self.ask(200, "GET", f"{application}/queues")["queues"]], ["q"])
        keyed = {**TEXT, "Idempotency-Key": '"one"'}
        first, again = (self.ask(201, "POST", messages, b"a", **keyed)["messages"] for _ in range(2))
        self.assertEqual(first[0]["id"], again[0]["id"])
        self.assertEqual(self.ask(422, "POST", messages, b"b", **keyed)["code"], "key-reused")
        batch = {"messages": [{"body": body} for body in "bcd"]}
        ids = [first[0]["id"], *(one["id"] for one in self.ask(201, "POST", messages, batch, **BATCH)["messages"])]
        self.ask(400, "POST", messages, {"messages": [{"body": 7}]}, **BATCH)
        page = self.ask(200, "GET", f"{messages}?limit=2&wait=10")
        self.assertEqual([one["body"] for one in page["messages"]], ["a", "b"])
        rest = self.ask(200, "GET", f"{messages}?after={page['next']}&wait=10")
        self.assertEqual([one["body"] for one in rest["messages"]], ["c", "d"])
        self.assertEqual(self.ask(200, "GET", f"{messages}/{ids[1]}"), b"b")
        self.ask(204, "PUT", f"{messages}/{ids[3]}", b"D", **TEXT)
        self.assertEqual(self.bodies(f"{messages}?order=desc&limit=1"), ["D"])
        self.ask(201, "PUT", group, {"lease": 30, "max_deliveries": 2}, **JSON)
        self.ask(200, "PATCH", group, {"lease": 60}, **PATCH)
        self.assertEqual(self.ask(200, "GET", group)["lease"], 60)
        self.assertEqual([one["name"] for one in self.ask(200, "GET", f"{queue}/groups")["groups"]], ["g"])
        given = self.ask(200, "POST", f"{group}/claims", {"limit": 4, "wait": 10}, **JSON)["messages"]
        self.assertEqual([one["body"] for one in given], ["a", "b", "c", "D"])
        receipts = [one["receipt"] for one in given]
        self.assertEqual(self.ask(200, "POST", f"{group}/claims", {"limit": 4}, **JSON)["messages"], [])
        settled = {"ack": receipts[:2], "retry": [receipts[2]], "reject": [receipts[3]]}
        self.ask(200, "POST", f"{group}/settlements", settled, **JSON)
        given = self.ask(200, "POST", f"{group}/claims", {"limit": 4, "wait": 10}, **JSON)["messages"]
        self.assertEqual([(one["body"], one["deliveries"]) for one in given], [("c", 2)])
        stale = self.ask(409, "POST", f"{group}/settlements", {"ack": [receipts[2]]}, **JSON)
        self.assertEqual(stale["code"], "stale-receipts")
        self.ask(200, "POST", f"{group}/settlements", {"ack": [given[0]["receipt"]]}, **JSON)
        (lag,) = self.ask(200, "GET", group)["lag"]
        self.assertEqual((lag["in_flight"], lag["waiting"]), (0, 0))
        self.ask(204, "DELETE", f"{messages}/{ids[0]}")
        self.ask(404, "GET", f"{messages}/{ids[0]}")
        self.ask(204, "DELETE", group)
        self.ask(404, "GET", group)
        self.ask(204, "DELETE", queue)
        self.ask(404, "GET", messages)
        self.end()
