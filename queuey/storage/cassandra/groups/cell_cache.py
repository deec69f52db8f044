"""The states of groups that are cached, and which of them are dropped if there are too many."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final
from weakref import WeakValueDictionary

from queuey.storage.cassandra.groups.cells import Cell, Shop
from queuey.storage.cassandra.groups.loading import Source

MAX_CACHED: Final = 1024
"""States that are cached."""

MAX_CACHED_OPEN: Final = 2_000_000
"""Messages in flight that are cached, of all states together."""


class Cells:
    """The cells, by the keys of their states; those that were not used for the longest time are dropped.

    One that is dropped while it is in use can still be found. So there is never more than one cell of a state, and each
    change that this process makes is known to the one that is cached.
    """

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._kept: OrderedDict[str, Cell] = OrderedDict()
        self._used: WeakValueDictionary[str, Cell] = WeakValueDictionary()

    def at(self, source: Source) -> Cell:
        """The cell of a state."""
        cell = self._kept.get(source.key)
        if cell is not None:
            self._kept.move_to_end(source.key)
            return cell
        cell = self._used.get(source.key)
        if cell is None:
            self._used[source.key] = cell = Cell(self._shop, source)
        self._tidy()
        self._kept[source.key] = cell
        return cell

    def forget(self, key: str) -> None:
        """Read a state before it is used again."""
        cell = self._used.get(key)
        if cell is not None:
            cell.forget()

    def _tidy(self) -> None:
        size = sum([cell.size for cell in self._kept.values()])
        while self._kept and (len(self._kept) >= MAX_CACHED or size > MAX_CACHED_OPEN):
            _, cell = self._kept.popitem(last=False)
            size -= cell.size
