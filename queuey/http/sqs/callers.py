"""Callers of the SQS API: who has signed a request, and which queue it is about."""

from __future__ import annotations

from typing import Final

import attrs

from queuey.core.messages import MessageExchange
from queuey.errors import BadSignature, NoSuchApplication
from queuey.http.admission.gate import Gate, permit
from queuey.http.sqs.errors import SqsError
from queuey.http.sqs.names import name_of_url
from queuey.http.wire import Request
from queuey.interfaces import AwsRequest, AwsSigner, IAwsSignatures
from queuey.model.applications.access import Operation
from queuey.model.applications.aws_accounts import account_of
from queuey.model.applications.policy import Policy, SqsPolicies
from queuey.model.queues.queue import Queue
from queuey.model.values import frozen

FACTOR: Final = 8
"""How much longer a request may be than a body of the application: JSON may take six bytes for one."""


@frozen
class Caller:
    """A request that may go on.

    :ivar request: of the caller.
    :ivar policy: of its application, as it was when the request was let in.
    """

    request: Request
    policy: Policy
    signer: AwsSigner

    @property
    def application(self) -> str:
        """The application that has signed the request."""
        return self.signer.application

    @property
    def account(self) -> str:
        """The account of the application, of 12 digits."""
        return self.policy.sqs_account or account_of(self.application)

    @property
    def keeps_policies(self) -> bool:
        """Whether policies of queues are kept, without effect, and not refused."""
        return self.policy.sqs_policies is SqsPolicies.KEEP

    @property
    def principals(self) -> frozenset[str]:
        """The principals that the caller has proven to be."""
        return frozenset((f"app:{self.signer.application}",))


@attrs.frozen
class SqsGate:
    """Lets requests in. Everything after the signature is as in the other APIs: policies, permissions, rates."""

    gate: Gate
    signatures: IAwsSignatures
    exchange: MessageExchange

    def look(self, request: Request) -> None:
        """Refuse a request whose header shows that it will be refused.

        :raise BadSignature: with the reason.
        """
        self.signatures.check_head(_signed(request))

    async def admit(self, request: Request) -> Caller:
        """Let a request in, or raise why not."""
        signer = await self.signatures.check(_signed(request))
        policy = await self._policy(signer)
        request.application = signer.application
        request.use = use = self.gate.rates.use(policy)
        if use is not None:
            use.begin()
        return Caller(request, policy, signer)

    async def queue(self, caller: Caller, url: str, operation: Operation) -> Queue:
        """Return the queue that a URL names, if the caller may do something with it."""
        name = name_of_url(url)
        directory = self.gate.directory
        queue = directory.cached(caller.application, name) or await directory.find(caller.application, name)
        caller.request.queue = name
        permit(operation, caller.principals, caller.application, queue)
        if caller.request.use is not None:
            caller.request.use.enter(name)
        return queue

    async def look_again(self, caller: Caller, queue: Queue, operation: Operation) -> None:
        """Raise an error if the caller has lost its access since the request was let in."""
        if not await self.signatures.holds(caller.signer):
            raise _unknown()
        await self._policy(caller.signer)
        now = await self.exchange.as_it_is(queue)
        permit(operation, caller.principals, caller.application, now)

    async def _policy(self, signer: AwsSigner) -> Policy:
        try:
            policy = await self.gate.policies.policy_for(signer.application)
        except NoSuchApplication:
            raise _unknown() from None
        if not policy.sqs:
            raise _unknown()
        return policy


def _signed(request: Request) -> AwsRequest:
    line = request.line
    return AwsRequest(request.method, request.path, line.query, request.fields, request.body)


def _unknown() -> BadSignature:
    return BadSignature("InvalidClientTokenId", "The security token included in the request is invalid.")


def check_size(caller: Caller, size: int, most: int, what: str) -> None:
    """Refuse a message that is too large.

    :param size: of its body and attributes, in bytes.
    :param most: what the queue takes; the application may take less.
    :param what: is said of the parameters.
    :raise SqsError: saying so.
    """
    most = min(most, caller.policy.max_body)
    if size > most:
        raise SqsError(
            "InvalidParameterValueException",
            f"One or more parameters {what}. Reason: Message must be shorter than {most} bytes.",
        )
