"""Nodes of a cluster that answer by a script, on real sockets, in CQL's native protocol, versions 4 and 5.

What the driver asks of them to know the cluster is answered as real nodes do; statements are prepared under ids that
each node has to know. Only what is executed is up to the script: without one, it is answered as done.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

import attrs
from cassandra.segment import SegmentCodec
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.live.cassandra.session.scripted_answers import (
    AUTH_RESPONSE,
    AUTH_SUCCESS,
    AUTHENTICATE,
    BATCH,
    BLOB,
    EXECUTE,
    HALF,
    HANG_UP,
    INET,
    INT,
    LEVELS,
    OPTIONS,
    PREPARE,
    QUERY,
    READY,
    REGISTER,
    RESULT,
    SILENCE,
    STARTUP,
    SUPPORTED,
    TEXT,
    TEXTS,
    UNPREPARED,
    UUID,
    VOID,
    Answer,
    cell,
    error,
    rows,
    string,
    unprepared,
)

T = TypeVar("T")


@attrs.frozen
class Asked:
    """A statement, or a batch, that arrived at a node.

    :ivar node: the last number of its address.
    :ivar batch: ``logged``, ``unlogged``, or nothing where it is a statement by itself.
    :ivar serial: the serial level; nothing where none was sent.
    :ivar timestamp: in microseconds, as the client gave it.
    """

    node: int
    texts: tuple[str, ...]
    values: tuple[bytes, ...]
    level: str
    serial: str
    batch: str = ""
    timestamp: int = 0


class Reader:
    """Reads the body of a request."""

    def __init__(self, body: bytes) -> None:
        self._body = io.BytesIO(body)

    def number(self, form: str) -> int:
        (found,) = struct.unpack(">" + form, self._body.read(struct.calcsize(">" + form)))
        return int(found)

    def bytes(self, form: str) -> bytes:
        return self._body.read(max(self.number(form), 0))

    def text(self, form: str) -> str:
        return self.bytes(form).decode()

    def values(self) -> list[Any]:
        return [self.bytes("i") for _ in range(self.number("H"))]


class Nodes:
    """A cluster of up to three nodes, on 127.0.0.1 to 127.0.0.3.

    :ivar script: what comes of the next statements, whichever node they arrive at.
    :ivar asked: the statements that arrived, in their order.
    :ivar prepared: how often a statement was prepared.
    :ivar login: the name and password that are asked for, or none.
    :ivar greeting: what any first request is answered with instead of a welcome.
    """

    def __init__(self, reactor: Any, count: int = 1) -> None:
        self.reactor = reactor
        self.script: deque[Answer] = deque()
        self.asked: list[Asked] = []
        self.prepared: list[str] = []
        self.login: tuple[str, str] | None = None
        self.refusal = "Provided username and/or password are incorrect"
        self.greeting: Answer | None = None
        self.port = 0
        self.nodes = [Node(self, number + 1) for number in range(count)]

    def start(self) -> None:
        """Listen; the port is the same for all, and for all later starts."""
        for node in self.nodes:
            node.start()

    def stop(self) -> Deferred[Any]:
        """Listen no more, and end all connections."""
        return gatherResults([node.stop() for node in self.nodes])

    def next(self) -> Answer:
        """What the script has for the next statement."""
        return self.script.popleft() if self.script else VOID


class Node(Factory):
    """One node."""

    noisy = False

    def __init__(self, nodes: Nodes, number: int) -> None:
        self.nodes = nodes
        self.number = number
        self.address = f"127.0.0.{number}"
        self.known: dict[bytes, str] = {}
        self.connections: set[Connection] = set()
        self._listening: Any = None

    def buildProtocol(self, addr: object) -> Connection:
        return Connection(self)

    def start(self) -> None:
        self._listening = self.nodes.reactor.listenTCP(self.nodes.port, self, interface=self.address)
        self.nodes.port = self._listening.getHost().port

    def stop(self) -> Deferred[Any]:
        listening, self._listening = self._listening, None
        gone = [connection.gone for connection in self.connections]
        for connection in list(self.connections):
            connection.transport.abortConnection()
        ends = [listening.stopListening()] if listening is not None else []
        return gatherResults([*gone, *ends])

    def system(self, text: str) -> Answer:
        """What the driver asks to know the cluster."""
        if "FROM system.local" in text:
            return rows(_COLUMNS, self.row())
        if "FROM system.peers" in text:
            return rows(_COLUMNS, *[node.row() for node in self.nodes.nodes if node is not self])
        return rows([("keyspace_name", TEXT)])

    def row(self) -> list[bytes | None]:
        address = bytes([127, 0, 0, self.number])
        port = struct.pack(">i", self.nodes.port)
        token = str(self.number * 1000).encode()
        tokens = struct.pack(">ii", 1, len(token)) + token
        kind = b"org.apache.cassandra.dht.Murmur3Partitioner"
        name = bytes([self.number] * 16)
        return [
            *(b"local", b"scripted", b"dc1", b"rack1", b"5.0.8", kind),
            *(name, name, tokens, address, address, address, address, port),
        ]


_COLUMNS: Final = [
    *((name, TEXT) for name in ("key", "cluster_name", "data_center", "rack", "release_version", "partitioner")),
    *(("host_id", UUID), ("schema_version", UUID), ("tokens", TEXTS)),
    *((name, INET) for name in ("rpc_address", "native_address", "peer", "broadcast_address")),
    ("native_port", INT),
]


class Connection(Protocol):
    """A client's connection to a node."""

    transport: Any

    def __init__(self, node: Node) -> None:
        self._node = node
        self._nodes = node.nodes
        self._data = b""
        self._frames = b""
        self._codec: SegmentCodec | None = None
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self._node.connections.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._node.connections.discard(self)
        self.gone.callback(None)

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        while self._take_segment() and self._take_frame():
            pass

    def _take_segment(self) -> bool:
        """Version 5 has frames in segments once it has been agreed upon."""
        if self._codec is None:
            self._frames += self._data
            self._data = b""
            return True
        while len(self._data) >= 6:
            stream = io.BytesIO(self._data)
            header = self._codec.decode_header(stream)
            if len(self._data) < header.segment_length:
                break
            stream.seek(0)
            self._codec.decode_header(stream)
            self._frames += self._codec.decode(stream, header).payload
            self._data = self._data[header.segment_length :]
        return True

    def _take_frame(self) -> bool:
        if len(self._frames) < 9:
            return False
        version, _, stream, operation, size = struct.unpack(">BBhBi", self._frames[:9])
        if len(self._frames) < 9 + size:
            return False
        body, self._frames = self._frames[9 : 9 + size], self._frames[9 + size :]
        self._asked(version, stream, operation, body)
        return True

    def _asked(self, version: int, stream: int, operation: int, body: bytes) -> None:
        answer = self._nodes.greeting or self._answer(version, operation, body)
        if answer.after:
            self._nodes.reactor.callLater(answer.after, self._send, version, stream, answer)
        else:
            self._send(version, stream, answer)
        if operation == STARTUP and version == 5 and self._codec is None:
            self._codec = SegmentCodec()

    def _send(self, version: int, stream: int, answer: Answer) -> None:
        if answer is HANG_UP:
            self.transport.abortConnection()
        elif answer is HALF:
            self.transport.write(self._framed(version, stream, rows([("x", TEXT)], [b"x" * 1000]))[:500])
            self.transport.loseConnection()
        elif answer is not SILENCE:
            self.transport.write(self._framed(version, stream, answer))

    def _framed(self, version: int, stream: int, answer: Answer) -> bytes:
        head = struct.pack(">BBhBi", version | 0x80, 0, stream, answer.operation, len(answer.body))
        if self._codec is None:
            return head + answer.body
        out = io.BytesIO()
        self._codec.encode(out, head + answer.body)
        return out.getvalue()

    def _answer(self, version: int, operation: int, body: bytes) -> Answer:
        reader = Reader(body)
        handlers: dict[int, Callable[[], Answer]] = {
            OPTIONS: lambda: Answer(SUPPORTED, _SUPPORTED),
            STARTUP: self._started,
            AUTH_RESPONSE: lambda: self._logged_in(reader),
            REGISTER: lambda: Answer(READY, b""),
            QUERY: lambda: self._query(version, reader),
            PREPARE: lambda: self._prepare(version, reader.text("i")),
            EXECUTE: lambda: self._execute(version, reader),
            BATCH: lambda: self._batch(version, reader),
        }
        return handlers[operation]()

    def _started(self) -> Answer:
        if self._nodes.login is None:
            return Answer(READY, b"")
        return Answer(AUTHENTICATE, string("org.apache.cassandra.auth.PasswordAuthenticator"))

    def _logged_in(self, reader: Reader) -> Answer:
        _, name, password = reader.text("i").split("\0")
        if (name, password) == self._nodes.login:
            return Answer(AUTH_SUCCESS, cell(None))
        return error(0x0100, self._nodes.refusal)

    def _query(self, version: int, reader: Reader) -> Answer:
        text = reader.text("i")
        if "system" in text:
            return self._node.system(text)
        return self._run((text,), reader, version, None)

    def _prepare(self, version: int, text: str) -> Answer:
        self._nodes.prepared.append(text)
        if "syntax" in text:
            return error(0x2000, "line 1:0 no viable alternative")
        name = hashlib.md5(text.encode(), usedforsecurity=False).digest()
        self._node.known[name] = text
        markers = text.count("?")
        body = struct.pack(">i", 4) + struct.pack(">H", len(name)) + name
        if version == 5:
            body += struct.pack(">H", 4) + b"meta"
        body += struct.pack(">iii", 1, markers, 1 if markers else 0) + (struct.pack(">H", 0) if markers else b"")
        body += string("ks") + string("table")
        body += b"".join(string(f"c{number}") + struct.pack(">H", BLOB) for number in range(markers))
        return Answer(RESULT, body + struct.pack(">ii", 4, 0))

    def _execute(self, version: int, reader: Reader) -> Answer:
        name = reader.bytes("H")
        if version == 5:
            reader.bytes("H")
        text = self._node.known.get(name)
        if text is None:
            return unprepared(name)
        return self._run((text,), reader, version, name)

    def _run(self, texts: tuple[str, ...], reader: Reader, version: int, name: bytes | None) -> Answer:
        level, flags = reader.number("H"), reader.number("i" if version == 5 else "B")
        values = reader.values() if flags & 1 else []
        if flags & 4:
            reader.number("i")
        serial = LEVELS[reader.number("H")] if flags & 0x10 else ""
        timestamp = reader.number("q") if flags & 0x20 else 0
        asked = Asked(self._node.number, texts, tuple(values), LEVELS[level], serial, "", timestamp)
        self._nodes.asked.append(asked)
        answer = self._nodes.next()
        if answer is UNPREPARED and name is not None:
            del self._node.known[name]
            return unprepared(name)
        return answer

    def _batch(self, version: int, reader: Reader) -> Answer:
        kind, name = ("logged", "unlogged")[reader.number("B")], b""
        texts: list[str] = []
        values: list[bytes] = []
        for _ in range(reader.number("H")):
            reader.number("B")
            name = reader.bytes("H")
            if name not in self._node.known:
                return unprepared(name)
            texts.append(self._node.known[name])
            values.extend(reader.values())
        level, flags = reader.number("H"), reader.number("i" if version == 5 else "B")
        serial = LEVELS[reader.number("H")] if flags & 0x10 else ""
        timestamp = reader.number("q") if flags & 0x20 else 0
        asked = Asked(self._node.number, tuple(texts), tuple(values), LEVELS[level], serial, kind, timestamp)
        self._nodes.asked.append(asked)
        answer = self._nodes.next()
        return unprepared(name) if answer is UNPREPARED else answer


_SUPPORTED: Final = (
    struct.pack(">H", 2)
    + string("CQL_VERSION")
    + struct.pack(">H", 1)
    + string("3.4.7")
    + string("COMPRESSION")
    + struct.pack(">H", 0)
)
