"""The v2 API as a whole: its routes, and what all of its requests and answers have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import attrs

from queuey.http.answers.problems import Problem
from queuey.http.routes import OpenRoute, Route
from queuey.http.v2 import description
from queuey.http.v2.description import Description
from queuey.http.wire import Request


class Part(Protocol):
    """Handlers of some paths."""

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""


def routes(parts: Sequence[Part]) -> tuple[Route, ...]:
    """Return the routes below an application."""
    return tuple(attrs.evolve(route, check=checks(route.check)) for part in parts for route in part.routes())


def checks(own: Callable[[Request], None]) -> Callable[[Request], None]:
    """Return the check of a head: that of all requests, and then the route's own."""

    def check(request: Request) -> None:
        refuse_encoding(request)
        own(request)

    return check


def open_routes(described: Description) -> tuple[OpenRoute, ...]:
    """Return the routes that need no credentials."""
    return tuple(OpenRoute(method, description.PATH, described.answer) for method in description.METHODS)


def refuse_encoding(request: Request) -> None:
    """Refuse a body that is compressed, or encoded in another way.

    :raise Problem: saying so.
    """
    values = request.fields.get(b"content-encoding")
    if values is not None and b",".join(values).strip(b" \t").lower() not in (b"", b"identity"):
        text = "A body is sent as it is, without a Content-Encoding."
        raise Problem("content-encoding", text, headers=((b"Accept-Encoding", b"identity"),))
