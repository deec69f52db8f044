"""The method ``live.list``, on a whole daemon in memory."""

from __future__ import annotations

import pickle
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey.core.live.numbers import Waiting, waiting_in_all
from queuey.model.timeid import Ticks
from tests.http.api_support import OTHER, OWNER, SETTINGS
from tests.ops.support import OpsTestCase

JSON = {**OWNER, "Content-Type": "application/json"}
LIMITED = "[application:app]\nmax_waits = 5\nmax_live = 7\n"


class LiveTests(OpsTestCase):
    """Who waits."""

    settings = f"{SETTINGS}\n{LIMITED}"

    def setUp(self) -> None:
        super().setUp()
        for path in ("/v2/app/queues/q", "/v2/app/queues/q/groups/g"):
            self.expect(201, self.ask("PUT", path, JSON, b"{}"))

    def listed(self, **params: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("live.list", **params)["applications"]
        return found

    def test_nobody(self) -> None:
        self.assertEqual(self.call("live.list"), {"scope": "daemon", "applications": [], "next": None})

    def test_all_kinds(self) -> None:
        started = [
            self.client.start("GET", "/v2/app/queues/q/messages?wait=10", OWNER),
            self.client.start("POST", "/v2/app/reads", JSON, b'{"queues": ["q"], "wait": 10}'),
            self.client.start("POST", "/v2/app/queues/q/groups/g/claims", JSON, b'{"wait": 10}'),
            self.client.start("GET", "/v2/app/queues/q/events", OWNER),
        ]
        (found,) = self.listed()
        self.assertEqual(
            found,
            {
                "application": "app",
                "reads": 2,
                "claims": 1,
                "streams": 1,
                "blocked": 0,
                "max_waits": 5,
                "max_live": 7,
                "slowest": None,
            },
        )
        for one in started:
            one.hang_up()
        self.assertEqual(self.listed(), [])

    def test_a_slow_client(self) -> None:
        """The page says how far it is behind, and where."""
        stream = self.client.start("GET", "/v2/app/queues/q/events", OWNER)
        producer = stream.transport.producer
        assert producer is not None
        producer.pauseProducing()
        for _ in range(3):
            self.expect(
                201, self.ask("POST", "/v2/app/queues/q/messages", {**OWNER, "Content-Type": "x/y"}, b"x" * 1000)
            )
            self.clock.advance(0)
        self.clock.advance(4)
        (found,) = self.listed()
        self.assertEqual((found["streams"], found["blocked"], found["slowest"]["queue"]), (1, 1, "q"))
        self.assertGreaterEqual(found["slowest"]["seconds"], 4)
        stream.hang_up()

    def test_pages(self) -> None:
        self.expect(201, self.ask("PUT", "/v2/other/queues/q", {**OTHER, "Content-Type": "application/json"}, b"{}"))
        started = [
            self.client.start("GET", "/v2/app/queues/q/messages?wait=10", OWNER),
            self.client.start("GET", "/v2/other/queues/q/messages?wait=10", OTHER),
        ]
        first = self.call("live.list", limit=1)
        last = self.call("live.list", limit=1, after=first["next"])
        self.assertEqual([page["applications"][0]["application"] for page in (first, last)], ["app", "other"])
        self.assertIsNone(last["next"])
        for one in started:
            one.hang_up()


class SumsTests(SynchronousTestCase):
    """What workers have sent, as one."""

    def test_sums(self) -> None:
        one = {"a": Waiting(1, 2, 3, 1, Ticks(50), "q"), "b": Waiting(streams=1)}
        other = pickle.loads(pickle.dumps({"a": Waiting(10, 20, 30, 2, Ticks(40), None), "c": Waiting(reads=1)}))
        expected = {"a": Waiting(11, 22, 33, 3, Ticks(40), None), "b": Waiting(streams=1), "c": Waiting(reads=1)}
        for parts in ((one, other), (other, one)):
            self.assertEqual(waiting_in_all(parts), expected)
        self.assertEqual(Waiting() + Waiting(reads=1), Waiting(reads=1))
