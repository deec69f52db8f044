"""Follows the queues and the groups that the settings name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from queuey.core.following import Followed
from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.following import Following
from queuey.core.queue_following import QueueFollowing
from queuey.core.queues import QueueDirectory
from queuey.interfaces import IStore
from queuey.logs import EventLog
from queuey.model.queues.name_patterns import GroupPattern, QueuePattern
from queuey.model.timeid import from_seconds
from queuey.service.parts.in_force import InForce

_log: Final = EventLog(Logger(namespace="queuey.service"))


def following(
    *,
    in_force: InForce,
    store: IStore,
    groups: GroupExchange,
    directory: QueueDirectory,
    applications: Callable[[], Deferred[tuple[str, ...]]],
    reactor: Any,
    now: Callable[[], float],
) -> tuple[Following, QueueFollowing]:
    """Return the services that measure the groups and the queues that the settings in force name.

    :param applications: returns a Deferred that fires with the names of all applications, sorted.
    """

    def followed_groups() -> Followed[GroupPattern]:
        settings = in_force.settings.metrics
        return Followed(settings.groups, settings.group_limit, settings.group_every)

    def followed_queues() -> Followed[QueuePattern]:
        settings = in_force.settings.metrics
        return Followed(settings.queues, settings.queue_limit, settings.queue_every)

    def defect(failure: Failure) -> None:
        _log.failure("following-failed", "queues or groups could not be measured; this is retried", failure)

    return (
        Following(
            store=store,
            exchange=groups,
            applications=applications,
            clock=reactor,
            now=lambda: from_seconds(now()),
            followed=followed_groups,
            defect=defect,
        ),
        QueueFollowing(
            store=store,
            depth=directory.depth,
            applications=applications,
            clock=reactor,
            now=lambda: from_seconds(now()),
            followed=followed_queues,
            defect=defect,
        ),
    )
