"""Claims under a key in several partitions: the key's home knows in which of them its messages are, so that a repeat is
given the same; test_pointers_explored has them together."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from queuey.model.groups.entries import LEASED, MAX_CLAIMS, TOKEN, Claim
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.snapshot import GroupState, decode, encode
from queuey.model.timeid import MessageId, Ticks, successor
from tests.model.groups import folded as group
from tests.model.groups.folded import Action, Found, Settlement, Terms, Wanted

KEY = b"k" * TOKEN
GENERATION = b"12345678"
LEASE = Ticks(1)
TERMS = Terms()


def id_of(number: int) -> MessageId:
    return MessageId(number.to_bytes(16, "big"))


def claimed(state: GroupState, key: bytes, messages: int, now: int, lease: Ticks = LEASE) -> group.Claimed:
    """A claim of one message of a log that has so many."""
    due = group.look(state, 1, TERMS, Ticks(now)).due
    scanned = [id_of(one) for one in range(1, messages + 1) if id_of(one) >= state.reach][:1]
    found = Found(due, (), scanned, state.reach, successor(scanned[-1]) if scanned else state.reach)
    return group.claim(state, Wanted(1, lease, key), found, TERMS, Ticks(now))


class PointTests(SynchronousTestCase):
    """Pointers one by one."""

    def setUp(self) -> None:
        self.empty = GroupState(GENERATION, id_of(0))
        self.pointed = group.point(self.empty, KEY, 3, Ticks(10), Ticks(1))

    def test_whoever_meets_it_goes_there(self) -> None:
        self.assertEqual(self.pointed.claim, Claim(3, 0, Ticks(10)))
        met = claimed(self.pointed.state, KEY, 5, 9)
        self.assertEqual((met.taken, met.elsewhere, met.blocked, met.again), ((), 3, False, False))
        self.assertIs(met.state, self.pointed.state)
        self.assertEqual(group.repeated(met.state, KEY, Ticks(9)), ())
        self.assertEqual(decode(encode(met.state)), met.state)

    def test_it_ends(self) -> None:
        self.assertEqual(len(claimed(self.pointed.state, KEY, 5, 10).taken), 1)
        again = group.point(self.pointed.state, KEY, 2, Ticks(20), Ticks(10))
        self.assertEqual((again.claim, len(again.state.claims)), (Claim(2, 0, Ticks(20)), 1))

    def test_one_that_is_there_stays(self) -> None:
        again = group.point(self.pointed.state, KEY, 2, Ticks(9), Ticks(1))
        self.assertIs(again.state, self.pointed.state)
        self.assertEqual(again.claim, Claim(3, 0, Ticks(10)))

    def test_it_lives_longer(self) -> None:
        again = group.point(self.pointed.state, KEY, 2, Ticks(12), Ticks(1))
        self.assertEqual((again.claim, again.state.claims), (Claim(3, 0, Ticks(12)), {KEY: again.claim}))

    def test_a_claim_that_is_there(self) -> None:
        state = claimed(self.empty, KEY, 1, 1).state
        again = group.point(state, KEY, 2, Ticks(12), Ticks(1))
        self.assertIs(again.state, state)
        self.assertEqual(again.claim, Claim(1, 1, Ticks(1 + LEASE)))

    def test_as_many_as_there_may_be(self) -> None:
        state = self.pointed.state
        for number in range(1, MAX_CLAIMS):
            state = group.point(state, number.to_bytes(TOKEN, "big"), 2, Ticks(10), Ticks(1)).state
        self.assertIsNone(group.point(state, b"o" * TOKEN, 2, Ticks(10), Ticks(1)).claim)
        self.assertTrue(claimed(state, b"o" * TOKEN, 5, 1).blocked)
        self.assertEqual(group.point(state, KEY, 2, Ticks(11), Ticks(1)).claim, Claim(3, 0, Ticks(11)))
        self.assertEqual(len(group.point(state, b"o" * TOKEN, 2, Ticks(20), Ticks(10)).state.claims), 1)

    def test_an_extension_passes_it_over(self) -> None:
        """It has no lease numbers, whatever partition it names."""
        state = claimed(self.empty, b"o" * TOKEN, 1, 1).state
        state = group.point(state, KEY, 1, Ticks(10), Ticks(1)).state
        asked = Settlement(Action.EXTEND, Receipt(1, GENERATION, 1, id_of(1), 1), Ticks(50))
        settled = group.settle(state, [asked], TERMS, Ticks(1))
        self.assertEqual(settled.keys, {b"o" * TOKEN: 51})
        self.assertEqual([claim.until for claim in settled.state.claims.values()], [51, 10])

    def test_an_extension_of_what_has_no_key(self) -> None:
        state = group.claim(
            self.empty, Wanted(1, LEASE), Found((), (), [id_of(1)], id_of(0), id_of(2)), TERMS, Ticks(1)
        ).state
        asked = Settlement(Action.EXTEND, Receipt(1, GENERATION, 1, id_of(1), 1), Ticks(50))
        self.assertEqual(group.settle(state, [asked], TERMS, Ticks(1)).keys, {})


class GiveBackTests(SynchronousTestCase):
    """A claim whose answer its client will not see."""

    def setUp(self) -> None:
        one = Found((), (), [id_of(1), id_of(2)], id_of(0), id_of(3))
        self.before = GroupState(GENERATION, id_of(0))
        self.claimed = group.claim(self.before, Wanted(2, LEASE), one, TERMS, Ticks(1))

    def test_it_is_as_if_it_had_not_been(self) -> None:
        state = group.give_back(self.claimed.state, self.claimed.taken, Ticks(1))
        again = claimed(state, KEY, 0, 1)
        self.assertEqual([(one.id, one.deliveries) for one in again.taken], [(id_of(1), 1)])

    def test_what_others_have_by_now_stays_theirs(self) -> None:
        asked = Settlement(Action.ACK, Receipt(1, GENERATION, 1, id_of(2), 2))
        state = group.settle(self.claimed.state, [asked], TERMS, Ticks(1)).state
        state = claimed(state, KEY, 0, 1 + LEASE).state
        self.assertIs(group.give_back(state, self.claimed.taken, Ticks(1 + LEASE)), state)
        self.assertEqual([(entry.number, entry.kind) for entry in state.open.values()], [(3, LEASED)])

    def test_what_was_given_back_is_extended_and_given_back_again(self) -> None:
        """A receipt of a claim whose answer was lost on its way: deliveries are never fewer than none."""
        state = group.give_back(self.claimed.state, self.claimed.taken, Ticks(1))
        asked = Settlement(Action.EXTEND, Receipt(1, GENERATION, 1, id_of(2), 2), Ticks(50))
        state = group.settle(state, [asked], TERMS, Ticks(1)).state
        state = group.give_back(state, self.claimed.taken, Ticks(2))
        self.assertEqual([entry.deliveries for entry in state.open.values()], [0, 0])
        self.assertEqual(decode(encode(state)), state)
