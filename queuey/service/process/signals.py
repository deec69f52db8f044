"""The signals that the daemon takes, from the beginning of its start."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, Final

TAKEN: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)

_ENDING: Final = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Runs an action in the reactor on each signal.

    Without it SIGHUP and SIGUSR1 would end the process at any time, and the other two would during the start. Twisted's
    own handlers, which it sets when its reactor starts, stop the reactor and then end the process by the signal instead
    of with status 0. So the reactor is given these handlers in place of its own.

    1. From ``catch`` on, SIGTERM and SIGINT end the process at once, with status 0: there is no work to undo yet. The
    other signals are noted.

    2. In a process that went into the background meanwhile, all signals are noted. The processes that it has forked
    from only wait for it, or end: they have the handlers from before again.

    3. From ``serve`` on, each signal runs its action in the reactor, as soon as that runs; those that were noted too.
    """

    def __init__(self, end: Callable[[int], object] = os._exit) -> None:
        """:param end: ends the process with a status, at once."""
        self._end = end
        self._before: dict[signal.Signals, Any] = {}
        self._reactor: Any = None
        self._actions: Mapping[signal.Signals, Callable[[], None]] | None = None
        self._noted: list[signal.Signals] = []
        self._notes_all = False

    def catch(self) -> None:
        """Take the signals; called first of all."""
        self._before = {number: signal.signal(number, self.caught) for number in TAKEN}
        os.register_at_fork(after_in_parent=self._left_behind, after_in_child=self.in_background)

    def serve(self, reactor: Any, actions: Mapping[signal.Signals, Callable[[], None]]) -> None:
        """Let each signal run its action; called before anything begins that has to be ended in order.

        :param reactor: does not run yet.
        :param actions: one for each of ``TAKEN``.
        """
        reactor.sigTerm = reactor.sigInt = self.caught
        self._reactor, self._actions = reactor, actions
        for number in self._noted:
            self._run(number)

    def caught(self, number: int, frame: FrameType | None = None) -> None:
        """Handle a signal; the handler of all signals."""
        caught = signal.Signals(number)
        if self._actions is not None:
            self._run(caught)
        elif caught in _ENDING and not self._notes_all:
            self._end(0)
        else:
            self._noted.append(caught)

    def _run(self, number: signal.Signals) -> None:
        if self._actions is not None:
            self._reactor.callFromThread(self._actions[number])

    def _left_behind(self) -> None:
        if self._actions is None:
            for number, handler in self._before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def in_background(self) -> None:
        """Learn that this process was forked by one that waits for it."""
        if self._actions is None:
            self._notes_all = True
