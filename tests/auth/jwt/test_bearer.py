"""Tokens of OpenID Connect issuers: those that are right, and every classic attack by its name."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.auth.jwt.bearer import BearerTokens
from queuey.errors import BadIdentity
from queuey.interfaces import Credential, IAuthenticator
from tests.auth.web_support import (
    AUDIENCE,
    NOW,
    SUBJECT,
    FakeWeb,
    bearer,
    ec_key,
    ed_key,
    issuer,
    jwk,
    rsa_key,
    token,
)
from tests.contracts.authenticators import Contracts


class BearerContractTests(Contracts.Authenticator):
    good = Credential("bearer", token())
    principals = frozenset({SUBJECT})
    false = Credential("bearer", token(rsa_key("b")))

    def make(self) -> IAuthenticator:
        web = FakeWeb()
        web.publish(jwk(rsa_key()))
        return bearer(web, Clock())


class TokenTestCase(SynchronousTestCase):
    """Asks who a token is of."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.web = FakeWeb()
        self.web.publish(jwk(rsa_key()), jwk(ec_key(), "k2"))
        self.tokens = bearer(self.web, self.clock)

    def proven(self, text: str, tokens: BearerTokens | None = None) -> frozenset[str]:
        return self.successResultOf((tokens or self.tokens).authenticate(Credential("bearer", text)))

    def refused(self, text: str, why: str, tokens: BearerTokens | None = None) -> None:
        """A token is refused, for the reason that it is made for, and the refusal shows nothing of it."""
        failure = self.failureResultOf((tokens or self.tokens).authenticate(Credential("bearer", text)), BadIdentity)
        self.assertEqual(failure.value.text, f"The token {why}.")
        parts = [part for part in text.split(".") if len(part) > 8]
        self.assertFalse([part for part in parts if part in failure.value.text])


