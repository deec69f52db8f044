"""The settings of a session with a cluster; plain values, so that they can be read without the driver."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import attrs


@attrs.frozen
class Host:
    """The address of a node to ask first; the session learns the others from it.

    :ivar name: a name or an address.
    """

    name: str
    port: int


class Check(Enum):
    """The part of a node's certificate that is verified."""

    ADDRESS = "address"
    """Its signature, and that it names the address by which the node is known in the cluster."""
    AUTHORITY = "authority"
    """Its signature only: nodes are known by address, and many certificates name no addresses."""
    NOTHING = "nothing"
    """No login: the nodes are taken to accept connections without one."""


@attrs.frozen
class TLSSettings:
    """Settings of TLS with the nodes.

    :ivar authorities: a PEM file of the certificates that sign those of the nodes; ``None`` for those that the system
        trusts.
    :ivar certificate: a PEM file of our own certificate, and of those between it and its authority, if nodes ask for
        one.
    :ivar key: the PEM file of its key, without a password; ``None`` if the key is in the same file.
    """

    authorities: Path | None
    certificate: Path | None
    key: Path | None
    check: Check


@attrs.frozen
class SessionSettings:
    """Settings of a session. All times are in seconds.

    :ivar hosts: at least one.
    :ivar local_dc: the data centre whose nodes are asked; ``None`` for that of the first host that answers.
    :ivar username: with the password, for nodes that ask for them.
    :ivar protocol_version: of CQL's native protocol, 5 or 4. With 5 the driver (3.30.1) loses the first bytes of a
        segment whose header comes in two reads, and the connection with it.
    :ivar heartbeat: how often a connection that is silent is asked for a sign of life, and how long that may take.
    :ivar request_timeout: how long one request may take, attempts at several nodes included.
    :ivar definition_timeout: the same for definitions of schema, on which all nodes have to agree.
    :ivar connect_timeout: how long a connection may take to be ready.
    :ivar max_request: bytes that the values of one statement or one batch may be; a node takes half a segment of its
        commit log at once.
    """

    hosts: tuple[Host, ...]
    local_dc: str | None = None
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    tls: TLSSettings | None = None
    protocol_version: int = 4
    heartbeat: float = 2.0
    request_timeout: float = 3.0
    definition_timeout: float = 30.0
    connect_timeout: float = 3.0
    max_request: int = 4 * 1024 * 1024 - 65_536
