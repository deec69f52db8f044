"""Messages by their ids over v1: read, overwritten and deleted."""

from __future__ import annotations

import uuid

from queuey.model.timeid import from_seconds, make, to_v1_hex
from tests.http.api_support import NOW, OWNER, ApiTestCase
from tests.http.v1.test_messages import id_at


class LookupTests(ApiTestCase):
    """GET, PUT and DELETE /v1/{app}/{queue}/{ids}."""

    def setUp(self) -> None:
        super().setUp()
        self.queue = self.make_queue(partitions="2")
        self.one = self.posted(self.queue, "one", partition="1")["key"]
        self.two = "2:" + self.posted(self.queue, "two", partition="2")["key"]

    def found(self, ids: str) -> list[str]:
        return self.bodies(f"{self.queue}/{ids}")

    def test_order_asked(self) -> None:
        """Across partitions, missing ones left out, asked twice given twice, percent-encoded or not."""
        self.assertEqual(self.found(f"{self.two},{self.one}"), ["two", "one"])
        self.assertEqual(self.found(f"{self.one},1:{self.one},{self.two[2:]}"), ["one", "one"])
        self.assertEqual(self.found(f"{self.two.replace(':', '%3A')}%2C%20{self.one.upper()}"), ["two", "one"])
        self.assertEqual(self.found(f"{id_at(NOW)},3:{self.one},0:{self.one},{'9' * 40}:{self.one}"), [])
        self.assertEqual(self.found(f"0002:{self.two[2:]}"), ["two"])

    def test_no_ids(self) -> None:
        """Anything else in their place is refused, by every method."""
        v4 = uuid.UUID("a3b5ad0e-1d66-4fbb-9ce8-a5a1bb0a6b4e")
        for ids in ("x", f"{self.one},", f",{self.one}", f"{self.one}x", self.one[:-1], v4.hex,
                    str(uuid.UUID(self.one)),
                    f"x:{self.one}", f":{self.one}", f"-1:{self.one}", f"1:1:{self.one}", f"{self.one};{self.one}",
                    self.one[:16] + "0" + self.one[17:], "%00", f"1%2F{self.one}", f"{self.one}%0A",
                    f"%0D{self.one}", f"{self.one},%09{self.one}", f"1%0A:{self.one}",
                    f"{self.one}%C2%A0"):  # fmt: skip
            for method in ("GET", "PUT", "DELETE"):
                errors = self.refused(400, self.ask(method, f"{self.queue}/{ids}", OWNER, b"x"))
                self.assertEqual(errors, {"InvalidMessageID": "Invalid message id's."}, ids)
        self.assertEqual(self.found(f"{self.one},{self.two}"), ["one", "two"])

    def test_much_for_many_ids(self) -> None:
        """One PUT writes its body under each id, so both together have a bound."""
        large = b"x" * (20 << 10)
        for count, status in ((819, 200), (820, 413)):
            ids = ",".join([self.one] * count)
            self.assertEqual(self.ask("PUT", f"{self.queue}/{ids}", OWNER, large).status, status)

    def test_many_ids(self) -> None:
        """A thousand ids fit in a URL, ten thousand do not."""
        self.assertEqual(self.found(",".join([self.one] * 1000)), ["one"] * 1000)
        self.assertEqual(self.found("%2C".join([self.two.replace(":", "%3A")] * 1000)), ["two"] * 1000)
        self.assertEqual(
            list(self.refused(414, self.ask("GET", f"{self.queue}/{','.join([self.one] * 10000)}"))), ["URITooLong"]
        )

    def test_overwrite(self) -> None:
        """The id, the time and the place stay; the time to live begins again."""
        before = self.read(self.queue)
        self.posted(self.queue, "later", partition="1")
        headers = {**OWNER, "X-TTL": "100", "X-Partition": "x"}
        self.clock.advance(50)
        self.assertEqual(
            self.expect(200, self.ask("PUT", f"{self.queue}/{self.one}", headers, b"new")), {"status": "ok"}
        )
        after = self.read(self.queue)
        self.assertEqual([m["body"] for m in after], ["new", "later"])
        self.assertEqual({**before[0], "body": "new"}, after[0])
        self.clock.advance(99)
        self.assertEqual(self.found(self.one), ["new"])
        self.clock.advance(1)
        self.assertEqual(self.found(self.one), [])

    def test_overwrite_several(self) -> None:
        """Each gets the whole body; those that are missing are made."""
        mine = [id_at(NOW - 10), id_at(NOW - 5)]
        self.expect(200, self.ask("PUT", f"{self.queue}/{','.join([*mine, self.two])}", OWNER, b"same"))
        self.assertEqual(self.bodies(self.queue, "partitions=1,2"), ["same", "same", "one", "same"])
        self.assertEqual([m["message_id"] for m in self.read(self.queue, "limit=2")], mine)

    def test_of_the_future(self) -> None:
        """An id of the future is taken; by id it is seen at once, by range when its time has come."""
        due = id_at(NOW + 60)
        self.expect(200, self.ask("PUT", f"{self.queue}/{due}", {**OWNER, "X-TTL": "1000"}, b"due"))
        self.assertEqual(self.found(due), ["due"])
        self.assertEqual(self.bodies(self.queue), ["one"])
        self.posted(self.queue, "now", partition="1")
        self.clock.advance(59)
        self.assertEqual(self.bodies(self.queue), ["one", "now"])
        self.clock.advance(1.1)
        self.assertEqual(self.bodies(self.queue), ["one", "now", "due"])

    def test_ends_of_time(self) -> None:
        """The first and the last id that there are."""
        first, last = to_v1_hex(make(from_seconds(-12219292800), 0, 0)), "ffffffffffff1fffbfffffffffffffff"
        self.expect(200, self.ask("PUT", f"{self.queue}/{first},{last}", OWNER, b"end"))
        messages = self.read(f"{self.queue}/{first},{last}")
        self.assertEqual([m["timestamp"] for m in messages], ["-12219292800.0000000", "103072857660.6846975"])
        self.assertEqual(self.bodies(self.queue), ["end", "one"])
        self.posted(self.queue, "as before", partition="1")
        self.assertEqual(self.bodies(self.queue), ["end", "one", "as before"])

    def test_overwrite_bad(self) -> None:
        """A partition that the queue lacks, no body, no text, no number: nothing is stored."""
        for ids, headers, body, errors in (
            (f"3:{self.one},{self.one}", OWNER, b"x", {"partition": "3 is greater than maximum value 2"}),
            (f"0:{self.one}", OWNER, b"x", {"partition": "0 is less than minimum value 1"}),
            (f"1000:{self.one}", OWNER, b"x", {"partition": "1000 is greater than maximum value 2"}),
            (self.one, OWNER, b"", {"body": "Required"}),
            (self.one, OWNER, b"\xff", {"body": "The body is not UTF-8 text."}),
        ):
            self.assertEqual(self.refused(400, self.ask("PUT", f"{self.queue}/{ids}", headers, body)), errors)
        self.assertEqual(self.found(self.one), ["one"])

    def test_delete(self) -> None:
        """Those named, in any partition; missing ones are no error."""
        self.expect(200, self.ask("DELETE", f"{self.queue}/{self.two},{id_at(NOW)},9:{self.one}"))
        self.assertEqual(self.bodies(self.queue, "partitions=1,2"), ["one"])
        self.assertEqual(self.expect(200, self.ask("DELETE", f"{self.queue}/{self.two}")), {"status": "ok"})
        self.expect(200, self.ask("DELETE", f"{self.queue}/{self.one}"))
        self.assertEqual(self.bodies(self.queue, "partitions=1,2"), [])
