"""Messages over v1: posting, reading, overwriting, deleting them."""

from __future__ import annotations

import json
import uuid
from typing import Any

from queuey.model.timeid import from_seconds, make, to_v1_hex
from tests.http.api_support import NOW, OWNER, ApiTestCase


def id_at(seconds: float) -> str:
    """The id of a client's own for a time."""
    return to_v1_hex(make(from_seconds(seconds), 1, 2))


class PostTests(ApiTestCase):
    """POST /v1/{app}/{queue}."""

    def test_one(self) -> None:
        """The answer tells where it is; its key is a version-1 UUID of the timestamp's time."""
        queue = self.make_queue()
        stored = self.posted(queue, "hello")
        self.assertEqual(list(stored), ["key", "timestamp", "partition"])
        self.assertEqual(stored["partition"], 1)
        self.assertRegex(stored["timestamp"], r"^[0-9]+\.[0-9]{7}$")
        self.assertEqual(uuid.UUID(stored["key"]).version, 1)
        ticks = uuid.UUID(stored["key"]).time - 0x01B21DD213814000
        self.assertEqual(f"{ticks // 10**7}.{ticks % 10**7:07d}", stored["timestamp"])
        (message,) = self.read(queue)
        self.assertEqual(
            message,
            {"message_id": stored["key"], "timestamp": stored["timestamp"], "body": "hello", "partition": 1},
        )

    def test_whole_body_whatever_its_type(self) -> None:
        """Forms and other types are one message; quotes, zeros and all scripts come back."""
        queue = self.make_queue()
        bodies = ["a=1&b=%20", '"', "\0", "\u2028 \N{PILE OF POO} ü", "x" * 1000]
        for body in bodies:
            headers = {**OWNER, "Content-Type": "application/x-www-form-urlencoded"}
            self.assertEqual(self.post(queue, body, headers).status, 201)
        self.assertEqual(self.bodies(queue), bodies)
        self.assertTrue(self.ask("GET", queue).body.isascii())

    def test_partitions(self) -> None:
        """A named one, or any; a body goes to all of them in time."""
        queue = self.make_queue(partitions="3")
        self.assertEqual(self.posted(queue, "x", partition="2")["partition"], 2)
        seen = {self.posted(queue, "x")["partition"] for _ in range(100)}
        self.assertEqual(seen, {1, 2, 3})

    def test_ttl(self) -> None:
        """A message is there until the very second at which it expires."""
        queue = self.make_queue()
        self.posted(queue, "short", ttl="5")
        self.posted(queue, "long", ttl="33554432")
        self.posted(queue, "default", ttl="")
        self.clock.advance(4.9)
        self.assertEqual(self.bodies(queue), ["short", "long", "default"])
        self.clock.advance(0.1)
        self.assertEqual(self.bodies(queue), ["long", "default"])
        self.clock.advance(259200 - 5)
        self.assertEqual(self.bodies(queue), ["long"])
        (listed,) = self.expect(200, self.ask("GET", "/v1/app?include_count=1"))["queues"]
        self.assertEqual(listed["count"], 1)

    def test_ids_rise(self) -> None:
        """Though the clock stands still, or goes back."""
        queue = self.make_queue()
        first = [self.posted(queue, "x")["key"] for _ in range(3)]
        self.clock.rightNow -= 3600
        second = [self.posted(queue, "x")["key"] for _ in range(3)]
        times = [uuid.UUID(key).time for key in first + second]
        self.assertEqual(times, sorted(set(times)))

    def test_bad(self) -> None:
        """Each with its exact words."""
        queue = self.make_queue()
        for options, errors in (
            ({"ttl": "9" * 50}, {"ttl": f"{'9' * 50} is greater than maximum value 33554432"}),
            ({"ttl": "x", "partition": "y"}, {"ttl": '"x" is not a number', "partition": '"y" is not a number'}),
        ):
            self.assertEqual(self.refused(400, self.post(queue, "x", **options)), errors)
        self.assertEqual(self.refused(400, self.post(queue, "")), {"body": "Required"})
        self.assertEqual(self.refused(400, self.ask("POST", queue)), {"body": "Required"})
        for body in (b"\xff", b"ok \xc3", b"\xed\xa0\x80"):
            self.assertEqual(self.refused(400, self.post(queue, body)), {"body": "The body is not UTF-8 text."})
        self.assertEqual(
            self.refused(400, self.post(queue, "", ttl="0")),
            {"body": "Required", "ttl": "0 is less than minimum value 1"},
        )
        self.assertEqual(self.bodies(queue), [])

    def test_doubled_headers(self) -> None:
        """A header that may come once is refused when it comes twice, whatever it says."""
        queue = self.make_queue()
        for name, value in (
            ("X-TTL", "5"),
            ("X-Partition", "1"),
            ("Content-Type", "text/plain"),
            ("Authorization", OWNER["Authorization"]),
        ):
            headers = [*(() if name == "Authorization" else OWNER.items()), (name, value), (name, value)]
            errors = self.refused(400, self.ask("POST", queue, headers, b"x"))
            self.assertEqual(errors, {"BadRequest": f"The header {name} came more than once."})
        self.assertEqual(self.bodies(queue), [])


