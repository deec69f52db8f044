"""The benchmark of claims, as far as it starts no server: the protocols, and what is compared."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import claim_peers, claims
from bench.claim_peers import Side
from bench.protocols import (
    KINDS,
    Beanstalkd,
    IProtocol,
    PostgreSQL,
    Redis,
    Unexpected,
    command,
    pg,
    protocol,
    reply_end,
)

READY = pg(b"Z", b"I")
ROW = pg(b"D", struct.pack(">HI", 2, 2), b"17", struct.pack(">I", 3), b"abc")
BOUND = pg(b"2")


class ProtocolTests(SynchronousTestCase):
    """What each protocol takes for a message, for an acknowledgement, and for neither."""

    def cut(self, spoken: IProtocol, answer: bytes) -> None:
        """An answer ends where it ends, wherever its bytes are cut."""
        for cut in range(len(answer)):
            self.assertIsNone(spoken.end(answer[:cut]), answer[:cut])
        self.assertEqual(spoken.end(answer + b"more"), len(answer))

    def check(self, spoken: IProtocol, given: bytes, token: bytes, nothing: bytes, acked: bytes) -> None:
        """The answers of one server."""
        for answer in (given, nothing, acked):
            self.cut(spoken, answer)
        self.assertEqual(spoken.taken(given), [token])
        self.assertEqual(spoken.taken(nothing), [])
        spoken.acked(acked)

    def wrong(self, spoken: IProtocol, taken: Sequence[bytes], acked: Sequence[bytes]) -> None:
        """Answers that are neither."""
        for answer in taken:
            self.assertRaises(Unexpected, spoken.taken, answer)
        for answer in acked:
            self.assertRaises(Unexpected, spoken.acked, answer)

    def test_beanstalkd(self) -> None:
        spoken = Beanstalkd()
        self.check(spoken, b"RESERVED 12 5\r\na\r\nbc\r\n", b"12", b"TIMED_OUT\r\n", b"DELETED\r\n")
        self.wrong(spoken, [b"OUT_OF_MEMORY\r\n"], [b"NOT_FOUND\r\n"])
        self.assertEqual(spoken.ack([b"12"]), b"delete 12\r\n")

    def test_redis(self) -> None:
        spoken = Redis(3)
        given = b"*1\r\n*2\r\n$1\r\nq\r\n*1\r\n*2\r\n$6\r\n1234-0\r\n*2\r\n$4\r\nbody\r\n$3\r\nxyz\r\n"
        self.check(spoken, given, b"1234-0", b"*-1\r\n", b":1\r\n")
        self.wrong(spoken, [b"-NOGROUP\r\n"], [b":0\r\n", b"-ERR\r\n"])
        self.assertIn(b"$2\r\nw3\r\n", spoken.take())
        self.assertEqual(spoken.ack([b"1-0"]), command(b"XACK", b"q", b"g", b"1-0"))
        self.assertEqual(reply_end(b"$-1\r\n+OK\r\n"), 5)

    def test_postgresql(self) -> None:
        spoken = PostgreSQL("u", "d")
        given = BOUND + ROW + pg(b"C", b"UPDATE 1\0") + READY
        self.check(
            spoken, given, b"17", BOUND + pg(b"C", b"UPDATE 0\0") + READY, BOUND + pg(b"C", b"DELETE 1\0") + READY
        )
        failed = pg(b"E", b"SERROR\0\0") + READY
        self.wrong(spoken, [failed], [failed, BOUND + pg(b"C", b"DELETE 0\0") + READY])
        self.assertIn(b"17", spoken.ack([b"17"]))

    def test_each_kind_has_a_protocol(self) -> None:
        options: dict[str, dict[str, Any]] = {
            "queuey": {"group": "/g", "claim": 1, "fused": True},
            "postgresql": {"user": "u", "database": "d"},
        }
        for kind in KINDS:
            spoken = protocol(kind, 0, 1, options.get(kind, {}))
            self.assertTrue(spoken.take())
            self.assertEqual(spoken.fused, kind == "queuey")


class SideTests(SynchronousTestCase):
    """What is stored and acknowledged is what has to be left."""

    def side(self, left: int) -> Side:
        made = Side("one", "queuey", 1, lambda count: None, lambda: left)
        made.filled, made.acknowledged = 10, 7
        return made

    def test_what_is_left_is_compared(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as output:
            self.side(3).check()
        self.assertEqual(output.getvalue(), "one: 10 stored, 7 acknowledged, 3 left\n")

    def test_a_difference_is_an_error(self) -> None:
        for left in (2, 4):
            with contextlib.redirect_stdout(io.StringIO()):
                error = self.assertRaises(SystemExit, self.side(left).check)
            self.assertEqual(str(error), f"one has {left} messages left, and not 3")

    def test_batches_are_so_many_messages_together(self) -> None:
        self.assertEqual(claim_peers.batches(2500), [1000, 1000, 500])

    def test_each_ratio_stands_beside_what_was_asked(self) -> None:
        class Fixed(Side):
            def rate(self, workers: int, seconds: float, most: float) -> float:
                return {"queuey, apart": 50.0, "PostgreSQL": 100.0}[self.name]

        ours, peer = (Fixed(name, "", 1, lambda count: None, lambda: 0) for name in ("queuey, apart", "PostgreSQL"))
        page = Path(self.mktemp())
        with contextlib.redirect_stdout(io.StringIO()) as output:
            claims.compare([ours], [peer], 8, 1, 1.0, page)
        self.assertIn("queuey, apart / PostgreSQL: 0.50 (at least 0.90)\n", output.getvalue())
