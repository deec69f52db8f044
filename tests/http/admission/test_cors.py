"""Pages of other origins."""

from __future__ import annotations

from tests.http.api_support import OWNER, SETTINGS, ApiTestCase
from tests.http.responses import Response

HERE, THERE = "https://app.example.org", "http://localhost:8080"
PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}


class CorsTests(ApiTestCase):
    """Origins as configured, for one application each."""

    settings = SETTINGS + f"[application:app]\ncors_origins = {HERE} {THERE}\n"

    def allowed(self, response: Response) -> str | None:
        """The origin that an answer names, having checked what goes with it."""
        self.assertEqual(response.all("vary"), ["Origin"])
        origin = response.header("access-control-allow-origin")
        exposed = response.header("access-control-expose-headers")
        self.assertEqual(exposed is None, origin is None)
        if exposed is not None:
            self.assertTrue({"Retry-After", "X-Request-Id"} <= set(exposed.split(", ")))
        self.assertIsNone(response.header("access-control-allow-credentials"))
        return origin

    def test_every_answer(self) -> None:
        """Success, refusals by handlers, and by the HTTP server."""
        queue = self.make_queue()
        for origin in (HERE, THERE):
            from_there = {**OWNER, "Origin": origin}
            for status, response in (
                (200, self.ask("GET", queue, from_there)),
                (201, self.ask("POST", queue, from_there, b"x")),
                (400, self.ask("GET", f"{queue}?limit=x", from_there)),
                (401, self.ask("GET", queue, {"Origin": origin, "Authorization": "Application x"})),
                (403, self.ask("GET", queue, {"Origin": origin})),
                (404, self.ask("GET", "/v1/app/none", from_there)),
                (404, self.ask("GET", "/v1/app/q/x/y/z", from_there)),
                (405, self.ask("PATCH", queue, from_there)),
                (413, self.ask("POST", queue, {**from_there, "Content-Length": "99999999"})),
                (400, self.ask("POST", queue, {**from_there, "Content-Length": "x"})),
            ):
                self.assertEqual(response.status, status)
                self.assertEqual(self.allowed(response), origin, status)

    def test_others(self) -> None:
        """An origin that is not named, or none, gets no header; ``Vary`` is sent to caches all the same."""
        queue = self.make_queue()
        for origin in ("https://evil.example.org", "null", HERE.upper(), f"{HERE}:443", "http://app.example.org"):
            self.assertIsNone(self.allowed(self.ask("GET", queue, {**OWNER, "Origin": origin})))
        self.assertIsNone(self.allowed(self.ask("GET", queue)))

    def test_other_applications(self) -> None:
        """They have nothing of it."""
        for path in ("/v1/other", "/v1/nope", "/__heartbeat__", "/"):
            response = self.ask("GET", path, {"Origin": HERE})
            self.assertEqual((response.all("vary"), response.header("access-control-allow-origin")), ([], None))

    def test_preflight(self) -> None:
        """Answered before authentication, whether or not the queue exists."""
        for path, methods in (
            ("/v1/app", "GET, HEAD, OPTIONS, POST"),
            ("/v1/app/none", "DELETE, GET, HEAD, OPTIONS, POST, PUT"),
            ("/v1/app/none/x", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ):
            response = self.ask("OPTIONS", path, {**PREFLIGHT, "Origin": HERE})
            self.assertEqual((response.status, response.body), (204, b""))
            self.assertEqual(self.allowed(response), HERE)
            self.assertEqual(response.header("access-control-allow-methods"), methods)
            headers = response.header("access-control-allow-headers") or ""
            self.assertTrue({"Authorization", "Content-Type", "X-TTL", "X-Partition"} <= set(headers.split(", ")))
            self.assertIsNotNone(response.header("access-control-max-age"))

    def test_no_preflight(self) -> None:
        """Other OPTIONS requests get the methods of the path; other origins get no more than that."""
        for headers in ({}, {"Origin": HERE}, {**PREFLIGHT, "Origin": "https://evil.example.org"}):
            response = self.ask("OPTIONS", "/v1/app/q", headers)
            self.assertEqual(response.status, 204)
            self.assertEqual(response.header("allow"), "DELETE, GET, HEAD, OPTIONS, POST, PUT")
            self.assertIsNone(response.header("access-control-allow-methods"))
        self.assertEqual(list(self.refused(404, self.ask("OPTIONS", "/v1/nope"))), ["InvalidApplication"])


class AnyOriginTests(ApiTestCase):
    """``*``."""

    settings = SETTINGS + "[application:app]\ncors_origins = *\n"

    def test_any(self) -> None:
        """Every origin may call."""
        for origin in (HERE, "null"):
            response = self.ask("GET", "/v1/app", {**OWNER, "Origin": origin})
            self.assertEqual(response.header("access-control-allow-origin"), "*")
        response = self.ask("OPTIONS", "/v1/app", {**PREFLIGHT, "Origin": HERE})
        self.assertEqual(response.header("access-control-allow-origin"), "*")
