"""A crowd of clients that make, claim from and delete groups of their own on one queue of a daemon."""

from __future__ import annotations

import re

from tests import runs_in
from tests.live.clients import KEY, make_queue
from tests.live.daemon.test_daemon import LiveTestCase, wait_until
from tests.live.groups.crowds import Crowd
from tests.live.running import Daemon

CLIENTS = 24
TURNS = 240


class CrowdTests(LiveTestCase):
    """Clients that use different groups do not keep each other out, and every refusal tells the truth."""

    def begin_workers(self, workers: int) -> Daemon:
        text = self.settings.read_text()
        self.settings.write_text(re.sub(r"(?m)^workers = .*$", f"workers = {workers}", text))
        return self.serve()

    def crowd(self) -> Crowd:
        make_queue(self.port, "crowd")
        crowd = Crowd((self.port,), "/v2/queuey/queues/crowd", KEY, CLIENTS)
        crowd.prepare()
        crowd.run(TURNS)
        self.assertEqual(crowd.lies, [])
        self.assertGreaterEqual(crowd.calls, 2 * TURNS)
        return crowd

    @runs_in("test")
    def test_one_process(self) -> None:
        self.begin_workers(1)
        crowd = self.crowd()
        self.assertEqual(crowd.refused, 0, crowd.answers)

    def test_two_workers(self) -> None:
        """At most one request in a hundred is refused: the workers change the same index."""
        daemon = self.begin_workers(2)
        wait_until(lambda: daemon.output().count(" worker-up ") >= 2, "not both workers were up")
        crowd = self.crowd()
        self.assertLessEqual(crowd.refused, crowd.calls / 100, crowd.answers)
