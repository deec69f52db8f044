"""The smuggling corpus: each case is refused, or read in one way wherever it is cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain, islice

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.deferreds import deferred
from queuey.http.wire import BrokenBody, ClientGone, Request, Site
from tests.http import lenient
from tests.http.corpus import CASES
from tests.http.corpus_cases import CHUNKED, END, HOST, SMUGGLED, Case, Outcome, Seen, post
from tests.http.lenient import Lenient
from tests.http.wire_support import LIMITS, Connection, Handler, answer_ok, make_site

NEXT = b"GET /next HTTP/1.1\r\n" + HOST + b"\r\n"
NEXT_SEEN: Seen = (b"GET", b"/next", b"")

LONG = bool(os.environ.get("QUEUEY_LONG"))
PAIRS = 90
"""Up to this many bytes, a long run cuts a case in three, everywhere."""


@attrs.frozen
class Found:
    """What the HTTP server made of some bytes and what was sent behind them."""

    seen: tuple[Seen, ...]
    statuses: tuple[int, ...]
    refused_with: tuple[str, ...]
    half_closed: bool
    open: bool


def cuts(size: int, in_three: bool) -> Iterator[tuple[int, ...]]:
    """Where to cut: nowhere, at every byte at once, and at every byte once; or also in three, everywhere."""
    yield ()
    yield tuple(range(1, size))
    for at in range(1, size):
        yield (at,)
    if in_three and size <= PAIRS:
        for first in range(1, size):
            for second in range(first + 1, size):
                yield (first, second)


class Door:
    """A site that remembers what its handlers see of requests that came to their end."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.site: Site = make_site(Handler(self.handle), limits=LIMITS, streams=self.streams)

    def streams(self, request: Request) -> bool:
        return False

    def handle(self, request: Request) -> object:
        self.seen.append((request.method, request.path, request.body))
        answer_ok(request)
        return None

    def find(self, data: bytes, at: tuple[int, ...], behind: bytes = NEXT) -> Found:
        """What becomes of bytes that are cut at these places.

        :param behind: what is sent at last.
        """
        self.seen.clear()
        connection = Connection(self.site)
        begin = 0
        for end in (*at, len(data)):
            connection.send(data[begin:end])
            begin = end
        connection.send(behind)
        responses = [each for each in connection.responses(*self.methods()) if each.status != 100]
        refusals = [tuple(each.error.items()) for each in responses if each.status >= 400 and each.body]
        found = Found(
            tuple(self.seen),
            tuple(each.status for each in responses),
            tuple(f"{key}: {text}" for refusal in refusals for key, text in refusal),
            connection.transport.half_closed,
            connection.open,
        )
        connection.hang_up()
        return found

    def methods(self) -> list[str]:
        return [method.decode("ascii") for method, _, _ in self.seen]


class DoorOfPieces(Door):
    """The same where handlers read the bodies in pieces."""

    def streams(self, request: Request) -> bool:
        request.max_body = LIMITS.max_body - 1
        return True

    @deferred
    async def handle(self, request: Request) -> None:
        try:
            body = b"".join([piece async for piece in request.pieces()])
        except BrokenBody as broken:
            request.refuse(broken.refusal)
        except ClientGone:
            return
        else:
            self.seen.append((request.method, request.path, body))
            answer_ok(request)


class DoorOfTargets(Door):
    """The same with the targets as they were sent, for comparison."""

    def handle(self, request: Request) -> object:
        self.seen.append((request.method, request.line.target, request.body))
        answer_ok(request)
        return None

    def see(self, data: bytes) -> tuple[tuple[Seen, ...], bool]:
        """The requests that are seen, and whether more would be."""
        self.seen.clear()
        connection = Connection(self.site).send(data)
        on = connection.open and not connection.transport.half_closed
        connection.hang_up()
        return tuple(self.seen), on


PIECES = st.one_of(
    st.sampled_from([case.data for case in CASES]),
    st.sampled_from([SMUGGLED, post(b"Content-Length: 5\r\n", b"hello"), post(CHUNKED, b"5\r\nhello\r\n" + END)]),
)
SPLINTERS = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"\x00",
        b",",
        b":",
        b";",
        b'"',
        b"0",
        b"5",
        b"x",
        b"+",
        b"\xa0",
        b"\\",
        b"\r\n\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 35\r\n",
        CHUNKED,
        END,
        HOST,
        b"A: b\r\n",
        b";a=b",
        b"chunked",
        SMUGGLED,
    ]
)
DAMAGES = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from([0, 0, 1, 2, 5]), st.just(b"") | SPLINTERS), max_size=4
)


