"""Applications at run time with two front ends on one node: what one changes is in force on both within two seconds."""

from __future__ import annotations

import re
from pathlib import Path

from queuey.model.applications.application import digest_of
from tests.live.cassandra.fronts import Front, FrontTestCase
from tests.live.cassandra.shared import cql_node
from tests.live.operating.rotating import call, rotate, with_secret

CLIENTS = 64
PAUSE = 0.3
"""Seconds between two posts of one client: one node on a small machine is not to be what fails."""


class RotationTests(FrontTestCase):
    """A rotation and a policy change while clients post to both."""

    def serving(self, name: str, host: str, port: int) -> tuple[Front, str]:
        """A front end with an operators' port, and where that is."""
        front = self.front(name, [host], port, frontends="many")
        settings: Path = front.folder / "queuey.ini"
        settings.write_text(re.sub(r"(?m)^ops = .*$", "ops = unix:ops.sock", settings.read_text()))
        return front.start(), f"unix:{front.folder}/ops.sock"

    def test_no_request_fails(self) -> None:
        host, port = cql_node()
        (first, to), (second, other) = [self.serving(name, host, port) for name in "ab"]
        for front in (first, second):
            front.wait_until_it_serves(300)
        keys = rotate(to, [second.port, first.port], CLIENTS, PAUSE, self.say)
        self.assertEqual(len(call(other, "keys.list", application="shop")), 1)
        for place in (to, other):
            # Each tells the rates of what it served itself, and says so; what a queue holds is the same for both.
            report = call(place, "queues.report", application="shop")
            self.assertEqual(report["scope"], "front-end")
            self.assertGreater(report["total"]["stored"], 0)
            busiest, *_ = report["queues"]
            self.assertGreater(busiest["messages"], 0)
            self.assertGreater(busiest["rates"]["stored"], 0)
        for front in (first, second):
            self.assertEqual(self.defects(front), [])
            front.stop()
        self.assertEqual(with_secret(self.folder, [*keys, *(digest_of(key).hex() for key in keys)]), [])
