"""The ends of waits over v2: by time, by a deleted queue, by lost access."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail

from queuey.errors import Unavailable
from tests.http.api_support import OWNER
from tests.http.v2.reading.test_waits import WaitTestCase


class EndTests(WaitTestCase):
    """What becomes of a wait whose reason is gone."""

    def test_hang_up(self) -> None:
        """A client that hangs up leaves nothing behind; the others wait on."""
        one, other = self.wait(), self.wait("partition=1")
        self.assertEqual(self.waits.waiting, 2)
        one.hang_up()
        self.assertEqual(self.waits.waiting, 1)
        self.appended("a", "?partition=1")
        self.pass_time(0.01)
        self.came(other, "a")
        self.nothing_left()
        self.wait("after=" + self.page()["next"]).hang_up()
        self.nothing_left()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_hang_up_while_reading(self) -> None:
        """Also while the store is asked, and while it rests."""
        merge = self.store.read_merged
        for turn in (0, 1):
            held: list[Deferred[Any]] = []

            def later(*given: Any, turn: int = turn, held: list[Deferred[Any]] = held) -> Deferred[Any]:
                if len(held) < turn:
                    held.append(Deferred())
                    return merge(*given)
                held.append(Deferred())
                return held[-1]

            self.store.read_merged = later  # type: ignore[method-assign,assignment]
            connection = self.wait()
            if turn:
                self.appended("a")
                self.pass_time(0.01)
            connection.hang_up()
            self.store.read_merged = merge  # type: ignore[method-assign]
            self.nothing_left()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_rights_taken_away(self) -> None:
        """Who may not read any more when something comes is not shown it."""
        patch = "application/merge-patch+json"
        self.assertEqual(self.send("PATCH", "/queues/q", {"type": "public"}, content_type=patch).status, 200)
        path = f"/v2/app{self.path('?wait=20')}"
        anonymous, owner = self.client.start("GET", path, {}), self.client.start("GET", path, OWNER)
        self.assertEqual(self.send("PATCH", "/queues/q", {"type": "user"}, content_type=patch).status, 200)
        self.waiting(anonymous, owner)
        self.appended("secret")
        self.pass_time(0.2)
        self.problem("unauthorized", anonymous.response())
        self.came(owner, "secret")
        self.nothing_left()

    def test_deleted_queue(self) -> None:
        """Its readers get the error, at the latest when their time is over."""
        connection = self.wait(seconds="5")
        self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
        self.pass_time(6)
        self.problem("no-such-queue", connection.response())
        self.nothing_left()

    def test_purged_queue(self) -> None:
        """Who waits for new messages gets those that come after a purge."""
        self.fill(3)
        connection = self.wait(f"after={self.page()['next']}")
        self.assertEqual(self.send("DELETE", self.path("?before=now")).status, 204)
        self.pass_time(1.5)
        self.waiting(connection)
        self.appended("a")
        self.pass_time(0.2)
        self.came(connection, "a")
        self.nothing_left()

    def test_store_fails(self) -> None:
        """Then the reader gets the error."""
        merge = self.store.read_merged
        connection = self.wait()
        self.store.read_merged = lambda *_: fail(Unavailable("Away."))  # type: ignore[method-assign]
        self.appended("a")
        self.pass_time(0.01)
        self.assertEqual(self.problem("unavailable", connection.response())["applied"], "no")
        self.store.read_merged = merge  # type: ignore[method-assign]
        connection.hang_up()
        self.nothing_left()

    def test_refused_first(self) -> None:
        """What is wrong with a request is said at once."""
        for query, code in (
            ("wait=20&limit=0", "invalid-parameters"),
            ("wait=20&after=x", "invalid-cursor"),
            ("wait=20&order=desc&after=" + self.page()["next"], "cursor-mismatch"),
        ):
            self.problem(code, self.send("GET", self.path(f"?{query}")))
        self.problem("unauthorized", self.send("GET", self.path("?wait=20"), None, {}))
        self.problem("no-such-queue", self.send("GET", self.path("?wait=20", "nope")))
        self.nothing_left()

    def test_pipelined(self) -> None:
        """The next request on the connection is answered after it."""
        connection = self.wait(seconds="1")
        connection.send(f"GET /v2/app HTTP/1.1\r\nHost: x\r\nAuthorization: {OWNER['Authorization']}\r\n\r\n".encode())
        self.waiting(connection)
        self.pass_time(1.2)
        self.assertEqual([each.status for each in connection.responses()], [200, 200])
        connection.hang_up()
        self.nothing_left()

    def test_head(self) -> None:
        """A HEAD waits as its GET would."""
        path = f"/v2/app{self.path('?wait=20')}"
        connection = self.client.start("HEAD", path, OWNER)
        self.waiting(connection)
        self.appended("a")
        self.pass_time(0.01)
        self.assertEqual(connection.response("HEAD").status, 200)
        connection.hang_up()
        self.nothing_left()
