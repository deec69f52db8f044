"""Applications as operators see them, and changes of those in the store while the daemon serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from queuey.core.applications.owners import KeyOwners
from queuey.core.applications.stored import Change, Snapshot, StoredApplications
from queuey.core.queues import check_promise, defaults
from queuey.deferreds import deferred
from queuey.errors import (
    AlreadyThere,
    Forbidden,
    InvalidRequest,
    NoSuchApplication,
    NotPromised,
    PreconditionFailed,
    StorageFull,
    Unavailable,
)
from queuey.interfaces import IStore
from queuey.model.applications.application import (
    ALLOWED_NAME,
    MAX_KEYS,
    Application,
    Key,
    digest_of,
    key_id,
    name_is_good,
)
from queuey.model.applications.members import BURSTS, Members, changed, policy, problems
from queuey.model.applications.policy import COUNTED, Policy
from queuey.model.queues.queue import Consistency, Guarantee

SETTINGS: Final = "settings"
STORE: Final = "store"


@attrs.frozen
class Given:
    """The applications of the settings.

    :ivar policies: of each application.
    :ivar digests: the application of each key's digest.
    :ivar max_body: bytes of a request's body, which no application exceeds.
    :ivar identities: the names of those who can be asked who users are.
    """

    policies: Mapping[str, Policy]
    digests: Mapping[bytes, str] = attrs.field(repr=False)
    max_body: int
    identities: tuple[str, ...]


@attrs.frozen
class ShownKey:
    """A key as operators see it.

    :ivar made: in seconds since 1970; ``None`` for one of the settings. ``used`` is when it was last used here.
    """

    id: str
    made: int | None
    used: int | None


@attrs.frozen
class Shown:
    """An application as operators see it.

    :ivar source: ``SETTINGS`` or ``STORE``; ``made``, ``changed`` and ``revision`` are set for ``STORE`` only.
    """

    source: str
    policy: Policy
    keys: tuple[ShownKey, ...]
    made: int | None = None
    changed: int | None = None
    revision: int | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.policy.application


@attrs.frozen
class Registry:
    """The applications of this deployment.

    Every Deferred may fail with ``Unavailable``. A change also fails with ``Forbidden`` if the application is one of
    the settings, with ``Conflict`` if others change it at the same time, and with ``StorageFull``.

    :ivar given: the applications of the settings that are in force.
    :ivar counts_bytes: whether the store can limit the bytes of an application's messages.
    :ivar now: the wall clock, in seconds since 1970.
    :ivar new_key: makes a key that cannot be guessed.
    """

    stored: StoredApplications
    owners: KeyOwners
    store: IStore
    given: Callable[[], Given]
    counts_bytes: bool
    now: Callable[[], float]
    new_key: Callable[[], str]

    @deferred
    async def names(self) -> tuple[str, ...]:
        """The names of all applications, in order."""
        snapshot = await self.stored.current()
        return tuple(sorted({*self.given().policies, *snapshot.applications}))

    @deferred
    async def find(self, name: str) -> Shown:
        """An application. Fails with ``NoSuchApplication``."""
        given = self.given()
        if name in given.policies:
            keys = [
                ShownKey(key_id(d), None, self.owners.last_used(d)) for d, of in given.digests.items() if of == name
            ]
            return Shown(SETTINGS, given.policies[name], tuple(sorted(keys, key=lambda key: key.id)))
        found = (await self.stored.current()).applications.get(name)
        return self.shown(_there(found))

    def shown(self, application: Application) -> Shown:
        """An application of the store as operators see it."""
        return Shown(
            STORE,
            _policy(application, self.given().max_body),
            tuple([ShownKey(key.id, key.made, self.owners.last_used(key.digest)) for key in application.keys]),
            application.made,
            application.changed,
            application.revision,
        )

    @deferred
    async def set(self, name: str, members: Members, revision: int | None, make: bool) -> Change:
        """Change an application, or create it.

        :param members: the members to set; ``None`` sets the default. Members that are missing stay.
        :param revision: the revision that it must have; 0: it must not exist; ``None``: any.
        :param make: whether to create it if it does not exist.
        :return: fires with the change, once it is in force in this process. Fails with ``InvalidRequest``,
            ``NotPromised``, ``NoSuchApplication`` or ``PreconditionFailed``.
        """
        self._check_name(name)
        max_body = self.given().max_body
        self._check_members(members)

        def step(application: Application | None) -> Application:
            _check_revision(application, revision)
            now = int(self.now())
            base = application or Application(name, {}, (), now, now, 0)
            if application is None and not make:
                raise _none()
            said = changed(base.members, members)
            self._check_promises(policy(name, said, max_body))
            _check_bursts(said)
            if application is not None and said == application.members:
                return application
            return attrs.evolve(base, members=said, changed=now, revision=base.revision + 1)

        return await self.stored.change(name, step)

    @deferred
    async def remove(self, name: str, revision: int | None, keep_queues: bool) -> Change:
        """Remove an application and its keys. Its queues stay, for an application that is created under the same name.

        :param keep_queues: whether to remove it although it has queues.
        :return: fires with the change, once it is in force in this process. Fails with ``NoSuchApplication`` or
            ``PreconditionFailed``.
        """
        self._check_name(name)
        if not keep_queues and await self.store.names(name, "", 1, ""):
            raise PreconditionFailed("The application has queues. Remove them first, or ask to keep them.")

        def step(application: Application | None) -> None:
            _check_revision(_there(application), revision)

        return await self.stored.change(name, step)

    @deferred
    async def add_key(self, name: str, digest: bytes | None) -> tuple[Change, Key, str | None]:
        """Add a key to an application.

        :param digest: of the key; ``None``: a new key is made.
        :return: fires with the change, the key, and its secret if it was made here; the secret cannot be read again.
            Fails with ``NoSuchApplication``, or with ``AlreadyThere`` if the application has that key.
        """
        self._check_name(name)
        text = None
        if digest is None:
            text = self.new_key()
            digest = digest_of(text)
        snapshot = await self.stored.current()
        self._check_new(digest, snapshot)
        key = Key(digest, int(self.now()))

        def step(application: Application | None) -> Application:
            found = _there(application)
            if key.id in [other.id for other in found.keys]:
                raise AlreadyThere("The application has that key already.")
            if len(found.keys) >= MAX_KEYS:
                text = f"An application has at most {MAX_KEYS} keys. Revoke one first."
                raise StorageFull(text, limit="keys")
            return self._with_keys(found, (*found.keys, key))

        return await self.stored.change(name, step), key, text

    @deferred
    async def revoke_key(self, name: str, id: str) -> Change:
        """Revoke a key of an application.

        :return: fires with the change, once it is in force in this process. Fails with ``NoSuchApplication``, or with
            ``InvalidRequest`` if the application has no such key.
        """
        self._check_name(name)

        def step(application: Application | None) -> Application:
            found = _there(application)
            left = tuple([key for key in found.keys if key.id != id])
            if len(left) == len(found.keys):
                raise InvalidRequest({"id": "names no key of this application"})
            return self._with_keys(found, left)

        return await self.stored.change(name, step)

    def _with_keys(self, application: Application, keys: tuple[Key, ...]) -> Application:
        revision = application.revision + 1
        return attrs.evolve(application, keys=keys, changed=int(self.now()), revision=revision)

    def _check_name(self, name: str) -> None:
        if not name_is_good(name):
            raise InvalidRequest({"name": f"is not a name of an application; allowed: {ALLOWED_NAME}"})
        if name in self.given().policies:
            raise Forbidden(f"{name} is in the settings, and can only be changed there.")

    def _check_members(self, members: Members) -> None:
        given, wrong = self.given(), problems(members)
        if not wrong and (members.get("max_body") or 0) > given.max_body:
            wrong["max_body"] = f"is above that of [server], which is {given.max_body}"
        unknown = [] if wrong else [one for one in members.get("identities") or () if one not in given.identities]
        if unknown:
            wrong["identities"] = f"names what the settings do not: {', '.join(unknown)}"
        if wrong:
            raise InvalidRequest(wrong)

    def _check_promises(self, policy: Policy) -> None:
        capabilities = self.store.capabilities
        check_promise(defaults(policy), policy, capabilities)
        if policy.guarantee is not Guarantee.AT_LEAST_ONCE:
            if capabilities.no_groups:
                raise NotPromised(f"This store can only guarantee at-least-once. {capabilities.no_groups}")
            if capabilities.apart and policy.consistency is not Consistency.VERY_STRONG:
                raise NotPromised("With several data centres this guarantee needs consistency = very_strong.")
        counted = [name for name in COUNTED if getattr(policy, name) is not None]
        if counted and not self.counts_bytes:
            raise NotPromised(f"A cluster does not count its contents exactly, so it has no {', '.join(counted)}.")

    def _check_new(self, digest: bytes, snapshot: Snapshot) -> None:
        if digest in self.given().digests or snapshot.owners.get(digest) is not None:
            raise AlreadyThere("Another application has that key already.")


def _check_bursts(said: Members) -> None:
    alone = [rate for rate, burst in BURSTS if burst in said and rate not in said]
    if alone:
        raise InvalidRequest({rate.replace("_rate", "_burst"): f"has no effect without {rate}" for rate in alone})


def _policy(application: Application, max_body: int) -> Policy:
    try:
        return policy(application.name, application.members, max_body)
    except ValueError as error:
        raise Unavailable(f"The store's entry of {application.name} cannot be read: {error}.") from None


def _there(application: Application | None) -> Application:
    if application is None:
        raise _none()
    return application


def _check_revision(application: Application | None, revision: int | None) -> None:
    found = 0 if application is None else application.revision
    if revision is not None and revision != found:
        raise PreconditionFailed(f"The application has revision {found}, and not {revision}.")


def _none() -> NoSuchApplication:
    return NoSuchApplication("There is no application of that name.")
