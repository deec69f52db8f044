"""Calls of the operators' port from the shell, and their answers as tables."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from queuey.config import OpsSettings
from queuey.config.endpoints import arguments
from queuey.logs import printable

TIMEOUT: Final = 3600.0
"""Seconds that one answer may take: a check reads all of a store."""

PATH: Final = "/rpc"
NOTHING: Final = "-"
"""Stands for what is not there in a table."""

_DONE: Final = "done"
"""Printed for a method that returns true once it has done its work."""

_STATES: Final = {
    ("drain", True): "drained",
    ("undrain", False): "no longer drained",
    ("undrain", True): "still drained: the daemon is about to stop",
}
"""Printed for a method that returns whether the daemon is drained."""

_NO_PORT: Final = (
    "there is no operators' port that can be called from here; write one into [server], such as "
    "ops = unix:/run/queuey/ops.sock, and restart the daemon, or say --to ADDRESS"
)


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

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        """Open it."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


def connect(to: str) -> Connection:
    """A connection that is opened with its request.

    :param to: ``unix:PATH``, or a URL.
    :raise CallFailed: it is neither.
    """
    if to.startswith("unix:") and to != "unix:":
        return _SocketConnection(to.removeprefix("unix:"))
    try:
        parts = urlsplit(to)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or parts.path.strip("/") or parts.query:
        raise CallFailed(f"{to} is neither unix:PATH nor a URL such as http://127.0.0.1:5001")
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port or 80, timeout=TIMEOUT)
    return http.client.HTTPSConnection(host, port or 443, timeout=TIMEOUT, context=ssl.create_default_context())


def place(ops: OpsSettings, file: str) -> str:
    """Return the address of the operators' port in the settings, as :func:`connect` takes it.

    :param file: of the settings, for the error message.
    :raise CallFailed: the settings have no operators' port.
    """
    for description in ops.listen:
        kind, named = arguments(description)
        if kind == "unix":
            return f"unix:{named['address']}"
        if kind in ("tcp", "tcp6"):
            host = named.get("interface") or ("::1" if kind == "tcp6" else "127.0.0.1")
            return f"http://[{host}]:{named['port']}" if ":" in host else f"http://{host}:{named['port']}"
        if kind == "ssl" and ops.hosts:
            return f"https://{ops.hosts[0]}:{named['port']}"
    raise CallFailed(f"{file}: {_NO_PORT}")


def parameters(words: Sequence[str]) -> dict[str, Any]:
    """Read the parameters of a call from ``key=value``; a value that is JSON is taken as JSON, any other as text.

    :raise CallFailed: a word has no ``=``.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise CallFailed(f"{printable(word)} is not KEY=VALUE, such as application=shop")
        if name in found:
            raise CallFailed(f"{printable(name)} is given twice")
        found[name] = _value(text)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text


def _no_constant(text: str) -> Any:
    raise ValueError(text)


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


def shown(result: Any, method: str = "") -> list[str]:
    """Return a result as lines for people: tables if there are rows.

    :param method: whose result it is; a bare true or false is printed in words that belong to the method.
    """
    if isinstance(result, dict):
        return _object(result)
    if isinstance(result, list):
        if not result:
            return ["none"]
        return _rows(result) if _is_table(result) else [_cell(one) for one in result]
    if isinstance(result, bool):
        return [_STATES.get((method, result)) or (_DONE if result else _cell(result))]
    return str(result).split("\n") if isinstance(result, str) else [_cell(result)]


def _object(found: Mapping[str, Any]) -> list[str]:
    flat = _flat(found)
    pairs = [(name, value) for name, value in flat if not _is_table(value)]
    tables = [(name, value) for name, value in flat if _is_table(value)]
    if len(tables) == 1 and all(value is None for _, value in pairs):
        return _rows(tables[0][1])
    empty = [name for name, value in pairs if value == []]
    if len(empty) == 1 and not tables and all(value is None for name, value in pairs if name != empty[0]):
        return [f"no {empty[0]}"]
    width = max([len(name) for name, _ in pairs], default=0)
    lines = [f"{name:{width}}  {_cell(value)}" for name, value in pairs]
    for name, value in tables:
        lines += ["", f"{name}:", *_rows(value)]
    return lines


def _flat(found: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in found.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{name}.")
        else:
            pairs.append((f"{prefix}{name}", value))
    return pairs


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _rows(found: Sequence[Mapping[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(name for one in found for name in one))
    rows = [names, *([_cell(one.get(name)) for name in names] for one in found)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(names))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cell(value: Any) -> str:
    if value is None or value == []:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return printable(" ".join(value))
    return printable(json.dumps(value, ensure_ascii=False))
