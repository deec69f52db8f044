"""Rates of streams, of claims, and of requests that wait."""

from __future__ import annotations

import json

from tests.http.admission.test_limits import CHUNKED, MESSAGES, LimitsTestCase
from tests.http.api_support import OWNER, SETTINGS
from tests.http.responses import Response
from tests.http.wire_support import Connection, encode_chunks


class StreamTests(LimitsTestCase):
    """Streams under rates of messages."""

    limits = MESSAGES

    def stream(self, count: int) -> Connection:
        """Begin a stream with so many messages, and end it."""
        lines = b"".join(b'{"body": "%d"}\n' % number for number in range(count))
        connection = self.client.start("POST", "/v2/app/queues/q/messages", CHUNKED)
        connection.send(encode_chunks([lines]))
        return connection

    def told(self, connection: Connection) -> int:
        """The number of messages that the log has."""
        return connection.received.count(b'"timestamp"')

    def test_it_is_slowed(self) -> None:
        """It goes on by the rate, and nothing of it is refused."""
        connection = self.stream(30)
        self.assertEqual(self.told(connection), 8)
        for second in range(1, 6):
            for _ in range(20):
                self.clock.advance(0.05)
            # The sum of so many steps of a clock of this size is a little less than a second.
            self.assertIn(self.told(connection), (7 + 4 * second, 8 + 4 * second))
        for _ in range(30):
            self.clock.advance(0.05)
        (response,) = connection.responses("POST", only_json=False)
        *stored, last = response.body.splitlines()
        self.assertEqual((len(stored), json.loads(last)), (30, {"done": True, "stored": 30, "failed": 0}))
        bodies = [each["body"] for each in self.expect(200, self.get())["messages"]]
        self.assertEqual(bodies, [str(number) for number in range(30)])

    def test_lines_that_are_wrong_cost_nothing(self) -> None:
        """Their results stand in their place."""
        connection = self.client.start("POST", "/v2/app/queues/q/messages", CHUNKED)
        connection.send(encode_chunks([b'{"body": "a"}\n{"body": 1}\n' * 10]))
        for _ in range(20):
            self.clock.advance(0)  # lines that are wrong are read in turns of their own
        self.assertEqual(self.told(connection), 8)
        for _ in range(20):
            self.clock.advance(0.05)
        (response,) = connection.responses("POST", only_json=False)
        self.assertEqual(json.loads(response.body.splitlines()[-1]), {"done": True, "stored": 10, "failed": 10})
        wrong = [json.loads(line).get("line") for line in response.body.splitlines()[:-1]]
        self.assertEqual(wrong, [None if number % 2 else number for number in range(1, 21)])

    def test_who_hangs_up_is_waited_for_no_more(self) -> None:
        """Nothing more is stored, and no timer is left."""
        connection = self.stream(30)
        timers = len(self.clock.getDelayedCalls())
        connection.hang_up()
        # That of the rates, and that by which streams are looked at.
        self.assertEqual(len(self.clock.getDelayedCalls()), timers - 2)
        self.clock.advance(60)
        self.assertEqual(len(self.expect(200, self.get())["messages"]), 8)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_other_limits(self) -> None:
        """They hold for a stream that is under way."""
        connection = self.stream(30)
        self.use("")
        for _ in range(10):
            self.clock.advance(0.05)
        (response,) = connection.responses("POST", only_json=False)
        self.assertEqual(json.loads(response.body.splitlines()[-1]), {"done": True, "stored": 30, "failed": 0})

    def test_an_application_that_is_gone(self) -> None:
        """The lines that waited get their results, and the stream ends."""
        connection = self.stream(30)
        self.assembly.use(self.loaded(SETTINGS.replace("app =", "app-two =").replace("    another", "    yet-another")))
        self.clock.advance(1)
        self.clock.advance(1)
        (response,) = connection.responses("POST", only_json=False)
        last = json.loads(response.body.splitlines()[-1])
        self.assertEqual((last["done"], last["stored"]), (False, 8))
        self.assertEqual(json.loads(response.body.splitlines()[8])["code"], "no-such-application")

    def test_it_counts_as_one_request(self) -> None:
        """Beyond the rate of requests it is refused before it is read."""
        self.use("request_rate = 1\nrequest_burst = 2\n")
        for _ in range(2):
            (response,) = self.stream(50).responses("POST", only_json=False)
            self.assertEqual(response.status, 200)
        (response,) = self.stream(50).responses("POST", only_json=False)
        self.met("request_rate", 1, response)


