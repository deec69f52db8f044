"""Rows by the statement: as many as one can take, in few sizes, so that each is prepared once.

Each statement gives the interpreter's lock away and must win it back from a busy reactor, so one for many rows is ten
times quicker there than one for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

INT64: Final = range(-(1 << 63), 1 << 63)
"""The integers that the database can store."""

SIZES: Final = (512, 128, 64, 48, 32, 24, *range(16, 0, -1))
"""Rows that there is a statement for.

Up to forty rows take two statements at the most. One of more than 512 would be longer than those that connections keep
prepared."""


def parts(rows: int) -> Iterator[tuple[int, int]]:
    """Split rows into parts of these sizes: yield the size of each part, and the row at which it begins."""
    start = 0
    for size in SIZES:
        while rows - start >= size:
            yield size, start
            start += size
        if start == rows:
            return
