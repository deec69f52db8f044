"""Calls of the operators' port from the shell, and their answers as tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from queuey.config import OpsSettings
from queuey.config.kinds.endpoints import arguments
from queuey.logs import printable
from queuey_client.cli.ops_port import CallFailed, Fault, call, connect

__all__ = ["CallFailed", "Fault", "call", "connect", "parameters", "place", "shown"]

NOTHING: Final = "-"
"""Shown in a table for a value that does not exist."""

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
