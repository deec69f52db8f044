"""Routes, and what a caller must be allowed for each, in one line."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from queuey.core.queues import QueueDirectory, planned
from queuey.core.rates import RateLimits
from queuey.errors import BodyTooLarge, Forbidden, NeedsCredentials, NoSuchQueue, TooManyRequests
from queuey.http.ongoing import Ongoing
from queuey.http.reading import credentials
from queuey.http.signed import may_be_signed, take_signature
from queuey.http.wire import Request
from queuey.interfaces import Accepted, IPolicies, ISignatures, Signature
from queuey.model.access import Operation, allowed, is_application
from queuey.model.policy import Policy
from queuey.model.queue import MAX_NAME, Queue, name_problem


@attrs.frozen
class Admitted:
    """A request that may go on: on whose terms.

    :ivar caller: the principals that the caller has proven to be.
    """

    policy: Policy
    caller: frozenset[str]


@attrs.frozen
class AdmittedToQueue(Admitted):
    """A request that may go on.

    :ivar queue: the queue that it means; where the application's messages make their queues, one that is only planned.
    :ivar signature: that its URL has, if it has one.
    :ivar gate: through which it came.
    """

    queue: Queue
    signature: Signature | None
    gate: Gate = attrs.field(repr=False, eq=False)

    @property
    def ttl(self) -> int:
        """Seconds that a message of the queue lives unless it says otherwise."""
        return self.queue.settings.ttl or self.policy.ttl


@attrs.frozen
class Gate:
    """Decides who comes in; the order of refusals is part of the APIs.

    Against the rates of an application counts what its own key asks for, and what others may ask for: nobody uses them
    up who has no business there.
    :ivar accepted: what the application of a policy takes as a proof of who calls.
    :ivar ongoing: requests that go on for long, which end when they would not be let in any more.
    """

    policies: IPolicies
    accepted: Callable[[Policy], Accepted]
    signatures: ISignatures
    directory: QueueDirectory
    rates: RateLimits
    ongoing: Ongoing

    async def admit(self, request: Request, application: str, operation: Operation) -> Admitted:
        """Let a request on an application in, or raise why not."""
        policy, caller, _ = await self._identify(request, application, None)
        permit(operation, caller, application, None)
        self._count(request, policy)
        return Admitted(policy, caller)

    async def admit_to_queue(
        self, request: Request, application: str, name: str, operation: Operation
    ) -> AdmittedToQueue:
        """Let a request on a queue in, or raise why not."""
        policy, caller, signature = await self._identify(request, application, name)
        own = is_application(caller, application)
        if own:
            self._count(request, policy)
        if len(name) > MAX_NAME:
            raise NoSuchQueue(f"Queue name longer than {MAX_NAME} characters.")
        request.queue = name
        try:
            queue = await self.directory.find(application, name)
        except NoSuchQueue:
            new_message = request.method == b"POST" and operation is Operation.WRITE_MESSAGES
            if not new_message or not _makes_queues(policy, caller) or name_problem(name) is not None:
                raise
            queue = planned(policy, name)
        permit(operation, caller, application, queue)
        if not own:
            self._count(request, policy)
        if request.use is not None:
            request.use.enter(name)
        return AdmittedToQueue(policy, caller, queue, signature, self)

    async def look_again(self, request: Request, admitted: AdmittedToQueue, operation: Operation, queue: Queue) -> None:
        """Raise why not where what the caller showed lets in no more; for what may go on for long.

        :param queue: as it is now, or as it was at the beginning.
        """
        policy = await self.policies.policy_for(queue.application)
        caller = await self._proven(request, policy)
        if policy.signed_urls and admitted.signature is not None:
            caller |= await self.signatures.check(admitted.signature, again=True)
        permit(operation, caller, queue.application, queue)

    def _count(self, request: Request, policy: Policy) -> None:
        """Count a request that comes from somebody who has business here, and look whether it is too large."""
        request.use = use = self.rates.use(policy)
        if use is not None:
            use.begin()
        if len(request.body) > policy.max_body:
            raise BodyTooLarge(f"A body of this application has at most {policy.max_body} bytes.")

    async def _identify(
        self, request: Request, application: str, queue: str | None
    ) -> tuple[Policy, frozenset[str], Signature | None]:
        policy = await self.policies.policy_for(application)
        request.application = application
        caller = await self._proven(request, policy)
        signature = None
        if policy.signed_urls and may_be_signed(request):
            signature = take_signature(request, application, queue)
            if signature is not None:
                caller |= await self.signatures.check(signature)
        return policy, caller, signature

    async def _proven(self, request: Request, policy: Policy) -> frozenset[str]:
        """What the header of a request proves."""
        accepted = self.accepted(policy)
        if accepted.challenge != request.challenge:
            request.challenge = accepted.challenge
        caller: frozenset[str] = frozenset()
        for credential in credentials(request):
            proven = await accepted.authenticator.authenticate(credential)
            caller = caller | proven if caller else proven
        return caller


def permit(operation: Operation, caller: frozenset[str], application: str, queue: Queue | None) -> None:
    """Refuse what a caller may not do; see ``model.access``.

    :raise Forbidden: saying so.
    """
    if not allowed(operation, caller, application, queue):
        kind = Forbidden if caller else NeedsCredentials
        raise kind(f"Access was denied: this caller may not {operation.value}.")


def _makes_queues(policy: Policy, caller: frozenset[str]) -> bool:
    """Whether a caller's message makes the queue that it is for."""
    return policy.create_on_write and is_application(caller, policy.application)


Handler = Callable[..., Coroutine[Deferred[Any], Any, None]]


def _nothing(request: Request) -> None:
    """Find nothing wrong with a request."""


@attrs.frozen
class Route:
    """One line of an API: what is asked, what a caller must be allowed for it, and who handles it.

    The handler gets the request, how it was admitted (:class:`AdmittedToQueue` where the path names a queue, unless the
    queue is to be created), and whatever else the path names.

    :ivar path: its parts between ``<`` and ``>`` name something.
    :ivar check: raises what is wrong with a request that may go on, before it is handled.
    """

    method: str
    path: str
    operation: Operation
    handler: Handler
    check: Callable[[Request], None] = _nothing

    @property
    def names(self) -> tuple[str, ...]:
        """What the path names, in its order."""
        return tuple(part.strip("<>") for part in self.path.split("/") if part.startswith("<"))

    def behind(self, gate: Gate) -> Handler:
        """The handler, reached through the gate; it takes the request and what the path names."""

        async def on_application(request: Request, application: str, **rest: str) -> None:
            request.note()
            try:
                admitted = await gate.admit(request, application, self.operation)
                self.check(request)
                await self.handler(request, admitted, **rest)
            except TooManyRequests:
                await gate.rates.hold(application)
                raise

        async def on_queue(request: Request, application: str, queue: str, **rest: str) -> None:
            request.note()
            try:
                admitted = await gate.admit_to_queue(request, application, queue, self.operation)
                self.check(request)
                await self.handler(request, admitted, **rest)
            except TooManyRequests:
                await gate.rates.hold(application)
                raise

        is_there = "queue" in self.names and self.operation is not Operation.CREATE_QUEUE
        return on_queue if is_there else on_application


@attrs.frozen
class OpenRoute:
    """A line of an API that is for everybody, and names nothing; its handler gets the request."""

    method: str
    path: str
    handler: Handler
