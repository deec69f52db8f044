"""The root of the HTTP API: every path, and what answers where there is none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import attrs
from klein import Klein
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import MethodNotAllowed, NotFound

from queuey.http.authorized import Gate, Route
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
    for route in routes:
        route.mount(app, gate)
    _mount_options(app, routes, gate, cors)

    @app.route(HEARTBEAT, methods=["GET"], strict_slashes=False)
    async def heartbeat(request: Request) -> None:
        await store.ping()
        ok(request)

    return Root(app, errors)


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


class Root(Resource):
    """Hands requests to the Klein app, but for those that it would take for others.

    An encoded slash is part of a name, and no name here has one; Klein would see it as a slash like any other. Methods
    are told apart by case (RFC 9110, section 9.1), which Klein does not do.
    """

    isLeaf = True

    def __init__(self, app: Klein, errors: ErrorAnswers) -> None:
        super().__init__()
        self._app = app.resource()
        self._map = app.url_map.bind("")
        self._errors = errors

    def render(self, request: Request) -> object:
        """Serve a request."""
        if b"%2f" in request.path.lower():
            refuse(request, 404, {"NotFound": 'No name here has a "/" in it, so there is nothing at this path.'})
            return NOT_DONE_YET
        if not request.method.isupper():
            methods = list(self._map.allowed_methods(request.decoded_path()))
            self._errors.unrouted(request, MethodNotAllowed(methods) if methods else NotFound())
            return NOT_DONE_YET
        return self._app.render(request)
