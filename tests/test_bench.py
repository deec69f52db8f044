"""The parts of the benchmarks that do no I/O: how answers are classified, and how figures come about."""

from __future__ import annotations

import contextlib
import io
import json
import random
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import arguments, figures, workers
from bench.arguments import Number
from bench.figures import Interval
from bench.load import BUCKET, Tally, answer_end, run, varied
from bench.protocols import Queuey


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


class WorkersTests(SynchronousTestCase):
    """Workers against a server of a few lines, which answers each request with what is next."""

    def setUp(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.listener.close)
        self.asked: list[Any] = []

    def work(self, answers: list[bytes], seconds: float = 0.0, fused: bool = False) -> dict[str, Any]:
        """What comes of one worker."""

        def serve() -> None:
            client, _ = self.listener.accept()
            client.settimeout(40)
            with client:
                for answer in answers:
                    head, _, body = client.recv(65536).partition(b"\r\n\r\n")
                    self.asked.append((head.split(b" ")[1].decode(), json.loads(body)))
                    client.sendall(answer[:20])
                    client.sendall(answer[20:])

        server = threading.Thread(target=serve)
        server.start()
        self.addCleanup(server.join)
        port = self.listener.getsockname()[1]
        with contextlib.redirect_stderr(io.StringIO()):
            return workers.run("queuey", port, 1, seconds, {"group": "/g", "claim": 2, "fused": fused})

    @staticmethod
    def answer(body: bytes, status: bytes = b"200 OK") -> bytes:
        return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)

    def test_messages_are_acked_and_the_next_ones_claimed(self) -> None:
        given = b'{"messages":[{"body":"x","receipt":"r1","lease":30},{"body":"y","receipt": "r2"}]}'
        acked = b'{"outcomes":["acked","acked"]}'
        found = self.work([self.answer(given), self.answer(acked), self.answer(b'{"messages":[]}')], 60.0)
        claim, ack = ("/g/claims", {"limit": 2}), ("/g/settlements", {"ack": ["r1", "r2"]})
        self.assertEqual(self.asked, [claim, ack, claim])
        self.assertEqual([found[name] for name in ("messages", "answered", "refused", "dry")], [2, 3, 0, True])

    def test_a_claim_settles_what_was_given_before(self) -> None:
        given, last = b'{"messages":[{"receipt":"r1"}]}', b'{"outcomes":["acked"],"messages":[]}'
        found = self.work([self.answer(given), self.answer(last)], 60.0, fused=True)
        self.assertEqual(self.asked[1], ("/g/claims", {"limit": 2, "settle": {"ack": ["r1"]}}))
        self.assertEqual([found[name] for name in ("messages", "refused", "dry")], [1, 0, True])

    def test_the_time_is_over_when_all_is_acked(self) -> None:
        given, acked = b'{"messages":[{"receipt":"r1"}]}', b'{"outcomes":["acked"]}'
        for fused in (False, True):
            found = self.work([self.answer(given), self.answer(acked)], fused=fused)
            self.assertEqual([found[name] for name in ("messages", "refused", "dry")], [1, 0, False])

    def test_refusals_and_silence_are_counted(self) -> None:
        given, stale = b'{"messages":[{"receipt":"r1"}]}', self.answer(b'{"outcomes":["stale"]}', b"409 Conflict")
        for answers in ([self.answer(given), stale], [self.answer(given), self.answer(b'{"outcomes":["stale"]}')], []):
            found = self.work(answers)
            self.assertEqual([found[name] for name in ("messages", "refused")], [0, 1], answers)

    def test_each_worker_has_a_share_of_the_groups(self) -> None:
        for number, numbers in ((0, (0, 2, 0)), (1, (1, 3, 1))):
            worker = Queuey("/q{NUMBER}/g", 1, False, number, 2, 4)
            paths = [worker.take().split(b" ")[1] for _ in range(3)]
            self.assertEqual(paths, [b"/q000000%d/g/claims" % number for number in numbers])


class ArgumentsTests(SynchronousTestCase):
    """The arguments of benchmarks."""

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
