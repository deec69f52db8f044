"""The address of the client of a request that came through proxies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def parse_address(text: str) -> Address | None:
    """An address as proxies write it: plain, in brackets, or with a port; ``None`` if it is none.

    An IPv4 address that came through an IPv6 socket is given as IPv4, so that one rule covers both.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_trusted(address: Address | None, trusted: Iterable[Network]) -> bool:
    """Whether an address is that of a proxy whose word is believed."""
    return address is not None and any(address in network for network in trusted)


def client_behind(proxy: str, forwarded_for: Sequence[bytes], trusted: Sequence[Network]) -> str:
    """The client of a request that a trusted proxy handed on.

    Each proxy adds the address that it was called from at the end, so the list is read from there, and the first
    address that is not one of ours is as far as anything can be believed.

    :param proxy: the address of the direct peer, which is trusted.
    :param forwarded_for: the values of X-Forwarded-For, in the order received.
    """
    client = proxy
    for entry in reversed(b",".join(forwarded_for).decode("latin-1").split(",")):
        # The zone of a link-local address is free text chosen by the sender.
        address = None if "%" in entry else parse_address(entry)
        if address is None:
            break
        client = str(address)
        if not is_trusted(address, trusted):
            break
    return client
