"""v1 and v2 on one queue: two faces of the same messages."""

from __future__ import annotations

import uuid
from typing import Any

from queuey.model.timeid import from_seconds, make
from tests.http.api_support import NOW, OWNER, MessagesTestCase

V1 = "/v1/app/q"


class SameDataTests(MessagesTestCase):
    """What one writes, the other reads."""

    partitions = 2

    def v1(self, query: str = "partitions=1,2") -> list[dict[str, Any]]:
        """Messages as v1 shows them."""
        return self.read(V1, query)

    def same(self, old: str, new: str) -> None:
        """The id of a message in v1 and in v2 are of the same UUID, in another form."""
        one, other = uuid.UUID(old), uuid.UUID(new.partition("-")[0])
        self.assertEqual((one.version, other.version), (1, 6))
        fields = other.int
        ticks = (fields >> 80) << 12 | (fields >> 64) & 0xFFF
        self.assertEqual((ticks, fields & (1 << 64) - 1), (one.time, one.int & (1 << 64) - 1))

    def test_v2_in_v1(self) -> None:
        """Messages of v2 are messages of v1: the same bodies, times, partitions and lives."""
        queries = [f"?partition={number % 2 + 1}&ttl=60" for number in range(4)]
        ids = [self.appended(f"m{number}", query) for number, query in enumerate(queries)]
        found = self.v1()
        self.assertEqual([message["body"] for message in found], ["m0", "m2", "m1", "m3"])
        for message, id in zip(found, (ids[0], ids[2], ids[1], ids[3]), strict=True):
            self.assertEqual(set(message), {"message_id", "timestamp", "body", "partition"})
            self.same(message["message_id"], id)
            self.assertEqual(message["partition"], int(id[33:]))
        shown = self.page()["messages"][0]["timestamp"]
        self.assertEqual(shown[-9:-1], found[0]["timestamp"][-8:])
        self.assertEqual([message["body"] for message in self.v1("")], ["m0", "m2"])
        self.clock.advance(61)
        self.assertEqual(self.v1(), [])

    def test_v1_in_v2(self) -> None:
        """Messages of v1 are messages of v2; without a type they are text."""
        stored = [
            self.posted(V1, "plain", partition="1", ttl="60"),
            *self.expect(201, self.post_json(V1, {"messages": [{"body": "json", "partition": 2}]}))["messages"],
            *self.expect(201, self.post(V1, "é", {**OWNER, "Content-Type": "text/html"}, partition="2"))["messages"],
        ]
        messages = self.page()["messages"]
        self.assertEqual(
            [(m["body"], m["content_type"], m["headers"], m["partition"]) for m in messages],
            [
                ("plain", "text/plain;charset=utf-8", {}, 1),
                ("json", "text/plain;charset=utf-8", {}, 2),
                ("é", "text/html", {}, 2),
            ],
        )
        for one, other in zip(stored, messages, strict=True):
            self.same(one["key"], other["id"])
        self.assertEqual(messages[0]["expires"][:19], "2023-11-14T22:14:20")
        response = self.one(messages[2]["id"])
        self.assertEqual((response.body, response.header("content-type")), ("é".encode(), "text/html"))

    def test_not_text(self) -> None:
        """v1 shows bytes that are not UTF-8 with U+FFFD, and never hides them or fails."""
        for body, shown in (
            (b"\xff", "\ufffd"),
            (b"ok \xc3", "ok \ufffd"),
            (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
            (b"a\x80b", "a\ufffdb"),
            (b"", ""),
            (b"\0", "\0"),
        ):
            id = self.appended(body, "?partition=1")
            message = self.v1("partitions=1&order=descending&limit=1")[0]
            self.assertEqual(message["body"], shown)
            (found,) = self.expect(200, self.ask("GET", f"{V1}/{message['message_id']}"))["messages"]
            self.assertEqual(found["body"], shown)
            self.same(found["message_id"], id)
        everything = self.ask("GET", f"{V1}?limit=100")
        self.assertEqual((everything.status, len(everything.json["messages"])), (200, 6))

    def test_overwritten(self) -> None:
        """Each overwrites and deletes what the other has written."""
        id = self.appended("a", "?partition=2", content_type="image/png", Queuey_Headers='{"a":1}')
        key = self.v1()[0]["message_id"]
        self.expect(200, self.ask("PUT", f"{V1}/2:{key}", {**OWNER, "Content-Type": "text/css"}, b"b"))
        (message,) = self.page()["messages"]
        self.assertEqual((message["id"], message["body"], message["content_type"], message["headers"]),
                         (id, "b", "text/css", {}))  # fmt: skip
        self.assertEqual(self.send("PUT", self.path(f"/{id}"), b"\xff", OWNER, None).status, 204)
        self.assertEqual(self.v1()[0]["body"], "\ufffd")
        self.expect(200, self.ask("DELETE", f"{V1}/2:{key}"))
        self.gone(self.one(id))
        id = self.appended("c", "?partition=1")
        key = self.v1()[0]["message_id"]
        self.assertEqual(self.one(id, "DELETE").status, 204)
        self.assertEqual(self.expect(200, self.ask("GET", f"{V1}/{key}"))["messages"], [])

    def test_queues(self) -> None:
        """A queue that is made through one is there for the other, and its end is the end of its messages."""
        self.appended("a")
        listed = self.expect(200, self.ask("GET", "/v1/app?details=1&include_count=1"))["queues"]
        self.assertEqual(
            [(queue["queue_name"], queue["partitions"], queue["count"]) for queue in listed], [("q", 2, 1)]
        )
        self.expect(200, self.ask("DELETE", V1))
        self.problem("no-such-queue", self.append())
        self.make_queue("old", partitions="3", type="public", principles="app:other")
        queue = self.expect(200, self.send("GET", "/queues/old"))
        self.assertEqual((queue["partitions"], queue["type"], queue["principals"]), (3, "public", ["app:other"]))
        self.assertTrue(self.appended("x", "?partition=3", queue="old").endswith("-3"))

    def test_own_ids_of_v1(self) -> None:
        """v1 puts a message under any id; v2 shows it in its place, and once its time has come."""
        old = make(from_seconds(NOW - 1000), 1, 2)
        new = make(from_seconds(NOW + 60), 1, 2)
        for id in (old, new):
            key = uuid.UUID(bytes=id)
            ticks = (key.int >> 80) << 12 | (key.int >> 64) & 0xFFF
            low, mid, high = ticks & 0xFFFFFFFF, ticks >> 32 & 0xFFFF, ticks >> 48
            v1 = f"{low:08x}{mid:04x}1{high:03x}{key.hex[16:]}"
            self.expect(200, self.ask("PUT", f"{V1}/{v1}", {**OWNER, "X-TTL": "1000"}, b"mine"))
        now = self.appended("now")
        self.assertEqual([m["id"] for m in self.page()["messages"]], [f"{old.hex()}-1", now])
        self.assertEqual(self.one(f"{new.hex()}-1").body, b"mine")
        self.clock.advance(61)
        self.assertEqual([m["id"] for m in self.page()["messages"]], [f"{old.hex()}-1", now, f"{new.hex()}-1"])

    def test_ends_of_time(self) -> None:
        """Also at the first and the last time that an id can have."""
        first, last = "00000000000060008000000000000000-1", "ffffffffffff6fffbfffffffffffffff-1"
        for id in ("00000000000010008000000000000000", "ffffffffffff1fffbfffffffffffffff"):
            self.expect(200, self.ask("PUT", f"{V1}/{id}", OWNER, b"end"))
        self.assertEqual(self.one(first).header("queuey-timestamp"), "1582-10-15T00:00:00.0000000Z")
        self.assertEqual((self.one(last).header("queuey-timestamp") or "")[:5], "5236-")
        now = self.appended("now")
        for query, ids in (("", [first, now]), ("order=desc", [now, first]), (f"after={first}", [now]),
                           (f"after={last}", []), (f"order=desc&after={last}", [now, first]),
                           (f"order=desc&after={first}", []), ("since=1582-10-15T00:00:00Z", [first, now]),
                           ("until=1582-10-15T00:00:00Z", []), ("since=9999-12-31T23:59:59Z", [])):  # fmt: skip
            page = self.page(query)
            self.assertEqual([message["id"] for message in page["messages"]], ids, query)
            again = "order=desc" if "desc" in query else query if "until" in query else "order=asc"
            self.assertEqual(self.page(f"{again}&after={page['next']}")["messages"], [], query)
        self.assertEqual(self.send("PUT", self.path(f"/{last}"), b"x", OWNER, None).status, 204)
        self.assertEqual(self.send("DELETE", self.path(f"?before={last}")).status, 204)
        self.assertEqual((self.texts(), self.one(last).body), ([], b"x"))

    def test_delayed(self) -> None:
        """v1 sees a delayed message when v2 does, and by its id before."""
        self.appended("later", "?delay=60&partition=1")
        self.assertEqual(self.v1(), [])
        self.clock.advance(61)
        self.assertEqual([message["body"] for message in self.v1()], ["later"])

    def test_purged(self) -> None:
        """What v2 has purged is gone for v1."""
        self.posted(V1, "a", partition="1")
        self.assertEqual(self.send("DELETE", self.path("?before=now")).status, 204)
        self.assertEqual(self.v1(), [])

    def test_shapes_stay(self) -> None:
        """Each has its own shape of answers and errors, whichever API wrote the messages."""
        self.appended("x")
        self.assertEqual(self.ask("GET", V1).json["status"], "ok")
        self.refused(400, self.ask("GET", f"{V1}?limit=x"))
        self.problem("invalid-parameters", self.send("GET", self.path("?limit=x")))
        self.assertEqual(list(self.refused(400, self.post(V1, b"\xff"))), ["body"])
        self.assertEqual(self.append(b"\xff").status, 201)
