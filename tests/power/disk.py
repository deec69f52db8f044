"""What may be on a disk after the power went: all that was synced, and of the rest anything."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

import attrs

from tests.power.recording import Created, DirectorySynced, Event, Removed, Synced, Truncated, Wrote

SECTORS: Final = (512, 4096)
"""Bytes that disks write at once: of what is longer, or lies across, a part may be there."""


@attrs.frozen
class Mood:
    """How a disk treated what it had been given and had not synced yet.

    :ivar kept: the share of the writes that it did.
    :ivar torn: the share of those, of which it did only a part.
    :ivar sector: bytes in a sector.
    :ivar shuffled: whether it did them in another order than they came.
    :ivar junk: whether sectors that it was at may hold anything instead of what was there before.
    """

    kept: float
    torn: float
    sector: int
    shuffled: bool
    junk: bool


def any_mood(random: Random) -> Mood:
    return Mood(
        kept=random.choice((0.0, 0.05, 0.5, 0.5, 0.95, 1.0)),
        torn=random.choice((0.0, 0.2, 1.0)),
        sector=random.choice(SECTORS),
        shuffled=random.random() < 0.5,
        junk=random.random() < 0.2,
    )


def pieces(write: Wrote, sector: int) -> Iterator[Wrote]:
    """A write, sector by sector. What lies in the same sector beside it is never harmed: SQLite relies on that."""
    start, end = write.offset, write.offset + len(write.data)
    while start < end:
        stop = min(end, (start // sector + 1) * sector)
        yield Wrote(write.file, start, write.data[start - write.offset : stop - write.offset])
        start = stop


def perform(image: bytearray, change: Wrote | Truncated) -> None:
    """Do to a file's bytes what was asked; a hole that comes into being has zeros."""
    size = change.size if isinstance(change, Truncated) else change.offset + len(change.data)
    if len(image) < size:
        image.extend(bytes(size - len(image)))
    if isinstance(change, Truncated):
        del image[size:]
    else:
        image[change.offset : size] = change.data


class File:
    """A file: what is certainly on the disk, and what was asked since."""

    def __init__(self) -> None:
        self.certain = bytearray()
        self.asked: list[Wrote | Truncated] = []

    def sync(self) -> None:
        for change in self.asked:
            perform(self.certain, change)
        self.asked.clear()

    def after_cut(self, random: Random, mood: Mood) -> bytes:
        """The bytes that may be there."""
        image = bytearray(self.certain)
        kept = [change for change in self.asked if random.random() < mood.kept]
        done = [part for change in kept for part in self._done(change, random, mood)]
        if mood.shuffled:
            random.shuffle(done)
        for change in done:
            perform(image, change)
        return bytes(image)

    @staticmethod
    def _done(change: Wrote | Truncated, random: Random, mood: Mood) -> list[Wrote | Truncated]:
        """What of one change was done; a change of the length is done whole, as file systems with a journal do it."""
        if isinstance(change, Truncated) or random.random() >= mood.torn:
            return [change]
        done: list[Wrote | Truncated] = []
        for part in pieces(change, mood.sector):
            if random.random() < 0.5:
                done.append(part)
            elif mood.junk:
                junk = random.choice((bytes(len(part.data)), random.randbytes(len(part.data))))
                done.append(attrs.evolve(part, data=junk))
        return done


class Disk:
    """One directory on a disk; events happen to it until the power is cut.

    :ivar names: what each name may stand for: the first is on the disk for certain, the others were asked for since.
    """

    def __init__(self) -> None:
        self._files: dict[int, File] = {}
        self._names: dict[str, list[int | None]] = {}

    def happen(self, event: Event) -> None:
        match event:
            case Created(file, name):
                self._files[file] = File()
                self._names.setdefault(name, [None]).append(file)
            case Removed(name):
                self._names[name].append(None)
            case Wrote(file, _, _) | Truncated(file, _):
                self._files[file].asked.append(event)
            case Synced(file):
                self._files[file].sync()
            case DirectorySynced():
                self._names = {name: choices[-1:] for name, choices in self._names.items()}

    def asked(self) -> int:
        """How many changes were asked for that are not certain."""
        return sum(len(file.asked) for file in self._files.values()) + sum(len(n) - 1 for n in self._names.values())

    def after_cut(self, random: Random) -> dict[str, bytes]:
        """The files that may be there, with a mood for each of them."""
        left: dict[str, bytes] = {}
        for name, choices in self._names.items():
            file = random.choice(choices)
            if file is not None:
                left[name] = self._files[file].after_cut(random, any_mood(random))
        return left
