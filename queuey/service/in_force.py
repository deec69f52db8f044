"""The settings that are in force, which SIGHUP changes as one."""

from __future__ import annotations

from collections.abc import Mapping

from queuey.config import Settings
from queuey.model.policy import Policy


class InForce:
    """What is read from the settings at every request.

    :ivar settings: all of them.
    :ivar policies: the policy of each application.
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
        self.policies = {each.name: each.policy for each in settings.applications}
        self.digests = {digest: each.name for each in settings.applications for digest in each.digests}

    def origins(self, application: str) -> tuple[str, ...]:
        """The origins whose pages may call an application; none for one that does not exist."""
        policy = self.policies.get(application)
        return policy.cors_origins if policy else ()
