"""The methods ``dead.list`` and ``groups.redrive``, on a whole daemon in memory."""

from __future__ import annotations

import json
from typing import Any

from tests.http.api_support import OWNER
from tests.ops.test_methods import AuditedTestCase

QUEUE = "/v2/app/queues/orders"
GROUP = f"{QUEUE}/groups/billing"
PLAIN = {**OWNER, "Content-Type": "text/plain"}
JSON = {**OWNER, "Content-Type": "application/json"}
WHICH = {"application": "app", "queue": "orders", "group": "billing"}


class DeadCase(AuditedTestCase):
    """A group with a dead-letter queue."""

    def setUp(self) -> None:
        super().setUp()
        for path, body in (("/v2/app/queues/failed", {}), (QUEUE, {}), (GROUP, {"dead_letter": "failed"})):
            self.expect(201, self.ask("PUT", path, JSON, json.dumps(body).encode()))

    def give_up(self, *reasons: str) -> list[str]:
        """Post a message and reject it for each reason; returns their ids."""
        posted: list[str] = []
        for reason in reasons:
            (one,) = self.expect(201, self.ask("POST", f"{QUEUE}/messages", PLAIN, b"12345"))["messages"]
            posted.append(one["id"])
            (got,) = self.expect(200, self.ask("POST", f"{GROUP}/claims", JSON, b"{}"))["messages"]
            reject = {"reject": [{"receipt": got["receipt"], "reason": reason}]}
            self.expect(200, self.ask("POST", f"{GROUP}/settlements", JSON, json.dumps(reject).encode()))
        return posted

    def listed(self, **params: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.call("dead.list", **WHICH, **params)
        return found

    def redrive(self, **params: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.call("groups.redrive", **WHICH, **params)
        return found


class DeadTests(DeadCase):
    """What is listed, and what of it is redriven."""

    def test_a_list(self) -> None:
        first, second = self.give_up("card declined", "timeout")
        found = self.listed()
        one, two = found["dead_letters"]
        self.assertEqual((one["original"], two["original"]), (first, second))
        self.assertEqual(
            (one["reason"], one["deliveries"], one["type"], one["bytes"]), ("card declined", 1, "text/plain", 5)
        )
        self.assertEqual((one["where"], one["partition"]), ("queue", 1))
        self.assertEqual(found["reasons"], {"card declined": 1, "timeout": 1})
        self.assertEqual((found["scanned"], found["dead_letter_queue"], found["next"]), (2, "failed", None))
        self.assertNotIn("12345", json.dumps(found))
        self.assertEqual(self.audited(), [])

    def test_pages(self) -> None:
        posted = self.give_up("1", "2", "3")
        first = self.listed(limit=2)
        last = self.listed(limit=2, after=first["next"])
        self.assertEqual([one["original"] for page in (first, last) for one in page["dead_letters"]], posted)
        self.assertEqual(self.listed(reason="2")["dead_letters"][0]["original"], posted[1])
        self.assertEqual(self.listed(before=first["dead_letters"][0]["since"])["dead_letters"], [])

    def test_a_redrive_by_ids(self) -> None:
        self.give_up("1", "2")
        ids = [one["id"] for one in self.listed()["dead_letters"]]
        expected = {"moved": 1, "copies": 0, "missing": 0, "left": {}, "dry_run": True, "next": None}
        self.assertEqual(self.redrive(ids=ids[:1], dry_run=True), expected)
        self.assertEqual(self.audited(), [])
        self.assertEqual(self.redrive(ids=ids[:1]), {**expected, "dry_run": False})
        (line,) = self.audited()
        self.assertEqual((line["method"], json.loads(line["after"])), ("groups.redrive", {"moved": 1}))
        self.assertEqual(json.loads(line["about"])["ids"], ids[:1])
        self.assertEqual(len(self.listed()["dead_letters"]), 1)
        self.assertEqual(self.redrive(ids=ids), {**expected, "dry_run": False, "missing": 1})

    def test_a_redrive_by_reason(self) -> None:
        self.give_up("card declined", "timeout", "card expired")
        self.assertEqual(self.redrive(reason="card")["moved"], 2)
        self.assertEqual(list(self.listed()["reasons"]), ["timeout"])
        self.assertEqual(self.redrive(all=True)["moved"], 1)

    def test_a_slow_redrive(self) -> None:
        """A call takes a second if a rate is given, and redrives no more than it says."""
        self.give_up("1", "2", "3")
        asked = {"jsonrpc": "2.0", "method": "groups.redrive", "id": 1, "params": {**WHICH, "all": True, "rate": 2}}
        started = self.ops.start("POST", "/rpc", {"Content-Type": "application/json"}, json.dumps(asked).encode())
        self.clock.advance(0.9)
        self.assertEqual(started.responses(), [])
        self.clock.advance(0.1)
        (response,) = started.responses()
        self.assertEqual(response.json["result"]["moved"], 2)
        self.assertEqual(len(self.listed()["dead_letters"]), 1)

    def test_refusals(self) -> None:
        good = self.give_up("1")[0]
        wrong: tuple[dict[str, Any], ...] = (
            {},
            {"all": False},
            {"ids": [good], "all": True},
            {"all": True, "reason": "x"},
            {"all": True, "since": "2026-01-31T12:00:00Z"},
            {"ids": []},
            {"ids": ["x"]},
            {"ids": [1]},
            {"ids": [f"{good[:4]}{number:08x}{good[12:]}" for number in range(1001)]},
            {"all": True, "rate": 0},
            {"all": True, "rate": 101},
            {"all": True, "after": "x"},
            {"all": True, "dry_run": 1},
        )
        for params in wrong:
            data = self.fault("groups.redrive", **WHICH, **params)["data"]
            self.assertEqual((data["code"], data["applied"]), ("invalid-parameters", "no"), params)
        wrong = ({"after": "x"}, {"limit": 101}, {"reason": 1})
        for params in wrong:
            self.assertEqual(self.fault("dead.list", **WHICH, **params)["data"]["code"], "invalid-parameters", params)
        for method in ("dead.list", "groups.redrive"):
            data = self.fault(method, **{**WHICH, "group": "none"}, **({"all": True} if "redrive" in method else {}))
            self.assertEqual(data["data"]["code"], "no-such-group")
