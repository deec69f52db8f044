"""Which consumer groups are meant, by patterns of the names of their applications, queues and themselves."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

import attrs

_SPECIAL: Final = "*?["


@attrs.frozen
class GroupPattern:
    """Groups by their names, in each of which ``*``, ``?`` and ``[...]`` stand for what they do in names of files.

    :ivar application: of the name of the application, and so on.
    """

    application: str
    queue: str
    group: str

    def __str__(self) -> str:
        return f"{self.application}/{self.queue}/{self.group}"


def parse(text: str) -> GroupPattern | None:
    """A pattern as ``application/queue/group``; ``None`` where it is none."""
    parts = text.split("/")
    return GroupPattern(*parts) if len(parts) == 3 and all(parts) else None


def literal(part: str) -> bool:
    """Whether a part of a pattern is one name."""
    return not any(character in part for character in _SPECIAL)


def beginning(part: str) -> str:
    """What all names begin with that a part of a pattern matches."""
    at = min((place for place in map(part.find, _SPECIAL) if place >= 0), default=len(part))
    return part[:at]


def matches(name: str, part: str) -> bool:
    """Whether a name is meant by a part of a pattern."""
    return fnmatchcase(name, part)
