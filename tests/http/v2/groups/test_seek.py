"""Moving groups over v2: to other places of the log, and dead letters back."""

from __future__ import annotations

from typing import Any

from queuey.model.reading.cursor import Cursor, parse
from queuey.model.reading.window import OLDEST
from tests.http.api_support import OWNER
from tests.http.group_support import GroupTestCase
from tests.http.responses import Response


class SeekTests(GroupTestCase):
    """POST /v2/{app}/queues/{queue}/groups/{group}/seek."""

    partitions = 2

    def setUp(self) -> None:
        super().setUp()
        self.made()

    def spread(self, *bodies: str) -> list[str]:
        """Post messages, ten seconds from each other, to one partition after the other."""
        found = []
        for number, body in enumerate(bodies):
            found.append(self.appended(body, f"?partition={number % 2 + 1}"))
            self.clock.advance(10)
        return found

    def keyed(self, to: str, key: str) -> Response:
        """Seek under an Idempotency-Key."""
        return self.send("POST", self.group("/seek"), {"to": to}, {**OWNER, "Idempotency-Key": key})

    def test_words_and_times(self) -> None:
        """To the oldest, the newest, and to times, also backwards."""
        self.spread("a", "b", "c", "d")
        for to, bodies in (
            ("oldest", ["a", "b", "c", "d"]),
            ("newest", []),
            ("2023-11-14T22:13:35Z", ["c", "d"]),
            ("1700000005", ["b", "c", "d"]),
            ("2023-11-14T23:13:45+01:00", ["d"]),
            ("0", ["a", "b", "c", "d"]),
        ):
            self.sought(to)
            self.assertEqual(self.given(), bodies, to)
        self.sought("newest")
        self.spread("e")
        self.assertEqual(self.given(), ["e"])

    def test_idempotency_keys(self) -> None:
        """A seek that may be repeated takes a key, and does not look at it; newest is another place each time."""
        self.spread("a", "b")
        for to in ("oldest", "1700000005"):
            for key in ('"k"', "not quoted", ""):
                self.assertEqual(self.keyed(to, key).status, 204, (to, key))
        self.assertEqual(self.given(), ["b"])
        self.sought("oldest")
        errors = self.errors("invalid-parameters", self.keyed("newest", '"k"'))
        text = "is not taken by a seek to newest, which is another place each time; name the place, or send no key"
        self.assertEqual(errors, {"Idempotency-Key": text})
        self.assertEqual(self.given(), ["a", "b"])

    def test_ids(self) -> None:
        """An id is excluded itself, as it is by a reader."""
        ids = self.spread("a", "b", "c", "d")
        for at, id in enumerate(ids):
            self.sought(id)
            self.assertEqual(self.given(), ["a", "b", "c", "d"][at + 1 :])
            self.assertEqual(self.texts(f"after={id}"), ["a", "b", "c", "d"][at + 1 :])

    def test_cursors(self) -> None:
        """The group goes on where a reader with that cursor would."""
        self.spread("a", "b", "c", "d")
        after = ""
        for left in (["b", "c", "d"], ["c", "d"], ["d"], []):
            after = self.page(f"limit=1{after and '&after='}{after}")["next"]
            self.sought(after)
            self.assertEqual(self.given(), left)
        self.sought(self.page("since=1700000015&limit=1")["next"])
        self.assertEqual(self.given(), ["d"])

    def test_cursor_of_some(self) -> None:
        """It is about the partitions of its reader, or some of those."""
        self.spread("a", "b", "c", "d")
        self.assertEqual(self.given(), ["a", "b", "c", "d"])
        place = self.page("partition=2&limit=1")["next"]
        self.sought(place)
        self.assertEqual(self.given(), ["d"])
        self.sought(place, partitions=[2])
        self.assertEqual(self.given(), ["d"])
        self.problem("cursor-mismatch", self.seek(place, partitions=[1]))
        self.problem("cursor-mismatch", self.seek(place, partitions=[1, 2]))
        self.sought(self.page("limit=1")["next"], partitions=[1])
        self.assertEqual(self.given(), ["c"])

    def test_floor(self) -> None:
        """A cursor that begins at a time, and has not come so far, does so for a group as well."""
        self.spread("a", "b", "c", "d")
        after = parse(self.page()["next"])
        floor = parse(self.page("since=1700000015&limit=1")["next"]).floor
        self.assertIsNotNone(floor)
        place = Cursor(after.incarnation, OLDEST, floor=floor).text()
        self.sought(place)
        self.assertEqual((self.given(), self.texts(f"after={place}")), (["c", "d"], ["c", "d"]))

    def test_settled_through(self) -> None:
        """Where a group has come to is a place to seek to."""
        self.spread("a", "b", "c", "d")
        self.settled(ack=[self.receipt(partitions=[1])])
        self.sought(self.get()["lag"][0]["settled_through"])
        self.assertEqual(self.given(), ["b", "c", "d"])

    def test_some_partitions(self) -> None:
        """Others stay where they are, and their receipts hold."""
        self.spread("a", "b")
        a, b = self.receipts()
        self.sought("oldest", partitions=[2])
        self.assertEqual(self.stale("partly", ack=[a, b]), ["acked", "invalid"])
        self.assertEqual(self.given(), ["b"])

    def test_receipts(self) -> None:
        """Those of before are invalid, and repeating a seek does no harm."""
        self.spread("a")
        receipt = self.receipt()
        for _ in range(3):
            self.sought("oldest")
            self.assertEqual(self.stale("no", ack=[receipt]), ["invalid"])
        self.assertEqual(self.given(), ["a"])

    def test_other_groups(self) -> None:
        """They stay where they are."""
        self.spread("a")
        receipt = self.receipt("other")
        self.sought("oldest")
        self.assertEqual(self.settled("other", ack=[receipt]), ["acked"])

    def test_wrong(self) -> None:
        """What is no place is refused, and the group stays where it is."""
        self.spread("a", "b")
        self.sought("newest")
        missing = "is missing; it is one of oldest, newest, now, a time, a cursor or an id"
        neither = "is neither one of oldest, newest, now, nor a time, a whole cursor or an id"
        cases: tuple[tuple[Any, dict[str, str]], ...] = (
            (None, {"/to": missing}),
            ({}, {"/to": missing}),
            ({"to": None}, {"/to": missing}),
            ({"to": "AQAfDKwX2I9nMgAAAAAAAAAAAAEB-tz4EQ"[:-1]}, {
                "/to": f'"AQAfDKwX2I9nMgAAAAAAAAAAAAEB-tz4E" {neither}'}),
            ({"to": "oldest", "partitions": [3]}, {"/partitions/0": "is not a whole number from 1 to 2"}),
        )  # fmt: skip
        for body, errors in cases:
            response = self.send("POST", self.group("/seek"), body)
            self.assertEqual(self.errors("invalid-body", response), errors, body)
        self.problem("cursor-mismatch", self.seek(self.page("order=desc&limit=1")["next"]))
        self.problem("no-such-group", self.seek("oldest", "nope"))
        self.assertEqual(self.given(), [])

    def test_replaced(self) -> None:
        """For a cursor of an earlier incarnation of the queue, the error says where to go on."""
        self.spread("a")
        place = self.page()["next"]
        self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
        self.make("q", partitions=2)
        self.made()
        problem = self.problem("queue-replaced", self.seek(place))
        self.spread("b")
        self.assertEqual(self.given(), ["b"])
        self.sought(problem["oldest"])
        self.assertEqual(self.given(), ["b"])


