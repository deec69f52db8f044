"""Who runs piles in tests: the caller at once, or the test when it says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from queuey.storage.sqlite.piles import Job, Pile


class Inline:
    """Each pile is taken as soon as something is on it, one after another, by whoever put it there."""

    def __init__(self) -> None:
        self._woken: deque[Pile[Any]] = deque()
        self._busy = False

    def start(self, pile: Pile[Any]) -> None:
        pass

    def left(self, pile: Pile[Any]) -> None:
        self.gathered(pile)

    def gathered(self, pile: Pile[Any]) -> None:
        self._woken.append(pile)
        if self._busy:
            return
        self._busy = True
        try:
            while self._woken:
                self._woken.popleft().take()
        finally:
            self._busy = False

    def answer(self, function: Callable[[Sequence[Job[Any]]], None], jobs: Sequence[Job[Any]]) -> None:
        function(jobs)


class Manual(Inline):
    """Piles are taken when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.held = False

    def gathered(self, pile: Pile[Any]) -> None:
        if self.held:
            self._woken.append(pile)
        else:
            super().gathered(pile)

    def take(self) -> None:
        """Take everything that waits, pile after pile."""
        self.held = False
        while self._woken:
            super().gathered(self._woken.popleft())
