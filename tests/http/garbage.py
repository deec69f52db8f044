"""Requests that make little sense, for hypothesis to draw: what is nearly right finds more than what is random."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlencode

import attrs
from hypothesis import strategies as st

from tests.http.api_support import KEY, OTHER_KEY
from tests.http.garbage_targets import ANY_TEXT, FIELDS, ID, IDS, LATIN, NUMBERS, QUERIES, TARGETS, large, short
from tests.http.wire_support import encode_chunks

METHODS = st.one_of(
    st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]),
    st.sampled_from(["PATCH", "TRACE", "CONNECT", "get", "Post", "PROPFIND", "!", "A" * 64]),
)


CONTENT_TYPES = st.one_of(
    st.sampled_from(
        ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/json;charset=x"]
    ),
    st.sampled_from(
        ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "multipart/form-data", ""]
    ),
    st.sampled_from(
        ['multipart/form-data; boundary="b\\"', "multipart/form-data; boundary=" + "b" * 200, "text/plain", ";"]
    ),
    st.sampled_from(
        ['multipart/form-data; boundary=b; boundary="c"', "application/json;charset=", "a/b; c*=utf-8''%ff"]
    ),
    LATIN,
)
AUTHORIZATIONS = st.one_of(
    st.sampled_from([f"Application {KEY}"] * 4 + [f"Application {OTHER_KEY}", f"application  {KEY} ", "Application x"]),
    st.sampled_from(["Application", "Application ", ";", f"Application {KEY};", f";BrowserID x; Application {KEY}"]),
    st.sampled_from(
        ["BrowserID x", "Basic eDp5", "Bearer ..", "Application \xff\xfe", "a" * 9000, f"Application {KEY}x"]
    ),
    LATIN,
)
HEADER = short(
    st.one_of(
        st.tuples(st.just("Content-Type"), CONTENT_TYPES),
        st.tuples(st.just("Authorization"), AUTHORIZATIONS),
        st.tuples(
            st.sampled_from(["X-TTL", "X-Partition", "x-ttl"]), NUMBERS.map(lambda t: t.encode().decode("latin-1"))
        ),
        st.tuples(
            st.just("Origin"), st.sampled_from(["http://a.example", "null", "http://evil.example", "", "*"]) | LATIN
        ),
        st.tuples(st.just("Access-Control-Request-Method"), st.sampled_from(["GET", "PUT", "", "get, put"]) | LATIN),
        st.tuples(
            st.just("Access-Control-Request-Headers"), st.sampled_from(["authorization", "x-ttl, x", ""]) | LATIN
        ),
        st.tuples(st.just("X-Request-Id"), st.sampled_from(["mine", "a" * 128, "a" * 129, "", "a b"]) | LATIN),
        st.tuples(
            st.just("X-Forwarded-For"),
            st.sampled_from(
                ["10.0.0.1", "10.0.0.1, 192.0.2.7", "::1", "unknown", "[::1]:80", "10.0.0.1:9", ",", "999.1.1.1"]
            )
            | LATIN,
        ),
        st.tuples(st.just("Expect"), st.sampled_from(["100-continue", "200-ok", ""])),
        st.tuples(st.just("Connection"), st.sampled_from(["close", "keep-alive", "Upgrade", "", ", ,"])),
        st.tuples(st.just("Host"), st.sampled_from(["localhost", "localhost:80", "[::1]", "a b", "a, b", ""])),
        st.tuples(
            st.sampled_from(
                ["Accept", "Accept-Encoding", "If-None-Match", "If-Match", "Range", "Cookie", "TE", "Upgrade"]
            )
            | st.sampled_from(["Content-Encoding", "X-HTTP-Method-Override", "Forwarded", "Date", "X", "Content-MD5"]),
            st.sampled_from(["*", "gzip", "bytes=0-1", '"a"', "a=b; c", "h2c", "PUT"]) | LATIN,
        ),
    )
)

_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),  # with halves of surrogate pairs
    st.sampled_from(["body", "", "1", 10**400, -(10**400), 1e308, "\ud800", "\x00", ID]),
)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_MESSAGE = st.one_of(
    st.fixed_dictionaries(
        {"body": st.just("x") | _LEAVES}, optional={"ttl": _LEAVES, "partition": _LEAVES, "x": _JSON}
    ),
    st.just({"body": "x"}),
    _JSON,
)
_DOCUMENTS = st.one_of(st.fixed_dictionaries({"messages": st.lists(_MESSAGE, max_size=3) | _JSON}), _JSON)
ODD_JSON = (
    b"",
    b"{",
    b'{"messages"',
    b'{"messages":[',
    b'{"messages":[{"body":"a","ttl":' + b"9" * 6000 + b"}]}",
    b"NaN",
    b'{"messages":[{"body":"a","ttl":Infinity}]}',
    b'{"messages":[{"body":"a","ttl":1e999999}]}',
    b'{"messages":[{"body":"\\ud800"}]}',
    b"\xef\xbb\xbf{}",
    b'{"messages":[]}',
    b'{"messages":[],"messages":[{"body":"a"}]}',
    b'{"messages":[{"body":"\\u0000"}]}',
    b'"\xff"',
    '{"messages":[]}'.encode("utf-16"),
    b'{"messages":[]}',
    b'{"messages":[{"body":"a"},]}',
    b"{'messages':[]}",
    b'{"messages":[{"body":"a"}]}x',
    *(b'{"messages":%b}' % text for text in (b"null", b"{}", b"[null]", b"[[]]", b'["a"]', b"[1]", b"[{}]", b"[true]")),
    *(b'{"messages":[{"body":%b}]}' % text for text in (b"null", b"1", b'""', b"[]", b"{}", b"true", b'"\\udc00x"')),
)
JSON_BODIES = short(
    st.one_of(
        st.tuples(_DOCUMENTS, st.booleans()).map(lambda drawn: _dumped(*drawn)),
        st.sampled_from(ODD_JSON),
        large((b"[", 5000), (b"[", 100_000), (b'{"messages":', 3000), (b"1", 10_000), (b'{"":[', 40_000)),
        large((b"[]", 400), (b"[1,", 400)).map(lambda text: b'{"messages":[' + text + b'{"body":"a"}]}'),
        large((b'{"body":"a"},', 999)).map(lambda text: b'{"messages":[' + text + b'{"body":"a"}]}'),
        large((b"[", 50_000)).map(lambda text: b'{"messages":' + text + text.replace(b"[", b"]") + b"}"),
    )
)


def _dumped(document: object, ascii_only: bool) -> bytes:
    return json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


def _multipart(parts: Sequence[tuple[str, str]], damage: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), value.encode())
        for name, value in parts
    )
    return (body + b"--b--\r\n").replace(*damage, 1)


DAMAGES = (
    (b"\r\n", b"\r\n"),
    (b"\r\n", b"\n"),
    (b"--b--", b""),
    (b"--b--", b"--b"),
    (b"--b", b"-b"),
    (b"name=", b"nam="),
    (b'"', b""),
    (b"form-data", b"attachment"),
    (b"\r\n\r\n", b"\r\n"),
    (b"Content-Disposition", b"\x00"),
    (b"form-data;", b""),
    (b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"),
    (b"\r\n\r\n", b"\r\n" + b"a" * 9000 + b": b\r\n\r\n"),
    (b"\r\n\r\n", b"\r\nContent-Type: text/plain; charset=utf-16\r\n\r\n"),
    (b"name=", b"filename=a; name*=utf-8''%ff; x="),
    (b"\r\n\r\n", b"\r\n\r\n\xff"),
    (b'name="', b'name="\xff'),
    (b"--b\r\n", b"--b\r\n\r\n"),
)
_DAMAGE = st.sampled_from(DAMAGES)
ODD_FORMS = (
    *(b"%", b"queue_name=%ff", b"queue_name=\xff", b"a=b&" * 1001, b"=&=&", b"--b", b"--b--", b"\r\n--b\r\n\r\n"),
    *(_multipart([("queue_name", "q"), ("partitions", "2")], damage) for damage in DAMAGES),
)
FORM_BODIES = short(
    st.one_of(
        FIELDS.map(lambda fields: urlencode(fields).encode()),
        st.tuples(FIELDS, _DAMAGE).map(lambda drawn: _multipart(*drawn)),
        st.sampled_from(ODD_FORMS),
        st.binary(max_size=40),
    )
)
BODIES = short(
    st.one_of(
        st.none(),
        JSON_BODIES,
        FORM_BODIES,
        st.binary(max_size=60),
        ANY_TEXT.map(str.encode),
        large((b"x", 70_000), (b"\xff", 2000)),
    )
)


@attrs.frozen
class Garbage:
    """One request, in as far as it is one."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    chunked: bool

    def encoded(self) -> bytes:
        """Its bytes."""
        fields = list(self.headers)
        names = {name.lower() for name, _ in fields}
        if "host" not in names:
            fields.insert(0, ("Host", "localhost"))
        body = self.body or b""
        if self.chunked:
            fields.append(("Transfer-Encoding", "chunked"))
            body = encode_chunks(piece for piece in (body[:7], body[7:]) if piece)
        elif self.body is not None:
            fields.append(("Content-Length", str(len(body))))
        head = "\r\n".join([f"{self.method} {self.target} HTTP/1.1", *(f"{n}: {v}" for n, v in fields), "", ""])
        return head.encode("latin-1", "replace") + body


