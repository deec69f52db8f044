"""The states of groups that are cached, and which of them are dropped if there are too many."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from queuey.storage.cassandra.groups.cells import Cell, Shop
from queuey.storage.cassandra.groups.loading import Source

MAX_CACHED: Final = 1024
"""States that are cached."""

MAX_CACHED_OPEN: Final = 2_000_000
"""Messages in flight that are cached, of all states together."""


class Cells:
    """The cells, by the keys of their states; those that were not used for the longest time are let go."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._cells: OrderedDict[str, Cell] = OrderedDict()

    def at(self, source: Source) -> Cell:
        """The cell of a state."""
        cell = self._cells.get(source.key)
        if cell is None:
            self._tidy()
            self._cells[source.key] = cell = Cell(self._shop, source)
        else:
            self._cells.move_to_end(source.key)
        return cell

    def forget(self, key: str) -> None:
        """Read a state before it is used again."""
        cell = self._cells.get(key)
        if cell is not None:
            cell.forget()

    def _tidy(self) -> None:
        size = sum([cell.size for cell in self._cells.values()])
        while self._cells and (len(self._cells) >= MAX_CACHED or size > MAX_CACHED_OPEN):
            _, cell = self._cells.popitem(last=False)
            size -= cell.size
            cell.let_go()
