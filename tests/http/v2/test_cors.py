"""Pages of other origins: preflights, and the header fields that they may read."""

from __future__ import annotations

from tests.http.api_support import OWNER
from tests.http.v2.frame_support import HERE, PREFLIGHT, QUEUE_METHODS, FrameTestCase


class CorsTests(FrameTestCase):
    """Pages of other origins."""

    def setUp(self) -> None:
        super().setUp()
        self.use(f"[application:app]\ncors_origins = {HERE}\n")

    def test_every_answer(self) -> None:
        """Errors and early refusals too."""
        there = {**OWNER, "Origin": HERE}
        exposed = {"ETag", "Link", "Location", "Retry-After", "Content-Range", "RateLimit", "RateLimit-Policy",
                   "Idempotency-Replayed", "Date", "X-Request-Id", "Queuey-Id", "Queuey-Partition", "Queuey-Timestamp",
                   "Queuey-Expires", "Queuey-Headers"}  # fmt: skip
        for status, response in (
            (200, self.send("GET", "", None, there)),
            (201, self.send("PUT", "/queues/new", {}, there)),
            (400, self.send("GET", "/queues?limit=x", None, there)),
            (401, self.send("GET", "", None, {"Origin": HERE})),
            (404, self.send("GET", "/nope", None, there)),
            (405, self.send("POST", "/queues", b"", there)),
            (413, self.send("PUT", "/queues/new", None, {**there, "Content-Length": "99999999"})),
            (400, self.send("PUT", "/queues/new", None, {**there, "Content-Length": "x"})),
        ):
            self.assertEqual(response.status, status)
            self.assertEqual(response.all("vary"), ["Origin, Accept"])
            self.assertEqual(response.header("access-control-allow-origin"), HERE)
            self.assertLessEqual(exposed, set((response.header("access-control-expose-headers") or "").split(", ")))
            self.assertIsNone(response.header("access-control-allow-credentials"))

    def test_others(self) -> None:
        """They get no headers, and caches get ``Vary`` all the same."""
        response = self.send("GET", "", None, {**OWNER, "Origin": "https://evil.example.org"})
        self.assertEqual(response.all("vary"), ["Origin, Accept"])
        self.assertIsNone(response.header("access-control-allow-origin"))

    def test_preflight(self) -> None:
        """Before authentication, whether or not the queue is there; fields by name."""
        asked = {"Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "If-Range", "Range",
                 "traceparent", "tracestate", "Queuey-Headers"}  # fmt: skip
        for path, methods in (("", "GET, HEAD, OPTIONS"), ("/queues/nope", QUEUE_METHODS)):
            response = self.send("OPTIONS", path, None, PREFLIGHT)
            self.assertEqual((response.status, response.body), (204, b""))
            self.assertEqual(response.header("access-control-allow-origin"), HERE)
            self.assertEqual(response.header("access-control-allow-methods"), methods)
            self.assertLessEqual(asked, set((response.header("access-control-allow-headers") or "").split(", ")))
            self.assertEqual(response.all("vary"), ["Origin, Accept"])

    def test_no_preflight(self) -> None:
        """The answer has the methods of the path; what is not there is not there."""
        response = self.send("OPTIONS", "/queues/q", None, {})
        self.assertEqual((response.status, response.header("allow")), (204, QUEUE_METHODS))
        self.problem("no-such-application", self.ask("OPTIONS", "/v2/nope", PREFLIGHT))
        self.problem("nothing-here", self.ask("OPTIONS", "/v2/app/queues/q/", PREFLIGHT))
