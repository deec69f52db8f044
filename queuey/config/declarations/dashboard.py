"""The settings of the dashboard: the keys of ``[server]`` that begin with ``dashboard``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from queuey.config.declarations.declared import RESTART, setting
from queuey.config.kinds import values
from queuey.config.kinds.endpoints import ALLOWED, operators
from queuey.config.kinds.kinds import BOOLEAN, Kind, lines, lines_text, parts
from queuey.config.mistakes import Mistake, each, nearest, shown
from queuey.model.applications.rights import DashboardToken, Right

_SECTION: Final = "server"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,40}")
_DIGEST: Final = "sha256:"
_MAX_TOKENS: Final = 100
_WORDS: Final = (
    "a name, rights (watch, peek, operate, with commas between them) and sha256: and 64 hex digits, one token a line"
)


def _tokens(text: str, base: Path) -> tuple[DashboardToken, ...]:
    """Read tokens, one a line. Errors do not repeat the digest, since they are logged."""
    found = each(filter(None, text.split("\n")), _token)
    if len(found) > _MAX_TOKENS:
        raise Mistake(f"there are {len(found)} tokens, more than {_MAX_TOKENS}")
    _refuse_repeated("the name", [token.name for token in found])
    if len({token.digest for token in found}) < len(found):
        raise Mistake("the same digest stands twice")
    return found


def _refuse_repeated(what: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise Mistake(f"{what} {shown(name)} stands twice")


def _token(line: str) -> DashboardToken:
    words = line.split()
    if len(words) != 3:
        raise Mistake(f"a line has {len(words)} words instead of a name, rights and a digest")
    name, rights, digest = words
    if _NAME.fullmatch(name) is None:
        raise Mistake("a name of a token is not 1 to 40 letters, digits, dots, underscores and hyphens")
    if not digest.startswith(_DIGEST):
        raise Mistake(f"the token {shown(name)} does not stand there as its digest, sha256: and 64 hex digits")
    return DashboardToken(name, _rights(rights), values.token(digest, Path("/")))


def _rights(text: str) -> frozenset[Right]:
    words = [right.value for right in Right]
    for word in text.split(","):
        if word not in words:
            raise Mistake(f"{shown(word)} is not a right", nearest(word, words))
    return frozenset(map(Right, text.split(","))) | {Right.WATCH}


def _show(token: DashboardToken) -> str:
    rights = ",".join(right.value for right in Right if right in token.rights)
    return f"{token.name} {rights} {_DIGEST}{token.digest.hex()}"


@attrs.frozen
class DashboardSettings:
    """The dashboard.

    :ivar listen: endpoint descriptions as Twisted reads them; without any there is no dashboard.
    :ivar tokens: those that operators sign in with.
    :ivar hosts: names of this machine that requests may have as their Host, besides those of loopback.
    :ivar peek: whether any token may show messages.
    """

    listen: tuple[str, ...] = setting(_SECTION, "dashboard", Kind(ALLOWED, operators, lines_text), "", RESTART)
    tokens: tuple[DashboardToken, ...] = setting(
        _SECTION,
        "dashboard_tokens",
        lines(_WORDS, _tokens, _show),
        secret=True,
    )
    hosts: tuple[str, ...] = setting(
        _SECTION, "dashboard_hosts", parts("names and addresses, separated by spaces, commas or lines", values.hosts)
    )
    peek: bool = setting(_SECTION, "dashboard_peek", BOOLEAN, "true")
