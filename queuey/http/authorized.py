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
from queuey.deferreds import Running
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
    """A request that may go on.

    :ivar queue: the queue that it means; where the application's messages make their queues, one that is only planned.
    :ivar signature: that its URL has, if it has one.
    :ivar gate: through which it came.
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
        """Let a request on a queue in as ``admit_to_queue`` does, where all that decides about it is at hand.

        A policy, and a queue, is another object after any change of it: what was found out of the same head holds for
        as long as both are the same.

        :return: ``None``: that has to be found out, or the request is to be refused.
        :raise TooManyRequests: as ``admit_to_queue`` does; and so ``BodyTooLarge``.
        """
        application, name = plan.names["application"], plan.names["queue"]
        policy = self.policies.at_hand(application)
        queue = self.directory.at_hand(application, name)
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
        """Count a request where that is to be done, or refuse it, when it has got as far as those who may."""
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
        """Find out how requests of a head are let in, where that lasts."""
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

    async def identify(
        self, request: Request, application: str, queue: str | None, *, again: bool = False
    ) -> tuple[Policy, frozenset[str], Signature | None]:
        """Find out who asks.

        :param again: whether a signature is not to be counted against its rate.
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


class Serving(Protocol):
    """What serves a request.

    :ivar waits: whether it waits for something.
    """

    @property
    def waits(self) -> bool:
        """See above."""

    def cancel(self) -> None:
        """Learn that nobody waits for the answer any more."""


Over = Callable[[Request, Failure | None], None]
"""Is called when a request was handled, with what that failed with; or with ``None``: then it was answered."""

Plain = Callable[[Request, AdmittedToQueue, Over], Serving | None]
"""A handler without a coroutine, for what is asked the most; ``None``: it has done nothing, this is for the other one.
What it raises, it has failed with."""


def awaited(plain: Plain) -> Handler:
    """A plain handler as others are."""

    async def handle(request: Request, admitted: AdmittedToQueue) -> None:
        def cancelled(_: Deferred[Failure | None]) -> None:
            if serving is not None:
                serving.cancel()

        def over(_: Request, failure: Failure | None) -> None:
            done.callback(failure)

        done: Deferred[Failure | None] = Deferred(cancelled)
        serving = plain(request, admitted, over)
        await done

    return handle


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

    def begin(self, request: Request, plan: Plan, over: Over) -> Serving:
        """Serve a request of which there is a plan.

        :raise Exception: it could not be handled at all.
        """


_OF_GATE: Final = frozenset({"application", "queue"})


class Plan:
    """What follows from the head of a request; it lives as long as that, which may be the head of many requests.

    :ivar endpoint: what serves its path.
    :ivar names: what the path names; and ``others``, what it names besides the application and the queue.
    :ivar admitted: how it was let in, where that holds for as long as its policy and its queue are the same objects.
    :ivar own: whether the application itself has asked then.
    :ivar limited: whether there are rates for it to be counted against.
    :ivar challenge: the schemes of credentials that are taken.
    :ivar again: what is called each time that the same credentials are gone by again; tells whether they still hold.
    :ivar checked: whether nothing is wrong with the head.
    :ivar body_type: the type that a body was found to have, without parameters; empty: that was not looked at.
    :ivar content: the type of the message that a body is, where the head says nothing else of it.
    :ivar keyed: whether such a message is stored once, by a key that the head has.
    :ivar stored: how messages are stored, as the answer says it, and of whom that was found out.
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
    """Find nothing wrong with a request."""


@attrs.frozen
class Route:
    """One line of an API: what is asked, what a caller must be allowed for it, and who handles it.

    The handler gets the request, how it was admitted (:class:`AdmittedToQueue` where the path names a queue, unless the
    queue is to be created), and whatever else the path names.

    :ivar path: its parts between ``<`` and ``>`` name something.
    :ivar plain: handles what is asked the most, where there is such.
    :ivar check: raises what is wrong with the head of a request that may go on, before it is handled.
    """

    method: str
    path: str
    operation: Operation
    handler: Handler
    plain: Plain | None = None
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

    def begin(self, request: Request, plan: Plan, over: Over) -> Serving:
        """See :class:`Endpoint`."""
        return Running(self.handle(request, **plan.names), partial(over, request))


class ServedOnQueue(Served):
    """The same, where the path names a queue.

    A request of which all is at hand that decides whether it comes in goes to its handler at once. Whatever cannot be
    known so, or is to be refused, takes the way from the beginning, where the order of refusals is.
    """

    async def handle(self, request: Request, application: str, queue: str, **rest: str) -> None:  # type: ignore[override]
        """See :class:`Served`."""
        request.note()
        route = self._route
        admitted = await self.gate.admit_to_queue(request, application, queue, route.operation)
        route.check(request)
        await route.handler(request, admitted, **rest)

    def begin(self, request: Request, plan: Plan, over: Over) -> Serving:
        """See :class:`Endpoint`."""
        route = self._route
        request.note()
        admitted = self.gate.admit_at_once(request, plan, route.operation)
        if admitted is None:
            return Running(self.handle(request, **plan.names), partial(over, request))
        if not plan.checked:
            route.check(request)
            plan.checked = True
        if route.plain is not None:
            serving = route.plain(request, admitted, over)
            if serving is not None:
                return serving
        return Running(route.handler(request, admitted, **plan.others), partial(over, request))


@attrs.frozen(eq=False)
class OpenRoute:
    """A line of an API that is for everybody, and names nothing; its handler gets the request."""

    method: str
    path: str
    handle: Handler

    def begin(self, request: Request, plan: Plan, over: Over) -> Serving:
        """See :class:`Endpoint`."""
        return Running(self.handle(request), partial(over, request))
