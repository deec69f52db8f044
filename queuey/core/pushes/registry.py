"""The registry of all pushes: which there are, so that the processes that send find them without reading every queue.

It is stored in shards, and an index has the version of each shard, as applications are
(:mod:`queuey.core.applications.stored`). A push is listed before its group is written, and once more afterwards: the
registry may list pushes that do not exist, but it never lacks one. Each change of a push writes its shard, so other
processes notice the change when they read the index, once a second.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred

from queuey.core.contention import Gathered, Retries
from queuey.core.groups.rows import in_parallel
from queuey.deferreds import deferred
from queuey.errors import StorageFull, Unavailable
from queuey.interfaces import MAX_STATE, IStateStore, Outcome
from queuey.model.pushes.places import (
    INDEX,
    PushPlace,
    UnreadablePushes,
    decode_numbers,
    decode_shard,
    encode_numbers,
    encode_shard,
    shard_key,
)

MAX_SHARE: Final = MAX_STATE // 4
"""Bytes of a shard that one application may fill, so that it keeps no other one from making pushes. That is enough for
some 20,000 pushes with names of usual length."""

_TOKEN: Final = 16
_STAMP: Final = 4

Exists = Callable[[PushPlace], Coroutine[Deferred[Any], Any, bool]]
"""Looks whether a push is there."""

_Change = tuple[PushPlace, Exists | None]
"""A push to list, or to remove from the list unless it exists."""


class PushRegistry:
    """The registry. Every Deferred may fail with ``Unavailable``.

    :param new_bytes: returns that number of random bytes.
    :param root: the key of the index, and the beginning of the keys of the shards; schedules have their own.
    """

    def __init__(
        self, states: IStateStore, retries: Retries, new_bytes: Callable[[int], bytes], root: str = INDEX
    ) -> None:
        self._states = states
        self._root = root
        self._new_bytes = new_bytes
        self._index: Gathered[str, tuple[str, str], None] = Gathered(retries, self._announce, _contended)
        self._changes: Gathered[str, _Change, StorageFull | None] = Gathered(retries, self._attempt, _contended)
        self._versions: dict[str, str] = {}
        self._shards: dict[str, dict[PushPlace, str]] = {}
        self._changed: set[PushPlace] | None = None  # since the last refresh; nothing is gathered before the first one

    @property
    def known(self) -> frozenset[PushPlace]:
        """All pushes as they were read last."""
        return frozenset().union(*self._shards.values())

    def lists(self, place: PushPlace) -> bool:
        """Return whether a push was listed when its shard was read last."""
        return place in self._shards.get(place.shard, ())

    def note(self, place: PushPlace) -> Deferred[None]:
        """List a push, or announce that it was changed. Fails with ``StorageFull`` if it was not listed."""
        return self._changes.make(place.shard, (place, None)).addCallback(_raise)

    def drop(self, place: PushPlace, exists: Exists) -> Deferred[None]:
        """Remove a push from the list unless it exists.

        :param exists: is asked after the list was read: if the push is made meanwhile, its shard changes.
        """
        return self._changes.make(place.shard, (place, exists)).addCallback(_raise)

    @deferred
    async def refresh(self) -> frozenset[PushPlace]:
        """Read what has changed since the last call.

        :return: fires with the pushes that were listed, changed or removed; the first call fires with all.
        """
        await self._update()
        changed, self._changed = self._changed, set()
        return self.known if changed is None else frozenset(changed)

    @deferred
    async def read(self) -> frozenset[PushPlace]:
        """Read all pushes as they are now; what ``refresh`` returns next is the same as without this call."""
        await self._update()
        return self.known

    async def _update(self) -> None:
        """Read the index, and the shards that have changed since they were read."""
        state = await self._states.read(self._root)
        versions = {} if state is None else _readable(decode_numbers, state.value)
        differ = [shard for shard, version in versions.items() if self._versions.get(shard) != version]
        for shard, (version, places) in zip(differ, await in_parallel(differ, self._read), strict=True):
            # A version that was announced, and is not stored yet, differs once more the next time.
            if self._versions.get(shard) != version:
                before = self._shards.get(shard, {})
                self._versions[shard], self._shards[shard] = version, places
                if self._changed is not None:
                    self._changed.update(place for place, _ in before.items() ^ places.items())

    @deferred
    async def _read(self, shard: str) -> tuple[str, dict[PushPlace, str]]:
        state = await self._states.read(shard_key(self._root, shard))
        return ("", {}) if state is None else (state.version, _readable(decode_shard, state.value))

    async def _attempt(self, shard: str, changes: Sequence[_Change]) -> Sequence[StorageFull | None] | None:
        """Change a shard once; ``None`` if another process was first."""
        version, places = await self._read(shard)
        results: list[StorageFull | None] = []
        for place, exists in changes:
            results.append(None)
            if exists is None:
                new = place not in places
                places[place] = self._new_bytes(_STAMP).hex()
                if new and (problem := self._problem(places, place.application)) is not None:
                    del places[place]
                    results[-1] = problem
            elif place in places and not await exists(place):
                del places[place]
        value = encode_shard(places)
        fresh = self._new_bytes(_TOKEN).hex()
        await self._index.make(self._root, (shard, fresh))
        outcome = await self._states.replace(shard_key(self._root, shard), version or None, value, fresh)
        if outcome is Outcome.UNKNOWN:
            outcome = Outcome.APPLIED if (await self._read(shard))[0] == fresh else Outcome.REFUSED
        return None if outcome is Outcome.REFUSED else results

    def _problem(self, places: dict[PushPlace, str], application: str) -> StorageFull | None:
        """Return why a shard may not be as large as it would be; ``None`` if it may."""
        size = len(encode_shard(places))
        if size > MAX_STATE:
            return StorageFull(f"There are too many {self._root} in the store.", limit=self._root)
        own = {place: stamp for place, stamp in places.items() if place.application == application}
        if size > MAX_SHARE and len(encode_shard(own)) > MAX_SHARE:
            return StorageFull(f"The application has too many {self._root}.", limit=self._root)
        return None

    async def _announce(self, key: str, announced: Sequence[tuple[str, str]]) -> Sequence[None] | None:
        """Write the versions that shards are about to have into the index; ``None`` if another process was first."""
        state = await self._states.read(key)
        versions = {} if state is None else _readable(decode_numbers, state.value)
        value = encode_numbers({**versions, **dict(announced)})
        seen, fresh = None if state is None else state.version, self._new_bytes(_TOKEN).hex()
        outcome = await self._states.replace(key, seen, value, fresh)
        return [None] * len(announced) if outcome is Outcome.APPLIED else None


def _raise(problem: StorageFull | None) -> None:
    if problem is not None:
        raise problem


def _readable(decode: Callable[[bytes], Any], value: bytes) -> Any:
    try:
        return decode(value)
    except UnreadablePushes as error:
        raise Unavailable(f"The registry {error}.") from None


def _contended() -> Unavailable:
    return Unavailable("The registry is being changed by other requests at the same time.")
