"""The session over CQL with nodes that answer by a script: what goes out, what an answer means, who waits for what."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from queuey.errors import Unavailable
from queuey.storage.cassandra.cluster.cql.session import CQLSession
from queuey.storage.cassandra.cluster.port import (
    AccessRefused,
    Bound,
    Kind,
    Level,
    Node,
    Statement,
    StatementRefused,
    TooLarge,
    TransactionResult,
)
from queuey.storage.cassandra.cluster.settings import Host, SessionSettings
from tests.live.cassandra.session.scripted import Nodes
from tests.live.cassandra.session.scripted_answers import (
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
        # The driver tells the callbacks of a connection with many requests about its end in a thread, which ends soon.
        await self.until(lambda: driver_threads() == self.threads)

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
        self.assertEqual(await self.claim(), TransactionResult(True, {}))
        self.assertEqual((self.nodes.asked[-1].level, self.nodes.asked[-1].serial), ("QUORUM", "SERIAL"))

    async def test_values_and_rows(self) -> None:
        self.nodes.script.append(rows([("a", INT), ("b", BLOB)], [b"\0\0\0\7", b"x"], [None, b""]))
        found = await self.session.execute(READ, (b"\0\xff",), Level.ONE)
        self.assertEqual([tuple(row) for row in found], [(7, b"x"), (None, b"")])
        self.assertEqual(self.nodes.asked[-1].values, (b"\0\xff",))

    async def test_verdicts(self) -> None:
        self.nodes.script.append(rows([("[applied]", BOOLEAN), ("a", INT)], [b"\0", b"\0\0\0\7"]))
        self.assertEqual(await self.claim(), TransactionResult(False, {"a": 7}))
        self.nodes.script.append(rows([("[applied]", BOOLEAN)], [b"\0"]))
        self.assertEqual(await self.claim(), TransactionResult(False, {}))

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
