"""A state as version 2 of the tables has it, byte for byte: it is converted with all that is known of it."""

from __future__ import annotations

from typing import Final, cast

from queuey.errors import NoSuchGroup
from queuey.interfaces import IStateStore
from queuey.interfaces import Outcome as Swapped
from queuey.model.groups.claims import pointed, repeated
from queuey.model.groups.entries import LEASED, MARKED, WAITING, Claim, Entry, In, Out, Target
from queuey.model.groups.index import GroupIndex
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.settlements import settle
from queuey.model.groups.snapshot import GroupState, encode
from queuey.model.groups.terms import Action, Outcome, Settlement, Terms
from queuey.model.timeid import Ticks
from queuey.storage.cassandra.groups.old_states import FENCE
from queuey.storage.cassandra.import_target import UnfencedStates
from queuey.storage.cassandra.states import CassandraStates
from tests.storage.cassandra.groups.test_groups_faults import KEY, GroupsCase, id_of, lease

NOW: Final = Ticks(1 << 57)

BYTES: Final = bytes.fromhex(
    "016f6c642d6f6c642d00000000000000000000000000000009000000000000002d000000000000000300050002010002"
    "020101000000000000000000000000000000030000000000000000000000000000000400000000000000000000000000"
    "000005000000000000000000000000000000060000000000000000000000000000000800000000000000290000000000"
    "00002a000000000000002b000000000000002c000000000000002d020000000000000002000000000000050200000000"
    "000000020000000000000002000000000000090001000300020000000101000202010000010000000000000000002700"
    "0000000000002800000000000000000000000000000002747474747474747474747474747474746b6b6b6b6b6b6b6b6b"
    "6b6b6b6b6b6b6b000000000000002d000102000000000000097070707070707070707070707070707000000000000000"
    "020000020000000000001e00000000000000000000000000000007046465616400020000037768790003800011010000"
    "0000000000000000000000000063f4468998"
)
"""It was written by a front end of that version."""

DEAD: Final = Target("dead", 7)

STATE: Final = GroupState(
    b"old-old-",
    id_of(9),
    45,
    {
        id_of(3): Entry(41, NOW, 1, LEASED),
        id_of(4): Entry(42, Ticks(NOW + 5), 3, WAITING),
        id_of(5): Entry(43, NOW, 2, MARKED, 1),
        id_of(6): Entry(44, NOW, 0, MARKED),
        id_of(8): Entry(45, Ticks(NOW + 9), 1, LEASED),
    },
    (39, 40),
    (id_of(2),),
    3,
    {b"k" * 16: Claim(45, 1, Ticks(NOW + 9)), b"p" * 16: Claim(2, 0, Ticks(NOW + 30))},
    {id_of(5): Out(DEAD, "why"), id_of(6): In(DEAD, 1, id_of(99))},
)


class OldStateTests(GroupsCase):
    def setUp(self) -> None:
        super().setUp()
        self.states = CassandraStates(self.session, "ks")
        self.successResultOf(self.states.replace(KEY, None, BYTES, "version"))

    def value(self) -> bytes | None:
        """What a front end of the earlier version finds."""
        found = self.successResultOf(self.states.read(KEY))
        return None if found is None else found.value

    def test_what_is_left_is_removed_with_the_group(self) -> None:
        self.change(self.one, lease(20))
        end = self.one.groups._clear(KEY)
        self.successResultOf(end)
        self.assertIsNone(self.value())
        self.failureResultOf(self.one.cell.change(lease(21)), NoSuchGroup)

    def test_copies_do_not_see_fences(self) -> None:
        """Before it is converted, a copy takes the value as it was; after that, the rows alone."""
        seen = UnfencedStates(cast(IStateStore, self.states))
        found = self.successResultOf(seen.read(KEY))
        self.assertEqual(found and found.value, BYTES)
        self.change(self.one, lease(20))
        self.assertIsNone(self.successResultOf(seen.read(KEY)))
        self.assertEqual(self.successResultOf(seen.replace(KEY, None, b"copied", "fresh")), Swapped.APPLIED)
        self.assertEqual(self.value(), b"copied")
        self.assertEqual(self.successResultOf(seen.replace("other", None, b"copied", "fresh")), Swapped.APPLIED)

    def test_nothing_of_it_is_lost(self) -> None:
        self.assertEqual(self.stored(), STATE)
        self.assertEqual(self.value(), BYTES)  # to read it changes nothing
        self.assertEqual(self.change(self.one, lease(20)), 46)
        self.assertEqual(self.value(), FENCE)
        stored = self.stored()
        self.assertEqual(stored.open.keys() - STATE.open.keys(), {id_of(20)})
        for name in ("generation", "reach", "acked", "aside", "set_aside", "claims", "moves"):
            self.assertEqual(getattr(stored, name), getattr(STATE, name), name)
        self.assertEqual({id: stored.open[id] for id in STATE.open}, STATE.open)

    def test_receipts_and_keys_that_were_given_out(self) -> None:
        def step(index: GroupIndex) -> tuple[Outcome, ...]:
            receipts = [Receipt(1, b"old-old-", 1, id_of(id), number) for id, number in ((1, 40), (3, 41), (5, 42))]
            asked = [Settlement(Action.ACK, receipt) for receipt in receipts]
            return settle(index, asked, Terms(), NOW).outcomes

        outcomes = (Outcome.ALREADY_ACKED, Outcome.ACKED, Outcome.STALE)
        self.assertEqual(self.change(self.one, step), outcomes)
        again = self.change(self.other, lambda index: repeated(index, b"k" * 16, NOW))
        self.assertEqual([(one.id, one.number) for one in again], [(id_of(8), 45)])
        self.assertEqual(self.change(self.other, lambda index: pointed(index, b"p" * 16, NOW)), 2)

    def test_the_earlier_format_is_still_written_for_copies(self) -> None:
        """Its tokens are of transactions whose outcomes are not asked for any more."""
        self.assertEqual(len(encode(STATE)) + 16, len(BYTES))
