"""What every authenticator promises."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from queuey.errors import BadCredentials
from queuey.interfaces import Credential, IAuthenticator


class Contracts:
    """Keeps the suite from being run by itself."""

    class Authenticator(SynchronousTestCase):
        """Subclasses say what they test, and with what.

        :cvar good: a credential that is accepted.
        :cvar principals: what it proves.
        :cvar false: a credential that is the authenticator's business, and proves nothing.
        """

        good: Credential
        principals: frozenset[str]
        false: Credential

        def make(self) -> IAuthenticator:
            """The authenticator."""
            raise NotImplementedError

        def test_interface(self) -> None:
            """It has what the interface names."""
            self.assertTrue(verifyObject(IAuthenticator, self.make()))

        def test_good(self) -> None:
            """A good credential proves its principals."""
            self.assertEqual(self.successResultOf(self.make().authenticate(self.good)), self.principals)

        def test_false(self) -> None:
            """A false one is an error, whose text does not show it."""
            failure = self.failureResultOf(self.make().authenticate(self.false), BadCredentials)
            self.assertNotIn(self.false.value, failure.value.text)

        def test_not_mine(self) -> None:
            """A credential of another scheme belongs to no authenticator here."""
            other = Credential("another-scheme", self.good.value)
            self.assertEqual(self.successResultOf(self.make().authenticate(other)), frozenset())

        def test_secret(self) -> None:
            """The value of a credential is in no repr."""
            self.assertNotIn(self.good.value, repr(self.good))
