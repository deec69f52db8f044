"""Slots that several parties share fairly."""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred

_SHARE: Final = 3
"""A party may hold so many times the number of free slots."""


class FairSlots:
    """Slots that several parties share, so that none of them can take all.

    A party may take slots while it holds fewer than three times the number of free ones, as switches share the memory
    of their ports (dynamic thresholds, Choudhury and Hahne, 1998). So a party that is alone gets three quarters of all
    slots; others find some that are free, however long the first one keeps its own.

    :param count: number of slots.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._held: dict[str, int] = {}
        self._waiting: dict[str, dict[Deferred[None], None]] = {}
        self._granting = False

    def take(self, party: str, count: int = 1) -> int:
        """Take up to ``count`` slots that are free for a party; return how many these are."""
        taken, held = 0, self._held.get(party, 0)
        while taken < count and held < _SHARE * self._free:
            taken, held, self._free = taken + 1, held + 1, self._free - 1
        if taken:
            self._held[party] = held
        return taken

    def release(self, party: str, count: int = 1) -> None:
        """Give slots back."""
        self._free += count
        self._held[party] -= count
        if not self._held[party]:
            del self._held[party]
        self._grant()

    def has_room(self, party: str) -> bool:
        """Return whether a party may take a slot."""
        return self._held.get(party, 0) < _SHARE * self._free

    def wait(self, party: str) -> Deferred[None]:
        """Wait until a party may take a slot. Who waits again without having taken one must do so in a later turn.

        :return: fires for one after the other. May be cancelled.
        """
        waiting: Deferred[None] = Deferred(lambda waiting: self._forget(party, waiting))
        self._waiting.setdefault(party, {})[waiting] = None
        self._grant()
        return waiting

    def _forget(self, party: str, waiting: Deferred[None]) -> None:
        del self._waiting[party][waiting]
        if not self._waiting[party]:
            del self._waiting[party]

    def _grant(self) -> None:
        """Wake those that wait, one by one; a loop, because each may take or release slots before it returns."""
        if self._granting:
            return
        self._granting = True
        try:
            while parties := [party for party in self._waiting if self.has_room(party)]:
                party = min(parties, key=lambda party: self._held.get(party, 0))
                waiting = next(iter(self._waiting[party]))
                self._forget(party, waiting)
                waiting.callback(None)
        finally:
            self._granting = False
