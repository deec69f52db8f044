"""Application keys."""

from __future__ import annotations

from hashlib import sha256

from twisted.internet.defer import fail, succeed

from queuey.auth.application_key import ApplicationKeys
from queuey.errors import BadCredentials, Unavailable
from queuey.interfaces import Credential, IAuthenticator
from tests.contracts.authenticators import Contracts


def digest(key: str) -> bytes:
    return sha256(key.encode()).digest()


class ApplicationKeyTests(Contracts.Authenticator):
    """The contract, and what is particular to keys."""

    good = Credential("application", "a-good-key")
    principals = frozenset({"app:a"})
    false = Credential("application", "a-false-key")

    def make(self) -> IAuthenticator:
        self.in_force = {digest("a-good-key"): "a", digest("another-key"): "a", digest("ключ"): "b"}
        return ApplicationKeys(lambda found: succeed(self.in_force.get(found)))

    def test_several_keys(self) -> None:
        """Each proves its application."""
        for key, application in (("another-key", "app:a"), ("ключ", "app:b")):
            proven = self.successResultOf(self.make().authenticate(Credential("application", key)))
            self.assertEqual(proven, frozenset({application}))

    def test_compared_whole(self) -> None:
        """A part of a key, or more than it, is false; so are bytes that are no text."""
        for key in ("a-good-ke", "a-good-key ", "A-GOOD-KEY", "", "\udcff", digest("a-good-key").hex()):
            self.failureResultOf(self.make().authenticate(Credential("application", key)), BadCredentials)

    def test_taken_out_of_force(self) -> None:
        """A key that is no longer in force proves nothing at once."""
        keys = self.make()
        self.in_force = {}
        self.failureResultOf(keys.authenticate(self.good), BadCredentials)

    def test_nobody_knows(self) -> None:
        """Where it cannot be found out, nothing is proven and nothing is false."""
        keys = ApplicationKeys(lambda found: fail(Unavailable("The store is away.")))
        self.failureResultOf(keys.authenticate(self.good), Unavailable)
