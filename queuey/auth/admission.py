"""Who may wait for something of which there is little: whoever holds the most of it makes room for others."""

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

    :ivar application: for whose sake.
    :ivar network: from where.
    :ivar leave: is called where it is taken away for another.
    """

    application: str
    network: str
    leave: Callable[[], None]


class Places:
    """So many places, for whoever comes, until all are taken.

    From then on whoever comes is given the newest place of the application that holds the most, of the address that
    holds the most of these; or that of the address that holds the most over all. But only if that one holds more than
    the newcomer then does. So strangers may fill the places, and nobody else is shut out by that.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: dict[Place, None] = {}

    def take(self, application: str, address: str, leave: Callable[[], None]) -> Place | None:
        """Take a place.

        :param leave: is called where the place is taken away again.
        :return: ``None`` where there is none.
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
        """Who makes room for somebody new."""
        richest, more = _richest(self._taken, lambda place: place.application, new)
        if more:
            richest, _ = _richest(richest, lambda place: place.network, new)
            return richest[-1]
        richest, more = _richest(self._taken, lambda place: place.network, new)
        return richest[-1] if more else None


def _richest(taken: Iterable[Place], of: Callable[[Place], str], new: Place) -> tuple[list[Place], bool]:
    """The places of whoever holds the most of some, and whether that is more than somebody new would have."""
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
