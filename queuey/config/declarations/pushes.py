"""What the settings of pushes can be: those of the section ``[push]``, and ``push_hosts`` of an application."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from queuey.config.declarations.declared import HIDDEN, RESTART, setting
from queuey.config.kinds import values
from queuey.config.kinds.kinds import integer, lines, parts
from queuey.config.mistakes import Mistake, each, shown
from queuey.model.pushes.addresses import Network
from queuey.model.pushes.targets import MAX_HOSTS, host_problem

MIN_KEY: Final = 32
"""Characters that a key for sealing has at least: 32 hex digits have 128 bits."""

MAX_PORTS: Final = 100
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_push: Final = partial(setting, "push")


def _secrets(text: str, base: Path) -> tuple[str, ...]:
    found = values.items(text)
    if any(len(one) < MIN_KEY for one in found):
        raise Mistake(f"a key has fewer than {MIN_KEY} characters, so it could be guessed")
    return found


def _ports(text: str, base: Path) -> tuple[int, ...]:
    found = values.items(text)
    if len(found) > MAX_PORTS:
        raise Mistake(f"has more than {MAX_PORTS} ports")
    return each(found, _port)


def _port(text: str) -> int:
    if _PORT.fullmatch(text) is None or int(text) > 65_535:
        raise Mistake(f"{shown(text)} is not a port")
    return int(text)


def hosts(text: str, base: Path) -> tuple[str, ...]:
    """Read the hosts that an application may call."""
    found = values.items(text)
    if len(found) > MAX_HOSTS:
        raise Mistake(f"has more than {MAX_HOSTS} hosts")
    return each(found, _host)


def _host(text: str) -> str:
    problem = host_problem(text)
    if problem is not None:
        raise Mistake(f"{shown(text)} {problem}")
    return text


@attrs.frozen
class PushSettings:
    """What all pushes have in common.

    :ivar secrets: keys that seal the secrets of pushes in the store; the first one seals, all of them open.
    :ivar networks: private networks that pushes to named hosts may reach.
    :ivar ports: that pushes may call beside 80 and 443.
    :ivar max_requests: maximum number of requests at the same time, in each process.
    """

    secrets: tuple[str, ...] = _push(
        "secrets",
        lines(f"keys of at least {MIN_KEY} characters, one a line", _secrets, lambda one: HIDDEN),
        secret=True,
    )
    networks: tuple[Network, ...] = _push(
        "networks", parts("addresses and networks, separated by spaces, commas or lines", values.networks)
    )
    ports: tuple[int, ...] = _push("ports", parts("ports, separated by spaces, commas or lines", _ports))
    max_requests: int = _push("max_requests", integer(1, 10_000), "256", RESTART)
