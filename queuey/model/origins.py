"""Origins of web pages, as browsers send them (the Fetch standard, Origin header)."""

from __future__ import annotations

import re
from typing import Final

ANY: Final = "*"
"""Stands for all origins."""

_ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


def problem(text: str) -> tuple[str, str] | None:
    """Return the problem with an origin, and the origin that may have been meant; ``None`` for a valid one."""
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
