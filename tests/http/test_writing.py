"""Where messages are, as the answer to their POST says it."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.http.writing import addresses_json
from queuey.model.message import Address
from queuey.model.timeid import EPOCH, MAX_TICKS, SECOND, Ticks, make, timestamp, to_v1_hex

NOW = EPOCH + 1_800_000_001 * SECOND
STEPS = st.lists(st.tuples(st.integers(0, 2000), st.sampled_from([1, 2]), st.sampled_from([3, 4])), max_size=20)
STARTS = st.sampled_from([0, EPOCH - 3000, EPOCH, NOW, NOW - 3000, NOW - 5000, MAX_TICKS - 40_000])


class AddressTests(SynchronousTestCase):
    """Each is as it would be alone, whichever came before it."""

    @settings(deadline=None, database=None)
    @given(STARTS, STEPS)
    def test_each_is_as_if_it_were_alone(self, ticks: int, steps: list[tuple[int, int, int]]) -> None:
        addresses = []
        for number, (step, sequence, node) in enumerate(steps):
            ticks += step
            addresses.append(Address(number % 3 + 1, make(Ticks(ticks), sequence, node)))
        self.assertEqual(
            [json.loads(text) for text in addresses_json(addresses)],
            [{"key": to_v1_hex(a.id), "timestamp": timestamp(a.id), "partition": a.partition} for a in addresses],
        )
