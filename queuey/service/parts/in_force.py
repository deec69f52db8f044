"""The settings that are in force, which SIGHUP changes as one."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from queuey.config import Settings
from queuey.core.applications.registry import Given
from queuey.model.applications.policy import Policy


class InForce:
    """The settings that every request reads.

    :ivar settings: all of them.
    :ivar policies: the policy of each application; after each change another object, even if it is equal.
    :ivar digests: the application of each key's SHA-256 digest.
    """

    settings: Settings
    policies: Mapping[str, Policy]
    digests: Mapping[bytes, str]

    def __init__(self, settings: Settings) -> None:
        """:param settings: those to begin with."""
        self.use(settings)

    def use(self, settings: Settings) -> None:
        """Put other settings in force."""
        self.settings = settings
        self.policies = {each.name: attrs.evolve(each.policy) for each in settings.applications}
        self.digests = {digest: each.name for each in settings.applications for digest in each.digests}

    def given(self) -> Given:
        """Return the applications of the settings in force."""
        return Given(self.policies, self.digests, self.settings.server.max_body, self.settings.identities.names)
