"""Settlements over v2: acked, retried, extended, rejected; and the receipts that do not hold."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from tests.http.group_support import GroupTestCase


class SettleTests(GroupTestCase):
    """POST /v2/{app}/queues/{queue}/groups/{group}/settlements."""

    def setUp(self) -> None:
        super().setUp()
        self.made()

    def test_ack(self) -> None:
        """It is done, and repeating that does no harm."""
        self.appended("a")
        receipt = self.receipt(lease=1)
        response = self.ask_settle({"ack": [receipt]})
        self.assertEqual(self.expect(200, response), {"outcomes": [{"receipt": receipt, "outcome": "acked"}]})
        self.assertEqual(response.header("cache-control"), "no-store")
        self.clock.advance(60)
        self.assertEqual(self.given(), [])
        for lists in ({"ack": [receipt]}, {"retry": [receipt]}, {"extend": [receipt]}, {"reject": [receipt]}):
            self.assertEqual(self.outcomes(self.expect(200, self.ask_settle(lists)), lists), ["already-acked"])

    def test_retry(self) -> None:
        """It is given again, at once or after a delay."""
        self.appended("a")
        self.assertEqual(self.settled(retry=[self.receipt()]), ["retrying"])
        (message,) = self.claimed()
        self.assertEqual(message["deliveries"], 2)
        self.assertEqual(self.settled(retry=[{"receipt": message["receipt"], "delay": 2.5}]), ["retrying"])
        self.clock.advance(2)
        self.assertEqual(self.given(), [])
        self.clock.advance(1)
        self.assertEqual(self.given(), ["a"])

    def test_extend(self) -> None:
        """The lease ends later, by what is asked or what the group has; or sooner."""
        self.batch([{"body": body} for body in "abc"])
        receipts = self.receipts(lease=5)
        asked = [receipts[0], {"receipt": receipts[1], "lease": 60}, {"receipt": receipts[2], "lease": 1}]
        self.assertEqual(self.settled(extend=asked), ["extended"] * 3)
        self.clock.advance(6)
        self.assertEqual(self.given(lease=1000), ["c"])
        self.clock.advance(25)
        self.assertEqual(self.given(lease=1000), ["a"])
        self.clock.advance(30)
        self.assertEqual(self.given(), ["b"])

    def test_reject(self) -> None:
        """Without a dead-letter queue it is set aside, counted, and not given again."""
        self.appended("a")
        self.assertEqual(self.settled(reject=[self.receipt(lease=1)]), ["set-aside"])
        self.clock.advance(60)
        self.assertEqual((self.given(), self.lag()["set_aside"]), ([], 1))

    def test_order(self) -> None:
        """Outcomes are in the order asked: that of the members in the body, and then that of the lists."""
        self.batch([{"body": body} for body in "abcdef"])
        a, b, c, d, e, f = self.receipts()
        lists: dict[str, Any] = {"reject": [a], "ack": [c, b], "extend": [{"receipt": f}], "retry": [d, {"receipt": e}]}
        expected = ["set-aside", "acked", "acked", "extended", "retrying", "retrying"]
        self.assertEqual(self.outcomes(self.expect(200, self.ask_settle(lists)), lists), expected)

    def test_nothing(self) -> None:
        """Nothing asked is nothing done."""
        bodies: tuple[Any, ...] = (None, b"", {}, {"ack": [], "retry": []})
        for body in bodies:
            self.assertEqual(self.expect(200, self.ask_settle(body)), {"outcomes": []})

    def test_past_its_end(self) -> None:
        """A receipt holds while the message was given to no other worker."""
        self.appended("a")
        receipt = self.receipt(lease=1)
        self.clock.advance(60)
        self.assertEqual(self.settled(ack=[receipt]), ["acked"])

    def test_stale(self) -> None:
        """The lease has passed on: nothing is changed, and it is said so."""
        self.appended("a")
        old = self.receipt(lease=1)
        self.clock.advance(2)
        new = self.receipt()
        for lists in ({"ack": [old]}, {"retry": [old]}, {"extend": [old]}, {"reject": [old]}):
            problem = self.problem("stale-receipts", self.ask_settle(lists))
            self.assertEqual((problem["applied"], self.outcomes(problem, lists)), ("no", ["stale"]))
        self.assertEqual(self.settled(ack=[new]), ["acked"])
        self.assertEqual(self.stale("no", ack=[old]), ["stale"])

    def test_rejected_before(self) -> None:
        """A message that was given up is settled: a repeat gets the answer that nothing changed."""
        self.appended("a")
        receipt = self.receipt()
        self.settled(reject=[receipt])
        self.assertEqual(self.stale("no", ack=[receipt]), ["stale"])

    def test_deleted_message(self) -> None:
        """Deleting a leased message settles it."""
        id = self.appended("a")
        self.receipt(lease=1)
        self.assertEqual(self.one(id, "DELETE").status, 204)
        self.clock.advance(2)
        self.assertEqual(self.given(), [])
        self.assertEqual(self.lag()["behind"], {"count": 0, "exact": True})

    def test_partly(self) -> None:
        """Those that hold are applied, and ``applied`` says whether there were any."""
        self.batch([{"body": body} for body in "abc"])
        a, b, c = self.receipts()
        self.assertEqual(self.stale("partly", ack=[a, "forged"], extend=[b]), ["acked", "invalid", "extended"])
        self.assertEqual(self.stale("no", ack=[a, "forged"]), ["already-acked", "invalid"])
        problem = self.problem("stale-receipts", self.ask_settle({"ack": [c, "x", "y"]}))
        self.assertEqual(problem["detail"], "Of 3 receipts 2 changed nothing: outcomes says which, and why.")
        self.assertEqual(self.lag()["in_flight"], 1)

    def test_a_thousand(self) -> None:
        """Some of them are stale: each has its result, in order, and the others are done."""
        self.batch([{"body": f"{number}"} for number in range(1000)])
        old = self.receipts(limit=300, lease=1)
        self.clock.advance(2)
        new = self.receipts(limit=1000)
        self.assertEqual(len(new), 1000)
        asked = [receipt for pair in zip(old, new, strict=False) for receipt in pair] + new[300:700]
        self.assertEqual(len(asked), 1000)
        outcomes = self.stale("partly", ack=asked[:500], retry=asked[500:])
        self.assertEqual(outcomes[:500], ["stale", "acked"] * 250)
        self.assertEqual(outcomes[500:600], ["stale", "retrying"] * 50)
        self.assertEqual(outcomes[600:], ["retrying"] * 400)
        self.assertEqual(self.lag()["behind"], {"count": 750, "exact": True})

    def test_invalid(self) -> None:
        """Forged, changed, cut, doubled, empty, of another group, of another queue."""
        self.make("p")
        for queue in ("q", "p"):
            self.appended("a", queue=queue)
        receipt, other = self.receipt(), self.receipt("other")
        (foreign,) = [message["receipt"] for message in self.claimed(queue="p")]
        data = bytearray(urlsafe_b64decode(receipt))
        changed = []
        for at in range(len(data)):
            data[at] ^= 1
            changed.append(urlsafe_b64encode(data).decode())
            data[at] ^= 1
        forged = [other, foreign, receipt[:-1], receipt[1:], receipt + "A", receipt * 2, f" {receipt}", "", "x", "ü",
                  receipt.swapcase(), receipt[:-4] + "====", "A" * 88, "x" * 10_000]  # fmt: skip
        self.assertEqual(set(self.stale("no", ack=[*forged, *changed])), {"invalid"})
        self.assertEqual(self.settled(ack=[receipt]), ["acked"])
        self.assertEqual(self.settled("other", ack=[other]), ["acked"])
        self.assertEqual(self.settled(queue="p", ack=[foreign]), ["acked"])

    def test_invalid_and_long(self) -> None:
        """Of what is longer than receipts are, all together, an answer has the beginning: it is not much larger."""
        long = ["\U0001f600" * 20 + str(number) for number in range(600)]
        lists = {"ack": long, "retry": ["x" * 90_000, "A" * 88]}
        problem = self.problem("stale-receipts", self.ask_settle(lists, "g"))
        self.assertEqual({one["outcome"] for one in problem["outcomes"]}, {"invalid"})
        self.assertEqual((len(problem["outcomes"]), problem["outcomes"][-1]["receipt"]), (602, "A" * 88))
        self.assertLess(max(len(one["receipt"]) for one in problem["outcomes"]), 110)

    def test_the_size_of_an_answer(self) -> None:
        """It is as large as with receipts at the most, whatever texts stand in their place."""
        for text in ("a", "\x01", "\u4e00", "\U0001f600", "\x7f", "\\", '"', "%", "<"):
            for size in (4, 80, 88, 150):
                asked = [(text * size)[: size - 4] + f"{number:04}" for number in range(1000)]
                body = json.dumps({"ack": asked}, ensure_ascii=False).encode("utf-8")
                response = self.ask_settle(body)
                self.assertEqual(len(self.problem("stale-receipts", response)["outcomes"]), 1000)
                self.assertLess(len(response.body), 128 << 10, (text, size))

    def test_twice(self) -> None:
        """A receipt that stands there twice is refused, and nothing is done."""
        self.batch([{"body": body} for body in "ab"])
        a, b = self.receipts()
        text = "is a receipt that the request has already"
        for body, errors in (
            ({"ack": [a, a]}, {"/ack/1": text}),
            ({"ack": [a], "retry": [b, {"receipt": a, "delay": 1}]}, {"/retry/1": text}),
            ({"extend": [{"receipt": b}], "reject": [b, b]}, {"/reject/0": text, "/reject/1": text}),
            ({"ack": ["x", "x"]}, {"/ack/1": text}),
        ):
            self.assertEqual(self.errors("invalid-body", self.ask_settle(body)), errors)
        self.assertEqual(self.settled(ack=[a, b]), ["acked", "acked"])

    def test_wrong(self) -> None:
        """Everything that is wrong is named, and nothing is done."""
        self.appended("a")
        receipt = self.receipt()
        object_of = "is neither a receipt nor an object with a receipt"
        cases: tuple[tuple[dict[str, Any], dict[str, str]], ...] = (
            ({"ack": [5, None, [receipt], True]}, {f"/ack/{at}": object_of for at in range(4)}),
            ({"reject": [{"receipt": receipt, "reason": "ü" * 513}]}, {
                "/reject/0/reason": "has 1026 bytes in UTF-8; at most 1024 are allowed"}),
            ({"ack": [f"{number}" for number in range(1001)]}, {"": "has more than 1000 receipts"}),
            ({"ack": ["x"] * 501, "retry": ["x"] * 500}, {"": "has more than 1000 receipts"}),
        )  # fmt: skip
        for body, errors in cases:
            self.assertEqual(self.errors("invalid-body", self.ask_settle(body)), errors, body)
        self.assertEqual(self.lag()["in_flight"], 1)
        self.assertEqual(self.settled(reject=[{"receipt": receipt, "reason": "ü" * 128}]), ["set-aside"])

    def test_nothing_there(self) -> None:
        """No group, no queue, whatever the body is."""
        for body in (None, {"ack": 1}):
            self.problem("no-such-group", self.ask_settle(body, "nope"))
            self.problem("no-such-queue", self.ask_settle(body, "g", "nope"))


class ManyPartitionsTests(GroupTestCase):
    """Settlements of several partitions."""

    partitions = 3

    def test_order(self) -> None:
        """One settlement settles in all of them, and tells of each in the order asked."""
        for number in range(9):
            self.appended(f"{number}", f"?partition={number % 3 + 1}")
        receipts = self.receipts()
        random = [receipts[at] for at in (4, 0, 8, 2, 6, 1, 7, 3, 5)]
        asked = [*random[:4], "forged", *random[4:]]
        self.assertEqual(self.stale("partly", ack=asked), [*["acked"] * 4, "invalid", *["acked"] * 5])
        for partition in (1, 2, 3):
            self.assertEqual(self.lag(partition)["behind"], {"count": 0, "exact": True})


class DeadLetterTests(GroupTestCase):
    """Messages that are given up, where there is a queue for them."""

    def setUp(self) -> None:
        super().setUp()
        self.make("dead")
        self.made(max_deliveries=2, dead_letter="dead")

    def dead(self) -> list[dict[str, Any]]:
        """The dead letters."""
        found: list[dict[str, Any]] = self.page("", "dead")["messages"]
        return found

    def test_reject(self) -> None:
        """It is there, once, with its type and its headers, and with what is to be known of it."""
        self.append(b"a", content_type="text/x", Queuey_Headers="%7B%22from%22%3A%22shop%22%7D")
        (message,) = self.claimed()
        asked = [{"receipt": message["receipt"], "reason": "no such customer"}]
        self.assertEqual(self.settled(reject=asked), ["dead-lettered"])
        (letter,) = self.dead()
        self.assertEqual((letter["body"], letter["content_type"], letter["headers"]["from"]), ("a", "text/x", "shop"))
        told = letter["headers"]["queuey-dead-letter"]
        expected = {"queue": "q", "id": message["id"], "group": "g", "deliveries": 1, "reason": "no such customer"}
        self.assertEqual({name: told[name] for name in expected}, expected)
        self.assertEqual((self.given(), self.lag()["set_aside"]), ([], 0))
        self.assertEqual(self.stale("no", reject=asked), ["stale"])
        self.assertEqual(len(self.dead()), 1)

    def test_too_often(self) -> None:
        """A message that was given as often as it may be: by a retry at once, by its lease with the next claim."""
        self.batch([{"body": "retried"}, {"body": "forgotten"}])
        self.receipts(lease=1)
        self.clock.advance(2)
        retried, _ = self.receipts(lease=1)
        self.assertEqual(self.settled(retry=[retried]), ["dead-lettered"])
        self.clock.advance(2)
        self.assertEqual(self.given(), [])
        self.assertEqual([letter["body"] for letter in self.dead()], ["retried", "forgotten"])
        told = [letter["headers"]["queuey-dead-letter"] for letter in self.dead()]
        self.assertEqual([one["reason"] for one in told], ["", "lease ended"])
        self.assertEqual({len(bytes.fromhex(one["gid"])) for one in told}, {16})
        self.assertEqual(self.lag()["behind"], {"count": 0, "exact": True})

    def test_queue_deleted(self) -> None:
        """Then the message stays with the group, and moves once there is a queue of that name again."""
        self.appended("a")
        receipt = self.receipt()
        self.assertEqual(self.send("DELETE", "/queues/dead").status, 204)
        self.assertEqual(self.settled(reject=[receipt]), ["retrying"])
        self.assertEqual(self.lag()["behind"], {"count": 1, "exact": True})
        self.make("dead")
        self.clock.advance(3700)
        (message,) = self.claimed()
        self.assertEqual(self.settled(reject=[message["receipt"]]), ["dead-lettered"])
        self.assertEqual([letter["body"] for letter in self.dead()], ["a"])

    def test_set_later(self) -> None:
        """The settings of the moment count."""
        self.appended("a")
        receipt = self.receipt()
        self.expect(200, self.change({"dead_letter": None}))
        self.assertEqual(self.settled(reject=[receipt]), ["set-aside"])
        self.assertEqual(self.dead(), [])
