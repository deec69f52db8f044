"""Streams of numbers."""

from __future__ import annotations

import json
import re
from typing import Any

from twisted.internet.defer import Deferred

from queuey.ops.dashboard.live import EVERY, MAX_OF_TOKEN, MAX_STREAMS
from tests.http.wire_support import Connection
from tests.ops.dashboard.support import LINES, TOKENS, DashboardCase, digest

STATUS = {"method": "status"}
LIST = {"method": "applications.list"}


class SlowRPC:
    """Methods that take their time."""

    def __init__(self) -> None:
        self.waiting: Deferred[Any] = Deferred()
        self.ended: list[str] = []

    async def run(self, *call: Any) -> Any:
        try:
            await self.waiting
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise
        self.ended.append("well")


class LiveTests(DashboardCase):
    def events(self, connection: Connection) -> list[tuple[str, Any]]:
        text = connection.received.decode()
        return [(name, json.loads(data)) for name, data in re.findall(r"event: (\w+)\ndata: (.*)\n\n", text)]

    @property
    def streams(self) -> int:
        found: int = self.assembly.dashboard.site.hooks.resource._live.streams  # type: ignore[attr-defined]
        return found

    def test_what_has_changed(self) -> None:
        """All answers at first, and then those that differ; it says how old they are."""
        connection = self.stream([STATUS, LIST], "watcher")
        self.assertIn(b"200 OK", connection.received)
        self.assertIn(b"text/event-stream", connection.received)
        ((name, first),) = self.events(connection)
        self.assertEqual((name, first["at"]), ("numbers", self.clock.seconds()))
        self.assertEqual(first["answers"][1]["result"]["applications"][0]["name"], "app")
        self.clock.advance(EVERY)
        second = self.events(connection)[1][1]
        self.assertEqual(second["answers"][0]["result"]["uptime"], EVERY)
        self.assertIsNone(second["answers"][1])
        self.call("applications.set", name="third")
        self.clock.advance(EVERY)
        third = self.events(connection)[2][1]
        self.assertEqual(len(third["answers"][1]["result"]["applications"]), 3)

    def test_hanging_up(self) -> None:
        connection = self.stream([STATUS])
        self.assertEqual(self.streams, 1)
        connection.hang_up()
        self.assertEqual(self.streams, 0)
        self.assertEqual(
            self.clock.getDelayedCalls(),
            [call for call in self.clock.getDelayedCalls() if call.getTime() - self.clock.seconds() != EVERY],
        )

    def test_hanging_up_during_a_call(self) -> None:
        """The call is finished, and the log has no defect."""
        slow = SlowRPC()
        live: Any = self.assembly.dashboard.site.hooks.resource._live  # type: ignore[attr-defined]
        live._rpc = slow
        connection = self.stream([STATUS])
        connection.hang_up()
        self.assertEqual(self.streams, 0)
        slow.waiting.callback({})
        self.assertEqual(slow.ended, ["well"])

    def test_a_token_that_ends(self) -> None:
        connection = self.stream([STATUS], "watcher")
        settings = self.settings.replace(digest(TOKENS["watcher"]), digest("another"))
        self.assertNotEqual(settings, self.settings)
        self.assembly.use(self.make_assembly(settings).in_force.settings)
        self.clock.advance(EVERY)
        self.assertEqual(self.events(connection)[-1], ("over", {}))
        self.assertEqual(self.streams, 0)
        self.assertIn("watcher", LINES)

    def test_a_slow_client(self) -> None:
        """No answer is made while it does not take the last one."""
        connection = self.stream([STATUS])
        connection.transport.greedy, connection.transport.ROOM = False, 10
        for _ in range(5):
            self.clock.advance(EVERY)
        self.assertEqual(len(self.events(connection)), 2)
        connection.transport.read()
        self.clock.advance(EVERY)
        self.assertEqual(len(self.events(connection)), 3)

    def test_errors_of_calls(self) -> None:
        """An answer may be an error, and may be another one later."""
        connection = self.stream([{"method": "queues.describe", "params": {"application": "app", "queue": "late"}}])
        self.assertEqual(self.events(connection)[0][1]["answers"][0]["error"]["data"]["code"], "no-such-queue")
        self.assertEqual(self.ask("PUT", "/v2/app/queues/late").status, 201)
        self.clock.advance(EVERY)
        self.assertEqual(self.events(connection)[1][1]["answers"][0]["result"]["name"], "late")

    def test_what_is_refused(self) -> None:
        for calls, status in (
            ([], 400),
            ("x", 400),
            ([STATUS] * 7, 400),
            ([1], 400),
            ([{"method": 1}], 400),
            ([{"method": "status", "params": []}], 400),
            ([{"method": "status", "id": 1}], 400),
            ([{"method": "keys.add", "params": {"application": "app"}}], 403),
            ([{"method": "messages.peek"}], 403),
            ([{"method": "no.such"}], 403),
        ):
            response = self.stream(calls).response()
            self.assertEqual(response.status, status, calls)
        fields = self.fields(Origin=None)
        for query in ("", "?calls=", "?calls=[", "?calls=[]&calls=[]"):
            self.assertEqual(self.door.request("GET", f"/live{query}", fields).status, 400)
        self.assertEqual(self.stream([LIST], None).response().status, 401)

    def test_they_are_bounded(self) -> None:
        connections = [self.stream([STATUS], "watcher") for _ in range(MAX_OF_TOKEN)]
        refused = self.stream([STATUS], "watcher").response()
        self.assertEqual((refused.status, refused.header("retry-after")), (503, "5"))
        connections.pop().hang_up()
        connections.append(self.stream([STATUS], "watcher"))
        for who in ("reader", "worker", "all"):
            connections += [self.stream([STATUS], who) for _ in range(MAX_OF_TOKEN)]
        self.assertEqual(self.streams, MAX_STREAMS)
        self.assembly.dashboard.tokens._made.clear()
        for connection in connections:
            connection.hang_up()
        self.assertEqual(self.streams, 0)
