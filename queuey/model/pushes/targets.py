"""URLs of endpoints: parsed once and strictly, and compared with the hosts that an application may call."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Final

import attrs

MAX_URL: Final = 2048
"""Maximum number of characters of a URL."""

MAX_HOSTS: Final = 50
"""Maximum number of hosts that an application may call."""

ANY_PUBLIC: Final = "*"
"""In ``push_hosts``: every host with a public address."""

PORTS: Final = {"http": 80, "https": 443}
"""The ports that are always allowed, and the default port of each scheme."""

_URL: Final = re.compile(
    r"(https?)://(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::([0-9]{1,5}))?(/[^#?]*)?(\?[^#]*)?"
)
_VISIBLE: Final = re.compile(r"[!-~]+")
_FORBIDDEN: Final = re.compile(r"[\"<>\\^`{|}]|%(?![0-9A-Fa-f]{2})")
_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
"""The last label of a host that URL parsers take for an IPv4 address (WHATWG URL, "ends in a number")."""

_HOST_WANTED: Final = "names no host: a name of letters, digits and hyphens, or an IP address in its usual form"


class BadURL(Exception):
    """A text is not the URL of an endpoint; the exception's text is the reason, as the end of a sentence."""


@attrs.frozen
class Target:
    """An endpoint, as parts of its URL.

    :ivar host: a name in lower case, or an IP address in its shortest form, without brackets.
    :ivar rest: path and query; at least ``/``.
    """

    scheme: str
    host: str
    port: int
    rest: str

    @property
    def authority(self) -> str:
        """The host and, if it is not the default of the scheme, the port; as the field Host has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole URL."""
        return f"{self.scheme}://{self.authority}{self.rest}"

    @property
    def without_query(self) -> str:
        """The URL with an ellipsis instead of its query, which may be a credential."""
        path, mark, _ = self.url.partition("?")
        return f"{path}{mark and '?...'}"


@lru_cache(1024)
def parse_url(text: str) -> Target:
    """Parse the URL of an endpoint.

    :raise BadURL: it is not one.
    """
    if len(text) > MAX_URL:
        raise BadURL(f"has more than {MAX_URL} characters")
    if _VISIBLE.fullmatch(text) is None or _FORBIDDEN.search(text) is not None:
        raise BadURL("has characters that no URL has; they are percent-encoded")
    if "#" in text:
        raise BadURL("has a fragment, which is never sent")
    if "@" in text.partition("://")[2].partition("/")[0].partition("?")[0]:
        raise BadURL("has a user's name in it; use a header field for credentials")
    match = _URL.fullmatch(text)
    if match is None:
        raise BadURL("is not an http or https URL")
    scheme, host, digits = match[1], _host(match[2]), match[3]
    port = PORTS[scheme] if digits is None else int(digits)
    if not 1 <= port <= 65535:
        raise BadURL("has a port that does not exist")
    return Target(scheme, host, port, (match[4] or "/") + (match[5] or ""))


def _host(text: str) -> str:
    try:
        if text.startswith("["):
            return str(ipaddress.IPv6Address(text[1:-1]))
        if _NUMBER.fullmatch(text.rpartition(".")[2]):
            found = str(ipaddress.IPv4Address(text))
            if found == text:
                return found
            raise BadURL(_HOST_WANTED)
    except ValueError:
        raise BadURL(_HOST_WANTED) from None
    if not all(_LABEL.fullmatch(label) for label in text.split(".")):
        raise BadURL(_HOST_WANTED)
    return text.lower()


def host_problem(text: str) -> str | None:
    """Return why an entry of ``push_hosts`` is refused, or ``None`` if it is valid.

    An entry is ``*``, an IP address, or a name, which includes all names below it.
    """
    if text == ANY_PUBLIC:
        return None
    try:
        if parse_url(f"http://[{text}]/" if ":" in text else f"http://{text}/").host == text:
            return None
    except BadURL:
        pass
    return "is not a name in lower case, an IP address or *"


def is_named(host: str, hosts: Iterable[str]) -> bool:
    """Return whether ``push_hosts`` names a host itself, and not just by ``*``."""
    return any(host == one or (one != ANY_PUBLIC and host.endswith(f".{one}")) for one in hosts)


def target_problem(target: Target, hosts: Collection[str], ports: Collection[int]) -> str | None:
    """Return why an application may not call an endpoint, or ``None`` if it may; the address is not known yet.

    :param hosts: its ``push_hosts``.
    :param ports: those that the operator allows beside 80 and 443.
    """
    if ANY_PUBLIC not in hosts and not is_named(target.host, hosts):
        return "names a host that is not in push_hosts of the application"
    if target.port not in PORTS.values() and target.port not in ports:
        return "has a port that the operator has not allowed"
    return None
