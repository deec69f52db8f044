"""Authenticate and authorize requests, and decide on whose terms they go on."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import attrs

from queuey.core.queues import QueueDirectory, planned
from queuey.core.rates import RateLimits
from queuey.errors import BodyTooLarge, Forbidden, InvalidRequest, NeedsCredentials, NoSuchQueue
from queuey.http.admission.ongoing import Ongoing
from queuey.http.admission.signed import may_be_signed, take_signature
from queuey.http.heads.plan import Decision, Plan
from queuey.http.inputs.header_fields import credentials
from queuey.http.wire import Request
from queuey.interfaces import Accepted, IPolicies, ISignatures, Signature
from queuey.model.applications.access import Operation, allowed, is_application
from queuey.model.applications.policy import Policy
from queuey.model.queues.queue import MAX_NAME, Queue, name_problem


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
        """The time to live in seconds of messages of the queue without one of their own."""
        return self.queue.settings.ttl or self.policy.ttl

    async def look_again(self, request: Request, operation: Operation) -> None:
        """Raise an error if the caller has lost its access to the queue, as that was at the beginning."""
        await self.gate.look_again(request, self, operation, self.queue)

    async def check_now(self, request: Request, operation: Operation) -> None:
        """Raise an error if the caller may not do this any more with the queue as it is now.

        If all that let the request in is as it was, the credentials need not be proven again.

        :param operation: that for which the request was let in.
        """
        plan = request.head.plan
        if plan is not None and plan.decision_for(self) is not None and self.gate.is_let_in(plan):
            return
        await self.gate.look_again(request, self, operation, await self.gate.ongoing.as_it_is(self.queue))


@attrs.frozen
class AdmittedToChoice(Admitted):
    """A request on a choice of queues that was let in; which of them its caller may read is decided when it reads.

    :ivar own: whether the caller is the application itself, and the rates have counted the request.
    """

    own: bool
    signature: Signature | None
    gate: Gate = attrs.field(repr=False, eq=False)

    async def prove_again(self, request: Request) -> frozenset[str]:
        """Return the principals of the caller as they are now; raise if it has lost its access."""
        return await self.gate.prove_again(request, self.policy.application, self.signature)

    async def look_again(self, request: Request, operation: Operation) -> None:
        """Raise an error if the caller has lost its access, or some of what it has proven to be."""
        lost = self.caller - await self.prove_again(request)
        if lost:
            raise Forbidden("Access was denied: the caller no longer proves what it proved when the request began.")

    check_now = look_again


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
        self.count(request, policy)
        return Admitted(policy, caller)

    async def admit_to_choice(self, request: Request, application: str, line: Callable[[], str]) -> AdmittedToChoice:
        """Let a request on a choice of queues in, or raise why not.

        :param line: returns the text of the choice in a signed URL; called if the URL may be signed.
        """
        policy, caller, signature = await self.identify(request, application, line)
        own = is_application(caller, application)
        if own:
            self.count(request, policy)
        return AdmittedToChoice(policy, caller, own, signature, self)

    async def admit_to_queue(
        self, request: Request, application: str, name: str, operation: Operation
    ) -> AdmittedToQueue:
        """Let a request on a queue in, or raise why not."""
        policy, caller, signature = await self.identify(request, application, name)
        own = is_application(caller, application)
        if own:
            self.count(request, policy)
        if len(name) > MAX_NAME:
            raise NoSuchQueue(f"Queue name longer than {MAX_NAME} characters.", possible=False)
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
            self.count(request, policy)
        if request.use is not None:
            request.use.enter(name)
        # Authentication may have taken a while: the request is handled under the policy of now.
        policy = await self.policies.policy_for(application)
        return AdmittedToQueue(policy, caller, queue, signature, self)

    def admit_at_once(self, request: Request, plan: Plan, operation: Operation) -> AdmittedToQueue | None:
        """Let a request on a queue in like ``admit_to_queue``, if everything that decides about it is cached.

        :return: ``None`` if something is not cached or the request has to be refused: call ``admit_to_queue`` then.
        :raise TooManyRequests: like ``admit_to_queue``; ``BodyTooLarge`` likewise.
        """
        application, name = plan.names["application"], plan.names["queue"]
        policy = self.policies.cached(application)
        queue = self.directory.cached(application, name)
        if policy is None or queue is None:
            return None
        decision = plan.decision
        if decision is None or decision.policy is not policy or decision.queue is not queue:
            decision = plan.decision = self._decide(request, application, policy, queue, operation)
            if decision is None:
                return None
        for again in decision.again:
            if not again():
                return None
        request.application, request.origins = application, policy.cors_origins
        request.challenge = decision.challenge
        if decision.limited or len(request.body) > policy.max_body:
            self._enter(request, policy, name, own=decision.own)
        request.queue = name
        return decision.admitted

    def is_let_in(self, plan: Plan) -> bool:
        """Return whether ``admit_at_once`` has let requests of this head in, and would do so again."""
        decision = plan.decision
        if decision is None:
            return False
        application, name = plan.names["application"], plan.names["queue"]
        if self.policies.cached(application) is not decision.policy:
            return False
        if self.directory.cached(application, name) is not decision.queue:
            return False
        return all(again() for again in decision.again)

    def _enter(self, request: Request, policy: Policy, name: str, *, own: bool) -> None:
        """Count a permitted request against the rates, or refuse it because of them or of its size.

        :param own: whether the caller is the application itself.
        """
        if own:
            self.count(request, policy)
        request.queue = name
        if not own:
            self.count(request, policy)
        if request.use is not None:
            request.use.enter(name)

    def _decide(
        self, request: Request, application: str, policy: Policy, queue: Queue, operation: Operation
    ) -> Decision | None:
        """Decide whether requests of a head are let in; return ``None`` if the decision cannot be remembered."""
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
        return Decision(
            policy,
            queue,
            AdmittedToQueue(policy, caller, queue, None, self),
            tuple([proof.again for proof in proofs if proof is not None]),
            own=is_application(caller, application),
            limited=policy.rates is not None or policy.queue_rates is not None,
            challenge=accepted.challenge,
        )

    async def look_again(self, request: Request, admitted: AdmittedToQueue, operation: Operation, queue: Queue) -> None:
        """Raise an error if the caller has lost its access; used for requests that go on for long.

        :param queue: the queue as it is now, or as it was at the beginning.
        """
        caller = await self.prove_again(request, queue.application, admitted.signature)
        permit(operation, caller, queue.application, queue)

    async def prove_again(self, request: Request, application: str, signature: Signature | None) -> frozenset[str]:
        """Authenticate the caller of a long request again, and return its principals.

        :param signature: of the request's URL, if it has one.
        """
        policy = await self.policies.policy_for(application)
        caller = await self._proven(request, policy)
        if policy.signed_urls and signature is not None:
            caller |= await self.signatures.check(signature, again=True)
        return caller

    def count(self, request: Request, policy: Policy) -> None:
        """Count a permitted request against the rates of its application, and refuse a body that is too large."""
        request.use = use = self.rates.use(policy)
        if use is not None:
            use.begin()
        if len(request.body) > policy.max_body:
            raise BodyTooLarge(f"A body of this application has at most {policy.max_body} bytes.")

    async def identify(
        self, request: Request, application: str, queue: str | Callable[[], str] | None, *, again: bool = False
    ) -> tuple[Policy, frozenset[str], Signature | None]:
        """Return the policy of the application, the principals that the caller has proven to be, and the signature of
        the URL.

        :param queue: what the URL is signed for, or a function that returns it.
        :param again: whether the request's signature was counted before, so that it is not counted against its rate
            again.
        """
        policy = await self.policies.policy_for(application)
        request.application, request.origins = application, policy.cors_origins
        caller = await self._proven(request, policy)
        signature = None
        if policy.signed_urls and may_be_signed(request):
            signature = take_signature(request, application, queue)
            if signature is not None:
                caller |= await self.signatures.check(signature, again=again)
        return policy, caller, signature

    async def _proven(self, request: Request, policy: Policy) -> frozenset[str]:
        """Return the principals that the header of a request proves."""
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
