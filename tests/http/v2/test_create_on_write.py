"""Queues that are made by the first write."""

from __future__ import annotations

from tests.http.api_support import OTHER, OWNER
from tests.http.v2.frame_support import FrameTestCase


class CreateOnWriteTests(FrameTestCase):
    """``create_queues = on-write``."""

    def setUp(self) -> None:
        super().setUp()
        self.use("[application:app]\ncreate_queues = on-write\nconsistency = weak\nmax_queues = 2\n")

    def test_makes_it(self) -> None:
        """A message to a queue that is not there makes it, with the defaults, once."""
        for body in ("one", "two"):
            self.expect(201, self.post("/v1/app/new", body))
        self.assertEqual(self.bodies("/v1/app/new"), ["one", "two"])
        queue = self.expect(200, self.send("GET", "/queues/new"))
        self.assertEqual((queue["consistency"], queue["partitions"], queue["type"]), ("weak", 1, "user"))

    def test_only_good_messages(self) -> None:
        """A message that is refused makes nothing."""
        self.refused(400, self.post("/v1/app/new", ""))
        self.refused(400, self.post("/v1/app/new", "x", partition="2"))
        self.expect(201, self.post_json("/v1/app/new", {"messages": []}))
        self.problem("no-such-queue", self.send("GET", "/queues/new"))

    def test_nothing_else_does(self) -> None:
        """Neither other methods, nor other callers, nor names that no queue may have."""
        for method in ("GET", "PUT", "DELETE"):
            self.refused(404, self.ask(method, "/v1/app/new"))
        self.refused(404, self.ask("PUT", "/v1/app/new/5a92f3b0cd6e11f0a1b200163e0c7f01", OWNER, b"x"))
        for caller in (OTHER, {}):
            self.refused(404, self.post("/v1/app/new", "x", caller))
        for name in ("a%2Fb", "a,b", "%00", "..", "x" * 81):
            self.refused(404, self.post(f"/v1/app/{name}", "x"))
        self.assertEqual(len(self.expect(200, self.send("GET", "/queues"))["queues"]), 1)

    def test_limit(self) -> None:
        """It counts as any other."""
        self.expect(201, self.post("/v1/app/new", "x"))
        self.assertEqual(list(self.refused(507, self.post("/v1/app/newer", "x"))), ["storage-full"])

    def test_explicit(self) -> None:
        """The default: nothing is made."""
        self.use("")
        self.refused(404, self.post("/v1/app/new", "x"))
