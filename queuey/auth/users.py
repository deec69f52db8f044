"""Authentication of users for each application: its own keys, and the identity providers that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from queuey.config import IdentitySettings, IssuerSettings
from queuey.interfaces import Accepted, Credential, IAuthenticator, IWeb, Lasting
from queuey.model.applications.policy import Policy

if TYPE_CHECKING:
    from queuey.auth.browserid import BrowserID
    from queuey.auth.jwt.issuer import Issuer

_NO_PRINCIPALS: Final[frozenset[str]] = frozenset()
_NO_IDENTITIES: Final = IdentitySettings()


@implementer(IAuthenticator)
@attrs.frozen
class BySchemes:
    """Hands each credential to whom its scheme belongs to.

    :ivar schemes: authenticators, by their schemes in lower case.
    """

    schemes: Mapping[str, IAuthenticator]

    def authenticate(self, credential: Credential) -> Deferred[frozenset[str]]:
        """Return the principals that the credential proves; an empty set if its scheme is unknown."""
        authenticator = self.schemes.get(credential.scheme)
        return succeed(_NO_PRINCIPALS) if authenticator is None else authenticator.authenticate(credential)

    def lasting(self, credential: Credential) -> Lasting | None:
        """See IAuthenticator."""
        authenticator = self.schemes.get(credential.scheme)
        return None if authenticator is None else authenticator.lasting(credential)


class Users:
    """Authenticates the users of each application by the settings in force."""

    def __init__(
        self,
        keys: IAuthenticator,
        settings: IdentitySettings,
        web: Callable[[], IWeb],
        clock: IReactorTime,
        now: Callable[[], float],
    ) -> None:
        """:param keys: authenticates applications by their keys.
        :param web: makes the HTTP client; called only if an identity provider has to be asked.
        :param clock: the clock of the time limits.
        :param now: the wall clock, in seconds since 1970.
        """
        self._keys = keys
        self._make_web = web
        self._made_web: IWeb | None = None
        self._clock = clock
        self._now = now
        self._settings = _NO_IDENTITIES
        self._browserid: BrowserID | None = None
        self._issuers: dict[str, Issuer] = {}
        self._accepted: dict[tuple[str, ...], Accepted] = {}
        self.use(settings)

    def use(self, settings: IdentitySettings) -> None:
        """Put other settings in force; authenticators whose settings have not changed keep their caches."""
        if settings != self._settings:
            if settings.browserid != self._settings.browserid:
                self._browserid = self._make_browserid(settings)
            self._issuers = self._make_issuers(settings)
            self._settings = settings
        self._accepted = {}

    def accepted(self, policy: Policy) -> Accepted:
        """Return the credentials that an application accepts."""
        found = self._accepted.get(policy.identities)
        if found is None:
            found = self._accepted[policy.identities] = self._choose(policy.identities)
        return found

    def _choose(self, names: tuple[str, ...]) -> Accepted:
        schemes: dict[str, IAuthenticator] = {"application": self._keys}
        issuers = tuple([self._issuers[name] for name in names if name in self._issuers])
        if issuers:
            from queuey.auth.jwt.bearer import BearerTokens

            schemes["bearer"] = BearerTokens(issuers)
        if "browserid" in names and self._browserid is not None:
            schemes["browserid"] = self._browserid
        shown = {"application": b"Application", "bearer": b"Bearer", "browserid": b"BrowserID"}
        return Accepted(BySchemes(schemes), b", ".join(shown[scheme] for scheme in schemes))

    def _make_browserid(self, settings: IdentitySettings) -> BrowserID | None:
        if settings.browserid is None:
            return None
        from queuey.auth.browserid import BrowserID
        from queuey.auth.proofs import Proofs

        return BrowserID(settings.browserid, self._web(), self._now, Proofs(self._now))

    def _make_issuers(self, settings: IdentitySettings) -> dict[str, Issuer]:
        kept = {name: issuer for name, issuer in self._issuers.items() if issuer.settings in settings.issuers}
        return {each.name: kept.get(each.name) or self._make_issuer(each) for each in settings.issuers}

    def _make_issuer(self, settings: IssuerSettings) -> Issuer:
        from queuey.auth.jwt.issuer import make_issuer

        return make_issuer(settings, self._web(), self._clock, self._now)

    def _web(self) -> IWeb:
        if self._made_web is None:
            self._made_web = self._make_web()
        return self._made_web


def make_web(reactor: Any) -> IWeb:
    """Return the client for web requests of a reactor; its dependencies are imported only when it is made."""
    from queuey.auth.web import Web, make_agent

    return Web(make_agent(reactor), reactor)
