"""Readers of values: each takes the text of a value, and the folder that relative paths are based on."""

from __future__ import annotations

import grp
import ipaddress
import os
import re
from collections.abc import Callable
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

from queuey.config.mistakes import Mistake, each, shown
from queuey.file_modes import OWN_USER, FileModes
from queuey.model.applications import origins as origin

T = TypeVar("T")
E = TypeVar("E", bound=Enum)
N = TypeVar("N", int, float)

Read = Callable[[str, Path], T]
"""Makes a value of its text. Raises a :class:`Mistake`, or a group of them."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_DIGEST: Final = re.compile(r"sha256:([0-9A-Fa-f]{64})")
_UNSENDABLE: Final = re.compile(r"[^!-~]")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\]")
_MIN_TOKEN: Final = 16


def path(text: str, base: Path) -> Path:
    """A file or folder, made absolute."""
    return Path(os.path.normpath(base / text))


def networks(text: str, base: Path) -> tuple[Network, ...]:
    """Addresses and networks, separated by spaces, commas or lines."""
    return each(items(text), _network)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise Mistake(f"{shown(text)} is neither an address nor a network") from None
    raise Mistake(f"{shown(text)} has bits set beyond its length", meant)


def origins(text: str, base: Path) -> tuple[str, ...]:
    """Origins as browsers send them, or ``*`` alone, separated by spaces, commas or lines."""
    found = items(text)
    if "*" in found and len(found) > 1:
        raise Mistake("* means all origins and must be the only value")
    return found if found == ("*",) else each(found, _origin)


def _origin(text: str) -> str:
    found = origin.problem(text)
    if found is not None:
        what, meant = found
        raise Mistake(f"{shown(text)} {what}", meant)
    return text


def token(text: str, base: Path) -> bytes:
    """Return the SHA-256 digest of a token, or the given digest. Errors do not repeat it, since they are logged."""
    match = _DIGEST.fullmatch(text)
    if match is not None:
        return bytes.fromhex(match[1])
    if text.lower().startswith("sha256:"):
        raise Mistake("the digest is not 64 hex digits after sha256:")
    if _UNSENDABLE.search(text) is not None:
        raise Mistake("the token has a character outside visible ASCII, and cannot be sent")
    if len(text) < _MIN_TOKEN:
        raise Mistake(f"the token has fewer than {_MIN_TOKEN} characters, so it could be guessed")
    return sha256(text.encode()).digest()


def hosts(text: str, base: Path) -> tuple[str, ...]:
    """Names and addresses of this machine, in lower case and without ports."""
    return each(items(text), _host)


def _host(text: str) -> str:
    if _HOST.fullmatch(text) is None:
        meant = text.partition(":")[0]
        good = _HOST.fullmatch(meant) is not None
        raise Mistake(f"{shown(text)} is not a name or an address of a host", meant if good else "")
    return text.lower()


def items(text: str) -> tuple[str, ...]:
    """The parts of a text that are separated by spaces, commas or lines, each once, in their order."""
    return tuple(dict.fromkeys(text.replace(",", " ").split()))


def file_group(text: str, base: Path) -> FileModes:
    """The group of this machine that may read the files which the daemon makes, if there is one."""
    if not text:
        return OWN_USER
    try:
        return FileModes(text, grp.getgrnam(text).gr_gid)
    except KeyError:
        raise Mistake(f"{shown(text)} is not a group of this machine") from None