class LenientTests(SynchronousTestCase):
    """Where a reader that forgives more would see other requests, the HTTP server refuses."""

    def differences(self, door: DoorOfTargets, data: bytes) -> list[Lenient]:
        """The readers that see other requests than the HTTP server, though it does not refuse what they differ in."""
        data = data.rstrip(b"\r")  # what the last CR is, the next byte would tell
        seen, on = door.see(data)
        return [reader for reader in lenient.ALL if not agree(seen, on, *reader.read(data))]

    @settings(max_examples=20_000 if LONG else 300)
    @given(st.lists(PIECES, min_size=1, max_size=3).map(b"".join), DAMAGES)
    def test_damaged(self, data: bytes, damages: list[tuple[int, int, bytes]]) -> None:
        """Pieces of the corpus, damaged anywhere."""
        for at, lost, more in damages:
            data = data[:at] + more + data[at + lost :]
        self.assertEqual([], self.differences(DoorOfTargets(), data))

    def test_corpus(self) -> None:
        """None of the cases, and most of those that are refused are read differently by some reader."""
        door = DoorOfTargets()
        refused = told_apart = 0
        for case in CASES:
            self.assertEqual([], self.differences(door, case.data), case)
            if case.outcome is Outcome.REFUSED:
                refused += 1
                readings = {tuple(reader.read(case.data)[0]) for reader in lenient.ALL}
                told_apart += len(readings) > 1 or any(b"/smuggled" in request for each in readings for request in each)
        self.assertGreater(told_apart, refused // 2)


def agree(door: tuple[Seen, ...], on: bool, other: list[Seen], other_on: bool) -> bool:
    """Whether two readers have seen the same, as far as neither of them has refused to go on."""
    common = min(len(door), len(other))
    if door[:common] != tuple(other[:common]):
        return False
    return not (len(door) > common and other_on) and not (len(other) > common and on)


class SmugglingTests(SynchronousTestCase):
    every_byte = True
    """Whether what is done in a bounded way elsewhere cuts the cases at every byte."""

    def expected(self, case: Case) -> tuple[tuple[Seen, ...], tuple[int, ...]]:
        """The requests that handlers see, and the statuses of all answers."""
        if case.outcome is Outcome.REFUSED:
            return case.seen, (*(200 for _ in case.seen), case.status)
        seen = (*case.seen, NEXT_SEEN) if case.outcome is Outcome.KEPT else case.seen
        return seen, tuple(200 for _ in seen)

    def check_end(self, case: Case, found: Found) -> None:
        """The connection is closed, or as good as closed, exactly where it should be."""
        kept = case.outcome in (Outcome.KEPT, Outcome.WAITING)
        self.assertEqual(kept, found.open and not found.half_closed, case)

    def test_corpus(self) -> None:
        """Every case, cut at every byte."""
        self.check_all(Door(), every_byte=self.every_byte, in_three=LONG)

    def test_corpus_in_pieces(self) -> None:
        """Every case, where handlers begin before the body is there."""
        self.check_all(DoorOfPieces(), every_byte=LONG, in_three=False)

    def check_all(self, door: Door, *, every_byte: bool, in_three: bool) -> None:
        for number, case in enumerate(CASES):
            behind = b"" if case.outcome is Outcome.WAITING else NEXT
            first = door.find(case.data, (), behind)
            self.assertEqual(self.expected(case), (first.seen, first.statuses), case)
            places = cuts(len(case.data), in_three)
            if every_byte and not LONG:
                # Byte by byte, and at every third byte; the cases take turns in where that begins.
                places = chain(islice(places, 1), islice(places, number % 3, None, 3))
            for at in places if every_byte else islice(places, 2):
                found = door.find(case.data, at, behind)
                self.check_end(case, found)
                self.assertEqual(
                    (first.seen, first.statuses, first.refused_with),
                    (found.seen, found.statuses, found.refused_with),
                    (at, case),
                )
            self.assertEqual(0, door.site.connections)
        self.assertEqual([], self.flushLoggedErrors())

    def test_answers_to_head(self) -> None:
        """A HEAD whose line is refused, or late, is answered without a body, which no client would expect."""
        clock = Clock()
        site = make_site(Handler(answer_ok), reactor=clock)
        for line in (
            b"HEAD * HTTP/1.1",
            b"HEAD  / HTTP/1.1",
            b"HEAD /\x00 HTTP/1.1",
            b"HEAD / HTTP/2",
            b"HEAD /%ff HTTP/1.1",
        ):
            for begin in (b"", b"\r\n"):
                data = begin + line + b"\r\n" + HOST + b"\r\n"
                for connection in (Connection(site).send(data), Connection(site).send_slowly(data)):
                    response = connection.response("HEAD")
                    self.assertEqual((400, b""), (response.status, response.body))
                    self.assertTrue(response.closes)
        late = Connection(site).send(b"HEAD / HT")
        clock.pump([1] * 20)
        self.assertEqual((408, b""), (late.response("HEAD").status, late.response("HEAD").body))

    def test_reasons(self) -> None:
        """No case stands there twice, and there are as many as there should be."""
        self.assertEqual(len(CASES), len({case.data for case in CASES}))
        self.assertGreater(len(CASES), 400)
        self.assertTrue(all(case.reason for case in CASES))
