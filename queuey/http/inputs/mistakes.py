"""Mistakes in a request: the first ones are named, and all are counted."""

from __future__ import annotations

import json
from typing import Final

MAX_NAMED: Final = 100
"""Mistakes that one answer names."""

MAX_NAMED_BYTES: Final = 16 * 1024
"""Bytes of JSON that those take. An answer may say each of them twice, and stays below 64 KiB."""

_BESIDE: Final = 32
"""Bytes of JSON beside the place and the text of a mistake."""


class Mistakes:
    """Collects mistakes, in bounded memory.

    :ivar count: how many there are.
    :ivar named: the place and the text of the first of them.
    """

    __slots__ = ("_most", "_room", "count", "named")

    def __init__(self, most: int = MAX_NAMED, room: int = MAX_NAMED_BYTES) -> None:
        """
        :param most: how many are named.
        :param room: bytes of JSON that those take.
        """
        self.count = 0
        self.named: list[tuple[str, str]] = []
        self._most = most
        self._room = room

    def __bool__(self) -> bool:
        return self.count > 0

    def add(self, place: str, text: str) -> None:
        """Count a mistake, and keep it if there is room.

        :param text: what is wrong; callers cut what a client sent (``shown``).
        """
        self.count += 1
        if len(self.named) == self._most or not self._room:
            return
        size = len(json.dumps(place)) + len(json.dumps(text)) + _BESIDE
        if size > self._room and self.named:
            self._room = 0
            return
        self._room = max(0, self._room - size)
        self.named.append((place, text))

    @property
    def unnamed(self) -> int:
        """How many mistakes are counted only."""
        return self.count - len(self.named)

    @property
    def in_all(self) -> str:
        """A sentence that says how many mistakes there are."""
        return f"There are {self.count} mistakes, of which the first {len(self.named)} are named."
