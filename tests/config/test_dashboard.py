"""The settings of the dashboard."""

from __future__ import annotations

from queuey.config import DashboardSettings, development
from queuey.config.overrides import Overrides
from queuey.model.applications.rights import ALL_RIGHTS, Right
from tests.config.support import APPLICATION, SettingsTestCase

DIGEST = "sha256:" + "0a" * 32
OTHER = "sha256:" + "0b" * 32


class DashboardSettingsTests(SettingsTestCase):
    def server(self, lines: str) -> str:
        return f"[server]\n{lines}\n{APPLICATION}"

    def test_off_unless_named(self) -> None:
        settings = self.load(APPLICATION).server.dashboard
        self.assertEqual(settings, DashboardSettings())
        self.assertEqual((settings.listen, settings.tokens, settings.peek), ((), (), True))
        self.assertEqual(development(self.folder).server.dashboard.listen, ())

    def test_all(self) -> None:
        text = (
            f"dashboard = unix:d.sock\ndashboard_tokens =\n    ann watch,operate,peek {DIGEST}\n    b operate {OTHER}"
        )
        settings = self.load(self.server(f"{text}\ndashboard_hosts = Board.example\ndashboard_peek = no"))
        found = settings.server.dashboard
        self.assertEqual(found.listen, (f"unix:{self.folder}/d.sock:mode=600",))
        self.assertEqual((found.tokens[0].name, found.tokens[0].rights), ("ann", ALL_RIGHTS))
        self.assertEqual(found.tokens[1].rights, {Right.WATCH, Right.OPERATE})
        self.assertEqual(found.tokens[0].digest, bytes.fromhex("0a" * 32))
        self.assertEqual((found.hosts, found.peek), (("board.example",), False))
        self.assertNotIn("0a0a", repr(settings))
        shown = "\n".join(settings.describe())
        self.assertIn(f"dashboard_tokens = \n    ann watch,peek,operate {DIGEST}\n    b watch,operate {OTHER}", shown)

    def test_on_the_command_line(self) -> None:
        given = Overrides(self.folder, dashboard="tcp:5002:interface=127.0.0.1")
        self.assertEqual(development(self.folder, given).server.dashboard.listen, ("tcp:5002:interface=127.0.0.1",))

    def test_mistakes(self) -> None:
        for line, what in (
            ("ann watch", "a line has 2 words"),
            (f"ann watch {DIGEST} more", "a line has 4 words"),
            (f"a/n watch {DIGEST}", "a name of a token is not 1 to 40"),
            ("ann watch a-plain-token-of-some-length", "does not stand there as its digest"),
            ("ann watch sha256:12", "the digest is not 64 hex digits"),
            (f"ann all {DIGEST}", "is not a right"),
            (f"ann watch,opperate {DIGEST}", "did you mean operate?"),
            (f"ann watch, {DIGEST}", "is not a right"),
            (f"\n    ann watch {DIGEST}\n    ann peek {OTHER}", "stands twice"),
            (f"\n    ann watch {DIGEST}\n    bob peek {DIGEST}", "the same digest stands twice"),
        ):
            (problem,) = self.problems(self.server(f"dashboard_tokens = {line}"))
            self.assertIn("[server] dashboard_tokens", problem)
            self.assertIn(what, problem)
            self.assertNotIn("plain-token", problem)
        (problem,) = self.problems(self.server("dashboard = 5002"))
        self.assertIn("did you mean tcp:5002:interface=127.0.0.1?", problem)
