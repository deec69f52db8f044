"""How many claims of a client have a key at a time."""

from __future__ import annotations

import threading
from collections import deque

MAX_KEYS = 32
"""Claims under a key that a client has in force for a group."""

MAX_GROUPS = 1000
"""Groups that a client keeps in mind."""

CROWDED = 60.0
"""Seconds without keys after a claim that was blocked."""


class ClaimKeys:
    """How many claims under a key are in force, by the path of their group.

    The server remembers 256 of them for each partition, until their leases would have ended, and blocks more. So a
    client has a few at a time, and claims without a key beyond that: if such an answer is lost, its messages are given
    again when their leases end.
    """

    def __init__(self) -> None:
        self._until: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def room(self, group: str, now: float) -> bool:
        """Tell whether the next claim may have a key."""
        with self._lock:
            ends = self._until.get(group)
            while ends and ends[0] <= now:
                ends.popleft()
            return not ends or len(ends) < MAX_KEYS

    def used(self, group: str, until: float) -> None:
        """Count a claim that has given messages under a key."""
        with self._lock:
            ends = self._until.setdefault(group, deque(maxlen=MAX_KEYS))
            ends.append(until)
            while len(self._until) > MAX_GROUPS:
                self._until.pop(next(iter(self._until)))

    def crowded(self, group: str, now: float) -> None:
        """Claim without a key for a while: other clients have too many."""
        for _ in range(MAX_KEYS):
            self.used(group, now + CROWDED)
