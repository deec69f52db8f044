"""The smuggling corpus: each case is read in one way, however it is cut, or refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.deferreds import deferred
from queuey.http.wire import BrokenBody, ClientGone, Request, Site
from tests.http.corpus import CASES, HOST, Case, Outcome, Seen
from tests.http.wire_support import LIMITS, Connection, Handler, answer_ok, make_site

NEXT = b"GET /next HTTP/1.1\r\n" + HOST + b"\r\n"
NEXT_SEEN: Seen = (b"GET", b"/next", b"")

LONG = bool(os.environ.get("QUEUEY_LONG"))
PAIRS = 120
"""Up to this many bytes, a long run cuts a case in three, everywhere."""


@attrs.frozen
class Found:
    """What the door made of some bytes and what was sent behind them."""

    seen: tuple[Seen, ...]
    statuses: tuple[int, ...]
    refused_with: tuple[str, ...]
    half_closed: bool
    open: bool


def cuts(size: int) -> Iterator[tuple[int, ...]]:
    """Where to cut: nowhere, once at every byte, and at every byte."""
    yield ()
    yield tuple(range(1, size))
    for at in range(1, size):
        yield (at,)
    if LONG and size <= PAIRS:
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


class SmugglingTests(SynchronousTestCase):
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
        self.check_all(Door(), every_byte=True)

    def test_corpus_in_pieces(self) -> None:
        """Every case, where handlers begin before the body is there."""
        self.check_all(DoorOfPieces(), every_byte=LONG)

    def check_all(self, door: Door, *, every_byte: bool) -> None:
        for case in CASES:
            behind = b"" if case.outcome is Outcome.WAITING else NEXT
            first = door.find(case.data, (), behind)
            self.assertEqual(self.expected(case), (first.seen, first.statuses), case)
            places = cuts(len(case.data))
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
        """A HEAD whose line is refused, or late, is answered without a body, which nobody would expect."""
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
