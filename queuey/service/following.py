"""Follows the groups that the settings name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.following import Followed, Following
from queuey.interfaces import IStore
from queuey.logs import EventLog
from queuey.model.timeid import from_seconds
from queuey.service.in_force import InForce

_log: Final = EventLog(Logger(namespace="queuey.service"))


def following(
    in_force: InForce,
    store: IStore,
    groups: GroupExchange,
    applications: Callable[[], Deferred[tuple[str, ...]]],
    reactor: Any,
    now: Callable[[], float],
) -> Following:
    """Return the service that measures the groups that the settings in force name.

    :param applications: fires with the names of all of them, in order.
    """

    def followed() -> Followed:
        settings = in_force.settings.metrics
        return Followed(settings.groups, settings.group_limit, settings.group_every)

    def defect(failure: Failure) -> None:
        _log.failure("following-failed", "groups could not be measured; this is retried", failure)

    return Following(store, groups, applications, reactor, lambda: from_seconds(now()), followed, defect)
