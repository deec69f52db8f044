"""A worker, on Twisted's reactor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from zope.interface import implementer

from queuey_client.awaiting.worker import AsyncWorker
from queuey_client.core.group_calls import GroupCalls
from queuey_client.core.retry import Seconds, in_seconds
from queuey_client.core.values import Delivery
from queuey_client.tx.driver import Driver

Handle = Callable[[Delivery], Awaitable[object]]


class Worker(AsyncWorker):
    """Works on the messages of groups until it is stopped. :meth:`Group.worker` makes one.

    .. code-block:: python

       def bill(delivery):
           return deferred_that_fires_when_it_is_done

       worker = orders.group("billing").worker(bill)
       worker.service().setServiceParent(application)
    """

    def __init__(self, driver: Driver, groups: Sequence[GroupCalls], handle: Handle, **options: Any) -> None:
        super().__init__(driver.coroutines, groups, handle, **options)
        self._reactor = driver.reactor

    def run(self, *, signals: bool = True, grace: Seconds = 25) -> Deferred[int]:
        """Work until the reactor stops, or :meth:`stop`; then finish as :meth:`queuey_client.Worker.run` does.

        :param signals: whether it stops when the reactor is about to, such as after SIGTERM; the reactor waits for it.
        :return: fires with 0, or with 1 if something had to be given back in the middle. Fails with
            :class:`QueueyError` if the group cannot be claimed from.
        """
        return Deferred.fromCoroutine(self._run(signals, in_seconds(grace)))

    def start(self) -> None:
        """Begin to work; :meth:`stop` ends it."""
        self.begin()

    def stop(self, grace: Seconds = 25) -> Deferred[bool]:
        """Stop as :meth:`run` does.

        :return: fires with whether all that was worked on is finished and settled.
        """
        return Deferred.fromCoroutine(self.finish(in_seconds(grace)))

    def service(self, grace: Seconds = 25) -> WorkerService:
        """Return it as a service of an application: ``stopService`` waits until all is settled or given back."""
        return WorkerService(self, in_seconds(grace))

    async def _run(self, signals: bool, grace: float) -> int:
        ended: Deferred[None] = Deferred()
        trigger = None
        if signals:
            trigger = self._reactor.addSystemEventTrigger("before", "shutdown", self._stop_and_wait, ended)
        try:
            self.begin()
            await self.stopped()
            finished = await self.finish(grace)
        finally:
            if trigger is not None and not ended.called:
                ended.callback(None)
                if self._reactor.running:
                    self._reactor.removeSystemEventTrigger(trigger)
        if self.error is not None:
            raise self.error
        return 0 if finished else 1

    def _stop_and_wait(self, ended: Deferred[None]) -> Deferred[None] | None:
        if ended.called:
            return None
        self.ask_to_stop()
        return ended


@implementer(IService)
class WorkerService(Service):
    """A worker that an application starts and stops."""

    def __init__(self, worker: Worker, grace: float) -> None:
        self._worker = worker
        self._grace = grace

    def startService(self) -> None:
        """Begin to work."""
        super().startService()
        self._worker.start()

    def stopService(self) -> Deferred[bool]:
        """Stop; fires when all is settled or given back."""
        super().stopService()
        return self._worker.stop(self._grace)
