"""The lease under which a worker may answer from its cache without asking the owner of the store.

A change of the store must not wait for a worker that is busy or stopped, and after the change is answered no worker may
serve the old data. So a worker uses its cache only under a lease of a fraction of a second, which the owner grants.
Both ends see the same clock, CLOCK_MONOTONIC of one machine, so a lease is the moment at which it ends.

Before the owner begins a change, it sends an invalidation to all workers, and waits for each until it has confirmed it
or its lease has ended. A lease that is granted meanwhile follows the invalidation in the same stream of bytes, so a
worker that has read the lease has dropped what is changed: only leases that were granted before count.

A worker asks for a lease when it uses the cache, so an idle daemon sends no traffic. Cached values survive the end of a
lease but are not used until the next one, because by the time a worker has read a new lease it has read all
invalidations before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

TERM: Final = 0.5
"""Seconds that a lease lasts, and that a change waits at the most for a worker that does not answer."""

RENEWED: Final = TERM / 2
"""Seconds before its end from which on a lease is renewed if the cache is used."""


class Lease:
    """The worker's side.

    :param seconds: CLOCK_MONOTONIC, in seconds.
    :param renew: asks the owner for a lease that begins now.
    """

    def __init__(self, seconds: Callable[[], float], renew: Callable[[], None]) -> None:
        self._seconds = seconds
        self._renew = renew
        self._until = 0.0
        self._asked = False

    def holds(self) -> bool:
        """Whether the cache may be used now; asks for a lease if there will soon be none."""
        now = self._seconds()
        if now >= self._until - RENEWED and not self._asked:
            self._asked = True
            self._renew()
        return now < self._until

    def granted(self, until: float) -> None:
        """Use the cache until a moment of the clock."""
        self._until = until
        self._asked = False

    def end(self) -> None:
        """Use the cache no more, and ask for no lease: the owner is gone."""
        self._until = 0.0
        self._asked = True
