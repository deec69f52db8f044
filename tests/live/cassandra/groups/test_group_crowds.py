"""A crowd of clients that make, claim from and delete groups of their own on one queue of two front ends."""

from __future__ import annotations

from tests.live.cassandra.front_ends.test_frontends import ManyCase
from tests.live.clients import KEY, make_queue
from tests.live.groups.crowds import Crowd

CLIENTS = 24
TURNS = 120


class CrowdTests(ManyCase):
    """Both front ends change the same index."""

    def test_two_front_ends(self) -> None:
        """At most one request in a hundred is refused, and every refusal tells the truth."""
        first, second = self.two()
        make_queue(first.port, "crowd")
        crowd = Crowd((first.port, second.port), "/v2/queuey/queues/crowd", KEY, CLIENTS)
        crowd.prepare()
        crowd.run(TURNS)
        self.assertEqual(crowd.lies, [])
        self.assertGreaterEqual(crowd.calls, 2 * TURNS)
        self.assertLessEqual(crowd.refused, crowd.calls / 100, crowd.answers)
