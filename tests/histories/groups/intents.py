"""What clients of histories want to do next."""

from __future__ import annotations

from typing import Final

import attrs

from tests.histories.groups.history import Asked


@attrs.frozen
class ToClaim:
    """:ivar lease: ``None`` is the group's; ``max_bytes`` and ``partitions``: ``None`` is not to say.
    :ivar groups: of a claim of several; ``fair``: in any order, and not in this one.
    :ivar settle: what a claim of several settles first, by group.
    """

    limit: int
    lease: int | None = None
    wait: int = 0
    max_bytes: int | None = None
    partitions: tuple[int, ...] | None = None
    key: str | None = None
    groups: tuple[str, ...] = ()
    fair: bool = False
    settle: tuple[tuple[str, tuple[Asked, ...]], ...] = ()


@attrs.frozen
class ToSettle:
    """:ivar asked: without outcomes."""

    asked: tuple[Asked, ...]


@attrs.frozen
class ToSeek:
    """:ivar ago: seconds before now, where it is no word."""

    to: str | None
    ago: int = 0


@attrs.frozen
class ToRedrive:
    """:ivar ago: only what became a dead letter in so many seconds; ``None``: all."""

    ago: int | None = None
    after: str | None = None


@attrs.frozen
class Rest:
    """To wait so many seconds."""

    seconds: float


@attrs.frozen
class ToPost:
    """:ivar bodies: of messages that are stored together, under one key.
    :ivar queue: ``None`` if there is only one.
    """

    key: str
    bodies: tuple[str, ...]
    queue: str | None = None


Intent = ToClaim | ToSettle | ToSeek | ToRedrive | ToPost


NOTHING: Final = Rest(0.0)
