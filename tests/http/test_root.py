"""The shortcuts to handlers choose what Klein would choose."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st
from klein import Klein
from twisted.trial.unittest import SynchronousTestCase
from werkzeug.exceptions import HTTPException

from queuey.http.authorized import Route
from queuey.http.root import Shortcuts
from queuey.http.v1 import APPLICATION, MESSAGES, QUEUE, V1
from queuey.model.access import Operation

SEGMENTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), max_size=6)
PATHS = st.lists(st.one_of(SEGMENTS, st.sampled_from(["v1", "v2", "app", "queue", ".", "..", "", "%"])), max_size=6)
METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])


async def nothing(*_: object, **__: object) -> None:
    """A handler; which one was chosen is all that is asked here."""


def v1_routes() -> tuple[Route, ...]:
    """The real routes, whose handlers are not called."""
    unused: Any = None
    return V1(unused, unused, unused).routes()


class ShortcutTests(SynchronousTestCase):
    """Both ways to a handler, side by side."""

    def setUp(self) -> None:
        self.shortcuts = Shortcuts()
        app = Klein()
        app.url_map.merge_slashes = False
        self.routes = {}
        for route in v1_routes():
            endpoint = f"{route.method} {route.path}"
            app.route(route.path, methods=[route.method], endpoint=endpoint, strict_slashes=False)(nothing)
            handler = route.behind(None)  # type: ignore[arg-type]
            self.routes[handler] = endpoint
            self.shortcuts.add(route, handler)
        self.map = app.url_map.bind("")

    def by_klein(self, method: str, path: str) -> tuple[str, dict[str, str]] | None:
        try:
            endpoint, names = self.map.match(path, method)
        except HTTPException:
            return None
        return endpoint, dict(names)

    def by_shortcut(self, method: str, path: str) -> tuple[str, dict[str, str]] | None:
        found = self.shortcuts.find(method.encode(), quote(path).encode())
        return None if found is None else (self.routes[found[0]], found[1])

    @given(METHODS, PATHS)
    def test_random_paths(self, method: str, segments: list[str]) -> None:
        """What the shortcuts find, Klein finds too, with the same names."""
        path = "/" + "/".join(segments)
        found = self.by_shortcut(method, path)
        if found is not None:
            self.assertEqual(found, self.by_klein(method, path))

    @given(st.sampled_from(v1_routes()), st.lists(SEGMENTS.filter(bool), min_size=3, max_size=3))
    def test_every_route(self, route: Route, segments: list[str]) -> None:
        """Plain paths of every route are found, whatever the names in them."""
        path = "/" + "/".join(["v1", *segments[: len(route.names)]])
        found = self.by_shortcut(route.method, path)
        self.assertEqual(found, (f"{route.method} {route.path}", dict(zip(route.names, segments, strict=False))))
        self.assertEqual(found, self.by_klein(route.method, path))

    def test_what_is_left_to_klein(self) -> None:
        """Slashes at the end, other methods and versions, paths that are not there."""
        for method, path in (("GET", "/v1/app/"), ("GET", "/v1//q"), ("HEAD", "/v1/app"), ("GET", "/v2/app"),
                             ("GET", "/v1"), ("GET", "/"), ("GET", "*"), ("GET", "/v1/a/b/c/d"),
                             ("get", "/v1/app")):  # fmt: skip
            self.assertIsNone(self.shortcuts.find(method.encode(), path.encode()), path)

    def test_names(self) -> None:
        """Every path of a route names what its handler takes."""
        self.assertEqual(
            [Route("GET", path, Operation.LIST_QUEUES, nothing).names for path in (APPLICATION, QUEUE, MESSAGES)],
            [("application",), ("application", "queue"), ("application", "queue", "ids")],
        )
