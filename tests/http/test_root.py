"""The shortcuts to handlers choose what Klein would choose."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from hypothesis import assume, given
from hypothesis import strategies as st
from klein import Klein
from twisted.trial.unittest import SynchronousTestCase
from werkzeug.exceptions import HTTPException

from queuey.http.authorized import Endpoint, OpenRoute, Route
from queuey.http.root import Shortcuts, strict
from queuey.http.v1 import APPLICATION, MESSAGES, QUEUE, V1
from queuey.http.v2 import api, queues
from queuey.http.v2.application import V2Application
from queuey.http.v2.claims import V2Claims
from queuey.http.v2.groups import V2Groups
from queuey.http.v2.moving import V2Moving
from queuey.http.v2.queues import V2Queues
from queuey.http.v2.settlements import V2Settlements
from queuey.model.access import Operation

SEGMENTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), max_size=6)
WORDS = ["v1", "v2", "app", "queues", "queue", "messages", "groups", "claims", "openapi.json", ".", "..", "", "%"]
PATHS = st.lists(st.one_of(SEGMENTS, st.sampled_from(WORDS)), max_size=7)
METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])


async def nothing(*_: object, **__: object) -> None:
    """A handler; which one was chosen is all that is asked here."""


def all_routes() -> tuple[Route, ...]:
    """The real routes, whose handlers are not called, and some that have words of the API further behind."""
    unused: Any = None
    groups = (V2Groups(unused, unused), V2Claims(unused, unused), V2Settlements(unused), V2Moving(unused))
    v2 = api.routes((V2Application(unused, 0.0, unused), V2Queues(unused), *groups))
    messages = (
        Route("POST", f"{queues.QUEUE}/messages", Operation.WRITE_MESSAGES, nothing),
        Route("GET", f"{queues.QUEUE}/messages/<id>", Operation.READ_MESSAGES, nothing),
        Route("POST", f"{queues.QUEUE}/others", Operation.WRITE_MESSAGES, nothing),
    )
    return (*V1(unused, unused, unused).routes(), *v2, *messages)


OPEN = OpenRoute("GET", "/v2/openapi.json", nothing)


class ShortcutTests(SynchronousTestCase):
    """Both ways to a handler, side by side."""

    def setUp(self) -> None:
        self.shortcuts = Shortcuts()
        app = Klein()
        app.url_map.merge_slashes = False
        self.routes: dict[Endpoint, str] = {}
        behind = [(route, route.behind(None)) for route in all_routes()]  # type: ignore[arg-type]
        everything: list[tuple[Route | OpenRoute, Endpoint]] = [(OPEN, OPEN), *behind]
        for route, served in everything:
            endpoint = f"{route.method} {route.path}"
            app.route(route.path, methods=[route.method], endpoint=endpoint, strict_slashes=strict(route.path))(nothing)
            self.routes[served] = endpoint
            self.shortcuts.add(route.method, served)
        self.map = app.url_map.bind("")

    def by_klein(self, method: str, path: str) -> tuple[str, dict[str, str]] | None:
        try:
            endpoint, names = self.map.match(path, method)
        except HTTPException:
            return None
        return endpoint, dict(names)

    def by_shortcut(self, method: str, path: str) -> tuple[str, dict[str, str]] | None:
        found = self.shortcuts.find(method.encode(), quote(path).encode())
        if found is None:
            return None
        served, names = found
        self.assertEqual(f"{method} {served.path}", self.routes[served])
        return self.routes[served], names

    @given(METHODS, PATHS)
    def test_random_paths(self, method: str, segments: list[str]) -> None:
        """What the shortcuts find, Klein finds too, with the same names."""
        path = "/" + "/".join(segments)
        found = self.by_shortcut(method, path)
        if found is not None:
            self.assertEqual(found, self.by_klein(method, path))

    @given(st.sampled_from(all_routes()), st.lists(SEGMENTS.filter(bool), min_size=3, max_size=3))
    def test_every_route(self, route: Route, segments: list[str]) -> None:
        """Plain paths of every route are found, whatever the names in them."""
        left = iter(segments)
        path = "/".join(next(left) if part.startswith("<") else part for part in route.path.split("/"))
        assume(path != OPEN.path)
        found = self.by_shortcut(route.method, path)
        self.assertEqual(found, (f"{route.method} {route.path}", dict(zip(route.names, segments, strict=False))))
        self.assertEqual(found, self.by_klein(route.method, path))

    def test_what_is_left_to_klein(self) -> None:
        """Slashes at the end, other methods and versions, paths that are not there."""
        for method, path in (("GET", "/v1/app/"), ("GET", "/v1//q"), ("HEAD", "/v1/app"), ("GET", "/v3/app"),
                             ("GET", "/v2/app/"), ("GET", "/v2/app/queue"), ("GET", "/v2/app/%71ueues"),
                             ("GET", "/v1"), ("GET", "/"), ("GET", "*"), ("GET", "/v1/a/b/c/d"),
                             ("get", "/v1/app")):  # fmt: skip
            self.assertIsNone(self.shortcuts.find(method.encode(), path.encode()), path)

    def test_what_is_open(self) -> None:
        """A path without names comes before one that has a name in the same place."""
        self.assertEqual(self.by_shortcut("GET", OPEN.path), ("GET /v2/openapi.json", {}))
        self.assertEqual(self.by_shortcut("GET", OPEN.path), self.by_klein("GET", OPEN.path))

    def test_names(self) -> None:
        """Every path of a route names what its handler takes."""
        self.assertEqual(
            [Route("GET", path, Operation.LIST_QUEUES, nothing).names for path in (APPLICATION, QUEUE, MESSAGES)],
            [("application",), ("application", "queue"), ("application", "queue", "ids")],
        )
