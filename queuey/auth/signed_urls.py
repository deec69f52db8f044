"""URLs that an application's key has signed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final

import attrs
from twisted.internet.defer import Deferred
from zope.interface import implementer

from queuey.auth.buckets import Buckets
from queuey.deferreds import deferred
from queuey.errors import BadIdentity, TooManyRequests
from queuey.interfaces import ISignatures, Signature
from queuey.model.applications.application import key_id
from queuey.model.applications.rates import Rate
from queuey.model.applications.signing import signed_by

MAX_RATES: Final = 20_000
"""URLs with a rate whose use is counted."""

LIMIT: Final = "signed_rate"
"""Name of the rate limit of a signed URL."""

_SIGNATURE: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


@implementer(ISignatures)
@attrs.frozen
class SignedURLs:
    """Checks the signature of a URL, and returns what the URL allows.

    :ivar digests: fires with the SHA-256 digests of an application's keys, as they are now; fails with ``Unavailable``.
    :ivar used: is called with the digest of each key whose signature was right.
    :ivar now: the wall clock, in seconds since 1970.
    :ivar buckets: count the use of URLs that have a rate, in this process.
    """

    digests: Callable[[str], Deferred[tuple[bytes, ...]]]
    used: Callable[[bytes], None]
    now: Callable[[], float]
    buckets: Buckets

    def check(self, signature: Signature, again: bool = False) -> Deferred[frozenset[str]]:
        """The principals of a signature's holder; see ``ISignatures``."""
        return self._check(signature, again)

    @deferred
    async def _check(self, signature: Signature, again: bool) -> frozenset[str]:
        grant = signature.grant
        problem = grant.problem()
        if problem is not None:
            raise BadIdentity(f"The URL {problem}.")
        digests = [one for one in await self.digests(grant.application) if key_id(one) == signature.key]
        signer = None if _SIGNATURE.fullmatch(signature.value) is None else signed_by(digests, grant, signature.value)
        if signer is None:
            raise BadIdentity("The signature of the URL is false.")
        self.used(signer)
        if self.now() >= int(grant.until):
            raise BadIdentity("The signature of the URL has expired.")
        if grant.rate and not again:
            self._count(signature)
        return grant.principals(signature.value)

    def _count(self, signature: Signature) -> None:
        rate = int(signature.grant.rate)
        wait = self.buckets.take(bytes.fromhex(signature.value), Rate(rate, rate))
        if wait > 0:
            text = f"The URL is signed for {signature.grant.rate} requests a second."
            raise TooManyRequests(text, limit=LIMIT, retry_after=math.ceil(wait))
