"""Checks endpoint descriptions before anything is opened, and makes their paths absolute.

Twisted's own parser cannot serve for that: it says what is wrong in the words of a call of a function, and for systemd
sockets it looks at what the process has inherited, which ``queuey check`` has not.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs

from queuey.config.kinds import values
from queuey.config.mistakes import Mistake, each, nearest, shown, shown_path

ALLOWED: Final = "endpoints of kind tcp, tcp6, ssl, unix or systemd, one a line"

MAX_UNIX_PATH: Final = 107
"""Bytes that Linux allows for the path of a socket."""

_NUMBER: Final = re.compile(r"[0-9]{1,5}")
_PORT_ALONE: Final = re.compile(r"(?:(?:127\.0\.0\.1|localhost)?:)?([0-9]{1,5})")
_MODE: Final = re.compile(r"0?[0-7]{3}")


@attrs.frozen
class _Description:
    kind: str
    positional: tuple[str, ...]
    named: Mapping[str, str]


def endpoints(text: str, base: Path) -> tuple[str, ...]:
    """Endpoint descriptions, one a line, in the form that Twisted reads.

    :raise ExceptionGroup: of a :class:`Mistake` for each description that is wrong.
    """
    found = each(filter(None, text.split("\n")), lambda line: endpoint(line, base))
    for line in found:
        if found.count(line) > 1:
            raise Mistake(f"{shown(line)} stands twice")
    return found


def endpoint(text: str, base: Path) -> str:
    """One endpoint description, checked, its relative paths made absolute.

    :raise Mistake: if it cannot be used.
    """
    description = _parse(text)
    first = _FIRST.get(description.kind)
    if first is None:
        meant = _port_alone(text) or _OTHER_WORDS.get(description.kind) or nearest(description.kind, _FIRST)
        raise Mistake(f"{shown(description.kind)} is not a kind of endpoint", meant)
    arguments = _arguments(description, first)
    _check_names(text, description.kind, arguments)
    checked = {name: _KINDS[description.kind][name](value, base) for name, value in arguments.items()}
    if first and first not in checked:
        raise Mistake(f"{shown(text)} names no {first}")
    if description.kind in _WHOLE:
        _WHOLE[description.kind](text, checked)
    return _join(description.kind, first, checked)


def _port_alone(text: str) -> str:
    """Return the endpoint that a port without a kind of endpoint may mean, also beside a name of loopback."""
    match = _PORT_ALONE.fullmatch(text)
    return f"tcp:{match[1]}:interface=127.0.0.1" if match is not None and int(match[1]) < 65536 else ""


def operators(text: str, base: Path) -> tuple[str, ...]:
    """Endpoint descriptions for operators, as :func:`endpoints` reads them; a socket is the daemon's own user's.

    :raise ExceptionGroup: of a :class:`Mistake` for each description that is wrong.
    """
    return tuple([f"{one}:mode=600" if _is_open_socket(_parse(one)) else one for one in endpoints(text, base)])


def unix(path: str) -> str:
    """The description of a Unix socket.

    :param path: absolute, and of at most :data:`MAX_UNIX_PATH` bytes.
    """
    return _join("unix", "address", {"address": path})


def _is_open_socket(description: _Description) -> bool:
    return description.kind == "unix" and "mode" not in description.named


def arguments(text: str) -> tuple[str, Mapping[str, str]]:
    """The kind of an endpoint, and all of its arguments by name.

    :param text: a description that was checked.
    """
    description = _parse(text)
    return description.kind, _arguments(description, _FIRST[description.kind])


def local(text: str) -> bool:
    """Whether only this machine reaches an endpoint, and through a socket not every user of it.

    :param text: a description that was checked.
    """
    description = _parse(text)
    named = description.named
    if description.kind == "unix":
        return int(named.get("mode", "666"), 8) & 0o007 == 0
    if description.kind == "systemd":
        return False
    interface = named.get("interface", "")
    return bool(interface) and ipaddress.ip_address(interface).is_loopback


def tcp(port: str, host: str) -> str:
    """The description of a TCP endpoint on a port and an address, as the first version's settings name them.

    :raise Mistake: if they cannot be used.
    """
    kind = "tcp6" if ":" in host else "tcp"
    return endpoint(f"{kind}:{_quote(port)}:interface={_quote(host)}", Path("/"))


def _parse(text: str) -> _Description:
    pieces: list[list[str]] = [[""]]
    characters = iter(text)
    for character in characters:
        if character == ":":
            pieces.append([""])
        elif character == "=" and len(pieces[-1]) == 1:
            pieces[-1].append("")
        elif character == "\\":
            pieces[-1][-1] += _escaped(characters, text)
        else:
            pieces[-1][-1] += character
    positional = tuple(piece[0] for piece in pieces if len(piece) == 1)
    named = [(piece[0], piece[1]) for piece in pieces if len(piece) == 2]
    for name, _ in named:
        if [other for other, _ in named].count(name) > 1:
            raise Mistake(f"{shown(text)} names {shown(name)} twice")
    if len(pieces[0]) == 2:
        raise Mistake(f"{shown(text)} does not begin with a kind of endpoint")
    return _Description(positional[0], positional[1:], dict(named))


def _escaped(characters: Iterator[str], text: str) -> str:
    following = next(characters, None)
    if following is None:
        raise Mistake(f"{shown(text)} ends with a backslash without a character to escape")
    return following


def _arguments(description: _Description, first: str) -> dict[str, str]:
    positional = description.positional
    if len(positional) > (1 if first else 0):
        raise Mistake(f"{shown(positional[-1])} has no name; arguments are written name=value")
    if positional and first in description.named:
        raise Mistake(f"the {first} of the endpoint is named twice")
    return {**dict(zip((first,), positional, strict=False)), **description.named}


def _check_names(text: str, kind: str, arguments: Mapping[str, str]) -> None:
    for name in arguments:
        if name not in _KINDS[kind]:
            known = ", ".join(_KINDS[kind])
            raise Mistake(
                f"{shown(text)}: {shown(name)} is not an argument of {kind}, which has {known}",
                nearest(name, _KINDS[kind]),
            )


def _join(kind: str, first: str, arguments: Mapping[str, str]) -> str:
    named = [f"{name}={_quote(value)}" for name, value in arguments.items() if name != first]
    begin = [_quote(arguments[first]).replace("=", "\\=")] if first else []
    return ":".join([kind, *begin, *named])


def _quote(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")


def _number(what: str, low: int, high: int) -> values.Read[str]:
    def read(text: str, base: Path) -> str:
        if _NUMBER.fullmatch(text) is None or not low <= int(text) <= high:
            raise Mistake(f"{shown(text)} is no {what}: {low} to {high}")
        return text

    return read


def _interface(version: int) -> values.Read[str]:
    def read(text: str, base: Path) -> str:
        if version == 4 and text in ("", "localhost"):
            return "127.0.0.1" if text else text
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            raise Mistake(f"{shown(text)} is not the IP address of an interface") from None
        if address.version != version:
            raise Mistake(f"{shown(text)} is no IPv{version} address", "tcp6" if version == 4 else "tcp")
        return text

    return read


def _file(text: str, base: Path) -> str:
    found = values.path(text, base)
    try:
        if found.exists() and not found.is_file():
            # Opening a pipe would wait for its other end.
            raise Mistake(f"{shown_path(found)} is no file")
        with found.open("rb"):
            return str(found)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Mistake(f"{shown_path(found)} cannot be read: {reason}") from None


def _socket_path(text: str, base: Path) -> str:
    found = str(values.path(text, base))
    if not text or len(found.encode()) > MAX_UNIX_PATH:
        raise Mistake(f"{shown_path(found)} is not a path of a socket: 1 to {MAX_UNIX_PATH} bytes")
    return found


def _mode(text: str, base: Path) -> str:
    if _MODE.fullmatch(text) is None:
        raise Mistake(f"{shown(text)} is not a mode of a file, such as 660")
    return text


def _word(*words: str) -> values.Read[str]:
    def read(text: str, base: Path) -> str:
        if text not in words:
            raise Mistake(f"{shown(text)} is none of {', '.join(words)}", nearest(text, words))
        return text

    return read


def _name(text: str, base: Path) -> str:
    if not text:
        raise Mistake("the name of a systemd socket is empty")
    return text


def _check_systemd(text: str, arguments: Mapping[str, str]) -> None:
    if "domain" not in arguments or ("name" in arguments) == ("index" in arguments):
        raise Mistake(f"{shown(text)} needs domain, and one of name and index")


def _check_tls(text: str, arguments: Mapping[str, str]) -> None:
    if "privateKey" not in arguments:
        raise Mistake(f"{shown(text)} names no privateKey")
    # Twisted and OpenSSL take long to load, and most daemons stand behind a proxy that does TLS for them.
    from queuey.config.kinds.certificates import check

    check(arguments)


_PORT: Final = _number("port", 0, 65535)
_BACKLOG: Final = _number("backlog", 1, 65535)
_IPV4: Final[dict[str, values.Read[str]]] = {"port": _PORT, "interface": _interface(4), "backlog": _BACKLOG}
_KINDS: Final[dict[str, dict[str, values.Read[str]]]] = {
    "tcp": _IPV4,
    "tcp6": {**_IPV4, "interface": _interface(6)},
    "ssl": {**_IPV4, "privateKey": _file, "certKey": _file, "extraCertChain": _file, "dhParameters": _file},
    "unix": {"address": _socket_path, "mode": _mode, "backlog": _BACKLOG, "lockfile": _word("0", "1")},
    "systemd": {"domain": _word("INET", "INET6", "UNIX"), "name": _name, "index": _number("index", 0, 1000)},
}
_FIRST: Final = {"tcp": "port", "tcp6": "port", "ssl": "port", "unix": "address", "systemd": ""}
"""The first argument of each kind, which is given without its name."""

_OTHER_WORDS: Final = {"tls": "ssl", "https": "ssl", "http": "tcp", "tcp4": "tcp"}
"""Names that other programs use for the kinds of endpoints."""

_WHOLE: Final[dict[str, Callable[[str, Mapping[str, str]], None]]] = {"systemd": _check_systemd, "ssl": _check_tls}
