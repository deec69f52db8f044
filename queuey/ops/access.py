"""Access to the operators' port: refuses requests of web pages, and those without a token that is needed."""

from __future__ import annotations

import json
import pwd
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Final

import attrs
from twisted.web.resource import IResource, Resource

from queuey.http.connection.limits import Refusal
from queuey.http.wire import Request
from queuey.ops import faults
from queuey.ops.faults import Failed
from queuey.ops.health import HealthPage

RPC: Final = b"/rpc"
LIVE: Final = b"/live"
READY: Final = b"/ready"

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names by which the port may always be asked for: no page of another origin has them."""

_CREDENTIALS: Final = struct.Struct("3i")
"""Linux's struct of the peer credentials of a local socket: process, user, group."""

_BROWSERS: Final = (b"origin", b"sec-fetch-site", b"referer")
"""Header fields that browsers send with requests of a page, and other clients do not."""


@attrs.frozen
class Endpoint:
    """The resource at a path.

    :ivar methods: those that it takes; one that takes ``POST`` takes JSON alone.
    """

    resource: IResource
    methods: tuple[bytes, ...]


READ: Final = (b"GET", b"HEAD")
CALL: Final = (b"POST",)


class OperatorsRoot(Resource):
    """The root of the operators' port.

    :param pages: what there is, by its path.
    :param health: pages that everyone may read, by any name of the port and without the token, because monitors of many
        daemons have neither. Operators get more details.
    :param hosts: names of the port besides those of loopback, as they are now.
    :param token: the SHA-256 digest of the token, as it is now, or ``None``.
    """

    isLeaf = True

    def __init__(
        self,
        pages: Mapping[bytes, Endpoint],
        health: Mapping[bytes, HealthPage],
        hosts: Callable[[], tuple[str, ...]],
        token: Callable[[], bytes | None],
    ) -> None:
        super().__init__()
        self._pages = pages
        self._health = health
        self._hosts = hosts
        self._token = token

    def render(self, request: Request) -> Any:
        """Let a request in, or refuse it; connections of refused clients are closed, since there are few."""
        if any(name in request.fields for name in _BROWSERS):
            return self._forbid(request)
        if request.path in self._health:
            return self._tell(request, self._health[request.path])
        if not names_us(request, self._hosts()):
            return self._forbid(request)
        if not self._shows_token(request):
            request.closing = True
            headers = ((b"WWW-Authenticate", b"Bearer"),)
            text = "The operators' token is missing or wrong. Send it as Authorization: Bearer <token>."
            return refuse(request, 401, "unauthorized", text, headers)
        page = self._pages.get(request.path)
        if page is None:
            return refuse(request, 404, "nothing-here", "There is nothing at this path.")
        if request.method not in page.methods:
            return refuse_method(request, page.methods)
        if request.method == b"POST" and not is_json(request):
            return refuse(request, 415, "unsupported-media-type", "The body must be application/json.")
        return page.resource.render(request)

    @staticmethod
    def _forbid(request: Request) -> bytes:
        request.closing = True
        text = "This port refuses browsers, and hosts other than this machine's own names and [server] ops_hosts."
        return refuse(request, 403, "forbidden", text)

    def _tell(self, request: Request, page: HealthPage) -> Any:
        if request.method not in READ:
            return refuse_method(request, READ)
        known = names_us(request, self._hosts()) and self._shows_token(request)
        request.closing = request.closing or not known
        return page.tell(request, reasons=known)

    def _shows_token(self, request: Request) -> bool:
        wanted = self._token()
        if wanted is None:
            return True
        shown = bearer(request)
        # Digests are compared in constant time; the sender of a token cannot choose its digest.
        return shown is not None and compare_digest(sha256(shown).digest(), wanted)


def names_us(request: Request, hosts: Sequence[str]) -> bool:
    """Return whether each host that a request names is one of loopback or one of ours."""
    ours = LOOPBACK.union([name.strip("[]") for name in hosts])
    return ours.issuperset([host.decode("latin-1").lower() for host in request.hostnames()])


def bearer(request: Request) -> bytes | None:
    """Return the token that a request shows, or ``None``."""
    shown = request.fields.get(b"authorization", [])
    if len(shown) != 1:
        return None
    scheme, _, value = shown[0].partition(b" ")
    return value.strip() if scheme.lower() == b"bearer" else None


def is_json(request: Request) -> bool:
    """Return whether the body of a request is JSON by its header."""
    kinds = request.fields.get(b"content-type", [])
    if len(kinds) != 1 or b"content-encoding" in request.fields:
        return False
    kind, _, parameters = kinds[0].lower().partition(b";")
    return kind.strip() == b"application/json" and parameters.strip() in (b"", b"charset=utf-8", b'charset="utf-8"')


def refuse_method(request: Request, methods: tuple[bytes, ...]) -> bytes:
    """Return the body of the answer to a method that a path does not take."""
    allow = b", ".join(methods)
    text = f"This path takes {allow.decode()}."
    return refuse(request, 405, "method-not-allowed", text, ((b"Allow", allow),))


def refuse(request: Request, status: int, word: str, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    """Set the status and the header of a refusal, and return its body."""
    fields, body = _refusal(Failed(faults.INVALID_REQUEST, word, text))
    request.setResponseCode(status)
    for name, value in (*headers, *((name.encode(), value.encode()) for name, value in fields.items())):
        request.setHeader(name, value)
    return body


def render_refusal(request: Request | None, refusal: Refusal) -> tuple[Mapping[str, str], bytes]:
    """The answer to a request that is refused before it comes here: too large, too late, or malformed."""
    return _refusal(faults.of_refusal(refusal))


def _refusal(failed: Failed) -> tuple[Mapping[str, str], bytes]:
    document = {"jsonrpc": "2.0", "error": failed.document, "id": None}
    return {"Content-Type": "application/json"}, json.dumps(document, separators=(",", ":")).encode("ascii")


def who(request: Request) -> str:
    """Return the sender of a request: the user of this machine, or the address that it came from."""
    try:
        handle = request.connection.transport.getHandle()  # type: ignore[attr-defined]
        if handle.family != socket.AF_UNIX:
            return request.client_host
        _, user, _ = _CREDENTIALS.unpack(handle.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    except (AttributeError, OSError):
        return request.client_host
    try:
        return f"user {pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"user {user}"