class BatchTests(ApiTestCase):
    """POST /v1/{app}/{queue} of application/json."""

    def test_batch(self) -> None:
        """All at once, in order; numbers may come as text, null counts as absent, what is not known is passed over."""
        queue = self.make_queue(partitions="2")
        batch = [
            {"body": "one", "partition": 2},
            {"body": "two", "partition": "1", "ttl": "60", "colour": "red"},
            {"body": "three", "partition": 2, "ttl": None},
        ]
        answer = self.expect(
            201, self.post_json(queue, {"messages": batch, "more": 1}, "Application/JSON; charset=UTF-8")
        )
        self.assertEqual([message["partition"] for message in answer["messages"]], [2, 1, 2])
        times = [uuid.UUID(message["key"]).time for message in answer["messages"]]
        self.assertEqual(times, sorted(set(times)))
        self.assertEqual(self.bodies(queue, "partitions=2,1"), ["one", "three", "two"])
        self.clock.advance(60)
        self.assertEqual(self.bodies(queue, "partitions=1"), [])

    def test_empty(self) -> None:
        """No messages are none."""
        queue = self.make_queue()
        self.assertEqual(self.expect(201, self.post_json(queue, {"messages": []})), {"status": "ok", "messages": []})

    def test_all_or_none(self) -> None:
        """One invalid message, and none is stored; every problem is named by its place."""
        queue = self.make_queue()
        batch: list[Any] = [
            {"body": "good"},
            {"body": "x", "partition": 4},
            {"ttl": 0},
            {"body": 5},
            {"body": ""},
            {"body": None},
            "text",
            {"body": "x", "ttl": 1.5},
            {"body": "x", "ttl": True, "partition": [1]},
            {"body": "\ud800"},
            {"body": {"a": 1}},
            {"body": "x", "ttl": 2.0},
            7,
        ]
        self.assertEqual(
            self.refused(400, self.post_json(queue, {"messages": batch})),
            {
                "1.partition": "4 is greater than maximum value 1",
                "2.ttl": "0 is less than minimum value 1",
                "2.body": "Required",
                "3.body": '"5" is not text',
                "4.body": "Required",
                "5.body": "Required",
                "6": '"text" is not an object',
                "7.ttl": '"1.5" is not a number',
                "8.ttl": '"true" is not a number',
                "8.partition": '"[...]" is not a number',
                "9.body": "The body is not valid Unicode text: half of a surrogate pair stands alone.",
                "10.body": '"{...}" is not text',
                "11.ttl": '"2.0" is not a number',
                "12": '"7" is not an object',
            },
        )
        self.assertEqual(self.bodies(queue), [])

    def test_not_that_shape(self) -> None:
        """What is no batch at all has one name."""
        queue = self.make_queue()
        deep = b'{"messages": ' + b"[" * 400 + b"]" * 400 + b"}"
        bottomless = b'{"messages": ' + b"[" * 100_000
        for body in (b"", b"{", b"[]", b"null", b"5", b"{}", b'{"messages": null}', b'{"messages": {}}', b'"messages"',
                     b'{"messages": [{"body": "x", "ttl": NaN}]}', b'{"messages": [{"body": "x", "ttl": Infinity}]}',
                     b'{"messages": [{"body": "\xff"}]}', b'\xef\xbb\xbf{"messages": []}', b"{'messages': []}",
                     json.dumps({"messages": []}).encode("utf-16"), bottomless):  # fmt: skip
            errors = self.refused(400, self.post_json(queue, body))
            if body is not bottomless:
                self.assertEqual(errors, {"InvalidParameter": "Unable to properly deserialize JSON body."}, body)
            self.assertEqual(list(errors), ["InvalidParameter"], body)
        self.assertEqual(list(self.refused(400, self.post_json(queue, deep))), ["0"])
        errors = self.refused(400, self.post_json(queue, {"messages": []}, "application/json; charset=latin-1"))
        self.assertEqual(errors, {"InvalidParameter": "JSON is UTF-8 text, not latin-1."})

    def test_more_than_a_batch(self) -> None:
        """A batch has at most 1,000 messages, whatever they have; of a larger one none is stored."""
        queue = self.make_queue()
        plain, timed, wrong = {"body": "x"}, {"body": "x", "ttl": 9}, 1
        for message in (plain, timed, wrong):
            errors = self.refused(400, self.post_json(queue, {"messages": [message] * 1001}))
            text = "A batch has at most 1000 messages, and this one has 1001."
            self.assertEqual(errors, {"InvalidParameter": text})
        self.assertEqual(self.bodies(queue), [])
        for message in (plain, timed):
            self.expect(201, self.post_json(queue, {"messages": [message] * 1000}))

    def test_very_wrong(self) -> None:
        """However much is wrong, the answer is small, and says how much that is."""
        queue = self.make_queue()
        wrong = {"body": 1, "ttl": 0, "partition": 0}
        response = self.post_json(queue, {"messages": [wrong] * 1000})
        errors = self.refused(400, response)
        more = "There are 3000 mistakes, of which the first 100 are named."
        self.assertEqual((len(errors), errors["InvalidParameter"]), (101, more))
        self.assertLess(len(response.body), 64 << 10)
        odd = "\U0001f600" * 80
        response = self.post_json(queue, {"messages": [odd] * 1000})
        self.assertIn("There are 1000 mistakes", self.refused(400, response)["InvalidParameter"])
        self.assertLess(len(response.body), 64 << 10)
        for body in (b'{"messages":[%b1]}' % (b"1," * 500_000), b'{"messages":[],"more":[%b1]}' % (b"1," * 50_000)):
            text = "The JSON has more than 50000 values. A batch has at most 1000 messages."
            self.assertEqual(self.refused(400, self.post_json(queue, body)), {"InvalidParameter": text})

    def test_huge_numbers(self) -> None:
        """Numbers of any length are read as text, and are out of range."""
        queue = self.make_queue()
        for digits in ("9" * 800, "-" + "9" * 800, "1" + "0" * 300 + ".5", "1e999"):
            errors = self.refused(400, self.post_json(queue, b'{"messages":[{"body":"x","ttl":%s}]}' % digits.encode()))
            self.assertEqual(list(errors), ["0.ttl"])
        body = b'{"messages":[{"body":"x","ttl":%s},{"body":"y","ttl":"%s5"}]}' % (b"9" * 200, b"0" * 200)
        cut = "9" * 100 + "..."
        self.assertEqual(
            self.refused(400, self.post_json(queue, body)),
            {"0.ttl": f"{cut} is greater than maximum value 33554432"},
        )


