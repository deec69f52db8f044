"""A worker, on asyncio."""

from __future__ import annotations

import asyncio
import signal

from queuey_client.awaiting.worker import AsyncWorker
from queuey_client.core.retry import Seconds, in_seconds


class Worker(AsyncWorker):
    """Works on the messages of groups until it is stopped. :meth:`Group.worker` makes one.

    .. code-block:: python

       async def bill(delivery):
           ...

       raise SystemExit(asyncio.run(main()))  # where main() returns await orders.group("billing").worker(bill).run()

    Leases of all messages that it has are extended while the loop runs: a handler that blocks the loop for longer than
    a lease loses it.
    """

    async def run(self, *, signals: bool = True, grace: Seconds = 25) -> int:
        """Work until SIGTERM or SIGINT, or :meth:`stop`; then finish as :meth:`queuey_client.Worker.run` does.

        Cancelling the task that awaits this is as good as a second signal: what is worked on is cancelled, and given
        back.

        :return: the exit status: 0, or 1 if something had to be given back in the middle.
        :raise QueueyError: if the group cannot be claimed from: the key is wrong, the queue does not exist ...
        """
        taken = self._take_signals() if signals else []
        try:
            self.begin()
            try:
                await self.stopped()
                finished = await self.finish(in_seconds(grace))
            except asyncio.CancelledError:
                await self.abandon()
                raise
        finally:
            for number in taken:
                asyncio.get_running_loop().remove_signal_handler(number)
        if self.error is not None:
            raise self.error
        return 0 if finished else 1

    def start(self) -> None:
        """Begin to work, in tasks of the loop that runs; :meth:`stop` ends it."""
        self.begin()

    async def stop(self, grace: Seconds = 25) -> bool:
        """Stop as :meth:`run` does after a signal.

        :return: whether all that was worked on is finished and settled.
        """
        return await self.finish(in_seconds(grace))

    def _take_signals(self) -> list[int]:
        taken = []
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                asyncio.get_running_loop().add_signal_handler(number, self.ask_to_stop)
            except (NotImplementedError, RuntimeError, ValueError):
                # Windows has none, and neither has a loop that is not in the main thread.
                continue
            taken.append(int(number))
        return taken
