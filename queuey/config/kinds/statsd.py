"""Reader of the address of a statsd server: ``host:port``, or ``unix:`` and the path of a socket."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from queuey.config.kinds import clusters
from queuey.config.kinds.values import path
from queuey.config.mistakes import Mistake, shown

StatsdAddress = tuple[str, int] | Path
"""A name or an address, and a port; or the path of a local socket."""

_UNIX: Final = "unix:"
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")


def address(text: str, base: Path) -> StatsdAddress:
    """Read the address of a statsd server."""
    if text.startswith(_UNIX):
        if not text.removeprefix(_UNIX):
            raise Mistake(f"{shown(text)} has no path")
        return path(text.removeprefix(_UNIX), base)
    try:
        (node,) = clusters.nodes(text, base)
    except* (Mistake, ValueError):
        raise Mistake(f"{shown(text)} is neither host:port nor unix: and a path") from None
    name, port = node
    if port is None:
        raise Mistake(f"{shown(text)} has no port", f"{text}:8125")
    return name, port


def prefix(text: str, base: Path) -> str:
    """Read the prefix of metric names."""
    if _PREFIX.fullmatch(text) is None:
        raise Mistake(f"{shown(text)} is not a prefix")
    return text


def address_text(found: StatsdAddress | None) -> str:
    """An address as :func:`address` reads it."""
    if found is None:
        return ""
    return f"{_UNIX}{found}" if isinstance(found, Path) else clusters.nodes_text((found,))
