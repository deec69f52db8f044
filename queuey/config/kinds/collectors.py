"""Readers of the address of a trace collector and of the header fields for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from queuey.config.kinds import urls
from queuey.config.mistakes import Mistake, shown

_FIELD: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([!-~](?:[ -~]*[!-~])?)")
_NAME: Final = re.compile(r"[ -~]{1,100}")
_PATH: Final = "/v1/traces"


def endpoint(text: str, base: Path) -> str:
    """The URL to which traces are posted."""
    problem = urls.problem_of_any(text)
    if problem is not None:
        raise Mistake(f"{shown(text)} {problem}")
    if "?" in text:
        raise Mistake(f"{shown(text)} has a query, which would appear in the log; put keys into headers")
    if urlsplit(text).path in ("", "/"):
        raise Mistake(f"{shown(text)} has no path", text.rstrip("/") + _PATH)
    return text


def headers(text: str, base: Path) -> tuple[tuple[str, str], ...]:
    """Header fields, one a line. Errors do not repeat their values, since they are logged."""
    found: dict[str, str] = {}
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), 1):
        match = _FIELD.fullmatch(line)
        if match is None:
            raise Mistake(f"field {number} is not a name, a colon and a value of visible ASCII")
        if match[1].lower() in {name.lower() for name in found}:
            raise Mistake(f"field {number} has a name that was given before")
        found[match[1]] = match[2]
    return tuple(found.items())


def name(text: str, base: Path) -> str:
    """Read the name of a service."""
    if _NAME.fullmatch(text) is None:
        raise Mistake(f"{shown(text)} is not a name of a service")
    return text
