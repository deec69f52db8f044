"""The section [sqs]: signatures are ignored on loopback only, and for one application that allows it."""

from __future__ import annotations

from queuey.config import needs_restart
from tests.config.support import SettingsTestCase

APPLICATION = "[application_keys]\nshop = a-key-of-some-length\n[application:shop]\nsqs = true\n"
IGNORED = f"{APPLICATION}[sqs]\nsignatures = ignore\napplication = shop\n"


class SqsTests(SettingsTestCase):
    def test_checked_by_default(self) -> None:
        self.assertIsNone(self.load(APPLICATION).sqs.everyone)

    def test_ignored(self) -> None:
        """The owner is warned, and a running daemon does not take it over."""
        settings = self.load(IGNORED)
        self.assertEqual(settings.sqs.everyone, "shop")
        (warning,) = settings.warnings
        self.assertIn("[sqs] signatures: are not checked", warning)
        self.assertIn("signatures = ignore", settings.describe())
        self.assertEqual(needs_restart(self.load(APPLICATION), settings), ("[sqs] signatures", "[sqs] application"))

    def test_on_loopback_only(self) -> None:
        for http in ("tcp:5000", "tcp:5000:interface=10.0.0.1", "systemd:domain=INET:name=q", "unix:q.sock"):
            (problem,) = self.problems(f"[server]\nhttp =\n  tcp:1:interface=127.0.0.1\n  {http}\n{IGNORED}")
            self.assertIn("[sqs] signatures: cannot be ignored on", problem)
            (problem,) = self.problems(f"{IGNORED}listen =\n  tcp:9324:interface=127.0.0.1\n  {http}\n")
            self.assertIn("[sqs] signatures: cannot be ignored on", problem)
        for http in ("tcp6:5000:interface=\\:\\:1", "unix:q.sock:mode=600", "tcp:5000:interface=127.0.0.2"):
            self.load(f"[server]\nhttp = {http}\n{IGNORED}")
            self.load(f"{IGNORED}listen = {http.replace('5000', '9324')}\n")

    def test_its_own_port(self) -> None:
        settings = self.load("[sqs]\nlisten =\n  tcp:9324\n  unix:sqs.sock\n")
        self.assertEqual(settings.sqs.listen, ("tcp:9324", f"unix:{self.folder}/sqs.sock"))
        self.assertIn("    tcp:9324", settings.describe())
        self.assertEqual(needs_restart(self.load(""), settings), ("[sqs] listen",))
        self.assertEqual(self.load("").sqs.listen, ())

    def test_how_urls_begin(self) -> None:
        self.assertIsNone(self.load("").sqs.url)
        for text in ("https://a.example.org/sqs", "https://a.example.org/sqs/", "http://10.0.0.1:5000"):
            settings = self.load(f"[sqs]\nurl = {text}\n")
            self.assertEqual(settings.sqs.url, text.rstrip("/"))
            self.assertIn(f"url = {text.rstrip('/')}", settings.describe())
        for text in ("a.example.org", "ftp://a.example.org", "https://u@a.example.org", "https://a.example.org/?x=1"):
            (problem,) = self.problems(f"[sqs]\nurl = {text}\n")
            self.assertIn("[sqs] url: ", problem)

    def test_account(self) -> None:
        (plain,) = self.load(APPLICATION).applications
        self.assertIsNone(plain.policy.sqs_account)
        settings = self.load(f"{APPLICATION}sqs_account = 000000000000\n")
        self.assertEqual(settings.applications[0].policy.sqs_account, "0" * 12)
        self.assertIn("sqs_account = 000000000000", settings.describe())
        for text in ("1", "1" * 13, "12345678901x", "١" * 12, "-12345678901"):
            (problem,) = self.problems(f"{APPLICATION}sqs_account = {text}\n")
            self.assertIn("is not an account; allowed: 12 digits", problem)

    def test_mistakes(self) -> None:
        for text, expected in (
            ("[sqs]\nsignatures = no\n", "[sqs] signatures: 'no' is not known"),
            ("[sqs]\nsignatures = ignore\n", "[sqs] application: has to be an application of this file"),
            (IGNORED.replace("sqs = true", ""), "[sqs] application: has to be an application of this file"),
            (IGNORED.replace("application = shop", "application = other"), "[sqs] application: has to be"),
            ("[sqs]\napplication = shop\n", "[sqs] application: has no effect without signatures = ignore"),
            ("[sqs]\napplication = a/b\n", "[sqs] application: 'a/b' is not a name of an application"),
            ("[sqs]\nsignature = check\n", "[sqs] signature: is not known"),
            ("[sqs]\nlisten = http\n", "[sqs] listen: 'http' is not a kind of endpoint"),
            ("[server]\nhttp = tcp:9324\n[sqs]\nlisten = tcp:9324\n", "[sqs] listen: tcp:9324 stands in [server] http"),
        ):
            (problem,) = self.problems(text)
            self.assertIn(expected, problem)
