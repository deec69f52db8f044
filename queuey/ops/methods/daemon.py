"""The daemon itself: ``status``, ``drain``, ``undrain`` and ``log.level``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from queuey.errors import QueueyError
from queuey.interfaces import IStore
from queuey.logs import LEVELS
from queuey.ops.draining import Draining
from queuey.ops.parameters import Parameter, word
from queuey.ops.rpc import CallContext, Methods, method


class Log(Protocol):
    """The log.

    :ivar level: the lowest level that is written.
    """

    level: str

    def set_level(self, level: str) -> None:
        """Write what is at that level or above."""


class Daemon(Methods):
    """The methods whose names have no dot.

    :param facts: further facts about the daemon, as they are now.
    """

    def __init__(self, store: IStore, draining: Draining, facts: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__()
        self._store = store
        self._draining = draining
        self._facts = facts

    @method("object")
    async def jsonrpc_status(self, call: CallContext) -> dict[str, Any]:
        """Return the state of the daemon: what it serves, for how long, how much is under way, and whether its store
        answers."""
        try:
            await self._store.ping()
            store = "answers"
        except QueueyError as error:
            store = error.text
        capabilities = self._store.capabilities
        return {
            **self._facts(),
            "draining": self._draining.on,
            "store": store,
            "durability": capabilities.durable,
            "not_once": capabilities.not_once or None,
        }

    @method("boolean", changes=True)
    async def jsonrpc_drain(self, call: CallContext) -> bool:
        """Make the heartbeat and /ready answer 503, so that load balancers leave this front end out; it continues to
        serve."""
        return self._set(call, True)

    @method("boolean", changes=True)
    async def jsonrpc_undrain(self, call: CallContext) -> bool:
        """Undo `drain`: the heartbeat and /ready report the real state again. A daemon that is about to stop stays
        drained."""
        return self._set(call, False)

    def _set(self, call: CallContext, on: bool) -> bool:
        before = self._draining.on
        self._draining.ask(on)
        call.note(before, self._draining.on)
        return self._draining.on


class Logging(Methods):
    """``log.*``."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    @method("string", Parameter("level", word(*LEVELS)), changes=True)
    async def jsonrpc_level(self, call: CallContext, level: str | None = None) -> str:
        """Return the log level, or set it with `level` until the settings are read again."""
        before = self._log.level
        if level is None:
            call.silent = True
            return before
        self._log.set_level(level)
        call.note(before, level)
        return level
