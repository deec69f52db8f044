"""What tests of users' identities share: a web of scripted answers, keys, and tokens that are right or nearly so."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from queuey.auth.jwt.bearer import BearerTokens
from queuey.auth.jwt.issuer import Issuer, make_issuer
from queuey.auth.jwt.keys import DISCOVERY
from queuey.config import IssuerSettings
from queuey.interfaces import IWeb, NotHad

NOW: Final = 1_700_000_000.0
ISSUER: Final = "https://id.example.org"
JWKS: Final = "https://keys.example.org/all"
AUDIENCE: Final = "queuey"
SUBJECT: Final = f"sub:{ISSUER}#ann"

Answer = dict[str, Any] | Exception | Deferred[dict[str, Any]]


@implementer(IWeb)
class FakeWeb:
    """Answers with what tests have put at each URL; what is not there is answered as a server that is away."""

    def __init__(self) -> None:
        self.pages: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.forms: list[dict[str, str]] = []

    def get(self, url: str, seconds: float) -> Deferred[dict[str, Any]]:
        self.asked.append(url)
        answer = self.pages.get(url, NotHad("nobody is there"))
        if isinstance(answer, Deferred):
            return answer
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)

    def post(self, url: str, form: Mapping[str, str], seconds: float) -> Deferred[dict[str, Any]]:
        self.forms.append(dict(form))
        return self.get(url, seconds)

    def publish(self, *keys: dict[str, Any], issuer: str = ISSUER, place: str = JWKS) -> None:
        """Let an issuer have these keys."""
        self.pages[issuer + DISCOVERY] = {"issuer": issuer, "jwks_uri": place}
        self.pages[place] = {"keys": list(keys)}


@cache
def rsa_key(name: str = "a", bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key of its own for each name."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ec_key(name: str = "a", curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


@cache
def ed_key(name: str = "a") -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def jwk(key: Any, kid: str | None = "k1", **more: Any) -> dict[str, Any]:
    """The public half of a key, as issuers publish it."""
    public = key.public_key()
    kind = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    algorithm = next((one for private, one in kind.items() if isinstance(key, private)), OKPAlgorithm)
    found: dict[str, Any] = algorithm.to_jwk(public, as_dict=True)  # type: ignore[attr-defined]
    found.pop("key_ops", None)
    named = {} if kid is None else {"kid": kid}
    return {**found, **named, **more}


def claims(**more: Any) -> dict[str, Any]:
    """What a good token says; ``None`` leaves a claim out."""
    found = {"iss": ISSUER, "sub": "ann", "aud": AUDIENCE, "exp": NOW + 600, "iat": NOW, **more}
    return {name: value for name, value in found.items() if value is not None}


def token(key: Any = None, algorithm: str = "RS256", headers: Mapping[str, Any] | None = None, /, **more: Any) -> str:
    """A token that is right but for what a test changes."""
    head = {"kid": "k1", **(headers or {})}
    signer = rsa_key() if key is None else key
    return jwt.encode(claims(**more), signer, algorithm, {k: v for k, v in head.items() if v is not None})


def b64(data: bytes | str) -> str:
    raw = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def by_hand(header: bytes | str | dict[str, Any], payload: Any, sign: Callable[[bytes], bytes]) -> str:
    """A token that no library would make."""
    parts = [part if isinstance(part, bytes | str) else json.dumps(part) for part in (header, payload)]
    start = ".".join(b64(part) for part in parts)
    return f"{start}.{b64(sign(start.encode()))}"


def settings(**more: Any) -> IssuerSettings:
    values: dict[str, Any] = {
        "name": "idp",
        "issuer": ISSUER,
        "audience": (AUDIENCE,),
        "algorithms": ("RS256", "ES256"),
        "principal": "sub",
        "leeway": 30.0,
        "timeout": 5.0,
        "keys": 3600.0,
        "remember": 300.0,
        **more,
    }
    return IssuerSettings(**values)


def wall(clock: Clock) -> Callable[[], float]:
    """A wall clock that goes as another one does."""
    return lambda: NOW + clock.seconds()


def issuer(web: IWeb, clock: Clock, **more: Any) -> Issuer:
    return make_issuer(settings(**more), web, clock, wall(clock))


def bearer(web: IWeb, clock: Clock, **more: Any) -> BearerTokens:
    return BearerTokens((issuer(web, clock, **more),))
