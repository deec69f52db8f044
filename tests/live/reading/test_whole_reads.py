"""Whole reads on real sockets: memory stays flat over many messages, and workers give the same answer."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import attrs

from tests import runs_in
from tests.http.wire_support import encode_request
from tests.live.clients import HEADERS, TIMEOUT
from tests.live.connections.test_slow_clients import LONG, MIB, Neighbour, SlowTestCase, forget_peak, memory, peak, say
from tests.live.connections.test_v2_stream import FIELDS, PATH, chunk
from tests.live.workers.test_workers import WorkersCase

MESSAGES = 1_000_000 if LONG else 100_000
AT_ONCE = 1000
SIZE = 500


@attrs.define
class Answer:
    """The lines of an answer, looked at while they come.

    :ivar count: how many messages there are, and ``numbers`` the sum of the numbers in their bodies.
    :ivar ordered: whether each id is above the one before.
    :ivar last: the last line.
    """

    count: int = 0
    numbers: int = 0
    ordered: bool = True
    last: dict[str, Any] = attrs.Factory(dict)

    def read(self, connection: socket.socket, pause: float = 0.0) -> Answer:
        """Read to the end.

        :param pause: seconds to wait after each piece.
        """
        rest, id = b"", ""
        while not self.last:
            data = connection.recv(256 * 1024)
            if not data:
                raise AssertionError(f"the answer broke off: {rest[-500:]!r}")
            time.sleep(pause)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                # Sizes of chunks, and ends of lines, stand on lines of their own only between messages.
                if line.startswith(b'{"id":'):
                    message = json.loads(line)
                    self.ordered = self.ordered and message["id"] > id
                    id = message["id"]
                    self.count += 1
                    self.numbers += int(message["body"].split()[0])
                elif line.startswith(b'{"next":'):
                    self.last = json.loads(line)
        return self


def fill(connection: socket.socket, count: int) -> None:
    """Post messages that are numbered, by one stream."""
    connection.sendall(encode_request("POST", f"{PATH}?results=failures", FIELDS))
    for start in range(0, count, AT_ONCE):
        lines = [json.dumps({"body": f"{number} " + "x" * SIZE}) for number in range(start, start + AT_ONCE)]
        connection.sendall(chunk("\n".join([*lines, ""]).encode()))
    connection.sendall(b"0\r\n\r\n")
    answer = b""
    while not answer.endswith(b"0\r\n\r\n"):
        answer += connection.recv(MIB)
    if b'"stored":%d,"failed":0' % count not in answer:
        raise AssertionError(answer)


def asked(connection: socket.socket, query: str = "") -> socket.socket:
    """Ask for everything."""
    connection.sendall(encode_request("GET", PATH + query, {**HEADERS, "Accept": "application/x-ndjson"}))
    return connection


class WholeReadTests(SlowTestCase):
    """One process."""

    def make_queue(self) -> None:
        connection = self.connect()
        fields = {**HEADERS, "Content-Type": "application/json"}
        connection.sendall(encode_request("PUT", PATH.removesuffix("/messages"), fields, b'{"partitions": 2}'))
        self.assertIn(b" 201 ", connection.recv(MIB))

    @runs_in("test")
    def test_memory(self) -> None:
        """It needs the memory of a few parts, however many messages there are and however slow the client is."""
        daemon = self.serve()
        self.make_queue()
        connection = self.connect()
        connection.settimeout(TIMEOUT)
        fill(connection, MESSAGES)
        Answer().read(asked(connection, "?limit=1000"))
        before = memory(daemon.pid)
        forget_peak(daemon.pid)
        began = time.monotonic()
        with Neighbour(self.port).beside():
            answer = Answer().read(asked(connection))
        seconds, grown = time.monotonic() - began, peak(daemon.pid) - before
        say(f"{MESSAGES} messages: {MESSAGES / seconds:.0f} a second, {grown / MIB:.0f} MiB more at the most")
        self.assertEqual((answer.count, answer.numbers), (MESSAGES, MESSAGES * (MESSAGES - 1) // 2))
        self.assertTrue(answer.ordered)
        self.assertEqual((answer.last["more"], answer.last["resume"]), (False, "exact"))
        self.assertLess(grown, 40 * MIB)
        forget_peak(daemon.pid)
        stalled = [asked(self.connect(receive=64 * 1024)) for _ in range(8)]
        time.sleep(0.5)
        self.assertLess(peak(daemon.pid) - before, 60 * MIB)
        self.assertEqual(Answer().read(stalled[0]).count, MESSAGES)
        self.no_errors(daemon)


class WorkersTests(WorkersCase):
    """Several processes."""

    def test_each_worker(self) -> None:
        """Whichever worker reads, the answer is the same."""
        first, *others = [socket.create_connection(("127.0.0.1", self.port), TIMEOUT) for _ in range(6)]
        for each in (first, *others):
            self.addCleanup(each.close)
        fields = {**HEADERS, "Content-Type": "application/json"}
        first.sendall(encode_request("PUT", PATH.removesuffix("/messages"), fields, b'{"partitions": 3}'))
        self.assertIn(b" 201 ", first.recv(MIB))
        fill(first, 10 * AT_ONCE)
        found = [Answer().read(asked(each)) for each in others]
        self.assertEqual([answer.count for answer in found], [10 * AT_ONCE] * len(others))
        self.assertTrue(all(answer.ordered and not answer.last["more"] for answer in found))
        self.assertEqual({answer.numbers for answer in found}, {10 * AT_ONCE * (10 * AT_ONCE - 1) // 2})
