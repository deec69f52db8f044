"""Claims of several groups that settle: each group's messages are settled, and more are taken, in one request."""

from __future__ import annotations

import json
from typing import Any

from tests.http.api_support import OWNER, SETTINGS
from tests.http.responses import Response
from tests.http.v2.many.test_claims import JSON, ManyClaimsCase
from tests.http.wire_support import Connection


class SettleCase(ManyClaimsCase):
    """Claims with ``settle``."""

    def settling(self, settle: dict[str, Any], **members: Any) -> bytes:
        """The body of a claim of both groups.

        :param settle: by queue.
        """
        sources = [
            {"queue": queue, "group": "w", **({"settle": settle[queue]} if queue in settle else {})}
            for queue in ("high", "low")
        ]
        return json.dumps({"from": sources, **members}).encode()

    def ask_both(self, settle: dict[str, Any], key: str = "", **members: Any) -> Response:
        headers = {**OWNER, **JSON, **({"Idempotency-Key": f'"{key}"'} if key else {})}
        return self.ask("POST", "/v2/app/claims", headers, self.settling(settle, **members))

    def start_claim(self, settle: dict[str, Any], **members: Any) -> Connection:
        """A claim that waits."""
        body = self.settling(settle, **{"wait": 20, **members})
        return self.client.start("POST", "/v2/app/claims", {**OWNER, **JSON}, body)

    def both(self, settle: dict[str, Any], key: str = "", **members: Any) -> tuple[list[str], str | None, list[str]]:
        """The outcomes, and what was given by which queue."""
        answer = self.expect(200, self.ask_both(settle, key, **members))
        return [one["outcome"] for one in answer["outcomes"]], *self.shown(answer)

    def given_receipts(self, queue: str, *texts: str) -> list[str]:
        """Post messages to a queue, and claim them."""
        self.write(queue, *texts)
        return [one["receipt"] for one in self.expect(200, self.claims(queue, limit=len(texts)))["messages"]]

    def applied(self, code: str, response: Response) -> str:
        found: str = self.problem(code, response)["applied"]
        return found


class SettleTests(SettleCase):
    def test_it_settles_and_takes(self) -> None:
        """The outcomes are in the order of the groups and of their receipts, whichever group serves the claim."""
        first, second = self.given_receipts("low", "1", "2")
        (third,) = self.given_receipts("high", "3")
        self.write("low", "4")
        asked = {"low": {"ack": [first], "retry": [{"receipt": second, "delay": 60}]}, "high": {"ack": [third]}}
        answer = self.expect(200, self.ask_both(asked))
        self.assertEqual(list(answer), ["messages", "queue", "group", "outcomes"])
        told = [(third, "acked"), (first, "acked"), (second, "retrying")]
        self.assertEqual([(one["receipt"], one["outcome"]) for one in answer["outcomes"]], told)
        self.assertEqual(self.shown(answer), ("low", ["4"]))
        self.assertEqual((self.in_flight("high"), self.in_flight("low")), (0, 1))

    def test_what_it_settles_makes_room(self) -> None:
        """The claim sees what was settled before it, also of a group that is asked later."""
        self.made("o", "low", order="partition")
        self.write("low", "1", "2")
        sources = [{"queue": "high", "group": "w"}, {"queue": "low", "group": "o"}]
        body: dict[str, Any] = {"from": sources}
        (message,) = self.expect(200, self.ask("POST", "/v2/app/claims", {**OWNER, **JSON}, _json(body)))["messages"]
        sources[1]["settle"] = {"ack": [message["receipt"]]}  # type: ignore[assignment]
        answer = self.expect(200, self.ask("POST", "/v2/app/claims", {**OWNER, **JSON}, _json(body)))
        self.assertEqual([one["body"] for one in answer["messages"]], ["2"])

    def test_stale_and_invalid_ones_are_no_error(self) -> None:
        """Nor is a receipt of the other group."""
        (receipt,) = self.given_receipts("low", "1")
        self.write("high", "2")
        asked = {"high": {"ack": [receipt]}, "low": {"ack": ["x"]}}
        self.assertEqual(self.both(asked), (["invalid", "invalid"], "high", ["2"]))
        self.assertEqual(self.in_flight("low"), 1)

    def test_nothing_to_settle(self) -> None:
        self.write("low", "1")
        self.assertEqual(self.both({"high": {}}), ([], "low", ["1"]))
        self.assertNotIn("outcomes", self.expect(200, self.ask_both({"high": None})))

    def test_a_rejection(self) -> None:
        """The dead letter is there when the answer is."""
        self.expect(201, self.send("PUT", "/queues/dead"))
        self.made("d", "dead")
        self.expect(200, self.send("PATCH", self.group("", "w", "low"), {"dead_letter": "dead"}, OWNER, PATCH))
        (receipt,) = self.given_receipts("low", "1")
        asked = {"low": {"reject": [{"receipt": receipt, "reason": "no"}]}}
        self.assertEqual(self.both(asked), (["dead-lettered"], None, []))
        self.assertEqual(self.given("d", "dead"), ["1"])

    def test_a_repeat_under_a_key(self) -> None:
        """It is given the same messages, and its settlements do no harm."""
        (receipt,) = self.given_receipts("high", "1")
        self.write("low", "2")
        asked = {"high": {"ack": [receipt]}}
        self.assertEqual(self.both(asked, "k"), (["acked"], "low", ["2"]))
        self.write("high", "3")
        self.assertEqual(self.both(asked, "k"), (["already-acked"], "low", ["2"]))


