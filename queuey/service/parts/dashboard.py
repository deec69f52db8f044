"""The dashboard, put together: its listener, its tokens and the addresses of its page."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from math import inf
from typing import Any, Final

import attrs
from twisted.logger import Logger

from queuey.config.declarations.dashboard import DashboardSettings
from queuey.config.kinds.endpoints import arguments
from queuey.http.wire import Limits, Site
from queuey.logs import EventLog
from queuey.model.applications.rights import ALL_RIGHTS
from queuey.ops.dashboard.access import DashboardAccess, add_security, render_refusal
from queuey.ops.dashboard.attempts import Attempts
from queuey.ops.dashboard.files import load_files
from queuey.ops.dashboard.live import LiveNumbers
from queuey.ops.dashboard.tokens import Tokens
from queuey.ops.rpc import RPC
from queuey.service.parts.components import Components
from queuey.service.process.listening import Listeners

LIMITS: Final = Limits(
    max_body=1 << 20,
    max_header=64 << 10,
    header_timeout=10,
    request_timeout=60,
    idle_timeout=75,
    max_connections=100,
)
"""Of the dashboard: no setting changes them."""

_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
"""Addresses of all interfaces, and the one that this machine reaches them by."""


_log = EventLog(Logger(namespace="queuey.service"))


@attrs.frozen
class DashboardServer:
    """The listener of the dashboard.

    :ivar site: its HTTP server.
    :ivar listeners: its listeners, if there are any.
    """

    site: Site
    tokens: Tokens
    listeners: Listeners

    def listen(self, reactor: Any, settings: DashboardSettings) -> None:
        """Listen where the settings say.

        :raise Unavailable: that cannot be done.
        """
        self.listeners.listen(reactor, settings.listen, self.site)

    def announce(self) -> None:
        """Log the address of the dashboard, if it is served."""
        if addresses := self.listeners.addresses():
            _log.info("dashboard", "the dashboard is served on {addresses}", addresses=", ".join(addresses))

    def sign_in(self, settings: DashboardSettings) -> str | None:
        """Return a URL with a token that is valid until the daemon ends, or ``None`` if there is no dashboard."""
        urls = page_urls(settings, self.listeners.addresses())
        return f"{urls[0]}#token={self.tokens.make('start', ALL_RIGHTS, inf)}" if urls else None


def page_urls(settings: DashboardSettings, addresses: Sequence[str]) -> list[str]:
    """Return the URLs of the page.

    :param addresses: that it listens on, in the order of its endpoints.
    """
    found = []
    for description, address in zip(settings.listen, addresses, strict=False):
        if address.startswith("unix socket "):
            # A proxy in front of it has the name and does TLS; browsers need both.
            found += [f"https://{host}/" for host in settings.hosts[:1]]
            continue
        host, _, port = address.rpartition(":")
        if host in _EVERYWHERE:
            host = settings.hosts[0] if settings.hosts else _EVERYWHERE[host]
        scheme = "https" if arguments(description)[0] == "ssl" else "http"
        found.append(f"{scheme}://{host}:{port}/")
    return found


def dashboard_site(parts: Components, rpc: RPC, tokens: Tokens) -> Site:
    """The HTTP server of the dashboard."""
    in_force, reactor = parts.in_force, parts.reactor
    return Site(
        resource=DashboardAccess(
            files=load_files(),
            rpc=rpc,
            live=LiveNumbers(rpc, tokens, reactor, parts.now),
            tokens=tokens,
            attempts=Attempts(reactor.seconds),
            hosts=lambda: in_force.settings.server.dashboard.hosts,
            peek=lambda: in_force.settings.server.dashboard.peek,
        ),
        limits=LIMITS,
        reactor=reactor,
        now=parts.now,
        new_id=lambda: uuid.uuid4().hex,
        forwarded=in_force.settings.server.forwarded,
        access=parts.access,
        render=render_refusal,
        before_head=add_security,
        turn=parts.turn,
    )
