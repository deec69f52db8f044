"""Which proxy the environment names for a server: ``HTTP_PROXY``, ``HTTPS_PROXY``, ``NO_PROXY``."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


class Proxies:
    """The proxies of the environment, looked up once for each server."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str | None] = {}

    def proxy_of(self, url: str) -> str | None:
        """Return the URL of the proxy for a URL, if there is one."""
        parts = urlsplit(url)
        server = (parts.scheme, parts.netloc)
        if server not in self._known:
            bypass = proxy_bypass(parts.hostname or "")
            self._known[server] = None if bypass else getproxies().get(parts.scheme)
        return self._known[server]
