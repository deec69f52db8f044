"""Waiting reads over v2: which messages wake them, and that they leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from queuey.core.waiting import Waits
from queuey.service.assembly import Assembly
from tests.http.api_support import LINES, NOW, OWNER
from tests.http.responses import Response
from tests.http.v2.reading.test_pages import ReadingTestCase
from tests.http.wire_support import Connection

Arrived = Callable[[int], None]


class WaitTestCase(ReadingTestCase):
    """Reads that wait.

    :ivar waits: all clients that wait in the daemon.
    """

    waits: Waits

    def make_assembly(self, settings: str) -> Assembly:
        watch = self.store.subscribe

        def watched(arrived: Arrived) -> float | None:
            self.waits = arrived.__self__  # type: ignore[attr-defined]
            return watch(arrived)

        self.store.subscribe = watched  # type: ignore[method-assign]
        try:
            return super().make_assembly(settings)
        finally:
            self.store.subscribe = watch  # type: ignore[method-assign]

    def setUp(self) -> None:
        super().setUp()
        self.timers = len(self.clock.getDelayedCalls())

    def wait(self, query: str = "", seconds: str = "20", **fields: str) -> Connection:
        """Ask for messages, and do not expect an answer yet."""
        path = f"/v2/app{self.path(f'?wait={seconds}')}{query and '&'}{query}"
        headers = {**OWNER, **{name.replace("_", "-"): value for name, value in fields.items()}}
        connection = self.client.start("GET", path, headers)
        self.waiting(connection)
        return connection

    def waiting(self, *connections: Connection) -> None:
        """Those wait."""
        for connection in connections:
            self.assertEqual(connection.received, b"")

    def pass_time(self, seconds: float) -> None:
        """Let time go by in small steps, since one thing may lead to another."""
        steps = max(1, round(seconds / 0.1))
        self.clock.pump([seconds / steps] * steps)

    def answer(self, connection: Connection) -> dict[str, Any]:
        """The page that has come."""
        response: Response = connection.response()
        page: dict[str, Any] = self.expect(200, response)
        self.check_page(page, response)
        connection.hang_up()
        return page

    def came(self, connection: Connection, *bodies: str) -> dict[str, Any]:
        """Just these messages have come."""
        page = self.answer(connection)
        self.assertEqual([message["body"] for message in page["messages"]], list(bodies))
        return page

    def nothing_left(self) -> None:
        """No reader waits, and no timer is left."""
        self.assertEqual((self.waits.waiting, self.waits._queues), (0, {}))
        self.assertLessEqual(len(self.clock.getDelayedCalls()), self.timers)


class WakingTests(WaitTestCase):
    """What ends a wait."""

    def test_nothing_to_wait_for(self) -> None:
        """Where there is something, it comes at once."""
        self.appended("a")
        self.assertEqual(self.texts("wait=20"), ["a"])
        self.assertEqual(self.texts("wait=20&order=desc"), ["a"])
        self.assertEqual(self.texts("wait=0"), ["a"])
        self.nothing_left()

    def test_no_wait(self) -> None:
        """Without one, there is an empty page at once."""
        for query in ("", "wait=0", "wait=0.0"):
            self.assertEqual(self.texts(query), [])
        self.nothing_left()

    def test_append(self) -> None:
        """A message wakes who waits for it."""
        connection = self.wait()
        self.pass_time(5)
        self.waiting(connection)
        self.appended("a")
        self.pass_time(0.01)
        page = self.came(connection, "a")
        self.assertEqual((page["more"], page["resume"]), (False, "exact"))
        self.nothing_left()
        self.assertEqual(self.texts(f"after={page['next']}"), [])

    def test_every_way_to_write(self) -> None:
        """A batch, a message under a key, a stream, a PUT, and v1's ways too."""
        writes: tuple[tuple[str, Callable[[], object]], ...] = (
            ("batch", lambda: self.batch([{"body": "a"}, {"body": "b"}])),
            ("key", lambda: self.append(b"a", Idempotency_Key='"1"')),
            ("stream", lambda: self.raw("POST", self.path(), {**OWNER, "Content-Type": LINES}, b'{"body": "a"}')),
            ("v1", lambda: self.post("/v1/app/q", "a")),
            ("v1 batch", lambda: self.post_json("/v1/app/q", {"messages": [{"body": "a"}]})),
        )
        cursor = self.page()["next"]
        for name, write in writes:
            connection = self.wait(f"after={cursor}")
            write()
            self.pass_time(0.01)
            page = self.answer(connection)
            self.assertEqual(
                (len(page["messages"]), page["messages"][0]["body"]), (2 if name == "batch" else 1, "a"), name
            )
            cursor = page["next"]
        self.nothing_left()

    def test_time_over(self) -> None:
        """Then there is an empty page, with where to go on."""
        connection = self.wait("limit=5", seconds="7.5")
        self.pass_time(7.4)
        self.waiting(connection)
        self.pass_time(0.2)
        page = self.came(connection)
        self.assertEqual((page["more"], page["resume"]), (False, "exact"))
        self.nothing_left()
        self.appended("a")
        self.assertEqual(self.texts(f"after={page['next']}"), ["a"])

    def test_longest(self) -> None:
        """20 seconds, whatever the connection's other limits."""
        connection = self.wait(seconds="20")
        self.pass_time(19.9)
        self.waiting(connection)
        self.pass_time(0.2)
        self.came(connection)
        self.assertEqual(self.send("GET", self.path("?wait=20.1")).status, 400)
        self.nothing_left()

    def test_delayed(self) -> None:
        """A message that falls due wakes, not before; one that is cancelled never does."""
        cancelled = self.appended("cancelled", "?delay=2")
        connection = self.wait()
        self.appended("later", "?delay=5")
        self.assertEqual(self.one(cancelled, "DELETE").status, 204)
        self.pass_time(4.9)
        self.waiting(connection)
        self.pass_time(1.5)
        self.came(connection, "later")
        self.nothing_left()

    def test_put(self) -> None:
        """So does a message under an id of a client's own."""
        connection = self.wait()
        self.clock.advance(1)
        id = f"{int((NOW + 1.2) * 10**7) + 0x01B21DD213814000:015x}"
        response = self.send("PUT", self.path(f"/{id[:12]}6{id[12:]}8001000000000002-2"), b"mine", OWNER, None)
        self.assertEqual(response.status, 201)
        self.pass_time(1.5)
        self.came(connection, "mine")
        self.nothing_left()

    def test_many(self) -> None:
        """All who wait for it are woken."""
        connections = [self.wait() for _ in range(20)]
        self.pass_time(1)
        self.appended("a")
        self.pass_time(0.01)
        for connection in connections:
            self.came(connection, "a")
        self.nothing_left()

    def test_again_and_again(self) -> None:
        """Who reads in a loop gets everything once."""
        cursor, seen = self.page()["next"], []
        for number in range(10):
            connection = self.wait(f"after={cursor}")
            self.pass_time(0.5)
            self.batch([{"body": str(number)}, {"body": "x"}] if number % 3 else [{"body": str(number)}])
            self.pass_time(0.01)
            page = self.answer(connection)
            seen += [message["body"] for message in page["messages"] if message["body"] != "x"]
            cursor = page["next"]
        self.assertEqual(seen, [str(number) for number in range(10)])
        self.nothing_left()

    def test_between(self) -> None:
        """What came after the page before is there at once."""
        cursor = self.page()["next"]
        self.appended("a")
        self.assertEqual(self.texts(f"wait=20&after={cursor}"), ["a"])
        self.nothing_left()

    def test_descending(self) -> None:
        """Who reads backwards waits where there is nothing at all, and where there is nothing in the range."""
        connection, later = self.wait("order=desc"), self.wait("order=desc&since=1700000005")
        self.batch([{"body": "a"}, {"body": "b"}])
        self.pass_time(1)
        self.came(connection, "b", "a")
        self.waiting(later)
        self.pass_time(5)
        self.appended("c")
        self.pass_time(0.2)
        self.came(later, "c")
        self.nothing_left()

    def test_more_partitions(self) -> None:
        """Partitions that are added while somebody waits are not passed over."""
        connection = self.wait()
        self.expect(200, self.send("PUT", "/queues/q", {"partitions": 5}))
        self.appended("new", "?partition=5")
        self.appended("old", "?partition=1")
        self.pass_time(0.01)
        page = self.answer(connection)
        seen = [message["body"] for message in page["messages"]]
        self.assertEqual([*seen, *self.texts(f"after={page['next']}")], ["new", "old"])
        connection = self.wait(f"after={self.page()['next']}", seconds="1")
        self.expect(200, self.send("PUT", "/queues/q", {"partitions": 6}))
        self.appended("newer", "?partition=6")
        self.pass_time(1.5)
        page = self.answer(connection)
        seen = [message["body"] for message in page["messages"]]
        self.assertEqual([*seen, *self.texts(f"after={page['next']}")], ["newer"])
        self.nothing_left()

    def test_lines(self) -> None:
        """In lines as well."""
        connection = self.wait(Accept=LINES)
        self.appended("a")
        self.pass_time(0.01)
        response = connection.response(only_json=False)
        self.assertEqual((response.header("content-type"), len(response.body.splitlines())), (LINES, 2))
        connection.hang_up()
        self.nothing_left()


