"""Readers of patterns that select queues (``application/queue``) and consumer groups (``application/queue/group``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from queuey.config.mistakes import Mistake, each, shown
from queuey.model.queues.name_patterns import GroupPattern, QueuePattern, parse, parse_queue

P = TypeVar("P")


def group_patterns(text: str, base: Path) -> tuple[GroupPattern, ...]:
    """Return the patterns of groups, one a line."""
    return _patterns(text, parse, "application/queue/group")


def queue_patterns(text: str, base: Path) -> tuple[QueuePattern, ...]:
    """Return the patterns of queues, one a line."""
    return _patterns(text, parse_queue, "application/queue")


def _patterns(text: str, parse: Callable[[str], P | None], form: str) -> tuple[P, ...]:
    def pattern(line: str) -> P:
        found = parse(line)
        if found is None:
            raise Mistake(f"{shown(line)} is not {form}")
        return found

    return each([line.strip() for line in text.splitlines() if line.strip()], pattern)
