"""The root of the HTTP API: all routes, and the answer to unknown paths."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final
from urllib.parse import unquote_to_bytes

import attrs
from klein import Klein
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import MethodNotAllowed, NotFound

from queuey.core.rates import RateLimits
from queuey.deferreds import CoroutineRunner
from queuey.errors import TooManyRequests
from queuey.http.admission.cors import Cors
from queuey.http.admission.first_look import first_look
from queuey.http.admission.gate import Gate
from queuey.http.answers.encoding import JSON, encoded
from queuey.http.answers.errors import ErrorAnswers
from queuey.http.heads.plan import Plan
from queuey.http.routes import BodyRoute, Endpoint, Handler, OpenRoute, Route, Served
from queuey.http.wire import Refusal, Request
from queuey.interfaces import IStore

HEARTBEAT = "/__heartbeat__"
DRAINING: Final = Refusal(503, "draining", "This front end is being drained; ask another one.")


def make_root(
    routes: Sequence[Route],
    open_routes: Sequence[OpenRoute | BodyRoute],
    gate: Gate,
    cors: Cors,
    store: IStore,
    errors: ErrorAnswers,
    draining: Callable[[], bool],
) -> Root:
    """The resource that serves every API.

    :param routes: the lines of the APIs that are about applications.
    :param open_routes: those that are for everybody.
    :param store: whose answer the heartbeat asks for.
    :param draining: whether the heartbeat reports that this front end is drained.
    """
    app = Klein()
    app.url_map.merge_slashes = False
    errors.install(app)
    shortcuts = Shortcuts()
    endpoints: dict[str, Endpoint] = {}
    everything: list[tuple[str, Endpoint]] = [(each.method, each) for each in open_routes]
    everything += [(route.method, route.behind(gate)) for route in routes]
    for method, endpoint in everything:
        path = endpoint.path
        if path != "/":  # that of SQS is found by its shortcut; for all other methods there is nothing at the root
            app.route(path, methods=[method], endpoint=f"{method} {path}", strict_slashes=strict(path))(endpoint.handle)
        shortcuts.add(method, endpoint)
        endpoints[f"{method} {path}"] = endpoint
    _mount_options(app, routes, gate, cors)

    async def heartbeat(request: Request) -> None:
        request.route = HEARTBEAT
        if draining():
            request.refuse(DRAINING, close=False)
            return
        await store.ping()
        request.answer(200, (JSON,), encoded({"status": "ok"}))

    app.route(HEARTBEAT, methods=["GET"], strict_slashes=False)(heartbeat)
    shortcuts.add("GET", OpenRoute("GET", HEARTBEAT, heartbeat))
    return Root(app, shortcuts, endpoints, errors, gate.rates)


def noted(path: str, handler: Handler) -> Handler:
    """A handler that notes on the request which path it was found by."""

    async def handle(request: Request, **names: str) -> None:
        request.route = path
        await handler(request, **names)

    return handle


def strict(path: str) -> bool:
    """Whether a slash at the end of a path makes another one; clients of the first API rely on it making none."""
    return not path.startswith("/v1/")


def _mount_options(app: Klein, routes: Sequence[Route], gate: Gate, cors: Cors) -> None:
    """Answer OPTIONS on every path of an application, before authentication, as browsers ask."""
    methods = defaultdict(list)
    for route in routes:
        methods[route.path].append(route.method)
    for path, taken in methods.items():
        allow = ", ".join(sorted({*taken, "OPTIONS", *(["HEAD"] if "GET" in taken else [])}))
        answer = noted(path, _Options(allow, gate, cors).answer)
        app.route(path, methods=["OPTIONS"], endpoint=f"OPTIONS {path}", strict_slashes=strict(path))(answer)


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


_Shortcut = tuple[Endpoint, tuple[tuple[int, str], ...], tuple[tuple[int, bytes], ...]]
"""The endpoint of a path, and the parts of the path: names, and words of the API."""


class Shortcuts:
    """Finds the handler of a plain path without Klein, which takes as long for that as all else that a POST needs.

    What it does not find, Klein may: paths with a slash at their end, other methods, paths that are not there.
    """

    def __init__(self) -> None:
        self._handlers: dict[tuple[bytes, bytes, int], list[_Shortcut]] = {}

    def add(self, method: str, endpoint: Endpoint) -> None:
        """Take a route in. Of two that a path may be taken for, the one that is added first has it."""
        _, version, *parts = endpoint.path.split("/")
        if "" in parts:
            return  # Klein finds it, as it finds all paths that end with a slash
        names = tuple((at, part.strip("<>")) for at, part in enumerate(parts) if part.startswith("<"))
        words = tuple((at, part.encode("ascii")) for at, part in enumerate(parts) if not part.startswith("<"))
        key = (method.encode("ascii"), version.encode("ascii"), len(parts))
        self._handlers.setdefault(key, []).append((endpoint, names, words))

    def find(self, method: bytes, path: bytes) -> tuple[Endpoint, dict[str, str]] | None:
        """Return the endpoint of a path, and the names in the path.

        :param path: as it came; percent-encoded UTF-8.
        """
        _, version, *segments = path.split(b"/") if b"/" in path else (b"", b"")
        found = self._handlers.get((method, version, len(segments)))
        if found is None or b"" in segments:
            return None
        for endpoint, names, words in found:
            for at, word in words:
                if segments[at] != word:
                    break
            else:
                if b"%" in path:
                    segments = [unquote_to_bytes(segment) for segment in segments]
                return endpoint, {name: str(segments[at], "utf-8") for at, name in names}
        return None


class Root(Resource):
    """Dispatches requests to their handlers, by a cached plan or through Klein.

    Klein would misread two kinds of requests. It would take an encoded slash for a separator, but names here never
    contain slashes. It ignores the case of methods, but methods are case-sensitive (RFC 9110, section 9.1).
    """

    isLeaf = True

    def __init__(
        self,
        app: Klein,
        shortcuts: Shortcuts,
        endpoints: Mapping[str, Endpoint],
        errors: ErrorAnswers,
        rates: RateLimits,
    ) -> None:
        """
        :param endpoints: what serves the paths of the APIs, by the names that Klein has for them.
        """
        super().__init__()
        self._endpoints = endpoints
        self._app = app.resource()
        self._map = app.url_map.bind("")
        self._shortcuts = shortcuts
        self._errors = errors
        self._rates = rates
        # One object for all heads that have it, and for all requests.
        self._serve, self._on_done = self.serve, self.on_done

    def look(self, request: Request, go_on: Callable[[], None]) -> None:
        """Refuse a request before its body is read, if its caller has no access or its path does not exist.

        :param go_on: is called if the body is to be read. The handler then repeats these checks.
        """
        found = self._served(request)
        if found is None:
            request.process()
            return
        endpoint, names = found
        request.route = endpoint.path
        if isinstance(endpoint, BodyRoute):
            try:
                endpoint.look(request)
            except Exception:
                self.on_done(request, Failure())
            else:
                go_on()
            return
        looking = first_look(request, endpoint, names, partial(self._looked, go_on))
        if looking is not None and looking.waits:
            request.serving = looking

    def _looked(self, go_on: Callable[[], None], request: Request, failure: Failure | None) -> None:
        if failure is not None:
            self.on_done(request, failure)
        elif not request.gone:
            request.serving = None
            go_on()

    def _served(self, request: Request) -> tuple[Served | BodyRoute, Mapping[str, str]] | None:
        """Return the route of a request that needs its body, and the names in its path; ``None`` if it needs none."""
        plan = request.head.plan
        if plan is None and self._plan(request):
            plan = request.head.plan
        if plan is not None:
            return (plan.endpoint, plan.names) if isinstance(plan.endpoint, Served | BodyRoute) else None
        if request.path == b"*" or b"%2f" in request.path.lower() or not request.method.isupper():
            return None
        try:
            name, names = self._match(request)
        except (NotFound, MethodNotAllowed):
            return None
        # Without an endpoint, the request is for the heartbeat, or OPTIONS.
        endpoint = self._endpoints.get(name)
        return (endpoint, names) if isinstance(endpoint, Served | BodyRoute) else None

    def render(self, request: Request) -> object:
        """Serve a request."""
        if request.head.plan is not None or self._plan(request):
            self.serve(request)
            return NOT_DONE_YET
        if b"%2f" in request.path.lower():
            text = 'No name here has a "/" in it, so there is nothing at this path.'
            self._errors.unrouted(request, NotFound(), text)
            return NOT_DONE_YET
        if not request.method.isupper():
            methods = list(self._map.allowed_methods(request.decoded_path()))
            self._errors.unrouted(request, MethodNotAllowed(methods) if methods else NotFound())
            return NOT_DONE_YET
        try:
            name, names = self._match(request)
        except (NotFound, MethodNotAllowed) as error:
            # Klein would find the same out, and leave a cycle of closures behind with the request in it.
            self._errors.unrouted(request, error)
            return NOT_DONE_YET
        endpoint = self._endpoints.get(name)
        if endpoint is None:  # the heartbeat, or OPTIONS
            return self._app.render(request)
        request.head.plan, request.head.serve = Plan(endpoint, dict(names)), self._serve
        self.serve(request)
        return NOT_DONE_YET

    def _match(self, request: Request) -> tuple[str, Mapping[str, str]]:
        """Find the endpoint of a path in Klein's map.

        :raise NotFound: if there is none, or ``MethodNotAllowed``.
        """
        if request.path.startswith(b"//"):
            raise NotFound  # the map would drop the empty segment, so that //v1 would be /v1
        return self._map.match(request.decoded_path(), request.method.decode("ascii"))

    def serve(self, request: Request) -> None:
        """Serve a request whose head has a plan."""
        plan = request.head.plan
        if plan is None:
            raise RuntimeError("A request is served by the plan of its head.")
        request.route = plan.endpoint.path
        try:
            serving = plan.endpoint.begin(request, plan, self._on_done)
        except Exception:
            self.on_done(request, Failure())
        else:
            if serving.waits:
                request.serving = serving

    def _plan(self, request: Request) -> bool:
        """Find what serves a request, which the next one with the same head need not; whether there is such."""
        found = self._shortcuts.find(request.method, request.path)
        if found is None:
            return False
        request.head.plan, request.head.serve = Plan(*found), self._serve
        return True

    def on_done(self, request: Request, failure: Failure | None) -> None:
        """End a request that was handled, as Klein does."""
        if failure is None:
            if not request.finished and not request.lasts:
                request.finish()
        elif isinstance(failure.value, TooManyRequests):
            holding = CoroutineRunner(self._hold(request, failure), self._refuse, request)
            if holding.waits:
                request.serving = holding
        else:
            self._refuse(request, failure)

    async def _hold(self, request: Request, failure: Failure) -> None:
        await self._rates.hold(request.application or "")
        failure.raiseException()

    def _refuse(self, request: Request, failure: Failure | None) -> None:
        if failure is not None:
            self._errors.answer(request, failure)
        request.finish()
