"""Patterns that select queues and consumer groups by name."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

import attrs

_SPECIAL: Final = "*?["


@attrs.frozen
class GroupPattern:
    """A pattern for each of the three names; ``*``, ``?`` and ``[...]`` match as in file names.

    :ivar application: the pattern for the name of the application, and so on.
    """

    application: str
    queue: str
    group: str

    def __str__(self) -> str:
        return f"{self.application}/{self.queue}/{self.group}"


@attrs.frozen
class QueuePattern:
    """A pattern for the names of an application and of a queue, like those of ``GroupPattern``."""

    application: str
    queue: str

    def __str__(self) -> str:
        return f"{self.application}/{self.queue}"


def parse_queue(text: str) -> QueuePattern | None:
    """Parse a pattern ``application/queue``; return ``None`` if it is invalid."""
    parts = text.split("/")
    return QueuePattern(*parts) if len(parts) == 2 and all(parts) else None


def parse(text: str) -> GroupPattern | None:
    """Parse a pattern ``application/queue/group``; return ``None`` if it is invalid."""
    parts = text.split("/")
    return GroupPattern(*parts) if len(parts) == 3 and all(parts) else None


def literal(part: str) -> bool:
    """Return whether a part of a pattern has no wildcards."""
    return not any(character in part for character in _SPECIAL)


def beginning(part: str) -> str:
    """Return the common prefix of all names that a part of a pattern matches."""
    at = min((place for place in map(part.find, _SPECIAL) if place >= 0), default=len(part))
    return part[:at]


def matches(name: str, part: str) -> bool:
    """Return whether a name matches a part of a pattern."""
    return fnmatchcase(name, part)
