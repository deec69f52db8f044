"""Streams: pieces, what their answers say, and what is sent again."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey_client import Answer, Draft, Invalid, NotFound, QueueyError, Retry, Unavailable
from queuey_client.core.queue_calls import QueueCalls
from queuey_client.core.writing import MAX_LINES, Backlog, Entry
from queuey_client.sync.transport import Driver
from tests.client.support import LOST, Server, problem


def lines(*documents: dict[str, Any], cut: bytes = b"") -> Answer:
    """The answer to a stream."""
    text = b"".join([json.dumps(each).encode() + b"\n" for each in documents])
    return Answer(200, {"content-type": "application/x-ndjson"}, text + cut)


def done(stored: int, failed: int = 0) -> dict[str, Any]:
    """The last line of a whole answer."""
    return {"done": True, "stored": stored, "failed": failed}


def refusal(line: int | None, code: str, status: int, retryable: bool = False, **more: Any) -> dict[str, Any]:
    """A problem in a stream."""
    place = {} if line is None else {"line": line}
    found = {"code": code, "status": status, "detail": code, "retryable": retryable, "applied": "no"}
    return {**found, **place, **more}


class WriteTests(SynchronousTestCase):
    """One piece of three messages, ``a``, ``b`` and ``c``."""

    def write(self, server: Server, keys: bool = True, **more: Any) -> list[tuple[bytes, QueueyError]]:
        """Store it, and return what was refused."""
        backlog = Backlog(100)
        for body in "abc":
            backlog.add(Draft(body), keys)
        calls = QueueCalls(server.session(**more), "orders")
        found = Driver(server, server.sleep).run(calls.write(backlog.take()))
        return [(entry.draft.body, error) for entry, error in found]

    def bodies(self, server: Server) -> list[str]:
        """The bodies of each request, joined."""
        sent = [(ask.body or b"").decode().splitlines() for ask in server.asks]
        return ["".join(json.loads(line)["body"] for line in each) for each in sent]

    def keys_of(self, server: Server, at: int) -> list[Any]:
        """The keys of a request's lines."""
        return [json.loads(line).get("idempotency_key") for line in (server.asks[at].body or b"").splitlines()]

    def test_all_is_stored(self) -> None:
        """Each line has a key of its own."""
        server = Server(lines(done(3)))
        self.assertEqual(self.write(server), [])
        self.assertEqual(len(set(self.keys_of(server, 0))), 3)
        self.assertTrue(server.asks[0].url.endswith("/messages?results=failures"))

    def test_no_answer(self) -> None:
        """The same is sent again, under the same keys."""
        server = Server(LOST, lines(done(3)))
        self.assertEqual(self.write(server), [])
        self.assertEqual(server.asks[0].body, server.asks[1].body)

    def test_a_cut_answer(self) -> None:
        """What was refused is known; the rest is sent again under the same keys."""
        server = Server(lines(refusal(2, "invalid-body", 400), cut=b'{"do'), lines(done(2)))
        ((body, error),) = self.write(server)
        self.assertEqual((body, type(error), self.bodies(server)), (b"b", Invalid, ["abc", "ac"]))
        self.assertEqual(self.keys_of(server, 1), [self.keys_of(server, 0)[0], self.keys_of(server, 0)[2]])

    def test_untold_problems(self) -> None:
        """They are found out."""
        server = Server(lines({**done(2, 1), "untold": 1}), lines(refusal(1, "too-large", 413), done(2, 1)))
        ((body, _),) = self.write(server)
        self.assertEqual((body, self.bodies(server)), (b"a", ["abc", "abc"]))

    def test_refused_for_now(self) -> None:
        """It is sent again after the pause that was asked for, with what else was."""
        busy = refusal(3, "too-many-requests", 429, retryable=True)
        server = Server(lines(busy, done(2, 1)), lines(done(1)))
        self.assertEqual(self.write(server), [])
        self.assertEqual((self.bodies(server), len(server.sleeps)), (["abc", "c"], 1))

    def test_refused_until_the_deadline(self) -> None:
        """Then it is refused."""
        busy = lines(refusal(1, "too-many-requests", 429, retryable=True), done(0, 1))
        server = Server(*[busy] * 100)
        found = self.write(server, retry=Retry(deadline=5))
        self.assertEqual([body for body, _ in found], [b"a"])

    def test_a_stream_that_the_server_ends(self) -> None:
        """It goes on with what is not known to be stored; a reason that stays is the end of it."""
        stopping = refusal(None, "overloaded", 503, retryable=True, applied="partly")
        server = Server(lines(stopping, {"done": False, "stored": 1, "failed": 0}), lines(done(3)))
        self.assertEqual(self.write(server), [])
        gone = refusal(None, "no-such-queue", 404)
        server = Server(lines(gone, {"done": False, "stored": 0, "failed": 0}))
        self.assertEqual([type(error) for _, error in self.write(server)], [NotFound] * 3)

    def test_a_queue_that_takes_no_keys(self) -> None:
        """It is sent without; and then what is unknown is not sent again."""
        no = [refusal(number, "not-promised", 409) for number in (1, 2, 3)]
        server = Server(lines(*no, done(0, 3)), lines(done(3)))
        self.assertEqual(self.write(server), [])
        self.assertEqual((self.bodies(server), self.keys_of(server, 1)), (["abc", "abc"], [None] * 3))
        server = Server(lines(cut=b"{"))
        found = self.write(server, keys=False)
        self.assertEqual([(type(error), error.applied) for _, error in found], [(Unavailable, "unknown")] * 3)
        server = Server(LOST)
        self.assertEqual(len(self.write(server, keys=False)), 3)

    def test_refused_as_a_whole(self) -> None:
        """Each message is refused so."""
        server = Server(problem("no-such-queue", 404))
        self.assertEqual([type(error) for _, error in self.write(server)], [NotFound] * 3)


