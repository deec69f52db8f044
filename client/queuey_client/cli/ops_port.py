"""Calls of the operators' port of a daemon: JSON-RPC over a local socket or a URL."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

TIMEOUT = 3600.0
"""Seconds that one answer may take: a check reads all of a store."""

PATH = "/rpc"


class CallFailed(Exception):
    """There is no answer to the call; the text is one line."""


class Fault(Exception):
    """The daemon refused the call.

    :ivar error: as JSON-RPC has it.
    """

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(error)
        self.error = error

    @property
    def lines(self) -> list[str]:
        """The problems, one a line."""
        data = self.error.get("data") or {}
        details = [f"{one['parameter']} {one['detail']}" for one in data.get("errors", ())]
        code = data.get("code", self.error.get("code"))
        lines = [f"{line} ({code})" for line in details or [self.error["message"]]]
        return [*lines, "--token-file names the file that has it"] if code == "unauthorized" else lines


class Connection(Protocol):
    """A connection as ``http.client`` has it."""

    def request(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Send a request."""

    def getresponse(self) -> http.client.HTTPResponse:
        """Wait for its answer."""

    def close(self) -> None:
        """Close it."""


class _SocketConnection(http.client.HTTPConnection):
    """A connection over a local socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Open it."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def connect(to: str, timeout: float = TIMEOUT) -> Connection:
    """A connection that is opened with its request.

    :param to: ``unix:PATH``, or a URL.
    :param timeout: seconds that one answer may take.
    :raise CallFailed: it is neither.
    """
    if to.startswith("unix:") and to != "unix:":
        return _SocketConnection(to[len("unix:") :], timeout)
    try:
        parts = urlsplit(to)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or parts.path.strip("/") or parts.query:
        raise CallFailed(f"{to} is neither unix:PATH nor a URL such as http://127.0.0.1:5001")
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port or 80, timeout=timeout)
    return http.client.HTTPSConnection(host, port or 443, timeout=timeout, context=ssl.create_default_context())


def call(connection: Connection, method: str, params: Mapping[str, Any], token: str | None) -> Any:
    """Call a method and return its result.

    :raise Fault: the daemon refused the call.
    :raise CallFailed: there is no answer.
    """
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    try:
        connection.request("POST", PATH, body, headers)
        answer = connection.getresponse()
        document = json.loads(answer.read())
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if getattr(error, "reason", None) == "WRONG_VERSION_NUMBER":
            reason = "it does not speak TLS; its address begins with http://"
        raise CallFailed(f"the daemon does not answer: {reason}") from None
    except ValueError:
        raise CallFailed("the server there is not an operators' port of Queuey") from None
    if not isinstance(document, dict) or not document.keys() & {"error", "result"}:
        raise CallFailed("the server there is not an operators' port of Queuey")
    if "error" in document:
        raise Fault(document["error"])
    return document["result"]
