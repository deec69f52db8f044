"""Lines for statsd: what they say, how they are packed, and where they go."""

from __future__ import annotations

import socket
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.telemetry.counts import Counter, Gauge, Histogram, Metric, gauge
from queuey.ops.metrics.statsd import MAX_BYTES, Lines, Place, Statsd, datagrams, place_of
from tests.ops.test_metrics_page import turn


class LinesTests(SynchronousTestCase):
    """What lines say."""

    def lines(self, *metrics: Metric) -> Lines:
        return Lines(metrics, "q")

    def test_counters_tell_what_is_new(self) -> None:
        counter = Counter("queuey_http_requests_total", "X.", ("route", "status"))
        lines = self.lines(counter)
        self.assertEqual([*lines.make()], [])
        counter.add(("/v2/<application>/queues", "200"), 3)
        counter.add(("-", "404"))
        found = [*lines.make()]
        self.assertEqual(found, ["q.http_requests.v2_application_queues.200:3|c", "q.http_requests.-.404:1|c"])
        counter.add(("-", "404"))
        self.assertEqual([*lines.make()], ["q.http_requests.-.404:1|c"])
        self.assertEqual([*lines.make()], [])

    def test_a_counter_that_begins_anew(self) -> None:
        counter = Counter("queuey_x_total", "X.", ("application",))
        lines = self.lines(counter)
        counter.add(("a.b",), 5)
        self.assertEqual([*lines.make()], ["q.x.a_b:5|c"])
        counter.values.clear()
        counter.add(("a.b",), 2)
        self.assertEqual([*lines.make()], ["q.x.a_b:2|c"])
        counter.values.clear()
        self.assertEqual([*lines.make()], [])
        counter.add(("a.b",), 2)
        self.assertEqual([*lines.make()], ["q.x.a_b:2|c"])

    def test_histograms(self) -> None:
        histogram = Histogram("queuey_x_seconds", "X.", (1.0,))
        lines = self.lines(histogram)
        for value in (0.5, 2.0):
            histogram.observe(value)
        self.assertEqual([*lines.make()], ["q.x_seconds.count:2|c", "q.x_seconds.sum:2.5|c"])
        histogram.observe(0.25)
        self.assertEqual([*lines.make()], ["q.x_seconds.count:1|c", "q.x_seconds.sum:0.25|c"])

    def test_gauges(self) -> None:
        value: list[float | None] = [7]
        lines = self.lines(
            gauge("queuey_x", "X.", lambda: value[0]), Gauge("queuey_y", "Y.", ("n",), lambda: {("a",): 1})
        )
        for value[0], line in ((7, ["q.x:7|g"]), (-0.5, ["q.x:0|g", "q.x:-0.5|g"]), (None, [])):
            self.assertEqual([*lines.make()], [*line, "q.y.a:1|g"])

    def test_names_cannot_make_lines(self) -> None:
        counter = Counter("queuey_x_total", "X.", ("code",))
        counter.add(("a:1|c\nb.c\u00e4",))
        counter.add(("\n",))
        self.assertEqual([*self.lines(counter).make()], ["q.x.a_1_c_b_c:1|c", "q.x._:1|c"])

    def test_datagrams_are_full_and_no_larger(self) -> None:
        lines = [f"q.{'x' * (n % 90)}:{n}|c" for n in range(500)]
        found = [*datagrams(lines)]
        self.assertEqual(b"\n".join(found).decode().split("\n"), lines)
        for datagram, after in pairwise(found):
            self.assertLessEqual(len(datagram), MAX_BYTES)
            self.assertGreater(len(datagram) + 1 + len(after.split(b"\n")[0]), MAX_BYTES)
        self.assertEqual([*datagrams(["x" * 2000])], [b"x" * 2000])
        self.assertEqual([*datagrams([])], [])


class SendingTests(SynchronousTestCase):
    """Where they go."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.counter = Counter("queuey_x_total", "X.")
        self.looks = 0

    def before(self) -> Deferred[None]:
        self.looks += 1
        return succeed(None)

    def statsd(self, found: Deferred[Place]) -> Statsd:
        return Statsd(Lines([self.counter], "q"), lambda: found, 10.0, self.clock, self.before)

    def sent(self, receiver: socket.socket, place: Place) -> None:
        """What is counted comes to the receiver, each time, until it is stopped."""
        receiver.setblocking(False)
        statsd = self.statsd(succeed(place))
        statsd.start()
        self.counter.add(amount=2)
        self.assertRaises(BlockingIOError, receiver.recv, 100)
        for _ in range(2):
            self.clock.advance(10)
            turn(self.clock)
            self.assertEqual(receiver.recv(100), b"q.x:2|c")
            self.counter.add(amount=2)
        self.assertEqual(self.looks, 2)
        statsd.stop()
        statsd.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_by_udp(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            self.sent(receiver, place_of(("127.0.0.1", receiver.getsockname()[1])))
        self.assertEqual(place_of(("::1", 8125)), (socket.AF_INET6, ("::1", 8125, 0, 0)))

    def test_by_a_local_socket(self) -> None:
        with (
            TemporaryDirectory(prefix="queuey-") as folder,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver,
        ):
            path = Path(folder) / "s"
            receiver.bind(str(path))
            self.sent(receiver, place_of(path))

    def test_nobody_takes_them(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            gone = receiver.getsockname()
        for found in ((socket.AF_INET, gone), (socket.AF_UNIX, "/nowhere/s")):
            self.counter.add()
            self.assertIsNone(self.successResultOf(self.statsd(succeed(found)).send()))
        self.assertIsNone(self.successResultOf(self.statsd(fail(socket.gaierror("x"))).send()))

    def test_others_are_served_between_many(self) -> None:
        many = Counter("queuey_x_total", "X.", ("n",))
        for n in range(5000):
            many.add((str(n),))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            place = place_of(("127.0.0.1", receiver.getsockname()[1]))
            sending = Statsd(Lines([many], "q"), lambda: succeed(place), 10.0, self.clock, self.before).send()
            self.assertNoResult(sending)
            turn(self.clock)
            self.assertIsNone(self.successResultOf(sending))
