"""What the parts of pushes share: the means by which they are sent, and the settings in force."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from queuey.core.groups.exchange import GroupExchange
from queuey.core.messages import MessageExchange
from queuey.core.pushes.sealed import NO_LIBRARIES, OpenPush, PushSealing
from queuey.core.queues import QueueDirectory
from queuey.core.rates import RateLimits
from queuey.deferreds import bounded
from queuey.errors import QueueyError
from queuey.fair_slots import FairSlots
from queuey.interfaces import IPolicies, IPushSender, IStateStore, NotSent, PushAnswer, PushRequest, Unsealable
from queuey.model.applications.policy import Policy
from queuey.model.pushes.requests import PushBody, signed_headers
from queuey.model.pushes.settings import Push
from queuey.model.pushes.targets import is_named, target_problem
from queuey.model.timeid import Ticks, from_seconds

MAX_SHOWN: Final = 1024
"""Bytes of the answer to a request that failed which the application sees."""

LONGEST_QUEUE: Final = 20.0
"""Seconds that a claimed message may wait for the requests of other pushes; then it is given back."""


class PushBlocked(QueueyError):
    """The settings of the operator do not allow a push to be sent; the text says why."""


@attrs.frozen
class Attempted:
    """What became of one request.

    :ivar answer: ``None`` if there was none.
    :ivar error: a word for what went wrong; ``None`` if the endpoint took the message.
    """

    answer: PushAnswer | None
    milliseconds: int
    error: str | None

    @property
    def status(self) -> int | None:
        """The status of the answer."""
        return None if self.answer is None else self.answer.status

    @property
    def reason(self) -> str:
        """What went wrong, with up to 1 KiB of the answer."""
        body = "" if self.answer is None else self.answer.body[:MAX_SHOWN].decode("utf-8", "replace").strip()
        return f"{self.error}: {body}" if body else self.error or ""


@attrs.frozen(kw_only=True)
class PushMeans:
    """The means by which pushes are sent.

    :ivar sender: sends requests; ``None`` if the libraries for it are missing.
    :ivar ports: returns the ports that the operator allows beside 80 and 443.
    :ivar slots: limits the requests of this process at the same time; applications share them.
    :ivar now: the wall clock, in seconds since 1970.
    :ivar random: returns numbers from 0 to 1.
    :ivar defect: is called with an unforeseen error; the work goes on.
    """

    states: IStateStore
    directory: QueueDirectory
    groups: GroupExchange
    messages: MessageExchange
    policies: IPolicies
    rates: RateLimits
    sender: Callable[[], IPushSender | None]
    sealing: PushSealing
    ports: Callable[[], Collection[int]]
    slots: FairSlots
    clock: IReactorTime
    now: Callable[[], float]
    random: Callable[[], float]
    new_bytes: Callable[[int], bytes]
    defect: Callable[[Failure], None]

    def ticks(self) -> Ticks:
        """Return the wall clock in ticks."""
        return from_seconds(self.now())

    def check(self, policy: Policy, push: Push) -> IPushSender:
        """Check that a push may be sent; return what sends it.

        :param push: open or closed.
        :raise PushBlocked: with the reason.
        """
        if not policy.push:
            raise PushBlocked("The application may have no pushes: push is false in its settings.")
        problem = target_problem(push.target, policy.push_hosts, self.ports())
        if problem is not None:
            raise PushBlocked(f"The URL {problem}.")
        sender = self.sender()
        if sender is None:
            raise PushBlocked(NO_LIBRARIES)
        return sender

    def opened(self, push: Push) -> OpenPush:
        """Return a push as it is sent.

        :param push: as it is stored.
        :raise PushBlocked: it cannot be opened.
        """
        try:
            return self.sealing.opened_whole(push)
        except Unsealable as error:
            raise PushBlocked(str(error)) from None

    async def send(self, policy: Policy, opened: OpenPush, made: PushBody) -> Attempted:
        """Send a request once. The caller has a slot.

        :param policy: of the application.
        :raise PushBlocked: the push may not be sent.
        """
        push = opened.push
        sender = self.check(policy, push)
        target = push.target
        named = is_named(target.host, policy.push_hosts)
        began = self.clock.seconds()
        try:
            headers = signed_headers(made, opened.secrets, int(self.now()))
            request = PushRequest(policy.application, target, headers, made.body, push.timeout, named)
            answer = await sender.send(request)
        except NotSent as error:
            return Attempted(None, round((self.clock.seconds() - began) * 1000), error.reason.value)
        taken = 200 <= answer.status < 300
        word = None if taken else f"status-{answer.status}"
        return Attempted(answer, round((self.clock.seconds() - began) * 1000), word)

    async def take_slot(self, application: str) -> None:
        """Take a slot for a request.

        :raise PushBlocked: none became free in time.
        """
        until = self.clock.seconds() + LONGEST_QUEUE
        while not self.slots.take(application):
            left = until - self.clock.seconds()
            await bounded(self.slots.wait(application), max(0, left), self.clock, _crowded)


def _crowded() -> PushBlocked:
    return PushBlocked("Too many requests of other pushes are under way.")
