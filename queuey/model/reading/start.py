"""The names of the two ends of a log: where a reader or a group starts, or up to which a purge deletes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from queuey.model.timeid import Ticks, parse_time


class Start(Enum):
    """One of the two ends of a log, where neither a time nor a cursor names the place."""

    OLDEST = "oldest"
    NEWEST = "newest"


STARTS: Final[Mapping[str, Start]] = MappingProxyType(
    {"oldest": Start.OLDEST, "newest": Start.NEWEST, "now": Start.NEWEST}
)
"""The words for these places; requests use the same ones everywhere. ``now`` and ``newest`` are the same place."""

WORDS: Final = "oldest, newest, now"
"""The words, for error messages."""

NO_PLACE: Final = f"neither a time (RFC 3339, or seconds since 1970) nor one of {WORDS}"
"""The reason why a text is refused for which ``parse_place`` returns ``None``."""


def parse_place(text: str) -> Start | Ticks | None:
    """Return the place in a log that a word or a time names; ``None`` if the text is neither."""
    return STARTS.get(text) or parse_time(text, up=True)