class ReadTests(ApiTestCase):
    """GET /v1/{app}/{queue}."""

    def setUp(self) -> None:
        super().setUp()
        self.queue = self.make_queue(partitions="3")
        self.keys = []
        for number in range(6):
            self.clock.advance(1)
            self.keys.append(self.posted(self.queue, f"m{number}", partition="1")["key"])
        self.posted(self.queue, "other", partition="2")

    def test_order_and_limit(self) -> None:
        """Ascending from the oldest, descending from the newest, at most so many."""
        self.assertEqual(self.bodies(self.queue), ["m0", "m1", "m2", "m3", "m4", "m5"])
        self.assertEqual(self.bodies(self.queue, "limit=2"), ["m0", "m1"])
        self.assertEqual(self.bodies(self.queue, "limit=2&order=descending"), ["m5", "m4"])
        self.assertEqual(self.bodies(self.queue, "order=ascending&limit=1000"), ["m0", "m1", "m2", "m3", "m4", "m5"])
        self.assertEqual(self.bodies(f"{self.queue}/", "limit="), ["m0", "m1", "m2", "m3", "m4", "m5"])

    def test_since_id(self) -> None:
        """Inclusive, in either case and order."""
        self.assertEqual(self.bodies(self.queue, f"since={self.keys[2]}"), ["m2", "m3", "m4", "m5"])
        self.assertEqual(self.bodies(self.queue, f"since={self.keys[2].upper()}&limit=1"), ["m2"])
        self.assertEqual(self.bodies(self.queue, f"since={self.keys[2]}&order=descending"), ["m2", "m1", "m0"])

    def test_since_time(self) -> None:
        """Between two messages it bounds exactly; after everything there is nothing."""
        message = self.read(self.queue, "limit=3")[2]
        self.assertEqual(self.bodies(self.queue, f"since={message['timestamp']}&limit=2"), ["m2", "m3"])
        self.assertEqual(
            self.bodies(self.queue, f"since={message['timestamp']}&order=descending&limit=2"), ["m2", "m1"]
        )
        self.assertEqual(self.bodies(self.queue, f"since={message['timestamp']}0001&limit=1"), ["m3"])
        self.assertEqual(self.bodies(self.queue, f"since={message['timestamp']}0001&limit=1&order=descending"), ["m2"])
        self.assertEqual(self.bodies(self.queue, f"since={NOW + 2.5}&limit=1"), ["m2"])
        self.assertEqual(self.bodies(self.queue, f"since={NOW + 100}"), [])
        self.assertEqual(self.bodies(self.queue, f"since={NOW + 100}&order=descending&limit=1"), ["m5"])
        self.assertEqual(self.bodies(self.queue, "since=0&limit=1"), ["m0"])
        self.assertEqual(self.bodies(self.queue, "since=0&order=descending"), [])
        self.assertEqual(self.bodies(self.queue, f"since={'9' * 60}"), [])

    def test_partitions(self) -> None:
        """Grouped in the order of the list; what the queue lacks has nothing."""
        self.assertEqual(self.bodies(self.queue, "partitions=2,1&limit=2"), ["other", "m0", "m1"])
        self.assertEqual(self.bodies(self.queue, "partitions=1,%202%20,3&limit=1"), ["m0", "other"])
        self.assertEqual(self.bodies(self.queue, "partitions=3"), [])
        self.assertEqual(self.bodies(self.queue, f"partitions=4,0,{'9' * 60},2"), ["other"])
        self.assertEqual(self.bodies(self.queue, "partitions=99"), [])

    def test_bad(self) -> None:
        """Each in its words, all at once."""
        errors = self.refused(400, self.ask("GET", f"{self.queue}?limit=1001&order=up&partitions=1,x&since=-1"))
        self.assertEqual(
            errors,
            {
                "limit": "1001 is greater than maximum value 1000",
                "order": '"up" is not one of descending, ascending',
                "partitions": '"1,x" is not a valid comma separated list of integers or a single integer.',
                "since": '"-1" is not a message id, nor seconds since 1970 in decimal.',
            },
        )
        self.assertEqual(
            self.refused(400, self.ask("GET", f"{self.queue}?limit=0")), {"limit": "0 is less than minimum value 1"}
        )
        for since in ("x", "1e9", "NaN", "inf", "1.2.3", ".", "+1", "1,5", "0x10", "1" * 32, "f" * 32,
                      f"{self.keys[0]}0", "1.", "1764159283.",
                      "a3b5ad0e1d664fbb9ce8a5a1bb0a6b4e", "\u0661"):  # fmt: skip
            errors = self.refused(400, self.ask("GET", f"{self.queue}?since={_percent(since)}"))
            self.assertEqual(list(errors), ["since"], since)
        for partitions in ("-1", "1.0", ",", "1;2", "a"):
            errors = self.refused(400, self.ask("GET", f"{self.queue}?partitions={partitions}"))
            self.assertEqual(list(errors), ["partitions"])

    def test_many_in_pieces(self) -> None:
        """More than fits in one slice comes whole, without a gap or a repetition."""
        queue = self.make_queue("big", partitions="3")
        for partition in (1, 2, 3):
            batch = [{"body": f"{partition}-{number:03}", "partition": partition} for number in range(900)]
            self.expect(201, self.post_json(queue, {"messages": batch}))
        expected = [f"{partition}-{number:03}" for partition in (3, 1, 2) for number in range(900)]
        self.assertEqual(self.bodies(queue, "partitions=3,1,2&limit=1000"), expected)
        downwards = self.bodies(queue, "partitions=2,1,3&limit=1000&order=descending")
        self.assertEqual(downwards, expected[::-1])

    def test_large_in_pieces(self) -> None:
        """So do messages that are large."""
        queue = self.make_queue("large")
        bodies = [str(number) * 400_000 for number in range(8)]
        for body in bodies:
            self.expect(201, self.post(queue, body))
        self.assertEqual(self.bodies(queue), bodies)
        ids = ",".join(message["message_id"] for message in self.read(queue))
        self.assertEqual(self.bodies(f"{queue}/{ids}"), bodies)


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())
