"""Who gets into the dashboard, and who does not."""

from __future__ import annotations

import re

from queuey.ops.dashboard.access import SECURITY
from queuey.ops.dashboard.files import load_files
from tests.http.responses import Response
from tests.ops.dashboard.support import DashboardCase


class AccessTests(DashboardCase):
    def page(self, path: str, method: str = "GET") -> Response:
        """Ask for a file as the address bar of a browser does."""
        return self.door.start(method, path, {"Host": "localhost:5002"}).response(method, only_json=False)

    def test_a_token(self) -> None:
        answer = self.expect(200, self.ask_door("watcher"))
        self.assertEqual(answer["result"], {"name": "watcher", "rights": ["watch"], "ends": None})

    def test_no_or_another_token(self) -> None:
        for who in (None, "", "another-token-of-some-length"):
            response = self.ask_door(who)
            self.assertEqual((response.status, response.header("www-authenticate")), (401, "Bearer"))
            self.assertEqual(response.header("connection"), "close")
        self.assertEqual(self.ask_door(Authorization="Basic YTpi").status, 401)
        self.assertEqual(self.ask_door("all", "GET", "/live", Origin=None, Authorization="x").status, 401)

    def test_other_names(self) -> None:
        """No path answers under a name that is not ours, whatever leads to it."""
        for host in ("evil.example", "evil.example:5002", "localhost.evil.example"):
            for method, path in (("GET", "/"), ("POST", "/rpc"), ("GET", "/live")):
                response = self.ask_door("all", method, path, Host=host, Origin=f"http://{host}")
                self.assertEqual(response.status, 403, (host, path))
        for host in ("127.0.0.1:5002", "[::1]:5002", "board.example"):
            self.assertEqual(self.ask_door(Host=host, Origin=f"https://{host}").status, 200, host)

    def test_pages_of_other_origins(self) -> None:
        for changed in (
            {"Sec_Fetch_Site": None},
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},
            {"Sec_Fetch_Site": "none"},
            {"Origin": None},
            {"Origin": "null"},
            {"Origin": "http://localhost:5003"},
            {"Origin": "http://localhost"},
            {"Origin": "http://evil.example"},
            {"Origin": "ftp://localhost:5002"},
        ):
            self.assertEqual(self.ask_door(**changed).status, 403, changed)
        for method in ("OPTIONS", "GET", "PUT"):
            response = self.ask_door("all", method, "/rpc")
            self.assertEqual(response.status, 405, method)
            self.assertFalse([name for name, _ in response.headers if name.startswith("access-control")])
        self.assertEqual(self.ask_door("all", "OPTIONS", "/rpc", Sec_Fetch_Site="cross-site").status, 403)
        self.assertEqual(self.ask_door("all", "GET", "/live", Origin="http://evil.example").status, 403)

    def test_forms(self) -> None:
        for kind in (None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            self.assertEqual(self.ask_door(Content_Type=kind).status, 415)

    def test_many_false_tokens(self) -> None:
        """After twenty in a minute an address has to wait, with a true token that is short too."""
        statuses = [self.ask_door(f"a-false-token-{number}").status for number in range(21)]
        self.assertEqual(statuses, [401] * 20 + [429])
        refused = self.ask_door("all")
        self.assertEqual((refused.status, refused.header("retry-after")), (429, "3"))
        self.clock.advance(3)
        self.assertEqual(self.ask_door("all").status, 200)
        self.assertEqual(self.ask_door("false-again-and-again").status, 401)
        self.assertEqual(self.ask_door("all").status, 429)

    def test_true_token_among_false_ones(self) -> None:
        """A true token that cannot be guessed is let in whatever others send from the same address, and the others
        still have to wait."""
        false = [self.ask_door(f"a-false-token-as-long-as-a-true-one-{number}").status for number in range(30)]
        self.assertEqual(false, [401] * 20 + [429] * 10)
        made = self.assembly.dashboard.tokens.make("ann", frozenset())
        for _ in range(3):
            self.assertEqual(self.ask_door(made).status, 200)
            self.assertEqual(self.ask_door("a-false-token-as-long-as-a-true-one").status, 429)
        self.assertEqual(self.ask_door(None).status, 429)

    def test_the_page(self) -> None:
        """It needs no token, and asks for files that are there."""
        response = self.page("/")
        text = response.body.decode()
        self.assertEqual((response.status, response.header("content-type")), (200, "text/html; charset=utf-8"))
        self.assertEqual(response.header("cache-control"), "no-cache")
        named = re.findall(r'"(/assets/[0-9a-f]{16}/[^"]+)"', text)
        self.assertEqual(len(named), len(load_files()) - 1)
        for path in named:
            found = self.page(path)
            self.assertEqual(
                (found.status, found.header("cache-control")), (200, "public, max-age=31536000, immutable")
            )
            head = self.page(path, "HEAD")
            self.assertEqual(head.header("content-length"), str(len(found.body)))
        self.assertNotIn("<script>", text)
        self.assertNotIn("style=", text)
        for path in (
            "/assets/../index.html",
            "/index.html",
            "/assets/0000000000000000/main.js",
            "/%2e%2e/rpc",
            "/metrics",
        ):
            self.assertEqual(self.page(path).status, 404, path)
        self.assertEqual(self.door.request("POST", "/", {"Host": "localhost:5002"}, b"").status, 405)

    def test_header_fields(self) -> None:
        """Every answer has them, refusals too."""
        answers = [
            self.ask_door(),
            self.ask_door("another-token-of-some-length"),
            self.ask_door(Host="evil.example"),
            self.page("/"),
            self.page("/nothing"),
            self.door.request("POST", "/rpc", self.fields(Content_Length=str(2 << 20))),
        ]
        self.assertEqual([answer.status for answer in answers], [200, 401, 403, 200, 404, 413])
        for answer in answers:
            for name, value in SECURITY:
                self.assertEqual(answer.header(name.decode()), value.decode(), answer)
            self.assertIsNone(answer.header("set-cookie"))
        policy = answers[0].header("content-security-policy") or ""
        self.assertNotIn("unsafe", policy)
        self.assertIn("require-trusted-types-for 'script'", policy)
        malformed = self.door.start("GET", "bad path").response("GET")
        self.assertEqual((malformed.status, malformed.header("x-content-type-options")), (400, "nosniff"))