_SOME_HEADERS = st.lists(HEADER, max_size=5).map(tuple)
_OWNERS_HEADERS = st.tuples(_SOME_HEADERS, CONTENT_TYPES).map(
    lambda drawn: (
        ("Authorization", f"Application {KEY}"),
        ("Content-Type", drawn[1]),
        *(field for field in drawn[0] if field[0] not in ("Authorization", "Content-Type", "Host")),
    )
)
_CALLERS_HEADERS = st.tuples(AUTHORIZATIONS, _SOME_HEADERS).map(
    lambda drawn: (("Authorization", drawn[0]), *(field for field in drawn[1] if field[0] != "Host"))
)
HEADERS = short(st.one_of(_OWNERS_HEADERS, _CALLERS_HEADERS, _SOME_HEADERS))
REQUESTS = short(st.builds(Garbage, METHODS, TARGETS, HEADERS, BODIES, st.booleans()))

_FORMS = st.sampled_from(["application/x-www-form-urlencoded", "multipart/form-data; boundary=b"])
QUEUE_REQUESTS = short(
    st.one_of(
        st.builds(
            Garbage,
            st.sampled_from(["POST", "PUT"]),
            st.sampled_from(["/v1/app", "/v1/app/q", "/v1/app/"]),
            st.tuples(_OWNERS_HEADERS, _FORMS).map(
                lambda drawn: (drawn[0][0], ("Content-Type", drawn[1]), *drawn[0][2:])
            ),
            FORM_BODIES,
            st.booleans(),
        ),
        st.builds(
            Garbage,
            st.just("POST"),
            st.just("/v1/app/q"),
            _OWNERS_HEADERS.map(lambda fields: (fields[0], ("Content-Type", "application/json"), *fields[2:])),
            JSON_BODIES,
            st.booleans(),
        ),
        st.builds(
            Garbage,
            st.just("GET"),
            st.tuples(st.sampled_from(["/v1/app", "/v1/app/q"]), QUERIES).map("".join),
            _OWNERS_HEADERS,
            st.none(),
            st.just(False),
        ),
        st.builds(
            Garbage,
            st.sampled_from(["GET", "PUT", "DELETE"]),
            IDS.map(lambda ids: f"/v1/app/q/{ids}"),
            _OWNERS_HEADERS,
            BODIES,
            st.booleans(),
        ),
    )
)
"""Requests that reach the handlers, wrong in one place only."""

SETTINGS = st.fixed_dictionaries(
    {
        "server": st.fixed_dictionaries(
            {},
            optional={
                "max_body": st.sampled_from(["1", "100", "64KiB", "1MiB"]),
                "max_header": st.sampled_from(["1KiB", "64KiB"]),
                "forwarded": st.sampled_from(["192.0.2.0/24", "192.0.2.7 10.0.0.0/8", "::/0"]),
            },
        ),
        "application:app": st.fixed_dictionaries(
            {},
            optional={
                "cors_origins": st.sampled_from(["*", "http://a.example", "http://a.example https://b.example:8443"]),
                "consistency": st.sampled_from(["weak", "very_strong"]),
                "ttl": st.sampled_from(["1", "33554432"]),
                "max_queues": st.sampled_from(["1", "2"]),
                "max_bytes": st.sampled_from(["1", "1000"]),
                "max_body": st.just("1"),
            },
        ),
    }
)
"""Settings of the server and of the application ``app``."""
