"""The shortcuts to handlers choose what Klein would choose."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import attrs
from hypothesis import assume, given
from hypothesis import strategies as st
from klein import Klein
from twisted.trial.unittest import SynchronousTestCase
from werkzeug.exceptions import HTTPException

from queuey.errors import NoSuchApplication
from queuey.http.answers.errors import ErrorAnswers
from queuey.http.heads.plan import Plan
from queuey.http.root import Shortcuts, make_root, strict
from queuey.http.routes import Endpoint, Handler, OpenRoute, Route
from queuey.http.v1.api import APPLICATION, MESSAGES, QUEUE, V1
from queuey.http.v2 import api, queues
from queuey.http.v2.application import V2Application
from queuey.http.v2.groups.claims import V2Claims
from queuey.http.v2.groups.groups import V2Groups
from queuey.http.v2.groups.moving import V2Moving
from queuey.http.v2.groups.settlements import V2Settlements
from queuey.http.v2.queues import V2Queues
from queuey.http.wire import Request
from queuey.model.applications.access import Operation
from tests.http.wire_support import Client, make_site

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
    v2 = api.routes((V2Application(unused, 0.0, unused, unused), V2Queues(unused, unused), *groups))
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


class Anyone:
    """A gate that lets everybody in, and tells the handler by which names."""

    def __init__(self) -> None:
        self.rates = self.policies = self

    async def policy_for(self, application: str) -> None:
        """What OPTIONS asks for."""
        raise NoSuchApplication("There is none here.")

    async def admit(self, request: Request, application: str, operation: Operation) -> dict[str, str]:
        return {"application": application}

    async def admit_to_queue(self, request: Request, application: str, queue: str, operation: Operation) -> object:
        return {"application": application, "queue": queue}

    def admit_at_once(self, request: Request, plan: Plan, operation: Operation) -> None:
        """Nothing is known."""


def as_it_is(text: str) -> str:
    """A segment with as few escapes as can be."""
    return quote(text, safe="!$&'()*+,;=:@")


def all_escaped(text: str) -> str:
    """A segment that has nothing but escapes, in lower case."""
    return "".join([f"%{byte:02x}" for byte in text.encode()])


PIECES = st.one_of(SEGMENTS, st.sampled_from([*WORDS, "V1", "Queues", "claims.", "a/b", "ids"]))
ESCAPED = st.builds(lambda text, way: way(text), PIECES, st.sampled_from([as_it_is, as_it_is, as_it_is, all_escaped]))
VERBS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "FROB", "get", "Post"])
SLASH = "\ue000"
"""Stands for an encoded slash, where Klein would take that for a slash."""


class RootTests(SynchronousTestCase):
    """The root as it is served, and Klein's map by itself: the same handler, or none, for whatever is asked."""

    def setUp(self) -> None:
        self.chosen: list[tuple[str, dict[str, str]]] = []
        gate: Any = Anyone()
        unused: Any = None
        routes = [attrs.evolve(route, handler=self.noted(route)) for route in all_routes()]
        errors = ErrorAnswers(lambda: "incident")
        opened = OpenRoute(OPEN.method, OPEN.path, self.noted(OPEN))
        self.client = Client(make_site(make_root(routes, [opened], gate, unused, unused, errors, lambda: False)))
        app = Klein()
        app.url_map.merge_slashes = False
        everything: list[Route | OpenRoute] = [OPEN, *routes]
        for route in everything:
            endpoint = f"{route.method} {route.path}"
            app.route(
                route.path, methods=[route.method], endpoint=endpoint, strict_slashes=route.path.startswith("/v2/")
            )(nothing)
        self.map = app.url_map.bind("")

    def noted(self, route: Route | OpenRoute) -> Handler:
        async def handle(request: Request, admitted: Mapping[str, str] | None = None, **names: str) -> None:
            self.chosen.append((f"{route.method} {route.path}", {**(admitted or {}), **names}))
            request.answer(204, (), b"")

        return handle

    def by_root(self, method: str, path: str) -> tuple[str, dict[str, str]] | None:
        self.chosen.clear()
        connection = self.client.start(method, path)
        connection.hang_up()
        return self.chosen[0] if self.chosen else None

    def by_klein(self, method: str, path: str) -> tuple[str, dict[str, str]] | None:
        if not method.isupper() or method == "OPTIONS":
            return None  # Klein does not tell methods apart by case; and what answers OPTIONS is no route
        if path.startswith("//"):
            return None  # Klein drops empty segments there, and no route begins so
        plain = unquote(re.sub("%2f", SLASH, path, flags=re.IGNORECASE))
        try:
            endpoint, names = self.map.match(plain, method)
        except HTTPException:
            return None
        return endpoint, {name: value.replace(SLASH, "/") for name, value in names.items()}

    def compare(self, method: str, path: str) -> tuple[str, dict[str, str]] | None:
        found, expected = self.by_root(method, path), self.by_klein(method, path)
        if found is None and "%2f" in path.lower():
            return None  # an encoded slash is part of a name in plain paths alone
        self.assertEqual(found, expected, (method, path))
        return found

    @given(VERBS, st.lists(ESCAPED, max_size=7), st.booleans())
    def test_whatever_is_asked(self, method: str, segments: list[str], slash: bool) -> None:
        """Escapes, empty segments, slashes at the end, dots, other methods and cases, and any script."""
        self.compare(method, "/" + "/".join(segments) + "/" * slash)

    @given(st.sampled_from(all_routes()), st.lists(ESCAPED, min_size=4, max_size=4), VERBS, st.data())
    def test_near_every_route(self, route: Route, names: list[str], verb: str, data: st.DataObject) -> None:
        """Paths of each route: as they are, with a part more or less, with another method."""
        left = iter(names)
        parts = [next(left) if part.startswith("<") else part for part in route.path.split("/")]
        change = data.draw(st.sampled_from(["nothing", "slash", "less", "more", "verb", "word"]))
        if change == "slash":
            parts.append("")
        elif change == "less":
            del parts[data.draw(st.integers(1, len(parts) - 1))]
        elif change == "more":
            parts.insert(data.draw(st.integers(1, len(parts))), names[-1])
        elif change == "word":
            at = data.draw(st.integers(1, len(parts) - 1))
            parts[at] = data.draw(st.sampled_from([parts[at].upper(), all_escaped(parts[at]), f"{parts[at]}."]))
        self.compare(verb if change == "verb" else route.method, "/".join(parts))

    def test_every_route(self) -> None:
        """Each is served, with a slash at its end where that makes no difference, and by no method that it lacks."""
        for route in all_routes():
            path = re.sub("<([a-z]+)>", r"\1%21", route.path)
            names = {name: f"{name}!" for name in route.names}
            expected = (f"{route.method} {route.path}", names)
            self.assertEqual(self.compare(route.method, path), expected)
            self.assertEqual(self.compare(route.method, f"{path}/"), expected if path.startswith("/v1/") else None)
            for word in path.split("/")[1:]:
                self.compare(route.method, path.replace(word, word.upper(), 1))
                self.compare(route.method, path.replace(word, all_escaped(word), 1))
            self.assertIsNone(self.compare("FROB", path))
            self.assertIsNone(self.compare(route.method.lower(), path))

    def test_encoded_slashes(self) -> None:
        """They part nothing, also where it is left to Klein what a path is."""
        for path in ("/v1/app%2fq", "/v1/app%2Fq/", "/v1/app%2fq/", "/v1%2fapp", "/v1%2Fapp", "/v2%2fapp/queues/"):
            found = self.compare("GET", path)
            self.assertEqual(
                found, ("GET /v1/<application>", {"application": "app/q"}) if path == "/v1/app%2fq" else None
            )
