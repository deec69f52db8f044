"""Routes of the APIs: what a caller must be allowed for each, and the endpoints that serve them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from queuey.deferreds import CoroutineRunner
from queuey.http.admission.gate import Gate
from queuey.http.heads.plan import Plan
from queuey.http.wire import Request
from queuey.model.applications.access import Operation
from queuey.model.queues.choice import QueueChoice

Handler = Callable[..., Coroutine[Deferred[Any], Any, None]]


OnDone = Callable[[Request, Failure | None], None]
"""Is called when a request was handled: with ``None`` if it was answered, or with the failure of its handler."""


class Endpoint(Protocol):
    """Serves the requests of a path.

    :ivar path: its parts between ``<`` and ``>`` name something.
    :ivar handle: takes a request, and what the path names.
    """

    @property
    def path(self) -> str:
        """See above."""

    @property
    def handle(self) -> Handler:
        """See above."""

    def begin(self, request: Request, plan: Plan, on_done: OnDone) -> CoroutineRunner[Request]:
        """Serve a request whose head has a plan.

        :raise Exception: if the request could not be handled at all.
        """


def _nothing(request: Request) -> None:
    """Accept every head: the check of a route that has no other."""


@attrs.frozen
class Route:
    """One route of an API: method, path, the operation that the caller must be permitted, and the handler.

    The handler gets the request, its admission (:class:`AdmittedToQueue` if the path names a queue that must exist),
    and the other variable parts of the path.

    :ivar path: the parts between ``<`` and ``>`` are variable.
    :ivar choice: returns the queues that a request chooses, if it is about several; the handler gets an
        :class:`AdmittedToChoice`.
    :ivar check: raises an error if the head of a permitted request is invalid; called before the handler.
    """

    method: str
    path: str
    operation: Operation
    handler: Handler
    check: Callable[[Request], None] = _nothing
    choice: Callable[[Request, str], QueueChoice] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the path, in its order."""
        return tuple(part.strip("<>") for part in self.path.split("/") if part.startswith("<"))

    def behind(self, gate: Gate) -> Served:
        """The route, reached through the gate."""
        if self.choice is not None:
            return ServedOnChoice(self, gate)
        is_there = "queue" in self.names and self.operation is not Operation.CREATE_QUEUE
        return (ServedOnQueue if is_there else Served)(self, gate)


class Served:
    """Serves the requests of a route: lets them in through the gate, and hands them to the handler.

    :ivar operation: what a caller must be allowed.
    """

    def __init__(self, route: Route, gate: Gate) -> None:
        self._route = route
        self.gate = gate
        self.operation = route.operation
        self.path = route.path

    async def handle(self, request: Request, application: str, **rest: str) -> None:
        """Serve a request, from the beginning; takes what the path names."""
        request.note()
        route = self._route
        admitted = await self.gate.admit(request, application, route.operation)
        route.check(request)
        await route.handler(request, admitted, **rest)

    def begin(self, request: Request, plan: Plan, on_done: OnDone) -> CoroutineRunner[Request]:
        """See :class:`Endpoint`."""
        return CoroutineRunner(self.handle(request, **plan.names), on_done, request)


class ServedOnChoice(Served):
    """Serves the requests of a route that are about queues of the client's choice."""

    async def handle(self, request: Request, application: str, **rest: str) -> None:
        """See :class:`Served`."""
        request.note()
        route = self._route
        assert route.choice is not None
        choice = partial(route.choice, request, application)
        admitted = await self.gate.admit_to_choice(request, application, lambda: choice().signed_line())
        route.check(request)
        await route.handler(request, admitted, **rest)


class ServedOnQueue(Served):
    """Serves the requests of a route whose path names an existing queue.

    If everything that decides about the request is cached, it goes to its handler at once. All other requests, and
    those that have to be refused, take the full way, which keeps the order of refusals.
    """

    async def handle(self, request: Request, application: str, queue: str, **rest: str) -> None:  # type: ignore[override]
        """See :class:`Served`."""
        request.note()
        route = self._route
        admitted = await self.gate.admit_to_queue(request, application, queue, route.operation)
        route.check(request)
        await route.handler(request, admitted, **rest)

    def begin(self, request: Request, plan: Plan, on_done: OnDone) -> CoroutineRunner[Request]:
        """See :class:`Endpoint`."""
        route = self._route
        if request.connection.hooks.traces is not None:
            request.note()
        admitted = self.gate.admit_at_once(request, plan, route.operation)
        if admitted is None:
            return CoroutineRunner(self.handle(request, **plan.names), on_done, request)
        if not plan.checked:
            route.check(request)
            plan.checked = True
        return CoroutineRunner(route.handler(request, admitted, **plan.others), on_done, request)


@attrs.frozen(eq=False)
class OpenRoute:
    """A route without access checks and without variable parts; its handler gets the request."""

    method: str
    path: str
    handle: Handler

    def begin(self, request: Request, plan: Plan, on_done: OnDone) -> CoroutineRunner[Request]:
        """See :class:`Endpoint`."""
        return CoroutineRunner(self.handle(request), on_done, request)


@attrs.frozen(eq=False)
class BodyRoute:
    """A route whose handler finds out itself who the caller is, by the body as well.

    :ivar look: raises an error if the head alone shows that the request will be refused.
    """

    method: str
    path: str
    handle: Handler
    look: Callable[[Request], None]

    def begin(self, request: Request, plan: Plan, on_done: OnDone) -> CoroutineRunner[Request]:
        """See :class:`Endpoint`."""
        return CoroutineRunner(self.handle(request), on_done, request)
