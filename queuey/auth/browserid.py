"""Users, known by their e-mail addresses: assertions of BrowserID, which a verifier elsewhere looks at."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import Logger
from zope.interface import implementer

from queuey.auth.admission import Places
from queuey.auth.objects import moment
from queuey.auth.proofs import Proof, Proofs
from queuey.config import BrowserIDSettings
from queuey.deferreds import deferred
from queuey.errors import BadIdentity, IdentityUnavailable
from queuey.interfaces import Credential, IAuthenticator, IWeb, Lasting, NotHad
from queuey.logs import EventLog
from queuey.model.queues.queue import is_principal

SCHEME: Final = "browserid"
MAX_ASSERTION: Final = 16 << 10
"""Characters of an assertion."""

AT_ONCE: Final = 64
"""Questions to the verifier that may be under way; see :class:`queuey.auth.admission.Places`."""

_ASSERTION: Final = re.compile(r"[A-Za-z0-9_.=~-]+", re.ASCII)

_log = EventLog(Logger(namespace="queuey.auth"))


@implementer(IAuthenticator)
class BrowserID:
    """Proves ``bid:<e-mail address>`` by an assertion that a verifier has checked.

    What the verifier says is looked at too: that it is of our audience, has not expired, and was issued by the host of
    the address itself or by one that the settings trust with all addresses.
    """

    def __init__(self, settings: BrowserIDSettings, web: IWeb, now: Callable[[], float], proofs: Proofs) -> None:
        """:param now: the wall clock, in seconds since 1970."""
        self._settings = settings
        self._web = web
        self._now = now
        self._proofs = proofs
        self._places = Places(AT_ONCE)
        self._away = False

    def authenticate(self, credential: Credential) -> Deferred[frozenset[str]]:
        """The user's principal; fails with ``BadIdentity`` or ``IdentityUnavailable``."""
        if credential.scheme != SCHEME:
            return succeed(frozenset())
        value = credential.value
        proof = self._proofs.known(value)
        if proof is not None:
            return succeed(proof.principals)
        if len(value) > MAX_ASSERTION or _ASSERTION.fullmatch(value) is None:
            return fail(_refused("is none"))
        return self._proofs.find(value, lambda: self._prove(credential)).addCallback(lambda proof: proof.principals)

    def lasting(self, credential: Credential) -> Lasting | None:
        """See IAuthenticator; whatever it proves expires."""
        return None

    @deferred
    async def _prove(self, credential: Credential) -> Proof:
        settings = self._settings
        asking: list[Deferred[dict[str, Any]]] = []
        place = self._places.take(credential.application, credential.address, lambda: asking[0].cancel())
        if place is None:
            raise _too_many()
        try:
            form = {"assertion": credential.value, "audience": settings.audience}
            asking.append(self._web.post(settings.verifier, form, settings.timeout))
            proof = self._judge(await asking[0])
        except CancelledError:
            raise _too_many() from None
        except NotHad as error:
            if not self._away:
                _log.warn("verifier-away", "the verifier of BrowserID: {reason}", reason=str(error))
            self._away = True
            raise IdentityUnavailable("The verifier of assertions does not answer as it should.") from None
        finally:
            self._places.free(place)
        if self._away:
            _log.info("verifier-back", "the verifier of BrowserID answers again")
        self._away = False
        if isinstance(proof, BadIdentity):
            raise proof
        return proof

    def _judge(self, said: Mapping[str, Any]) -> Proof | BadIdentity:
        """Read an answer of the verifier.

        :raise NotHad: it is no answer of a verifier.
        """
        if said.get("status") == "failure":
            return _refused("is false, or has expired")
        email, audience, issuer = said.get("email"), said.get("audience"), said.get("issuer")
        expires = moment(said.get("expires"))
        texts = isinstance(audience, str) and isinstance(issuer, str)
        if said.get("status") != "okay" or not isinstance(email, str) or not texts or expires is None:
            raise NotHad("the answer is none of a verifier")
        if audience != self._settings.audience:
            return _refused("is meant for another audience")
        until = expires / 1000
        if until <= self._now():
            return _refused("has expired")
        if issuer not in self._settings.issuers and issuer != email.rpartition("@")[2]:
            return _refused("is of an issuer that is not trusted here with this address")
        principal = f"bid:{email}"
        if not is_principal(principal):
            return _refused("is of an address that cannot be a principal")
        return Proof(frozenset((principal,)), min(until, self._now() + self._settings.remember))


def _too_many() -> IdentityUnavailable:
    return IdentityUnavailable("Too many assertions wait for their verifier.")


def _refused(what: str) -> BadIdentity:
    return BadIdentity(f"The assertion {what}.")
