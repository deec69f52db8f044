"""The session over CQL with nodes that answer by a script: what goes out, what an answer means, who waits for what."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from queuey.errors import Unavailable
from queuey.model.counts import Gauge
from queuey.storage.cassandra.cluster.cql.session import CQLSession
from queuey.storage.cassandra.cluster.layers import Bounds, CallLimits, layered
from queuey.storage.cassandra.cluster.port import (
    AccessRefused,
    Bound,
    Kind,
    Level,
    Node,
    Statement,
    StatementRefused,
    TooLarge,
    Verdict,
)
from queuey.storage.cassandra.cluster.settings import Host, SessionSettings
from tests.counted import counted
from tests.live.cassandra.scripted import (
    BLOB,
    BOOLEAN,
    BOOTSTRAPPING,
    CAS_UNKNOWN,
    HALF,
    HANG_UP,
    INT,
    OVERLOADED,
    SERVER_ERROR,
    SILENCE,
    UNPREPARED,
    VOID,
    Answer,
    Nodes,
    error,
    read_timeout,
    rows,
    unavailable,
    write_failure,
    write_timeout,
)

run_in = "test"

READ = Statement("SELECT c0 FROM ks.table WHERE c0 = ?", Kind.READ)
WRITE = Statement("INSERT INTO ks.table (c0, c1) VALUES (?, ?)", Kind.WRITE)
CLAIM = Statement("INSERT INTO ks.table (c0) VALUES (?) IF NOT EXISTS", Kind.TRANSACTION)
TABLE = Statement("CREATE TABLE ks.more (c0 blob PRIMARY KEY)", Kind.DEFINITION)

APPLIED = rows([("[applied]", BOOLEAN)], [b"\1"])


def driver_threads() -> list[str]:
    """The threads that run, but for those that Twisted keeps for the next work."""
    return sorted(thread.name for thread in threading.enumerate() if not thread.name.startswith("PoolThread"))


class ScriptedCase(TestCase):
    """A cluster of one node, or more, and a session with it."""

    timeout = 60
    count = 1
    version = 5
    request_timeout = 0.4

    async def setUp(self) -> None:  # type: ignore[override]
        from twisted.internet import reactor  # noqa: TID251  # a test has no service that hands it over

        self.reactor: Any = reactor
        self.threads = driver_threads()
        self.nodes = Nodes(reactor, self.count)
        self.nodes.start()
        self.addCleanup(self.nodes.stop)
        self.session = self.make()
        self.addCleanup(self.end)
        await self.begin()

    async def begin(self) -> None:
        await self.session.connect()
        # All nodes are there, and know the statements.
        await self.until(lambda: len(self.session.nodes()) == self.count)

    def make(self, **settings: Any) -> CQLSession:
        told = {
            "hosts": (Host("127.0.0.1", self.nodes.port),),
            "protocol_version": self.version,
            "request_timeout": self.request_timeout,
            "connect_timeout": 2.0,
            **settings,
        }
        return CQLSession(SessionSettings(**told), self.reactor, deferToThread)

    async def end(self) -> None:
        await self.session.close()
        self.assertEqual(driver_threads(), self.threads)

    async def until(self, true: Callable[[], bool], limit: float = 20.0) -> None:
        deadline = time.monotonic() + limit
        while not true():
            self.assertLess(time.monotonic(), deadline, "it takes too long")
            await deferLater(self.reactor, 0.02)

    async def fails(self, kind: type[Exception], answer: Deferred[Any]) -> Any:
        try:
            result = await answer
        except kind as failure:
            return failure
        raise self.failureException(f"no {kind.__name__}: {result!r}")

    def read(self) -> Deferred[Any]:
        return self.session.execute(READ, (b"a",), Level.QUORUM)

    def write(self) -> Deferred[Any]:
        return self.session.execute(WRITE, (b"a", b"b"), Level.QUORUM)

    def batch(self, logged: bool = False) -> Deferred[Any]:
        return self.session.batch([Bound(WRITE, (b"a", b"b"))] * 2, Level.QUORUM, logged)

    def claim(self) -> Deferred[Any]:
        return self.session.transact(CLAIM, (b"a",))

    async def prepare(self) -> None:
        """Have every statement prepared, so that only requests are in the script."""
        self.nodes.script.extend([VOID, VOID, APPLIED])
        await self.read()
        await self.write()
        await self.claim()
        del self.nodes.asked[:]


class WireTests(ScriptedCase):
    """What goes out over version 5."""

    async def test_levels(self) -> None:
        for level in Level:
            await self.session.execute(READ, (b"a",), level)
            self.assertEqual(self.nodes.asked[-1].level, level.value)
            if level is Level.SERIAL:
                continue
            await self.session.execute(WRITE, (b"a", b"b"), level)
            self.assertEqual(self.nodes.asked[-1].level, level.value)
            for logged, kind in ((True, "logged"), (False, "unlogged")):
                await self.session.batch([Bound(WRITE, (b"a", b"b"))], level, logged)
                self.assertEqual((self.nodes.asked[-1].level, self.nodes.asked[-1].batch), (level.value, kind))
        await self.session.execute(TABLE, (), Level.QUORUM)
        self.assertEqual((self.nodes.asked[-1].texts, self.nodes.asked[-1].level), ((TABLE.text,), "QUORUM"))
        await self.session.execute_on(self.session.nodes()[0], READ, (b"a",))
        self.assertEqual(self.nodes.asked[-1].level, "ONE")

    async def test_transactions_are_agreed_at_serial_and_committed_at_quorum(self) -> None:
        self.nodes.script.append(APPLIED)
        self.assertEqual(await self.claim(), Verdict(True, {}))
        self.assertEqual((self.nodes.asked[-1].level, self.nodes.asked[-1].serial), ("QUORUM", "SERIAL"))

    async def test_values_and_rows(self) -> None:
        self.nodes.script.append(rows([("a", INT), ("b", BLOB)], [b"\0\0\0\7", b"x"], [None, b""]))
        found = await self.session.execute(READ, (b"\0\xff",), Level.ONE)
        self.assertEqual([tuple(row) for row in found], [(7, b"x"), (None, b"")])
        self.assertEqual(self.nodes.asked[-1].values, (b"\0\xff",))

    async def test_verdicts(self) -> None:
        self.nodes.script.append(rows([("[applied]", BOOLEAN), ("a", INT)], [b"\0", b"\0\0\0\7"]))
        self.assertEqual(await self.claim(), Verdict(False, {"a": 7}))
        self.nodes.script.append(rows([("[applied]", BOOLEAN)], [b"\0"]))
        self.assertEqual(await self.claim(), Verdict(False, {}))

    async def test_who_asks_at_the_same_time_shares_one_preparation(self) -> None:
        await gatherResults([self.write() for _ in range(50)])
        self.assertEqual(self.nodes.prepared, [WRITE.text])
        self.assertEqual(len(self.nodes.asked), 50)

    async def test_a_statement_that_is_wrong_is_asked_for_anew_each_time(self) -> None:
        for _ in range(2):
            wrong = self.session.execute(Statement("syntax", Kind.READ), (), Level.ONE)
            self.assertIn("no viable alternative", (await self.fails(StatementRefused, wrong)).text)
        self.assertEqual(self.nodes.prepared, ["syntax"] * 2)

    async def test_a_node_that_has_forgotten_a_statement_is_told_it_again(self) -> None:
        await self.prepare()
        self.nodes.script.extend([UNPREPARED, rows([("a", INT)], [b"\0\0\0\7"])])
        self.assertEqual([tuple(row) for row in await self.read()], [(7,)])
        self.assertEqual(self.nodes.prepared.count(READ.text), 2)
        self.nodes.nodes[0].known.clear()
        await self.batch()
        self.assertEqual(self.nodes.prepared.count(WRITE.text), 2)

    async def test_too_large_values_are_never_sent(self) -> None:
        limit = SessionSettings(hosts=()).max_request
        failure = await self.fails(TooLarge, self.session.execute(WRITE, (b"a", bytes(limit)), Level.ONE))
        self.assertEqual((failure.size, failure.limit), (limit + 1, limit))
        half = Bound(WRITE, (b"", bytes(limit // 2 + 1)))
        await self.fails(TooLarge, self.session.batch([half, half], Level.ONE, False))
        await self.session.batch([half], Level.ONE, False)
        self.assertEqual(len(self.nodes.asked), 1)

    async def test_what_the_cluster_finds_too_large(self) -> None:
        self.nodes.script.append(error(0x2200, "Batch too large"))
        await self.fails(TooLarge, self.batch())

    async def test_large_requests_and_answers(self) -> None:
        body = bytes(range(256)) * 8000
        await self.session.execute(WRITE, (b"a", body), Level.ONE)
        self.assertEqual(self.nodes.asked[-1].values[1], body)
        self.nodes.script.append(rows([("a", BLOB)], *[[body]] * 3))
        self.assertEqual([row[0] for row in await self.read()], [body] * 3)

    async def test_requests_that_nobody_waits_for_are_dropped(self) -> None:
        await self.prepare()
        self.nodes.script.append(VOID.later(0.2))
        answer = self.write()
        await deferLater(self.reactor, 0.05)
        answer.cancel()
        await self.fails(CancelledError, answer)
        await deferLater(self.reactor, 0.25)
        await self.write()

    async def test_an_attempt_that_fails_after_it_was_given_up_is_the_last(self) -> None:
        await self.prepare()
        self.nodes.script.append(write_timeout("SIMPLE").later(0.1))
        answer = self.write()
        answer.cancel()
        await self.fails(CancelledError, answer)
        await deferLater(self.reactor, 0.2)
        self.assertEqual(len(self.nodes.asked), 1)


class Wire4Tests(WireTests):
    """What goes out over version 4."""

    version = 4


#: What becomes of a read, a write, a batch in one partition, a batch over several, and a transaction, with one node;
#: and how often each is sent.
NO, UNKNOWN = "no", "unknown"
OUTCOMES: dict[str, tuple[Callable[[int], Answer], tuple[str, ...], tuple[int, ...]]] = {
    "unavailable": (lambda version: unavailable("QUORUM"), (NO, NO, NO, NO, UNKNOWN), (1, 1, 1, 1, 1)),
    "unavailable to agree": (lambda version: unavailable("SERIAL"), (NO, NO, NO, NO, NO), (1, 1, 1, 1, 1)),
    "timeout, simple": (lambda version: write_timeout("SIMPLE"), (NO, *[UNKNOWN] * 4), (2, 2, 2, 2, 1)),
    "timeout, batch": (lambda version: write_timeout("BATCH"), (NO, *[UNKNOWN] * 4), (2, 2, 2, 2, 1)),
    "timeout, unlogged": (lambda version: write_timeout("UNLOGGED_BATCH"), (NO, *[UNKNOWN] * 4), (2, 2, 2, 2, 1)),
    "timeout, log": (lambda version: write_timeout("BATCH_LOG", "ONE"), (NO, *[UNKNOWN] * 4), (2, 2, 2, 2, 1)),
    "timeout, cas": (lambda version: write_timeout("CAS", "SERIAL"), (NO, *[UNKNOWN] * 4), (2, 2, 2, 2, 1)),
    "cas unknown": (lambda version: CAS_UNKNOWN, (NO, *[UNKNOWN] * 4), (1, 1, 1, 1, 1)),
    "write failure": (lambda version: write_failure("SIMPLE", version), (NO, *[UNKNOWN] * 4), (1, 1, 1, 1, 1)),
    "read timeout": (lambda version: read_timeout(1, False), (NO, *[UNKNOWN] * 4), (1, 1, 1, 1, 1)),
    "read timeout, data missing": (lambda version: read_timeout(2, False), (NO, *[UNKNOWN] * 4), (2, 2, 2, 2, 1)),
    "overloaded": (lambda version: OVERLOADED, (NO, NO, NO, UNKNOWN, UNKNOWN), (1, 1, 1, 1, 1)),
    "bootstrapping": (lambda version: BOOTSTRAPPING, (NO, NO, NO, NO, NO), (1, 1, 1, 1, 1)),
    "server error": (lambda version: SERVER_ERROR, (NO, *[UNKNOWN] * 4), (1, 1, 1, 1, 1)),
    "silence": (lambda version: SILENCE, (NO, *[UNKNOWN] * 4), (1, 1, 1, 1, 1)),
    "hang up": (lambda version: HANG_UP, (NO, *[UNKNOWN] * 4), (1, 1, 1, 1, 1)),
    "half an answer": (lambda version: HALF, (NO, *[UNKNOWN] * 4), (1, 1, 1, 1, 1)),
}


class OutcomeCase(ScriptedCase):
    """What each answer of the only node means for each kind of request, over version 5."""

    async def check(self, name: str) -> None:
        make, applied, attempts = OUTCOMES[name]
        await self.until(lambda: bool(self.session.nodes()))
        await self.prepare()
        calls = [self.read, self.write, self.batch, lambda: self.batch(True), self.claim]
        for call, expected, count in zip(calls, applied, attempts, strict=True):
            await self.until(lambda: bool(self.session.nodes()))
            del self.nodes.asked[:]
            self.nodes.script.extend([make(self.version)] * 5)
            failure = await self.fails(Unavailable, call())
            self.assertEqual((name, failure.applied), (name, expected), failure.text)
            self.assertEqual(len(self.nodes.asked), count, name)
            self.assertEqual({asked.level for asked in self.nodes.asked}, {"QUORUM"})
            self.nodes.script.clear()

    def each(self, *names: str) -> Deferred[None]:
        async def run() -> None:
            for name in names:
                await self.check(name)

        return Deferred.fromCoroutine(run())


class OutcomeTests(OutcomeCase):
    """Each answer but silence. No time limit of a request ends here, also on a busy machine."""

    request_timeout = 20.0

    def test_unavailable(self) -> Any:
        return self.each("unavailable", "unavailable to agree")

    def test_timeouts_of_writes(self) -> Any:
        return self.each(*[name for name in OUTCOMES if name.startswith("timeout")])

    def test_failures(self) -> Any:
        return self.each("cas unknown", "write failure", "server error")

    def test_timeouts_of_reads(self) -> Any:
        return self.each("read timeout", "read timeout, data missing")

    def test_refusals(self) -> Any:
        return self.each("overloaded", "bootstrapping")

    def test_connections_that_end(self) -> Any:
        return self.each("hang up", "half an answer")

    async def test_a_second_attempt_that_succeeds(self) -> None:
        await self.prepare()
        for call in (self.write, self.batch, lambda: self.batch(True)):
            del self.nodes.asked[:]
            self.nodes.script.append(write_timeout("SIMPLE"))
            await call()
            first, second = self.nodes.asked
            # What is written later cannot be undone by an attempt that arrives late.
            self.assertEqual(first, second)
            self.assertTrue(first.timestamp)

    async def test_rights_that_are_missing(self) -> None:
        self.nodes.script.append(error(0x2100, "User queuey has no MODIFY permission"))
        self.assertIn("has no MODIFY", (await self.fails(AccessRefused, self.write())).text)

    async def test_statements_that_are_refused(self) -> None:
        for code in (0x2000, 0x2200, 0x2300):
            self.nodes.script.append(error(code, "unconfigured table"))
            self.assertIn("unconfigured table", (await self.fails(StatementRefused, self.write())).text)

    async def test_one_node_alone_is_asked_once(self) -> None:
        await self.prepare()
        for answer in (read_timeout(2, False), SERVER_ERROR, HANG_UP, unavailable("ONE")):
            await self.until(lambda: bool(self.session.nodes()))
            del self.nodes.asked[:]
            self.nodes.script.extend([answer] * 3)
            await self.fails(Unavailable, self.session.execute_on(self.session.nodes()[0], READ, (b"a",)))
            self.assertEqual(len(self.nodes.asked), 1)
            self.nodes.script.clear()
        await self.fails(Unavailable, self.session.execute_on(Node("127.0.0.9", "dc1"), READ, (b"a",)))


class SilenceTests(OutcomeCase):
    """No answer within the time limit of a request."""

    request_timeout = 1.0

    def test_silence(self) -> Any:
        """What was sent may have been done."""
        return self.each("silence")


class Outcome4Tests(OutcomeTests):
    """The same over version 4."""

    version = 4


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
    """Who is let in, and what is said where nobody is."""

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
