"""The lease by which one front end at a time serves a cluster, if the mode allows only one.

Its row is changed by compare-and-set alone, each change with a greater ``beat``: two changes that were sent for the
same row cannot both be applied, and one that is applied late does no harm. Time limits use the clocks of the front
ends, never those of the nodes.

Why two never serve at once: the holder serves for ``Terms.safe`` seconds from when it *sent* the last beat that it
knows was applied. Another one takes over on the row that has that beat, ``Terms.patience`` seconds after it *read* it.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

import attrs

from queuey.model.timeid import SECOND, Ticks

NO_OWNER: Final = UUID(int=0)
"""The owner of a lease that was released."""


@attrs.frozen
class Terms:
    """Durations, in seconds.

    :ivar beat: between two beats of the holder.
    :ivar safe: how long the holder serves from the start of its last acknowledged beat.
    :ivar patience: how long another must see the same beat before it takes the lease over.
    :ivar lead: how far the ceiling is above the greatest id.
    """

    beat: float = 2.0
    safe: float = 8.0
    patience: float = 12.0
    lead: float = 10.0


@attrs.frozen
class LeaseRow:
    """The stored lease.

    :ivar owner: the process that holds it, or the id ``NO_OWNER``.
    :ivar host: the owner's host, for people.
    :ivar ceiling: no id of the owner is above it.
    """

    owner: UUID
    host: str
    beat: int
    ceiling: Ticks


@attrs.frozen
class Beat:
    """A change of the lease that is asked for.

    :ivar seen: the row that must be stored; ``None``: there must be none.
    :ivar started: when it was asked for, by CLOCK_BOOTTIME.
    """

    seen: LeaseRow | None
    row: LeaseRow
    started: float


class Lease:
    """One process and the lease: when it may take it, and how long it holds it.

    :param owner: of this process alone.
    """

    def __init__(self, owner: UUID, host: str, terms: Terms) -> None:
        self.terms = terms
        self._owner = owner
        self._host = host
        self._number = 0
        self._asked: dict[int, Beat] = {}
        self._seen: tuple[UUID, int] | None = None
        self._seen_since = 0.0
        self._held: Beat | None = None

    @property
    def held(self) -> bool:
        """Whether it was taken and not given up; it may have lapsed."""
        return self._held is not None

    @property
    def ceiling(self) -> Ticks:
        """Up to which time ids may be stamped."""
        return self._held.row.ceiling if self._held else Ticks(0)

    def holds(self, boot: float) -> bool:
        """Whether it is held now."""
        return self._held is not None and boot - self._held.started < self.terms.safe

    def is_ours(self, row: LeaseRow) -> bool:
        """Whether this process was the last to take the lease, so that no other has served since."""
        return row.owner == self._owner

    def may_take(self, row: LeaseRow | None, monotonic: float) -> bool:
        """Return whether the lease may be taken, given its row.

        :param row: the row that was read; ``None`` if there is none.
        :param monotonic: when the answer arrived, by a clock that may stand still while the machine sleeps; the wait
            gets longer then.
        """
        if row is None or row.owner == NO_OWNER or self.is_ours(row):
            return True
        if self._seen != (row.owner, row.beat):
            self._seen, self._seen_since = (row.owner, row.beat), monotonic
        return monotonic - self._seen_since >= self.terms.patience

    def take(self, row: LeaseRow | None, boot: float, greatest: Ticks) -> Beat:
        """Return the change to request in order to take the lease.

        :param greatest: the greatest time that this process has used, or that of its clock.
        """
        return self._ask(row, boot, greatest)

    def beat(self, boot: float, greatest: Ticks) -> Beat:
        """Return the change to request in order to keep the lease."""
        assert self._held is not None
        return self._ask(self._held.row, boot, greatest)

    def release(self, last: Ticks) -> Beat:
        """Return the change that releases the lease; the next holder will stamp above ``last``."""
        assert self._held is not None
        row = self._held.row
        return Beat(row, LeaseRow(NO_OWNER, self._host, self._next(row), last), self._held.started)

    def ours(self, owner: UUID, beat: int) -> Beat | None:
        """Return the change of ours that the row shows to be applied, or ``None``."""
        return self._asked.get(beat) if owner == self._owner else None

    def applied(self, beat: Beat, boot: float) -> bool:
        """Note that a change of ours was applied; return whether we hold the lease with it.

        :param boot: when that became known.
        """
        lapsed = self._held is not None and not self.holds(boot)
        if lapsed or boot - beat.started >= self.terms.safe:
            return False
        self._held = beat
        self._asked = {number: other for number, other in self._asked.items() if number > beat.row.beat}
        return True

    def step_down(self) -> None:
        """Note that the lease is lost, or may be."""
        self._held = None

    def _ask(self, seen: LeaseRow | None, boot: float, greatest: Ticks) -> Beat:
        ceiling = Ticks(max(greatest + round(self.terms.lead * SECOND), seen.ceiling if seen else 0))
        beat = Beat(seen, LeaseRow(self._owner, self._host, self._next(seen), ceiling), boot)
        useful = boot - self.terms.safe
        self._asked = {number: other for number, other in self._asked.items() if other.started > useful}
        self._asked[beat.row.beat] = beat
        return beat

    def _next(self, seen: LeaseRow | None) -> int:
        """Return a number that none of our earlier changes had, so that the row shows which of them was applied."""
        self._number = max(self._number, seen.beat if seen else 0) + 1
        return self._number
