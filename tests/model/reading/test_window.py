"""Windows: a read in slices returns the same messages as one read."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.reading.window import Window
from queuey.model.timeid import HIGHEST, LOWEST, MessageId, Ticks, make, successor

quick = settings(deadline=None, database=None)

IDS = [make(Ticks(number), 0, 0) for number in range(1, 13)]
BOUNDS = st.sampled_from([LOWEST, HIGHEST, *IDS, successor(IDS[3]), successor(IDS[11])])
STORED = st.dictionaries(st.integers(1, 3), st.lists(st.sampled_from(IDS), unique=True).map(sorted))
WINDOWS = st.builds(
    Window,
    st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple),
    BOUNDS,
    BOUNDS,
    st.booleans(),
    st.integers(1, 14),
)

Found = list[tuple[int, MessageId]]


def within(ids: Sequence[MessageId], lower: MessageId, upper: MessageId, descending: bool) -> list[MessageId]:
    found = [id for id in ids if lower <= id < upper]
    return found[::-1] if descending else found


def whole(stored: dict[int, list[MessageId]], window: Window) -> Found:
    """A read as the words of Window have it."""
    return [
        (partition, id)
        for partition in window.partitions
        for id in within(stored.get(partition, []), window.lower, window.upper, window.descending)[: window.limit]
    ]


def sliced(stored: dict[int, list[MessageId]], window: Window, sizes: Sequence[int]) -> Found:
    """The same read, so many of the first partition at a time, as a store does it."""
    found: Found = []
    rest: Window | None = window
    turn = 0
    while rest is not None:
        lower, upper, limit = rest.first()
        size = sizes[turn % len(sizes)]
        turn += 1
        some = within(stored.get(rest.partitions[0], []), lower, upper, rest.descending)[: min(limit, size)]
        found += [(rest.partitions[0], id) for id in some]
        exhausted = len(some) < min(size, limit)
        rest = rest.next_partition() if exhausted else rest.after(some[-1], len(some))
    return found


class WindowTests(SynchronousTestCase):
    @quick
    @given(STORED, WINDOWS, st.lists(st.integers(1, 5), min_size=1, max_size=4))
    def test_slices_make_the_whole(self, stored: dict[int, list[MessageId]], window: Window, sizes: list[int]) -> None:
        self.assertEqual(sliced(stored, window, sizes), whole(stored, window))

    @quick
    @given(WINDOWS, st.sampled_from(IDS))
    def test_what_was_passed_over_uses_up_nothing(self, window: Window, last: MessageId) -> None:
        rest = window.after(last, 0)
        assert rest is not None
        lower, upper, limit = rest.first()
        self.assertEqual(limit, window.limit)
        self.assertEqual(rest.partitions, window.partitions)
        expected = (window.lower, last) if window.descending else (successor(last), window.upper)
        self.assertEqual((lower, upper), expected)

    def test_the_limit_is_each_partitions_own(self) -> None:
        window = Window((1, 2), limit=3)
        rest = window.after(IDS[0], 2)
        assert rest is not None
        self.assertEqual(rest.first(), (successor(IDS[0]), HIGHEST, 1))
        after = rest.after(IDS[1], 1)
        self.assertEqual(after, Window((2,), limit=3))

    def test_the_end(self) -> None:
        window = Window((1,), limit=3)
        self.assertIsNone(window.after(IDS[0], 3))
        self.assertIsNone(window.next_partition())
        self.assertEqual(Window((1, 2)).next_partition(), Window((2,)))

    def test_the_whole_range_by_default(self) -> None:
        self.assertEqual(Window((1,)).first(), (LOWEST, HIGHEST, 100))
