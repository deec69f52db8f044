"""Pushes of two front ends of one deployment: one sends, and requests come to either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.http.push_support import URL, PushTestCase
from tests.http.v1.test_stores import OnCassandra
from tests.http.wire_support import Client

A_BEAT = 10.0
"""Seconds after which a process that is alone has begun to send."""


class PushFrontEndsTests(OnCassandra, PushTestCase):
    """The first front end sends all pushes; the second one serves requests, and its engine is not started."""

    def setUp(self) -> None:
        super().setUp()
        self.assemblies = (self.assembly, self.make_assembly(self.settings))
        self.pass_time(A_BEAT)

    @contextmanager
    def other(self) -> Iterator[None]:
        """Ask the other front end."""
        self.use_house(1)
        try:
            yield
        finally:
            self.use_house(0)

    def use_house(self, number: int) -> None:
        self.assembly = self.assemblies[number]
        self.client = Client(self.assembly.site)

    def look(self, name: str) -> None:
        """Let the first front end look at the registry at once, because it has a push of its own to begin with."""
        self.expect(201, self.send("PUT", self.push("", name), {"url": URL}))
        self.pass_time(0.2)

    def test_made_of_a_group(self) -> None:
        """A push of a group that the sender remembers without a push is sent, and stays listed."""
        with self.other():
            self.made("p")
        self.get("p")
        with self.other():
            self.expect(200, self.send("PUT", self.push(), {"url": URL}))
        self.look("x")  # p is not there, as far as this front end remembers
        self.look("y")  # so p is looked for once more before it is dropped
        self.pass_time(5)
        self.appended("a")
        self.pass_time(5)
        self.assertEqual(self.sender.bodies, ["a"] * 3)

    def test_resumed(self) -> None:
        """A push that goes on elsewhere is sent, also if the sender has just shown it paused."""
        self.pushed()
        with self.other():
            self.act("pause")
        self.pass_time(3)
        self.assertEqual(self.shown()["state"], "paused")
        with self.other():
            self.act("resume")
        self.look("x")
        with self.other():
            self.appended("a")
        self.pass_time(20)
        self.assertEqual(self.sender.bodies, ["a", "a"])
