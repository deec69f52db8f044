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

_TOKEN: Final = 16
_STAMP: Final = 4

Exists = Callable[[PushPlace], Coroutine[Deferred[Any], Any, bool]]
"""Looks whether a push is there."""

_Change = tuple[PushPlace, Exists | None]
"""A push to list, or to remove from the list unless it exists."""


class PushRegistry:
    """The registry. Every Deferred may fail with ``Unavailable``.

    :param new_bytes: returns so many random bytes.
    :param root: the key of the index, and the beginning of the keys of the shards; schedules have their own.
    """

    def __init__(
        self, states: IStateStore, retries: Retries, new_bytes: Callable[[int], bytes], root: str = INDEX
    ) -> None:
        self._states = states
        self._root = root
        self._new_bytes = new_bytes
        self._index: Gathered[str, tuple[str, str], None] = Gathered(retries, self._announce, _contended)
        self._changes: Gathered[str, _Change, None] = Gathered(retries, self._attempt, _contended)
        self._versions: dict[str, str] = {}
        self._shards: dict[str, dict[PushPlace, str]] = {}
        self._changed: set[PushPlace] | None = None  # since the last refresh; nothing is gathered before the first one

    @property
    def known(self) -> frozenset[PushPlace]:
        """All pushes as they were read last."""
        return frozenset().union(*self._shards.values())

    def note(self, place: PushPlace) -> Deferred[None]:
        """List a push, or announce that it was changed. Fails with ``StorageFull``."""
        return self._changes.make(place.shard, (place, None))

    def drop(self, place: PushPlace, exists: Exists) -> Deferred[None]:
        """Remove a push from the list unless it exists.

        :param exists: is asked after the list was read: if the push is made meanwhile, its shard changes.
        """
        return self._changes.make(place.shard, (place, exists))

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

    async def _attempt(self, shard: str, changes: Sequence[_Change]) -> Sequence[None] | None:
        """Change a shard once; ``None`` if another process was first."""
        version, places = await self._read(shard)
        for place, exists in changes:
            if exists is None:
                places[place] = self._new_bytes(_STAMP).hex()
            elif place in places and not await exists(place):
                del places[place]
        value = encode_shard(places)
        if len(value) > MAX_STATE:
            raise StorageFull(f"There are too many {self._root} in the store.", limit=self._root)
        fresh = self._new_bytes(_TOKEN).hex()
        await self._index.make(self._root, (shard, fresh))
        outcome = await self._states.replace(shard_key(self._root, shard), version or None, value, fresh)
        if outcome is Outcome.UNKNOWN:
            outcome = Outcome.APPLIED if (await self._read(shard))[0] == fresh else Outcome.REFUSED
        return None if outcome is Outcome.REFUSED else [None] * len(changes)

    async def _announce(self, key: str, announced: Sequence[tuple[str, str]]) -> Sequence[None] | None:
        """Write the versions that shards are about to have into the index; ``None`` if another process was first."""
        state = await self._states.read(key)
        versions = {} if state is None else _readable(decode_numbers, state.value)
        value = encode_numbers({**versions, **dict(announced)})
        seen, fresh = None if state is None else state.version, self._new_bytes(_TOKEN).hex()
        outcome = await self._states.replace(key, seen, value, fresh)
        return [None] * len(announced) if outcome is Outcome.APPLIED else None


def _readable(decode: Callable[[bytes], Any], value: bytes) -> Any:
    try:
        return decode(value)
    except UnreadablePushes as error:
        raise Unavailable(f"The registry {error}.") from None


def _contended() -> Unavailable:
    return Unavailable("The registry is being changed by other requests at the same time.")
