"""The HTTP server compared with llhttp, the parser of Node.js, by httptools: a strict reader that others have written.

What both take for requests must be the same ones, however the bytes come. Which of them refuses more is not the same:
where llhttp reads on behind what the HTTP server has refused, that is because the HTTP server is strict, and where
llhttp ends first nothing is smuggled either.
"""

from __future__ import annotations

import contextlib
from itertools import pairwise
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.http.connection.limits import Refused
from queuey.http.heads.head_reader import HeadReader
from tests.http.corpus import CASES
from tests.http.corpus_cases import CHUNKED, END, HOST, SMUGGLED, Outcome, Seen, post
from tests.http.wire.test_smuggling import PIECES, SPLINTERS, DoorOfTargets
from tests.http.wire_support import LIMITS

FIELDS = st.sampled_from(
    [HOST, b"A: b\r\n", b"A:\tb c \r\n", b"Content-Length: 5\r\n", b"content-length:0\r\n", CHUNKED, b"Expect: x\r\n",
     b"Connection: close\r\n", b"connection: Keep-Alive, x\r\n", b"X-Long: " + b"y" * 300 + b"\r\n"]
)  # fmt: skip
LINES = st.sampled_from(
    [b"GET / HTTP/1.1\r\n", b"POST /a?b=c%20d HTTP/1.1\r\n", b"HEAD /h HTTP/1.0\r\n", b"PUT http://a/b HTTP/1.1\r\n",
     b"OPTIONS * HTTP/1.1\r\n", b"DELETE /\xc3 HTTP/1.1\r\n", b"PATCH /%C3%A4 HTTP/1.1\r\n"]
)  # fmt: skip
BODIES = st.sampled_from([b"", b"hello", b"5\r\nhello\r\n" + END, b"2;x=y\r\nhi\r\n3\r\nyou\r\n" + END, END])
REQUESTS = st.builds(
    lambda line, fields, body: line + b"".join(fields) + b"\r\n" + body, LINES, st.lists(FIELDS, max_size=5), BODIES
)
STREAMS = st.lists(st.one_of(REQUESTS, PIECES, SPLINTERS), max_size=6).map(b"".join)


BASES: Final = (
    b"POST /v1/a?b=c%20d HTTP/1.1\r\nHost: a\r\nX-A:  b c\t\r\nContent-Length: 5\r\nx:\r\n\r\nhello",
    b"GET http://a:1/b HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
    b'OPTIONS * HTTP/1.1\r\nA: "x"\r\na: y\r\n\r\nGET / HTTP/1.1\r\n\r\n',
    b"\r\nDELETE /%C3%A4#a HTTP/1.1\r\nHost: b\r\n\r\n",
)
LINE_ENDS: Final = (
    *(b"\r\n", b"\n\n", b"\r\r", b"\n\r", b"\r\n\r\n", b"\n\r\n", b"\r\n\n"),
    *(b"\n ", b"\n\t", b"\r\n ", b"\r\n\t"),
)