class GroupTests(LimitsTestCase):
    """Consumer groups."""

    limits = "max_groups = 2\nmax_queue_waits = 1\nqueue_request_rate = 1\nqueue_request_burst = 20\n"

    def group(self, name: str, queue: str = "q") -> Response:
        return self.send("PUT", f"/queues/{queue}/groups/{name}", {})

    def claim(self, wait: int) -> Connection:
        body = json.dumps({"wait": wait}).encode()
        path = "/v2/app/queues/q/groups/a/claims"
        return self.client.start("POST", path, {**OWNER, "Content-Type": "application/json"}, body)

    def test_no_more_than_may_be(self) -> None:
        """In each queue; one that is there is no more; claims make none either."""
        self.assertEqual([self.group(name).status for name in "aba"], [201, 201, 200])
        problem = self.problem("storage-full", self.group("c"))
        self.assertEqual((problem["limit"], problem["applied"]), ("max_groups", "no"))
        self.problem("storage-full", self.send("POST", "/queues/q/groups/d/claims", {}))
        self.assertEqual(self.send("DELETE", "/queues/q/groups/a").status, 204)
        self.assertEqual(self.group("c").status, 201)
        self.assertEqual(self.expect(200, self.ask("GET", "/v2/app"))["limits"]["max_groups"], 2)
        self.use("")
        self.assertEqual(self.expect(200, self.ask("GET", "/v2/app"))["limits"]["max_groups"], 1000)
        self.assertEqual(self.group("d").status, 201)

    def test_claims_that_wait(self) -> None:
        """They count as reads that wait do; without a wait they are answered."""
        self.group("a")
        waiting = self.claim(20)
        self.assertEqual(waiting.received, b"")
        for other in (self.claim(5), self.client.start("GET", "/v2/app/queues/q/messages?wait=5", OWNER)):
            (response,) = other.responses()
            self.met("max_queue_waits", 1, response)
        (response,) = self.claim(0).responses()
        self.assertEqual(response.status, 200)
        waiting.hang_up()
        self.assertEqual(self.claim(5).received, b"")

    def test_requests_on_groups_are_requests_on_their_queue(self) -> None:
        """Claims as all others."""
        self.group("a")
        statuses = [self.claim(0).responses()[0].status for _ in range(20)]
        self.assertEqual(statuses, 19 * [200] + [429])


class WaitTests(LimitsTestCase):
    """Who may wait."""

    limits = "max_waits = 3\nmax_queue_waits = 2\n"

    def wait(self, queue: str = "q") -> Connection:
        return self.client.start("GET", f"/v2/app/queues/{queue}/messages?wait=20", OWNER)

    def test_both(self) -> None:
        """One more is refused; without a wait, it is answered."""
        self.expect(201, self.form("POST", "/v1/app", queue_name="r"))
        waiting = [self.wait(), self.wait()]
        self.assertEqual([connection.received for connection in waiting], [b"", b""])
        (response,) = self.wait().responses()
        self.met("max_queue_waits", 1, response)
        self.assertEqual(self.get().status, 200)
        waiting.append(self.wait("r"))
        (response,) = self.wait("r").responses()
        self.met("max_waits", 1, response)
        waiting[0].hang_up()
        waiting.append(self.wait("r"))
        self.assertEqual(waiting[-1].received, b"")
        self.clock.advance(20)
        for connection in waiting[1:]:
            self.assertEqual([response.status for response in connection.responses()], [200])
        self.assertEqual(self.assembly.waits.seats._taken, {})
