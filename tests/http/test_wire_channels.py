"""Both channels beside each other: whatever comes, and however, the answers are the same bytes, and so is the end.

What differs is listed here with its reason: nothing between our two channels, and what twisted.web's channel takes
differently.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from itertools import pairwise
from random import Random
from typing import Final

from httptools import HttpRequestParser
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import http

from queuey.http import llhttp
from queuey.http.head import Head, HeadReader
from queuey.http.limits import Refused
from queuey.http.llhttp import read_head
from tests import tried
from tests.http import garbage
from tests.http.both_channels import (
    LARGE,
    LATER,
    PIECES,
    Step,
    advance,
    answer,
    differences,
    drain,
    hang_up,
    played,
    send,
    take,
    tighten,
)
from tests.http.corpus import CASES, HOST, Seen
from tests.http.test_smuggling import NEXT, SPLINTERS, DoorOfTargets
from tests.http.test_wire_fuzz import FRAGMENTS
from tests.http.test_wire_llhttp import REQUESTS
from tests.http.wire_support import LIMITS, encode_chunks, encode_request

LIMIT = LIMITS.max_header

EXPECTS = {"Expect": "100-continue", "Content-Length": "5"}
TRAILER = encode_chunks([b"hello"])[:-2] + b"A: b\r\n\r\n"
PATHS = (*(path.decode("ascii") for path in (LATER, PIECES, LARGE)), "/now")
WHOLE = (
    *(encode_request("GET", path) for path in PATHS),
    *(encode_request("POST", path, body=b"hello") for path in PATHS),
    *(encode_request("POST", path, {"Transfer-Encoding": "chunked"}, TRAILER) for path in PATHS),
    *(encode_request("PUT", path, EXPECTS, b"hello") for path in PATHS),
    *(encode_request("PUT", path, EXPECTS) for path in PATHS),
    *(encode_request("POST", path, body=b"x" * (LIMITS.max_body + 1)) for path in PATHS),
    encode_request("HEAD", "/now"),
    encode_request("HEAD", "/large"),
    encode_request("QUEUE", "/now"),
    encode_request("GET", "/now", {"Connection": "close"}),
    encode_request("GET", "/now", {"Connection": "upgrade", "Upgrade": "h2c"}),
    encode_request("CONNECT", "a:80", {"Host": "a:80"}),
    encode_request("OPTIONS", "*"),
    encode_request("GET", "http://b:1/now?a#b"),
    encode_request("GET", "/now", [("A", "b"), ("a", "c\t"), ("A", "")]),
    encode_request("GET", "/now", [(f"X-{number}", "y") for number in range(101)]),
    encode_request("GET", "/now", {"X": "y" * 70_000}),
    encode_request("GET", "/now").replace(b"1.1", b"1.0"),
    encode_request("POST", "/now", {"Connection": "keep-alive"}, b"hello").replace(b"1.1", b"1.0"),
)
PIECE = st.one_of(
    st.sampled_from(WHOLE),
    REQUESTS,
    st.sampled_from([case.data for case in CASES]),
    st.sampled_from(FRAGMENTS),
    garbage.REQUESTS.map(lambda request: request.encoded()),
)


KINDS = st.sampled_from(["whole", "whole", "prefix", "behind", "behind", "cut", "damaged", "time", "other"])


@st.composite
def scripts(draw: st.DrawFn) -> list[Step]:
    """Requests good and bad, of which some come again and again, with other bytes behind them, or not to their end."""
    pieces = draw(st.lists(PIECE, min_size=1, max_size=3))
    steps: list[Step] = []
    for _ in range(draw(st.integers(1, 9))):
        data = draw(st.sampled_from(pieces))
        kind = draw(KINDS)
        if kind == "prefix":
            data = data[: draw(st.integers(0, len(data)))]
        elif kind == "behind":
            data += draw(st.sampled_from(pieces))
        elif kind == "damaged":
            at = draw(st.integers(0, min(len(data), 300)))
            data = data[:at] + draw(SPLINTERS) + data[at + draw(st.integers(0, 2)) :]
        if kind == "time":
            steps.append(advance(draw(st.sampled_from([0.5, 3.0, 11.0, 61.0, 76.0]))))
        elif kind == "other":
            steps.append(draw(st.sampled_from([answer, answer, answer, take, take, tighten, drain, hang_up])))
        elif kind == "cut":
            places = sorted({0, len(data), *draw(st.lists(st.integers(0, len(data)), max_size=3))})
            steps += [send(data[start:stop]) for start, stop in pairwise(places)]
        elif data:
            steps.append(send(data))
    return steps


class SameAnswersTests(SynchronousTestCase):
    def check(self, script: Sequence[Step], what: object, *, greedy: bool = True) -> None:
        sides = played(script, greedy=greedy)
        self.assertEqual([], list(differences(sides)), what)

    def test_corpus(self) -> None:
        """Each case alone, twice, twice in one piece, again with another behind it or not to its end, and cut."""
        random = Random(1)
        for number, case in enumerate(CASES):
            data = case.data
            head = data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            first, second = sorted(random.randrange(len(data)) for _ in "12")
            for script in (
                [send(data), send(NEXT), advance(80)],
                [send(data), send(data)],
                [send(data + data + NEXT)],
                [send(NEXT), send(data), send(head + NEXT)],
                [send(data), send(data[:second]), advance(11)],
                [send(data[:first]), send(data[first:second]), send(data[second:]), send(data)],
            ):
                self.check(script, (number, case))
        self.assertEqual([], self.flushLoggedErrors())

    def test_what_is_tried(self) -> None:
        """llhttp takes some of the corpus, and leaves some to the strict reader, which takes or refuses it."""
        taken = left = refused = 0
        for case in CASES:
            if read_head(case.data, LIMIT) is not None:
                taken += 1
            else:
                try:
                    left += HeadReader(LIMIT).feed(case.data) is not None
                except Refused:
                    refused += 1
        self.assertGreater(min(taken, left, refused), 3, (taken, left, refused))

    def test_whole_requests(self) -> None:
        """Each of the good ones, again and again, with time between them; some take their answers late."""
        for data in WHOLE:
            for script in (
                [send(data), answer, send(data), answer, send(data + data), answer, answer, advance(80)],
                [send(data), advance(61), send(data), answer],
                [send(data), drain, send(data), answer, advance(3)],
                [send(data), answer, tighten, send(data), answer],
                [send(data[:30]), advance(11)],
                [send(data), answer, send(data), advance(80), answer, send(data)],
                [send(data), hang_up],
                [send(data), answer, send(b"\r\n"), send(data), answer, send(b"\r\n" + data), answer],
                [send(data[: data.index(b"\r\n\r\n") + 4]), send(b"hel"), advance(61)],
            ):
                self.check(script, data[:200])
                self.check([each for step in script for each in (step, take)], data[:200], greedy=False)

    def test_heads_are_remembered(self) -> None:
        """On the one side alone, so that what is remembered is held against what is read."""
        for data in WHOLE[4:8]:
            one, other = played([send(data), answer, send(data), answer, send(data + data), answer, answer])
            self.assertEqual((4, 1), (len(one.heads), len(set(one.heads))), data)
            self.assertEqual((4, 4), (len(other.heads), len(set(other.heads))), data)

    @settings(max_examples=tried(400, 20_000))
    @given(scripts(), st.booleans())
    def test_scripts(self, script: list[Step], greedy: bool) -> None:
        """Anything."""
        self.check(script, None, greedy=greedy)
        self.assertEqual([], self.flushLoggedErrors())

    def test_a_difference_is_noticed(self) -> None:
        """One byte more, or one request less, would be."""
        one, _ = played([send(NEXT)])
        for script in ([send(NEXT + NEXT)], [send(NEXT[:-1])], [send(NEXT.replace(b"next", b"text"))], [hang_up]):
            _, other = played(script)
            self.assertNotEqual([], list(differences((one, other))))


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


class SameHeadsTests(SynchronousTestCase):
    """What llhttp takes is what the strict reader takes, byte by byte."""

    def takes(self, data: bytes) -> bool:
        """Whether llhttp takes a head, which must be the same one then."""
        found = read_head(data, LIMIT)
        if found is None:
            return False
        head, size = found
        reader = HeadReader(LIMIT)
        try:
            strict = reader.feed(data)
        except Refused as refused:
            self.fail(f"{data!r} is taken, and should not be: {refused}")
        self.assertIsNotNone(strict, data)
        assert isinstance(strict, Head)
        self.assertEqual((strict.line, strict.fields, strict.closes), (head.line, head.fields, head.closes), data)
        self.assertEqual((reader.size, reader.rest), (size, data[size:]), data)
        return True

    def test_any_byte_anywhere(self) -> None:
        """Every byte put in, and in the place of another, everywhere; and every kind of line end."""
        taken = refused = 0
        for base in BASES:
            for at in range(len(base) + 1):
                for more in (*(bytes([byte]) for byte in range(256)), *LINE_ENDS, b""):
                    for rest in (base[at:], base[at + 1 :]):
                        if self.takes(base[:at] + more + rest):
                            taken += 1
                        else:
                            refused += 1
        self.assertGreater(min(taken, refused), 10_000)

    def test_a_lenient_llhttp(self) -> None:
        """If another llhttp were lenient about ends of lines and versions, it would take nothing else here."""
        made: list[HttpRequestParser] = []

        def lenient(told: object) -> HttpRequestParser:
            parser = HttpRequestParser(told)
            parser.set_dangerous_leniencies(
                lenient_optional_cr_before_lf=True, lenient_optional_lf_after_cr=True, lenient_version=True
            )
            made.append(parser)
            return parser

        self.patch(llhttp, "HttpRequestParser", lenient)
        for base in BASES:
            for at in range(len(base) + 1):
                for more in (b"\r", b"\n", b"2", *LINE_ENDS, b""):
                    self.takes(base[:at] + more + base[at:])
                    self.takes(base[:at] + more + base[at + 1 :])
        self.assertGreater(len(made), 5000)

    def test_bounds(self) -> None:
        """Up to a hundred fields, and up to the limit, and not a byte more than the strict reader takes."""
        for number in (99, 100, 101, 102):
            lines = b"".join(b"%d: x\r\n" % each for each in range(number))
            self.assertIs(number <= 100, self.takes(b"GET / HTTP/1.1\r\n" + lines + b"\r\n"))
        for size in (LIMIT - 1, LIMIT, LIMIT + 1, LIMIT + 5):
            begin = b"GET / HTTP/1.1\r\nA: "
            self.assertIs(size <= LIMIT, self.takes(begin + b"x" * (size - len(begin) - 4) + b"\r\n\r\n"))

    def test_what_llhttp_does_not_know(self) -> None:
        """Other methods and protocols are left to the strict reader."""
        for line in (b"HELLO / HTTP/1.1", b"PRI * HTTP/2.0", b"GET / HTTP/2.0", b"GET / HTTP/0.9", b"GET / RTSP/1.0"):
            self.assertFalse(self.takes(line + b"\r\n" + HOST + b"\r\n"))
        self.assertTrue(self.takes(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"))

    @settings(max_examples=tried(500, 20_000))
    @given(st.lists(st.one_of(PIECE, SPLINTERS), max_size=4).map(b"".join))
    def test_anything(self, data: bytes) -> None:
        """What llhttp takes of anything is right."""
        self.takes(data)


class Theirs(http.Request):
    """What twisted.web's channel makes of a request."""

    seen: list[Seen]

    def gotLength(self, length: int | None) -> None:
        """Keep the body in memory."""
        self.content = BytesIO()

    def process(self) -> None:
        """Note it, and answer."""
        assert self.content is not None
        self.seen.append((self.method, self.uri, self.content.read()))
        self.finish()


