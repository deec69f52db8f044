"""Batches as texts: Thrift has no batches of prepared statements, so a whole batch is one statement.

To prepare a text costs a node as much as to execute it ten times, and it caches 10 MiB of them. So a batch of moderate
size is filled up to one of few sizes whose text is prepared, by repeating one of its own writes. That is harmless,
since the writes of a batch may be repeated. A larger batch is sent with its values in the text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from queuey.storage.cassandra.cluster.port import Bound, Statement, StatementRefused

SIZES: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Numbers of writes of the same statement in a prepared batch."""

MAX_PREPARED: Final = SIZES[-1]
"""Writes in a batch that is prepared."""

MAX_FILLING: Final = 65_536
"""Bytes of repeated values, at most; above it, a text of the exact size is prepared."""


def grouped(bound: Sequence[Bound], sizes: Sequence[int]) -> tuple[tuple[Bound, ...], int]:
    """A batch with the writes of each statement side by side, filled up to few sizes.

    The order within a batch is of no account.

    :param sizes: bytes of the values of each.
    :return: and bytes that it has more than before.
    """
    groups: dict[Statement, list[tuple[int, Bound]]] = {}
    for one, size in zip(bound, sizes, strict=True):
        groups.setdefault(one.statement, []).append((size, one))
    found: list[Bound] = []
    filling = 0
    for statement in sorted(groups, key=lambda each: each.text):
        group = groups[statement]
        size, smallest = min(group, key=lambda each: each[0])
        missing = SIZES[bisect_left(SIZES, len(group))] - len(group)
        filling += missing * size
        found += [one for _, one in group] + [smallest] * missing
    return tuple(found), filling


def text_of(statements: Sequence[str], logged: bool) -> str:
    """A batch as one statement."""
    return f"BEGIN {'' if logged else 'UNLOGGED '}BATCH {'; '.join(statements)}; APPLY BATCH"


def written_out(bound: Bound) -> str:
    """Return a statement with its values in their places.

    :raise StatementRefused: there are not as many values as places, or one cannot be written.
    """
    parts = bound.statement.text.split("?")
    if len(parts) != len(bound.values) + 1:
        raise StatementRefused(f"{len(bound.values)} values for {bound.statement.text}")
    values = [literal(value) for value in bound.values]
    return parts[0] + "".join(value + part for value, part in zip(values, parts[1:], strict=True))


def literal(value: Any) -> str:
    """Return a value in CQL.

    :raise StatementRefused: it is ``None``, or of a type that is not bound here.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | UUID):
        return str(value)
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(key)}: {literal(each)}" for key, each in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(literal, value)) + ")"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    raise StatementRefused(f"a value of type {type(value).__name__} cannot be bound")


def rough_size(value: Any) -> int:
    """Estimate the bytes of a value while its type is not known from a node."""
    if isinstance(value, bytes | str):
        return len(value) if isinstance(value, bytes) else len(value.encode())
    if isinstance(value, Mapping):
        return sum(8 + rough_size(key) + rough_size(each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return sum(4 + rough_size(each) for each in value)
    return 16 if isinstance(value, UUID) else 8
