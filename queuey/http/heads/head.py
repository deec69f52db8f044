"""Parse the head of a request strictly: everything except exact HTTP/1.1 or 1.0 is refused. No I/O happens here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import AddressValueError, IPv6Address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from queuey.http.connection.limits import TOO_LARGE, Refused, bad_request, headers_too_large
from queuey.model.telemetry.trace import context_of
from queuey.model.values import frozen

if TYPE_CHECKING:
    from queuey.http.heads.plan import Plan

MAX_FIELDS: Final = 100
"""Header fields that one request may have."""

_TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TEXT: Final = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))
_LINES: Final = _TEXT + b"\r\n"
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}) ([!-~]+) HTTP/1\.([01])")
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?#]*)(.*)")
_HOST: Final = re.compile(
    rb"(?:\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?))"
    rb"(?::(?P<port>[0-9]{0,5}))?"
)
_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_SANE_ID: Final = re.compile(rb"[A-Za-z0-9._~+/=:@-]{1,128}")
_MAX_DIGITS: Final = 18

Fields = Mapping[bytes, Sequence[bytes]]
"""Header fields: names in lower case, values in the order received. They must not be modified, because many requests
may share one head."""


def legal_text(line: bytes | bytearray) -> bool:
    """Whether a single line has no control character, a tab excepted."""
    return not line.translate(None, _TEXT)


def legal_lines(lines: bytes | bytearray) -> bool:
    """Whether lines have no control character, and CR and LF always together."""
    pairs = lines.count(b"\r\n")
    return not lines.translate(None, _LINES) and lines.count(b"\r") == pairs == lines.count(b"\n")


def illegal() -> Refused:
    """Make the error of a head that has illegal characters."""
    return bad_request("The head of the request has a control character, or a line that does not end with CR LF.")


@frozen
class RequestLine:
    """The first line of a request.

    :ivar target: as it was sent.
    :ivar path: percent-encoded, begins with a slash (or is ``*``, of OPTIONS only), decodes to UTF-8.
    :ivar query: what stood behind the question mark.
    :ivar authority: the host that an absolute target named.
    :ivar persistent: whether this is HTTP/1.1.
    """

    method: bytes
    target: bytes
    path: bytes
    query: bytes
    authority: bytes | None
    persistent: bool


class Head:
    """A complete head and what follows from it alone; many requests may share it.

    :ivar closes: whether the connection is closed after the answer.
    :ivar host: the host of the request, once :meth:`settle` has found it; ``None`` if an HTTP/1.0 request names none.
    :ivar length: bytes of the body, also set by :meth:`settle`; ``None`` for a chunked body.
    :ivar asks: whether the client waits for 100 (Continue) before it sends the body.
    :ivar whole: whether the handler wants the body as a whole; set once that was decided.
    :ivar max_body: the limit of the body in bytes in that case, or ``None``.
    :ivar request_id: the client's own id for the request, if it is valid.
    :ivar trace: the trace that the client says the request belongs to (W3C Trace Context).
    :ivar shown: the method and the target as the log shows them, once they were logged.
    :ivar plan: what the handler worked out from this head. It does not depend on the fields that change with every
        request, lives as long as the head, and is handed on to the next head that differs only in those fields.
    :ivar serve: serves a request that has a plan, in place of the site's resource, if set.
    """

    __slots__ = (
        "asks", "closes", "fields", "host", "length", "line", "max_body", "plan", "request_id", "serve", "shown",
        "trace", "whole",
    )  # fmt: skip

    def __init__(self, line: RequestLine, fields: Fields) -> None:
        self.line = line
        self.fields = fields
        # What comes behind a CONNECT may have been meant for the tunnel that there is not.
        self.closes = not line.persistent or line.method == b"CONNECT" or _asks_to_close(fields)
        self.host: bytes | None = None
        self.length: int | None = 0
        self.asks = False
        self.whole = False
        self.max_body: int | None = None
        self.request_id = _sane_id(fields)
        parents = fields.get(b"traceparent")
        self.trace = None if parents is None else context_of(parents, fields.get(b"tracestate", ()))
        self.shown: tuple[str, str] | None = None
        self.plan: Plan | None = None
        self.serve: Callable[[Any], None] | None = None

    def varied(self, values: Iterable[tuple[bytes, bytes]]) -> Head:
        """The head that differs from this one in the values of some fields that are new each time, and came once each.

        :param values: by the names of the fields.
        :raise Refused: if the length of the body cannot be determined for certain.
        """
        before = self.fields
        fields: dict[bytes, Sequence[bytes]] = dict(before)
        for name, value in values:
            if value != before[name][0]:
                fields[name] = [value]
        head = Head.__new__(Head)
        head.line, head.fields, head.closes, head.host, head.asks = self.line, fields, self.closes, self.host, self.asks
        head.whole, head.max_body, head.length = self.whole, self.max_body, self.length
        head.request_id, head.trace = self.request_id, self.trace
        head.plan, head.serve, head.shown = self.plan, self.serve, self.shown
        if fields.get(b"content-length") is not before.get(b"content-length"):
            head.length = body_length(head)
            # If there was no body, no handler was asked how it reads one.
            head.whole = self.whole and self.length != 0
        if fields.get(b"x-request-id") is not before.get(b"x-request-id"):
            head.request_id = _sane_id(fields)
        if b"traceparent" in fields:
            head.trace = context_of(fields[b"traceparent"], fields.get(b"tracestate", ()))
        return head

    def settle(self) -> None:
        """Find the host and the length of the body.

        :raise Refused: if they cannot be determined for certain.
        """
        self.host = settle_host(self)
        self.length = body_length(self)
        expected = self.fields.get(b"expect")
        self.asks = expected is not None and self.line.persistent and b"100-continue" in map(bytes.lower, expected)


NEW_EACH_TIME: Final = frozenset(
    (b"content-length", b"x-request-id", b"idempotency-key", b"traceparent", b"tracestate", b"x-forwarded-for")
)
"""Fields whose values differ from request to request. What is remembered about a head must not depend on them."""


def _sane_id(fields: Fields) -> str | None:
    given = fields.get(b"x-request-id")
    if given is not None and len(given) == 1 and _SANE_ID.fullmatch(given[0]) is not None:
        return given[0].decode("ascii")
    return None


def _asks_to_close(fields: Fields) -> bool:
    values = fields.get(b"connection")
    if values is None:
        return False
    return b"close" in [token.strip(b" \t") for token in b",".join(values).lower().split(b",")]


def parse_request_line(line: bytes) -> RequestLine:
    """Take a request line apart.

    :raise Refused: if it is malformed.
    """
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise bad_request("The first line of the request is not a request line of HTTP/1.1 or HTTP/1.0.")
    method, target, minor = match.groups()
    return take_target(method, target, minor == b"1")


def take_target(method: bytes, target: bytes, persistent: bool) -> RequestLine:
    """Take the target of a request apart; it is known to have visible characters only.

    :param persistent: whether this is HTTP/1.1.
    :raise Refused: if it is malformed.
    """
    authority = None
    local = target
    if target[0] != 0x2F:
        authority, local = _local_target(method, target)
    path, _, query = local.partition(b"?")
    if b"#" in local:
        raise bad_request("The request target has a fragment.")
    if b"%" in path:
        _check_escapes(path)
    return RequestLine(method, target, path, query, authority, persistent)


def _local_target(method: bytes, target: bytes) -> tuple[bytes | None, bytes]:
    """The host and the path of a target that does not begin with a slash."""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None:
        authority, local = absolute.groups()
        check_host(authority)
        return authority, local if local.startswith(b"/") else b"/" + local
    if method == b"OPTIONS" and target == b"*":
        return None, target
    if method == b"CONNECT":
        check_host(target)
        return None, b"/"
    raise bad_request("The request target is neither a path nor an http URI.")


def _check_escapes(path: bytes) -> None:
    if _BROKEN_ESCAPE.search(path) is not None:
        raise bad_request("The path has a percent sign without two hexadecimal digits.")
    try:
        unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        raise bad_request("The path is not UTF-8.") from None


def check_host(host: bytes) -> None:
    """Make sure that a Host field is ``host`` or ``host:port``.

    :raise Refused: if it is not.
    """
    match = _HOST.fullmatch(host)
    good = match is not None and len(host) <= 262 and int(match["port"] or 0) <= 65535
    if match is not None and match["six"] is not None:
        try:
            IPv6Address(match["six"].decode("ascii"))
        except AddressValueError:
            good = False
    if not good:
        raise bad_request("The Host field is not a host, with or without a port.")


_FREQUENT: Final = (
    b"Accept", b"Accept-Encoding", b"Accept-Language", b"Authorization", b"Connection", b"Content-Length",
    b"Content-Type", b"Host", b"Idempotency-Key", b"Origin", b"Referer", b"User-Agent", b"X-Request-Id",
)  # fmt: skip
NAMES: Final = {way: name.lower() for name in _FREQUENT for way in (name, name.lower())}
"""The names of fields that most requests have, in lower case, by how they are mostly written: to have one object for
each takes less time and less memory."""


def parse_fields(section: bytes) -> Fields:
    """Take the lines of a header apart; they have been found to be of legal characters.

    :raise Refused: if a line is not a header field, or if there are too many.
    """
    fields: dict[bytes, list[bytes]] = {}
    if not section:
        return fields
    lines = section.split(b"\r\n")
    if len(lines) > MAX_FIELDS:
        raise headers_too_large(f"{MAX_FIELDS} fields")
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name.translate(None, _TOKEN):
            raise bad_request("A line of the header is not a header field.")
        name, value = NAMES.get(name) or name.lower(), value.strip(b" \t")
        if name in fields:
            fields[name].append(value)
        else:
            fields[name] = [value]
    return fields


def settle_host(head: Head) -> bytes | None:
    """Find the host that a request is meant for; an absolute target comes before the Host field.

    :return: ``None`` for a request of HTTP/1.0 that names none.
    :raise Refused: if there is not exactly one valid Host field.
    """
    values = head.fields.get(b"host")
    if values is None:
        if head.line.persistent:
            raise bad_request("The request has no Host field.")
        return head.line.authority
    if len(values) != 1:
        raise bad_request("The request has more than one Host field.")
    check_host(values[0])
    return head.line.authority or values[0]


def body_length(head: Head) -> int | None:
    """The length of a request's body, as its head announces it.

    :return: bytes; ``None`` for a chunked body.
    :raise Refused: if that cannot be determined for certain.
    """
    lengths = head.fields.get(b"content-length")
    codings = head.fields.get(b"transfer-encoding")
    if codings is not None:
        if lengths is not None:
            raise bad_request("The request has a Content-Length and a Transfer-Encoding.")
        if not head.line.persistent:
            raise bad_request("A Transfer-Encoding needs HTTP/1.1.")
        if len(codings) != 1 or codings[0].lower() != b"chunked":
            raise bad_request("The only Transfer-Encoding understood is chunked.")
        return None
    if lengths is None:
        return 0
    if len(lengths) != 1 or not lengths[0].isdigit():
        raise bad_request("The Content-Length is not one number.")
    digits = lengths[0].lstrip(b"0")
    if len(digits) > _MAX_DIGITS:
        raise Refused(TOO_LARGE)
    return int(digits or b"0")
