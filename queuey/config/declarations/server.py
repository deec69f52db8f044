"""The settings of the HTTP server and of the operators' port: the section ``[server]``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from queuey.config.declarations.dashboard import DashboardSettings
from queuey.config.declarations.declared import RESTART, setting
from queuey.config.kinds import values
from queuey.config.kinds.endpoints import ALLOWED, endpoints, operators
from queuey.config.kinds.kinds import (
    BOOLEAN,
    FOLDER,
    Kind,
    integer,
    lines,
    lines_text,
    number,
    optional,
    parts,
    seconds,
    size,
)
from queuey.file_modes import FileModes
from queuey.model import fields

_SECTION: Final = "server"

AUTO: Final = "auto"
"""The operators' port is a socket in the folder of the data, if the data are in a folder."""

OFF: Final = "off"
"""There is no operators' port."""


def _operators(text: str, base: Path) -> tuple[str, ...]:
    """Read the endpoints for operators, or one of the words; the socket is known once the storage is."""
    if text == AUTO:
        return (AUTO,)
    return () if text == OFF else operators(text, base)


@attrs.frozen
class OpsSettings:
    """The operators' port.

    :ivar named: what the settings say: endpoint descriptions as Twisted reads them, ``auto`` alone, or no endpoint.
    :ivar token: the SHA-256 digest of the token that operators send, or ``None``.
    :ivar hosts: names of this machine that requests may have as their Host, besides those of loopback.
    :ivar backups: the folder in which backups are made, or ``None``: none are.
    :ivar peek: whether operators may read messages.
    :ivar socket: the endpoint that ``auto`` means: the socket in the folder of the data, or ``None``.
    """

    named: tuple[str, ...] = setting(
        _SECTION,
        "ops",
        Kind(f"{AUTO}, {OFF}, or {ALLOWED}", _operators, lambda found: lines_text(found) or OFF),
        AUTO,
        RESTART,
    )
    token: bytes | None = setting(
        _SECTION,
        "ops_token",
        optional(
            Kind(
                "16 or more characters, plain or as sha256: and 64 hex digits",
                values.token,
                lambda digest: f"sha256:{digest.hex()}",
            )
        ),
        secret=True,
    )
    hosts: tuple[str, ...] = setting(
        _SECTION, "ops_hosts", parts("names and addresses, separated by spaces, commas or lines", values.hosts)
    )
    backups: Path | None = setting(_SECTION, "ops_backups", optional(FOLDER))
    peek: bool = setting(_SECTION, "ops_peek", BOOLEAN, "false")
    socket: str | None = None

    @property
    def automatic(self) -> bool:
        """Whether the settings leave the place of the port to the daemon."""
        return self.named == (AUTO,)

    @property
    def listen(self) -> tuple[str, ...]:
        """The endpoints of the port."""
        if self.automatic:
            return () if self.socket is None else (self.socket,)
        return self.named


@attrs.frozen
class ServerSettings:
    """The HTTP server.

    :ivar http: endpoint descriptions as Twisted reads them.
    :ivar max_body: maximum size in bytes of the body of a request.
    :ivar max_header: maximum size in bytes of the line and headers of a request.
    :ivar header_timeout: seconds in which the line and the headers of a request must arrive.
    :ivar request_timeout: seconds in which a whole request must arrive.
    :ivar idle_timeout: seconds that a connection may be idle between requests.
    :ivar max_connections: maximum number of connections.
    :ivar stop_timeout: seconds that requests under way have when the daemon stops.
    :ivar drain_pause: seconds that the daemon still accepts connections before that, while it says that it is not
        ready.
    :ivar disk_floor: bytes that must be free where the data is; below it the daemon is not ready.
    :ivar forwarded: proxies whose ``X-Forwarded-For`` is believed.
    :ivar live_time: seconds that a live read lasts, 10 % more or less; its client comes back then.
    :ivar live_heartbeat: seconds between two signs of life of a live read that has no messages.
    :ivar ops: the operators' port.
    :ivar dashboard: the dashboard.
    :ivar workers: processes that serve requests; 1 means that the daemon itself does.
    :ivar modes: of the files that the daemon makes.
    """

    http: tuple[str, ...] = setting(
        _SECTION, "http", lines(ALLOWED, endpoints), "tcp:5000:interface=127.0.0.1", RESTART
    )
    max_body: int = setting(_SECTION, "max_body", number(fields.MAX_BODY), "1MiB")
    max_header: int = setting(_SECTION, "max_header", size(1 << 10, 1 << 20), "64KiB")
    header_timeout: float = setting(_SECTION, "header_timeout", seconds(0.1, 3600), "10")
    request_timeout: float = setting(_SECTION, "request_timeout", seconds(0.1, 86_400), "60")
    idle_timeout: float = setting(_SECTION, "idle_timeout", seconds(0.1, 86_400), "75")
    max_connections: int = setting(_SECTION, "max_connections", integer(1, 1_000_000), "10000")
    stop_timeout: float = setting(_SECTION, "stop_timeout", seconds(0, 3600), "30")
    drain_pause: float = setting(_SECTION, "drain_pause", seconds(0, 3600), "0")
    disk_floor: int = setting(_SECTION, "disk_floor", size(1, 1 << 50), "64MiB")
    forwarded: tuple[values.Network, ...] = setting(
        _SECTION,
        "forwarded",
        parts("addresses and networks, separated by spaces, commas or lines", values.networks),
    )
    live_time: float = setting(_SECTION, "live_time", seconds(1, 86_400), "600")
    live_heartbeat: float = setting(_SECTION, "live_heartbeat", seconds(0.5, 3600), "15")
    ops: OpsSettings = OpsSettings()
    dashboard: DashboardSettings = DashboardSettings()
    workers: int = setting(_SECTION, "workers", integer(1, 64), "1", RESTART)
    modes: FileModes = setting(
        _SECTION,
        "file_group",
        Kind("a group of this machine", values.file_group, lambda modes: modes.name),
        "",
        RESTART,
    )
