"""Requests of the largest permitted size, in the shapes that cost a server the most; :mod:`bench.shapes` sends them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import attrs

from bench.servers import KEY

BODY: Final = 1 << 20
"""Bytes of a body at the most: the default of ``max_body``."""

HEAD: Final = 60 << 10
"""Bytes of a query, a path or a header field; the default of ``max_header`` leaves some room for the rest."""

CROWD: Final = 100
"""Streams of the same lines at the same time; they are many requests, which are to share what one may use."""

CROWDED: Final = 8000
"""Bytes of each of those, all of which come at once."""

CROWDS: Final = ("empty objects", "eight wrong members", "messages with a ttl")

QUEUE: Final = "/v2/bench/queues/q"
MESSAGES: Final = f"{QUEUE}/messages"
GROUP: Final = f"{QUEUE}/groups/g"
GROUPS: Final = {
    f"{QUEUE}/groups/bykey": b'{"order":"key"}',
    f"{QUEUE}/groups/limit": b'{"max_in_flight":1}',
}
"""More groups, and their settings. The queue has messages of many keys, and of one."""

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
BATCH: Final = "application/vnd.queuey.messages+json"
NDJSON: Final = "application/x-ndjson"
PATCH: Final = "application/merge-patch+json"

HEX: Final = "0" * 12 + "10" + "00" + "8" + "0" * 15
"""An id of v1; four hexadecimal digits before the variant are the time's high ones."""


@attrs.frozen
class Shape:
    """One request.

    :ivar name: says what is special about it.
    :ivar asked: its head and its body; many requests have the same body.
    :ivar operators: whether it is for the operators' port.
    :ivar crowd: on how many connections it is sent at the same time.
    """

    name: str
    asked: tuple[bytes, bytes]
    operators: bool = False
    crowd: int = 1

    @property
    def wrong_calls(self) -> bool:
        """Whether these are calls of operators that are answered with errors, which have the status 200."""
        return self.operators and self.method == "POST" and "100 " not in self.name

    @property
    def method(self) -> str:
        """The method, by which the end of the answer is found."""
        return self.asked[0].partition(b" ")[0].decode("ascii")


def ask(
    method: str, path: str, body: bytes = b"", *fields: tuple[str, str], framed: bool = True
) -> tuple[bytes, bytes]:
    """The head and the body of a request with the key of the application.

    :param framed: whether to send the length of the body; else a field says how it is framed.
    """
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if not any(name == "Authorization" for name, _ in fields):
        lines.append(f"Authorization: Application {KEY}")
    lines += [f"{name}: {value}" for name, value in fields]
    if framed:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8"), body


def filled(unit: bytes, before: bytes = b"", after: bytes = b"", separator: bytes = b",", size: int = BODY) -> bytes:
    """As many of the same as there is room for."""
    count = (size - len(before) - len(after) + len(separator)) // (len(unit) + len(separator))
    return before + separator.join([unit] * count) + after


def numbered(
    form: bytes, before: bytes = b"", after: bytes = b"", separator: bytes = b",", size: int = BODY, most: int = 1 << 30
) -> bytes:
    """As many different ones as there is room for: each has its number."""
    found: list[bytes] = []
    left = size - len(before) - len(after)
    while len(found) < most:
        unit = form % len(found)
        left -= len(unit) + len(separator)
        if left < 0:
            break
        found.append(unit)
    return before + separator.join(found) + after


