"""The parts of the benchmarks that do no I/O: how answers are told apart, and how figures come about."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import random
import signal
import socket
import sys
import threading
from collections.abc import Callable
from itertools import islice, repeat
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import arguments, figures
from bench.arguments import Number
from bench.figures import Interval
from bench.load import BUCKET, Tally, answer_end, run, varied
from bench.workers import Tally as WorkersTally
from bench.workers import Worker, groups_at, requests_to, share


class LoadTests(SynchronousTestCase):
    """What the load generator sends and counts."""

    def test_answers_end_where_their_head_says(self) -> None:
        for answer in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\n",
        ):
            self.assertEqual(answer_end(answer + b"HTTP/1.1 2"), len(answer))
            for cut in range(len(answer)):
                self.assertIsNone(answer_end(answer[:cut]), answer[:cut])

    def test_a_request_without_a_place_is_sent_as_it_is(self) -> None:
        self.assertEqual(varied(b"GET /", 10, random.Random(1))(), b"GET /")

    def test_numbers_have_seven_digits_and_stay_below_the_count(self) -> None:
        following = varied(b"GET /q{NUMBER} HTTP/1.1", 3, random.Random(1))
        self.assertEqual({following() for _ in range(100)}, {b"GET /q000000%d HTTP/1.1" % n for n in range(3)})

    def test_what_is_unique_differs_and_has_one_length(self) -> None:
        following = varied(b'Key: "{UNIQUE}"', 1, random.Random(1))
        found = [following() for _ in range(100)]
        self.assertEqual((len(set(found)), {len(each) for each in found}), (100, {39}))

    def test_answers_are_counted_by_the_time_at_which_they_came(self) -> None:
        tally = Tally(100.0, 110.0)
        tally.answer(100.0, 100.0 + BUCKET / 2, True)
        tally.answer(100.0, 100.0 + BUCKET * 2.5, False)
        self.assertEqual((tally.series, tally.answered, tally.refused), ([1, 0, 1], 2, 1))
        self.assertAlmostEqual(tally.latencies[1], BUCKET * 2.5)


class RunTests(SynchronousTestCase):
    """A run of the load generator against a server of a few lines."""

    def setUp(self) -> None:
        self.addCleanup(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.listener.close)

    def load(self, request: bytes, serve: Callable[[socket.socket], None]) -> dict[str, Any]:
        """What comes of a request over one connection in no time at all."""

        def accept() -> None:
            client, _ = self.listener.accept()
            client.settimeout(40)
            with client:
                serve(client)

        server = threading.Thread(target=accept)
        server.start()
        self.addCleanup(server.join)
        return run(self.listener.getsockname()[1], 1, 0.0, request, 1)

    def test_a_request_larger_than_what_the_socket_takes_is_sent_to_its_end(self) -> None:
        asked = random.Random(1).randbytes(16 << 20)
        got = bytearray()

        def serve(client: socket.socket) -> None:
            while len(got) < len(asked):
                got.extend(client.recv(1 << 20))
            client.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\no")
            client.sendall(b"k")

        found = self.load(asked, serve)
        self.assertEqual((bytes(got) == asked, found["answered"], found["refused"]), (True, 1, 0))

    def test_an_answer_that_never_comes_whole_counts_as_refused(self) -> None:
        def serve(client: socket.socket) -> None:
            client.recv(100)
            client.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\no")

        found = self.load(b"GET /", serve)
        self.assertEqual((found["answered"], found["refused"]), (0, 1))


class Wire(asyncio.Transport):
    """Where a worker's requests go; their bodies are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        head, _, body = bytes(data).partition(b"\r\n\r\n")
        self.asked.append((head.split(b" ")[1], json.loads(body)))

    def close(self) -> None:
        self.closed = True


class WorkersTests(SynchronousTestCase):
    """What workers of a group ask for, and what they count."""

    def setUp(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.addCleanup(self.loop.close)
        self.tally = WorkersTally(until=float("inf"))
        self.done: asyncio.Future[None] = self.loop.create_future()
        self.wire = Wire()
        self.worker = Worker(repeat(requests_to("/g", 2)), self.tally, self.done)
        self.worker.connection_made(self.wire)

    def answered(self, body: bytes, status: bytes = b"200 OK") -> None:
        text = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)
        for at in range(0, len(text), 7):
            self.worker.data_received(text[at : at + 7])

    def test_receipts_are_acked_and_the_next_messages_claimed(self) -> None:
        self.answered(b'{"messages":[{"body":"x","receipt":"r1","lease":30},{"body":"y","receipt": "r2"}]}')
        self.answered(b'{"outcomes":[]}')
        claim, ack = (b"/g/claims", {"limit": 2}), (b"/g/settlements", {"ack": ["r1", "r2"]})
        self.assertEqual(self.wire.asked, [claim, ack, claim])
        self.assertEqual((self.tally.messages, self.tally.answered, self.tally.refused), (2, 2, 0))

    def test_nothing_left_is_the_end(self) -> None:
        self.answered(b'{"messages":[]}')
        self.worker.connection_lost(None)
        self.assertEqual(
            (self.wire.closed, self.tally.dry, self.tally.refused, self.done.done()), (True, True, 0, True)
        )

    def test_refusals_and_silence_are_counted(self) -> None:
        self.answered(b'{"messages":[{"receipt":"r1"}]}')
        self.answered(b'{"code":"stale-receipts"}', b"409 Conflict")
        self.assertEqual((self.wire.closed, self.tally.messages, self.tally.refused), (True, 0, 1))
        silent = Worker(repeat(requests_to("/g", 2)), self.tally, self.done)
        silent.connection_made(Wire())
        silent.connection_lost(None)
        self.assertEqual(self.tally.refused, 2)

    def test_the_time_is_over_after_an_ack(self) -> None:
        self.tally.until = 0.0
        self.answered(b'{"messages":[{"receipt":"r1"}]}')
        self.assertFalse(self.wire.closed)
        self.answered(b"{}")
        self.assertEqual((self.wire.closed, self.tally.messages), (True, 1))

    def test_each_has_a_share_of_the_groups(self) -> None:
        groups = groups_at("/q{NUMBER}/g", 1, 4)
        for worker, numbers in ((0, (0, 2, 0)), (1, (1, 3, 1))):
            paths = [one.claim.split(b" ")[1] for one in islice(share(groups, worker, 2), 3)]
            self.assertEqual(paths, [b"/q000000%d/g/claims" % number for number in numbers])

    def test_one_group_is_everybodys(self) -> None:
        groups = groups_at("/q/g", 1, 1)
        self.assertEqual({next(share(groups, worker, 8)) for worker in range(8)}, {groups[0]})


