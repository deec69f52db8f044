"""Delays over v2: messages that take their places in the log when they are due."""

from __future__ import annotations

from tests.http.api_support import NOW, OWNER
from tests.http.responses import Response
from tests.http.v2.reading.test_pages import ReadingTestCase


class DelayTests(ReadingTestCase):
    """Messages with a delay."""

    def later(self, delay: str, body: str = "later", rest: str = "") -> str:
        """The id of a delayed message."""
        return self.appended(body, f"?delay={delay}{rest}")

    def test_due(self) -> None:
        """It shows when it is due, not earlier, in every kind of read."""
        first = self.appended("first")
        id = self.later("60")
        page = self.page()
        for seconds in (0, 30, 29.9):
            self.clock.advance(seconds)
            for query in ("", "order=desc", "fresh=true", "fresh=true&order=desc", f"after={first}", "since=1700000050",
                          "until=1800000000", "partition=1&partition=2&partition=3"):  # fmt: skip
                self.assertNotIn("later", self.texts(query), query)
            self.assertEqual(self.bodies("/v1/app/q", "partitions=1,2,3"), ["first"])
        self.clock.advance(0.2)
        self.assertEqual(self.ids(), [first, id])
        self.assertEqual(self.ids("order=desc"), [id, first])
        self.assertEqual(self.ids(f"after={page['next']}"), [id])
        self.assertEqual(self.bodies("/v1/app/q", "partitions=1,2,3&order=ascending").count("later"), 1)

    def test_its_id(self) -> None:
        """It is of the time when it is due, and says so in the answer."""
        for delay, time in (
            ("60", "2023-11-14T22:14:20.0"),
            ("0.5", "2023-11-14T22:13:20.5"),
            ("2592000", "2023-12-14T22:13:20.0"),
            ("00001.250000099", "2023-11-14T22:13:21.25"),
        ):
            (message,) = self.expect(201, self.append(b"x", f"?delay={delay}"))["messages"]
            self.assertTrue(message["timestamp"].startswith(time), message)
            self.assertEqual(self.one(message["id"]).header("queuey-timestamp"), message["timestamp"])

    def test_none(self) -> None:
        """A delay of nothing is none; the shortest is one."""
        id = self.later("0")
        self.assertEqual(self.ids(), [id])
        self.assertEqual(self.later("0.00000001", "now") in self.ids(), True)
        short = self.later("0.0000001", "soon")
        self.clock.advance(0.001)
        self.assertIn(short, self.ids())

    def test_ttl(self) -> None:
        """It counts from the time when it is due."""
        id = self.later("60", rest="&ttl=10")
        self.assertEqual((self.one(id).header("queuey-expires") or "")[:19], "2023-11-14T22:14:30")
        self.clock.advance(60.5)
        self.assertEqual(self.ids(), [id])
        self.clock.advance(9)
        self.assertEqual(self.ids(), [id])
        self.clock.advance(1)
        self.assertEqual(self.ids(), [])
        self.gone(self.one(id))

    def test_by_id(self) -> None:
        """Who knows its id may read it before, in part too."""
        id = self.later("60")
        response = self.one(id)
        self.assertEqual((response.status, response.body), (200, b"later"))
        self.assertEqual(self.one(id, Range="bytes=0-1").body, b"la")
        self.assertEqual(self.one(id, If_None_Match=response.header("etag") or "").status, 304)

    def test_cancel(self) -> None:
        """DELETE cancels it: it never shows."""
        id, other = self.later("60"), self.later("60", "other")
        self.assertEqual(self.one(id, "DELETE").status, 204)
        self.gone(self.one(id, "DELETE"))
        self.gone(self.one(id))
        self.clock.advance(61)
        self.assertEqual(self.ids(), [other])

    def test_replace(self) -> None:
        """PUT changes what it will say, and not when."""
        id = self.later("60")
        response = self.send("PUT", self.path(f"/{id}?ttl=100"), b"otherwise", OWNER, None)
        self.assertEqual(response.status, 204)
        self.assertEqual(self.one(id).body, b"otherwise")
        self.assertEqual(self.texts(), [])
        self.clock.advance(61)
        self.assertEqual(self.texts(), ["otherwise"])

    def test_replace_ttl(self) -> None:
        """The time to live of what is put in its place counts from when it is due, too: it never expires unseen."""
        self.make("short", ttl=5)
        short = self.appended("x", "?delay=60", queue="short")
        ids = [self.later("60"), self.later("60.5")]
        self.assertEqual(self.send("PUT", self.path(f"/{short}", "short"), b"otherwise", OWNER, None).status, 204)
        for id in ids:
            self.assertEqual(self.send("PUT", self.path(f"/{id}?ttl=10"), b"otherwise", OWNER, None).status, 204)
        self.assertEqual((self.one(ids[0]).header("queuey-expires") or "")[:17], "2023-11-14T22:14:")
        self.clock.advance(62)
        self.assertEqual((self.texts(), self.texts(queue="short")), (["otherwise"] * 2, ["otherwise"]))
        self.clock.advance(7)
        self.assertEqual((self.texts(), self.texts(queue="short")), (["otherwise"] * 2, []))
        self.assertEqual(self.send("PUT", self.path(f"/{ids[0]}?ttl=5"), b"again", OWNER, None).status, 204)
        self.clock.advance(4)
        self.assertEqual(self.texts(), ["again"])
        self.clock.advance(2)
        self.assertEqual(self.texts(), [])

    def test_others(self) -> None:
        """Their order, their ids and their cursors are not disturbed, though those of delayed ones are far ahead."""
        delayed = self.later("2592000")
        ids = self.fill(3)
        self.assertTrue(all(id < delayed for id in ids))
        page = self.page()
        self.assertEqual([m["id"] for m in page["messages"]], ids)
        self.assertLess(page["stable_until"], "2023-11-14T22:13:24")
        self.assertEqual(self.all("limit=1"), ids)
        more = self.fill(3)
        self.assertEqual(self.ids(f"after={page['next']}"), more)
        self.assertEqual(self.ids(f"after={delayed}"), [])
        self.assertEqual(self.ids(f"after={delayed}&order=desc"), [*ids, *more][::-1])

    def test_order(self) -> None:
        """They show in the order in which they are due, between those of their time."""
        ids = {delay: self.later(str(delay), str(delay)) for delay in (30, 10, 20, 10.5)}
        self.clock.advance(10.2)
        now = self.appended("now")
        self.assertEqual(self.texts(), ["10", "now"])
        self.clock.advance(100)
        last = self.appended("last")
        self.assertEqual(self.ids(), [ids[10], now, ids[10.5], ids[20], ids[30], last])

    def test_same_moment(self) -> None:
        """Many that are due at once have ids of their own."""
        batch = [{"body": str(number), "delay": 5} for number in range(100)]
        stored = self.expect(201, self.batch(batch))["messages"]
        stored += self.expect(201, self.batch(batch))["messages"]
        ids = [message["id"] for message in stored]
        self.assertEqual(len(set(ids)), 200)
        self.clock.advance(6)
        self.assertEqual(self.all("limit=7"), sorted(ids))

    def test_mixed_batch(self) -> None:
        """Each message of a batch has its own; the others show at once."""
        response: Response = self.batch([{"body": "a"}, {"body": "b", "delay": 0.75}, {"body": "c", "delay": 0}])
        ids = [message["id"] for message in self.expect(201, response)["messages"]]
        self.assertEqual(self.texts(), ["a", "c"])
        self.assertGreater(ids[1], ids[2])
        self.clock.advance(1)
        self.assertEqual(self.texts(), ["a", "c", "b"])

    def test_reader_at_the_end(self) -> None:
        """Who has read to the end misses none of them, whatever was posted in between."""
        self.later("5", "five")
        cursor, seen = self.page()["next"], []
        for second in range(12):
            self.appended(str(second))
            page = self.page(f"after={cursor}")
            cursor = page["next"]
            seen += [message["body"] for message in page["messages"]]
            if second == 2:
                self.later("4.5", "seven and a half")
            self.clock.advance(1)
        self.assertEqual([body for body in seen if body.isdecimal()], [str(second) for second in range(12)])
        self.assertEqual([body for body in seen if not body.isdecimal()], ["five", "seven and a half"])
        self.assertLess(seen.index("five"), seen.index("7"))

    def test_deleted_queue(self) -> None:
        """It ends with its queue."""
        self.later("5")
        self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
        self.make("q", partitions=3)
        self.clock.advance(10)
        self.assertEqual(self.texts(), [])

    def test_clock_set_back(self) -> None:
        """Then it is late, and never early."""
        id = self.later("60")
        self.clock.rightNow = NOW + 30
        self.assertEqual(self.ids(), [])
        self.clock.rightNow = NOW - 3600
        new = self.appended("x")
        self.assertEqual(self.ids(), [new])
        self.assertLess(new, id)
