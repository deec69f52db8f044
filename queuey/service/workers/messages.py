"""Messages between a daemon and its workers, besides calls of the store."""

from __future__ import annotations

import pickle
from enum import IntEnum
from pathlib import Path
from typing import Any, TypeVar

import attrs
import msgspec

from queuey.config import Settings
from queuey.interfaces import Capabilities
from queuey.storage.shared.calls import CONTROL

LINK: int = 3
"""The descriptor of the socket to the daemon, in a worker; those that it accepts on come after it."""

T = TypeVar("T")


class WorkerCommand(IntEnum):
    """The kinds of messages to a worker."""

    SET_UP = CONTROL
    USE = CONTROL + 1
    STAND = CONTROL + 2
    REOPEN = CONTROL + 3
    COUNT = CONTROL + 4
    STOP = CONTROL + 5


class WorkerReport(IntEnum):
    """The kinds of messages from a worker."""

    UP = CONTROL
    COUNTS = CONTROL + 1
    USED = CONTROL + 2
    ACTIVITY = CONTROL + 3


@attrs.frozen
class SetUp:
    """What a worker needs to start.

    :ivar families: of the sockets that it accepts on, in the order of the endpoints of the settings.
    :ivar log: the file of the log; ``None`` is standard error.
    :ivar capabilities: of the store, if the daemon has opened it.
    """

    settings: Settings
    families: tuple[int, ...]
    log: Path | None
    capabilities: Capabilities | None


@attrs.frozen
class DaemonState:
    """The state of the daemon.

    :ivar drained: whether load balancers should leave it out.
    :ivar leaving: whether clients should reconnect to another front end.
    :ivar level: of the log.
    """

    drained: bool = False
    leaving: bool = False
    level: str = "info"


def packed(value: Any) -> bytes:
    """A value of this program for the other end, which is the same program, started by this one."""
    return pickle.dumps(value)


def unpacked(body: msgspec.Raw, kind: type[T]) -> T:
    """The value that was packed.

    :param kind: what it is.
    """
    value = pickle.loads(_bytes(body))
    if not isinstance(value, kind):
        raise TypeError(f"a {type(value).__name__} in place of a {kind.__name__}")
    return value


_bytes = msgspec.msgpack.Decoder(bytes).decode
