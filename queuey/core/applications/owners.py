"""Owners of keys, and when each key was last used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from twisted.internet.defer import Deferred, succeed

from queuey.core.applications.stored import Snapshot, StoredApplications
from queuey.model.applications.application import key_id

GRAIN: Final = 60
"""The precision, in seconds, of the last use of a key."""


class _Ids:
    """An index of keys by their ids.

    :ivar given: the applications of the settings that it was made of, and ``snapshot`` those of the store. Both are
        replaced and never mutated.
    :ivar known: the digests of the keys with an id, and their applications.
    """

    def __init__(self, given: Mapping[bytes, str], snapshot: Snapshot) -> None:
        self.given = given
        self.snapshot = snapshot
        self.known: dict[str, list[tuple[bytes, str]]] = {}
        for digest, application in {**snapshot.owners, **given}.items():
            self.known.setdefault(key_id(digest), []).append((digest, application))


class KeyOwners:
    """Finds the application of a key's digest: the settings come first, and no key of the store lets in to theirs.

    :param given: the application of each digest in the settings, as they are now.
    :param named: whether the settings name an application.
    :param now: the wall clock, in seconds since 1970.
    """

    def __init__(
        self,
        given: Callable[[], Mapping[bytes, str]],
        named: Callable[[str], bool],
        stored: StoredApplications,
        now: Callable[[], float],
    ) -> None:
        self._given = given
        self._named = named
        self._stored = stored
        self._now = now
        self._used: dict[bytes, int] = {}
        self._ids: _Ids | None = None

    def owner(self, digest: bytes) -> Deferred[str | None]:
        """Find the application that a key belongs to.

        :param digest: of the key.
        :return: fires with the application, or with ``None``. Fails with ``Unavailable``.
        """
        found = self._given().get(digest)
        if found is not None:
            self.use(digest)
            return succeed(found)
        snapshot = self._stored.cached()
        if snapshot is None:
            return self._stored.current().addCallback(self._of, digest)
        return succeed(self._of(snapshot, digest))

    def known(self, digest: bytes) -> str | None:
        """Return what ``owner`` would fire with, if that is cached. It does not count as a use of the key."""
        found = self._given().get(digest)
        snapshot = self._stored.cached() if found is None else None
        if snapshot is None:
            return found
        found = snapshot.owners.get(digest)
        return None if found is None or self._named(found) else found

    def digests(self, application: str) -> Deferred[tuple[bytes, ...]]:
        """The digests of an application's keys.

        :return: fails with ``Unavailable``.
        """
        if self._named(application):
            return succeed(tuple([digest for digest, name in self._given().items() if name == application]))
        snapshot = self._stored.cached()
        if snapshot is None:
            return self._stored.current().addCallback(_digests, application)
        return succeed(_digests(snapshot, application))

    def of_id(self, id: str) -> Deferred[Sequence[tuple[bytes, str]]]:
        """The digests of the keys that have an id, and the application of each; there may be several with one id.

        :return: fails with ``Unavailable``.
        """
        snapshot = self._stored.cached()
        if snapshot is None:
            return self._stored.current().addCallback(self._of_id, id)
        return succeed(self._of_id(snapshot, id))

    def _of_id(self, snapshot: Snapshot, id: str) -> Sequence[tuple[bytes, str]]:
        given = self._given()
        ids = self._ids
        if ids is None or ids.given is not given or ids.snapshot is not snapshot:
            ids = self._ids = _Ids(given, snapshot)
        found = ids.known.get(id, ())
        return [one for one in found if one[0] in given or not self._named(one[1])]

    def use(self, digest: bytes) -> None:
        """Note that a key is used now: it was shown, or what it signed was."""
        now = int(self._now())
        self._used[digest] = now - now % GRAIN

    def last_used(self, digest: bytes) -> int | None:
        """Return when a key was last used, in seconds since 1970, to within ``GRAIN``; ``None`` if this process has not
        seen a use."""
        return self._used.get(digest)

    def used(self) -> dict[bytes, int]:
        """When each key was last used, as far as it is known."""
        return dict(self._used)

    def used_elsewhere(self, used: Mapping[bytes, int]) -> None:
        """Learn when keys were last used in another process."""
        for digest, time in used.items():
            self._used[digest] = max(time, self._used.get(digest, time))

    def _of(self, snapshot: Snapshot, digest: bytes) -> str | None:
        found = snapshot.owners.get(digest)
        if found is None or self._named(found):
            self._used.pop(digest, None)
            return None
        self.use(digest)
        return found


def _digests(snapshot: Snapshot, application: str) -> tuple[bytes, ...]:
    found = snapshot.applications.get(application)
    keys = () if found is None else found.keys
    return tuple([key.digest for key in keys if snapshot.owners.get(key.digest) == application])
