"""The keys of an issuer: fetched, cached, fetched again, and never more often than the limits allow."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from queuey.auth.jwt.keys import DISCOVERY, MAX_KEYS, PAUSE
from queuey.errors import BadIdentity, IdentityUnavailable
from queuey.interfaces import Credential, NotHad
from tests.auth.web_support import ISSUER, JWKS, NOW, SUBJECT, FakeWeb, bearer, ec_key, jwk, rsa_key, token

ABOUT = ISSUER + DISCOVERY


class KeysTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.web = FakeWeb()
        self.web.publish(jwk(rsa_key()))
        self.tokens = bearer(self.web, self.clock, remember=0.0)
        self.events: list[dict[str, Any]] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def ask(self, kid: str = "k1", key: Any = None) -> Deferred[frozenset[str]]:
        text = token(key or rsa_key(), "RS256", {"kid": kid}, exp=NOW + 10**6)
        return self.tokens.authenticate(Credential("bearer", text))

    def proven(self, kid: str = "k1", key: Any = None) -> None:
        self.assertEqual(self.successResultOf(self.ask(kid, key)), {SUBJECT})

    def unknown(self, kid: str, key: Any = None) -> None:
        self.failureResultOf(self.ask(kid, key), BadIdentity)

    def unavailable(self, kid: str = "k1") -> None:
        """The caller is refused, but not with the error for a false token."""
        error = self.failureResultOf(self.ask(kid), IdentityUnavailable).value
        self.assertTrue(0 < error.retry_after <= PAUSE, error.retry_after)
        self.assertNotIn("example.org", error.text)

    def words(self) -> list[str]:
        return [event["event"] for event in self.events if event.get("log_namespace") == "queuey.auth"]


class FetchTests(KeysTestCase):
    """Where keys come from."""

    def test_found_by_the_issuers_document(self) -> None:
        self.proven()
        self.assertEqual(self.web.asked, [ABOUT, JWKS])
        self.assertEqual(self.words(), ["issuer-keys"])

    def test_kept(self) -> None:
        for _ in range(5):
            self.proven()
        self.assertEqual(len(self.web.asked), 2)

    def test_asked_once_for_all_who_wait(self) -> None:
        """Many tokens may come before the first answer does."""
        waiting: Deferred[dict[str, Any]] = Deferred()
        keys = self.web.pages[JWKS]
        self.web.pages[JWKS] = waiting
        asked = [self.ask() for _ in range(10)]
        asked[3].cancel()
        self.failureResultOf(asked[3])
        assert isinstance(keys, dict)
        waiting.callback(keys)
        for each in asked[:3] + asked[4:]:
            self.assertEqual(self.successResultOf(each), {SUBJECT})
        self.assertEqual(self.web.asked, [ABOUT, JWKS])

    def test_what_is_no_answer_of_an_issuer(self) -> None:
        """Nothing that an issuer may say by mistake, or somebody in its place, lets anybody in."""
        good = {"issuer": ISSUER, "jwks_uri": JWKS}
        for about in ({}, {**good, "issuer": ISSUER + "/"}, {**good, "issuer": "https://evil.example"},
                      {**good, "issuer": None}, {"issuer": ISSUER}, {**good, "jwks_uri": "http://keys.example.org/all"},
                      {**good, "jwks_uri": "http://127.0.0.1/all"}, {**good, "jwks_uri": "file:///etc/passwd"},
                      {**good, "jwks_uri": ["https://keys.example.org/all"]}, {**good, "jwks_uri": "/all"},
                      {**good, "jwks_uri": "https://u:p@keys.example.org/all"}):  # fmt: skip
            self.setUp()
            self.web.pages[ABOUT] = about
            self.unavailable()
            self.assertEqual(self.web.asked, [ABOUT], about)
            self.assertEqual(self.words(), ["issuer-away"])

    def test_what_is_no_list_of_keys(self) -> None:
        lists: tuple[Any, ...] = (None, [], {}, "x", [1, None, "x", [], {}], [{"kty": "RSA"}], [{"kty": "oct"}])
        for found in lists:
            self.setUp()
            self.web.pages[JWKS] = {"keys": found}
            self.unavailable()

    def test_only_so_many_are_looked_at(self) -> None:
        self.web.publish(*[jwk(ec_key(), f"e{n}") for n in range(MAX_KEYS)], jwk(rsa_key()))
        self.unknown("k1")

    def test_an_issuer_on_this_machine(self) -> None:
        """May do without TLS, and so may its keys."""
        local = "http://127.0.0.1:8000"
        self.web.publish(jwk(rsa_key()), issuer=local, place=local + "/keys")
        self.tokens = bearer(self.web, self.clock, issuer=local)
        found = self.tokens.authenticate(Credential("bearer", token(iss=local)))
        self.assertEqual(self.successResultOf(found), {f"sub:{local}#ann"})


class RotationTests(KeysTestCase):
    """Keys come and go."""

    def test_new_key(self) -> None:
        """A token that is signed with an unknown key makes the keys be fetched."""
        self.proven()
        self.web.publish(jwk(rsa_key()), jwk(rsa_key("b"), "k2"))
        self.clock.advance(PAUSE)
        self.proven("k2", rsa_key("b"))
        self.proven()
        self.assertEqual(len(self.web.asked), 4)

    def test_unknown_keys_do_not_make_a_storm(self) -> None:
        """However many tokens come that name keys which there are not, the issuer is asked once in a while."""
        self.proven()
        answers: set[type[Exception] | None] = set()
        for second in range(60):
            for number in range(20):
                failure = self.failureResultOf(self.ask(f"s{second}-{number}"), BadIdentity, IdentityUnavailable)
                answers.add(failure.type)
            self.proven()
            self.clock.advance(1)
        self.assertLessEqual(len(self.web.asked), 2 * (1 + 60 / PAUSE))
        self.assertGreaterEqual(len(self.web.asked), 2 * (60 / PAUSE - 1))
        self.assertEqual(answers, {BadIdentity, IdentityUnavailable})

    def test_new_key_in_a_storm(self) -> None:
        """While the issuer may not be asked, an unknown key is not called false; a retry then is accepted."""
        self.proven()
        self.clock.advance(PAUSE)
        self.unknown("stranger")
        self.web.publish(jwk(rsa_key()), jwk(rsa_key("b"), "k2"))
        self.clock.advance(PAUSE - 2.5)
        error = self.failureResultOf(self.ask("k2", rsa_key("b")), IdentityUnavailable).value
        self.assertEqual(error.retry_after, 3)
        self.clock.advance(error.retry_after)
        self.proven("k2", rsa_key("b"))
        self.assertEqual(len(self.web.asked), 6)

    def test_new_key_while_the_issuer_is_asked(self) -> None:
        """What it was asked before the token came may be older than the key."""
        self.proven()
        self.clock.advance(PAUSE)
        waiting: Deferred[dict[str, Any]] = Deferred()
        old = self.web.pages[JWKS]
        self.web.pages[JWKS] = waiting
        first = self.ask("stranger")
        self.clock.advance(1)
        later = self.ask("k2", rsa_key("b"))
        assert isinstance(old, dict)
        waiting.callback(old)
        self.failureResultOf(first, BadIdentity)
        self.assertEqual(self.failureResultOf(later, IdentityUnavailable).value.retry_after, PAUSE)

    def test_revoked(self) -> None:
        """A key that the issuer has withdrawn is not believed once the keys are fetched again."""
        self.proven()
        self.web.publish(jwk(rsa_key("b"), "k2"))
        self.clock.advance(1799)
        self.proven()
        self.clock.advance(1)
        self.unknown("k1")

    def test_refreshed_beside(self) -> None:
        """No request waits for keys that are fetched before they are too old."""
        self.proven()
        waiting: Deferred[dict[str, Any]] = Deferred()
        self.web.pages[ABOUT] = waiting
        self.clock.advance(1800)
        self.proven()
        self.proven()
        self.assertEqual(self.web.asked, [ABOUT, JWKS, ABOUT])
        waiting.errback(NotHad("away"))
        self.proven()
        self.assertEqual(self.words(), ["issuer-keys", "issuer-away"])


class OutageTests(KeysTestCase):
    """An issuer that does not answer."""

    def test_from_the_beginning(self) -> None:
        self.web.pages[ABOUT] = NotHad("connection refused")
        self.unavailable()
        self.unavailable()
        self.assertEqual(self.web.asked, [ABOUT])
        self.clock.advance(PAUSE)
        self.unavailable()
        self.assertEqual(self.web.asked, [ABOUT, ABOUT])
        self.assertEqual(self.words(), ["issuer-away"])
        self.web.publish(jwk(rsa_key()))
        self.clock.advance(PAUSE)
        self.proven()
        self.assertEqual(self.words(), ["issuer-away", "issuer-keys", "issuer-back"])

    def test_not_missed_for_a_while(self) -> None:
        """The cached keys serve until they are too old, and then every token is refused."""
        self.proven()
        self.web.pages[ABOUT] = NotHad("away")
        for _ in range(35):
            self.clock.advance(100)
            self.proven()
        self.clock.advance(99)
        self.proven()
        self.clock.advance(1)
        self.unavailable()

    def test_unknown_key_meanwhile(self) -> None:
        """Whether the issuer has it cannot be known."""
        self.proven()
        self.web.pages[JWKS] = NotHad("away")
        self.clock.advance(PAUSE)
        self.unavailable("k7")
        self.proven()

    def test_a_defect_in_what_asks(self) -> None:
        """Such a token is recognised by its kind, and refused."""
        self.web.pages[ABOUT] = RuntimeError("with a secret in it")
        self.unavailable()
        (event,) = [event for event in self.events if event.get("event") == "issuer-away"]
        self.assertEqual(event["reason"], "RuntimeError")