def by_twisted(data: bytes) -> list[Seen]:
    """The requests that twisted.web's own channel takes."""
    found: list[Seen] = []

    class Noted(Theirs):
        seen = found

    channel = http.HTTPChannel()
    channel.requestFactory = Noted
    channel.timeOut = None
    channel.makeConnection(StringTransport())
    channel.dataReceived(data)
    return found


MORE: Final = (
    (rb"\r\n0\r\n(?!\r\n)", "it does not look at trailers, nor at how the last line ends"),
    (rb"\r\n0{16}1\r\n", "it takes any number of digits for the size of a chunk; some keep 64 bits"),
    (rb"\r\n1;", "it looks for a semicolon, and not at what the extension of a chunk is"),
    (rb"\n[ \t]", "it joins lines that are folded, which RFC 9112 has servers refuse"),
    (rb"HTTP/1\.0\r\n(?s:.*)(?i:Transfer-Encoding)", "it takes codings in HTTP/1.0, which has none"),
    (rb"(?i:Transfer-Encoding: identity)", "it takes the coding identity for none, which RFC 9112 has dropped"),
    (rb"Connection: close,keep-alive", "it compares the whole value, where any member of the list may be close"),
    (rb"\ACONNECT ", "it goes on behind a CONNECT, where what comes may have been meant for the tunnel"),
    (rb"\AGET (?!/ |http://b/ )", "it takes any target, up to the next space"),
    (rb"\AGET (?:/|http://b/) HTTP/1\.1\r\n", "it does not ask for a Host field, nor looks at what it is"),
)
"""What twisted.web's channel takes and ours does not: what tells such bytes, the first of which counts, and why."""

