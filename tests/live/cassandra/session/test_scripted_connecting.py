"""Sessions over CQL with nodes that follow a script: connecting, several nodes, and the turns of the reactor."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from queuey.errors import Unavailable
from queuey.model.telemetry.counts import Gauge
from queuey.storage.cassandra.cluster.layers import Bounds, CallLimits, layered
from queuey.storage.cassandra.cluster.port import (
    AccessRefused,
    Bound,
    Level,
    Node,
)
from queuey.storage.cassandra.cluster.settings import Host, SessionSettings
from tests.counted import counted
from tests.live.cassandra.session.scripted_answers import (
    BOOTSTRAPPING,
    HALF,
    HANG_UP,
    OVERLOADED,
    SERVER_ERROR,
    SILENCE,
    UNPREPARED,
    Answer,
    error,
    unavailable,
    write_timeout,
)
from tests.live.cassandra.session.test_scripted import READ, WRITE, ScriptedCase, driver_threads

run_in = "test"


class TrioTests(ScriptedCase):
    """Three nodes: a request may go on to the next one."""

    count = 3

    async def begin(self) -> None:
        await super().begin()
        for _ in range(9):
            await self.prepare()

    def asked_nodes(self) -> list[int]:
        return [asked.node for asked in self.nodes.asked]

    async def check(self, answer: Answer, call: Callable[[], Deferred[Any]], attempts: int, applied: str) -> None:
        """All nodes give this answer: that many are asked, no one twice."""
        await self.until(lambda: len(self.session.nodes()) == 3)
        del self.nodes.asked[:]
        self.nodes.script.extend([answer] * 5)
        failure = await self.fails(Unavailable, call())
        self.assertEqual((len(self.asked_nodes()), failure.applied), (attempts, applied), failure.text)
        self.assertEqual(len(set(self.asked_nodes())), attempts)
        self.nodes.script.clear()

    async def test_the_next_nodes_are_asked(self) -> None:
        await self.check(SERVER_ERROR, self.read, 3, "no")
        await self.check(SERVER_ERROR, self.write, 3, "unknown")
        await self.check(SERVER_ERROR, lambda: self.batch(True), 3, "unknown")
        await self.check(SERVER_ERROR, self.claim, 1, "unknown")
        await self.check(OVERLOADED, self.write, 3, "no")
        await self.check(BOOTSTRAPPING, self.claim, 1, "no")
        await self.check(unavailable("QUORUM"), self.write, 2, "no")
        await self.check(unavailable("QUORUM"), self.read, 2, "no")
        await self.check(unavailable("SERIAL"), self.claim, 1, "no")

    async def test_connections_that_end(self) -> None:
        await self.check(HANG_UP, self.write, 3, "unknown")
        await self.check(HANG_UP, self.read, 3, "no")
        await self.check(HANG_UP, self.claim, 1, "unknown")

    async def test_what_one_node_may_have_done_is_not_undone_by_the_next_ones_answer(self) -> None:
        for first in (HANG_UP, SERVER_ERROR):
            await self.until(lambda: len(self.session.nodes()) == 3)
            self.nodes.script.extend([first, OVERLOADED, OVERLOADED])
            self.assertEqual((await self.fails(Unavailable, self.write())).applied, "unknown")
            self.nodes.script.clear()

    def connections(self) -> dict[str, float]:
        """As they are counted; one to one of the nodes is the driver's own, by which it hears of the others."""
        (metric,) = self.session.metrics
        assert isinstance(metric, Gauge)
        return {labels[0]: number for labels, number in metric.read().items()}

    async def test_a_node_that_has_gone(self) -> None:
        every = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
        await self.until(lambda: sorted(self.connections().values()) == [1, 1, 2])
        self.assertEqual(sorted(self.connections()), every)
        await self.nodes.nodes[1].stop()
        await self.until(lambda: self.connections()["127.0.0.2"] == 0)
        self.assertEqual(sorted(self.connections()), every)
        for _ in range(12):
            await self.write()
        await self.until(lambda: len(self.session.nodes()) == 2)
        self.assertNotIn(2, self.asked_nodes())
        self.nodes.nodes[1].start()
        await self.until(lambda: len(self.session.nodes()) == 3)
        await self.until(lambda: self.connections()["127.0.0.2"] > 0)
        await self.session.close()
        self.assertEqual(self.connections(), {})


