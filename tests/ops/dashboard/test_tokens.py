"""Tokens of the settings and of the daemon's own, and attempts with false ones."""

from __future__ import annotations

from hashlib import sha256
from itertools import count

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.config.declarations.dashboard import DashboardSettings
from queuey.model.applications.rights import ALL_RIGHTS, DashboardToken, Right
from queuey.ops.dashboard.attempts import _MAX_ADDRESSES, Attempts
from queuey.ops.dashboard.tokens import HOUR, MAX_MADE, Tokens
from queuey.service.parts.dashboard import page_urls
from tests.http.api_support import SETTINGS
from tests.ops.dashboard.support import DashboardCase, digest

ANN = DashboardToken("ann", frozenset({Right.WATCH}), sha256(b"ann's token").digest())


class TokensTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.given: tuple[DashboardToken, ...] = (ANN,)
        numbers = count()
        self.tokens = Tokens(lambda: self.given, self.clock.seconds, lambda: f"key-{next(numbers)}")

    def test_of_the_settings(self) -> None:
        """It is valid as long as the settings have it, with the same rights."""
        self.assertEqual(self.tokens.find(b"ann's token"), ANN)
        self.assertIsNone(self.tokens.find(b"ann's other token"))
        self.assertIsNone(self.tokens.ends(ANN))
        self.assertTrue(self.tokens.is_valid(ANN))
        self.given = (DashboardToken("ann", ALL_RIGHTS, ANN.digest),)
        self.assertFalse(self.tokens.is_valid(ANN))
        self.given = ()
        self.assertIsNone(self.tokens.find(b"ann's token"))

    def test_for_an_hour(self) -> None:
        text = self.tokens.make("bob", frozenset({Right.PEEK}))
        token = self.tokens.find(text.encode())
        assert token is not None
        self.assertEqual((token.name, token.rights), ("bob", {Right.WATCH, Right.PEEK}))
        self.assertEqual(self.tokens.ends(token), HOUR)
        self.clock.advance(HOUR - 1)
        self.assertTrue(self.tokens.is_valid(token))
        self.clock.advance(1)
        self.assertFalse(self.tokens.is_valid(token))
        self.assertIsNone(self.tokens.find(text.encode()))
        self.assertNotIn("key-", repr(vars(self.tokens)))

    def test_they_are_bounded(self) -> None:
        """The one that ends first makes room; those that have ended are forgotten."""
        first = self.tokens.make("first", ALL_RIGHTS)
        self.clock.advance(1)
        for _ in range(MAX_MADE):
            last = self.tokens.make("next", ALL_RIGHTS)
        self.assertIsNone(self.tokens.find(first.encode()))
        self.assertIsNotNone(self.tokens.find(last.encode()))
        self.clock.advance(HOUR)
        self.tokens.make("later", ALL_RIGHTS)
        self.assertEqual(len(self.tokens._made), 1)


class AttemptsTests(SynchronousTestCase):
    def test_by_address(self) -> None:
        clock = Clock()
        attempts = Attempts(clock.seconds)
        for _ in range(20):
            attempts.failed("192.0.2.1")
            attempts.failed("2001:db8::1")
        self.assertEqual(attempts.wait("192.0.2.1"), 3)
        self.assertEqual(attempts.wait("2001:db8::2"), 3)
        for other in ("192.0.2.2", "2001:db8:0:1::1", "unix"):
            self.assertEqual(attempts.wait(other), 0)
        for number in range(_MAX_ADDRESSES):
            attempts.failed(f"host-{number}")
        self.assertEqual(len(attempts._buckets), _MAX_ADDRESSES)
        self.assertEqual(attempts.wait("192.0.2.1"), 0)


class AddressesTests(SynchronousTestCase):
    def test_urls(self) -> None:
        for endpoint, address, hosts, url in (
            ("tcp:5002:interface=127.0.0.1", "127.0.0.1:5002", (), "http://127.0.0.1:5002/"),
            ("tcp6:5002:interface=\\:\\:1", "[::1]:5002", (), "http://[::1]:5002/"),
            ("tcp:5002", "0.0.0.0:5002", (), "http://127.0.0.1:5002/"),
            ("ssl:443:privateKey=k", "0.0.0.0:443", ("board.example",), "https://board.example:443/"),
            ("unix:/run/q.sock", "unix socket /run/q.sock", ("board.example",), "https://board.example/"),
        ):
            settings = DashboardSettings((endpoint,), (), hosts)
            self.assertEqual(page_urls(settings, [address]), [url])
        self.assertEqual(page_urls(DashboardSettings(("unix:/q",)), ["unix socket /q"]), [])
        self.assertEqual(page_urls(DashboardSettings(), []), [])


class MakingTests(DashboardCase):
    def test_no_dashboard(self) -> None:
        error = self.fault("dashboard.token")
        self.assertIn("dashboard names no endpoint", error["message"])

    def test_rights(self) -> None:
        for rights in ([], ["all"], [1], ["watch", "x"]):
            self.assertEqual(self.fault("dashboard.token", rights=rights)["data"]["code"], "invalid-parameters")

    def test_whoami_of_an_operator(self) -> None:
        found = self.call("dashboard.whoami")
        self.assertEqual((found["rights"], found["ends"]), (["watch", "peek", "operate"], None))

    def test_settings_read_again(self) -> None:
        """A token that is out of the settings is refused from then on."""
        self.assertEqual(self.ask_door("watcher").status, 200)
        other = self.make_assembly(f"[server]\ndashboard_tokens = bob watch {digest('bob')}\n{SETTINGS}")
        self.assembly.use(other.in_force.settings)
        self.assertEqual(self.ask_door("watcher").status, 401)
        self.assertEqual(self.ask_door("bob").status, 200)
