"""URLs of services that are asked about users: over TLS, unless they are on this machine."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from queuey.config.mistakes import Mistake, shown

MAX_URL: Final = 250
"""Maximum length in characters: together with a subject it has to fit into a principal."""

_CHARACTERS: Final = re.compile(r"[A-Za-z0-9!$%&'()*+./:;=?@\[\]_~-]+")


def url_problem(text: str) -> str | None:
    """Return the problem with the URL of a service, or ``None`` if it is valid."""
    problem = problem_of_any(text)
    if problem is None and text.startswith("http:") and not _is_here(urlsplit(text)):
        return "is not of https, which only a service on this machine may do without"
    return problem


def problem_of_any(text: str) -> str | None:
    """Return the problem with an https or http URL, or ``None`` if it is valid."""
    if _CHARACTERS.fullmatch(text) is None or len(text) > MAX_URL:
        return f"is longer than {MAX_URL} characters, or has some that no URL has, or commas or number signs"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "is no URL"
    if not host or parts.scheme not in ("https", "http") or port == 0 or not text.startswith(f"{parts.scheme}://"):
        return "is no URL of https"
    if "@" in parts.netloc:
        return "has a user's name in it"
    return None


def _is_here(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def service(text: str, base: Path) -> str:
    """The URL of a service, as a setting."""
    problem = url_problem(text)
    if problem is not None:
        raise Mistake(f"{shown(text)} {problem}")
    return text


def base(text: str, base: Path) -> str:
    """The URL below which clients reach a service of ours, as a setting; it has no slash at its end."""
    problem = problem_of_any(text)
    if problem is not None:
        raise Mistake(f"{shown(text)} {problem}")
    if "?" in text:
        raise Mistake(f"{shown(text)} has a query", text.partition("?")[0])
    return text.rstrip("/")


def issuer(text: str, base: Path) -> str:
    """The URL that an issuer is known by (OpenID Connect Core 1.0, section 2)."""
    if "?" in text:
        raise Mistake(f"{shown(text)} has a query; the URL of an issuer has none", text.partition("?")[0])
    return service(text, base)
