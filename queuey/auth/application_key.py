"""Applications, known by their keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from queuey.errors import BadCredentials
from queuey.interfaces import Credential, IAuthenticator

SCHEME = "application"


@implementer(IAuthenticator)
@attrs.frozen
class ApplicationKeys:
    """Proves ``app:<name>`` by a key of that application.

    Only digests of keys are kept. What is looked up is the digest of the key that was sent, which whoever sends it
    cannot steer, so the time of the look-up tells nothing of any key.

    :ivar in_force: the application of each SHA-256 digest, as they are now.
    """

    in_force: Callable[[], Mapping[bytes, str]]

    def authenticate(self, credential: Credential) -> Deferred[frozenset[str]]:
        """The application's principal; fails with ``BadCredentials`` for a key that nobody has."""
        if credential.scheme != SCHEME:
            return succeed(frozenset())
        digest = sha256(credential.value.encode("utf-8", "surrogateescape")).digest()
        application = self.in_force().get(digest)
        if application is None:
            return fail(BadCredentials("Invalid application key"))
        return succeed(_principals(application))


@cache
def _principals(application: str) -> frozenset[str]:
    """The principal of an application, the same object for all of its requests."""
    return frozenset((f"app:{application}",))
