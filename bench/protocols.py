"""How a worker takes messages from a server and acknowledges them: Queuey over HTTP, and three of its peers.

Each protocol makes the bytes of a request and reads the bytes of an answer. It does no input or output, except
``connect``, which may log in before anything is measured.

Sources: the protocol of beanstalkd (``doc/protocol.txt`` of its distribution), RESP2 of Redis with the commands
XREADGROUP and XACK, and the frontend/backend protocol 3.0 of PostgreSQL ("Message Formats" in its manual).
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator, Sequence
from itertools import count as counting
from typing import Any, Final, Protocol

from bench.load import NUMBER, answer_end
from bench.servers import request

LIMIT: Final = 30.0
"""Seconds that one step of a login may take."""


class Unexpected(Exception):
    """A server answered something that is neither messages, nor an acknowledgement, nor "there is nothing"."""


class IProtocol(Protocol):
    """What one worker says and hears on its connection. A token stands for one message that is not acknowledged yet."""

    fused: bool
    """Whether one request may acknowledge messages and take the next ones."""

    def connect(self, port: int) -> socket.socket:
        """Connect and log in, on a socket that blocks."""

    def take(self, tokens: Sequence[bytes] = ()) -> bytes:
        """The request that takes messages; it also acknowledges ``tokens`` if the protocol is fused."""

    def taken(self, answer: bytes) -> list[bytes]:
        """The tokens in an answer to ``take``; an empty list if there was no message. Raises ``Unexpected``."""

    def ack(self, tokens: Sequence[bytes]) -> bytes:
        """The request that acknowledges messages."""

    def acked(self, answer: bytes) -> None:
        """Check an answer to ``ack``. Raises ``Unexpected`` if not all messages were acknowledged."""

    def end(self, received: bytes) -> int | None:
        """The length of the first whole answer in ``received``, or ``None`` if there is none yet."""


def connected(port: int) -> socket.socket:
    """A connection to a port of this machine."""
    made = socket.create_connection(("127.0.0.1", port), LIMIT)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


class Queuey:
    """Consumer groups of Queuey: a claim, and a settlement that acks.

    :param group: the path of the group. If it has ``{NUMBER}`` in it there are ``count`` groups, and this worker goes
        through every ``workers``-th of them, beginning with its own ``number``.
    :param claim: messages in one claim.
    :param fused: whether a claim also settles what the one before it gave.
    """

    _RECEIPT: Final = re.compile(rb'"receipt": ?"([^"]+)"')
    _DONE: Final = re.compile(rb'"(?:acked|already-acked)"')

    def __init__(self, group: str, claim: int, fused: bool, number: int, workers: int, count: int = 1) -> None:
        self.fused = fused
        self._claim = claim
        self._groups = self._each(group, number, workers, count)
        self._group = group
        self._settled = 0

    @staticmethod
    def _each(group: str, number: int, workers: int, count: int) -> Iterator[str]:
        place = NUMBER.decode()
        return (group.replace(place, f"{at % count:07d}") for at in counting(number, workers))

    def connect(self, port: int) -> socket.socket:
        return connected(port)

    def take(self, tokens: Sequence[bytes] = ()) -> bytes:
        if not tokens:
            self._group = next(self._groups)
            body = b'{"limit":%d}' % self._claim
        else:
            body = b'{"limit":%d,"settle":{"ack":["%s"]}}' % (self._claim, b'","'.join(tokens))
        self._settled = len(tokens)
        return request("POST", f"{self._group}/claims", body, Content_Type="application/json")

    def taken(self, answer: bytes) -> list[bytes]:
        self._check(answer, self._settled)
        messages, _, _ = answer.partition(b'"outcomes":')
        return self._RECEIPT.findall(messages)

    def ack(self, tokens: Sequence[bytes]) -> bytes:
        self._settled = len(tokens)
        body = b'{"ack":["%s"]}' % b'","'.join(tokens)
        return request("POST", f"{self._group}/settlements", body, Content_Type="application/json")

    def acked(self, answer: bytes) -> None:
        self._check(answer, self._settled)

    def _check(self, answer: bytes, settled: int) -> None:
        if not answer.startswith(b"HTTP/1.1 2") or len(self._DONE.findall(answer)) < settled:
            raise Unexpected(answer)

    def end(self, received: bytes) -> int | None:
        return answer_end(received)


class Beanstalkd:
    """A tube of beanstalkd: ``reserve`` and ``delete``, one message at a time."""

    fused = False
    _TAKEN: Final = re.compile(rb"RESERVED (\d+) (\d+)\r\n")

    def connect(self, port: int) -> socket.socket:
        return connected(port)

    def take(self, tokens: Sequence[bytes] = ()) -> bytes:
        return b"reserve-with-timeout 0\r\n"

    def taken(self, answer: bytes) -> list[bytes]:
        if answer.startswith(b"TIMED_OUT"):
            return []
        found = self._TAKEN.match(answer)
        if found is None:
            raise Unexpected(answer)
        return [found[1]]

    def ack(self, tokens: Sequence[bytes]) -> bytes:
        return b"delete %s\r\n" % tokens[0]

    def acked(self, answer: bytes) -> None:
        if answer != b"DELETED\r\n":
            raise Unexpected(answer)

    def end(self, received: bytes) -> int | None:
        line = received.find(b"\r\n") + 2
        found = self._TAKEN.match(received)
        end = line + int(found[2]) + 2 if found else line
        return end if line >= 2 and len(received) >= end else None


def command(*words: bytes) -> bytes:
    """A command of Redis."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def reply_end(received: bytes, start: int = 0) -> int | None:
    """Where the reply of Redis that begins at ``start`` ends, or ``None`` if it is not whole."""
    line = received.find(b"\r\n", start)
    if line < 0:
        return None
    kind, end = received[start : start + 1], line + 2
    if kind == b"$" and (size := int(received[start + 1 : line])) >= 0:
        end += size + 2
    elif kind == b"*":
        for _ in range(int(received[start + 1 : line])):
            inner = reply_end(received, end)
            if inner is None:
                return None
            end = inner
    return end if len(received) >= end else None


