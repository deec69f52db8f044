"""What queues hold, as ``counts=true`` of v2 tells."""

from __future__ import annotations

from typing import Any

from tests.http.api_support import OTHER, OWNER, V2TestCase

COUNTS = ("messages", "bytes", "oldest", "approximate")


class CountsTests(V2TestCase):
    """GET of a queue, and of the list of queues, with counts=true."""

    def setUp(self) -> None:
        super().setUp()
        for name, settings in (("q", {}), ("p", {"type": "public"}), ("r", {"principals": ["app:other"]})):
            self.expect(201, self.send("PUT", f"/queues/{name}", settings))

    def counts(self, name: str, fields: dict[str, str] = OWNER) -> dict[str, Any]:
        response = self.send("GET", f"/queues/{name}?counts=true", headers=fields)
        found: dict[str, Any] = self.expect(200, response)["counts"]
        self.assertIsNone(response.header("etag"))
        return found

    def add(self, body: bytes, query: str = "") -> dict[str, Any]:
        stored = self.expect(201, self.send("POST", f"/queues/q/messages{query}", body, OWNER, "text/plain"))
        (found,) = stored["messages"]
        return dict(found)

    def test_one_queue(self) -> None:
        """Messages, bytes and the time of the oldest; delayed ones count, and are not the oldest."""
        empty = dict(zip(COUNTS, (0, 0, None, False), strict=True))
        self.assertEqual(self.counts("q"), empty)
        self.add(b"later", "?delay=100")
        size = 5 + len("text/plain")
        self.assertEqual(self.counts("q"), {**empty, "messages": 1, "bytes": size})
        first = self.add(b"first")
        self.add(b"second")
        expected = (3, 16 + 3 * len("text/plain"), first["timestamp"], False)
        self.assertEqual(self.counts("q"), dict(zip(COUNTS, expected, strict=True)))

    def test_without_it(self) -> None:
        """Nothing is counted, and a tag is answered with 304, unless counts are asked for."""
        response = self.send("GET", "/queues/q")
        self.assertNotIn("counts", self.expect(200, response))
        self.assertNotIn("counts", self.expect(200, self.send("GET", "/queues/q?counts=false")))
        tag = {**OWNER, "If-None-Match": response.header("etag") or ""}
        self.assertEqual(self.send("GET", "/queues/q", headers=tag).status, 304)
        self.assertEqual(self.counts("q", tag)["messages"], 0)

    def test_malformed_conditions(self) -> None:
        """They are refused with counts as without."""
        for query in ("", "?counts=true"):
            response = self.send("GET", f"/queues/q{query}", headers={**OWNER, "If-None-Match": "x"})
            self.assertEqual(list(self.errors("invalid-parameters", response)), ["If-None-Match"], query)

    def test_a_list(self) -> None:
        """Each queue of a page has its counts, and the link to the next page asks for them too."""
        self.add(b"x")
        response = self.send("GET", "/queues?counts=true&limit=2")
        page = self.expect(200, response)
        self.assertEqual([(one["name"], one["counts"]["messages"]) for one in page["queues"]], [("p", 0), ("q", 1)])
        self.assertIn("?counts=true&after=q&limit=2>", response.header("link") or "")
        self.assertNotIn("counts", self.expect(200, self.send("GET", "/queues"))["queues"][0])

    def test_who_may(self) -> None:
        """The application, and those who may read the queue."""
        self.assertEqual(self.counts("p", {})["messages"], 0)
        self.assertEqual(self.counts("r")["messages"], 0)
        self.assertEqual(self.counts("r", OTHER)["messages"], 0)
        self.problem("forbidden", self.send("GET", "/queues/q?counts=true", headers=OTHER))

    def test_what_is_wrong(self) -> None:
        for query in ("counts=1", "counts=", "counts=true&counts=true", "count=true"):
            self.problem("invalid-parameters", self.send("GET", f"/queues/q?{query}"))
            self.problem("invalid-parameters", self.send("GET", f"/queues?{query}"))
