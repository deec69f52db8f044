"""The right that each method needs at the dashboard. A method that is not here cannot be called there."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from queuey.model.applications.rights import DashboardToken, Right
from queuey.ops.faults import REFUSED, Failed

_BY_RIGHT: Final = {
    Right.WATCH: (
        "applications.get",
        "applications.list",
        "dashboard.whoami",
        "dead.list",
        "groups.describe",
        "groups.list",
        "health.report",
        "keys.list",
        "limits.get",
        "live.list",
        "policies.get",
        "pushes.describe",
        "pushes.list",
        "queues.describe",
        "queues.list",
        "queues.report",
        "schedules.describe",
        "schedules.list",
        "status",
        "system.listMethods",
        "system.methodHelp",
        "system.methodSignature",
    ),
    Right.PEEK: ("messages.peek",),
    Right.OPERATE: (
        "applications.remove",
        "applications.set",
        "drain",
        "groups.redrive",
        "groups.seek",
        "keys.add",
        "keys.revoke",
        "limits.set",
        "log.level",
        "policies.set",
        "pushes.pause",
        "pushes.resume",
        "pushes.seal",
        "queues.purge",
        "queues.remove",
        "schedules.pause",
        "schedules.resume",
        "store.backup",
        "store.check",
        "undrain",
    ),
}

NEEDED: Final = MappingProxyType({method: right for right, methods in _BY_RIGHT.items() for method in methods})
"""The right that a method needs."""

NEVER: Final = frozenset({"dashboard.token"})
"""Methods of the operators' port alone: a token of the dashboard makes no other token."""


def check(token: DashboardToken, method: str, peek: bool) -> None:
    """Refuse a method for which a token has no right.

    :param peek: whether the settings allow any token to show messages.
    :raise Failed: it may not be called.
    """
    right = NEEDED.get(method)
    if right is None:
        raise Failed(REFUSED, "forbidden", "This method cannot be called from the dashboard.")
    if right is Right.PEEK and not peek:
        raise Failed(REFUSED, "forbidden", "[server] dashboard_peek = false: the dashboard shows no messages.")
    if right not in token.rights:
        raise Failed(REFUSED, "forbidden", f"{method} needs the right {right.value}, which this token does not have.")
