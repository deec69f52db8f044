"""Waits and streams end when their caller would no longer be let in; this module lists and checks them."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Union

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from queuey.deferreds import TurnQueue, deferred
from queuey.errors import QueueyError, Unavailable
from queuey.interfaces import IPolicies
from queuey.logs import EventLog
from queuey.model.applications.access import Operation
from queuey.model.applications.policy import Policy
from queuey.model.queues.queue import Queue

if TYPE_CHECKING:
    from queuey.http.admission.gate import AdmittedToChoice, AdmittedToQueue
    from queuey.http.wire import Request

EVERY: Final = 0.5
"""Seconds between two looks: with ``max_age``, and the time that a store takes, less than two in all."""

AT_ONCE: Final = 100
"""Requests that are looked at in one turn of the reactor: there may be ten thousand, and others wait meanwhile."""

_log = EventLog(Logger(namespace="queuey.http"))

Lasting = Union["AdmittedToQueue", "AdmittedToChoice"]
"""The decision that has let in a request that may go on for long."""

End = Callable[[QueueyError], None]
"""Ends a request with an error for its client."""


class Ongoing:
    """All requests that wait, and streams.

    While there are any, it is looked twice a second whether their applications are as they were. A policy is another
    object after any change of an application, its keys included; then each request of it is held against what it shows.
    """

    def __init__(self, policies: IPolicies, clock: IReactorTime, as_it_is: Callable[[Queue], Deferred[Queue]]) -> None:
        """
        :param clock: whose timers are used.
        :param as_it_is: finds a queue as it has become; see ``MessageExchange``.
        """
        self.as_it_is = as_it_is
        self._policies = policies
        self._clock = clock
        self._turns = TurnQueue(clock)
        self._entries: dict[str, dict[Entry, None]] = {}
        self._timer: IDelayedCall | None = None
        self._logged = False

    def during(
        self,
        request: Request,
        admitted: Lasting,
        operation: Operation,
        end: End | None = None,
    ) -> Entry:
        """Return a context manager: while it is entered, the request can be ended early.

        :param end: ends the request; if ``None``, its handler is cancelled and the client gets the reason.
        """
        return Entry(self, request, admitted, operation, end)

    def add(self, entry: Entry) -> None:
        """Look at one more."""
        self._entries.setdefault(entry.application, {})[entry] = None
        if self._timer is None:
            self._timer = self._clock.callLater(EVERY, self._look)

    def remove(self, entry: Entry) -> None:
        """Look at one no more."""
        entries = self._entries[entry.application]
        del entries[entry]
        if not entries:
            del self._entries[entry.application]
        if not self._entries and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def has(self, entry: Entry) -> bool:
        """Return whether such a request is under way."""
        return entry in self._entries.get(entry.application, ())

    def _look(self) -> None:
        self._timer = self._clock.callLater(EVERY, self._look)
        self._logged = False
        for application in list(self._entries):
            self._look_at(application).addErrback(self.defect)

    def defect(self, failure: Failure) -> None:
        """Log a defect that was met while it was looked; one each time, since there may be ten thousand requests."""
        if not self._logged:
            self._logged = True
            _log.failure("ongoing-defect", "requests that go on could not be looked at, which is tried again", failure)

    @deferred
    async def _look_at(self, application: str) -> None:
        policy: Policy | None = None
        try:
            policy = await self._policies.policy_for(application)
        except Unavailable:
            return
        except QueueyError:
            """There is no such application any more."""
        entries = [
            entry for entry in self._entries.get(application, ()) if entry.policy is None or entry.policy is not policy
        ]
        for at in range(0, len(entries), AT_ONCE):
            if at:
                await self._turns.next()
            for entry in entries[at : at + AT_ONCE]:
                if self.has(entry) and (policy is None or entry.policy is not policy):
                    entry.look(policy).addErrback(self.defect)


class Entry:
    """One request while it goes on; there may be ten thousand, so that it is one object for all that is asked of it.

    :ivar policy: by which it was let in the last time; ``None``: that is not known.
    """

    __slots__ = ("_admitted", "_all", "_end", "_operation", "_request", "policy")

    def __init__(
        self,
        all: Ongoing,
        request: Request,
        admitted: Lasting,
        operation: Operation,
        end: End | None,
    ) -> None:
        self.policy: Policy | None = admitted.policy
        self._all = all
        self._request = request
        self._admitted = admitted
        self._operation = operation
        self._end = end

    @property
    def application(self) -> str:
        """The name of the application."""
        return self._admitted.policy.application

    def __enter__(self) -> Entry:
        self._all.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._all.remove(self)

    async def __call__(self) -> None:
        """Raise an error if its caller would not be let in any more to its queue, as that is by now."""
        admitted = self._admitted
        await admitted.check_now(self._request, self._operation)

    @deferred
    async def look(self, policy: Policy | None) -> None:
        """End it if what it shows does not let it in any more.

        If that cannot be known now, or a defect is met, it goes on, and is looked at again the next time.
        """
        self.policy = policy
        admitted = self._admitted
        try:
            await admitted.look_again(self._request, self._operation)
        except Unavailable:
            self.policy = None
        except QueueyError as error:
            if self._all.has(self):
                (self._end or self._request.end)(error)
        except BaseException:
            self.policy = None
            raise
