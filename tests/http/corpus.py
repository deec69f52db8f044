"""Requests that two readers of one connection might understand differently, and how the HTTP server reads each.

What smuggles a request past a proxy is known from RFC 9112 (sections 2.2, 3, 5, 6, 7 and 11) and from what has been
published about servers that read leniently. Each case here is bytes, the requests that handlers may see of them, and
what becomes of the connection; the reason says who would read them in another way. A case that is ambiguous carries
:data:`SMUGGLED` where the other reader would find it, so that it shows up if ever the HTTP server reads like that one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from tests.http.corpus_bodies import bad_lengths, chunks, good_lengths
from tests.http.corpus_cases import CHUNKED, END, GET, HOST, SMUGGLED, Case, Outcome, Seen, get, post, read_as

LENGTHS = (b"Content-Length: 5", b"Content-Length: 0", b"content-length:35", b"Content-Length: 5\r\nContent-Length: 5")
CODINGS = (
    b"Transfer-Encoding: chunked",
    b"transfer-encoding:CHUNKED",
    b"Transfer-Encoding:\tchunked\t",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding:",
)


def both() -> Iterator[Case]:
    """A length and a coding: one reader goes by the first, the other by the second (CL.TE and TE.CL)."""
    reason = "some go by the length, some by the coding, some by whichever comes first or last"
    for length, coding in product(LENGTHS, CODINGS):
        for lines in ((length, coding), (coding, length), (length, b"A: b", coding)):
            yield Case(post(b"".join(line + b"\r\n" for line in lines), END + SMUGGLED), reason)


NO_CODING = {
    b"Transfer-Encoding: xchunked": "some look for the word anywhere in the value",
    b"Transfer-Encoding: chunkedx": "some compare the beginning only",
    b"Transfer-Encoding: chunked, identity": "chunked is not the last coding: the end is where the connection ends",
    b"Transfer-Encoding: identity, chunked": "identity was dropped from HTTP/1.1; some refuse it, some skip it",
    b"Transfer-Encoding: identity": "some take identity as no coding, so that there is no body",
    b"Transfer-Encoding: gzip, chunked": "some pass compressed bodies on, some decode them",
    b"Transfer-Encoding: chunked, gzip": "chunked is not the last coding",
    b"Transfer-Encoding: gzip": "without chunked there is no end",
    b"Transfer-Encoding: chunked, chunked": "some decode once, some twice, some not at all",
    b"Transfer-Encoding: chunked,": "an empty member of the list: some take what is last as the coding",
    b"Transfer-Encoding: ,chunked": "an empty member of the list, as the first",
    b"Transfer-Encoding: chunked;q=1": "parameters of a coding: some compare the value as a whole",
    b'Transfer-Encoding: "chunked"': "some take off quotes",
    b"Transfer-Encoding: 'chunked'": "some take off quotes of the other kind",
    b"Transfer-Encoding: chunked chunked": "some take the first word",
    b"Transfer-Encoding: ch unked": "some take out spaces",
    b"Transfer-Encoding: chun\xe4ked": "some drop what is not ASCII",
    b"Transfer-Encoding: \xa0chunked": "some take a no-break space off as they take off a space",
    b"Transfer-Encoding: chunked\x0b": "some take a vertical tab off; it is no legal character",
    b"Transfer-Encoding: \x0cchunked": "some take a form feed off; it is no legal character",
    b"Transfer-Encoding: chunked\x00": "some end a text at NUL",
    b"Transfer-Encoding: chunked\x00, identity": "some end a text at NUL",
    b"Transfer-Encoding: \x7fchunked": "DEL is no legal character",
    b"Transfer-Encoding:": "some take an empty coding as none",
    b"Transfer-Encoding: c\xc4\xb1hunked": "lowering letters by the rules of Unicode",
    b"Transfer-Encoding: chun\xe2\x84\xaaed": "the Kelvin sign, which Unicode lowers to a k",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked": "some go by one, some join both to a list",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity": "some go by the first, some by the last",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked": "some go by the first, some by the last",
    b"Transfer-Encoding: x\r\nTransfer-encoding: chunked": "names differ in case only",
}

BAD_NAMES = {
    b"Transfer-Encoding : chunked": "a space before the colon: some take it off, some take the name as another one",
    b"Transfer-Encoding\t: chunked": "a tab before the colon",
    b"Transfer-Encoding\xa0: chunked": "a no-break space before the colon",
    b"Transfer-Encoding\x00: chunked": "some end a name at NUL",
    b"Transfer-Encoding\x0b: chunked": "a vertical tab before the colon",
    b" Transfer-Encoding: chunked": "a space before the name: some fold the line, some take the space off",
    b"\tTransfer-Encoding: chunked": "a tab before the name",
    b"\x00Transfer-Encoding: chunked": "NUL before the name",
    b"Transfer Encoding: chunked": "some let a space stand for a hyphen",
    b"Transfer-Encoding chunked": "no colon: some skip such a line",
    b"Transfer-Encoding; x: chunked": "some end a name at a semicolon",
    b'"Transfer-Encoding": chunked': "some take off quotes",
    b"Transfer-Encod\xc4\xb1ng: chunked": "a letter that Unicode's rules make an i",
    b": chunked": "no name: some skip such a line",
    b"A: b\r\n Transfer-Encoding: chunked": "a folded line (obs-fold): some see a field of its own",
    b"A: b\r\n\tTransfer-Encoding: chunked": "a folded line that begins with a tab",
    b"A: b\r\n : chunked": "a folded line without a name",
    b"Transfer-Encoding:\r\n chunked": "a value that begins on the folded line",
    b"Transfer-Encoding:\r\n\tchunked": "the same with a tab",
    b"Transfer-Encoding: chunked\r\n , identity": "a list that goes on in the folded line",
    b"Transfer-Encoding: ch\r\n unked": "a word that goes on in the folded line",
    b"A: b\nTransfer-Encoding: chunked": "LF alone: some end the line there",
    b"A: b\rTransfer-Encoding: chunked": "CR alone: some end the line there",
    b"A: b\n\rTransfer-Encoding: chunked": "LF CR: some end the line at either",
    b"A: b\r\r\nTransfer-Encoding: chunked": "CR CR LF: some drop the CR, some end the header there",
    b"A:\nTransfer-Encoding: chunked": "LF in an empty value",
    b"Transfer-Encoding\n: chunked": "LF in a name",
    b"Transfer-Encoding:\nchunked": "LF for the space",
    b"A: b\x00\nTransfer-Encoding: chunked": "NUL and LF",
}


def no_coding() -> Iterator[Case]:
    """A coding that only some readers understand, or find."""
    for line, reason in {**NO_CODING, **BAD_NAMES}.items():
        yield Case(post(line + b"\r\n", END + SMUGGLED), reason)
    for line, reason in BAD_NAMES.items():
        yield Case(post(b"Content-Length: 5\r\n" + line + b"\r\n", END + SMUGGLED), f"with a length; {reason}")


HOSTS = {
    HOST + HOST: "twice, equal: some take either",
    HOST + b"Host: b\r\n": "twice: some route by the first, some by the last",
    HOST + b"A: b\r\nhost: b\r\n": "twice, not side by side",
    b"Host: a, b\r\n": "a list",
    b"Host: a b\r\n": "a space",
    b"Host: a\tb\r\n": "a tab",
    b"Host: b@a\r\n": "a user: some take the host before the @, some behind it",
    b"Host: b:c@a\r\n": "a user with a password",
    b"Host: a/b\r\n": "a path: some put host and path together",
    b"Host: a?b\r\n": "a query",
    b"Host: a#b\r\n": "a fragment",
    b"Host: a\\b\r\n": "a backslash, which some read as a slash",
    b"Host: a:b\r\n": "a port that is no number",
    b"Host: a:80:90\r\n": "two ports",
    b"Host: a:-1\r\n": "a negative port",
    b"Host: a:65536\r\n": "a port above all",
    b"Host: a%00\r\n": "an escape",
    b"Host: http://a\r\n": "a scheme",
    b"Host: a;b\r\n": "a semicolon",
    b"Host: [a]\r\n": "brackets around a name",
    b"Host: [::1\r\n": "half a pair of brackets",
    b"Host: [::1%25a]\r\n": "a zone",
    b"Host:\r\n": "none, as it were",
    b"Host: \xc3\xa4\r\n": "not ASCII",
    b"Host: a\x00b\r\n": "NUL",
    b"Host: a..b\r\n": "an empty label",
    b"Host : a\r\n": "a space before the colon",
    b"Host\x00: a\r\n": "NUL before the colon",
    b" Host: a\r\n": "a space before the name, in the first line of the header",
    b"\r\n": "no Host in HTTP/1.1",
    b"A: b\r\n Host: a\r\n": "a folded line",
    b"A: b\r\nHost: a\r\n : b\r\n": "folded behind it",
}

ABSOLUTE = (b"GET http://b/ HTTP/1.1", b"GET HTTP://b HTTP/1.1", b"GET https://b:443/ HTTP/1.1")
BAD_TARGETS = {
    b"http://c@b/": "a user",
    b"http:///": "no host",
    b"http://": "no host and no path",
    b"http:/b/": "one slash",
    b"http:b": "no slash",
    b"http://b\\c/": "a backslash",
    b"http://b:x/": "a port that is no number",
    b"http://[b]/": "brackets around a name",
    b"file://b/": "another scheme",
    b"b/": "a path without its slash: some put one before it",
    b"b:80": "a host and a port, of CONNECT alone",
    b"*": "an asterisk, of OPTIONS alone",
    b"?a": "a query without a path",
    b"/#a": "a fragment: some cut it off",
    b"/%": "half an escape",
    b"/%f": "half an escape",
    b"/%0g": "no escape",
    b"/%ff": "not UTF-8",
    b"/%c0%af": "a slash in two bytes",
    b"/\xc3\xa4": "not ASCII",
    b"/\x00": "NUL: some end a text there",
    b"/\x7f": "DEL",
}


def hosts() -> Iterator[Case]:
    """Who is meant."""
    for fields, reason in HOSTS.items():
        yield Case(get(fields), f"Host: {reason}")
    for fields, reason in list(HOSTS.items())[:10]:
        yield Case(get(fields, b"GET http://b/ HTTP/1.1"), f"an absolute target does not make up for it; {reason}")
    kept: tuple[Seen, ...] = (GET, (b"GET", b"/smuggled", b""))
    for line in ABSOLUTE:
        reason = "an absolute target counts, and the Host field does not (RFC 9112, section 3.2.2); neither routes here"
        yield Case(get(HOST, line), reason, kept, Outcome.KEPT)
    for target, reason in BAD_TARGETS.items():
        yield Case(get(HOST, b"GET " + target + b" HTTP/1.1"), f"target: {reason}")
    for target in (b"/..", b"/./a", b"//b/", b"/%2e%2e/", b"/a;b", b"/%00", b"/\\"):
        reason = "a path is not made simpler: handlers see it as it came"
        yield Case(get(HOST, b"GET " + target + b" HTTP/1.1"), reason, ((b"GET", target, b""), kept[1]), Outcome.KEPT)


LINES = {
    b"GET  / HTTP/1.1": "two spaces",
    b"GET /  HTTP/1.1": "two spaces before the version",
    b" GET / HTTP/1.1": "a space before the method",
    b"\tGET / HTTP/1.1": "a tab before the method",
    b"GET / HTTP/1.1 ": "a space at the end",
    b"GET / HTTP/1.1\t": "a tab at the end",
    b"GET\t/ HTTP/1.1": "a tab for a space",
    b"GET\x0b/ HTTP/1.1": "a vertical tab for a space",
    b"GET\x0c/ HTTP/1.1": "a form feed for a space",
    b"GET\xa0/ HTTP/1.1": "a no-break space",
    b"GET /\tHTTP/1.1": "a tab before the version",
    b"GET\r/ HTTP/1.1": "CR for a space",
    b"GET / a HTTP/1.1": "a space in the target: some take it up to the last one",
    b"GET / HTTP/1.1 HTTP/1.1": "two versions",
    b"GET /smuggled HTTP/1.1 / HTTP/1.1": "two targets",
    b"GE T / HTTP/1.1": "a space in the method",
    b"GE(T / HTTP/1.1": "a method that is no token",
    b"GET: / HTTP/1.1": "a method that looks like a field",
    b"G\x00T / HTTP/1.1": "NUL in the method",
    b"/ HTTP/1.1": "no method",
    b"GET HTTP/1.1": "no target",
    b"GET /": "HTTP/0.9: an answer without a head",
    b"GET": "a method alone",
    b"GET / ": "no version",
    b"GET / HTTP": "half a version",
    b"GET / HTTP/1": "half a version",
    b"GET / HTTP/1.": "half a version",
    b"GET / HTTP/1.2": "a version that does not exist",
    b"GET / HTTP/1.10": "a minor version of two digits",
    b"GET / HTTP/01.1": "a zero before the version",
    b"GET / HTTP/1,1": "a comma",
    b"GET / HTTP/0.9": "a version that had no header",
    b"GET / HTTP/2.0": "a version that is not read like this",
    b"GET / HTTP/2": "a version that is not read like this",
    b"GET / HTTP/3": "a version that is not read like this",
    b"GET / http/1.1": "small letters",
    b"GET / HTTPS/1.1": "another protocol",
    b"GET / ICY/1.1": "another protocol",
    b"GET / HTTP /1.1": "a space in the version",
    b"GET / HTTP/1.1\x00": "NUL behind the version",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n": "the preface of HTTP/2: some change over",
    b"\r\n\r\nGET / HTTP/1.1": "two empty lines before the request: some skip any number",
    b"\nGET / HTTP/1.1": "LF before the request",
    b"\rGET / HTTP/1.1": "CR before the request",
    b"\x00GET / HTTP/1.1": "NUL before the request",
    b"\xef\xbb\xbfGET / HTTP/1.1": "a byte order mark before the request",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET / HTTP/1.1": "the PROXY protocol, which is not spoken here",
    b"HTTP/1.1 200 OK": "an answer",
}


def lines() -> Iterator[Case]:
    """Request lines."""
    for line, reason in LINES.items():
        yield Case(get(HOST, line), reason)
    for data in (b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1\rHost: a\r\r", b"GET / HTTP/1.1\n\rHost: a\n\r\n\r"):
        yield Case(data + SMUGGLED, "another line end throughout")
    for at in (b"1.1\r\n", b"a\r\n", b"A: b\r\n", b"\r\n\r\n"):
        whole = b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n"
        for end in (b"\n", b"\r", b"\n\r", b"\r\r\n", b"\x0b", b"\x85"):
            damaged = whole.replace(at, at.removesuffix(b"\r\n") + end, 1)
            if at == b"A: b\r\n" and end == b"\x85":
                continue  # a letter of the value, and then no end of the header: the next request's line is its next
            yield Case(damaged + SMUGGLED, f"{end!r} instead of the line end of {at!r}")
    kept: tuple[Seen, ...] = (GET, (b"GET", b"/smuggled", b""))
    yield Case(b"\r\n" + get(), "one empty line before the request", kept, Outcome.KEPT)
    yield Case(get(HOST, b"get / HTTP/1.1"), "methods have a case", ((b"get", b"/", b""), kept[1]), Outcome.KEPT)


def versions() -> Iterator[Case]:
    """HTTP/1.0, and wishes about the connection."""
    old = b"POST / HTTP/1.0"
    hello = read_as(b"hello")
    closed = Outcome.CLOSED
    for coding in CODINGS:
        yield Case(post(coding + b"\r\n", END + SMUGGLED, old), "HTTP/1.0 has no codings: some pass them on unread")
    yield Case(post(b"Content-Length: 5\r\n", b"hello" + SMUGGLED, old), "HTTP/1.0 is one request", hello, closed)
    fields = b"Connection: keep-alive\r\nContent-Length: 5\r\n"
    yield Case(post(fields, b"hello" + SMUGGLED, old), "one request in spite of keep-alive", hello, closed)
    yield Case(post(b"", SMUGGLED, old), "HTTP/1.0 without a length has no body", read_as(b""), closed)
    yield Case(b"GET / HTTP/1.0\r\n\r\n" + SMUGGLED, "HTTP/1.0 needs no Host", (GET,), closed)
    for value in (b"close", b"CLOSE", b"keep-alive, close", b"close,keep-alive", b"close\r\nConnection: keep-alive"):
        fields = b"Connection: " + value + b"\r\nContent-Length: 5\r\n"
        yield Case(post(fields, b"hello" + SMUGGLED), "close is the end, wherever it stands", hello, closed)
    kept = (*hello, (b"GET", b"/smuggled", b""))
    for value in (b"keep-alive", b"closed", b"clos e", b"x-close", b"Upgrade, HTTP2-Settings\r\nUpgrade: h2c"):
        fields = b"Connection: " + value + b"\r\nContent-Length: 5\r\n"
        yield Case(post(fields, b"hello" + SMUGGLED), "no wish to close", kept, Outcome.KEPT)
    fields = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    yield Case(post(fields, SMUGGLED), "nothing is upgraded to", read_as(b"", kept[1]), Outcome.KEPT)
    data = b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"
    reason = "what follows CONNECT was meant for a tunnel by whoever did not wait for the answer"
    yield Case(data + SMUGGLED, reason, ((b"CONNECT", b"/", b""),), closed)


def pipelined() -> Iterator[Case]:
    """Attacks behind requests that are good."""
    good = post(b"Content-Length: 5\r\n", b"hello")
    in_chunks = post(CHUNKED, b"5\r\nhello\r\n" + END)
    bad = post(b"Content-Length: 5\r\n" + CHUNKED, END + SMUGGLED)
    reason = "what is before is answered, what is behind is not read"
    yield Case(good + bad, reason, read_as(b"hello"))
    yield Case(in_chunks + bad, reason, read_as(b"hello"))
    yield Case(good + in_chunks + good + bad + good, reason, read_as(b"hello") * 3)
    yield Case(bad + good, reason)
    yield Case(good * 10, "ten at once", read_as(b"hello") * 10, Outcome.KEPT)
    yield Case(in_chunks * 5 + good * 5, "both kinds", read_as(b"hello") * 10, Outcome.KEPT)
    prefix = b"GET /smuggled HTTP/1.1\r\nHost: a\r\nX: "
    body = END + prefix
    data = post(b"Content-Length: %d\r\n" % len(body), body) + good
    yield Case(
        data, "half a request in a body does not swallow the next", read_as(body, *read_as(b"hello")), Outcome.KEPT
    )
    data = post(CHUNKED, END + prefix + b"y\r\n\r\n")
    yield Case(
        data, "what follows the chunks is a request of its own", read_as(b"", (b"GET", b"/smuggled", b"")), Outcome.KEPT
    )
    data = post(CHUNKED, b"%x\r\n%b\r\n" % (len(prefix), prefix) + END) + good
    yield Case(data, "half a request in a chunk", read_as(prefix, *read_as(b"hello")), Outcome.KEPT)


CASES = (
    *both(), *no_coding(), *bad_lengths(), *good_lengths(), *chunks(), *hosts(), *lines(), *versions(), *pipelined(),
)  # fmt: skip
