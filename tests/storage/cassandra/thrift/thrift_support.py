"""Nodes that speak Thrift by a script, reached without a socket: the bytes are real."""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack
from typing import Any, cast

from thriftpy2.protocol import TCyBinaryProtocol
from thriftpy2.thrift import TApplicationException, TMessageType
from thriftpy2.transport import TCyBufferedTransport, TCyMemoryBuffer, TMemoryBuffer
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IProtocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from queuey.storage.cassandra.cluster.thrift.calls import api

PORT = 9160

BYTES = "org.apache.cassandra.db.marshal.BytesType"
TEXT = "org.apache.cassandra.db.marshal.UTF8Type"
INT = "org.apache.cassandra.db.marshal.Int32Type"
BOOLEAN = "org.apache.cassandra.db.marshal.BooleanType"

INVALID, UNAVAILABLE, LATE = api.InvalidRequestException, api.UnavailableException, api.TimedOutException

#: Answers nothing, nor what comes after it on the same connection, and goes on reading.
SILENCE = object()
#: Ends the connection instead of answering.
HANG_UP = object()
#: Sends the first bytes of an answer, and ends the connection.
HALF = object()


def answer(name: str, number: int, result: Any) -> bytes:
    """The frame of an answer: of a value, or of an exception that the call may be answered with."""
    kind: int = TMessageType.REPLY
    value: Any = result
    if isinstance(result, TApplicationException):
        kind = TMessageType.EXCEPTION
    else:
        value = getattr(api.Cassandra, f"{name}_result")()
        fields = {field[1]: (field[2] if len(field) > 3 else None) for field in value.thrift_spec.values()}
        found = next((each for each, made in fields.items() if each != "success" and type(result) is made), "success")
        if result is not None:
            setattr(value, found, result)
    buffer = TCyMemoryBuffer()
    protocol = TCyBinaryProtocol(buffer)
    protocol.write_message_begin(name, kind, number)
    protocol.write_struct(value)
    frame: bytes = buffer.getvalue()
    return pack(">I", len(frame)) + frame


def rows(columns: Sequence[tuple[str, str]], *found: Sequence[bytes | None]) -> Any:
    """A result with rows, whose columns have names and types."""
    types = {name.encode(): kind for name, kind in columns}
    made = [
        api.CqlRow(columns=[api.Column(name=name, value=value) for name, value in zip(types, each, strict=True)])
        for each in found
    ]
    return api.CqlResult(type=1, rows=made, schema=api.CqlMetadata(value_types=types))


VOID = api.CqlResult(type=2)


class Line(StringTransport):
    """A connection, as the client has it."""

    def __init__(self, network: Network, peer: Peer) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", peer.address, PORT))
        self.network = network
        self.peer = peer
        self.client: Any = None
        self.ended = False
        self.silent = False
        self._unread = b""

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def setTcpKeepAlive(self, enabled: bool) -> None:
        pass

    def write(self, data: bytes) -> None:
        if self.ended:
            return
        self._unread += data
        while len(self._unread) >= 4:
            length = int.from_bytes(self._unread[:4], "big")
            if len(self._unread) < 4 + length:
                return
            frame, self._unread = self._unread[4 : 4 + length], self._unread[4 + length :]
            self.network.callLater(0, self.peer.asked, self, frame)

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def abortConnection(self) -> None:
        self.lose(ConnectionAborted())

    def loseConnection(self) -> None:
        self.lose(ConnectionDone())

    def lose(self, why: Exception) -> None:
        """End it, as the client learns in the next turn."""
        if not self.ended:
            self.ended = True
            self.peer.lines.remove(self)
            self.network.callLater(0, self.client.connectionLost, Failure(why))

    def give(self, data: bytes) -> None:
        """Bytes for the client."""
        if not self.ended:
            self.client.dataReceived(data)


