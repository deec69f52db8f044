"""Readers of the values in ``[storage]`` that only a cluster has."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Final

from queuey.config.kinds.values import items
from queuey.config.mistakes import Mistake, each, shown

MAX_REPLICAS: Final = 100

NodeAddress = tuple[str, int | None]
"""A name or an address, and a port if one is given."""

Replication = int | tuple[tuple[str, int], ...]
"""Copies of each row: in each data centre, or by data centre."""

_NODE: Final = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]+))(?::([0-9]{1,5}))?")
_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_KEYSPACE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,47}")
_CENTRE: Final = re.compile(r"[A-Za-z0-9_.-]{1,48}")
_NUMBER: Final = re.compile(r"[0-9]{1,3}")


def nodes(text: str, base: Path) -> tuple[NodeAddress, ...]:
    """Nodes, separated by commas, spaces or lines."""
    found = each(items(text), _node)
    if not found:
        raise Mistake(f"{shown(text)} names no node")
    return found


def _node(text: str) -> NodeAddress:
    match = _NODE.fullmatch(text)
    if match is None:
        near = f"[{text}]" if _is_ipv6(text) else ""
        raise Mistake(f"{shown(text)} is neither host nor host:port", near)
    inner, name, port = match.groups()
    if (inner is not None and not _is_ipv6(inner)) or (name is not None and _HOST.fullmatch(name) is None):
        raise Mistake(f"{shown(text)} has no name or address of a host")
    if port is not None and not 0 < int(port) < 65536:
        raise Mistake(f"{shown(text)} has an invalid port")
    return inner or name, None if port is None else int(port)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def nodes_text(found: tuple[NodeAddress, ...]) -> str:
    """Nodes as :func:`nodes` reads them."""
    hosts = [(f"[{name}]" if ":" in name else name, port) for name, port in found]
    return ", ".join(name if port is None else f"{name}:{port}" for name, port in hosts)


def keyspace(text: str, base: Path) -> str:
    """The name of a keyspace, which Cassandra has in lower case."""
    if _KEYSPACE.fullmatch(text) is None:
        raise Mistake(f"{shown(text)} is not a name of a keyspace")
    return text.lower()


def centre(text: str, base: Path) -> str | None:
    """The name of a data centre, or none."""
    if not text:
        return None
    if _CENTRE.fullmatch(text) is None:
        raise Mistake(f"{shown(text)} is not a name of a data centre")
    return text


def replication(text: str, base: Path) -> Replication:
    """A number, or one for each data centre."""
    if _NUMBER.fullmatch(text):
        return _copies(text, text)
    pairs = each(items(text), _pair)
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise Mistake(f"{shown(name)} stands twice")
    return pairs


def _pair(text: str) -> tuple[str, int]:
    name, colon, number = text.partition(":")
    if not colon or _CENTRE.fullmatch(name) is None:
        raise Mistake(f"{shown(text)} is neither a number nor a data centre and its number")
    return name, _copies(number, text)


def _copies(number: str, text: str) -> int:
    if _NUMBER.fullmatch(number) is None or not 1 <= int(number) <= MAX_REPLICAS:
        raise Mistake(f"{shown(text)} names no number of copies")
    return int(number)


def replication_text(found: Replication) -> str:
    """Replication as :func:`replication` reads it."""
    return str(found) if isinstance(found, int) else ", ".join(f"{name}:{number}" for name, number in found)