class Redis:
    """A consumer group of a stream of Redis, in the key ``q``: XREADGROUP and XACK."""

    fused = False
    _ID: Final = re.compile(rb"\r\n(\d+-\d+)\r\n")

    def __init__(self, number: int) -> None:
        self._take = command(b"XREADGROUP", b"GROUP", b"g", b"w%d" % number, *b"COUNT 1 STREAMS q >".split())

    def connect(self, port: int) -> socket.socket:
        return connected(port)

    def take(self, tokens: Sequence[bytes] = ()) -> bytes:
        return self._take

    def taken(self, answer: bytes) -> list[bytes]:
        if answer == b"*-1\r\n":
            return []
        found = self._ID.search(answer)
        if found is None:
            raise Unexpected(answer)
        return [found[1]]

    def ack(self, tokens: Sequence[bytes]) -> bytes:
        return command(b"XACK", b"q", b"g", *tokens)

    def acked(self, answer: bytes) -> None:
        if answer != b":1\r\n":
            raise Unexpected(answer)

    def end(self, received: bytes) -> int | None:
        return reply_end(received)


def pg(kind: bytes, *parts: bytes) -> bytes:
    """A message of PostgreSQL's protocol."""
    body = b"".join(parts)
    return kind + struct.pack(">I", len(body) + 4) + body


class PostgreSQL:
    """Rows of the table ``jobs`` of PostgreSQL: one is marked as taken (``FOR UPDATE SKIP LOCKED``), then deleted.

    Both statements are prepared once for each connection, and each is a transaction of its own.
    """

    fused = False
    _TAKE: Final = (
        b"UPDATE jobs SET taken = now() WHERE id = (SELECT id FROM jobs WHERE taken IS NULL ORDER BY id"
        b" FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING id, body"
    )
    _ACK: Final = b"DELETE FROM jobs WHERE id = $1"
    _RUN: Final = pg(b"E", b"\0", struct.pack(">I", 0)) + pg(b"S")
    _BOUND: Final = pg(b"B", b"\0take\0", struct.pack(">HHH", 0, 0, 0)) + _RUN

    def __init__(self, user: str, database: str) -> None:
        self._login = {"user": user, "database": database}

    def connect(self, port: int) -> socket.socket:
        made = connected(port)
        words = b"".join(b"%s\0%s\0" % (name.encode(), value.encode()) for name, value in self._login.items())
        made.sendall(pg(b"", struct.pack(">I", 3 << 16), words, b"\0"))
        self._wait(made)
        for name, text in ((b"take", self._TAKE), (b"ack", self._ACK)):
            made.sendall(pg(b"P", name, b"\0", text, b"\0", struct.pack(">H", 0)) + pg(b"S"))
            self._wait(made)
        return made

    def _wait(self, made: socket.socket) -> None:
        received = b""
        while self.end(received) is None:
            data = made.recv(65536)
            if not data:
                raise Unexpected(received)
            received += data
        self._tags(received)

    def take(self, tokens: Sequence[bytes] = ()) -> bytes:
        return self._BOUND

    def taken(self, answer: bytes) -> list[bytes]:
        row = self._tags(answer).get(b"D")
        if row is None:
            return []
        (size,) = struct.unpack_from(">I", row, 2)
        return [row[6 : 6 + size]]

    def ack(self, tokens: Sequence[bytes]) -> bytes:
        id = tokens[0]
        bound = struct.pack(">HHI", 0, 1, len(id)) + id + struct.pack(">H", 0)
        return pg(b"B", b"\0ack\0", bound) + self._RUN

    def acked(self, answer: bytes) -> None:
        if self._tags(answer).get(b"C") != b"DELETE 1\0":
            raise Unexpected(answer)

    def _tags(self, answer: bytes) -> dict[bytes, bytes]:
        """The messages in an answer, by their kinds."""
        found, at = {}, 0
        while at < len(answer):
            (size,) = struct.unpack_from(">I", answer, at + 1)
            found[answer[at : at + 1]] = answer[at + 5 : at + 1 + size]
            at += 1 + size
        if b"E" in found:
            raise Unexpected(found[b"E"])
        return found

    def end(self, received: bytes) -> int | None:
        at = 0
        while at + 5 <= len(received):
            (size,) = struct.unpack_from(">I", received, at + 1)
            last, at = received[at : at + 1] == b"Z", at + 1 + size
            if last:
                return at if at <= len(received) else None
        return None


KINDS: Final = ("queuey", "beanstalkd", "redis", "postgresql")


def protocol(kind: str, number: int, workers: int, options: dict[str, Any]) -> IProtocol:
    """The protocol of a kind, for one of some workers."""
    match kind:
        case "queuey":
            return Queuey(number=number, workers=workers, **options)
        case "redis":
            return Redis(number)
        case "beanstalkd":
            return Beanstalkd()
        case "postgresql":
            return PostgreSQL(**options)
    raise ValueError(f"{kind} is none of {', '.join(KINDS)}")
