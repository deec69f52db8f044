"""Applications, known by their keys."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import attrs
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from queuey.errors import BadCredentials
from queuey.interfaces import Credential, IAuthenticator
from queuey.model.application import digest_of

SCHEME = "application"


@implementer(IAuthenticator)
@attrs.frozen
class ApplicationKeys:
    """Proves ``app:<name>`` by a key of that application.

    Only digests of keys are kept. What is looked up is the digest of the key that was sent, which whoever sends it
    cannot steer, so the time of the look-up tells nothing of any key.

    :ivar owner: fires with the application that has the key of a SHA-256 digest, or ``None``; fails with
        ``Unavailable``.
    """

    owner: Callable[[bytes], Deferred[str | None]]

    def authenticate(self, credential: Credential) -> Deferred[frozenset[str]]:
        """The application's principal; fails with ``BadCredentials`` for a key that nobody has, or ``Unavailable``."""
        if credential.scheme != SCHEME:
            return succeed(frozenset())
        return self.owner(digest_of(credential.value)).addCallback(_principals)


def _principals(application: str | None) -> frozenset[str]:
    if application is None:
        raise BadCredentials("Invalid application key")
    return _proven(application)


@cache
def _proven(application: str) -> frozenset[str]:
    """The principal of an application, the same object for all of its requests."""
    return frozenset((f"app:{application}",))
