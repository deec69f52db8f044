"""Claims that settle: what a worker has done is acked, and more is taken, in one request."""

from __future__ import annotations

import json
from typing import Any

from tests.http.group_support import GroupTestCase
from tests.http.responses import Response
from tests.http.wire_support import Connection


class SettleAndClaimTests(GroupTestCase):
    """POST /v2/{app}/queues/{queue}/groups/{group}/claims with ``settle``."""

    def both(self, settle: Any, key: str = "", **members: Any) -> tuple[list[str], list[str]]:
        """The outcomes, and the bodies of what was given."""
        fields = {"Idempotency_Key": f'"{key}"'} if key else {}
        answer = self.expect(200, self.ask_claim({"settle": settle, **members}, **fields))
        return [one["outcome"] for one in answer["outcomes"]], [message["body"] for message in answer["messages"]]

    def test_it_settles_and_takes(self) -> None:
        self.made()
        for body in ("a", "b", "c", "d"):
            self.appended(body)
        first, second = self.receipts(limit=2)
        asked = {"ack": [first], "retry": [{"receipt": second, "delay": 60}]}
        answer = self.expect(200, self.ask_claim({"limit": 1, "settle": asked}))
        self.assertEqual(list(answer), ["messages", "outcomes"])
        outcomes = [{"receipt": first, "outcome": "acked"}, {"receipt": second, "outcome": "retrying"}]
        self.assertEqual(answer["outcomes"], outcomes)
        (message,) = answer["messages"]
        self.assertEqual(message["body"], "c")
        self.assertEqual(self.both({"ack": [first, message["receipt"]]}), (["already-acked", "acked"], ["d"]))

    def test_what_it_settles_makes_room(self) -> None:
        """The claim sees what was settled before it, in the same request."""
        self.made(order="partition")
        self.appended("a")
        self.appended("b")
        (receipt,) = self.receipts()
        self.assertEqual(self.both({"ack": [receipt]}), (["acked"], ["b"]))

    def test_stale_and_invalid_ones_are_no_error(self) -> None:
        self.made()
        self.appended("a")
        self.appended("b")
        (receipt,) = self.receipts(limit=1, lease=1)
        self.pass_time(2)
        (again,) = self.receipts(limit=1)
        outcomes, given = self.both({"ack": [receipt, "x"]})
        self.assertEqual((outcomes, given), (["stale", "invalid"], ["b"]))
        self.assertEqual(self.both({"ack": [again]}), (["acked"], []))

    def test_a_rejection(self) -> None:
        """The dead letter is there when the answer is."""
        self.expect(201, self.send("PUT", "/queues/dead"))
        self.made(dead_letter="dead")
        self.appended("a")
        (receipt,) = self.receipts()
        self.assertEqual(self.both({"reject": [{"receipt": receipt, "reason": "no"}]}), (["dead-lettered"], []))
        self.made("d", "dead")
        self.assertEqual(self.given("d", "dead"), ["a"])

    def test_a_repeat_under_a_key(self) -> None:
        self.made()
        self.appended("a")
        self.appended("b")
        (receipt,) = self.receipts(limit=1)
        self.assertEqual(self.both({"ack": [receipt]}, "k"), (["acked"], ["b"]))
        self.assertEqual(self.both({"ack": [receipt]}, "k"), (["already-acked"], ["b"]))

    def test_a_claim_that_waits(self) -> None:
        """What it settles is stored at once, and reported when the claim is answered."""
        self.made()
        self.appended("a")
        (receipt,) = self.receipts()
        connection = self.start(body=json.dumps({"wait": 20, "settle": {"ack": [receipt]}}).encode())
        self.assertEqual(self.lag()["in_flight"], 0)
        self.pass_time(1)
        self.appended("b")
        self.pass_time(0)
        answer = self.expect(200, connection.response("POST"))
        self.assertEqual([one["outcome"] for one in answer["outcomes"]], ["acked"])
        self.assertEqual([message["body"] for message in answer["messages"]], ["b"])

    def test_a_wait_that_ends(self) -> None:
        self.made()
        self.appended("a")
        (receipt,) = self.receipts()
        connection = self.start(body=json.dumps({"wait": 5, "settle": {"ack": [receipt]}}).encode())
        self.pass_time(6)
        answer = self.expect(200, connection.response("POST"))
        self.assertEqual((answer["messages"], len(answer["outcomes"])), ([], 1))

    def test_nothing_to_settle(self) -> None:
        self.made()
        self.appended("a")
        self.assertEqual(self.both({}), ([], ["a"]))
        self.assertNotIn("outcomes", self.expect(200, self.ask_claim({"settle": None})))

    def test_all_that_is_wrong(self) -> None:
        """Nothing is settled, and nothing taken."""
        self.made()
        self.appended("a")
        (receipt,) = self.receipts()
        for settle, errors in (
            ([receipt], {"/settle": "is not an object with lists of receipts"}),
            ({"ack": receipt}, {"/settle/ack": "is not a list of receipts"}),
            ({"ack": [receipt, receipt]}, {"/settle/ack/1": "is a receipt that the request has already"}),
            ({"ack": ["x"] * 1001}, {"/settle": "has more than 1000 receipts"}),
        ):
            self.assertEqual(self.errors("invalid-body", self.ask_claim({"settle": settle})), errors)
        self.assertEqual(self.lag()["in_flight"], 1)

    def waiting(self, **settle: Any) -> Connection:
        """Begin a claim that settles, gets nothing, and waits."""
        return self.start(body=json.dumps({"wait": 20, "settle": settle}).encode())

    def applied(self, code: str, response: Response) -> str:
        found: str = self.problem(code, response)["applied"]
        return found

    def test_its_group_is_deleted_while_it_waits(self) -> None:
        """The problem does not say that nothing was stored: the settlements were."""
        self.made()
        self.appended("a")
        connection = self.waiting(ack=self.receipts())
        self.assertEqual(self.send("DELETE", self.group()).status, 204)
        self.pass_time(1)
        self.assertEqual(self.applied("no-such-group", connection.response("POST")), "partly")

    def test_its_queue_is_deleted_while_it_waits(self) -> None:
        self.made()
        self.appended("a")
        connection = self.waiting(ack=self.receipts())
        self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
        self.pass_time(1)
        self.assertEqual(self.applied("no-such-queue", connection.response("POST")), "partly")

    def test_settlements_that_change_nothing_before_a_wait(self) -> None:
        self.made()
        connection = self.waiting(ack=["x"])
        self.assertEqual(self.send("DELETE", self.group()).status, 204)
        self.pass_time(1)
        self.assertEqual(self.applied("no-such-group", connection.response("POST")), "no")

    def test_its_key_is_reused(self) -> None:
        """Only settlements that change something count as applied."""
        self.made()
        for body in ("a", "b"):
            self.appended(body)
        (receipt,) = self.receipts(limit=1)
        self.assertEqual(self.both({}, "k"), ([], ["b"]))
        fields = {"Idempotency_Key": '"k"'}
        applied = []
        for asked in (["x"], [receipt], [receipt]):
            response = self.ask_claim({"settle": {"ack": asked}}, **fields)
            applied.append(self.applied("key-reused", response))
        self.assertEqual(applied, ["no", "partly", "no"])
