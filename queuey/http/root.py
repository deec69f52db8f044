"""The root of the HTTP API: every path, and what answers where there is none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

import attrs
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import MethodNotAllowed, NotFound

from queuey.http.authorized import Gate, Handler, Route
from queuey.http.cors import Cors
from queuey.http.errors import ErrorAnswers, refuse
from queuey.http.wire import Request
from queuey.http.writing import ok
from queuey.interfaces import IStore

HEARTBEAT = "/__heartbeat__"


def make_root(routes: Sequence[Route], gate: Gate, cors: Cors, store: IStore, errors: ErrorAnswers) -> IResource:
    """The resource that serves the whole API.

    :param routes: the lines of the API.
    :param store: whose answer the heartbeat asks for.
    """
    app = Klein()
    app.url_map.merge_slashes = False
    errors.install(app)
    shortcuts = Shortcuts()
    for route in routes:
        handler = route.behind(gate)
        endpoint = f"{route.method} {route.path}"
        app.route(route.path, methods=[route.method], endpoint=endpoint, strict_slashes=False)(handler)
        shortcuts.add(route, handler)
    _mount_options(app, routes, gate, cors)

    @app.route(HEARTBEAT, methods=["GET"], strict_slashes=False)
    async def heartbeat(request: Request) -> None:
        await store.ping()
        ok(request)

    return Root(app, shortcuts, errors)


def _mount_options(app: Klein, routes: Sequence[Route], gate: Gate, cors: Cors) -> None:
    """Answer OPTIONS on every path of an application, before authentication, as browsers ask."""
    methods = defaultdict(list)
    for route in routes:
        methods[route.path].append(route.method)
    for path, taken in methods.items():
        allow = ", ".join(sorted({*taken, "OPTIONS", *(["HEAD"] if "GET" in taken else [])}))
        options = _Options(allow, gate, cors)
        app.route(path, methods=["OPTIONS"], endpoint=f"OPTIONS {path}", strict_slashes=False)(options.answer)


@attrs.frozen
class _Options:
    """Answers OPTIONS on one path."""

    allow: str
    gate: Gate
    cors: Cors

    async def answer(self, request: Request, application: str, **_: str) -> None:
        await self.gate.policies.policy_for(application)
        request.application = application
        if not self.cors.preflight(request, self.allow):
            request.setHeader(b"Allow", self.allow.encode("ascii"))
        request.answer(204, (), b"")


class Shortcuts:
    """Finds the handler of a plain path without Klein, which takes as long for that as all else that a POST needs.

    What it does not find, Klein may: paths with a slash at their end, other methods, paths that are not there.
    """

    def __init__(self) -> None:
        self._handlers: dict[tuple[bytes, bytes, int], tuple[Handler, tuple[str, ...]]] = {}

    def add(self, route: Route, handler: Handler) -> None:
        """Take a route in."""
        version = route.path.split("/")[1].encode("ascii")
        self._handlers[route.method.encode("ascii"), version, len(route.names)] = handler, route.names

    def find(self, method: bytes, path: bytes) -> tuple[Handler, dict[str, str]] | None:
        """The handler for a path, and what the path names.

        :param path: as it came; percent-encoded UTF-8.
        """
        _, version, *segments = path.split(b"/") if path.count(b"/") > 1 else (b"", b"")
        found = self._handlers.get((method, version, len(segments)))
        if found is None or b"" in segments:
            return None
        handler, names = found
        if b"%" in path:
            segments = [unquote_to_bytes(segment) for segment in segments]
        return handler, {name: str(segment, "utf-8") for name, segment in zip(names, segments, strict=True)}


class Root(Resource):
    """Hands requests to their handlers, by a shortcut or by Klein.

    Two kinds of requests Klein would take for others. An encoded slash is part of a name, and no name here has one;
    Klein would see it as a slash like any other. Methods are told apart by case (RFC 9110, section 9.1), which Klein
    does not do.
    """

    isLeaf = True

    def __init__(self, app: Klein, shortcuts: Shortcuts, errors: ErrorAnswers) -> None:
        super().__init__()
        self._app = app.resource()
        self._map = app.url_map.bind("")
        self._shortcuts = shortcuts
        self._errors = errors

    def render(self, request: Request) -> object:
        """Serve a request."""
        found = self._shortcuts.find(request.method, request.path)
        if found is not None:
            self._serve(request, *found)
            return NOT_DONE_YET
        if b"%2f" in request.path.lower():
            refuse(request, 404, {"NotFound": 'No name here has a "/" in it, so there is nothing at this path.'})
            return NOT_DONE_YET
        if not request.method.isupper():
            methods = list(self._map.allowed_methods(request.decoded_path()))
            self._errors.unrouted(request, MethodNotAllowed(methods) if methods else NotFound())
            return NOT_DONE_YET
        return self._app.render(request)

    def _serve(self, request: Request, handler: Handler, names: dict[str, str]) -> None:
        """Run a handler as Klein does: an error is answered, a client that hangs up cancels it."""
        serving = Deferred.fromCoroutine(handler(request, **names))

        def failed(failure: Failure) -> None:
            self._errors.answer(request, failure)

        serving.addErrback(failed).addCallback(lambda _: request.finish())
        if not serving.called:
            request.notifyFinish().addErrback(lambda _: serving.cancel())
