"""AWS Signature Version 4 in the header or the query of a request, by the keys of applications.

The canonical request and the string to sign are described in the IAM User Guide, "Create a signed AWS API request".
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

import attrs
from twisted.internet.defer import Deferred
from zope.interface import implementer

from queuey.deferreds import deferred
from queuey.errors import BadSignature
from queuey.interfaces import AwsRequest, AwsSigner, IAwsSignatures
from queuey.model.applications.aws_keys import aws_key, key_id_of
from queuey.model.values import frozen

WINDOW: Final = 900
"""Seconds by which the time of a request may differ from ours, either way."""

MAX_EXPIRES: Final = 604_800
"""Seconds for which a presigned URL may be valid."""

MAX_SIGNED: Final = 50
"""Maximum number of header fields that are signed."""

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_SERVICE: Final = "sqs"
_SCOPE: Final = r"([A-Za-z0-9]{1,128})/([0-9]{8})/([A-Za-z0-9-]{1,64})/([A-Za-z0-9-]{1,64})/([a-z0-9_]{1,64})"
"""A credential: the access key id, the day, the region, the service, and the constant that ends it."""

_SIGNED_NAMES: Final = "[a-z0-9;_.-]{1,2048}"
_DIGEST: Final = "[0-9a-f]{64}"
_AUTHORIZATION: Final = re.compile(
    rf"{_ALGORITHM} +Credential={_SCOPE}, *SignedHeaders=({_SIGNED_NAMES}), *Signature=({_DIGEST})", re.ASCII
)
_CREDENTIAL: Final = re.compile(_SCOPE, re.ASCII)
_NAMES: Final = re.compile(_SIGNED_NAMES, re.ASCII)
_HEX: Final = re.compile(_DIGEST, re.ASCII)
_SECONDS: Final = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)
_SIGNATURE: Final = b"X-Amz-Signature"
_TOKEN: Final = b"X-Amz-Security-Token"
_PRESIGNED: Final = (
    b"X-Amz-Algorithm",
    b"X-Amz-Credential",
    b"X-Amz-Date",
    b"X-Amz-Expires",
    b"X-Amz-SignedHeaders",
    _SIGNATURE,
)
"""Parameters of a presigned URL, all of which have to be there once."""

MAX_KEYS: Final = 1000
"""Signing keys that are cached: one for each key of an application, day and region. To make one takes six digests."""

_TIME: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z", re.ASCII)
_SPACES: Final = re.compile(rb"[ \t]+")
_UNRESERVED: Final = "-_.~"
_ROOT: Final = b"/"


@frozen
class _Claim:
    """The signature of a request, which is not verified yet.

    :ivar expires: seconds for which a presigned URL is valid; ``None`` for a signature in the header.
    """

    access_key_id: str
    date: str
    region: str
    time: str
    names: tuple[bytes, ...]
    signature: str = attrs.field(repr=False)
    expires: int | None = None

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{_SERVICE}/aws4_request"


@implementer(IAwsSignatures)
@attrs.frozen
class AwsSignatures:
    """Checks signatures; see ``IAwsSignatures``.

    :ivar owners: fires with the digests of the keys that have an id, and the application of each; fails with
        ``Unavailable``.
    :ivar digests: fires with the digests of an application's keys, as they are now; fails with ``Unavailable``.
    :ivar used: is called with the digest of each key whose signature was right.
    :ivar now: the wall clock, in seconds since 1970.
    """

    owners: Callable[[str], Deferred[Sequence[tuple[bytes, str]]]]
    digests: Callable[[str], Deferred[tuple[bytes, ...]]]
    used: Callable[[bytes], None]
    now: Callable[[], float]
    _signing_key: Callable[[bytes, str, str], bytes] = attrs.field(
        factory=lambda: lru_cache(MAX_KEYS)(_signing_key), init=False, repr=False
    )

    def check_head(self, request: AwsRequest) -> None:
        """Check what can be checked before the body is there; see ``IAwsSignatures``."""
        self._claim(request)

    @deferred
    async def check(self, request: AwsRequest) -> AwsSigner:
        """Find the signer of a request; see ``IAwsSignatures``."""
        claim = self._claim(request)
        hashed = sha256(request.body).hexdigest()
        given = request.fields.get(b"x-amz-content-sha256")
        if given is not None and (len(given) != 1 or given[0] != hashed.encode("ascii")):
            raise _false("The value of X-Amz-Content-Sha256 is not the SHA-256 of the body.")
        signer = None
        id = key_id_of(claim.access_key_id)
        known = [] if id is None else await self.owners(id)
        if not known:
            raise BadSignature("InvalidClientTokenId", "The security token included in the request is invalid.")
        text = _text(claim, _canonical(request, claim, hashed))
        for digest, application in known:
            key = self._signing_key(digest, claim.date, claim.region)
            if hmac.compare_digest(hmac.digest(key, text, "sha256").hex(), claim.signature):
                signer = AwsSigner(application, claim.access_key_id, digest, claim.region)
        if signer is None:
            raise _false("The request signature we calculated does not match the signature you provided.")
        self.used(signer.digest)
        return signer

    @deferred
    async def holds(self, signer: AwsSigner) -> bool:
        """Find out whether a key is still in force; see ``IAwsSignatures``."""
        return signer.digest in await self.digests(signer.application)

    def _claim(self, request: AwsRequest) -> _Claim:
        """Parse the header, and check everything that needs neither the body nor the key."""
        claim = _parse(request)
        if b"x-amz-security-token" in request.fields:
            raise BadSignature("InvalidClientTokenId", "Session tokens are not accepted: send credentials without one.")
        for name in request.fields:
            if name.startswith(b"x-amz-") and name not in claim.names:
                raise _false(f"The header field {name.decode('ascii', 'replace')} is not signed.")
        for name in claim.names:
            if name not in request.fields:
                raise _false(f"The header field {name.decode('ascii')} is signed, and is not there.")
        moment = _moment(claim.time)
        if claim.time[:8] != claim.date:
            raise _false("The date in the credential scope is not that of X-Amz-Date.")
        late = self.now() - moment
        if not -WINDOW <= late <= (WINDOW if claim.expires is None else claim.expires):
            if claim.expires is not None and late > 0:
                raise _false(f"Signature expired: the URL was valid for {claim.expires} seconds from {claim.time} on.")
            what = "expired" if late > 0 else "not yet current"
            raise _false(f"Signature {what}: {claim.time} differs from our time by more than {WINDOW // 60} minutes.")
        return claim


@implementer(IAwsSignatures)
@attrs.frozen
class UncheckedAwsSignatures:
    """Takes every signature for one of an application, for tests on one machine.

    A request still has to have a signature in its header: pages of other sites cannot make a browser send one. A
    presigned URL is none, since any page can have a browser ask for a URL.

    :ivar application: that everyone is.
    """

    application: str

    def check_head(self, request: AwsRequest) -> None:
        """See ``IAwsSignatures``."""
        _in_header(request)

    @deferred
    async def check(self, request: AwsRequest) -> AwsSigner:
        """See ``IAwsSignatures``."""
        claim = _in_header(request)
        return AwsSigner(self.application, claim.access_key_id, b"", claim.region)

    @deferred
    async def holds(self, signer: AwsSigner) -> bool:
        """See ``IAwsSignatures``."""
        return True


def _parse(request: AwsRequest) -> _Claim:
    if not is_presigned(request.query):
        return _in_header(request)
    if b"authorization" in request.fields:
        raise _incomplete("A request has one signature, in Authorization or in the query.")
    return _in_query(request)


def is_presigned(query: bytes) -> bool:
    """Return whether a query has a signature, valid or not."""
    return b"X-Amz-" in query or (b"%" in query and any(name.startswith(b"X-Amz-") for name, _ in _pairs(query)))


def _in_query(request: AwsRequest) -> _Claim:
    found: dict[bytes, str] = {}
    for name, value in _pairs(request.query):
        if name.lower().startswith(b"x-amz-"):
            if name in found:
                raise _incomplete(f"{name.decode('ascii', 'replace')} is given twice.")
            found[name] = value.decode("latin-1")
    if _TOKEN in found:
        raise BadSignature("InvalidClientTokenId", "Session tokens are not accepted: send credentials without one.")
    if set(found) != set(_PRESIGNED):
        raise _incomplete(
            "A presigned URL has " + ", ".join(name.decode("ascii") for name in _PRESIGNED) + ", once each."
        )
    algorithm, credential, time, expires, names, signature = (found[name] for name in _PRESIGNED)
    match = _CREDENTIAL.fullmatch(credential)
    if algorithm != _ALGORITHM or match is None or _NAMES.fullmatch(names) is None or _HEX.fullmatch(signature) is None:
        raise _incomplete("The query is not a signature by AWS4-HMAC-SHA256 with all of its parts.")
    if _SECONDS.fullmatch(expires) is None or int(expires) > MAX_EXPIRES:
        raise _incomplete(f"X-Amz-Expires is not a number of seconds from 1 to {MAX_EXPIRES}.")
    access_key_id, date, region, service, end = match.groups()
    _check_scope(service, end)
    signed = _signed_names(names)
    if b"host" not in signed:
        raise _incomplete("Host has to be signed.")
    _check_time(time)
    return _Claim(access_key_id, date, region, time, signed, signature, int(expires))


def _in_header(request: AwsRequest) -> _Claim:
    given = request.fields.get(b"authorization")
    if given is None:
        raise BadSignature("MissingAuthenticationToken", "Request is missing Authentication Token.")
    match = _AUTHORIZATION.fullmatch(given[0].decode("latin-1")) if len(given) == 1 else None
    if match is None:
        raise _incomplete("Authorization is not a signature by AWS4-HMAC-SHA256 with all of its parts.")
    access_key_id, date, region, service, end, names, signature = match.groups()
    _check_scope(service, end)
    signed = _signed_names(names)
    if b"host" not in signed or b"x-amz-date" not in signed:
        raise _incomplete("Host and X-Amz-Date have to be signed.")
    times = request.fields.get(b"x-amz-date", ())
    time = times[0].decode("latin-1") if len(times) == 1 else ""
    _check_time(time)
    return _Claim(access_key_id, date, region, time, signed, signature)


def _check_scope(service: str, end: str) -> None:
    if service != _SERVICE or end != "aws4_request":
        raise _false("Credential should be scoped to the service sqs and end with aws4_request.")


def _signed_names(names: str) -> tuple[bytes, ...]:
    signed = tuple(names.encode("ascii").split(b";"))
    if list(signed) != sorted(set(signed)) or len(signed) > MAX_SIGNED:
        raise _incomplete("The names of SignedHeaders are not sorted, or one of them is given twice.")
    return signed


def _check_time(time: str) -> None:
    if _TIME.fullmatch(time) is None:
        raise _incomplete("X-Amz-Date is not one time such as 20150830T123600Z.")


def _moment(time: str) -> int:
    try:
        # strptime takes ten times as long, and this is done for every request, twice.
        day = int(time[:4]), int(time[4:6]), int(time[6:8])
        return int(datetime(*day, int(time[9:11]), int(time[11:13]), int(time[13:15]), tzinfo=UTC).timestamp())
    except ValueError:
        raise _incomplete("X-Amz-Date is not a time.") from None


def _canonical(request: AwsRequest, claim: _Claim, hashed: str) -> bytes:
    """Return the request as it is signed."""
    names = claim.names
    fields = [b"%b:%b\n" % (name, b",".join([_trimmed(value) for value in request.fields[name]])) for name in names]
    parts = (
        request.method,
        _ROOT if request.path == _ROOT else _path(request.path),
        _query(request.query, without=None if claim.expires is None else _SIGNATURE) if request.query else b"",
        b"".join(fields),
        b";".join(names),
        hashed.encode("ascii"),
    )
    return b"\n".join(parts)


def _trimmed(value: bytes) -> bytes:
    value = value.strip(b" \t")
    return _SPACES.sub(b" ", value) if b"  " in value or b"\t" in value else value


def _path(path: bytes) -> bytes:
    """Return a path, normalised and percent-encoded in the one way that is signed."""
    return quote_from_bytes(_normalised(path), safe=f"/{_UNRESERVED}").encode("ascii")


def _normalised(path: bytes) -> bytes:
    """Return a path without its ``.`` and ``..``, and without empty segments."""
    found: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del found[-1:]
        elif segment not in (b"", b"."):
            found.append(segment)
    end = b"/" if found and path.endswith(b"/") else b""
    return b"/" + b"/".join(found) + end


def _query(query: bytes, without: bytes | None) -> bytes:
    """Return a query with its parameters sorted and percent-encoded in the one way that is signed.

    :param without: the name of the parameter that is not signed, if there is one.
    """
    pairs = [(_encoded(name), _encoded(value)) for name, value in _pairs(query) if name != without]
    return "&".join([f"{name}={value}" for name, value in sorted(pairs)]).encode("ascii")


def _pairs(query: bytes) -> list[tuple[bytes, bytes]]:
    """Return the parameters of a query. A plus sign is a space, as in forms: what is signed is what is understood."""
    found = []
    for part in filter(None, query.replace(b"+", b"%20").split(b"&")):
        name, _, value = part.partition(b"=")
        found.append((unquote_to_bytes(name), unquote_to_bytes(value)))
    return found


def _encoded(text: bytes) -> str:
    return quote_from_bytes(text, safe=_UNRESERVED)


def _text(claim: _Claim, canonical: bytes) -> bytes:
    """Return the string to sign."""
    return "\n".join((_ALGORITHM, claim.time, claim.scope, sha256(canonical).hexdigest())).encode("ascii")


def _signing_key(digest: bytes, date: str, region: str) -> bytes:
    """Return the key with which requests of a day and a region are signed.

    :param digest: of the key of the application.
    """
    key = b"AWS4" + aws_key(digest).secret.encode("ascii")
    for part in (date, region, _SERVICE, "aws4_request"):
        key = hmac.digest(key, part.encode("ascii"), "sha256")
    return key


def _false(text: str) -> BadSignature:
    return BadSignature("SignatureDoesNotMatch", text)


def _incomplete(text: str) -> BadSignature:
    return BadSignature("IncompleteSignature", text)
