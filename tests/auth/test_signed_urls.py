"""Signed URLs, and what their holders may try to change in them."""

from __future__ import annotations

import hmac
from hashlib import sha256

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.auth.buckets import Buckets
from queuey.auth.signed_urls import SignedURLs
from queuey.errors import BadIdentity, TooManyRequests, Unavailable
from queuey.interfaces import Signature
from queuey.model.applications.access import Operation, by_url
from queuey.model.applications.application import key_id
from queuey.model.applications.signing import Grant, sign
from tests.auth.web_support import NOW, wall

DIGEST, OTHER = sha256(b"a-key-of-some-length").digest(), sha256(b"another-key-of-shop").digest()
GRANT = Grant("shop", "orders", "read", str(int(NOW) + 60))


def signature(grant: Grant = GRANT, digest: bytes = DIGEST) -> Signature:
    return Signature(grant, key_id(digest), sign(digest, grant))


class SignedURLTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.keys: dict[str, Deferred[tuple[bytes, ...]]] = {}
        self.digests = {"shop": (OTHER, DIGEST), "blog": (sha256(b"the-key-of-blog").digest(),)}
        self.buckets = Buckets(self.clock.seconds, 2)
        self.used: list[bytes] = []
        self.urls = SignedURLs(
            lambda name: self.keys.get(name) or succeed(self.digests.get(name, ())),
            self.used.append,
            wall(self.clock),
            self.buckets,
        )

    def proven(self, one: Signature) -> frozenset[str]:
        return self.successResultOf(self.urls.check(one))

    def refused(self, one: Signature, why: str = "The signature of the URL is false.") -> None:
        error = self.failureResultOf(self.urls.check(one), BadIdentity).value
        self.assertEqual(error.text, why)
        if one.value:
            self.assertNotIn(one.value, error.text)

    def test_good(self) -> None:
        for digest in (DIGEST, OTHER):
            self.assertIn(by_url(Operation.READ_MESSAGES), self.proven(signature(digest=digest)))
        self.assertEqual(self.used, [DIGEST, OTHER])

    def test_changed(self) -> None:
        """Whatever of it is changed: nothing of it holds any more."""
        good = signature()
        for changes in ({"application": "blog"}, {"queue": "letters"}, {"queue": "Orders"}, {"words": "delete"},
                        {"words": "read,write"}, {"until": str(int(NOW) + 61)}, {"rate": "5"},
                        {"application": "sho", "queue": "porders"}):  # fmt: skip
            self.refused(attrs.evolve(good, grant=attrs.evolve(GRANT, **changes)))
        rated = signature(attrs.evolve(GRANT, rate="5"))
        self.refused(attrs.evolve(rated, grant=GRANT))
        self.refused(attrs.evolve(rated, grant=attrs.evolve(GRANT, rate="50")))

    def test_signatures(self) -> None:
        """The one way to write it, and no other."""
        good = signature()
        for value in ("", "0" * 64, good.value[:-1], good.value + "0", good.value.upper(), " " + good.value,
                      good.value + "\n", good.value[:-1] + "\uff41", "\u00e9" * 64, "*", good.value[:32]):  # fmt: skip
            self.refused(attrs.evolve(good, value=value))

    def test_keys(self) -> None:
        """Only a key of the application signs for it, and it is the one that is named."""
        good = signature()
        self.addCleanup(lambda: self.assertEqual(self.used, []))
        for key in ("", key_id(OTHER), DIGEST.hex(), key_id(DIGEST).upper(), key_id(DIGEST)[:-1], "*"):
            self.refused(attrs.evolve(good, key=key))
        (blog,) = self.digests["blog"]
        self.refused(signature(digest=blog))
        self.refused(signature(attrs.evolve(GRANT, application="nobody")))

    def test_signed_with_something_else(self) -> None:
        """With the digest itself, or with the key's text, as one might by mistake: only the key made for it signs."""
        for secret in (DIGEST, b"a-key-of-some-length", DIGEST.hex().encode()):
            self.refused(Signature(GRANT, key_id(DIGEST), hmac.new(secret, GRANT.text(), sha256).hexdigest()))

    def test_revoked(self) -> None:
        """With its key, at once."""
        self.proven(signature())
        self.digests["shop"] = (OTHER,)
        self.refused(signature())

    def test_expired(self) -> None:
        self.clock.advance(59.999)
        self.proven(signature())
        self.clock.advance(0.001)
        self.refused(signature(), "The signature of the URL has expired.")
        old = signature(attrs.evolve(GRANT, until="1"))
        self.refused(old, "The signature of the URL has expired.")
        # Only who has a signature that was right learns that it is over.
        self.refused(attrs.evolve(old, value="0" * 64))

    def test_malformed(self) -> None:
        """It is said what is wrong, though it was signed so."""
        for changes, why in (
            ({"words": "write,read"}, "is signed for something else than claim, delete, read, write, in this order"),
            ({"until": "soon"}, "is not signed until a whole number of seconds since 1970"),
            ({"until": "99999999999999"}, "is not signed until a whole number of seconds since 1970"),
            ({"rate": "0"}, "is not signed for a rate from 1 to 999999"),
        ):
            one = signature(attrs.evolve(GRANT, **changes))
            error = self.failureResultOf(self.urls.check(one), BadIdentity).value
            self.assertIn(why, error.text)

    def test_keys_that_cannot_be_had(self) -> None:
        """The caller is refused, but not with the error for a false signature."""
        self.keys["shop"] = fail(Unavailable("the store is away"))
        self.failureResultOf(self.urls.check(signature()), Unavailable)

    def test_rate(self) -> None:
        """So many in a second, and each URL by itself."""
        slow, other = (signature(attrs.evolve(GRANT, rate=rate)) for rate in ("2", "3"))
        for _ in range(2):
            self.proven(slow)
        error = self.failureResultOf(self.urls.check(slow), TooManyRequests).value
        self.assertEqual((error.limit, error.retry_after), ("signed_rate", 1))
        self.proven(other)
        self.proven(signature())
        self.clock.advance(0.5)
        self.proven(slow)
        self.failureResultOf(self.urls.check(slow), TooManyRequests)

    def test_false_ones_are_not_counted(self) -> None:
        """No caller uses up what another one may do."""
        rated = signature(attrs.evolve(GRANT, rate="1"))
        for _ in range(5):
            self.refused(attrs.evolve(rated, value="0" * 64))
        self.assertEqual(len(self.buckets), 0)
        self.proven(rated)

    def test_counts_are_bounded(self) -> None:
        for number in range(1, 6):
            self.proven(signature(attrs.evolve(GRANT, rate=str(number))))
        self.assertEqual(len(self.buckets), 2)

    def test_secret(self) -> None:
        """A signature is in no repr."""
        self.assertNotIn(signature().value, repr(signature()))