class ArgumentsTests(SynchronousTestCase):
    """What benchmarks are told."""

    def called(self, *given: str) -> list[Any]:
        """What a program is called with."""
        calls: list[Any] = []
        self.patch(sys, "argv", ["program", *given])
        arguments.run(lambda *told: calls.append(list(told)), "flag", one=Number(5, least=2, most=9), two=Number(3.0))
        return list(*calls)

    def test_what_is_left_out_is_as_usual(self) -> None:
        for given, told in (
            ((), [5, 3.0, False]),
            (("9",), [9, 3.0, False]),
            (("2", "0.5"), [2, 0.5, False]),
            (("--flag",), [5, 3.0, True]),
            (("7", "--flag", "4"), [7, 4.0, True]),
        ):
            self.assertEqual(self.called(*given), told)

    def test_what_makes_no_sense_is_refused(self) -> None:
        for given, said in (
            (("1",), "argument ONE: 1 is not at least 2 and at most 9"),
            (("10",), "argument ONE: 10 is not at least 2 and at most 9"),
            (("5.5",), "argument ONE: '5.5' is not a whole number"),
            (("",), "argument ONE: '' is not a whole number"),
            (("5", "0"), "argument TWO: 0 is not above 0"),
            (("5", "-1"), "argument TWO: -1 is not above 0"),
            (("5", "nan"), "argument TWO: nan is not above 0"),
            (("5", "inf"), "argument TWO: inf is not above 0"),
            (("5", "x"), "argument TWO: 'x' is not a number"),
            (("5", "1", "1"), "unrecognized arguments: 1"),
            (("--flags",), "unrecognized arguments: --flags"),
        ):
            with contextlib.redirect_stderr(io.StringIO()) as told:
                error = self.assertRaises(SystemExit, self.called, *given)
            self.assertEqual((error.code, told.getvalue().splitlines()[-1].partition("error: ")[2]), (2, said))


def result(series: list[int], **more: int) -> dict[str, Any]:
    return {"answered": sum(series), "refused": 0, "began": 1000.0, "series": series, **more}


class FiguresTests(SynchronousTestCase):
    """What becomes of what was measured."""

    def printed(self, *arguments: Any, **named: Any) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as output:
            figures.show(*arguments, **named)
        return output.getvalue()

    def test_a_ratio_stands_beside_what_was_asked(self) -> None:
        self.assertEqual(self.printed("a / b", 0.617, at_least=0.5), "a / b: 0.62 (at least 0.50)\n")
        self.assertEqual(self.printed("a / b", 2, at_most=3), "a / b: 2.00 (at most 3.00)\n")
        self.assertEqual(self.printed("a / b", 1), "a / b: 1.00\n")

    def test_refusals_and_silence_are_failures(self) -> None:
        self.assertRaises(SystemExit, figures.good, "side", result([1], refused=1))
        self.assertRaises(SystemExit, figures.good, "side", result([]))
        self.assertEqual(figures.good("side", result([1])), result([1]))

    def test_sides_take_turns(self) -> None:
        turns: list[str] = []

        def side(name: str, values: list[float]) -> Callable[[], float]:
            def measure() -> float:
                turns.append(name)
                return values.pop()

            return measure

        with contextlib.redirect_stdout(io.StringIO()):
            medians = figures.alternating(3, {"a": side("a", [1, 9, 2]), "b": side("b", [5, 5, 5])})
        self.assertEqual(turns, ["a", "b"] * 3)
        self.assertEqual(medians, {"a": 2, "b": 5})

    def test_what_goes_on_is_held_against_what_is_before_and_after_it(self) -> None:
        second = round(1 / BUCKET)
        series = [0] * second + [10] * second + [4] * second + [10] * 2 * second
        intervals = [Interval(1002.0, 1003.0)]
        inside, outside = figures.rates_in_and_out(result(series), intervals, warm_up=1.0, margin=2 * BUCKET)
        self.assertAlmostEqual(outside, 10 / BUCKET)
        self.assertAlmostEqual(inside[0], 4 / BUCKET)

    def test_what_is_shorter_than_a_bucket_is_measured(self) -> None:
        second = round(1 / BUCKET)
        inside, _ = figures.rates_in_and_out(result([10] * 4 * second), [Interval(1002.01, 1002.02)], 1.0, 0.1)
        self.assertEqual(inside, [10 / BUCKET])

    def test_what_was_not_measured_is_a_failure(self) -> None:
        series = [10] * 10
        for interval in (Interval(900.0, 901.0), Interval(900.0, 2000.0)):
            self.assertRaises(SystemExit, figures.rates_in_and_out, result(series), [interval], 0.0, 0.0)
