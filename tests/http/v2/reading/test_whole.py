"""Reading a whole queue in one answer of lines: each message once, up to the end of the log, or an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail

from queuey.errors import Unavailable
from tests.http.admission.test_ongoing import CUT, OngoingTestCase
from tests.http.api_support import BATCH, LINES, OWNER
from tests.http.group_support import PATCH
from tests.http.responses import BadAnswer, Response
from tests.http.wire_support import Connection, Fields, encode_request, held_by_each

COUNT = 2500
SIZE = 1500


class WholeTestCase(OngoingTestCase):
    """A queue whose messages are several parts.

    :ivar stored: the ids, in order.
    """

    partitions = 3
    stored: list[str]

    def setUp(self) -> None:
        super().setUp()
        self.stored = []
        self.fill(COUNT)
        self.timers = len(self.clock.getDelayedCalls()) + 1  # that of the site, once it has had a connection

    def fill(self, count: int) -> None:
        """Append messages to all partitions."""
        for start in range(0, count, 500):
            some = [{"body": f"{number} " + "x" * SIZE} for number in range(start, start + 500)]
            answer = self.expect(201, self.send("POST", self.path(), {"messages": some}, OWNER, BATCH))
            self.stored += [message["id"] for message in answer["messages"]]
            self.clock.advance(1)
        self.stored.sort()

    def begin(self, query: str = "", fields: Fields = (), *, greedy: bool = False) -> Connection:
        """Ask for everything.

        :param greedy: whether the client takes all that comes, at once.
        """
        connection = Connection(self.assembly.site)
        connection.transport.greedy = greedy
        headers = {**OWNER, "Accept": LINES, **dict(fields)}
        return connection.send(encode_request("GET", f"/v2/app{self.path(query and f'?{query}')}", headers))

    def go_on(self, connection: Connection) -> None:
        """Take what comes until no more does."""
        for _ in range(2000):
            size = len(connection.received)
            connection.transport.read()
            self.clock.advance(0)
            self.clock.advance(0)
            if size == len(connection.received):
                return
        self.fail("there is no end")

    def lines_of(self, response: Response) -> tuple[list[str], dict[str, Any]]:
        """The ids in an answer, and its last line."""
        self.assertEqual((response.status, response.header("content-type")), (200, LINES))
        self.assertTrue(response.body.endswith(b"\n"))
        *messages, last = [json.loads(line) for line in response.body.splitlines()]
        return [message["id"] for message in messages], last

    def all(self, query: str = "") -> tuple[list[str], dict[str, Any]]:
        """Read everything."""
        self.go_on(connection := self.begin(query, greedy=True))
        return self.lines_of(connection.response(only_json=False))

    def until_begun(self, connection: Connection) -> None:
        """Take some of an answer, and not all."""
        for _ in range(8):
            connection.transport.read()
            self.clock.advance(0)
        self.assertGreater(len(connection.received), 1000)
        self.assertLess(len(connection.received), COUNT * SIZE // 2)


class ReadingTests(WholeTestCase):
    """What stands in the answer."""

    def test_everything(self) -> None:
        """Each message once, in order, and then a cursor after all of them."""
        for query in ("", "limit=all"):
            ids, last = self.all(query)
            self.assertEqual(ids, self.stored)
            self.assertEqual(list(last), ["next", "more", "stable_until", "resume"])
            self.assertEqual((last["more"], last["resume"]), (False, "exact"))
            self.assertEqual(self.page(f"after={last['next']}")["messages"], [])
        new = self.appended("new")
        self.assertEqual(self.all(f"after={last['next']}")[0], [new])

    def test_a_range(self) -> None:
        """Both ends, and some partitions, are as for pages."""
        place, upper = self.stored[700], self.stored[2100]
        self.assertEqual(self.all(f"after={place}")[0], self.stored[701:])
        time = self.expect(200, self.send("GET", self.path(f"?after={upper}&limit=1")))["messages"][0]["timestamp"]
        self.assertEqual(self.all(f"until={time}")[0], self.stored[:2101])
        self.assertEqual(self.all(f"since={time}")[0], self.stored[2101:])
        self.assertEqual(self.all("partition=2")[0], [id for id in self.stored if id.endswith("-2")])
        self.assertEqual(self.all("since=now")[0], [])

    def test_downwards(self) -> None:
        """From the newest on."""
        ids, last = self.all("order=desc")
        self.assertEqual(ids, self.stored[::-1])
        self.assertFalse(last["more"])

    def test_fresh(self) -> None:
        """Messages that are not stable yet are there too, once."""
        self.assertEqual(self.all("fresh=true")[0], self.stored)

    def test_json(self) -> None:
        """Bodies that are JSON are shown as JSON throughout."""
        self.append(b'{"a": 1}', content_type="application/json")
        self.go_on(connection := self.begin("json=true", greedy=True))
        line = connection.response(only_json=False).body.splitlines()[-2]
        self.assertEqual(json.loads(line)["json"], {"a": 1})

    def test_limits(self) -> None:
        """With a limit it is a page; and a document is one; all is lines, whatever is accepted."""
        for query in ("limit=100", "max_bytes=100000"):
            ids, last = self.all(query)
            self.assertTrue(0 < len(ids) <= 100 and last["more"], query)
        self.assertEqual(len(self.page()["messages"]), 100)
        connection = Connection(self.assembly.site)
        connection.send(encode_request("GET", f"/v2/app{self.path('?limit=all')}", OWNER))
        self.go_on(connection)
        self.assertEqual(self.lines_of(connection.response(only_json=False))[0], self.stored)
        text = "cannot be given together with limit=all"
        for query in ("limit=all&max_bytes=1", "max_bytes=1&limit=all"):
            response = self.send("GET", self.path(f"?{query}"))
            self.assertEqual(self.errors("invalid-parameters", response), {"max_bytes": text})

    def test_large_messages(self) -> None:
        """A message that is larger than a part comes too."""
        ids = [self.appended(b"y" * 700_000) for _ in range(3)]
        self.assertEqual(self.all()[0], self.stored + ids)

    def test_head(self) -> None:
        """Nothing is read for a head."""
        connection = Connection(self.assembly.site)
        connection.send(encode_request("HEAD", f"/v2/app{self.path()}", {**OWNER, "Accept": LINES}))
        self.assertEqual((connection.response("HEAD", only_json=False).body, connection.open), (b"", True))

    def test_conditions(self) -> None:
        """It has no ETag."""
        self.go_on(connection := self.begin(greedy=True))
        response = connection.response(only_json=False)
        self.assertEqual((response.header("etag"), response.header("cache-control")), (None, "no-store"))
        self.go_on(connection := self.begin("", {"If-None-Match": "*"}))
        self.assertEqual(connection.response(only_json=False).status, 304)
        self.go_on(connection := self.begin("", {"If-Match": '"x"'}))
        self.problem("precondition-failed", connection.response())

    def test_the_old_protocol(self) -> None:
        """HTTP/1.0 has no chunks: the end of the connection is that of the answer."""
        connection = Connection(self.assembly.site)
        key = OWNER["Authorization"]
        text = f"GET /v2/app{self.path()} HTTP/1.0\r\nHost: x\r\nAuthorization: {key}\r\nAccept: {LINES}\r\n\r\n"
        connection.send(text.encode())
        self.go_on(connection)
        self.assertEqual(len(self.lines_of(connection.response(only_json=False))[0]), COUNT)


class MeanwhileTests(WholeTestCase):
    """What happens while it is read."""

    def end(self, connection: Connection) -> tuple[list[str], dict[str, Any]]:
        self.go_on(connection)
        found = self.lines_of(connection.response(only_json=False))
        connection.hang_up()
        self.nothing_left()
        return found

    def test_back_pressure(self) -> None:
        """A client that takes nothing is read no more for than one part."""
        slices: list[int] = []
        read = self.store.read_merged

        def counted(queue: Any, merge: Any, ack: Any) -> Deferred[Any]:
            slices.append(1)
            return read(queue, merge, ack)

        self.store.read_merged = counted  # type: ignore[method-assign]
        connection = self.begin()
        self.clock.pump([0.1] * 50)
        self.assertEqual(len(slices), 1)
        self.assertEqual(self.end(connection)[0], self.stored)
        self.assertGreater(len(slices), COUNT * SIZE // (256 << 10))

    def test_memory(self) -> None:
        """It is held no more for a client than a part."""
        self.go_on(first := self.begin())
        first.hang_up()
        held, connections = held_by_each(self.begin)
        self.assertLess(held, 800 << 10)
        for connection in connections:
            connection.hang_up()

    def test_others_have_their_turns(self) -> None:
        """Of clients that take all at once, each gets a part in turn."""
        places: list[Any] = []
        read = self.store.read_merged

        def noted(queue: Any, merge: Any, ack: Any) -> Deferred[Any]:
            places.append(merge.lower)
            return read(queue, merge, ack)

        self.store.read_merged = noted  # type: ignore[method-assign]
        connections = [self.begin(greedy=True) for _ in range(3)]
        for connection in connections:
            self.end(connection)
        self.assertGreater(len(places), 30)
        self.assertEqual(places, sorted(places))

    def test_new_messages(self) -> None:
        """It ends where the log ended: what comes later is after its cursor."""
        connection = self.begin()
        self.until_begun(connection)
        new = [self.appended("new") for _ in range(3)]
        ids, last = self.end(connection)
        self.assertEqual((ids, last["more"]), (self.stored, False))
        self.assertEqual([one["id"] for one in self.page(f"after={last['next']}")["messages"]], new)

    def test_hang_up(self) -> None:
        """Nothing more is read for a client that is gone."""
        connection = self.begin()
        self.until_begun(connection)
        connection.hang_up()
        self.clock.advance(1)
        self.nothing_left()

    def broken(self, connection: Connection, code: str) -> None:
        """The last line has the problem, and a cursor after the last message."""
        ids, last = self.end(connection)
        self.assertEqual(ids, self.stored[: len(ids)])
        self.assertTrue(0 < len(ids) < COUNT)
        self.assertEqual((last["more"], last["problem"]["code"]), (True, code))
        self.assertLess(last["stable_until"], self.page("order=desc&limit=1")["stable_until"])
        self.left = last["next"], self.stored[len(ids) :]

    def test_store_that_fails(self) -> None:
        """The reader goes on from the cursor later, and misses nothing."""
        read = self.store.read_merged
        connection = self.begin()
        self.until_begun(connection)
        self.store.read_merged = lambda *_: fail(Unavailable("The store does not answer."))  # type: ignore[method-assign]
        self.go_on(connection)
        self.store.read_merged = read  # type: ignore[method-assign]
        self.broken(connection, "unavailable")
        place, rest = self.left
        self.assertEqual(self.all(f"after={place}")[0], rest)

    def test_defect(self) -> None:
        """An unforeseen error cuts the answer: there is no last line."""
        connection = self.begin()
        self.until_begun(connection)
        self.store.read_merged = lambda *_: fail(ZeroDivisionError())  # type: ignore[method-assign]
        self.go_on(connection)
        self.assertRaises(BadAnswer, connection.response, only_json=False)
        self.assertNotIn(b'"next"', connection.received)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_revoked_key(self) -> None:
        """The answer ends within two seconds, also for a client that takes nothing meanwhile."""
        for taking in (True, False):
            connection = self.begin()
            self.until_begun(connection)
            spare = self.assembly.in_force.settings
            self.revoke()
            for _ in range(round(CUT / 0.1)):
                if taking:
                    connection.transport.read()
                self.clock.advance(0.1)
            self.assembly.use(spare)
            self.broken(connection, "unauthorized")

    def test_revoked_while_the_store_is_asked(self) -> None:
        """The answer ends although the store does not answer."""
        connection = self.begin()
        self.until_begun(connection)
        self.store.read_merged = lambda *_: Deferred()  # type: ignore[method-assign]
        self.go_on(connection)
        self.revoke()
        self.clock.pump([0.1] * round(CUT / 0.1))
        self.go_on(connection)
        ids, last = self.lines_of(connection.response(only_json=False))
        self.assertEqual((ids, last["problem"]["code"]), (self.stored[: len(ids)], "unauthorized"))

    def test_revoked_within_a_part(self) -> None:
        """A part is sent to its end, since the cursor stands behind it."""
        self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
        self.make("q", partitions=1)
        some = [{"body": "x", "headers": {"a": "y" * 4000}}] * 200
        answers = [self.expect(201, self.send("POST", self.path(), {"messages": some}, OWNER, BATCH)) for _ in range(9)]
        stored = [message["id"] for answer in answers for message in answer["messages"]]
        self.clock.advance(1)
        connection = self.begin()
        self.until_begun(connection)
        settings = self.assembly.in_force.settings
        self.revoke()
        self.clock.pump([0.1] * round(CUT / 0.1))
        self.assembly.use(settings)
        self.go_on(connection)
        ids, last = self.lines_of(connection.response(only_json=False))
        self.assertEqual((ids, last["problem"]["code"]), (stored[:1000], "unauthorized"))
        self.assertEqual(self.all(f"after={last['next']}")[0], stored[1000:])

    def ended(self, change: Callable[[], None], code: str) -> None:
        connection = self.begin()
        self.until_begun(connection)
        change()
        self.go_on(connection)
        ids, last = self.lines_of(connection.response(only_json=False))
        self.assertTrue(0 < len(ids) < COUNT)
        self.assertEqual((last["more"], last["problem"]["code"]), (True, code))

    def test_deleted_queue(self) -> None:
        """It is said."""
        self.ended(lambda: self.assertEqual(self.send("DELETE", "/queues/q").status, 204), "no-such-queue")

    def test_another_queue_of_the_name(self) -> None:
        """Its messages are not read."""

        def replace() -> None:
            self.send("DELETE", "/queues/q")
            self.make("q", partitions=3)
            self.appended("other")

        self.ended(replace, "no-such-queue")

    def test_other_principals(self) -> None:
        """Who may not read any more gets no more."""

        def change() -> None:
            body = {"principals": ["app:other"]}
            self.expect(200, self.send("PATCH", "/queues/q", body, content_type=PATCH))

        self.ended(change, "forbidden")

    def test_purge(self) -> None:
        """A purge that passes the reader makes a gap, which is reported."""
        connection = self.begin()
        self.until_begun(connection)
        self.assertEqual(self.send("DELETE", self.path(f"?before={self.stored[2000]}")).status, 204)
        ids, last = self.end(connection)
        self.assertEqual(ids[-500:], self.stored[2000:])
        self.assertLess(len(ids), COUNT)
        self.assertEqual((last["more"], last["resume"]), (False, "truncated"))
        self.assertEqual(self.all(f"after={last['first']}")[0], self.stored[2000:])

    def test_purge_behind_it(self) -> None:
        """A purge of what was read already makes no gap."""
        connection = self.begin()
        self.until_begun(connection)
        self.assertEqual(self.send("DELETE", self.path(f"?before={self.stored[1]}")).status, 204)
        self.assertEqual(self.end(connection)[1]["resume"], "exact")

    def test_purged_before(self) -> None:
        """So is one that was there before, if the reader came from before it."""
        place = self.stored[10]
        self.assertEqual(self.send("DELETE", self.path(f"?before={self.stored[20]}")).status, 204)
        ids, last = self.all(f"after={place}")
        self.assertEqual((ids, last["resume"]), (self.stored[20:], "truncated"))
        self.assertEqual(self.all()[1]["resume"], "exact")

    def test_older_messages_of_more_partitions(self) -> None:
        """Those that are put back before the end are there, as they are for a reader of pages."""
        connection = self.begin()
        self.until_begun(connection)
        self.expect(200, self.send("PATCH", "/queues/q", {"partitions": 5}, content_type=PATCH))
        id = f"{self.stored[2000][:-2]}-5"
        old = {"messages": [{"id": id, "body": "old", "ttl": 600}]}
        self.assertEqual(self.expect(200, self.send("PUT", self.path(), old, OWNER, BATCH))["stored"], 1)
        ids, _ = self.end(connection)
        self.assertEqual(ids, sorted([*self.stored, id]))

    def test_more_partitions(self) -> None:
        """Messages of partitions that are added meanwhile are after its cursor."""
        connection = self.begin()
        self.until_begun(connection)
        self.expect(200, self.send("PATCH", "/queues/q", {"partitions": 5}, content_type=PATCH))
        new = self.appended("new", "?partition=5")
        ids, last = self.end(connection)
        self.assertEqual(ids, self.stored)
        self.assertEqual([one["id"] for one in self.page(f"after={last['next']}")["messages"]], [new])
