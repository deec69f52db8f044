"""How often false tokens may be sent from one address."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

from queuey.model.applications.rates import Bucket, Rate

ATTEMPTS: Final = Rate(20 / 60, 20)
"""Maximum number of false tokens of one address in a minute."""

LONG: Final = 32
"""Characters from which on a token is looked at however many false ones came before: those that ``queuey keys new`` and
the daemon make have 43, which no number of attempts finds."""

_MAX_ADDRESSES: Final = 1000
"""Addresses that are remembered; the one that has been quiet for longest is forgotten first."""


class Attempts:
    """The false tokens of each address.

    :param seconds: a clock that is never set back.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._buckets: dict[str, Bucket] = {}

    def wait(self, address: str) -> float:
        """Return the seconds until an address may send another false token; 0: at once."""
        bucket = self._buckets.get(_network(address))
        return 0.0 if bucket is None else bucket.wait(1, self._seconds())

    def failed(self, address: str) -> None:
        """Count a false token."""
        now, network = self._seconds(), _network(address)
        bucket = self._buckets.pop(network, None) or Bucket(ATTEMPTS, now)
        if len(self._buckets) >= _MAX_ADDRESSES:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[network] = bucket
        if not bucket.wait(1, now):
            bucket.take(1, now)


def _network(address: str) -> str:
    """Return the address that is counted: of IPv6 the first half, since each machine can use all of the second."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(int(found) >> 64) if isinstance(found, IPv6Address) else address
