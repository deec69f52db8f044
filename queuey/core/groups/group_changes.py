"""Changes of the settings of a group, their checks, and the terms that follow from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from queuey.errors import NotPromised
from queuey.interfaces import Capabilities
from queuey.model.applications.policy import Policy
from queuey.model.groups.entries import Target
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.groups.terms import Order, Terms
from queuey.model.pushes.settings import Push
from queuey.model.queues.queue import Consistency, Guarantee, Queue, QueueSettings
from queuey.model.reading.start import Start
from queuey.model.timeid import Ticks

Judge = Callable[[Group | None], None]
"""Raises if the group, or its absence (``None``), does not meet the caller's precondition."""


@attrs.frozen
class GroupChanges:
    """The settings that a request changes; ``None`` keeps a setting, or means the default for a new group.

    :ivar push: makes the push of the one that is there, if there is one; it may be called several times.
    :ivar reset: names of the settings that are reset to their defaults, unless a value is given too.
    """

    start: Start | Ticks | None = None
    lease: int | None = None
    max_deliveries: int | None = None
    dead_letter: str | None = None
    order: Order | None = None
    guarantee: Guarantee | None = None
    max_in_flight: int | None = None
    push: Callable[[Push | None], Push] | None = None
    reset: frozenset[str] = frozenset()

    def applied_to(self, settings: GroupSettings) -> GroupSettings:
        """Return the settings after the changes."""
        usual = GroupSettings()
        given: dict[str, Any] = {name: getattr(usual, name) for name in self.reset}
        for name, value in attrs.asdict(self, recurse=False).items():
            if value is not None and name not in ("push", "reset"):
                given[name] = value
        if self.push is not None:
            given["push"] = self.push(settings.push)
        return attrs.evolve(settings, **given)


def terms_of(queue: Queue, group: Group, policy: Policy, target: Target | None) -> Terms:
    """Return the settings that the rules of groups need."""
    settings = group.settings
    at_most_once = _guarantee(settings, queue.settings, policy) is Guarantee.AT_MOST_ONCE
    return Terms(settings.order, settings.max_deliveries, target, at_most_once, settings.max_in_flight)


def check_group(settings: GroupSettings, queue: QueueSettings, policy: Policy, capabilities: Capabilities) -> None:
    """Refuse a group whose guarantee cannot be kept in a queue with these settings.

    :raise NotPromised: with the reason.
    """
    if capabilities.no_groups:
        raise NotPromised(capabilities.no_groups)
    if capabilities.apart and queue.consistency is not Consistency.VERY_STRONG:
        raise NotPromised("Over several data centres a group needs a queue whose consistency is very_strong.")
    if _guarantee(settings, queue, policy) is Guarantee.EXACTLY_ONCE:
        if capabilities.not_once:
            raise NotPromised(f"Exactly once cannot be guaranteed here. {capabilities.not_once}")
        if queue.consistency is Consistency.WEAK:
            raise NotPromised("Exactly once cannot be guaranteed for a group of a queue whose consistency is weak.")


def _guarantee(settings: GroupSettings, queue: QueueSettings, policy: Policy) -> Guarantee:
    return settings.guarantee or queue.guarantee or policy.guarantee


def resolved(settings: GroupSettings, queue: Queue, policy: Policy) -> GroupSettings:
    """Return the settings with the inherited guarantee filled in, if the group does not set one."""
    return attrs.evolve(settings, guarantee=_guarantee(settings, queue.settings, policy))
