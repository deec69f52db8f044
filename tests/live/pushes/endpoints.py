"""Endpoints on loopback that answer pushes as tests tell them, and a resolver whose answers tests set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver, IResolutionReceiver
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


class _Connection(Protocol):
    """Reads requests, and hands each to the endpoint."""

    factory: Endpoint

    def __init__(self) -> None:
        self._came = b""

    def connectionMade(self) -> None:
        self.factory.connections.append(self)

    def dataReceived(self, data: bytes) -> None:
        self._came += data
        head, end, rest = self._came.partition(b"\r\n\r\n")
        if not end:
            return
        lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(fields.get("content-length", "0"))
        if len(rest) < length:
            return
        self._came = rest[length:]
        self.factory.requests.append((lines[0], fields, rest[:length]))
        self.factory.answer(self.transport, fields, rest[:length])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.connections.remove(self)


class Endpoint(Factory):
    """Takes pushes, and records them.

    :ivar answer: is called with the transport, the header fields and the body of each request.
    """

    protocol = _Connection  # type: ignore[assignment]

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections: list[_Connection] = []
        self.answer: Callable[[Any, dict[str, str], bytes], None] = self.say(OK)

    def say(self, data: bytes, close: bool = False) -> Callable[[Any, dict[str, str], bytes], None]:
        """Return a function that answers every request with these bytes."""

        def answer(transport: Any, fields: dict[str, str], body: bytes) -> None:
            transport.write(data)
            if close:
                transport.loseConnection()

        return answer

    def status(self, status: int, fields: bytes = b"", body: bytes = b"") -> None:
        """Answer every request with a status."""
        self.answer = self.say(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), fields, body))

    def close(self) -> None:
        """Close all connections."""
        for one in self.connections:
            if one.transport is not None:
                one.transport.loseConnection()


@implementer(IHostnameResolver)
class FakeResolver:
    """Resolves names as tests say; each answer is used once, and the last one for ever.

    :ivar asked: the names, in order.
    """

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []
        self.hangs = False

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        self.asked.append(hostName)
        if self.hangs:
            return None
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        for address in found:
            kind = IPv6Address if ":" in address else IPv4Address
            resolutionReceiver.addressResolved(kind("TCP", address, portNumber))
        resolutionReceiver.resolutionComplete()
        return None
