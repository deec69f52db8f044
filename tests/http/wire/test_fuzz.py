"""Random bytes on a connection, cut at random places: the same answers, and each is complete."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.http.connection.limits import AccessLine
from queuey.http.wire import Request
from tests.http.wire_support import LIMITS, Connection, Handler, answer_ok, encode_chunks, encode_request, make_site

FRAGMENTS = (
    b"GET / HTTP/1.1\r\n",
    b"GET /a%20b HTTP/1.1\r\n",
    b"HEAD / HTTP/1.0\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"Host: a\r\n",
    b"Host: b\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 2000\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"X-Request-Id: x\r\n",
    b"\r\n",
    b"\r",
    b"\n",
    b" ",
    b":",
    b"\x00",
    b"\xff",
    b"hello",
    b"5\r\n",
    b"5;x=y\r\n",
    b"7d0\r\n",
    b"0\r\n\r\n",
    b"0\r\n",
    encode_request("GET", "/"),
    encode_request("HEAD", "/"),
    encode_request("PUT", "/", body=b"hello"),
    encode_request("PUT", "/", {"Transfer-Encoding": "chunked"}, encode_chunks([b"hello"])),
    encode_request("PUT", "/in-pieces", {"Transfer-Encoding": "chunked"}, encode_chunks([b"hello", b"x" * 1500])),
)

Outcome = tuple[bytes, list[AccessLine], list[tuple[bytes, bytes]], bool]


def outcome(pieces: list[bytes]) -> Outcome:
    """What a connection on which this comes gets, and what handlers see of it."""
    lines: list[AccessLine] = []
    seen: list[tuple[bytes, bytes]] = []

    def handle(request: Request) -> None:
        seen.append((request.path, request.body))
        answer_ok(request)

    site = make_site(Handler(handle), access=lines.append, reactor=Clock(), limits=LIMITS)
    connection = Connection(site)
    for piece in pieces:
        connection.send(piece)
    connection.hang_up()
    return connection.received, lines, seen, connection.transport.half_closed


class CutTests(SynchronousTestCase):
    @given(
        st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=4)), max_size=12).map(b"".join),
        st.lists(st.integers(min_value=0, max_value=600), max_size=8),
    )
    def test_any_cut(self, data: bytes, cuts: list[int]) -> None:
        """The same bytes give the same outcome, whole, in pieces and one by one."""
        whole = outcome([data])
        places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
        pieces = [data[start:stop] for start, stop in pairwise(places)]
        self.check(whole, outcome(pieces))
        self.check(whole, outcome([data[at : at + 1] for at in range(len(data))]))
        self.assertEqual([], self.flushLoggedErrors())

    def check(self, whole: Outcome, cut: Outcome) -> None:
        """A client that gets no 100 Continue, because it has sent its body, is the only difference."""
        self.assertEqual(self.without_continue(whole[0]), self.without_continue(cut[0]))
        self.assertEqual(whole[2:], cut[2:])
        self.assertEqual(
            [(line.status, line.path, line.request_id) for line in whole[1]],
            [(line.status, line.path, line.request_id) for line in cut[1]],
        )

    def without_continue(self, received: bytes) -> bytes:
        return received.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
