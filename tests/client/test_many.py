"""The client reads many queues: pages, readers that follow, and gaps."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey_client import Client, Gap
from queuey_client.core.steps import Answer
from queuey_client.sync.transport import Driver
from tests.client.support import Server, answer, message, problem

TIME = "2025-11-26T12:14:43.2112434Z"


def many(*messages: tuple[str, int], next: str = "end", gaps: tuple[str, ...] = (), more: bool = False) -> Answer:
    """A page of many queues."""
    found = [{**message(number), "queue": queue, "place": f"place-{number}"} for queue, number in messages]
    document: dict[str, Any] = {"messages": found, "next": next, "more": more, "stable_until": TIME, "resume": "exact"}
    if gaps:
        document["gaps"] = [{"queue": queue, "why": "purged", "first": "first"} for queue in gaps]
    return answer(document)


class ManyTests(SynchronousTestCase):
    """What is sent, and what comes of the answers."""

    def client(self, *replies: Answer) -> tuple[Client, Server]:
        server = Server(*replies)
        client = Client("http://server", "shop", key="k", transport=server)
        client._session, client._driver = server.session(), Driver(server, server.sleep)
        return client, server

    def test_a_page(self) -> None:
        client, server = self.client(many(("a", 1), ("b", 2)))
        page = client.read_many(["a", "b"], prefix="room-", start="oldest", limit=7, wait=5)
        self.assertEqual([(each.queue, each.place) for each in page.messages], [("a", "place-1"), ("b", "place-2")])
        asked = {"queues": ["a", "b"], "prefixes": ["room-"], "start": "oldest", "limit": 7, "wait": 5}
        self.assertEqual({**server.sent(), "max_bytes": None}, {**asked, "max_bytes": None})

    def test_it_may_be_sent_again(self) -> None:
        client, _ = self.client(problem("unavailable", 503, retryable=True, applied="unknown"), many(next="x"))
        self.assertEqual(client.read_many(["a"]).next, "x")

    def test_it_follows(self) -> None:
        client, server = self.client(many(next="p0"), many(("a", 1), next="p1"), many(("b", 2), next="p2"))
        found = client.follow(prefix=["a", "b"])
        self.assertEqual([next(found).queue for _ in range(2)], ["a", "b"])
        self.assertEqual(server.sent(0)["start"], "newest")
        self.assertEqual([server.sent(at)["after"] for at in (1, 2)], ["p0", "p1"])

    def test_a_gap_comes_after_the_messages_of_its_page(self) -> None:
        client, _ = self.client(many(("a", 1), next="p1", gaps=("b",)))
        found = client.follow(["a", "b"], start="p0")
        self.assertEqual(next(found).queue, "a")
        error = self.assertRaises(Gap, next, found)
        self.assertEqual((error.first, error.queue), ("p1", "b"))

    def test_what_makes_no_sense(self) -> None:
        client, _ = self.client()
        self.assertRaises(ValueError, client.read_many)
        self.assertRaises(TypeError, client.read_many, "a")

    def test_claims(self) -> None:
        given = {**message(1), "receipt": "r", "deliveries": 1, "lease": 30, "lease_until": TIME}
        client, server = self.client(
            answer({"messages": [given], "queue": "low", "group": "w"}), answer({"messages": []})
        )
        groups = [("high", "w"), ("low", "w")]
        (delivery,) = client.claim_many(groups, limit=3, order="fair", lease=60)
        self.assertEqual((delivery.queue, delivery.group, delivery.receipt), ("low", "w", "r"))
        asked = {"from": [{"queue": queue, "group": group} for queue, group in groups], "order": "fair"}
        self.assertEqual(server.sent(0), {**asked, "limit": 3, "wait": 20, "lease": 60})
        self.assertEqual(client.claim_many(groups), [])
        self.assertRaises(ValueError, client.claim_many, [])

    def test_a_claim_acks_what_is_done(self) -> None:
        """The messages of each group are acked there; what another worker has is known to be lost then."""
        given = [{**message(at), "receipt": f"r{at}", "deliveries": 1, "lease": 30} for at in range(3)]
        outcomes = [{"receipt": f"r{at}", "outcome": outcome} for at, outcome in enumerate(("acked", "stale"))]
        client, server = self.client(
            answer({"messages": given[:2], "queue": "low", "group": "w"}),
            answer({"messages": given[2:], "queue": "high", "group": "w"}),
            answer({"messages": [], "outcomes": outcomes}),
        )
        groups = [("high", "w"), ("low", "w")]
        done = [*client.claim_many(groups), *client.claim_many(groups)]
        client.claim_many(groups, ack=done)
        acks = [one["settle"]["ack"] for one in server.sent(2)["from"]]
        self.assertEqual(acks, [["r2"], ["r0", "r1"]])
        self.assertNotIn("settle", server.sent(1)["from"][0])
        self.assertEqual([one.lost for one in done], [False, True, False])
        self.assertRaises(ValueError, client.claim_many, [("high", "w")], ack=done)

    def test_a_claim_is_sent_again_under_its_key(self) -> None:
        client, server = self.client(
            problem("unavailable", 503, retryable=True, applied="unknown"), answer({"messages": []})
        )
        client.claim_many([("a", "w")])
        keys = {asked.headers["Idempotency-Key"] for asked in server.asks}
        self.assertEqual((len(server.asks), len(keys)), (2, 1))
