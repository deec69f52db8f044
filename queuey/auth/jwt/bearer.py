"""Users, known by tokens of any of the issuers that the settings name."""

from __future__ import annotations

from functools import partial
from typing import Final

import attrs
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from queuey.auth.jwt.issuer import Issuer
from queuey.auth.jwt.tokens import read, refused
from queuey.auth.proofs import Proof, Proofs
from queuey.deferreds import deferred
from queuey.errors import BadIdentity
from queuey.interfaces import Credential, IAuthenticator, Lasting

SCHEME: Final = "bearer"


@implementer(IAuthenticator)
@attrs.frozen
class BearerTokens:
    """Proves who a user is by a token of one of some issuers.

    :ivar issuers: those whose tokens are taken; several may be the same one, with audiences of their own.
    """

    issuers: tuple[Issuer, ...]

    def authenticate(self, credential: Credential) -> Deferred[frozenset[str]]:
        """The user's principal; fails with ``BadIdentity`` or ``IdentityUnavailable``."""
        if credential.scheme != SCHEME:
            return succeed(frozenset())
        known = self._known(credential.value)
        return self._prove(credential.value) if known is None else succeed(known[1].principals)

    def lasting(self, credential: Credential) -> Lasting | None:
        """See IAuthenticator; it lasts for as long as its proof is remembered, and holds."""
        known = self._known(credential.value) if credential.scheme == SCHEME else None
        if known is None:
            return None
        proofs, proof = known
        return Lasting(proof.principals, proofs.holding(credential.value, proof), proof.until)

    def _known(self, value: str) -> tuple[Proofs, Proof] | None:
        """Return the cached proof of a token with the cache that has it, or ``None``."""
        for issuer in self.issuers:
            proof = issuer.proofs.known(value)
            if proof is not None:
                return issuer.proofs, proof
        return None

    @deferred
    async def _prove(self, value: str) -> frozenset[str]:
        token = read(value)
        refusal = refused("is of an issuer that is not accepted here")
        for issuer in self.issuers:
            if issuer.settings.issuer != token.issuer:
                continue
            try:
                proof = await issuer.proofs.find(value, partial(issuer.prove, token))
            except BadIdentity as error:
                refusal = error
            else:
                return proof.principals
        raise refusal