class Peer:
    """A node.

    :ivar result: of prepared statements that are executed.
    :ivar script: what to answer to calls of a name, one after the other, in place of what a node answers.
    :ivar calls: the names and arguments of all that was asked.
    :ivar up: whether it accepts connections; where it does not, it refuses them.
    :ivar accepts: whether it answers at all to who wants to connect.
    """

    def __init__(self, address: str, centre: str = "dc1") -> None:
        self.address = address
        self.centre = centre
        self.up = True
        self.accepts = True
        self.silent = False
        self.password: str | None = None
        self.lines: list[Line] = []
        self.connections: list[float] = []
        self.calls: list[tuple[str, Any]] = []
        self.script: dict[str, list[Any]] = {}
        self.ring: Sequence[Peer] = (self,)
        self.versions: list[str] = ["a"]
        self.types: dict[str, list[str]] = {}
        self.prepared: dict[int, str] = {}
        self.result: Any = VOID

    def names(self) -> list[str]:
        """What was asked of it."""
        return [name for name, _ in self.calls]

    def executed(self) -> list[Any]:
        """The arguments of all executions of prepared statements."""
        return [arguments for name, arguments in self.calls if name == "execute_prepared_cql3_query"]

    def texts(self) -> list[str]:
        """All texts that were executed or prepared, but for those by which connections begin."""
        found = [each.query.decode() for name, each in self.calls if "cql3_query" in name and hasattr(each, "query")]
        return [text for text in found if "system.local" not in text]

    def asked(self, line: Line, frame: bytes) -> None:
        """A call has arrived."""
        protocol = TCyBinaryProtocol(TCyBufferedTransport(TMemoryBuffer(frame)))
        name, _, number = protocol.read_message_begin()
        arguments = protocol.read_struct(getattr(api.Cassandra, f"{name}_args")())
        self.calls.append((name, arguments))
        script = self.script.get(name)
        result = script.pop(0) if script else SILENCE if self.silent else self._answer(name, arguments)
        line.silent = line.silent or result is SILENCE
        if line.silent:
            return
        if result is HANG_UP:
            line.lose(ConnectionDone())
        elif result is HALF:
            line.give(answer(name, number, self._answer(name, arguments))[:-3])
            line.lose(ConnectionDone())
        elif isinstance(result, bytes):
            line.give(result)
        else:
            line.give(answer(name, number, result))

    def die(self) -> None:
        """End all connections, and accept none."""
        self.up = False
        for line in list(self.lines):
            line.lose(ConnectionDone())

    def forget(self) -> None:
        """Know no prepared statement any more."""
        self.prepared.clear()

    def _answer(self, name: str, arguments: Any) -> Any:
        return getattr(self, f"_{name}")(arguments)

    def _login(self, arguments: Any) -> Any:
        if arguments.auth_request.credentials["password"] != self.password:
            return api.AuthenticationException(why="Username and/or password are incorrect")
        return None

    def _describe_cluster_name(self, arguments: Any) -> Any:
        return "test"

    def _describe_schema_versions(self, arguments: Any) -> Any:
        return {version: [self.address] for version in self.versions}

    def _describe_ring(self, arguments: Any) -> Any:
        return [
            api.TokenRange(
                endpoints=[f"inside {each.address}" for each in self.ring],
                rpc_endpoints=[each.address for each in self.ring],
                endpoint_details=[api.EndpointDetails(host="", datacenter=each.centre) for each in self.ring],
            )
        ] * 2

    def _execute_cql3_query(self, arguments: Any) -> Any:
        if b"system.local" not in arguments.query:
            return VOID
        if self.password is not None and "login" not in self.names():
            return INVALID(why="You have not logged in")
        return rows([("data_center", TEXT)], [self.centre.encode()])

    def _prepare_cql3_query(self, arguments: Any) -> Any:
        text = arguments.query.decode()
        number = hash(text) % 1000
        self.prepared[number] = text
        types = self.types.get(text, [BYTES] * text.count("?"))
        return api.CqlPreparedResult(itemId=number, count=len(types), variable_types=types)

    def _execute_prepared_cql3_query(self, arguments: Any) -> Any:
        if arguments.itemId not in self.prepared:
            return INVALID(
                why=f"Prepared query with ID {arguments.itemId} not found (either the query was not prepared"
            )
        return self.result


class Network(MemoryReactorClock):
    """A reactor that reaches the nodes of a script, and no others."""

    def __init__(self, *peers: Peer) -> None:
        super().__init__()
        self.peers = {peer.address: peer for peer in peers}
        for peer in peers:
            peer.ring = peers

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None) -> Any:
        connector = super().connectTCP(host, port, factory, timeout, bindAddress)
        peer = self.peers.get(host)
        if peer is not None:
            peer.connections.append(self.seconds())
        self.callLater(0, self._connect, peer, factory, connector)
        return connector

    def _connect(self, peer: Peer | None, factory: Any, connector: Any) -> None:
        if connector.stoppedConnecting or (peer is not None and not peer.accepts):
            return
        if peer is None or not peer.up:
            factory.clientConnectionFailed(connector, Failure(ConnectionRefusedError()))
            return
        line = Line(self, peer)
        peer.lines.append(line)
        line.client = cast(IProtocol, factory.buildProtocol(line.getPeer()))
        line.client.makeConnection(line)

    def settle(self) -> None:
        """Let everything happen that takes no time."""
        for _ in range(60):
            self.advance(0)

    def wait(self, seconds: float, step: float = 0.05) -> None:
        """Let time pass."""
        until = self.seconds() + seconds
        while self.seconds() < until - step / 2:
            self.advance(step)
            self.settle()