FEWER: Final = (
    (rb"\r\n5 ; a = b", "it takes no white space before an extension, which RFC 9112 has readers bear with"),
    (rb'\r\n5;a="\\"', "it takes no quote in an extension, which RFC 9112 allows where a backslash is before it"),
)
"""What ours takes and twisted.web's does not."""


class TwistedTests(SynchronousTestCase):
    def why(self, data: bytes, differences: Sequence[tuple[bytes, str]]) -> str:
        found = [reason for form, reason in differences if re.search(form, data)]
        self.assertTrue(found, data)
        return found[0]

    def test_corpus(self) -> None:
        """Each difference has its reason, each reason a difference, and all other requests are the same."""
        more, fewer, same = set(), set(), 0
        for case in CASES:
            ours, theirs = list(DoorOfTargets().see(case.data)[0]), by_twisted(case.data)
            common = min(len(ours), len(theirs))
            self.assertEqual(ours[:common], theirs[:common], case)
            if len(theirs) > common:
                more.add(self.why(case.data, MORE))
            elif len(ours) > common:
                fewer.add(self.why(case.data, FEWER))
            else:
                same += 1
        self.assertEqual({reason for _, reason in MORE}, more)
        self.assertEqual({reason for _, reason in FEWER}, fewer)
        self.assertGreater(same, len(CASES) // 2)

    def test_good_requests(self) -> None:
        """What nobody doubts is read alike."""
        good = b"".join(
            [
                encode_request("GET", "/a?b=c"),
                encode_request("POST", "/", body=b"hello"),
                encode_request("POST", "/", {"Transfer-Encoding": "chunked"}, encode_chunks([b"hello"])),
                encode_request("HEAD", "/"),
            ]
        )
        self.assertEqual(list(DoorOfTargets().see(good)[0]), by_twisted(good))
        self.assertEqual(4, len(by_twisted(good)))