class ConnectingTests(ScriptedCase):
    """The credentials that are let in, and the error if none are."""

    async def begin(self) -> None:
        pass

    async def test_nobody_there(self) -> None:
        await self.nodes.stop()
        for _ in range(2):
            failure = await self.fails(Unavailable, self.session.connect())
            self.assertEqual(failure.applied, "no")
            self.assertIn("127.0.0.1", failure.text)
            self.assertEqual(driver_threads(), self.threads)
        self.assertEqual((await self.fails(Unavailable, self.write())).applied, "no")
        self.nodes.start()
        await self.session.connect()
        await self.session.connect()
        await self.write()

    async def test_a_name_that_nobody_knows(self) -> None:
        session = self.make(hosts=(Host("nowhere.invalid", 9042),))
        self.assertIn("[storage] host", (await self.fails(Unavailable, session.connect())).text)
        await session.close()

    async def test_a_node_that_says_nothing(self) -> None:
        self.nodes.greeting = SILENCE
        session = self.make(connect_timeout=0.5)
        await self.fails(Unavailable, session.connect())
        await session.close()

    async def test_the_end_while_it_connects(self) -> None:
        self.nodes.greeting = SILENCE
        session = self.make(connect_timeout=0.5)
        connecting = session.connect()
        ends = session.close()
        await self.fails(Unavailable, connecting)
        await ends

    async def test_another_version_of_the_protocol(self) -> None:
        self.nodes.greeting = error(0x000A, "Invalid or unsupported protocol version (5); the greatest is 4")
        self.assertIn("version of CQL's protocol", (await self.fails(AccessRefused, self.session.connect())).text)

    async def test_another_data_centre(self) -> None:
        session = self.make(local_dc="nowhere")
        text = (await self.fails(AccessRefused, session.connect())).text
        self.assertEqual(text, "Cassandra has no data centre named 'nowhere', but dc1.")
        session = self.make(local_dc="dc1")
        await session.connect()
        self.assertEqual([node.data_centre for node in session.nodes()], ["dc1"])
        await session.close()

    async def test_passwords(self) -> None:
        self.nodes.login = ("queuey", "secret")
        for more, said in (
            ({}, "none are set"),
            ({"username": "queuey", "password": "wrong"}, "refuses this username and password"),
        ):
            session = self.make(**more)
            text = (await self.fails(AccessRefused, session.connect())).text
            self.assertIn(said, text)
            self.assertNotIn("wrong", text)
            await session.close()
        session = self.make(username="queuey", password="secret")
        await session.connect()
        await session.close()

    async def test_a_node_that_cannot_look_passwords_up_may_be_asked_again(self) -> None:
        self.nodes.login = ("queuey", "secret")
        self.nodes.refusal = "Unable to perform authentication: Cannot achieve consistency level QUORUM"
        session = self.make(username="queuey", password="other")
        await self.fails(Unavailable, session.connect())
        await session.close()

    async def test_a_password_that_is_refused_later_is_tried_again(self) -> None:
        self.nodes.login = ("queuey", "secret")
        session = self.make(username="queuey", password="secret")
        await session.connect()
        self.nodes.login = ("queuey", "another")
        await self.nodes.stop()
        self.nodes.start()
        await self.until(lambda: not session.nodes())
        await deferLater(self.reactor, 3)
        self.nodes.login = ("queuey", "secret")
        await self.until(lambda: bool(session.nodes()))
        await session.execute(WRITE, (b"a", b"b"), Level.ONE)
        await session.close()

    def test_secrets_are_in_no_repr(self) -> None:
        self.assertNotIn("secret", repr(SessionSettings((), username="queuey", password="secret")))


