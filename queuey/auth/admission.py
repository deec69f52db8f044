"""Shares a limited number of places among clients: if all are taken, a client that holds many gives one up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network
from typing import Final

import attrs

_NETWORK: Final = 64
"""Bits of an IPv6 address that all addresses of one client may share: it has as many others as it likes."""


@attrs.frozen(eq=False)
class Place:
    """A place that is taken.

    :ivar application: on whose behalf.
    :ivar network: the network of the client's address.
    :ivar leave: is called when the place is taken away for another client.
    """

    application: str
    network: str
    leave: Callable[[], None]


class Places:
    """A limited number of places, given to every client until all are taken.

    If all are taken, a new client gets the newest place of the application that holds the most; among its places, of
    the network that holds the most. If that application would not hold more than the new client's, it gets the newest
    place of the network that holds the most over all. In either case the holder must have more places than the new
    client would have then. So an attacker may fill all places, but cannot shut out other clients.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: dict[Place, None] = {}

    def take(self, application: str, address: str, leave: Callable[[], None]) -> Place | None:
        """Take a place.

        :param leave: is called if the place is taken away again.
        :return: ``None`` if no place can be had.
        """
        place = Place(application, _network(address), leave)
        if len(self._taken) >= self._most:
            other = self._to_leave(place)
            if other is None:
                return None
            self.free(other)
            other.leave()
        self._taken[place] = None
        return place

    def free(self, place: Place) -> None:
        """Leave a place; one that was taken away is left already."""
        self._taken.pop(place, None)

    def _to_leave(self, new: Place) -> Place | None:
        """Return the place that is given up for a new one; ``None`` if there is no such place."""
        richest, more = _richest(self._taken, lambda place: place.application, new)
        if more:
            richest, _ = _richest(richest, lambda place: place.network, new)
            return richest[-1]
        richest, more = _richest(self._taken, lambda place: place.network, new)
        return richest[-1] if more else None


def _richest(taken: Iterable[Place], of: Callable[[Place], str], new: Place) -> tuple[list[Place], bool]:
    """Return the places of the holder that has the most, and whether they are more than the new one's holder would
    have."""
    held: dict[str, list[Place]] = {}
    for place in taken:
        held.setdefault(of(place), []).append(place)
    richest = max(held.values(), key=len)
    return richest, len(richest) > len(held.get(of(new), ())) + 1


def _network(address: str) -> str:
    """The addresses that are one client's, as far as that can be known."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((found, _NETWORK), strict=False)) if found.version == 6 else address
