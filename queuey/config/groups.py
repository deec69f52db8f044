"""Reader of patterns of consumer groups: ``application/queue/group``, one a line."""

from __future__ import annotations

from pathlib import Path

from queuey.config.mistakes import Mistake, each, shown
from queuey.model.group_pattern import GroupPattern, parse


def patterns(text: str, base: Path) -> tuple[GroupPattern, ...]:
    """Which groups are meant."""
    return each([line.strip() for line in text.splitlines() if line.strip()], _pattern)


def _pattern(text: str) -> GroupPattern:
    found = parse(text)
    if found is None:
        raise Mistake(f"{shown(text)} is not application/queue/group")
    return found
