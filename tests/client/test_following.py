"""Readers that follow a queue by live reads, and by waits before servers that have none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import islice
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey_client import Gap, GapWarning, Limited, Message, NotAllowed, NotFound, QueueReplaced, Retry, Unavailable
from queuey_client.core.live_lines import LineReader
from queuey_client.core.live_read import SILENCE
from queuey_client.core.session import Credentials
from tests.client.live_support import (
    LiveServer,
    LogServer,
    Piece,
    begun,
    came,
    caught_up,
    gap,
    lines,
    refusal,
)
from tests.client.support import LOST, REFUSED, answer, page, problem
from tests.client.test_reading import MemoryCursors


def texts(found: Iterator[Message]) -> list[str]:
    """The bodies of all messages."""
    return [each.text for each in found]


class BreakTests(SynchronousTestCase):
    """Connections that end, and those after them."""

    def test_a_break_at_any_byte(self) -> None:
        """Every message comes once, wherever the connection breaks and however its bytes are cut into pieces."""
        wanted = [f"grüße {number}\n" * number for number in (1, 2, 3)]
        (whole,) = LogServer(3, [], 1 << 20).connect({})  # type: ignore[misc]
        assert isinstance(whole, bytes)
        for size in (5, 1 << 20):
            for cut in range(len(whole)):
                server = LogServer(3, [cut], size)
                found = texts(server.queue().follow(start="oldest", idle=0))
                self.assertEqual(found, wanted, (cut, size))
                self.assertEqual(server.left_open, 0)

    def test_many_breaks(self) -> None:
        """Each connection brings one message more, or only its first line: none is lost and none comes twice."""
        server = LogServer(8, [cut for number in range(8) for cut in (60, 450)], 50)
        found = texts(server.queue().follow(start="oldest", idle=0))
        self.assertEqual(found, [f"grüße {number}\n" * number for number in range(1, 9)])
        self.assertGreater(len(server.queries), 3)

    def test_a_place_that_was_told_first(self) -> None:
        """A reader of what comes has its place before anything comes, and a sign of life moves it."""
        first: list[Piece] = [lines(begun("p0"), caught_up("p0")), lines({"next": "p5"}), LOST]
        server = LiveServer(first, [lines(begun("p5"), came(6))])
        self.assertEqual(next(server.queue().follow()).text, "body 6")
        self.assertEqual(server.queries, [{"start": "newest"}, {"after": "p5"}])

    def test_pauses(self) -> None:
        """It comes back after as long as the server has said: in the first line, and in the last one."""
        server = LiveServer(
            [lines(begun(retry=2500), caught_up("p0")), LOST],
            [lines(begun(retry=3000), {"retry": 700}), b""],
            [lines(begun(retry=1e9)), LOST],
            [lines(begun(), came(1))],
        )
        next(server.queue().follow())
        self.assertEqual(server.sleeps, [2.5, 0.7, 60.0])

    def test_a_pause_that_the_server_has_not_said(self) -> None:
        """It differs from client to client."""
        server = LiveServer([LOST], [lines(begun(), came(1))])
        next(server.queue().follow())
        self.assertEqual(server.sleeps, [4.0])

    def test_the_end_of_a_live_read(self) -> None:
        """Its user sees nothing of it."""
        connections = [[lines(begun(f"p{n}"), came(n + 1), {"retry": 500}), b""] for n in range(20)]
        server = LiveServer(*connections)
        self.assertEqual(len(list(islice(server.queue().follow(), 20))), 20)

    def test_a_server_that_restarts(self) -> None:
        """Requests that are not answered are repeated, as all requests are."""
        server = LiveServer([lines(begun()), LOST], REFUSED, REFUSED, [lines(begun(), came(1))])
        self.assertEqual(next(server.queue().follow()).text, "body 1")

    def test_a_server_that_fails_for_long(self) -> None:
        """The error is raised after the deadline of the retries, and the connections are closed."""
        cut: list[Piece] = [lines(begun()), LOST]
        for connection in (cut, [lines(begun(), refusal("unavailable", 503, retryable=True))]):
            server = LiveServer(*[connection] * 100)
            error = self.assertRaises(Unavailable, next, server.queue().follow(start="p0"))
            self.assertEqual(error.applied, "no")
            self.assertTrue(20 < len(server.opened) < 40, len(server.opened))
            self.assertEqual(server.left_open, 0)

    def test_no_retries(self) -> None:
        """A caller that repeats itself gets the first break, and no end that is meant."""
        server = LiveServer([lines(begun(), came(1), {"retry": 1}), b""], [lines(begun(), came(2)), LOST])
        found = server.queue(retry=Retry.never).follow()
        self.assertEqual([next(found).text, next(found).text], ["body 1", "body 2"])
        self.assertRaises(Unavailable, next, found)

    def test_silence(self) -> None:
        """A connection from which nothing comes is given up: soon if it has brought nothing yet."""
        server = LiveServer([None], [lines(begun(), caught_up("p0")), None], [lines(begun(), came(1))])
        next(server.queue().follow())
        self.assertEqual(server.waits[:3], [10.0, 10.0, SILENCE])

    def test_what_is_not_queueys(self) -> None:
        """The place is where the last whole line was."""
        for garbage in (b"<html>\n", b"[]\n", b'{"message": {}, "next": "p9"}\n', b'{"gap": 1}\n', b'{"retry": []}\n'):
            server = LiveServer([lines(begun(), came(1)), garbage], [lines(begun("p1"), came(2))])
            self.assertEqual(texts(islice(server.queue().follow(), 2)), ["body 1", "body 2"])
            self.assertEqual(server.queries[1], {"after": "p1"})

    def test_a_line_without_end(self) -> None:
        """It is kept up to a bound."""
        reader = LineReader("orders")
        self.patch(reader, "_size", 256 << 20)
        self.assertRaises(ValueError, reader.read, b"x")

    def test_what_is_new(self) -> None:
        """Lines and members that this client does not know do no harm."""
        server = LiveServer([lines(begun(), {"news": 1}, {"more": {}, "next": "p3"}, {**came(4), "more": 1}), LOST])
        self.assertEqual(next(server.queue().follow()).text, "body 4")


class RefusalTests(SynchronousTestCase):
    """A server that does not want this reader."""

    def test_at_first(self) -> None:
        """The error is raised as for all requests."""
        for code, status, kind in (
            ("unauthorized", 401, NotAllowed),
            ("forbidden", 403, NotAllowed),
            ("no-such-queue", 404, NotFound),
            ("no-such-application", 404, NotFound),
            ("queue-replaced", 410, QueueReplaced),
        ):
            server = LiveServer(problem(code, status))
            self.assertRaises(kind, next, server.queue().follow())

    def test_meanwhile(self) -> None:
        """After the messages that came before it."""
        for code, status, kind in (
            ("unauthorized", 401, NotAllowed),
            ("forbidden", 403, NotAllowed),
            ("no-such-queue", 404, NotFound),
            ("queue-replaced", 410, QueueReplaced),
        ):
            server = LiveServer([lines(begun(), came(1), refusal(code, status, oldest="p-oldest")), b""])
            found = server.queue().follow()
            self.assertEqual(next(found).text, "body 1")
            error = self.assertRaises(kind, next, found)
            self.assertEqual(
                (error.status, error.code, getattr(error, "oldest", "p-oldest")), (status, code, "p-oldest")
            )
            self.assertEqual(server.left_open, 0)

    def test_too_many(self) -> None:
        """They are asked again for as long as other requests."""
        refused = problem("limit-reached", 429, retryable=True, headers={"retry-after": "5"})
        server = LiveServer(refused, [lines(begun(), came(1))])
        next(server.queue().follow())
        self.assertEqual(len(server.sleeps), 1)
        self.assertRaises(Limited, next, LiveServer(*[refused] * 100).queue().follow())

    def test_keys_that_are_rotated(self) -> None:
        """A function is asked again, once the server has ended the live read or has refused it."""
        keys = iter(["old", "new", "newer"])
        server = LiveServer(
            [lines(begun(), came(1), refusal("unauthorized", 401)), b""],
            problem("unauthorized", 401),
            [lines(begun("p1"), came(2))],
        )
        found = server.queue(credentials=Credentials(lambda: next(keys), None)).follow()
        self.assertEqual([next(found).text, next(found).text], ["body 1", "body 2"])
        self.assertEqual(list(keys), [])

    def test_a_key_that_stays_wrong(self) -> None:
        """Then the error is raised."""
        server = LiveServer(*[[lines(begun(), refusal("unauthorized", 401)), b""] for _ in range(100)])
        queue = server.queue(credentials=Credentials(lambda: "wrong", None))
        self.assertRaises(NotAllowed, next, queue.follow())


class ReaderTests(SynchronousTestCase):
    """Where a reader begins, what it keeps, and when it ends."""

    def test_starts(self) -> None:
        """The server is asked for what the user has asked for."""
        since = datetime(2026, 1, 1, tzinfo=timezone.utc)
        cursors = MemoryCursors()
        cursors.places["r"] = "mine"
        for options, wanted in (
            ({}, {"start": "newest"}),
            ({"start": "oldest"}, {"start": "oldest"}),
            ({"start": since}, {"since": since.isoformat()}),
            ({"start": "place"}, {"after": "place"}),
            ({"start": "oldest", "reader": "r", "cursors": cursors}, {"after": "mine"}),
            ({"partitions": [2]}, {"start": "newest", "partition": "2"}),
        ):
            server = LiveServer([lines(begun(), came(1))])
            next(server.queue("a/b").follow(**options))
            self.assertEqual(server.queries, [wanted])
            self.assertEqual((server.paths, server.asks), (["/v2/shop/queues/a%2Fb/events"], []))

    def test_messages(self) -> None:
        """They are those of pages."""
        server = LiveServer([lines(begun(), came(7, body="ü", partition=3, headers={"queuey-key": "k"}))])
        found = next(server.queue().follow())
        self.assertEqual((found.queue, found.text, found.partition, found.key), ("orders", "ü", 3, "k"))
        self.assertEqual((found.id, found.place), (f"{7:032x}-1",) * 2)

    def test_idle(self) -> None:
        """It ends once it has got everything and no message came for so long, whatever signs of life there are."""
        server = LiveServer([lines(begun(), came(1)), lines(caught_up("p1")), lines({"next": "p1"}), None])
        self.assertEqual(texts(server.queue().follow(start="oldest", idle=30)), ["body 1"])
        self.assertEqual(server.waits[-1], 30.0)
        self.assertEqual(server.left_open, 0)

    def test_idle_over_breaks(self) -> None:
        """Its time goes on while the reader is not connected, but it ends only after it has got everything."""
        server = LiveServer(
            [lines(begun(retry=9000), caught_up("p0")), LOST],
            [lines(begun(retry=9000)), lines(came(1), caught_up("p1"))],
        )
        self.assertEqual(texts(server.queue().follow(idle=5)), ["body 1"])

    def test_a_slow_loop(self) -> None:
        """The time that its body takes is none in which no message came."""
        server = LiveServer([lines(begun(), came(1), caught_up("p1")), lines(came(2)), None])
        found = []
        for each in server.queue().follow(start="oldest", idle=5):
            found.append(each.text)
            server.now += 20
        self.assertEqual(found, ["body 1", "body 2"])

    def test_a_closed_queue(self) -> None:
        """The reader ends when it has got everything."""
        server = LiveServer([lines(begun(), came(1), caught_up("p1"), {"closed": True, "next": "p1"}), b""])
        self.assertEqual(texts(server.queue().follow(start="oldest")), ["body 1"])

    def test_places_are_kept(self) -> None:
        """Those of signs of life too: an old place would look like a gap."""
        cursors = MemoryCursors()
        pieces = [lines(begun("p0"), came(1), came(2)), lines({"next": "p9"}), lines(caught_up("p10")), None]
        server = LiveServer(pieces)
        texts(server.queue().follow(start="oldest", reader="r", cursors=cursors, idle=5))
        self.assertEqual(cursors.saved, ["p2", "p9", "p10"])

    def test_a_loop_that_is_left(self) -> None:
        """Its connection is closed, and its place is before the message whose work was begun."""
        cursors = MemoryCursors()
        server = LiveServer([lines(begun("p0"), came(1), came(2), came(3))])
        for message in server.queue().follow(reader="r", cursors=cursors):
            if message.text == "body 2":
                break
        del message
        self.assertEqual((cursors.saved, server.left_open), ([f"{1:032x}-1"], 0))

    def test_gaps(self) -> None:
        """They are raised, warned of, or ignored: where they are, between the messages."""

        def follow(on_gap: str) -> Iterator[Message]:
            server = LiveServer([lines(begun(), came(1), gap("p4", "p1"), came(5))])
            return islice(server.queue().follow(on_gap=on_gap), 2)

        found = follow("raise")
        self.assertEqual(next(found).text, "body 1")
        error = self.assertRaises(Gap, next, found)
        self.assertEqual((error.first, error.queue), ("p4", "orders"))
        self.assertEqual(texts(follow("ignore")), ["body 1", "body 5"])
        self.assertEqual(texts(follow("warn")), ["body 1", "body 5"])
        (warning,) = self.flushWarnings()
        self.assertIs(warning["category"], GapWarning)


class WaitTests(SynchronousTestCase):
    """Servers without live reads, and what is before servers."""

    def test_an_older_server(self) -> None:
        """It does not know the path: pages are read instead, from where the reader was to begin."""
        for refused in (problem("not-found", 404), answer(status=404), problem("method-not-allowed", 405)):
            server = LiveServer(refused, replies=[page(7), page(8), page(9)])
            self.assertEqual(texts(islice(server.queue().follow(), 2)), ["body 8", "body 9"])
            self.assertEqual(len(server.queries), 1)

    def test_a_server_that_became_older(self) -> None:
        """The pages begin where the live read has ended."""
        server = LiveServer([lines(begun(), came(1)), LOST], problem("not-found", 404), replies=[page(2)])
        self.assertEqual(texts(islice(server.queue().follow(), 2)), ["body 1", "body 2"])
        self.assertIn("after=p1&", server.asks[0].url)

    def test_a_proxy_that_keeps_lines_back(self) -> None:
        """After two connections that have brought nothing, pages are read."""
        server = LiveServer([None], [None], replies=[page(8)])
        self.assertEqual(next(server.queue().follow(start="p7")).text, "body 8")
        self.assertEqual(server.left_open, 0)

    def test_another_format(self) -> None:
        """What is no live read is closed, and pages are read."""
        for other in (problem("x", 200), answer({}, 200)):
            server = LiveServer(other, replies=[page(8)])
            self.assertEqual(next(server.queue().follow(start="p7")).text, "body 8")
        server = LiveServer([b"data: x\n\n"], replies=[page(8)])
        server.media_type = "text/event-stream"
        self.assertEqual(next(server.queue().follow(start="p7")).text, "body 8")
        self.assertEqual(server.left_open, 0)

    def test_a_closed_queue(self) -> None:
        """A reader that reads pages ends there too, instead of asking again and again."""
        server = LiveServer(problem("not-found", 404), replies=[page(1, closed=True)])
        self.assertEqual(texts(server.queue().follow(start="oldest")), ["body 1"])


class MemoryTests(SynchronousTestCase):
    """What a reader holds."""

    def test_one_piece(self) -> None:
        """A piece is asked for when all messages of the one before are done."""
        server = LiveServer([lines(came(1), came(2)), lines(came(3))])
        found = server.queue().follow()
        self.assertEqual((next(found).text, next(found).text, len(server.waits)), ("body 1", "body 2", 1))
        next(found)
        self.assertEqual(len(server.waits), 2)

    def test_a_long_line(self) -> None:
        """Its pieces are joined once, when its end has come."""
        body = "x" * 300_000
        whole = lines(came(1, body=body))
        pieces: list[Any] = [whole[at : at + 1000] for at in range(0, len(whole), 1000)]
        self.assertEqual(next(LiveServer(pieces).queue().follow()).text, body)
        self.assertEqual(json.loads(whole)["next"], "p1")
