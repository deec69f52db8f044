"""The TLS context for the nodes, if TLS is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from queuey.storage.cassandra.cluster.settings import TLSSettings
    from queuey.storage.cassandra.cluster.tls import Creators


def speakers(settings: TLSSettings | None) -> tuple[Creators | None, tuple[type[BaseException], ...]]:
    """Return what makes TLS connections to the nodes, and the error class that they end with; ``None`` if TLS is not
    asked for.

    :raise AccessRefused: the files cannot be used.
    """
    if settings is None:
        return None, ()
    # Not before it is asked for: pyOpenSSL need not be installed.
    from queuey.storage.cassandra.cluster import tls

    return tls.creators(settings), tls.ERRORS