class WaitTests(SettleCase):
    def test_a_claim_that_waits(self) -> None:
        """What it settles is stored at once, and told when it is answered."""
        low, high = self.given_receipts("low", "1"), self.given_receipts("high", "2")
        waiting = self.start_claim({"low": {"ack": low}, "high": {"ack": high}})
        self.clock.advance(0)
        self.assertEqual((self.in_flight("high"), self.in_flight("low")), (0, 0))
        self.clock.advance(1)
        self.write("low", "3")
        self.clock.advance(0)
        answer = self.expect(200, waiting.response())
        self.assertEqual([one["outcome"] for one in answer["outcomes"]], ["acked", "acked"])
        self.assertEqual(self.shown(answer), ("low", ["3"]))

    def test_a_wait_that_ends(self) -> None:
        waiting = self.start_claim({"low": {"ack": self.given_receipts("low", "1")}}, wait=3)
        self.clock.advance(3.1)
        answer = self.expect(200, waiting.response())
        self.assertEqual((answer["messages"], len(answer["outcomes"])), ([], 1))

    def test_a_group_is_deleted_while_it_waits(self) -> None:
        """The problem does not say that nothing was stored: the settlements of the other group were."""
        for settle, applied in (({"ack": self.given_receipts("low", "1")}, "partly"), ({"ack": ["x"]}, "no")):
            waiting = self.start_claim({"low": settle})
            self.assertEqual(self.send("DELETE", self.group("", "w", "high")).status, 204)
            self.clock.advance(0)
            self.assertEqual(self.applied("no-such-group", waiting.response()), applied)
            self.made("w", "high")

    def test_a_queue_is_deleted_while_it_waits(self) -> None:
        waiting = self.start_claim({"low": {"ack": self.given_receipts("low", "1")}})
        self.assertEqual(self.send("DELETE", "/queues/high").status, 204)
        self.clock.advance(20)
        self.assertEqual(self.applied("no-such-queue", waiting.response()), "partly")

    def test_its_key_is_reused(self) -> None:
        self.write("low", "1", "2")
        (receipt,) = [one["receipt"] for one in self.expect(200, self.claims("low", limit=1))["messages"]]
        self.both({"high": {}}, "k")
        self.assertEqual(self.applied("key-reused", self.ask_both({"low": {"ack": ["x"]}}, "k")), "no")
        self.assertEqual(self.applied("key-reused", self.ask_both({"low": {"ack": [receipt]}}, "k")), "partly")


class SeatsTests(SettleCase):
    settings = f"{SETTINGS}[application:app]\nmax_waits = 1\n"

    def test_no_seat(self) -> None:
        """A claim that may not wait settles nothing."""
        receipts, waiting = self.given_receipts("low", "1"), self.wait()
        refused = self.ask_both({"low": {"ack": receipts}}, wait=1)
        self.assertEqual(self.applied("too-many-requests", refused), "no")
        self.assertEqual(self.in_flight("low"), 1)
        waiting.hang_up()


PATCH = "application/merge-patch+json"


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()
