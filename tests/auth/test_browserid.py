"""Assertions of BrowserID, and what their verifier may say of them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from queuey.auth.browserid import AT_ONCE, MAX_ASSERTION, BrowserID
from queuey.auth.proofs import Proofs
from queuey.config import BrowserIDSettings
from queuey.errors import BadIdentity, IdentityUnavailable
from queuey.interfaces import Credential, IAuthenticator, NotHad
from tests.auth.web_support import NOW, FakeWeb, wall
from tests.contracts.authenticators import Contracts

VERIFIER = "https://verifier.example.org/v2"
AUDIENCE = "https://queuey.example.org"
ASSERTION = "eyJhbGciOiJSUzI1NiJ9.eyJ4.c2ln~eyJhbGciOiJSUzI1NiJ9.eyJ5.c2ln"
ANN = frozenset({"bid:ann@example.org"})


def okay(**more: Any) -> dict[str, Any]:
    """What a verifier says of an assertion that is right; ``None`` leaves a member out."""
    found = {
        "status": "okay",
        "email": "ann@example.org",
        "audience": AUDIENCE,
        "expires": (NOW + 120) * 1000,
        "issuer": "login.persona.org",
        **more,
    }
    return {name: value for name, value in found.items() if value is not None}


def browserid(web: FakeWeb, clock: Clock, **more: Any) -> BrowserID:
    values: dict[str, Any] = {
        "verifier": VERIFIER,
        "audience": AUDIENCE,
        "issuers": ("login.persona.org",),
        "timeout": 5.0,
        "remember": 300.0,
        **more,
    }
    return BrowserID(BrowserIDSettings(**values), web, wall(clock), Proofs(wall(clock)))


class ContractTests(Contracts.Authenticator):
    good = Credential("browserid", ASSERTION)
    principals = ANN
    false = Credential("browserid", "an assertion that is none")

    def make(self) -> IAuthenticator:
        web = FakeWeb()
        web.pages[VERIFIER] = okay()
        return browserid(web, Clock())


class BrowserIDTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.web = FakeWeb()
        self.web.pages[VERIFIER] = okay()
        self.users = browserid(self.web, self.clock)
        self.events: list[dict[str, Any]] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def ask(self, assertion: str = ASSERTION) -> Deferred[frozenset[str]]:
        return self.users.authenticate(Credential("browserid", assertion))

    def proven(self, assertion: str = ASSERTION) -> None:
        self.assertEqual(self.successResultOf(self.ask(assertion)), ANN)

    def refused(self, why: str, assertion: str = ASSERTION) -> None:
        error = self.failureResultOf(self.ask(assertion), BadIdentity).value
        self.assertEqual(error.text, f"The assertion {why}.")

    def unavailable(self) -> None:
        error = self.failureResultOf(self.ask(), IdentityUnavailable).value
        self.assertNotIn("example.org", error.text)

    def words(self) -> list[str]:
        return [event["event"] for event in self.events if event.get("log_namespace") == "queuey.auth"]


class GoodTests(BrowserIDTestCase):
    def test_what_is_asked(self) -> None:
        self.proven()
        self.assertEqual(self.web.asked, [VERIFIER])
        self.assertEqual(self.web.forms, [{"assertion": ASSERTION, "audience": AUDIENCE}])

    def test_hosts_vouch_for_their_own(self) -> None:
        """An issuer that is not named is believed addresses of its own, and no others."""
        self.web.pages[VERIFIER] = okay(issuer="example.org")
        self.proven()

    def test_remembered(self) -> None:
        """No longer than it lives."""
        for _ in range(3):
            self.proven()
        self.clock.advance(119)
        self.proven()
        self.assertEqual(len(self.web.asked), 1)
        self.clock.advance(1)
        self.refused("has expired")
        self.assertEqual(len(self.web.asked), 2)

    def test_remembered_as_long_as_the_settings_say(self) -> None:
        self.users = browserid(self.web, self.clock, remember=10.0)
        self.proven()
        self.clock.advance(10)
        self.proven()
        self.assertEqual(len(self.web.asked), 2)

    def test_asked_once_for_all_who_wait(self) -> None:
        """The same assertion that comes many times at once; a client that hangs up leaves the others waiting."""
        waiting: Deferred[dict[str, Any]] = Deferred()
        self.web.pages[VERIFIER] = waiting
        asked = [self.ask() for _ in range(5)]
        asked[0].cancel()
        self.failureResultOf(asked[0])
        waiting.callback(okay())
        for each in asked[1:]:
            self.assertEqual(self.successResultOf(each), ANN)
        self.assertEqual(len(self.web.asked), 1)


class HostileTests(BrowserIDTestCase):
    """What proves nothing."""

    def test_false(self) -> None:
        """What the verifier says is no word of ours, and is not repeated."""
        self.web.pages[VERIFIER] = {"status": "failure", "reason": "<b>assertion has expired</b>"}
        self.refused("is false, or has expired")
        self.web.pages[VERIFIER] = okay(status="failure")
        self.refused("is false, or has expired")

    def test_false_ones_are_not_remembered(self) -> None:
        self.web.pages[VERIFIER] = {"status": "failure"}
        self.refused("is false, or has expired")
        self.web.pages[VERIFIER] = okay()
        self.proven()

    def test_audience(self) -> None:
        """Whatever the verifier makes of it: an assertion for another site was given to that one, and is replayed."""
        for audience in ("https://evil.example", AUDIENCE + "/", AUDIENCE + ":443", "queuey.example.org", "",
                         AUDIENCE.upper()):  # fmt: skip
            self.web.pages[VERIFIER] = okay(audience=audience)
            self.refused("is meant for another audience")

    def test_expired(self) -> None:
        for expires in (NOW * 1000, (NOW - 1) * 1000, 0, -1, NOW):
            self.web.pages[VERIFIER] = okay(expires=expires)
            self.refused("has expired")

    def test_issuer(self) -> None:
        """Somebody who vouches for addresses of others."""
        for issuer in ("evil.example", "org", "example.org.evil.example", "xexample.org", "", "LOGIN.PERSONA.ORG"):
            self.web.pages[VERIFIER] = okay(issuer=issuer)
            self.refused("is of an issuer that is not trusted here with this address")
        self.web.pages[VERIFIER] = okay(email="ann@evil.example@example.org", issuer="example.org")
        self.refused("is of an address that cannot be a principal")

    def test_addresses(self) -> None:
        for email in ("ann", "", "a b@example.org", "a@b.org,app:queuey", "ann@example.org\n", "@example.org",
                      "\ud800@example.org", "ann\0@example.org", "x" * 100_000 + "@example.org"):  # fmt: skip
            self.web.pages[VERIFIER] = okay(email=email)
            self.refused("is of an address that cannot be a principal")

    def test_what_cannot_be_an_assertion(self) -> None:
        """The verifier is not asked about it."""
        for text in ("a b", "a&audience=evil", "a\n", "é", "\udcff", "a;b", "x" * (MAX_ASSERTION + 1), "a/b", "%41"):
            self.refused("is none", text)
        self.assertEqual(self.web.asked, [])


class OutageTests(BrowserIDTestCase):
    """A verifier that is away, or answers nonsense: the caller is refused, but not with the error for a false
    assertion."""

    def test_away(self) -> None:
        self.web.pages[VERIFIER] = NotHad("connection refused")
        self.unavailable()
        self.unavailable()
        self.assertEqual(self.words(), ["verifier-away"])
        self.web.pages[VERIFIER] = okay()
        self.proven()
        self.assertEqual(self.words(), ["verifier-away", "verifier-back"])

    def test_nonsense(self) -> None:
        for said in ({}, {"status": "ok"}, {"status": True}, okay(status=None), okay(status="OKAY"), okay(email=None),
                     okay(email=7), okay(email=["ann@example.org"]), okay(audience=None), okay(audience=[AUDIENCE]),
                     okay(issuer=None), okay(issuer=["login.persona.org"]), okay(expires=None), okay(expires="soon"),
                     okay(expires=True), okay(expires=10**400), okay(expires=float("inf")), okay(expires=[1]),
                     okay(expires=str(int((NOW + 120) * 1000)))):  # fmt: skip
            self.web.pages[VERIFIER] = said
            self.unavailable()

    def test_what_is_known_goes_on(self) -> None:
        self.proven()
        self.web.pages[VERIFIER] = NotHad("away")
        self.proven()
        self.failureResultOf(self.ask(ASSERTION + "x"), IdentityUnavailable)

    def test_only_so_many_wait(self) -> None:
        """Strangers with assertions of their own make do not make the verifier busy without an end."""
        self.web.pages[VERIFIER] = Deferred()
        waiting = [self.ask(f"a~{number}") for number in range(AT_ONCE)]
        self.failureResultOf(self.ask("a~more"), IdentityUnavailable)
        self.assertEqual(len(self.web.asked), AT_ONCE)
        for each in waiting:
            self.assertNoResult(each)

    def test_strangers_make_room(self) -> None:
        """However many there are, another application and another address are not shut out by them."""

        def ask(number: int, application: str, address: str) -> Deferred[frozenset[str]]:
            self.web.pages[VERIFIER] = Deferred()
            return self.users.authenticate(Credential("browserid", f"a~{number}", application, address))

        strangers = [ask(number, "shop", "192.0.2.1") for number in range(AT_ONCE)]
        team, known = ask(100, "letters", "198.51.100.1"), ask(101, "shop", "198.51.100.2")
        self.failureResultOf(ask(102, "shop", "192.0.2.1"), IdentityUnavailable)
        for each in strangers[-2:]:
            self.assertEqual(self.failureResultOf(each, IdentityUnavailable).value.retry_after, 1)
        for each in (*strangers[:-2], team, known):
            self.assertNoResult(each)
        self.assertEqual((len(self.web.asked), self.words()), (AT_ONCE + 2, []))

    def test_places_are_given_back(self) -> None:
        for number in range(2 * AT_ONCE):
            self.web.pages[VERIFIER] = waiting = Deferred[dict[str, Any]]()
            asked = self.ask(f"a~{number}")
            waiting.callback(okay())
            self.assertEqual(self.successResultOf(asked), ANN)
