"""The methods ``store.check`` and ``store.backup``: check a store of files, and copy it while it is in use."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred

from queuey.errors import AlreadyThere, Conflict, Forbidden, NotPromised
from queuey.interfaces import IStore
from queuey.ops.faults import invalid_params
from queuey.ops.parameters import TEXT, Kind, Parameter
from queuey.ops.rpc import CallContext, Methods, method

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_ALLOWED: Final = "1 to 100 letters, digits, dots, underscores and hyphens, without a dot at the beginning"


class Backup(Protocol):
    """A backup."""

    @property
    def path(self) -> Path:
        """Its folder."""

    @property
    def bytes(self) -> int:
        """Its size in bytes."""

    @property
    def messages(self) -> int:
        """Its number of messages."""

    @property
    def queues(self) -> int:
        """Its number of queues."""


class Maintenance(Protocol):
    """Checks and copies a store that is a folder."""

    def check(self) -> Deferred[str]:
        """Check the whole database; fires with ``ok``, or a description of the damage. Fails with ``Unavailable``."""

    def back_up(self, target: Path) -> Deferred[Any]:
        """Copy it into a new folder; fires with a :class:`Backup`. Fails with ``AlreadyThere``, ``Unavailable`` or
        ``StorageFull``."""


class Store(Methods):
    """``store.*``; one of them runs at a time.

    :param care: the maintenance of the store; ``None`` if the store is not a folder.
    :param backups: the folder in which backups are made, as it is now; ``None``: none are made.
    :param now: the wall clock, in seconds since 1970.
    """

    def __init__(
        self, store: IStore, care: Maintenance | None, backups: Callable[[], Path | None], now: Callable[[], float]
    ) -> None:
        super().__init__()
        self._store = store
        self._care = care
        self._backups = backups
        self._now = now
        self._busy = False

    @method("object")
    async def jsonrpc_check(self, call: CallContext) -> dict[str, Any]:
        """Check whether the store answers and, if it is a database of its own, whether all of it can be read and is
        consistent. That takes as long as reading all of it; requests are served meanwhile."""
        await self._store.ping()
        if self._care is None:
            return {"answers": True, "integrity": None}
        return {"answers": True, "integrity": await self._alone(self._care.check)}

    @method("object", Parameter("name", Kind("string", _ALLOWED, TEXT.read)), changes=True)
    async def jsonrpc_backup(self, call: CallContext, name: str | None = None) -> dict[str, Any]:
        """Copy the store as it is now into a new folder in `ops_backups`, with the given name or that of the time."""
        if self._care is None:
            raise NotPromised("This store is not a folder, so the daemon cannot copy it.")
        folder = self._backups()
        if folder is None:
            raise Forbidden("[server] ops_backups names no folder for backups.")
        target = folder / (time.strftime("queuey-%Y%m%dT%H%M%SZ", time.gmtime(self._now())) if name is None else name)
        if _NAME.fullmatch(target.name) is None or target.parent != folder:
            raise invalid_params({"name": f"is no name of a folder; allowed: {_ALLOWED}"})
        care = self._care
        try:
            made: Backup = await self._alone(lambda: care.back_up(target))
        except AlreadyThere as error:
            if name is not None:
                raise
            # Of this very second; the next one has another name.
            raise Conflict(error.text) from None
        found = {"path": str(made.path), "bytes": made.bytes, "messages": made.messages, "queues": made.queues}
        call.note(None, found)
        return found

    async def _alone(self, work: Callable[[], Deferred[Any]]) -> Any:
        if self._busy:
            raise Conflict("The store is being checked or copied already.")
        self._busy = True
        try:
            return await work()
        finally:
            self._busy = False
