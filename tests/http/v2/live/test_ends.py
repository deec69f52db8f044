"""The ends of live reads: of the queue, of the stream's time, of the daemon, and limits of their number."""

from __future__ import annotations

from typing import Any

from tests.http.api_support import LINES, OWNER, MessagesTestCase
from tests.http.v2.live.test_live import SSE, Follower, LiveTestCase, events


class EndTests(LiveTestCase):
    """When a stream ends, and what its client gets."""

    def test_end_of_the_log(self) -> None:
        """``end=true`` ends at the end."""
        self.batch([{"body": "a"}, {"body": "b"}])
        for query in ("end=true&start=oldest", "end=true&start=oldest&limit=1"):
            follower = self.follow(query)
            self.assertEqual(self.shown(self.began(follower, "message", "message", "caught-up")), ["a", "b"])
            self.assertTrue(follower.over)
        follower = self.follow("end=true")
        self.began(follower, "caught-up")
        self.assertTrue(follower.over)
        self.nothing_left()

    def test_time(self) -> None:
        """After ``live_time``, 10 % more or less, with a time to come back that is spread over a fortieth of it."""
        followers = [self.follow() for _ in range(20)]
        self.turn(539)
        self.assertFalse(any(follower.over for follower in followers))
        self.turn(122)
        self.assertTrue(all(follower.over for follower in followers))
        retries = [follower.events()[-1].retry or 0 for follower in followers]
        self.assertTrue(all(500 <= retry <= 15_000 for retry in retries))
        self.assertGreater(max(retries) - min(retries), 5_000)
        self.nothing_left()

    def test_deleted_queue(self) -> None:
        """Its readers get an event within a heartbeat, and what comes to another queue of the name is not sent to
        them."""
        follower = self.follow()
        self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
        self.turn(16)
        problem = follower.events()[-1]
        self.assertEqual((problem.name, problem.json["code"]), ("problem", "no-such-queue"))
        self.assertTrue(follower.over)
        self.nothing_left()

    def test_rights_taken_away(self) -> None:
        """A reader that may not read any more gets an event, and nothing after it."""
        patch = "application/merge-patch+json"
        self.assertEqual(self.send("PATCH", "/queues/q", {"type": "public"}, content_type=patch).status, 200)
        anonymous = Follower(self.client.start("GET", "/v2/app/queues/q/events", {}))
        owner = self.follow()
        self.assertEqual(self.send("PATCH", "/queues/q", {"type": "user"}, content_type=patch).status, 200)
        self.appended("secret")
        self.turn(1)
        self.assertEqual(anonymous.events()[-1].json["code"], "unauthorized")
        self.assertNotIn("secret", anonymous.text)
        self.assertEqual(self.shown(owner.events()), ["secret"])

    def test_hang_up(self) -> None:
        """Nothing is left of a client that hangs up."""
        one, other = self.follow(), self.follow("start=oldest")
        one.connection.hang_up()
        self.appended("a")
        self.turn()
        self.assertEqual(self.shown(other.events()), ["a"])
        other.connection.hang_up()
        self.nothing_left()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_stop(self) -> None:
        """A daemon that stops ends all streams at once, and those that begin later."""
        followers = [self.follow() for _ in range(250)]
        self.assembly.live.stop(3)
        self.turn()
        self.assertTrue(all(follower.over for follower in followers))
        self.assertTrue(all(500 <= (follower.events()[-1].retry or 0) <= 3000 for follower in followers))
        self.assertTrue(self.follow().over)
        self.nothing_left()

    def test_drain(self) -> None:
        """Streams of a front end that is drained end, so that their clients go to another one."""
        follower = self.follow()
        self.assembly.draining.ask(True)
        self.turn()
        self.assertTrue(follower.over)
        self.nothing_left()


class LimitTests(LiveTestCase):
    """How many there may be."""

    settings = MessagesTestCase.settings + "[application:app]\nmax_live = 3\nmax_queue_live = 2\n"

    def test_limits(self) -> None:
        """Those of an application, and those of one queue; a place is free again when a stream has ended."""
        self.make("p")
        self.make("r")
        followers = [self.follow(), self.follow(), self.follow(queue="p")]
        found = self.problem("too-many-requests", self.late("/queues/q/events"))
        self.assertEqual(found["limit"], "max_live")
        followers.pop().connection.hang_up()
        found = self.problem("too-many-requests", self.late("/queues/q/events"))
        self.assertEqual(found["limit"], "max_queue_live")
        followers.append(self.follow(queue="r"))
        self.assertIn("200 OK", followers[-1].head)

    def late(self, path: str) -> Any:
        """A refusal that comes only after a while."""
        connection = self.client.start("GET", f"/v2/app{path}", OWNER)
        self.turn(2)
        return connection.response()

    def test_as_events(self) -> None:
        """``errors=events`` gives 200, a time to come back, a problem, and the end."""
        followers = [self.follow(), self.follow()]
        connection = self.client.start("GET", "/v2/app/queues/q/events?errors=events", OWNER)
        self.turn(2)
        response = connection.response(only_json=False)
        self.assertEqual((response.status, response.header("content-type")), (200, SSE))
        retry, problem = events(response.body.decode())
        self.assertTrue(1000 <= (retry.retry or 0) <= 3000)
        self.assertEqual((problem.name, problem.json["code"]), ("problem", "too-many-requests"))
        self.problem("unauthorized", self.client.request("GET", "/v2/app/queues/q/events?errors=events", {}))
        self.assertEqual(len(followers), 2)


