"""The method ``messages.peek``, on a whole daemon in memory."""

from __future__ import annotations

import base64
import json
from typing import Any

from queuey.core.peeking import MAX_BODIES
from tests.http.api_support import BATCH, OWNER, SETTINGS
from tests.ops.test_methods import AuditedTestCase

QUEUE = "/v2/app/queues/orders"
PLAIN = {**OWNER, "Content-Type": "text/plain"}
JSON = {**OWNER, "Content-Type": "application/json"}
WHICH = {"application": "app", "queue": "orders"}


class PeekCase(AuditedTestCase):
    """A queue of two partitions."""

    settings = f"{SETTINGS}\n[server]\nops_peek = true\n"

    def setUp(self) -> None:
        super().setUp()
        self.expect(201, self.ask("PUT", QUEUE, JSON, b'{"partitions": 2}'))

    def post_all(self, *bodies: bytes, partition: int = 1) -> list[str]:
        """Post messages, a second apart; returns their ids."""
        ids: list[str] = []
        for body in bodies:
            (one,) = self.expect(201, self.ask("POST", f"{QUEUE}/messages?partition={partition}", PLAIN, body))[
                "messages"
            ]
            ids.append(one["id"])
            self.clock.advance(1)
        return ids

    def peek(self, **params: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.call("messages.peek", **WHICH, **params)
        return found

    def ids(self, **params: Any) -> list[str]:
        return [one["id"] for one in self.peek(**params)["messages"]]

    def pages(self, **params: Any) -> list[str]:
        """The ids of all pages."""
        found: list[str] = []
        after: str | None = None
        while True:
            page = self.peek(after=after, **params)
            found += [one["id"] for one in page["messages"]]
            after = page["next"]
            if after is None:
                return found


class PeekTests(PeekCase):
    """What is shown."""

    def test_a_message(self) -> None:
        document = {
            "messages": [{"body": "h\u00e9", "headers": {"n": "v", "deep": {"x": [1]}}, "content_type": "text/x"}]
        }
        batch = {**OWNER, "Content-Type": BATCH}
        posted = self.ask("POST", f"{QUEUE}/messages", batch, json.dumps(document).encode())
        (one,) = self.expect(201, posted)["messages"]
        (found,) = self.peek()["messages"]
        self.assertEqual((found["id"], found["partition"]), (one["id"], one["partition"]))
        (read,) = self.expect(200, self.ask("GET", f"{QUEUE}/messages"))["messages"]
        self.assertEqual((found["stored"], found["expires"]), (read["timestamp"], read["expires"]))
        self.assertEqual((found["type"], found["headers"]), ("text/x", {"n": "v", "deep": '{"x": [1]}'}))
        self.assertEqual(
            (found["body"], found["encoding"], found["bytes"], found["cut"]), ("h\u00e9", "utf-8", 3, False)
        )

    def test_places(self) -> None:
        first, second, third, fourth = self.post_all(b"1", b"2") + self.post_all(b"3", b"4", partition=2)
        every = [first, second, third, fourth]
        self.assertEqual(self.ids(), every)
        self.assertEqual(self.ids(limit=2), [third, fourth])
        self.assertIsNone(self.peek(limit=2)["next"])
        self.assertEqual(self.ids(limit=2, newest_first=True), [fourth, third])
        self.assertEqual(self.ids(partition=1), [first, second])
        self.assertEqual(self.ids(partition=2, **{"from": "oldest"}), [third, fourth])
        (shown,) = self.peek(ids=[second])["messages"]
        self.assertEqual(self.ids(**{"from": shown["stored"]}), [second, third, fourth])
        self.assertEqual(self.ids(newest_first=True, **{"from": shown["stored"]}), [first])
        for limit in (1, 2, 3, 5):
            self.assertEqual(self.pages(limit=limit, **{"from": "oldest"}), every)
            self.assertEqual(self.pages(limit=limit, newest_first=True), every[::-1])

    def test_ids(self) -> None:
        """In their order; those without a message are left out."""
        first, second = self.post_all(b"1", b"2")
        self.assertEqual(self.ids(ids=[second, f"{first[:-1]}2", first]), [second, first])

    def test_nothing_is_taken(self) -> None:
        """A group is given afterwards what it would have been given, and no message counts as given."""
        self.expect(201, self.ask("PUT", f"{QUEUE}/groups/g", JSON, b"{}"))
        self.post_all(b"1")
        self.assembly.by_queue.take()
        self.peek()
        self.assertEqual(self.assembly.by_queue.take(), {})
        (got,) = self.expect(200, self.ask("POST", f"{QUEUE}/groups/g/claims", JSON, b"{}"))["messages"]
        self.assertEqual(got["deliveries"], 1)

    def test_bodies(self) -> None:
        self.post_all(b"\xff\x00", "aé".encode(), b"<img src=x onerror=alert(1)>", "é".encode()[:1])
        bytes_, text, markup, half = self.peek()["messages"]
        self.assertEqual((bytes_["encoding"], base64.b64decode(bytes_["body"])), ("base64", b"\xff\x00"))
        self.assertEqual((half["encoding"], half["cut"]), ("base64", False))
        self.assertEqual(markup["body"], "<img src=x onerror=alert(1)>")
        (found,) = self.peek(max_body=2, ids=[text["id"]])["messages"]
        self.assertEqual((found["body"], found["encoding"], found["cut"], found["bytes"]), ("a", "utf-8", True, 3))
        (found,) = self.peek(max_body=0, limit=1)["messages"]
        self.assertEqual((found["body"], found["cut"]), ("", True))

    def test_many_bytes(self) -> None:
        """All bodies of an answer together are bounded, and those that are not shown are marked."""
        self.post_all(*[b"\x01" * 65_536] * 12)
        found = self.peek(limit=100, max_body=65_536)["messages"]
        self.assertEqual(sum(len(one["body"]) for one in found), MAX_BODIES)
        self.assertEqual({(one["cut"], one["bytes"]) for one in found}, {(False, 65_536), (True, 65_536)})

    def test_the_log(self) -> None:
        ids = self.post_all(b"secret", b"2")
        self.peek(limit=1)
        (line,) = self.audited()
        self.assertEqual((line["method"], line["outcome"]), ("messages.peek", "done"))
        self.assertEqual(json.loads(line["after"]), {"ids": ids[1:]})
        self.assertNotIn("secret", repr(line))
        self.peek(after=ids[0], **{"from": "oldest"})
        (line,) = self.audited()
        about = json.loads(line["about"])
        self.assertEqual((about["after"], about["from"]), (ids[0], "oldest"))

    def test_refusals(self) -> None:
        wrong: tuple[dict[str, Any], ...] = (
            {"from": "x"},
            {"ids": []},
            {"ids": ["x"]},
            {"ids": [["x"]]},
            {"ids": self.post_all(b"1") * 101},
            {"partition": 3},
            {"partition": 0},
            {"limit": 101},
            {"max_body": 65_537},
            {"after": "x"},
            {"after": "g" * 32 + "-1"},
            {"after": "0" * 32},
        )
        for params in wrong:
            self.assertEqual(
                self.fault("messages.peek", **WHICH, **params)["data"]["code"], "invalid-parameters", params
            )
        fault = self.fault("messages.peek", application="app", queue="none")
        self.assertEqual(fault["data"]["code"], "no-such-queue")


class ClosedTests(PeekCase):
    """By default operators may read no message."""

    settings = SETTINGS

    def test_refused(self) -> None:
        self.post_all(b"secret")
        fault = self.fault("messages.peek", **WHICH)
        self.assertEqual((fault["data"]["code"], fault["data"]["applied"]), ("forbidden", "no"))
        self.assertIn("ops_peek", fault["message"])
        (line,) = self.audited()
        self.assertEqual((line["method"], line["outcome"]), ("messages.peek", "forbidden, applied: no"))
