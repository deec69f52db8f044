"""Going through every state that a small world can come to, up to the first that breaks a promise."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Hashable, Iterable
from typing import Protocol, TypeVar

import attrs
from twisted.trial.unittest import SynchronousTestCase

S = TypeVar("S", bound=Hashable)


class World(Protocol[S]):
    """What can happen, one step at a time."""

    def beginning(self) -> S:
        """Where all begins."""

    def steps(self, scene: S, /) -> Iterable[tuple[str, S]]:
        """What can happen next: in words, and what it leads to."""

    def broken(self, scene: S, /) -> str:
        """The promise that a state breaks; empty where it breaks none."""


@attrs.frozen
class Explored:
    """What came of an exploration.

    :ivar states: how many there are; up to the first that breaks a promise.
    :ivar broken: which promise that is; empty where none is broken.
    :ivar path: how the world came to that.
    """

    states: int
    broken: str
    path: tuple[str, ...]


def explore(world: World[S]) -> Explored:
    """Go through all states, nearest first, up to the first that breaks a promise."""
    first = world.beginning()
    seen: dict[S, tuple[S, str] | None] = {first: None}
    waiting = deque([first])
    while waiting:
        scene = waiting.popleft()
        for label, after in world.steps(scene):
            if after in seen:
                continue
            seen[after] = scene, label
            broken = world.broken(after)
            if broken:
                return Explored(len(seen), broken, _path(seen, after))
            waiting.append(after)
    return Explored(len(seen), "", ())


def _path(seen: dict[S, tuple[S, str] | None], scene: S) -> tuple[str, ...]:
    path: list[str] = []
    before = seen[scene]
    while before is not None:
        path.append(before[1])
        before = seen[before[0]]
    return tuple(reversed(path))


class ExploringCase(SynchronousTestCase):
    """Explores worlds, and says how many states there were, where somebody reads it."""

    def explored(self, world: World[S]) -> Explored:
        """What comes of an exploration."""
        found = explore(world)
        sys.stdout.write(f"{self.id().rpartition('.')[2]}: {found.states} states ")
        return found

    def holds(self, world: World[S], least: int) -> None:
        """Nothing that is promised is broken in a world of more states than so many."""
        found = self.explored(world)
        self.assertEqual((found.broken, found.path), ("", ()))
        self.assertGreater(found.states, least)
