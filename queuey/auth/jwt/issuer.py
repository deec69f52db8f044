"""One issuer: the checks of its tokens, and the principal of a valid token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs
from jwt import PyJWK, PyJWS
from jwt.exceptions import PyJWTError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from queuey.auth.jwt.keys import IssuerKeys
from queuey.auth.jwt.tokens import Token, refused
from queuey.auth.proofs import Proof, Proofs
from queuey.config import IssuerSettings
from queuey.deferreds import deferred
from queuey.interfaces import IWeb
from queuey.model.queues.queue import is_principal

_LIBRARY: Final = PyJWS()


@attrs.frozen
class Issuer:
    """Believes tokens of one issuer.

    :ivar now: the wall clock, in seconds since 1970.
    :ivar proofs: what its tokens have proven.
    """

    settings: IssuerSettings
    keys: IssuerKeys
    now: Callable[[], float]
    proofs: Proofs

    def prove(self, token: Token) -> Deferred[Proof]:
        """Find whose a token is; fails with ``BadIdentity`` or ``IdentityUnavailable``.

        Its claims are checked first and its signature last: a token that would be refused anyway causes no request to
        the issuer.
        """
        return self._prove(token)

    @deferred
    async def _prove(self, token: Token) -> Proof:
        if token.algorithm not in self.settings.algorithms:
            raise refused("is signed by an algorithm that is not taken here")
        if token.issuer != self.settings.issuer:
            raise refused("is of another issuer")
        if "events" in token.claims:
            raise refused("tells of an event, and not who a user is")
        self._check_audience(token)
        expires = self._check_times(token)
        principal = self._principal(token)
        keys = await self.keys.candidates(token)
        if not any(_signed(token, key) for key in keys):
            raise refused("has a signature that is false")
        until = min(expires, self.now() + self.settings.remember)
        return Proof(frozenset((principal,)), until)

    def _check_audience(self, token: Token) -> None:
        audience = token.claims.get("aud")
        named = [audience] if isinstance(audience, str) else audience
        if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
            raise refused("names no audience")
        if not set(named) & set(self.settings.audience):
            raise refused("is meant for another audience")

    def _check_times(self, token: Token) -> float:
        """Hold the times of a token against the clock; gives when it expires, in seconds since 1970."""
        now, leeway = self.now(), self.settings.leeway
        expires, begins, issued = token.time("exp"), token.time("nbf"), token.time("iat")
        if expires is None:
            raise refused("never expires")
        if now >= expires + leeway:
            raise refused("has expired")
        if begins is not None and now < begins - leeway:
            raise refused("is not valid yet")
        if issued is not None and now < issued - leeway:
            raise refused("was issued in the future")
        return expires

    def _principal(self, token: Token) -> str:
        claims = token.claims
        email, subject = claims.get("email"), claims.get("sub")
        if self.settings.principal == "email" and claims.get("email_verified") is True and isinstance(email, str):
            principal = f"bid:{email}"
            if is_principal(principal):
                return principal
        principal = f"sub:{self.settings.issuer}#{subject}"
        if not isinstance(subject, str) or not is_principal(principal):
            raise refused("names no subject that can be a principal")
        return principal


def _signed(token: Token, key: PyJWK) -> bool:
    try:
        _LIBRARY.decode_complete(token.text, key, [token.algorithm])
    except PyJWTError:
        return False
    return True


def make_issuer(settings: IssuerSettings, web: IWeb, clock: IReactorTime, now: Callable[[], float]) -> Issuer:
    """An issuer that is asked for its keys over the web. What was proven by keys that it then withdraws is forgotten.

    :param clock: whose time limits go by.
    :param now: the wall clock, in seconds since 1970.
    """
    proofs = Proofs(now)
    return Issuer(settings, IssuerKeys(settings, web, clock, proofs.forget), now, proofs)
