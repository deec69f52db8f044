"""One connection over Thrift, byte by byte."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from queuey.storage.cassandra.cluster.port import Level
from queuey.storage.cassandra.cluster.thrift.calls import Garbled, cluster_name, execute, execute_prepared, login
from queuey.storage.cassandra.cluster.thrift.wire import Lost, Wire
from tests.storage.cassandra.thrift.thrift_support import LATE, answer

LIMIT = 3.0


class Transport(StringTransport):
    """A transport that notes being broken off."""

    aborted = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def setTcpKeepAlive(self, enabled: bool) -> None:
        pass

    def abortConnection(self) -> None:
        self.aborted = True


class WireTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.ends: list[Wire] = []
        self.wire = Wire(self.clock, self.ends.append)
        self.transport = Transport()
        self.wire.makeConnection(self.transport)

    def ask(self, count: int = 1) -> list[Deferred[Any]]:
        return [self.wire.ask(cluster_name(), LIMIT) for _ in range(count)]

    def answer(self, number: int, text: str = "") -> None:
        self.wire.dataReceived(answer("describe_cluster_name", number, text or f"{number}"))

    def test_a_call_is_one_frame(self) -> None:
        self.wire.ask(execute_prepared(-7, [b"", b"\x00\xff"], Level.LOCAL_QUORUM), LIMIT)
        frame = (
            b"\x80\x01\x00\x01\x00\x00\x00\x1bexecute_prepared_cql3_query\x00\x00\x00\x01"
            b"\x08\x00\x01\xff\xff\xff\xf9\x0f\x00\x02\x0b\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x02\x00\xff"
            b"\x08\x00\x03\x00\x00\x00\x03\x00"
        )
        self.assertEqual(self.transport.value(), len(frame).to_bytes(4, "big") + frame)

    def test_levels_by_their_numbers(self) -> None:
        numbers = {"ONE": 1, "QUORUM": 2, "LOCAL_QUORUM": 3, "EACH_QUORUM": 4, "SERIAL": 9, "LOCAL_ONE": 11}
        self.assertEqual({each.value: execute("", each).arguments["consistency"] for each in Level}, numbers)

    def test_a_password_is_not_shown(self) -> None:
        self.assertNotIn("secret", repr(login("me", "secret")))

    def test_many_under_way_are_answered_in_their_order(self) -> None:
        answers = self.ask(200)
        self.assertEqual(self.wire.load, 200)
        frames = b"".join(answer("describe_cluster_name", number, f"{number}") for number in range(1, 201))
        for start in range(0, len(frames), 7):
            self.wire.dataReceived(frames[start : start + 7])
        self.assertEqual([self.successResultOf(each) for each in answers], [f"{number}" for number in range(1, 201)])
        self.assertEqual((self.wire.load, self.clock.getDelayedCalls()), (0, []))

    def test_an_exception_that_is_answered(self) -> None:
        asked = self.wire.ask(execute("x", Level.ONE), LIMIT)
        self.wire.dataReceived(answer("execute_cql3_query", 1, LATE(acknowledged_by=1)))
        self.assertEqual(self.failureResultOf(asked, LATE).value.acknowledged_by, 1)
        self.assertTrue(self.wire.is_open)

    def test_half_a_frame(self) -> None:
        first, second = self.ask(2)
        self.wire.dataReceived(answer("describe_cluster_name", 1, "x")[:-1])
        self.assertNoResult(first)
        self.wire.connectionLost(Failure(ConnectionDone()))
        for each in (first, second):
            self.assertTrue(self.failureResultOf(each, Lost).value.sent)
        self.assertEqual(self.ends, [self.wire])
        self.successResultOf(self.wire.gone)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_no_answer(self) -> None:
        good = answer("describe_cluster_name", 1, "x")
        frames = [
            answer("describe_cluster_name", 2, "x"),
            answer("prepare_cql3_query", 1, None),
            b"\x00\x00\x00\x02ab",
            len(good[:-9]).to_bytes(4, "big")[:3] + bytes([len(good) - 9]) + good[4:-5],
            b"\x84\x00\x00\x00",
        ]
        for frame in frames:
            self.setUp()
            (asked,) = self.ask()
            self.wire.dataReceived(frame)
            self.failureResultOf(asked, Garbled)
            self.assertTrue(self.transport.aborted)
            self.assertFalse(self.wire.is_open)
            self.assertEqual(self.ends, [self.wire])

    def test_an_answer_that_nobody_asked_for(self) -> None:
        self.answer(1)
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.ends, [self.wire])

    def test_a_silent_peer(self) -> None:
        (first,) = self.ask()
        self.clock.advance(1)
        (second,) = self.ask()
        self.clock.advance(1.9)
        self.assertNoResult(first)
        self.clock.advance(0.2)
        self.assertTrue(self.failureResultOf(first, Lost).value.sent)
        self.assertTrue(self.failureResultOf(second, Lost).value.sent)
        self.assertTrue(self.transport.aborted)

    def test_a_slow_peer_is_not_silent(self) -> None:
        answers = self.ask(3)
        self.clock.advance(2)
        self.answer(1)
        self.clock.advance(1.5)
        self.failureResultOf(answers[1], Lost)
        self.failureResultOf(answers[2], Lost)
        self.assertFalse(self.transport.aborted)
        self.assertEqual(self.wire.load, 2)
        (fresh,) = self.ask()
        for number in (2, 3, 4):
            self.answer(number)
        self.assertEqual(self.successResultOf(fresh), "4")

    def test_a_peer_that_falls_silent_later(self) -> None:
        self.ask(2)[1].addErrback(lambda failure: None)
        self.clock.advance(2)
        self.answer(1)
        self.clock.advance(1.5)
        self.assertFalse(self.transport.aborted)
        (fresh,) = self.ask()
        self.clock.advance(LIMIT)
        self.failureResultOf(fresh, Lost)
        self.assertTrue(self.transport.aborted)

    def test_who_waits_longer_is_let_wait(self) -> None:
        patient = self.wire.ask(execute("CREATE TABLE", Level.ONE), 30)
        (asked,) = self.ask()
        self.clock.advance(LIMIT)
        self.failureResultOf(asked, Lost)
        self.assertNoResult(patient)
        self.assertFalse(self.transport.aborted)

    def test_who_gives_up(self) -> None:
        first, second = self.ask(2)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.answer(1)
        self.answer(2)
        self.assertEqual(self.successResultOf(second), "2")

    def test_the_end(self) -> None:
        (asked,) = self.ask()
        later: list[Deferred[Any]] = []

        def again(failure: Failure) -> None:
            self.assertEqual(self.ends, [self.wire])
            later.extend(self.ask())

        asked.addErrback(again)
        self.wire.end()
        self.assertFalse(self.failureResultOf(later[0], Lost).value.sent)
        self.assertTrue(self.transport.aborted)
        self.wire.end()
        self.assertEqual(self.ends, [self.wire])
        self.assertNoResult(self.wire.gone)
        self.wire.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(self.wire.gone)