class GoodTokens(TokenTestCase):
    """What is believed, and whose it is."""

    def test_subject(self) -> None:
        self.assertEqual(self.proven(token()), {SUBJECT})

    def test_every_algorithm(self) -> None:
        """Each that the settings name is believed; with the key that it is for."""
        curves = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
        for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"):
            key = ec_key("c", curves[name]) if name in curves else ed_key() if name == "EdDSA" else rsa_key()
            web = FakeWeb()
            web.publish(jwk(key))
            self.assertEqual(self.proven(token(key, name), bearer(web, self.clock, algorithms=(name,))), {SUBJECT})
            pinned = bearer(web, self.clock, algorithms=("RS256" if name != "RS256" else "ES256",))
            self.refused(token(key, name), "is signed by an algorithm that is not taken here", pinned)

    def test_address(self) -> None:
        """An address is the principal where the settings ask for it, and the issuer has verified it."""
        by_email = bearer(self.web, self.clock, principal="email")
        named = {"email": "ann@example.org"}
        self.assertEqual(self.proven(token(**named, email_verified=True), by_email), {"bid:ann@example.org"})
        for verified in (None, False, "true", 1, [True]):
            self.assertEqual(self.proven(token(**named, email_verified=verified), by_email), {SUBJECT}, verified)
        for email in ("ann", "a b@example.org", "", 7, "a@b.org,bid:c@d.org", "ann@example.org\n", "ann\0@example.org",
                      "x" * 5000 + "@example.org"):  # fmt: skip
            self.assertEqual(self.proven(token(email=email, email_verified=True), by_email), {SUBJECT}, email)
        self.assertEqual(self.proven(token(**named, email_verified=True)), {SUBJECT})

    def test_one_of_several_audiences(self) -> None:
        self.assertEqual(self.proven(token(aud=["other", AUDIENCE])), {SUBJECT})
        two = bearer(self.web, self.clock, audience=("web", "app"))
        self.assertEqual(self.proven(token(aud="app"), two), {SUBJECT})

    def test_types(self) -> None:
        """ID tokens and access tokens."""
        for kind in ("JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT"):
            self.assertEqual(self.proven(token(None, "RS256", {"typ": kind})), {SUBJECT}, kind)

    def test_leeway(self) -> None:
        """The issuer's clock may differ from ours by so much."""
        self.assertEqual(self.proven(token(exp=NOW - 29)), {SUBJECT})
        self.assertEqual(self.proven(token(nbf=NOW + 30, iat=NOW + 30)), {SUBJECT})
        self.refused(token(exp=NOW - 30), "has expired")
        self.refused(token(nbf=NOW + 31), "is not valid yet")
        self.refused(token(iat=NOW + 31), "was issued in the future")

    def test_without_a_name_of_a_key(self) -> None:
        """Where the issuer has one key only that it can be."""
        self.assertEqual(self.proven(token(None, "RS256", {"kid": None})), {SUBJECT})
        self.web.publish(jwk(rsa_key()), jwk(rsa_key("b"), "k3"))
        other = bearer(self.web, self.clock)
        self.refused(token(None, "RS256", {"kid": None}), "is signed with a key that its issuer does not have", other)

    def test_two_keys_of_one_name(self) -> None:
        """Whichever has signed."""
        self.web.publish(jwk(rsa_key("b")), jwk(rsa_key()))
        self.assertEqual(self.proven(token()), {SUBJECT})

    def test_several_issuers(self) -> None:
        """Each is believed what is its own, and nothing else."""
        other = "https://other.example.org"
        self.web.publish(jwk(rsa_key("b")), issuer=other, place="https://other.example.org/keys")
        two = BearerTokens((issuer(self.web, self.clock), issuer(self.web, self.clock, name="o", issuer=other)))
        self.assertEqual(self.proven(token(), two), {SUBJECT})
        self.assertEqual(self.proven(token(rsa_key("b"), iss=other), two), {f"sub:{other}#ann"})
        self.refused(token(rsa_key(), iss=other), "has a signature that is false", two)
        self.refused(token(rsa_key("b")), "has a signature that is false", two)

    def test_one_issuer_with_two_audiences(self) -> None:
        """Several sections may name one issuer; a token has to be right for one of them."""
        two = BearerTokens((issuer(self.web, self.clock, name="x", audience=("x",)), issuer(self.web, self.clock)))
        self.assertEqual(self.proven(token(), two), {SUBJECT})
        self.refused(token(aud="y"), "is meant for another audience", two)


class Remembered(TokenTestCase):
    """What was proven holds for a while, and no longer than the token."""

    def test_asked_once(self) -> None:
        for _ in range(3):
            self.proven(token())
        self.assertEqual(len(self.web.asked), 2)

    def test_no_longer_than_it_lives(self) -> None:
        text = token(exp=NOW + 10)
        self.proven(text)
        self.clock.advance(39)
        self.assertEqual(self.proven(text), {SUBJECT})
        self.clock.advance(1)
        self.refused(text, "has expired")

    def test_only_as_long_as_the_settings_say(self) -> None:
        """After that it is looked at again: here with keys that have changed meanwhile, and could not be asked for."""
        tokens = bearer(self.web, self.clock, remember=100.0, keys=60.0)
        text = token(exp=NOW + 10_000)
        self.proven(text, tokens)
        self.web.publish(jwk(rsa_key("b")))
        self.clock.advance(99)
        self.assertEqual(self.proven(text, tokens), {SUBJECT})
        self.clock.advance(1)
        self.refused(text, "has a signature that is false", tokens)

    def test_what_is_withdrawn_is_forgotten(self) -> None:
        """A key that the issuer has no more takes with it whatever was proven by it, once that is known."""
        text = token()
        self.proven(text)
        self.web.publish(jwk(rsa_key("b"), "k9"))
        self.clock.advance(10)
        self.assertEqual(self.proven(token(rsa_key("b"), "RS256", {"kid": "k9"})), {SUBJECT})
        self.refused(text, "is signed with a key that its issuer does not have")