class BacklogTests(SynchronousTestCase):
    """What a writer holds."""

    def test_pieces(self) -> None:
        """Of a thousand lines, or a mebibyte; a larger one goes alone."""
        backlog = Backlog(10_000)
        for number in range(MAX_LINES + 1):
            backlog.add(Draft(str(number)), True)
        self.assertTrue(backlog.enough)
        self.assertEqual([len(backlog.take()), len(backlog.take()), len(backlog)], [MAX_LINES, 1, 0])
        for size in (2_000_000, 600_000, 600_000):
            backlog.add(Draft(b"x" * size), True)
        self.assertEqual([len(backlog.take()) for _ in range(3)], [1, 1, 1])

    def test_bounds(self) -> None:
        """It is full by number or by size, until messages are settled."""
        backlog = Backlog(2)
        backlog.add(Draft("a"), True)
        self.assertFalse(backlog.full)
        backlog.add(Draft("b"), True)
        self.assertTrue(backlog.full)
        piece: list[Entry] = backlog.take()
        self.assertTrue(backlog.full)
        backlog.done(piece, 1)
        self.assertEqual((backlog.full, backlog.stored, backlog.failed), (False, 1, 1))
        large = Backlog(1000)
        while not large.full:
            large.add(Draft("x" * (1 << 20)), True)
        self.assertEqual(large.posted, 64)
        large.drop()
        self.assertEqual((large.settled, large.full), (64, False))

    def test_own_keys(self) -> None:
        """Those of the caller stay."""
        backlog = Backlog(10)
        backlog.add(Draft("a", idempotency_key="mine"), True)
        backlog.add(Draft("a", idempotency_key=""), True)
        backlog.add(Draft("a"), False)
        self.assertEqual(
            [(entry.key, entry.own) for entry in backlog.take()], [("mine", False), (None, False), (None, True)]
        )
