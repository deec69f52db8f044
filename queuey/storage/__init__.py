"""Where messages, queues and states are kept: one room a back end, each passing the same contract suites."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

from queuey.config import MemoryStorage, SQLiteStorage
from queuey.interfaces import IStore

_MULTICAST = 1 << 40
"""The bit that tells a random node from the address of a network card (RFC 9562, section 6.10)."""


def make_store(settings: MemoryStorage | SQLiteStorage, reactor: Any) -> IStore:
    """The back end that the settings ask for, not open yet; only its own room is imported.

    :param reactor: whose clock and threads it uses.
    """
    node, clock_sequence = secrets.randbits(48) | _MULTICAST, secrets.randbits(14)
    if isinstance(settings, MemoryStorage):
        from queuey.storage.memory import MemoryStore

        return MemoryStore(reactor, reactor.seconds, settings.max_bytes, node, clock_sequence, _new_version)
    raise NotImplementedError


def _new_version() -> str:
    return uuid.uuid4().hex
