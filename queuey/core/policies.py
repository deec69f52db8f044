"""The policies of applications, from the settings or from the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from queuey.core.applications.stored import Snapshot, StoredApplications
from queuey.errors import NoSuchApplication, Unavailable
from queuey.interfaces import IPolicies
from queuey.model.applications.members import policy
from queuey.model.applications.policy import Policy


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
        return fail(_none()) if policy is None else succeed(policy)

    def cached(self, application: str) -> Policy | None:
        """See IPolicies."""
        return self.in_force().get(application)


@implementer(IPolicies)
class StoredPolicies:
    """The policies of the applications that are in the store.

    They are made again when the settings change, because a key in the settings is valid only for the application that
    they name.

    :param max_body: the limit of a request's body in bytes, as it is in force.
    :param in_force: the policies of the settings; another object after each change of them.
    """

    def __init__(
        self, stored: StoredApplications, max_body: Callable[[], int], in_force: Callable[[], Mapping[str, Policy]]
    ) -> None:
        self._stored = stored
        self._max_body = max_body
        self._in_force = in_force
        self._made: dict[str, Policy] = {}
        self._made_of: tuple[Snapshot, int, Mapping[str, Policy]] | None = None

    def policy_for(self, application: str) -> Deferred[Policy]:
        """The policy of an application; fails with ``NoSuchApplication``, or ``Unavailable``."""
        snapshot = self._stored.cached()
        if snapshot is None:
            return self._stored.current().addCallback(self._policy, application)
        try:
            return succeed(self._policy(snapshot, application))
        except (NoSuchApplication, Unavailable):
            return fail()

    def cached(self, application: str) -> Policy | None:
        """See IPolicies."""
        snapshot = self._stored.cached()
        return None if snapshot is None else self._known(snapshot, application)

    def known(self, application: str) -> Policy | None:
        """The policy as it was last known, if it was."""
        return self._known(self._stored.known, application)

    def _known(self, snapshot: Snapshot, application: str) -> Policy | None:
        try:
            return self._policy(snapshot, application)
        except (NoSuchApplication, Unavailable):
            return None

    def _policy(self, snapshot: Snapshot, application: str) -> Policy:
        of, now = self._made_of, (snapshot, self._max_body(), self._in_force())
        if of is None or of[0] is not snapshot or of[1] != now[1] or of[2] is not now[2]:
            self._made, self._made_of = {}, now
        found = self._made.get(application)
        if found is None:
            stored = snapshot.applications.get(application)
            if stored is None:
                raise _none()
            try:
                found = self._made[application] = policy(application, stored.members, now[1])
            except ValueError as error:
                raise Unavailable(f"The store's entry of {application} cannot be read: {error}.") from None
        return found


@implementer(IPolicies)
@attrs.frozen
class Policies:
    """The policies of the settings, and of the store for applications that the settings do not name."""

    given: GivenPolicies
    stored: StoredPolicies

    def policy_for(self, application: str) -> Deferred[Policy]:
        """The policy of an application; fails with ``NoSuchApplication``, or ``Unavailable``."""
        found = self.given.in_force().get(application)
        return self.stored.policy_for(application) if found is None else succeed(found)

    def cached(self, application: str) -> Policy | None:
        """See IPolicies."""
        found = self.given.in_force().get(application)
        return self.stored.cached(application) if found is None else found

    def origins(self, application: str) -> tuple[str, ...]:
        """The origins whose pages may call an application, as far as it is known now; this does no I/O."""
        found = self.given.in_force().get(application) or self.stored.known(application)
        return found.cors_origins if found else ()


def _none() -> NoSuchApplication:
    return NoSuchApplication("No application of that name is served here.")