class RedriveTests(GroupTestCase):
    """POST /v2/{app}/queues/{queue}/groups/{group}/redrive."""

    def setUp(self) -> None:
        super().setUp()
        self.make("dead")
        self.made(dead_letter="dead")

    def given_up(self, *bodies: str) -> list[str]:
        """Post messages, and give them up; their ids."""
        found = []
        for body in bodies:
            self.appended(body)
            (message,) = self.claimed()
            found.append(message["id"])
            self.settled(reject=[message["receipt"]])
            self.clock.advance(10)
        return found

    def letters(self) -> dict[str, str]:
        """The ids of the dead letters, by their bodies."""
        return {message["body"]: message["id"] for message in self.page("", "dead")["messages"]}

    def test_all(self) -> None:
        """All are given again, as if for the first time, and none is a dead letter any more."""
        self.given_up("a", "b")
        self.assertEqual(list(self.letters()), ["a", "b"])
        self.assertEqual(self.redriven(all=True), 2)
        self.assertEqual(self.letters(), {})
        self.assertEqual([(one["body"], one["deliveries"]) for one in self.claimed()], [("a", 1), ("b", 1)])
        self.assertEqual(self.redriven(all=True), 0)

    def test_ids(self) -> None:
        """Those that are named, each once; what is none is passed over."""
        originals = self.given_up("a", "b", "c")
        letters = self.letters()
        self.assertEqual(self.redriven(ids=[letters["b"], letters["b"]]), 1)
        self.assertEqual(self.given(), ["b"])
        self.assertEqual(self.redriven(ids=[letters["b"], originals[0]]), 0)
        self.assertEqual(list(self.letters()), ["a", "c"])

    def test_times(self) -> None:
        """Those that became dead letters from one time on, and before another."""
        self.given_up("a", "b", "c", "d")
        self.assertEqual(self.redriven(since="1700000005", until="2023-11-14T22:13:45Z"), 2)
        self.assertEqual(self.given(), ["b", "c"])
        self.assertEqual(self.redriven(since="1700000025"), 1)
        self.assertEqual(self.redriven(until="1700000025"), 1)

    def test_set_aside(self) -> None:
        """Those without a dead-letter queue too."""
        self.expect(200, self.change({"dead_letter": None}))
        ids = self.given_up("a", "b", "c")
        self.assertEqual(self.lag()["set_aside"], 3)
        self.assertEqual(self.redriven(ids=[ids[1]]), 1)
        self.assertEqual((self.given(), self.lag()["set_aside"]), (["b"], 2))
        self.assertEqual(self.redriven(all=True), 2)
        self.assertEqual((self.given(), self.lag()["set_aside"]), (["a", "c"], 0))

    def test_others(self) -> None:
        """Dead letters of other groups, and what else is in that queue, stay there."""
        self.made("other", dead_letter="dead")
        self.given_up("a")
        (theirs,) = self.claimed("other")
        self.settled("other", reject=[theirs["receipt"]])
        self.appended("no letter", queue="dead")
        self.assertEqual(self.redriven(all=True), 1)
        self.assertEqual(sorted(self.letters()), ["a", "no letter"])
        self.assertEqual((self.given(), self.given("other")), (["a"], []))

    def test_expired(self) -> None:
        """A copy is given where the original is no more; other groups are not given it."""
        self.made("other", start="newest")
        (id,) = self.given_up("a")
        self.given("other")
        self.assertEqual(self.one(id, "DELETE").status, 204)
        self.assertEqual(self.redriven(all=True), 1)
        (message,) = self.claimed()
        self.assertEqual((message["body"], message["deliveries"]), ("a", 1))
        self.assertNotEqual(message["id"], id)
        self.assertEqual(message["headers"]["queuey-origin"], id)
        self.assertEqual(self.given("other"), [])
        self.assertEqual(self.settled(ack=[message["receipt"]]), ["acked"])

    def test_no_queue(self) -> None:
        """Without any there is nothing to take back."""
        self.given_up("a")
        self.assertEqual(self.send("DELETE", "/queues/dead").status, 204)
        self.assertEqual(self.redriven(all=True), 0)

    def test_many(self) -> None:
        """More than one call moves are moved by several, each going on where the one before ended."""
        for _ in range(4):
            self.batch([{"body": f"{number}"} for number in range(300)])
            self.settled(reject=self.receipts(limit=1000))
        moved, after = 0, dict[str, Any]()
        for _ in range(100):
            answer = self.expect(200, self.ask_redrive({"all": True, **after}))
            moved += answer["moved"]
            if answer["next"] is None:
                break
            after = {"after": answer["next"]}
            self.settled(ack=self.receipts(limit=1000))
        self.assertEqual((moved, answer["next"], self.letters()), (1200, None, {}))

    def test_wrong(self) -> None:
        """What does not say which is refused, and nothing is moved."""
        self.given_up("a")
        which = "needs exactly one choice of dead letters: ids, since and until, or all"
        time = "is neither a time as in RFC 3339 nor seconds since 1970 in decimal"
        for body in (None, {}, {"after": "x"}):
            self.assertEqual(self.errors("invalid-body", self.ask_redrive(body)), {"": which}, body)
        id = "1f0cac17d82a6730b16c00163e0c7f01-1"
        cases: tuple[tuple[dict[str, Any], list[str]], ...] = (
            ({"all": True, "ids": [id]}, [""]),
            ({"all": True, "since": "1"}, [""]),
            ({"ids": [id], "until": "1"}, [""]),
            ({"all": True, "ids": None}, ["", "/ids"]),
            ({"ids": [id, "x", 5]}, ["/ids/1", "/ids/2"]),
            ({"since": "x", "until": ""}, ["/since", "/until"]),
        )
        for body, pointers in cases:
            self.assertEqual(list(self.errors("invalid-body", self.ask_redrive(body))), pointers, body)
        self.assertEqual(self.errors("invalid-body", self.ask_redrive({"since": "x"})), {"/since": f'"x" {time}'})
        self.problem("no-such-group", self.ask_redrive({"all": True}, "nope"))
        self.assertEqual(list(self.letters()), ["a"])

    def test_wrong_place(self) -> None:
        """What was never ``next`` is refused."""
        self.assertEqual(list(self.errors("invalid-body", self.ask_redrive({"all": True, "after": "x"}))), ["/after"])
