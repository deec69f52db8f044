"""The applications of the store: cached in this process, and changed by compare-and-set.

They are stored in shards, by their names, and an index has the version of each shard. A change reads its shard, writes
the version that the shard is about to have into the index, and then writes the shard, if it is still as it was read. So
if the index has the version that is cached, no change came after it. If it has another one, the shard is read again,
also when the change never came. A process that has read the index knows all applications and keys, so strangers who try
names and keys cause no reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

import attrs
from twisted.internet.defer import Deferred, FirstError, gatherResults, succeed
from twisted.python.failure import Failure

from queuey.core.contention import Gathered, Retries
from queuey.deferreds import KeyedLock, SingleFlight, deferred, shield
from queuey.errors import Conflict, StorageFull, Unavailable
from queuey.interfaces import MAX_STATE, IStateStore, Outcome
from queuey.model.applications.application import (
    Application,
    Shard,
    Unreadable,
    decode_index,
    decode_shard,
    encode_index,
    encode_shard,
    shard_of,
)

INDEX: Final = "applications"
"""The key of the index; that of a shard has its two digits behind a slash."""

MAX_APPLICATIONS: Final = 2000
"""Applications in the store: every process caches all of them."""

_AT_ONCE: Final = 16
"""Shards that are read at the same time."""

_EARLY: Final = 0.5
"""The part of ``max_age`` after which the cache is refreshed while it still serves."""

T = TypeVar("T")
Step = Callable[[Application | None], Application | None]
"""Returns what an application is changed to; raises if it is not to be changed. It may be called several times."""


@attrs.frozen
class Change:
    """An application before and after a change; ``None`` if there was or is none."""

    before: Application | None
    after: Application | None


@attrs.frozen(eq=False)
class Snapshot:
    """All applications of the store, as they were at one moment or between two.

    :ivar owners: the application of each key's digest. A key that two of them have lets in to neither.
    """

    applications: Mapping[str, Application]
    owners: Mapping[bytes, str]


@attrs.frozen
class _Kept:
    """A shard and its version; an empty version is that of one that is not there."""

    version: str
    shard: Shard


_NOTHING: Final = _Kept("", {})
_EMPTY: Final = Snapshot({}, {})


class StoredApplications:
    """The applications of a store.

    :param retries: how a change is repeated if another process was first.
    :param max_age: seconds for which the cache may be used.
    :param new_version: makes a version that has never been used.
    """

    def __init__(
        self,
        states: IStateStore,
        retries: Retries,
        max_age: Callable[[], float],
        new_version: Callable[[], str],
    ) -> None:
        self._states = states
        self._retries = retries
        self._seconds = retries.clock.seconds
        self._announcements: Gathered[str, tuple[str, str], None] = Gathered(retries, self._announce, _contended)
        self._max_age = max_age
        self._new_version = new_version
        self._turns = KeyedLock()
        self._shards: dict[str, _Kept] = {}
        self._snapshot = _EMPTY
        self._read_at: float | None = None
        self._changes = 0
        self._asking: SingleFlight[Snapshot] | None = None

    @property
    def known(self) -> Snapshot:
        """The applications as they were read last, however long ago; empty before the first read."""
        return self._snapshot

    def cached(self) -> Snapshot | None:
        """Return the cached applications; ``None`` if they have to be read."""
        if self._read_at is None:
            return None
        age, limit = self._seconds() - self._read_at, self._max_age()
        if age >= limit:
            return None
        if age >= limit * _EARLY and self._asking is None:
            self.current(reread=True).addErrback(_forget)
        return self._snapshot

    def current(self, reread: bool = False) -> Deferred[Snapshot]:
        """Return the applications as they are, or as they were at most ``max_age`` ago.

        :param reread: whether to read them although they are cached.
        :return: may be cancelled. Fails with ``Unavailable``.
        """
        snapshot = None if reread else self.cached()
        return self._read_since(self._seconds() - self._max_age()) if snapshot is None else succeed(snapshot)

    @deferred
    async def _read_since(self, moment: float) -> Snapshot:
        """Return the applications as they are after this call: a read that began before it may be too old."""
        while True:
            snapshot = await self._asked()
            if self._read_at is not None and self._read_at >= moment:
                return snapshot

    def _asked(self) -> Deferred[Snapshot]:
        """Read them, or wait for a read that is under way."""
        if self._asking is None:
            asking: SingleFlight[Snapshot] = SingleFlight()
            self._asking = asking
            waiting = asking.join()
            self._refresh().addBoth(self._answer, asking)
            return waiting
        return self._asking.join()

    def _answer(self, answer: Snapshot | Failure, asking: SingleFlight[Snapshot]) -> None:
        self._asking = None
        asking.answered(answer)

    @deferred
    async def _refresh(self) -> Snapshot:
        while True:
            changes, began = self._changes, self._seconds()
            state = await self._states.read(INDEX)
            versions = {} if state is None else _readable(INDEX, decode_index, state.value)
            differ = [name for name, version in versions.items() if self._shard(name).version != version]
            found = await self._read_shards(differ)
            # What this process has changed meanwhile is not undone by what was read before.
            if changes == self._changes:
                break
        if any(self._shard(name).version != kept.version for name, kept in found.items()):
            self._shards.update(found)
            self._snapshot = _snapshot(self._shards.values())
        self._read_at = began
        return self._snapshot

    def _shard(self, name: str) -> _Kept:
        return self._shards.get(name, _NOTHING)

    async def _read_shards(self, names: Sequence[str]) -> dict[str, _Kept]:
        found: dict[str, _Kept] = {}
        for at in range(0, len(names), _AT_ONCE):
            some = names[at : at + _AT_ONCE]
            try:
                read = await gatherResults([self._read_shard(name) for name in some], consumeErrors=True)
            except FirstError as first:
                first.subFailure.raiseException()
            found.update(zip(some, read, strict=True))
        return found

    @deferred
    async def _read_shard(self, name: str) -> _Kept:
        key = _key(name)
        state = await self._states.read(key)
        return _NOTHING if state is None else _Kept(state.version, _readable(key, decode_shard, state.value))

    def change(self, name: str, step: Step) -> Deferred[Change]:
        """Change an application; those of one shard take turns. Once begun it is finished.

        :param step: says what is to become of it.
        :return: fires with the change, once it is stored and in force in this process. Fails with what ``step``
            raises, with ``StorageFull``, or with ``Unavailable``, whose ``applied`` is true.
        """
        shard = shard_of(name)
        return shield(self._turns.take(shard, lambda: self._change(shard, name, step)))

    @deferred
    async def _change(self, shard: str, name: str, step: Step) -> Change:
        attempts = self._retries.begin(_contended)
        while True:
            kept = await self._read_shard(shard)
            change = Change(kept.shard.get(name), step(kept.shard.get(name)))
            if change.before == change.after:
                return change
            others = {other: one for other, one in kept.shard.items() if other != name}
            changed = others if change.after is None else {**others, name: change.after}
            value = encode_shard(changed)
            if change.before is None:
                await self._check_number()
            if len(value) > MAX_STATE:
                raise StorageFull("The entry of this application would be too large.", limit="applications")
            version = self._new_version()
            await self._announcements.make(INDEX, (shard, version))
            if await self._store(shard, kept.version or None, value, version):
                await self._in_force()
                return change
            await attempts.again()

    async def _check_number(self) -> None:
        if len((await self.current()).applications) >= MAX_APPLICATIONS:
            raise StorageFull(f"There are {MAX_APPLICATIONS} applications in the store already.", limit="applications")

    async def _announce(self, key: str, announced: Sequence[tuple[str, str]]) -> Sequence[None] | None:
        """Tell the index which versions some shards are about to have; ``None`` if another process was first."""
        state = await self._states.read(key)
        versions = {} if state is None else _readable(key, decode_index, state.value)
        if any(versions.get(shard) != version for shard, version in announced):
            value = encode_index({**versions, **dict(announced)})
            seen = None if state is None else state.version
            if await self._states.replace(key, seen, value, self._new_version()) is not Outcome.APPLIED:
                return None
        return [None] * len(announced)

    async def _store(self, shard: str, seen: str | None, value: bytes, version: str) -> bool:
        """Whether a shard was stored; if not, it is another one by now."""
        outcome = await self._states.replace(_key(shard), seen, value, version)
        if outcome is Outcome.UNKNOWN:
            self._changes += 1
            self._read_at = None
            if await self._version(shard) != version:
                raise Unavailable("It is not known whether the change was stored.", applied="unknown")
        return outcome is not Outcome.REFUSED

    async def _version(self, shard: str) -> str | None:
        try:
            state = await self._states.read(_key(shard))
        except Unavailable:
            return None
        return None if state is None else state.version

    async def _in_force(self) -> None:
        """Drop the cache, so that an older state cannot be used."""
        self._changes += 1
        self._read_at = None
        try:
            await self.current()
        except Unavailable:
            # It is stored, and whatever is asked from now on waits for what is.
            return


def _contended() -> Conflict:
    return Conflict("Applications are being changed by other requests at the same time.")


def _key(shard: str) -> str:
    return f"{INDEX}/{shard}"


def _readable(key: str, decode: Callable[[bytes], T], value: bytes) -> T:
    try:
        return decode(value)
    except Unreadable as error:
        raise Unavailable(f"The store's value of {key} cannot be read: {error}.") from None


def _snapshot(shards: Iterable[_Kept]) -> Snapshot:
    applications = {name: one for kept in shards for name, one in kept.shard.items()}
    owners: dict[bytes, str] = {}
    shared: set[bytes] = set()
    for name, application in applications.items():
        for key in application.keys:
            if owners.setdefault(key.digest, name) != name:
                shared.add(key.digest)
    return Snapshot(applications, {digest: name for digest, name in owners.items() if digest not in shared})


def _forget(failure: Failure) -> None:
    """Do nothing: the next request that needs it gets the same error."""
    failure.trap(Unavailable)