class Waits:
    """Notices who waits in the reactor's thread, but for the start of a thread, and for no time at all."""

    def __init__(self, case: TestCase) -> None:
        self.here = threading.get_ident()
        self.found: list[str] = []
        case.patch(threading.Condition, "wait", self.watched(threading.Condition.wait))
        case.patch(threading.Thread, "join", self.watched(threading.Thread.join))
        case.patch(time, "sleep", self.watched(time.sleep))

    def watched(self, wait: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            for_no_time = len(args) > 1 and args[1] == 0
            if threading.get_ident() == self.here and not for_no_time and not self._starts():
                self.found.append(f"{wait} {args} {kwargs}")
            return wait(*args, **kwargs)

        return watched

    @staticmethod
    def _starts() -> bool:
        frame: Any = sys._getframe(2)
        while frame is not None:
            if frame.f_code is threading.Thread.start.__code__:
                return True
            frame = frame.f_back
        return False


class ReactorTests(ScriptedCase):
    """Nothing of the driver waits in the reactor's thread, whatever happens."""

    count = 2
    rounds: ClassVar[int] = 2

    async def test_under_load_with_nodes_that_come_and_go(self) -> None:
        waits = Waits(self)
        bounds, limits = Bounds(count=64), CallLimits(call=5.0, first_pause=0.02, attempts=2.0)
        session: Any = layered(self.session, self.reactor, bounds, limits, lambda: 0.5)
        stopped = [False]

        def errors() -> float:
            return sum(counted(session.metrics, "queuey_cassandra_errors_total").values())

        def successes() -> float:
            return sum(counted(session.metrics, "queuey_cassandra_request_duration_seconds").values()) - errors()

        async def worker(number: int) -> None:
            while not stopped[0]:
                for call in (
                    lambda: session.execute(WRITE, (b"%d" % number, b"x" * 100), Level.QUORUM),
                    lambda: session.execute(READ, (b"%d" % number,), Level.QUORUM),
                    lambda: session.batch([Bound(WRITE, (b"a", b"b"))] * 3, Level.ONE, True),
                    lambda: session.execute_on(Node("127.0.0.2", "dc1"), READ, (b"a",)),
                ):
                    try:
                        await call()
                    except Unavailable:
                        await deferLater(self.reactor, 0.02)

        workers = gatherResults([Deferred.fromCoroutine(worker(number)) for number in range(100)])
        for enough in range(100, 100 * self.rounds + 1, 100):
            await self.until(lambda: successes() > enough)  # noqa: B023
            self.nodes.script.extend([SILENCE, HANG_UP, UNPREPARED, write_timeout("SIMPLE"), HALF, OVERLOADED] * 10)
            await deferLater(self.reactor, 0.3)
            await self.nodes.nodes[1].stop()
            await deferLater(self.reactor, 0.3)
            await self.nodes.nodes[0].stop()
            await deferLater(self.reactor, 0.3)
            self.nodes.start()
            await self.until(lambda: len(self.session.nodes()) == 2)
        stopped[0] = True
        await workers
        self.assertGreater(errors(), 10)
        await session.close()
        self.assertEqual(waits.found, [])

    def has_a_connection(self) -> bool:
        """Whether a request can be sent. A node is known to be up before there is a connection that takes the place of
        the one given up, and what is given up ends in a turn of the reactor's own."""
        assert self.session._session is not None
        pools = self.session._session.get_pools()
        return any(connection.is_made for pool in pools for connection in pool.get_connections())

    async def test_requests_that_are_never_answered(self) -> None:
        """The connection is replaced before the driver has its callers wait for one."""
        waits = Waits(self)
        await self.prepare()
        self.nodes.script.extend([SILENCE] * 4000)
        answers = [self.read().addErrback(lambda failure: failure.trap(Unavailable)) for _ in range(3000)]
        await gatherResults(answers)
        self.nodes.script.clear()
        await self.until(lambda: self.session._under_way.sent == 0)
        await self.until(self.has_a_connection)
        await self.write()
        self.assertEqual(waits.found, [])


class ManyRequestsTests(ScriptedCase):
    """As many requests under way as the driver can take."""

    count = 2
    request_timeout = 3.0
    """Seconds, in which a busy machine sends all of them."""

    async def test_no_more_than_the_driver_can_take(self) -> None:
        await self.prepare()
        self.nodes.script.extend([SILENCE] * 9000)
        answers = [self.read() for _ in range(8193)]
        self.assertIn("too many requests", (await self.fails(Unavailable, answers.pop())).text)
        for answer in answers:
            answer.addErrback(lambda failure: None).cancel()
        self.assertIn("too many requests", (await self.fails(Unavailable, self.read())).text)
        await self.until(lambda: self.session._under_way.sent == 0)
        self.nodes.script.clear()
