"""Authenticates callers by the keys of applications."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final, Protocol

import attrs
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from queuey.errors import BadCredentials
from queuey.interfaces import Credential, IAuthenticator, Lasting
from queuey.model.applications.application import digest_of

SCHEME: Final = "application"

MAX_KEPT: Final = 1024
"""Maximum number of cached principals, and of cached proofs of keys; there may be any number of applications."""


class Owners(Protocol):
    """Knows whose a key is, by its SHA-256 digest."""

    def owner(self, digest: bytes) -> Deferred[str | None]:
        """Fires with the application that has the key, or ``None``; fails with ``Unavailable``."""

    def known(self, digest: bytes) -> str | None:
        """Return the same, if it is known without asking."""

    def use(self, digest: bytes) -> None:
        """Learn that the key was shown."""


@implementer(IAuthenticator)
@attrs.frozen
class ApplicationKeys:
    """Authenticates ``app:<name>`` by a key of that application.

    Only digests of keys are stored. The digest of the key that was sent is looked up; a sender cannot choose digests,
    so the time of the look-up reveals no key.
    """

    owners: Owners
    _proof: Callable[[bytes, str], Lasting] = attrs.field(init=False, eq=False, repr=False)
    """Returns what a key proves, by its digest and application. It is cached, so that ten thousand connections with the
    same key hold one object."""

    @_proof.default
    def _cached_proof(self) -> Callable[[bytes, str], Lasting]:
        return lru_cache(MAX_KEPT)(
            lambda digest, application: Lasting(_proven(application), partial(self._use, digest))
        )

    def authenticate(self, credential: Credential) -> Deferred[frozenset[str]]:
        """Return the application's principal; fails with ``BadCredentials`` for an unknown key, or with
        ``Unavailable``."""
        if credential.scheme != SCHEME:
            return succeed(frozenset())
        return self.owners.owner(digest_of(credential.value)).addCallback(_principals)

    def lasting(self, credential: Credential) -> Lasting | None:
        """See IAuthenticator; a key of another application is not cached under this one's policy."""
        if credential.scheme != SCHEME:
            return None
        digest = digest_of(credential.value)
        if self.owners.known(digest) != credential.application:
            return None
        return self._proof(digest, credential.application)

    def _use(self, digest: bytes) -> bool:
        self.owners.use(digest)
        return True


def _principals(application: str | None) -> frozenset[str]:
    if application is None:
        raise BadCredentials("Invalid application key")
    return _proven(application)


@lru_cache(MAX_KEPT)
def _proven(application: str) -> frozenset[str]:
    """Return the principal of an application. It is kept, because every request needs it."""
    return frozenset((f"app:{application}",))
