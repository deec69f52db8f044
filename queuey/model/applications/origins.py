"""Origins of web pages, as browsers send them (the Fetch standard, Origin header)."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

ANY: Final = "*"
"""The entry that allows all origins."""

ANY_PORT: Final = ":*"
"""At the end of an origin of this machine: every port. ``http://localhost:*`` is what a page under development has."""

_ANY_PORT_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")
_ANY_PORT_ORIGINS: Final = frozenset(f"{scheme}://{host}" for scheme in ("http", "https") for host in _ANY_PORT_HOSTS)
_PORT: Final = re.compile(r":[0-9]{1,5}")

_ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


def problem(text: str) -> tuple[str, str] | None:
    """Return the problem with an origin, and the origin that may have been meant; ``None`` for a valid one."""
    if text.endswith(ANY_PORT):
        if text.removesuffix(ANY_PORT) in _ANY_PORT_ORIGINS:
            return None
        return f"has * as its port, which only http and https on {', '.join(_ANY_PORT_HOSTS)} may have", ""
    match = _ORIGIN.fullmatch(text)
    if match is None:
        bare = text.lower().rstrip("/")
        return "is not an origin", bare if _ORIGIN.fullmatch(bare) else ""
    scheme, host, port = match.groups()
    if port is not None and _DEFAULT_PORTS.get(scheme) == port:
        return "names the port that browsers leave out", f"{scheme}://{host}"
    if port is not None and not 0 < int(port) < 65536:
        return "has an invalid port", ""
    return None


def allowed(origin: str, configured: Collection[str]) -> bool:
    """Return whether pages of an origin may call.

    :param origin: as a browser sends it.
    :param configured: origins without a :func:`problem`, or :data:`ANY`.
    """
    if ANY in configured or origin in configured:
        return True
    machine = _without_port(origin)
    return machine in _ANY_PORT_ORIGINS and f"{machine}{ANY_PORT}" in configured


def _without_port(origin: str) -> str:
    """Return the scheme and the host of an origin, without its port."""
    at = origin.rfind(":")
    return origin[:at] if at >= 0 and _PORT.fullmatch(origin, at) else origin
