"""Routes, and what a caller must be allowed for each, in one line."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import cached_property, partial
from typing import Any, Final, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from queuey.core.queues import QueueDirectory, planned
from queuey.core.rates import RateLimits
from queuey.deferreds import CoroutineRunner
from queuey.errors import BodyTooLarge, Forbidden, InvalidRequest, NeedsCredentials, NoSuchQueue
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
    """A request on a queue that was let in.

    :ivar queue: the queue that the request addresses; only a plan of it if the message is going to create the queue.
    :ivar signature: the signature of the request's URL, if it has one.
    :ivar gate: the gate that let the request in.
    """

    queue: Queue
    signature: Signature | None
    gate: Gate = attrs.field(repr=False, eq=False)

    @cached_property
    def ttl(self) -> int:
        """Seconds that a message of the queue lives unless it says otherwise."""
        return self.queue.settings.ttl or self.policy.ttl


@attrs.frozen
class Gate:
    """Authenticates and authorizes requests. The order of refusals is part of the APIs.

    The rates of an application count its own requests, and requests of others only after they were permitted, so that
    callers without access cannot use the rates up.

    :ivar accepted: returns the credentials that the application of a policy accepts.
    :ivar ongoing: the long-lasting requests, which are ended when their caller loses access.
    """

    policies: IPolicies
    accepted: Callable[[Policy], Accepted]
    signatures: ISignatures
    directory: QueueDirectory
    rates: RateLimits
    ongoing: Ongoing

    async def admit(self, request: Request, application: str, operation: Operation) -> Admitted:
        """Let a request on an application in, or raise why not."""
        policy, caller, _ = await self.identify(request, application, None)
        permit(operation, caller, application, None)
        self._count(request, policy)
        return Admitted(policy, caller)

    async def admit_to_queue(
        self, request: Request, application: str, name: str, operation: Operation
    ) -> AdmittedToQueue:
        """Let a request on a queue in, or raise why not."""
        policy, caller, signature = await self.identify(request, application, name)
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
        # To find out all this may have taken a while: what is done goes by the policy of now.
        policy = await self.policies.policy_for(application)
        return AdmittedToQueue(policy, caller, queue, signature, self)

    def admit_at_once(self, request: Request, plan: Plan, operation: Operation) -> AdmittedToQueue | None:
        """Let a request on a queue in like ``admit_to_queue``, if everything that decides about it is cached.

        Policies and queues are replaced, never mutated, so object identity is a valid cache key for what was decided
        from the same head.

        :return: ``None`` if something is not cached or the request has to be refused: call ``admit_to_queue`` then.
        :raise TooManyRequests: like ``admit_to_queue``; ``BodyTooLarge`` likewise.
        """
        application, name = plan.names["application"], plan.names["queue"]
        policy = self.policies.cached(application)
        queue = self.directory.cached(application, name)
        if policy is None or queue is None:
            return None
        admitted = plan.admitted
        if admitted is None or admitted.policy is not policy or admitted.queue is not queue:
            admitted = self._look(request, plan, policy, queue, operation)
            if admitted is None:
                return None
        for again in plan.again:
            if not again():
                return None
        request.application = application
        request.challenge = plan.challenge
        if plan.limited or len(request.body) > policy.max_body:
            self._enter(request, plan, policy, name)
        request.queue = name
        return admitted

    def _enter(self, request: Request, plan: Plan, policy: Policy, name: str) -> None:
        """Count a permitted request against the rates, or refuse it because of them or of its size."""
        if plan.own:
            self._count(request, policy)
        request.queue = name
        if not plan.own:
            self._count(request, policy)
        if request.use is not None:
            request.use.enter(name)

    def _look(
        self, request: Request, plan: Plan, policy: Policy, queue: Queue, operation: Operation
    ) -> AdmittedToQueue | None:
        """Decide about the requests of a head and remember it in the plan; return ``None`` if that cannot be
        remembered."""
        plan.admitted = None
        application = policy.application
        accepted = self.accepted(policy)
        if policy.signed_urls and may_be_signed(request):
            return None
        try:
            proofs = [accepted.authenticator.lasting(one) for one in credentials(request, application)]
        except InvalidRequest:
            return None
        caller: frozenset[str] = frozenset()
        for proof in proofs:
            if proof is None:
                return None
            caller = caller | proof.principals if caller else proof.principals
        if not allowed(operation, caller, application, queue):
            return None
        plan.again = tuple([proof.again for proof in proofs if proof is not None])
        plan.own = is_application(caller, application)
        plan.limited = policy.rates is not None or policy.queue_rates is not None
        plan.challenge = accepted.challenge
        plan.admitted = AdmittedToQueue(policy, caller, queue, None, self)
        return plan.admitted

    async def look_again(self, request: Request, admitted: AdmittedToQueue, operation: Operation, queue: Queue) -> None:
        """Raise an error if the caller has lost its access; used for requests that go on for long.

        :param queue: the queue as it is now, or as it was at the beginning.
        """
        policy = await self.policies.policy_for(queue.application)
        caller = await self._proven(request, policy)
        if policy.signed_urls and admitted.signature is not None:
            caller |= await self.signatures.check(admitted.signature, again=True)
        permit(operation, caller, queue.application, queue)

    def _count(self, request: Request, policy: Policy) -> None:
        """Count a permitted request against the rates of its application, and refuse a body that is too large."""
        request.use = use = self.rates.use(policy)
        if use is not None:
            use.begin()
        if len(request.body) > policy.max_body:
            raise BodyTooLarge(f"A body of this application has at most {policy.max_body} bytes.")

    async def identify(
        self, request: Request, application: str, queue: str | None, *, again: bool = False
    ) -> tuple[Policy, frozenset[str], Signature | None]:
        """Return the policy of the application, the principals that the caller has proven to be, and the signature of
        the URL.

        :param again: whether the request's signature was counted before, so that it is not counted against its rate
            again.
        """
        policy = await self.policies.policy_for(application)
        request.application = application
        caller = await self._proven(request, policy)
        signature = None
        if policy.signed_urls and may_be_signed(request):
            signature = take_signature(request, application, queue)
            if signature is not None:
                caller |= await self.signatures.check(signature, again=again)
        return policy, caller, signature

    async def _proven(self, request: Request, policy: Policy) -> frozenset[str]:
        """What the header of a request proves."""
        accepted = self.accepted(policy)
        if accepted.challenge != request.challenge:
            request.challenge = accepted.challenge
        caller: frozenset[str] = frozenset()
        for credential in credentials(request, policy.application):
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


OnDone = Callable[[Request, Failure | None], None]
"""Is called when a request was handled: with ``None`` if it was answered, or with the failure of its handler."""


class Endpoint(Protocol):
    """What serves a path.

    :ivar path: its parts between ``<`` and ``>`` name something.
    :ivar handle: takes a request, and what the path names.
    """

    @property
    def path(self) -> str:
        """See above."""

    @property
    def handle(self) -> Handler:
        """See above."""

    def begin(self, request: Request, plan: Plan, on_done: OnDone) -> CoroutineRunner:
        """Serve a request whose head has a plan.

        :raise Exception: if the request could not be handled at all.
        """


_OF_GATE: Final = frozenset({"application", "queue"})


class Plan:
    """What was worked out from the head of a request. It lives as long as the head, which many requests may share.

    :ivar endpoint: the endpoint that serves the path.
    :ivar names: the variable parts of the path, by name; ``others``: those besides the application and the queue.
    :ivar admitted: the remembered decision to let the request in; valid while its policy and its queue are the same
        objects.
    :ivar own: whether the caller of that decision was the application itself.
    :ivar limited: whether the application has rates.
    :ivar challenge: the authentication schemes that the application accepts.
    :ivar again: callbacks that are called at each use of the remembered credentials; false means that they no longer
        hold.
    :ivar checked: whether the head has passed the route's check.
    :ivar body_type: the media type of the body without parameters; empty if it was not determined.
    :ivar content: the Content-Type of the body as a message, if the head says no more about it.
    :ivar keyed: whether the head has an Idempotency-Key for the message.
    :ivar stored: the answer's word for how messages are stored, and the admission that it was worked out from.
    """

    __slots__ = (
        "admitted", "again", "body_type", "challenge", "checked", "content", "endpoint", "keyed", "limited", "names",
        "others", "own", "stored",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint, names: dict[str, str]) -> None:
        self.endpoint = endpoint
        self.names = names
        self.others = {name: value for name, value in names.items() if name not in _OF_GATE}
        self.admitted: AdmittedToQueue | None = None
        self.own = False
        self.limited = False
        self.challenge = b""
        self.again: Sequence[Callable[[], bool]] = ()
        self.checked = False
        self.body_type = ""
        self.content: tuple[str | None] | None = None
        self.keyed = False
        self.stored: tuple[AdmittedToQueue, str] | None = None


def _nothing(request: Request) -> None:
    """Accept every head: the check of a route that has no other."""


@attrs.frozen
class Route:
    """One route of an API: method, path, the operation that the caller must be permitted, and the handler.

    The handler gets the request, its admission (:class:`AdmittedToQueue` if the path names a queue that must exist),
    and the other variable parts of the path.

    :ivar path: the parts between ``<`` and ``>`` are variable.
    :ivar check: raises an error if the head of a permitted request is invalid; called before the handler.
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

    def behind(self, gate: Gate) -> Served:
        """The route, reached through the gate."""
        is_there = "queue" in self.names and self.operation is not Operation.CREATE_QUEUE
        return (ServedOnQueue if is_there else Served)(self, gate)


class Served:
    """What serves the requests of a route: lets them in through the gate, and hands them to the handler.

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

    def begin(self, request: Request, plan: Plan, on_done: OnDone) -> CoroutineRunner:
        """See :class:`Endpoint`."""
        return CoroutineRunner(self.handle(request, **plan.names), partial(on_done, request))


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

    def begin(self, request: Request, plan: Plan, on_done: OnDone) -> CoroutineRunner:
        """See :class:`Endpoint`."""
        route = self._route
        if request.connection.hooks.traces is not None:
            request.note()
        admitted = self.gate.admit_at_once(request, plan, route.operation)
        if admitted is None:
            return CoroutineRunner(self.handle(request, **plan.names), partial(on_done, request))
        if not plan.checked:
            route.check(request)
            plan.checked = True
        return CoroutineRunner(route.handler(request, admitted, **plan.others), partial(on_done, request))


@attrs.frozen(eq=False)
class OpenRoute:
    """A route without access checks and without variable parts; its handler gets the request."""

    method: str
    path: str
    handle: Handler

    def begin(self, request: Request, plan: Plan, on_done: OnDone) -> CoroutineRunner:
        """See :class:`Endpoint`."""
        return CoroutineRunner(self.handle(request), partial(on_done, request))
