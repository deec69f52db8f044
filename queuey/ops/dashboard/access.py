"""Access to the dashboard: everyone who reaches it gets the page; calls need a token and the page's own origin."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import ceil
from typing import Any, Final

from twisted.web.resource import Resource

from queuey.http.connection.limits import Refusal
from queuey.http.wire import Request
from queuey.model.applications.rights import DashboardToken
from queuey.ops import access
from queuey.ops.access import CALL, READ, is_json, refuse, refuse_method
from queuey.ops.callers import MethodCaller
from queuey.ops.dashboard import rights
from queuey.ops.dashboard.attempts import LONG, Attempts
from queuey.ops.dashboard.files import StaticFile
from queuey.ops.dashboard.live import LiveNumbers
from queuey.ops.dashboard.tokens import Tokens
from queuey.ops.rpc import RPC

RPC_PATH: Final = b"/rpc"
LIVE_PATH: Final = b"/live"

SECURITY: Final = (
    (
        b"Content-Security-Policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        b"require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
)
"""Header fields of every answer."""

_ORIGIN: Final = re.compile(rb"https?://(.+)")


class DashboardAccess(Resource):
    """The root of the dashboard's listener.

    :param files: of the page, by path.
    :param rpc: the methods.
    :param live: the streams of numbers.
    :param tokens: the tokens that are valid.
    :param attempts: counts false tokens.
    :param hosts: names of this listener besides those of loopback, as they are now.
    :param peek: whether any token may show messages, as it is now.
    """

    isLeaf = True

    def __init__(
        self,
        files: Mapping[bytes, StaticFile],
        rpc: RPC,
        live: LiveNumbers,
        tokens: Tokens,
        attempts: Attempts,
        hosts: Callable[[], tuple[str, ...]],
        peek: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._files = files
        self._rpc = rpc
        self._live = live
        self._tokens = tokens
        self._attempts = attempts
        self._hosts = hosts
        self._peek = peek

    def render(self, request: Request) -> Any:
        """Let a request in, or refuse it; connections of refused clients are closed, since there are few."""
        if not access.names_us(request, self._hosts()):
            text = "The dashboard is not served under this host name; [server] dashboard_hosts lists its names."
            return _forbid(request, text)
        methods = {RPC_PATH: CALL, LIVE_PATH: (b"GET",)}.get(request.path)
        if methods is None:
            return self._send_file(request)
        if not _is_same_origin(request):
            return _forbid(request, "The dashboard answers only its own page; programs use the operators' port.")
        if request.method not in methods:
            return refuse_method(request, methods)
        token = self._token(request)
        if not isinstance(token, DashboardToken):
            return token
        caller = MethodCaller(
            f"token {token.name} {request.client_host}", lambda name: rights.check(token, name, self._peek()), token
        )
        if request.path == LIVE_PATH:
            return self._live.begin(request, token, caller)
        if not is_json(request):
            return refuse(request, 415, "unsupported-media-type", "The body must be application/json.")
        return self._rpc.serve(request, caller)

    def _send_file(self, request: Request) -> bytes:
        found = self._files.get(request.path)
        if found is None:
            return refuse(request, 404, "nothing-here", "There is nothing at this path.")
        if request.method not in READ:
            return refuse_method(request, READ)
        request.setHeader(b"Content-Type", found.kind)
        request.setHeader(b"Cache-Control", found.caching)
        return found.body

    def _token(self, request: Request) -> DashboardToken | bytes:
        """Return the token of a request, or the body of the refusal."""
        address, shown = request.client_host, access.bearer(request)
        wait = self._attempts.wait(address)
        # False tokens must not keep the holder of a true one at the same address out; only one that is so short that
        # it could be guessed has to wait too.
        if shown is not None and (not wait or len(shown) >= LONG):
            found = self._tokens.find(shown)
            if found is not None:
                return found
        request.closing = True
        if wait:
            headers = ((b"Retry-After", b"%d" % ceil(wait)),)
            text = "Too many false tokens came from this address; wait for a while."
            return refuse(request, 429, "too-many-requests", text, headers)
        if shown is not None:
            self._attempts.failed(address)
        headers = ((b"WWW-Authenticate", b"Bearer"),)
        text = "The token is missing, wrong or expired. Send it as Authorization: Bearer <token>."
        return refuse(request, 401, "unauthorized", text, headers)


def _forbid(request: Request, text: str) -> bytes:
    request.closing = True
    return refuse(request, 403, "forbidden", text)


def _is_same_origin(request: Request) -> bool:
    """Return whether the browser's header fields show that a page of this origin makes the request.

    Browsers send ``Sec-Fetch-Site`` with each request to loopback or by TLS, and ``Origin`` with each ``POST``; no page
    can set either.
    """
    if request.fields.get(b"sec-fetch-site") != [b"same-origin"]:
        return False
    origins = request.fields.get(b"origin")
    if origins is None:
        return request.method == b"GET"
    match = _ORIGIN.fullmatch(origins[0])
    return len(origins) == 1 and match is not None and match[1].lower() == (request.head.host or b"").lower()


def render_refusal(request: Request | None, refusal: Refusal) -> tuple[Mapping[str, str], bytes]:
    """The answer to a request that is refused before it comes here: too large, too late, or malformed."""
    headers, body = access.render_refusal(request, refusal)
    if request is None:
        return {**headers, **{name.decode(): value.decode() for name, value in SECURITY}}, body
    return headers, body


def add_security(request: Request) -> None:
    """Add the header fields of every answer."""
    request.added = SECURITY