class ClosedTests(LiveTestCase):
    """Queues that take no messages any more."""

    PATCH = "application/merge-patch+json"

    def close(self) -> None:
        response = self.send("PATCH", "/queues/q", {"closed": True}, content_type=self.PATCH)
        self.assertIs(self.expect(200, response)["closed"], True)

    def test_patch(self) -> None:
        """Later messages are 409 over both APIs, and no change opens the queue again."""
        self.assertIs(self.expect(200, self.send("GET", "/queues/q"))["closed"], False)
        self.close()
        self.close()
        self.problem("queue-closed", self.append(b"x"))
        self.problem("queue-closed", self.append(b"x", Idempotency_Key='"1"'))
        self.problem("queue-closed", self.batch([{"body": "a"}, {"body": "b"}]))
        self.assertEqual(list(self.refused(409, self.post("/v1/app/q", "x"))), ["QueueClosed"])
        response = self.send("PATCH", "/queues/q", {"closed": False}, content_type=self.PATCH)
        self.problem("queue-closed", response)
        self.assertIs(self.expect(200, self.send("PUT", "/queues/q", {"partitions": 2}))["closed"], True)
        self.problem("queue-closed", self.append(b"x"))
        response = self.send("PATCH", "/queues/q", {"closed": "yes"}, content_type=self.PATCH)
        self.problem("invalid-body", response)

    def test_last_messages(self) -> None:
        """``close=true`` stores messages and closes the queue; a repeat under the same key is answered as the first."""
        response = self.append(b"last", "?close=true", Idempotency_Key='"1"')
        (message,) = self.expect(201, response)["messages"]
        again = self.expect(201, self.append(b"last", "?close=true", Idempotency_Key='"1"'))
        self.assertEqual((again["messages"], again["duplicate"]), ([message], True))
        self.problem("queue-closed", self.batch([{"body": "x"}], "?close=true"))
        self.make("p")
        path = self.path("?close=true", "p")
        self.expect(201, self.send("POST", path, b"only", OWNER, None))
        self.problem("queue-closed", self.send("POST", self.path("", "p"), b"x", OWNER, None))
        self.problem("invalid-parameters", self.append(b"x", "?close=1"))

    def test_pages(self) -> None:
        """The last page says that nothing follows, also to a reader that waits; others do not say so."""
        self.batch([{"body": "a"}, {"body": "b"}])
        waiting = self.client.start("GET", f"/v2/app{self.path('?wait=20&since=1700000001')}", OWNER)
        self.turn()
        self.close()
        self.turn(1)
        self.assertIs(waiting.response().json["closed"], True)
        page = self.expect(200, self.send("GET", self.path("?limit=1")))
        self.assertNotIn("closed", page)
        last = self.expect(200, self.send("GET", self.path(f"?after={page['next']}&wait=20")))
        self.assertEqual(([message["body"] for message in last["messages"]], last["closed"]), (["b"], True))
        end = self.expect(200, self.send("GET", self.path(f"?after={last['next']}&wait=20")))
        self.assertEqual((end["messages"], end["closed"]), ([], True))

    def test_live(self) -> None:
        """A live read gets the last messages and an event, and ends; an EventSource that comes back is sent away."""
        follower, lines = self.follow(), self.follow(Accept=LINES)
        self.assertEqual(self.append(b"last", "?close=true").status, 201)
        self.turn(1)
        _, message, closed = self.began(follower, "caught-up", "message", "closed")[1:]
        self.assertEqual((message.json["body"], closed.json["next"], follower.over), ("last", closed.id, True))
        self.assertIs(lines.lines()[-1]["closed"], True)
        self.assertTrue(lines.over)
        again = self.raw("GET", "/queues/q/events", {**OWNER, "Last-Event-ID": str(closed.id)})
        self.assertEqual(again.status, 204)
        late = self.follow("start=oldest")
        self.assertEqual(self.shown(self.began(late, "message", "caught-up", "closed")), ["last"])
        self.nothing_left()

    def test_delayed(self) -> None:
        """A delayed message is waited for before the event of the end."""
        self.append(b"late", "?delay=30")
        follower = self.follow()
        self.close()
        self.turn(20)
        self.assertFalse(follower.over)
        self.turn(12)
        self.assertEqual(self.shown(follower.events()), ["late"])
        self.assertTrue(follower.over)
