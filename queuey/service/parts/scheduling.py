"""The parts that post the messages of schedules, put together."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from twisted.logger import Logger
from twisted.python.failure import Failure

from queuey.core.contention import Retries
from queuey.core.messages import MessageExchange
from queuey.core.policies import Policies
from queuey.core.pushes.registry import PushRegistry
from queuey.core.queues import QueueDirectory
from queuey.core.schedules.directory import ScheduleDirectory
from queuey.core.schedules.engine import ScheduleEngine
from queuey.core.schedules.rows import ScheduleRows
from queuey.interfaces import IStore
from queuey.logs import EventLog
from queuey.model.schedules.stored import INDEX

_log: Final = EventLog(Logger(namespace="queuey.service"))


def scheduling(
    *,
    reactor: Any,
    now: Callable[[], float],
    store: IStore,
    directory: QueueDirectory,
    messages: MessageExchange,
    policies: Policies,
) -> tuple[ScheduleDirectory, ScheduleEngine]:
    """Put the parts together."""

    def defect(failure: Failure) -> None:
        _log.failure("schedules-failed", "schedules could not be looked at; this is retried", failure)

    rows = ScheduleRows(store.states, os.urandom)
    registry = PushRegistry(store.states, Retries(reactor, os.urandom), os.urandom, INDEX)
    engine = ScheduleEngine(
        rows=rows,
        registry=registry,
        directory=directory,
        messages=messages,
        policies=policies,
        clock=reactor,
        now=now,
        defect=defect,
    )
    return ScheduleDirectory(rows, registry, engine), engine
