"""Routes, and what a caller must be allowed for each, in one line."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Set
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from queuey.core.queues import QueueDirectory
from queuey.errors import BodyTooLarge, Forbidden, NoSuchQueue
from queuey.http.reading import credentials
from queuey.http.wire import Request
from queuey.interfaces import IAuthenticator, IPolicies
from queuey.model.access import Operation, allowed
from queuey.model.policy import Policy
from queuey.model.queue import MAX_NAME, Queue


@attrs.frozen
class Admitted:
    """A request that may go on: on whose terms."""

    policy: Policy


@attrs.frozen
class AdmittedToQueue(Admitted):
    """A request that may go on, and the queue that it means."""

    queue: Queue


@attrs.frozen
class Gate:
    """Decides who comes in; the order of refusals is part of the v1 API."""

    policies: IPolicies
    authenticator: IAuthenticator
    directory: QueueDirectory

    async def admit(self, request: Request, application: str, operation: Operation) -> Admitted:
        """Let a request on an application in, or raise why not."""
        policy, caller = await self._identify(request, application)
        _permit(operation, caller, application, None)
        return Admitted(policy)

    async def admit_to_queue(
        self, request: Request, application: str, name: str, operation: Operation
    ) -> AdmittedToQueue:
        """Let a request on a queue in, or raise why not."""
        policy, caller = await self._identify(request, application)
        if len(name) > MAX_NAME:
            raise NoSuchQueue(f"Queue name longer than {MAX_NAME} characters.")
        request.queue = name
        queue = await self.directory.find(application, name)
        _permit(operation, caller, application, queue)
        return AdmittedToQueue(policy, queue)

    async def _identify(self, request: Request, application: str) -> tuple[Policy, Set[str]]:
        policy = await self.policies.policy_for(application)
        request.application = application
        if len(request.body) > policy.max_body:
            raise BodyTooLarge(f"A body of this application has at most {policy.max_body} bytes.")
        caller: Set[str] = frozenset()
        for credential in credentials(request):
            caller |= await self.authenticator.authenticate(credential)
        return policy, caller


def _permit(operation: Operation, caller: Set[str], application: str, queue: Queue | None) -> None:
    if not allowed(operation, caller, application, queue):
        raise Forbidden(f"Access was denied: this caller may not {operation.value}.")


Handler = Callable[..., Coroutine[Deferred[Any], Any, None]]


@attrs.frozen
class Route:
    """One line of an API: what is asked, what a caller must be allowed for it, and who handles it.

    The handler gets the request, how it was admitted (:class:`AdmittedToQueue` where the path names a queue), and
    whatever else the path names.
    """

    method: str
    path: str
    operation: Operation
    handler: Handler

    @property
    def names(self) -> tuple[str, ...]:
        """What the path names, in its order, after the version that it begins with."""
        return tuple(part.strip("<>") for part in self.path.split("/")[2:])

    def behind(self, gate: Gate) -> Handler:
        """The handler, reached through the gate; it takes the request and what the path names."""

        async def on_application(request: Request, application: str) -> None:
            await self.handler(request, await gate.admit(request, application, self.operation))

        async def on_queue(request: Request, application: str, queue: str, **rest: str) -> None:
            admitted = await gate.admit_to_queue(request, application, queue, self.operation)
            await self.handler(request, admitted, **rest)

        return on_queue if "queue" in self.names else on_application
