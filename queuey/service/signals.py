"""Signals, as whoever runs a daemon expects them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Any


def install(reactor: Any, actions: Mapping[signal.Signals, Callable[[], None]]) -> None:
    """Run an action in the reactor on each of these signals.

    Twisted's own handlers end the process with the signal's status instead of 0, and know nothing of SIGHUP and
    SIGUSR1, which would end it too. They are installed when the reactor starts, so ours come after that.
    """

    def install_now() -> None:
        for number in actions:
            signal.signal(number, lambda caught, frame: reactor.callFromThread(actions[signal.Signals(caught)]))

    reactor.callWhenRunning(install_now)
