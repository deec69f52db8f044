"""Ranges of several partitions that are read as one log: their bounds, their limits, and how far they were read."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.reading.window import NEWEST, OLDEST, SLICE_BYTES, SLICE_ROWS, Merge, MergeSlice, Merging, Position
from queuey.model.timeid import HIGHEST, LOWEST, MessageId, Ticks, make, successor, upper_bound

quick = settings(deadline=None, database=None)

IDS = [make(Ticks(number), 0, 0) for number in range(1, 9)]
PLACES = [Position(id, partition) for id in IDS for partition in (1, 2, 3)]
NOW = Ticks(100)
BOUNDS = st.sampled_from(
    [OLDEST, NEWEST, *PLACES, *(Position(id) for id in IDS), *(Position(id, 200) for id in IDS), Position(HIGHEST, 2)]
)
Stored = dict[Position, tuple[Ticks, int]]
"""The expiry and the size of what is at a place."""

STORED: st.SearchStrategy[Stored] = st.dictionaries(
    st.sampled_from(PLACES), st.tuples(st.sampled_from([Ticks(50), NOW, Ticks(101)]), st.integers(0, 9))
)
MERGES = st.builds(
    Merge,
    st.sets(st.integers(1, 4), min_size=1).map(lambda some: tuple(sorted(some))),
    BOUNDS,
    BOUNDS,
    st.booleans(),
    st.integers(1, 9),
    st.integers(0, 30),
)


def in_range(stored: Stored, merge: Merge, stable: MessageId) -> list[Position]:
    """What a merged range has in it, as the words of Merge have it."""
    found = (place for place in stored if merge.lower < place < merge.upper and place.partition in merge.partitions)
    return sorted((place for place in found if place.id < stable), reverse=merge.descending)


def by_bounds(stored: Stored, merge: Merge, stable: MessageId) -> list[Position]:
    """The same, found partition by partition as a store does it."""
    found = []
    for number in merge.partitions:
        lower, upper = merge.bounds(number)
        found += [place for place in stored if place.partition == number and lower <= place.id < min(upper, stable)]
    return sorted(found, reverse=merge.descending)


def part(stored: Stored, merge: Merge, stable: MessageId) -> tuple[list[Position], MergeSlice]:
    """The first part, as a store makes it."""
    merging, taken = Merging(merge, NOW), []
    for place in by_bounds(stored, merge, stable):
        expires, size = stored[place]
        if merging.take(place.id, place.partition, expires, size):
            taken.append(place)
        elif merging.full:
            break
    return taken, merging.slice((), stable, LOWEST)


class BoundsTests(SynchronousTestCase):
    """A range of places is a range of ids in each partition."""

    @quick
    @given(STORED, MERGES, st.sampled_from([*IDS, HIGHEST]))
    def test_each_place_and_no_other(self, stored: Stored, merge: Merge, stable: MessageId) -> None:
        self.assertEqual(by_bounds(stored, merge, stable), in_range(stored, merge, stable))

    def test_exactly(self) -> None:
        merge = Merge((1, 2, 3), Position(IDS[2], 2), Position(IDS[5], 2))
        self.assertEqual(merge.bounds(1), (successor(IDS[2]), successor(IDS[5])))
        self.assertEqual(merge.bounds(2), (successor(IDS[2]), IDS[5]))
        self.assertEqual(merge.bounds(3), (IDS[2], IDS[5]))

    def test_everything(self) -> None:
        self.assertEqual(Merge((1,)).bounds(1), (LOWEST, HIGHEST))


class MergingTests(SynchronousTestCase):
    """The first part of a range: as much as may be, and where to go on."""

    @quick
    @given(STORED, MERGES, st.sampled_from([*IDS, upper_bound(Ticks(8)), HIGHEST]))
    def test_parts_make_the_whole(self, stored: Stored, merge: Merge, stable: MessageId) -> None:
        """Each but the last has something, or comes on; nothing is shown twice, and nothing passed over."""
        expected = [place for place in in_range(stored, merge, stable) if stored[place][0] > NOW]
        found: list[Position] = []
        for _ in range(2 * len(PLACES)):
            taken, slice = part(stored, merge, stable)
            found += taken
            self.check_limits(stored, merge, taken)
            if slice.over:
                break
            self.assertTrue(taken)
            self.assertNotEqual(slice.position, merge.upper if merge.descending else merge.lower)
            if merge.descending:
                merge = attrs.evolve(merge, upper=slice.position)
            else:
                merge = attrs.evolve(merge, lower=slice.position)
        self.assertEqual(found, expected)

    def check_limits(self, stored: Stored, merge: Merge, taken: Sequence[Position]) -> None:
        self.assertLessEqual(len(taken), merge.limit)
        sizes = [stored[place][1] for place in taken]
        self.assertTrue(sum(sizes) <= merge.max_bytes or len(sizes) == 1, sizes)

    @quick
    @given(STORED, MERGES, st.sampled_from(IDS))
    def test_no_part_ends_above_the_stable_time(self, stored: Stored, merge: Merge, stable: MessageId) -> None:
        """What becomes stable later is never below where a reader goes on."""
        if merge.descending:
            return
        _, slice = part(stored, merge, stable)
        self.assertGreaterEqual(slice.position, merge.lower)
        self.assertLessEqual(slice.position, max(merge.lower, Position(stable)))

    def test_a_large_one_is_owed_only_where_it_is_the_first(self) -> None:
        stored = {PLACES[0]: (Ticks(101), 50), PLACES[1]: (Ticks(101), 5)}
        asked = Merge((1, 2, 3), max_bytes=10)
        self.assertEqual(part(stored, asked, HIGHEST)[0], [PLACES[0]])
        taken, slice = part(stored, attrs.evolve(asked, owed=False), HIGHEST)
        self.assertEqual((taken, slice.over, slice.position), ([], False, OLDEST))

    def test_expired_ones_use_up_rows_and_nothing_else(self) -> None:
        merging = Merging(Merge((1,), limit=1, max_bytes=0), NOW)
        for number in range(SLICE_ROWS):
            self.assertFalse(merging.take(make(Ticks(number + 1), 0, 0), 1, NOW, 1 << 30))
            self.assertFalse(merging.full)
        self.assertFalse(merging.take(make(Ticks(9999), 0, 0), 1, Ticks(101), 0))
        self.assertTrue(merging.full)
        slice = merging.slice((), HIGHEST, LOWEST)
        self.assertEqual((slice.position, slice.over), (Position(make(Ticks(SLICE_ROWS), 0, 0), 1), False))

    def test_a_part_is_no_larger_than_a_slice(self) -> None:
        merging = Merging(Merge((1,), max_bytes=16 << 20), NOW)
        self.assertTrue(merging.take(IDS[0], 1, Ticks(101), SLICE_BYTES - 1))
        self.assertTrue(merging.take(IDS[1], 1, Ticks(101), 1))
        self.assertTrue(merging.take(IDS[2], 1, Ticks(101), 0))
        self.assertFalse(merging.take(IDS[3], 1, Ticks(101), 1))
        self.assertTrue(merging.full)

    def test_the_end(self) -> None:
        """Ascending it is the stable time, within the range; descending the lower end."""
        stable = IDS[4]
        for lower, upper, position in (
            (OLDEST, NEWEST, Position(stable)),
            (Position(IDS[5], 2), NEWEST, Position(IDS[5], 2)),
            (OLDEST, Position(IDS[3], 1), Position(IDS[3], 1)),
        ):
            slice = Merging(Merge((1,), lower, upper), NOW).slice((), stable, IDS[1])
            self.assertEqual(slice, MergeSlice((), position, True, stable, IDS[1]))
        slice = Merging(Merge((1,), Position(IDS[1], 7), NEWEST, True), NOW).slice((), stable, LOWEST)
        self.assertEqual((slice.position, slice.over), (Position(IDS[1], 7), True))
