"""Just enough of CQL's native protocol, version 4, to see what a node answers without a driver.

It is for tests of the nodes themselves; whatever tests Queuey uses Queuey's own session, or the driver.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterator
from typing import Self

#: Operations.
ERROR, STARTUP, READY, AUTHENTICATE, QUERY, RESULT, AUTH_RESPONSE, AUTH_SUCCESS = 0, 1, 2, 3, 7, 8, 15, 16
#: Seconds that an answer may take.
LIMIT = 60.0
#: Consistency levels.
ONE, QUORUM = 1, 4


class Wire:
    """One connection that is ready for queries."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    @classmethod
    @contextlib.contextmanager
    def connect(cls, address: str, port: int, tls: ssl.SSLContext | None = None, password: str = "") -> Iterator[Self]:
        """Connect, and say who it is, where the node wants to know: the user that every new cluster has."""
        with contextlib.ExitStack() as ends:
            connection = ends.enter_context(socket.create_connection((address, port), LIMIT))
            if tls is not None:
                connection = ends.enter_context(tls.wrap_socket(connection, server_hostname=address))
            wire = cls(connection)
            operation, body = wire.ask(STARTUP, _strings("CQL_VERSION", "3.0.0"))
            if operation == AUTHENTICATE:
                token = f"\0cassandra\0{password}".encode()
                operation, body = wire.ask(AUTH_RESPONSE, struct.pack(">i", len(token)) + token)
            if operation not in (READY, AUTH_SUCCESS):
                raise ConnectionRefusedError(f"{operation}: {body!r}")
            yield wire

    def ask(self, operation: int, body: bytes) -> tuple[int, bytes]:
        """Send one request.

        :return: the operation and the body of its answer.
        """
        self._socket.sendall(struct.pack(">BBhBi", 4, 0, 0, operation, len(body)) + body)
        _, _, _, answer, size = struct.unpack(">BBhBi", self._read(9))
        return answer, self._read(size)

    def query(self, text: str, consistency: int = QUORUM) -> bytes:
        """The result of one statement, as it is on the wire.

        :raise ValueError: where it was refused.
        """
        encoded = text.encode()
        body = struct.pack(">i", len(encoded)) + encoded + struct.pack(">HB", consistency, 0)
        operation, answer = self.ask(QUERY, body)
        if operation != RESULT:
            raise ValueError(answer)
        return answer

    def _read(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            more = self._socket.recv(size - len(read))
            if not more:
                raise ConnectionResetError("closed in the middle of an answer")
            read += more
        return read


def _strings(*pairs: str) -> bytes:
    encoded = [text.encode() for text in pairs]
    return struct.pack(">H", len(pairs) // 2) + b"".join(struct.pack(">H", len(one)) + one for one in encoded)
