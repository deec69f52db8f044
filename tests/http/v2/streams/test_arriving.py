"""Messages of a stream are stored while more of it arrives, within bounds of memory and time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from queuey.errors import StorageFull, Unavailable
from queuey.http.v2.streams.lines import MAX_LINES, MAX_WRONG, SLICE_LINES
from queuey.http.v2.streams.results import MAX_UNREAD
from tests.http.api_support import OWNER
from tests.http.v2.streams.test_stream import CHUNKED, PATH, TYPE, WRONG_AND_RIGHT, StreamCase, chunk, message
from tests.http.wire_support import Connection, encode_chunks, encode_request


class ArrivingTests(StreamCase):
    """A stream is handled while it arrives."""

    def test_answered_as_it_comes(self) -> None:
        """Each line has its answer before the next one comes."""
        connection = self.begin()
        for number in range(1, 4):
            connection.send(chunk(message(str(number))))
            self.assertEqual(number, len(self.told(connection)))
            self.assertEqual(number, len(self.stored()))
        connection.send(b"0\r\n\r\n")
        self.assertEqual({"done": True, "stored": 3, "failed": 0}, self.lines(connection)[-1])

    def test_byte_by_byte(self) -> None:
        """However it comes, it is the same."""
        connection = self.begin().send_slowly(encode_chunks([message("a") + message("b")[:5], message("b")[5:-1]]))
        self.assertEqual({"done": True, "stored": 2, "failed": 0}, self.lines(connection)[-1])
        self.assertEqual(["a", "b"], self.stored())

    def test_batches(self) -> None:
        """What comes while a batch is stored is the next batch, begun as soon as that is done."""
        held = self.hold()
        connection = self.begin().send(chunk(message("a")))
        connection.send(chunk(message("b"))).send(chunk(message("c"))).send(chunk(message("d")))
        self.assertEqual(([1], []), (self.held.sizes, self.told(connection)))
        held.pop().callback(None)
        self.assertEqual(([1, 3], 1), (self.held.sizes, len(self.told(connection))))
        connection.send(b"0\r\n\r\n")
        held.pop().callback(None)
        self.assertEqual({"done": True, "stored": 4, "failed": 0}, self.lines(connection)[-1])

    def test_storage_holds_back(self) -> None:
        """While a batch is stored, no more is read than the next batch and what a connection may keep."""
        held = self.hold()
        connection = self.begin()
        sent = self.flood(connection, message("x" * 1000))
        self.assertTrue(connection.paused)
        self.assertLess(sent, 2 * MAX_LINES)
        while held:
            held.pop().callback(None)
        self.assertFalse(connection.paused)
        self.assertEqual(sent, sum(self.held.sizes))

    def flood(self, connection: Connection, line: bytes) -> int:
        """Send lines until nothing more is read; how many."""
        for number in range(100_000):
            if connection.paused:
                return number
            connection.send(chunk(line))
        return 100_000

    def test_reader_that_stops(self) -> None:
        """Nothing more is read of who does not read, or stored, until it reads, or its time is over."""
        connection = self.begin()
        connection.transport.greedy = False
        sent = self.flood(connection, message("a"))
        self.assertTrue(connection.paused)
        self.assertLess(sent, 10 * MAX_LINES)
        stored = sum(self.held.sizes)
        self.assertLess(stored, sent)
        connection.transport.read()
        self.assertGreater(sum(self.held.sizes), stored)
        self.assertGreater(self.flood(connection, message("a")), 0)
        self.clock.pump([1] * 80)
        self.assertTrue(connection.transport.aborted)

    def test_client_that_sends_all_before_it_reads(self) -> None:
        """It is read to its end, if it wants failures alone, as long as it sends; then it gets them all."""
        connection = self.begin("?results=failures")
        connection.transport.greedy = False
        for _ in range(200):
            connection.send(chunk(message("a") + message("b", ttl=0) * 10))
            self.clock.pump([0.5] * 4)
        self.assertFalse(connection.paused)
        self.assertTrue(connection.open)
        connection.send(b"0\r\n\r\n")
        while connection.transport.unread:
            connection.transport.read()
        told = self.lines(connection)
        self.assertEqual({"done": True, "stored": 200, "failed": 2000}, told[-1])
        self.assertEqual(2001, len(told))

    def test_more_failures_than_are_kept_for_who_reads(self) -> None:
        """Who reads them gets all, however many they are."""
        connection = self.begin("?results=failures")
        for _ in range(60):
            connection.send(chunk(WRONG_AND_RIGHT))
        connection.send(b"0\r\n\r\n")
        self.clock.advance(0)
        self.assertGreater(len(connection.received), MAX_UNREAD)
        *told, last = self.lines(connection)
        self.assertEqual((5940, {"done": True, "stored": 60, "failed": 5940}), (len(told), last))

    def streamed(self, body: bytes) -> list[Any]:
        """The results of a stream whose lines take turns."""
        connection = self.begin().send(chunk(body) + b"0\r\n\r\n")
        self.clock.advance(0)
        return self.lines(connection)

    def test_too_many_in_a_row(self) -> None:
        """A stream in which so many lines are no messages ends, says why, and is answered little."""
        wrong = b'{"body":1,' + b",".join(b'"member%d":1' % number for number in range(1000)) + b"}\n"
        for body, most in ((b"{}\n" * 300_000, MAX_WRONG), (wrong * 60, MAX_WRONG - 1)):
            self.setUp()
            *told, why, last = self.streamed(message("a") + body + message("b"))
            found = len(told) - 1
            self.assertTrue(1 < found <= most, found)
            self.assertEqual(
                [self.problem(each) for each in told[1:]], [("invalid-body", at + 2) for at in range(found)]
            )
            self.assertEqual(("invalid-body", "partly", None), tuple(map(why.get, ("code", "applied", "line"))))
            self.assertIn(f"The last {found} lines are no messages. Nothing after line {found + 1}", why["detail"])
            self.assertEqual({"done": False, "stored": 1, "failed": found}, last)
            self.assertLess(len(json.dumps(told)), 64 << 10)
            self.assertEqual(["a"], self.stored())

    def test_many_that_are_not_in_a_row(self) -> None:
        """As long as there are messages between them a stream goes on, in each way that its lines are read."""
        for right in (message("a"), message("a", ttl=9)):
            self.setUp()
            wrong = b"{}\n" * (MAX_WRONG - 1)
            *_, last = self.streamed((wrong + b"\n" + right) * 3 + wrong)
            self.assertEqual({"done": True, "stored": 3, "failed": 4 * (MAX_WRONG - 1)}, last)

    def test_too_many_at_once(self) -> None:
        """If there is no message before them, nothing is stored."""
        *_, why, last = self.streamed(b"{}\n" * MAX_WRONG)
        self.assertEqual(("no", {"done": False, "stored": 0, "failed": MAX_WRONG}), (why["applied"], last))

    def turn(self) -> None:
        """One turn of the reactor: what is scheduled meanwhile is for the next."""
        due = [call for call in self.clock.calls if call.getTime() <= self.clock.seconds()]
        for call in due:
            self.clock.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)

    def test_wrong_lines_take_turns(self) -> None:
        """In one turn of the reactor a slice of one stream is handled, and then one of the next."""
        streams = [self.begin() for _ in range(5)]
        for stream in streams:
            stream.send(chunk(b"{}\n" * 90))
        seen = [0] * len(streams)
        turns = 0
        while sum(seen) < 5 * 90:
            self.turn()
            turns += 1
            counts = [len(self.told(stream)) for stream in streams]
            self.assertLessEqual(sum(counts) - sum(seen), SLICE_LINES)
            self.assertLessEqual(max(counts) - min(counts), SLICE_LINES)
            seen = counts
        self.assertEqual(([90] * 5, 5 * 3), (seen, turns))  # two slices of reading, and one more of telling
        for stream in streams:
            stream.send(b"0\r\n\r\n")
            self.assertEqual({"done": True, "stored": 0, "failed": 90}, self.lines(stream)[-1])

    def test_wrong_lines_that_waited_take_turns(self) -> None:
        """So do the results of lines that have gathered behind a slow write."""
        held = self.hold()
        stream = self.begin().send(chunk(message("a")))
        stream.send(chunk(b"{}\n" * 99))
        self.clock.advance(0)
        held[0].callback(None)
        seen = len(self.told(stream))
        while seen < 100:
            self.turn()
            count = len(self.told(stream))
            self.assertLess(0, count - seen)
            self.assertLessEqual(count - seen, SLICE_LINES)
            seen = count

    def test_hang_up_before_the_turn(self) -> None:
        """What waits for its turn is dropped with its connection."""
        stream = self.begin().send(chunk(b'{"a":1}\n' * 120))
        stream.hang_up()
        self.clock.advance(0)
        self.assertEqual([], self.flushLoggedErrors())

    def test_more_failures_than_are_kept(self) -> None:
        """Failures that the client does not read have a limit; then they are counted, and the last line has the
        count."""
        connection = self.begin("?results=failures")
        connection.transport.greedy = False
        for _ in range(60):
            connection.send(chunk(WRONG_AND_RIGHT))
            self.clock.advance(0)
        connection.send(chunk(b"broken\n"))
        while connection.transport.unread:
            connection.transport.read()
            self.clock.advance(0)
        told = self.lines(connection)
        untold = told[-1]["untold"]
        self.assertEqual({"done": False, "stored": 60, "failed": 5941, "untold": untold}, told[-1])
        self.assertEqual(5941 - untold, len(told) - 1)
        self.assertEqual(("invalid-body", 6001), self.problem(told[-2]))
        self.assertGreater(untold, 0)

    def test_hang_up(self) -> None:
        """What was begun is finished, and nothing more is begun."""
        held = self.hold()
        connection = self.begin().send(chunk(message("a"))).send(chunk(message("b")))
        connection.hang_up()
        held.pop().callback(None)
        self.assertEqual(([1], ["a"]), (self.held.sizes, self.stored()))
        self.begin().send(chunk(message("c")[:-1])).hang_up()
        self.assertEqual([1], self.held.sizes)
        connection = self.begin("?results=failures")
        connection.transport.greedy = False
        connection.send(chunk(message("c", ttl=0) * 1000)).hang_up()
        connection = self.begin()
        connection.transport.greedy = False
        self.held.held = None
        self.flood(connection, message("a"))
        stored = sum(self.held.sizes)
        connection.hang_up()
        self.assertEqual(stored, sum(self.held.sizes))
        self.assertEqual([], self.flushLoggedErrors())

    def test_body_that_breaks(self) -> None:
        """Malformed chunks, or a client that is silent for too long: what came before is stored, and has its
        results."""
        ways: tuple[tuple[str, Callable[[Connection], object]], ...] = (
            ("malformed-request", lambda connection: connection.send(b"zz\r\n")),
            ("request-timeout", lambda connection: self.clock.pump([1] * 61)),
            ("overloaded", lambda connection: self.assembly.site.drain()),
        )
        for code, way in ways:
            self.setUp()
            connection = self.begin().send(chunk(message("a") + b'{"body":'))
            way(connection)
            _, problem, last = self.lines(connection)
            self.assertEqual((code, "partly", False), (problem["code"], problem["applied"], "line" in problem))
            self.assertEqual({"done": False, "stored": 1, "failed": 0}, last)
            self.assertTrue(connection.transport.half_closed)

    def test_body_that_breaks_after_failures(self) -> None:
        """The problem of the whole stream says what is known of all its lines."""
        for error, applied in ((Unavailable("Who knows.", applied="unknown"), "unknown"), (StorageFull("No."), "no")):
            self.held.errors = [error]
            connection = self.begin().send(chunk(message("a"))).send(b"zz\r\n")
            failed, problem, last = self.lines(connection)
            self.assertEqual((applied, applied), (failed["applied"], problem["applied"]))
            self.assertEqual({"done": False, "stored": 0, "failed": 1}, last)

    def test_body_that_breaks_while_its_lines_are_stored(self) -> None:
        """Writes under way are waited for, so that no result says that nothing was stored."""
        held = self.hold()
        connection = self.begin().send(chunk(message("a"))).send(b"zz\r\n")
        self.assertEqual(b"", connection.received)
        held.pop().callback(None)
        _, problem, last = self.lines(connection)
        self.assertEqual("malformed-request", problem["code"])
        self.assertEqual({"done": False, "stored": 1, "failed": 0}, last)

    def test_silent_within_the_framing(self) -> None:
        """Who stops in the middle of what is around the chunks is silent as well."""
        for begun in (b"5", b"0\r\n", b"0\r\nX-Trailer: 1\r\n"):
            connection = self.begin().send(chunk(message("a"))).send(begun)
            self.clock.pump([1] * 61)
            self.assertEqual("request-timeout", self.lines(connection)[1]["code"], begun)
        connection = self.begin().send(b"5")
        self.clock.pump([1] * 61)
        self.refuse(408, "request-timeout", connection.response())

    def test_stop_before_a_stream(self) -> None:
        """A stream is not begun when the server has come to its end: it could take any time."""
        connection = Connection(self.assembly.site)
        connection.send(encode_request("POST", PATH, {**OWNER, **TYPE}, message("a")))
        self.assembly.site.drain()
        connection.send(encode_request("POST", PATH, CHUNKED)).send(chunk(message("b")))
        stored, refused = connection.responses(only_json=False)
        self.assertEqual((200, 503), (stored.status, self.refuse(503, "overloaded", refused)["status"]))
        self.assertEqual([1], self.held.sizes)
        self.assertTrue(connection.transport.half_closed)

    def test_time_for_each_piece(self) -> None:
        """A stream may take as long as it likes, as long as something comes."""
        connection = self.begin()
        for _ in range(10):
            self.clock.pump([1] * 50)
            connection.send(chunk(message("a")))
        connection.send(b"0\r\n\r\n")
        self.assertEqual({"done": True, "stored": 10, "failed": 0}, self.lines(connection)[-1])
