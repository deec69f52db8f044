"""The operators' port of a daemon whose settings do not name one: a socket in the folder of its data."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from queuey.config.declarations.declared import key_of
from queuey.config.declarations.server import OFF, OpsSettings, ServerSettings
from queuey.config.declarations.storage import SQLiteStorage, Storage
from queuey.config.kinds.endpoints import MAX_UNIX_PATH, unix
from queuey.config.mistakes import Report, shown_path

_OPS: Final = key_of(OpsSettings, "named")

NAME: Final = "queuey-ops.sock"
"""The name of the socket in the folder of the data."""


def with_socket(server: ServerSettings, storage: Storage, report: Report) -> ServerSettings:
    """Return the settings with the operators' socket of these data, if ``ops`` is ``auto``.

    Data that are not in a folder have none: a path that the settings do not name could not be found by ``queuey ops``.
    A path that is too long for a socket is a warning: a daemon that has served so far must not be refused for it.
    """
    if not server.ops.automatic or not isinstance(storage, SQLiteStorage):
        return server
    return attrs.evolve(server, ops=attrs.evolve(server.ops, socket=_socket(storage.path, report)))


def _socket(data: Path, report: Report) -> str | None:
    path = socket_of(data)
    length = len(str(path).encode("utf-8", "surrogateescape"))
    if length > MAX_UNIX_PATH:
        what = (
            f"there is no operators' port: the path of its socket, {shown_path(path)}, has {length} bytes, and "
            f"{MAX_UNIX_PATH} are allowed; name a shorter one, such as {_OPS.name} = unix:/run/queuey/ops.sock, or "
            f"write {_OPS.name} = {OFF}"
        )
        report.warn(_OPS.place, what)
        return None
    return f"{unix(str(path))}:mode=600"


def socket_of(data: Path) -> Path:
    """Return the path of the operators' socket in a folder of data."""
    return data / NAME
