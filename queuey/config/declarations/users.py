"""The settings of those who say who a user is: the sections ``[browserid]`` and ``[jwt:NAME]``."""

from __future__ import annotations

from functools import partial
from typing import Final

import attrs

from queuey.config.declarations.declared import setting
from queuey.config.kinds import urls
from queuey.config.kinds.kinds import Kind, parts, seconds, several, text, text_or, word

ALL_ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
"""The signature algorithms for tokens: asymmetric ones only, because only public keys are available here."""

_SERVICE: Final = "a URL of https, or of http on this machine"
_browserid: Final = partial(setting, "browserid")
_jwt: Final = partial(setting, "jwt:NAME")


@attrs.frozen
class BrowserIDSettings:
    """How assertions of users are verified. Times are in seconds.

    :ivar verifier: the URL of the service that verifies them.
    :ivar audience: the audience that they must have.
    :ivar issuers: hosts that are trusted for all addresses; any other host is trusted for its own.
    :ivar timeout: for an answer of the verifier.
    :ivar remember: how long a valid assertion is cached.
    """

    verifier: str = _browserid("verifier", text_or(Kind(_SERVICE, urls.service)))
    audience: str = _browserid("audience", text("an origin, as assertions name it"))
    issuers: tuple[str, ...] = _browserid("issuers", parts("hosts, separated by spaces, commas or lines"))
    timeout: float = _browserid("timeout", seconds(0.1, 60), "5")
    remember: float = _browserid("remember", seconds(0, 86_400), "300")


@attrs.frozen
class IssuerSettings:
    """An issuer of tokens. Times are in seconds.

    :ivar name: the name by which applications refer to it.
    :ivar issuer: its URL.
    :ivar audience: the audiences that its tokens may have.
    :ivar algorithms: the algorithms that may sign them.
    :ivar principal: ``email`` or ``sub``: the claim of a token that identifies the user.
    :ivar leeway: the tolerated difference between its clock and ours.
    :ivar timeout: the limit for fetching one of its documents.
    :ivar keys: how long its keys are used before they are fetched again.
    :ivar remember: how long a valid token is cached without another check.
    """

    name: str
    issuer: str = _jwt("issuer", text_or(Kind(_SERVICE, urls.issuer)))
    audience: tuple[str, ...] = _jwt(
        "audience",
        parts("what tokens name as their audience, one or several, separated by spaces, commas or lines"),
    )
    algorithms: tuple[str, ...] = _jwt("algorithms", several(*ALL_ALGORITHMS), "RS256")
    principal: str = _jwt("principal", word("sub", "email"), "sub")
    leeway: float = _jwt("leeway", seconds(0, 300), "30")
    timeout: float = _jwt("timeout", seconds(0.1, 60), "5")
    keys: float = _jwt("keys_for", seconds(60, 86_400), "3600")
    remember: float = _jwt("remember", seconds(0, 3600), "300")


@attrs.frozen
class IdentitySettings:
    """The services that say who a user is."""

    browserid: BrowserIDSettings | None = None
    issuers: tuple[IssuerSettings, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names by which applications refer to them."""
        return (*(("browserid",) if self.browserid else ()), *(issuer.name for issuer in self.issuers))
