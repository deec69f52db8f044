"""Where the policies of applications come from while they stand in the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from queuey.errors import NoSuchApplication
from queuey.interfaces import IPolicies
from queuey.model.policy import Policy


@implementer(IPolicies)
@attrs.frozen
class GivenPolicies:
    """The policies in force, taken from a mapping that may be another one at every call.

    :ivar in_force: the policies by application, as they are now.
    """

    in_force: Callable[[], Mapping[str, Policy]]

    def policy_for(self, application: str) -> Deferred[Policy]:
        """The policy of an application; fails with ``NoSuchApplication``."""
        policy = self.in_force().get(application)
        if policy is None:
            return fail(NoSuchApplication("No application of that name is served here."))
        return succeed(policy)