class HeadOf:
    """What llhttp makes of the first head that some bytes begin with."""

    def __init__(self, data: bytes) -> None:
        self.target = b""
        self.fields: dict[bytes, list[bytes]] = {}
        self.whole = False
        self._parser = HttpRequestParser(self)
        with contextlib.suppress(HttpParserError, HttpParserUpgrade):
            self._parser.feed_data(data)
        self.method = self._parser.get_method() if self.whole else b""

    def on_message_begin(self) -> None:
        if self.whole:
            # Only the first one counts.
            raise ValueError("there is another request")

    def on_url(self, target: bytes) -> None:
        self.target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.setdefault(name.lower(), []).append(value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        self.whole = True


class Reader:
    """What llhttp makes of a connection.

    :ivar seen: the requests that came to their end.
    :ivar ended: whether it reads no more.
    """

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.ended = False
        self._parser = HttpRequestParser(self)
        self._target = self._body = b""

    def read(self, data: bytes) -> None:
        """Take what has come."""
        if not self.ended:
            try:
                self._parser.feed_data(data)
            except HttpParserUpgrade:
                # It leaves the connection to another protocol, which the HTTP server never does, and takes no body
                # before.
                self.seen.pop()
                self.ended = True
            except HttpParserError:
                self.ended = True

    def on_message_begin(self) -> None:
        self._target = self._body = b""

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        self.seen.append((self._parser.get_method(), self._target, self._body))


def by_llhttp(*pieces: bytes) -> Reader:
    """What llhttp makes of bytes that come in pieces."""
    reader = Reader()
    for piece in pieces:
        reader.read(piece)
    return reader


class SameHeadsTests(SynchronousTestCase):
    """What both readers take for a head is the same head, byte by byte."""

    def agree(self, data: bytes) -> bool:
        """Compare the first head of some bytes; whether both have taken it."""
        reader = HeadReader(LIMITS.max_header)
        try:
            ours = reader.feed(data)
        except Refused:
            return False
        theirs = HeadOf(data[: reader.size])
        if ours is None or not theirs.whole:
            return False
        fields = {name: list(values) for name, values in ours.fields.items()}
        self.assertEqual(
            (ours.line.method, ours.line.target, fields), (theirs.method, theirs.target, theirs.fields), data
        )
        return True

    def test_any_byte_anywhere(self) -> None:
        """Every byte put in, and in the place of another, everywhere; and every kind of line end."""
        taken = refused = 0
        for base in BASES:
            for at in range(len(base) + 1):
                for more in (*(bytes([byte]) for byte in range(256)), *LINE_ENDS, b""):
                    for rest in (base[at:], base[at + 1 :]):
                        if self.agree(base[:at] + more + rest):
                            taken += 1
                        else:
                            refused += 1
        self.assertGreater(min(taken, refused), 10_000)


class SameRequestsTests(SynchronousTestCase):
    def check(self, data: bytes, theirs: Reader) -> int:
        """Compare the requests that both have read, and return their number.

        The server answers ``OPTIONS *`` by itself, so the resource that records our requests does not see it.
        """
        ours, _ = DoorOfTargets().see(data)
        expected = [seen for seen in theirs.seen if seen[:2] != (b"OPTIONS", b"*")]
        both = min(len(ours), len(expected))
        self.assertEqual(list(ours[:both]), expected[:both], repr(data))
        return both

    def test_corpus(self) -> None:
        """The smuggling corpus; of what the HTTP server takes whole, llhttp takes nearly all too, so that much is
        compared."""
        taken = agreed = 0
        for case in CASES:
            both = self.check(case.data, by_llhttp(case.data))
            if case.outcome is Outcome.KEPT:
                taken += 1
                agreed += both == len(case.seen)
        self.assertGreater(taken, 20)
        self.assertGreater(agreed, taken * 0.8)

    @given(STREAMS, st.lists(st.integers(min_value=0, max_value=600), max_size=6))
    @example(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n" + SMUGGLED, [])
    def test_random_streams(self, data: bytes, cuts: list[int]) -> None:
        """Requests good and bad, in any order, which llhttp reads in pieces."""
        places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
        self.check(data, by_llhttp(*(data[start:stop] for start, stop in pairwise(places))))

    def test_good_requests(self) -> None:
        """Both read requests that are valid beyond doubt to the end."""
        good = [SMUGGLED, post(b"Content-Length: 5\r\n", b"hello"), post(CHUNKED, b"5\r\nhello\r\n" + END), SMUGGLED]
        self.assertEqual(self.check(b"".join(good), by_llhttp(*good)), len(good))

    def test_a_reader_that_is_fooled(self) -> None:
        """A reader that finds another request where the HTTP server finds a body would be noticed."""
        data = post(b"Content-Length: %d\r\n" % len(SMUGGLED), SMUGGLED)
        fooled = by_llhttp(data.replace(b"Content-Length", b"Content-Xength"))
        self.assertRaises(self.failureException, self.check, data, fooled)
