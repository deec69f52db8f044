"""The entries of a wait queue of claims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred


class InLine(Protocol):
    """An entry of a wait queue.

    :ivar look_pause: see ``Claiming``.
    :ivar keyed: whether it has an Idempotency-Key.
    """

    keyed: bool

    @property
    def look_pause(self) -> Callable[[], float] | None:
        """The pause between two looks for it."""

    def attempt(self, partitions: tuple[int, ...]) -> Deferred[bool]:
        """Attempt the claim.

        :return: fires with whether the claim has left the wait queue and further claims may get messages; never fails.
        """