def documents() -> Iterator[tuple[str, bytes]]:
    """JSON that is dear to read, wherever it is sent."""
    yield "whole numbers", filled(b"1", b"[", b"]")
    yield "fractions", filled(b"1.5", b"[", b"]")
    yield "fractions of 17 digits", filled(b"1.2345678901234567e-300", b"[", b"]")
    yield "numbers of 4,300 digits", filled(b"1" * 4300, b"[", b"]")
    yield "one number", b"[%b]" % (b"1" * (BODY - 2))
    yield "empty texts", filled(b'""', b"[", b"]")
    yield "empty objects", filled(b"{}", b"[", b"]")
    yield "empty lists", filled(b"[]", b"[", b"]")
    yield "objects of one member", filled(b'{"":1}', b"[", b"]")
    yield "objects of one member, and an escape", filled(b'{"":1}', b'["\\u0041",', b"]")
    yield "members", numbered(b'"%d":1', b"{", b"}")
    yield "the same member", filled(b'"a":1', b"{", b"}")
    yield "lists in lists", b"[" * (BODY // 2) + b"]" * (BODY // 2)
    yield "objects in objects", b'{"a":' * (BODY // 6) + b"1" + b"}" * (BODY // 6)
    yield "lists 900 deep", filled(b"[" * 900 + b"]" * 900, b"[", b"]")
    yield "one text of escapes", b'["%b"]' % (b"\\u00e9" * ((BODY - 4) // 6))
    yield "one text of halves of pairs", b'["%b"]' % (b"\\ud800" * ((BODY - 4) // 6))
    yield "texts of escaped quotes", filled(b'"\\""', b"[", b"]")
    yield "a text without an end", b'["' + b'\\"' * (BODY // 2 - 1)
    yield "spaces", b"[%b]" % (b" " * (BODY - 2))


def batches() -> Iterator[tuple[str, bytes]]:
    """Batches, wrong in as many places as there is room for, or with as many messages."""
    for name, unit in {
        "numbers": b"1",
        "nulls": b"null",
        "texts": b'""',
        "empty objects": b"{}",
        "empty lists": b"[]",
        "messages": b'{"body":"x"}',
        "empty messages": b'{"body":""}',
        "messages with a ttl": b'{"body":"x","ttl":9}',
        "messages with three mistakes": b'{"body":1,"ttl":0,"partition":0}',
        "messages with seven mistakes": b'{"body":1,"ttl":0,"partition":0,"delay":-1,"content_type":1,"headers":1}',
    }.items():
        yield f"a batch of {name}", filled(unit, b'{"messages":[', b"]}")
    members = b",".join([b'"%d":1' % number for number in range(130)])
    yield "a batch of 700 messages of 130 members", filled(b"{%b}" % members, b'{"messages":[', b"]}")
    wrong = b'{"body":1,"ttl":0,"partition":0,"delay":-1,"content_type":1,"headers":1,"key":1,"a":1}'
    yield "a batch of 1,000 messages, all wrong", b'{"messages":[%b]}' % b",".join([wrong] * 1000)
    odd = json.dumps("\U0001f600" * 100).encode()
    named = b'{"body":"",%b:1}' % odd
    yield "a batch of 800 messages with odd names", filled(named, b'{"messages":[', b"]}")
    yield "a message with many members", numbered(b'"%d":1', b'{"messages":[{', b"}]}")
    yield "a message with many headers", numbered(b'"%d":1', b'{"messages":[{"body":"","headers":{', b"}}]}")
    text = json.dumps({"messages": [{"body": "x" * 1000, "ttl": 60}] * 990}).encode()
    yield "a batch of 1,000 messages with a ttl", text
    yield "a batch of 1,000 messages", text.replace(b', "ttl": 60', b"")
    yield "a body of escapes", b'{"messages":[{"body":"%b","ttl":9}]}' % (b"\\u0001" * ((BODY - 50) // 6))
    yield "a body of commas", b'{"messages":[{"body":"%b","ttl":9}]}' % (b",[{:" * ((BODY - 50) // 4))


def posts() -> Iterator[Shape]:
    """Send JSON to clients that accept JSON."""
    for name, text in (*documents(), *batches()):
        yield Shape(f"v1 POST: {name}", ask("POST", "/v1/bench/q", text, ("Content-Type", JSON)))
        yield Shape(f"v2 POST: {name}", ask("POST", MESSAGES, text, ("Content-Type", BATCH)))
        yield Shape(f"v2 PUT: {name}", ask("PUT", MESSAGES, text, ("Content-Type", BATCH)))
    for name, text in documents():
        yield Shape(f"v2 queue: {name}", ask("PUT", QUEUE, text, ("Content-Type", JSON)))
        yield Shape(f"line: {name}", ask("POST", MESSAGES, text, ("Content-Type", NDJSON)))
        yield Shape(f"operators: {name}", ask("POST", "/rpc", text, ("Content-Type", JSON)), operators=True)
    lists = {
        "numbers": filled(b"1", b"[", b"]"),
        "wrong numbers": filled(b"0", b"[", b"]"),
        "texts": filled(b'""', b"[", b"]"),
        "different texts": numbered(b'"%d"', b"[", b"]"),
        "one text": b'["bid:%b"]' % (b"a." * (BODY // 2 - 10)),
        "empty objects": filled(b"{}", b"[", b"]"),
        "1,000 texts": numbered(b'"%%0%dd"' % 1000, b"[", b"]", most=1000),
        "1,000 objects": numbered(b'{"receipt":"%d","delay":-1,"a":1,"b":2}', b"[", b"]", most=1000),
        "1,000 receipts": numbered(b'"%088d"', b"[", b"]", most=1000),
    }
    for name, each in lists.items():
        for path, member, kind in (
            (QUEUE, "principals", JSON),
            (f"{GROUP}/claims", "partitions", JSON),
            (f"{GROUP}/settlements", "ack", JSON),
            (f"{GROUP}/settlements", "retry", JSON),
            (f"{GROUP}/seek", "partitions", JSON),
            (f"{GROUP}/redrive", "ids", JSON),
        ):
            method = "PUT" if path == QUEUE else "POST"
            text = b'{"%b":%b}' % (member.encode(), each[: BODY - 40] if each.startswith(b'["bid') else each)
            if len(text) <= BODY:
                yield Shape(f"v2 {member}: {name}", ask(method, path, text, ("Content-Type", kind)))
            if member in ("ack", "retry") and len(text) + 20 <= BODY:
                for group in (GROUP, *GROUPS):
                    settle = ask("POST", f"{group}/claims", b'{"settle":%b}' % text, ("Content-Type", kind))
                    yield Shape(f"v2 settle {member} in a claim of {group[-5:]}: {name}", settle)
    for group in GROUPS:
        for body in (b'{"limit":1000,"max_bytes":16777216}', b'{"limit":1000,"wait":0,"lease":1}'):
            claim = ask("POST", f"{group}/claims", body, ("Content-Type", JSON))
            yield Shape(f"v2 claim of {group[-5:]}: {len(body)} bytes", claim)


def forms() -> Iterator[Shape]:
    """Forms of v1."""
    for name, text in {
        "fields": numbered(b"%d=", separator=b"&"),
        "ampersands": b"&" * BODY,
        "escapes": b"queue_name=" + b"%41" * ((BODY - 20) // 3),
        "escapes between letters": b"queue_name=" + b"%41a" * ((BODY - 20) // 4),
        "escapes in principals": b"principles=" + b"%2C" * ((BODY - 20) // 3),
        "pluses": b"queue_name=" + b"+" * (BODY - 20),
        "one name": b"queue_name=" + b"a" * (BODY - 20),
        "one principal": b"principles=bid:" + b"a." * (BODY // 2 - 20),
        "one principal with an at": b"principles=bid:a@" + b"a." * (BODY // 2 - 20),
        "principals": b"principles=" + numbered(b"%d", size=BODY - 20),
        "good principals": b"principles=" + numbered(b"app:%d", size=BODY - 20),
        "letters of other languages": b"queue_name=" + "é".encode() * (BODY // 2 - 20),
    }.items():
        for path, method in (("/v1/bench", "POST"), ("/v1/bench/q", "PUT")):
            yield Shape(f"v1 {method} form: {name}", ask(method, path, text, ("Content-Type", FORM)))
    part = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    for name, text in {
        "parts": part * 990 + b"--b--\r\n",
        "more parts": part * (BODY // len(part) - 1) + b"--b--\r\n",
        "lines": part[:-4] + b"\r\n" * (BODY // 2 - 100) + b"\r\n--b--\r\n",
        "almost ends": part[:-2] + b"\r\n--" * (BODY // 4 - 100) + b"\r\n--b--\r\n",
        "one field of a header": b"--b\r\nContent-Disposition: form-data; name="
        + b'"a";' * (BODY // 4 - 40)
        + b"\r\n\r\n",
        "options of a header": b"--b\r\nContent-Disposition: form-data" + b";a=b" * (BODY // 4 - 40) + b"\r\n\r\n",
        "fields of a header": b"--b\r\n" + b"a: b\r\n" * (BODY // 6 - 40) + b"\r\n\r\n",
    }.items():
        kind = ("Content-Type", "multipart/form-data; boundary=b")
        yield Shape(f"v1 multipart: {name}", ask("POST", "/v1/bench", text, kind))


def heads() -> Iterator[Shape]:
    """Queries, paths and header fields."""
    queries = {
        "parameters": numbered(b"%d=", separator=b"&", size=HEAD),
        "ampersands": b"&" * HEAD,
        "partition=1": filled(b"partition=1", separator=b"&", size=HEAD),
        "partition=%31": filled(b"partition=%31", separator=b"&", size=HEAD),
        "partitions": b"partitions=" + numbered(b"%d", size=HEAD),
        "partitions 1": b"partitions=" + filled(b"1", size=HEAD),
        "partitions with spaces": b"partitions=" + filled(b"+1", size=HEAD),
        "since": b"since=" + b"1" * HEAD,
        "since 0": b"since=" + b"0" * HEAD + b"x",
        "limit": b"limit=" + b"0" * HEAD + b"x",
        "after": b"after=" + b"A" * HEAD,
        "escapes": b"order=" + b"%41" * (HEAD // 3),
        "signature": b"signature=" + b"A" * HEAD,
        "many signatures": filled(b"signature=A", separator=b"&", size=HEAD),
        "%73ignature": filled(b"%73ignature=A", separator=b"&", size=HEAD),
    }
    for name, query in queries.items():
        for path in ("/v1/bench/q", "/v1/bench", MESSAGES, "/v2/bench/queues"):
            yield Shape(f"GET {path}: query of {name}", ask("GET", f"{path}?{query.decode()}"))
    ids = filled(HEX.encode(), size=HEAD).decode()
    for method in ("GET", "DELETE", "PUT"):
        yield Shape(f"v1 {method}: ids", ask(method, f"/v1/bench/q/{ids}", b"x" if method == "PUT" else b""))
    yield Shape("v1 PUT: ids, and 1 MiB", ask("PUT", f"/v1/bench/q/{ids}", b"x" * BODY))
    for name, path in {
        "slashes": "/" * HEAD,
        "slashes of v1": "/v1/bench/q" + "/" * HEAD,
        "segments of v2": "/v2/bench/queues/q" + "/a" * (HEAD // 2),
        "escapes of v1": "/v1/bench/" + "%41" * (HEAD // 3),
        "escapes of v2": "/v2/bench/queues/" + "%41" * (HEAD // 3),
        "an application": "/v2/" + "a" * HEAD,
        "a group": f"{QUEUE}/groups/" + "a" * HEAD,
        "a message of v2": f"{MESSAGES}/" + "a" * HEAD,
        "a message of v1": "/v1/bench/q/" + "a" * HEAD,
        "messages of v1": "/v1/bench/q/" + "," * HEAD,
        "dots": "/v2/" + "../" * (HEAD // 3),
    }.items():
        yield Shape(f"path of {name}", ask("GET", path))
        yield Shape(f"path of {name}, DELETE", ask("DELETE", path))
    for name, value in {
        "Accept": filled(b"application/x-ndjson", size=HEAD).decode(),
        "Accept-Encoding": "," * HEAD,
        "Origin": "http://" + "a" * HEAD,
        "If-None-Match": filled(b'""', size=HEAD).decode(),
        "If-Match": numbered(b'"%d"', size=HEAD).decode(),
        "Range": "bytes=" + filled(b"0-", size=HEAD).decode(),
        "Idempotency-Key": '"' + "\\\\" * (HEAD // 2) + '"',
        "Queuey-Headers": "%7B" * (HEAD // 3),
        "Content-Type": "text/plain" + "; " * (HEAD // 2),
        "Content-Encoding": "a," * (HEAD // 2),
        "Transfer-Encoding": "a," * (HEAD // 2),
        "X-Forwarded-For": filled(b"10.0.0.1", size=HEAD).decode(),
        "traceparent": "00-" + "a" * HEAD,
        "tracestate": numbered(b"a%d=b", size=HEAD).decode(),
        "Authorization": ";" * HEAD,
        "X-TTL": "0" * HEAD + "x",
        "Expect": "a," * (HEAD // 2),
        "Connection": "a," * (HEAD // 2),
        "Cookie": "a=b;" * (HEAD // 4),
        "Host": "a." * (HEAD // 2),
    }.items():
        yield Shape(f"v2 GET: {name}", ask("GET", MESSAGES, b"", (name, value)))
        yield Shape(f"v2 POST: {name}", ask("POST", MESSAGES, b"x", (name, value)))
        yield Shape(f"v1 POST: {name}", ask("POST", "/v1/bench/q", b"x", (name, value)))
        yield Shape(f"operators: {name}", ask("POST", "/rpc", b"1", (name, value)), operators=True)
    accepts = "ndjson" + "," * HEAD
    yield Shape("v2 GET: Accept of commas", ask("GET", MESSAGES, b"", ("Accept", accepts)))
    for scheme in ("Bearer ", "BrowserID ", "Application "):
        for name, value in {"dots": "." * HEAD, "letters": "A" * HEAD, "tildes": "~" * HEAD}.items():
            for path in (MESSAGES, "/v1/bench/q"):
                fields = ("Authorization", scheme + value)
                yield Shape(f"GET {path}: {scheme}{name}", ask("GET", path, b"", fields))
    for name, value in {
        "an odd type": "a/" + "b" * HEAD,
        "an odd charset": f"{JSON}; charset=" + "é" * (HEAD // 2),
        "a long option": f"{JSON}; charset" + " " * HEAD,
        "quotes": f'{JSON}; a="' + "\\" * HEAD,
        "options": f"{JSON}" + ";a=b" * (HEAD // 4),
        "a boundary": "multipart/form-data; boundary=" + "a" * HEAD,
    }.items():
        for method, path in (("POST", "/v1/bench"), ("POST", "/v1/bench/q"), ("POST", MESSAGES), ("PUT", QUEUE)):
            yield Shape(f"{method} {path}: {name}", ask(method, path, b"{}", ("Content-Type", value)))


def streams() -> Iterator[Shape]:
    """Lines and pieces that are as small as can be."""
    eight = b'{"body":1,"ttl":0,"partition":0,"delay":-1,"content_type":1,"headers":1,"key":1,"a":1}'
    for name, line in {
        "empty": b"",
        "empty objects": b"{}",
        "numbers": b"1",
        "one wrong member": b'{"a":1}',
        "eight wrong members": eight,
        "thirty wrong members": b"{%b}" % b",".join([b'"%d":1' % number for number in range(30)]),
        "messages": b'{"body":"x"}',
        "messages with a ttl": b'{"body":"x","ttl":9}',
        "messages with keys": b'{"body":"x","idempotency_key":"k"}',
    }.items():
        # Each with a key is a transaction of its own, which takes long, and not the reactor.
        text = filled(line, separator=b"\n", size=20_000 if b"key" in line else BODY)
        yield Shape(f"lines: {name}", ask("POST", MESSAGES, text, ("Content-Type", NDJSON)))
        few = ("POST", f"{MESSAGES}?results=failures", text, ("Content-Type", NDJSON))
        yield Shape(f"lines, failures alone: {name}", ask(*few))
        if name in CROWDS:
            crowd = ask("POST", MESSAGES, filled(line, separator=b"\n", size=CROWDED), ("Content-Type", NDJSON))
            yield Shape(f"lines, {CROWD} streams: {name}", crowd, crowd=CROWD)
    chunked = b"1\r\nx\r\n" * (BODY // 6) + b"0\r\n\r\n"
    framing = ("Transfer-Encoding", "chunked")
    lines = b"".join([b"1\r\n%c\r\n" % byte for byte in b'{"body":"x"}\n']) * (BODY // 13 // 6) + b"0\r\n\r\n"
    small = b"d\r\n" + b'{"body":"x"}\n' + b"\r\n"
    some = small * (BODY // 18) + b"0\r\n\r\n"
    kind = ("Content-Type", NDJSON)
    yield Shape("v2 POST: chunks of one byte", ask("POST", MESSAGES, chunked, framing, framed=False))
    yield Shape("lines: chunks of one byte", ask("POST", MESSAGES, lines, framing, kind, framed=False))
    yield Shape("lines: chunks of one line", ask("POST", MESSAGES, some, framing, kind, framed=False))


def calls() -> Iterator[Shape]:
    """Calls of operators."""
    call = b'{"jsonrpc":"2.0","id":%d,"method":"%b","params":%b}'
    odd = json.dumps("\U0001f600" * 70).encode()[1:-1]
    wrong = b"{%b}" % b",".join([b'"%d%b":1' % (number, odd) for number in range(10)])
    for name, text in {
        "many parameters": call % (1, b"status", numbered(b'"%d":1', b"{", b"}", size=BODY - 100)),
        "many values": call % (1, b"status", filled(b"1", b"[", b"]", size=BODY - 100)),
        "a long name": call % (1, b"a" * (BODY - 100), b"{}"),
        "a long text": call % (1, b"system.methodHelp", b'["%b"]' % (b"a" * (BODY - 100))),
        "a long id": b'{"jsonrpc":"2.0","id":"%b","method":"no"}' % (b"a" * (BODY - 100)),
        "wrong calls": filled(b"1", b"[", b"]", size=199),
        "calls with wrong parameters": b"[%b]" % b",".join([call % (at, b"status", wrong) for at in range(100)]),
        "calls of odd names": b"[%b]" % b",".join([call % (at, odd * 8, b"{}") for at in range(100)]),
        "100 calls": b"[%b]" % b",".join([call % (at, b"status", b"{}") for at in range(100)]),
        "100 lists": b"[%b]"
        % b",".join([call % (at, b"queues.list", b'{"application":"bench"}') for at in range(100)]),
        "100 helps": b"[%b]" % b",".join([call % (at, b"system.listMethods", b"{}") for at in range(100)]),
    }.items():
        yield Shape(f"operators: {name}", ask("POST", "/rpc", text[:BODY], ("Content-Type", JSON)), operators=True)
    for path in ("/metrics", "/live", "/ready"):
        yield Shape(f"operators: {path}", ask("GET", path), operators=True)
    yield Shape("the description", ask("GET", "/v2/openapi.json"))


def shapes() -> list[Shape]:
    """All of them."""
    return [*posts(), *forms(), *heads(), *streams(), *calls()]
