"""The keys of an issuer, from the address that its own documents name, as long as they are fresh."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from math import ceil
from typing import Any, Final
from urllib.parse import urlsplit

from jwt import PyJWK
from jwt.exceptions import PyJWTError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from queuey.auth.jwt.tokens import Token, refused
from queuey.config import IssuerSettings
from queuey.config.kinds.urls import url_problem
from queuey.deferreds import SingleFlight, deferred
from queuey.errors import IdentityUnavailable
from queuey.interfaces import IWeb, NotHad
from queuey.logs import EventLog

DISCOVERY: Final = "/.well-known/openid-configuration"
"""The path under which an issuer names the address of its keys (OpenID Connect Discovery 1.0, section 4)."""

PAUSE: Final = 10.0
"""Seconds between two questions to an issuer at the least, whatever tokens come."""

MAX_KEYS: Final = 200
"""Keys of one issuer that are looked at."""

MIN_RSA: Final = 2048
"""Bits of an RSA key (RFC 7518, section 3.3)."""

_KINDS: Final[Mapping[str, tuple[str, str | None]]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""The kind of key, and its curve, for each algorithm. All algorithms have public keys."""

Keys = Mapping[tuple[str | None, str], tuple[PyJWK, ...]]
"""Keys by their id and an algorithm."""

_log = EventLog(Logger(namespace="queuey.auth"))


class IssuerKeys:
    """Caches the keys of an issuer.

    They are used for as long as the settings say. From half of that time on they are fetched again in the background,
    so that an issuer that is away for a while is not missed. A key that the issuer withdraws is not trusted any longer.
    """

    def __init__(self, settings: IssuerSettings, web: IWeb, clock: IReactorTime, changed: Callable[[], None]) -> None:
        """
        :param clock: whose time all limits go by.
        :param changed: is called when the issuer has other keys than before.
        """
        self._settings = settings
        self._web = web
        self._clock = clock
        self._changed = changed
        self._source: Any = None
        self._keys: Keys = {}
        self._began = self._fetched = -float("inf")
        self._next = -float("inf")
        self._asking: SingleFlight[None] | None = None
        self._away = False

    @deferred
    async def candidates(self, token: Token) -> tuple[PyJWK, ...]:
        """Return the keys that a token may be signed with.

        :return: fails with ``BadIdentity`` if the issuer, asked after the token came, has none; with
            ``IdentityUnavailable`` if that cannot be known now.
        """
        came = self._clock.seconds()
        if self._age() >= self._settings.keys:
            await self._refresh()
        elif self._age() >= self._settings.keys / 2 and self._may_ask():
            self._refresh().addErrback(lambda failure: failure.trap(IdentityUnavailable) and None)
        found = self._candidates(token)
        if not found and self._may_ask():
            await self._refresh()
            found = self._candidates(token)
        if not found and self._began < came:
            text = f"The token is signed with a key that is not known, and its issuer is asked once in {PAUSE:g} s."
            raise self._unavailable(text)
        if not found:
            raise refused("is signed with a key that its issuer does not have")
        return found

    def _candidates(self, token: Token) -> tuple[PyJWK, ...]:
        if token.key_id is not None:
            return self._keys.get((token.key_id, token.algorithm), ())
        found = [key for (_, algorithm), keys in self._keys.items() if algorithm == token.algorithm for key in keys]
        # Without a name, one of several keys would be tried after the other.
        return tuple(found) if len(found) == 1 else ()

    def _age(self) -> float:
        return self._clock.seconds() - self._fetched

    def _may_ask(self) -> bool:
        return self._asking is not None or self._clock.seconds() >= self._next

    def _refresh(self) -> Deferred[None]:
        """Fetch the keys, or wait for who does; fails with ``IdentityUnavailable``."""
        if self._asking is not None:
            return self._asking.join()
        if self._clock.seconds() < self._next:
            raise self._unavailable()
        question = self._asking = SingleFlight()
        answer = question.join()
        self._fetch().addBoth(self._fetched_all, question)
        return answer

    def _fetched_all(self, result: Any, question: SingleFlight[None]) -> None:
        self._asking = None
        self._next = self._clock.seconds() + PAUSE
        if isinstance(result, Failure):
            reason = str(result.value) if result.check(NotHad) else type(result.value).__name__
            if not self._away:
                _log.warn(
                    "issuer-away", "the keys of issuer {issuer}: {reason}", issuer=self._settings.name, reason=reason
                )
            self._away = True
            question.answered(Failure(self._unavailable()))
            return
        if self._away:
            _log.info("issuer-back", "the keys of issuer {issuer} can be fetched again", issuer=self._settings.name)
        self._away = False
        question.answered(None)

    def _unavailable(self, text: str = "The issuer of the token cannot be asked for its keys now.") -> Exception:
        wait = self._next - self._clock.seconds()
        return IdentityUnavailable(text, retry_after=ceil(wait if wait > 0 else PAUSE))

    @deferred
    async def _fetch(self) -> None:
        began = self._clock.seconds()
        about = await self._web.get(self._settings.issuer.rstrip("/") + DISCOVERY, self._settings.timeout)
        if about.get("issuer") != self._settings.issuer:
            raise NotHad("its document is of another issuer")
        place = about.get("jwks_uri")
        if not isinstance(place, str) or not _may_lead_to(self._settings.issuer, place):
            raise NotHad("its document names no place for keys that is safe")
        source = (await self._web.get(place, self._settings.timeout)).get("keys")
        keys = usable_keys(source, self._settings.algorithms) if isinstance(source, list) else {}
        if not keys:
            raise NotHad("it has no key that may be used")
        if source != self._source:
            self._source, self._keys = source, keys
            _log.info(
                "issuer-keys",
                "issuer {issuer} has {count} keys that may be used",
                issuer=self._settings.name,
                count=sum(map(len, keys.values())),
            )
            self._changed()
        self._began = began
        self._fetched = self._clock.seconds()


def _may_lead_to(issuer: str, place: str) -> bool:
    """Whether an issuer may have its keys at a place; only one on this machine may have them without TLS."""
    return url_problem(place) is None and (urlsplit(place).scheme == "https" or urlsplit(issuer).scheme == "http")


def usable_keys(source: Sequence[Any], algorithms: Collection[str]) -> Keys:
    """Return the public keys of a list for the accepted algorithms; other entries are ignored."""
    found: defaultdict[tuple[str | None, str], list[PyJWK]] = defaultdict(list)
    for entry in source[:MAX_KEYS]:
        if not isinstance(entry, dict) or not _is_for_signatures(entry):
            continue
        id = entry.get("kid")
        for algorithm in algorithms:
            key = _key(entry, algorithm)
            if key is not None and (id is None or isinstance(id, str)):
                found[id, algorithm].append(key)
    return {place: tuple(keys) for place, keys in found.items()}


def _is_for_signatures(entry: Mapping[str, Any]) -> bool:
    """Return whether a key can verify signatures. A key whose private half is published cannot prove who signed."""
    operations = entry.get("key_ops")
    return (
        entry.get("use", "sig") == "sig"
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
        and "d" not in entry
    )


def _key(entry: Mapping[str, Any], algorithm: str) -> PyJWK | None:
    kind, curve = _KINDS[algorithm]
    if entry.get("kty") != kind or entry.get("alg", algorithm) != algorithm or entry.get("crv", curve) != curve:
        return None
    try:
        key = PyJWK(dict(entry), algorithm)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    return key if kind != "RSA" or key.key.key_size >= MIN_RSA else None
