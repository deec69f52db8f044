"""Which IP addresses a push may connect to."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_REFUSED: Final[tuple[Network, ...]] = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",  # the metadata service of Azure, in a public network
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
"""Networks of IPv4 that are not public; from IANA's registry of special-purpose addresses (RFC 6890)."""

_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""The only addresses of IPv6 that are routed publicly. So ``::1``, mapped and compatible IPv4, NAT64, link-local,
unique local and multicast addresses are refused without being listed."""

_REFUSED_V6: Final = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # Teredo, benchmarking, ORCHID and other protocols
            "2001:db8::/32",
            "2002::/16",  # 6to4: any address of IPv4 is in it
            "3fff::/20",
        ),
    )
)


def is_public(address: Address) -> bool:
    """Return whether an address belongs to the public Internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _REFUSED)
    return (
        address.scope_id is None
        and address in _GLOBAL_UNICAST
        and not any(address in network for network in _REFUSED_V6)
    )


def may_connect(address: Address, networks: Iterable[Network]) -> bool:
    """Return whether a push may connect to an address.

    :param networks: those that the operator allows beside the public ones.
    """
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return False
    return is_public(address) or any(address.version == one.version and address in one for one in networks)