class NotWakingTests(WaitTestCase):
    """What does not end a wait."""

    def test_other_queues(self) -> None:
        """Messages of other queues, and of partitions that are not asked for."""
        self.make("p", partitions=3)
        connection, other = self.wait("partition=1&partition=3"), self.wait()
        self.appended("x", queue="p")
        self.pass_time(0.5)
        self.waiting(connection, other)
        self.appended("a", "?partition=2")
        self.pass_time(1.5)
        self.waiting(connection)
        self.came(other, "a")
        self.appended("b", "?partition=3")
        self.pass_time(0.01)
        self.came(connection, "b")
        self.nothing_left()

    def test_refused(self) -> None:
        """Messages that are not stored."""
        connection = self.wait()
        self.append(b"x", "?ttl=0")
        self.batch([{"body": "x"}, {}])
        self.append(b"x", "?delay=19.5")
        self.pass_time(3)
        self.waiting(connection)
        connection.hang_up()
        self.nothing_left()

    def test_duplicate(self) -> None:
        """A repeat that stores nothing."""
        self.append(b"x", Idempotency_Key='"1"')
        cursor = self.page()["next"]
        connection = self.wait(f"after={cursor}")
        self.append(b"x", Idempotency_Key='"1"')
        self.pass_time(3)
        self.waiting(connection)
        connection.hang_up()
        self.nothing_left()

    def test_end_of_the_range(self) -> None:
        """If nothing can come, no reader waits: before a time that is over, and behind the oldest."""
        self.fill(3)
        first = self.ids("limit=1")[0]
        for query in ("until=1700000000", f"order=desc&after={first}", "since=5&until=4"):
            self.assertEqual(self.texts(f"wait=20&{query}"), [], query)
        self.nothing_left()

    def test_until(self) -> None:
        """What is beyond the range does not come; what is in it does."""
        connection, later = self.wait("until=1700000010"), self.wait("since=1700000010")
        self.pass_time(5)
        self.appended("a")
        self.pass_time(1.5)
        self.came(connection, "a")
        self.waiting(later)
        self.pass_time(5)
        self.appended("b")
        self.pass_time(1.5)
        self.came(later, "b")
        self.nothing_left()
