"""The rules of consumer groups one by one, at their limits; test_group_explored and test_group_machine have them
together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.groups.entries import (
    KEY_SCOPE,
    MAX_CLAIMS,
    MAX_DELIVERIES,
    TOKEN,
    WAITING,
    Entry,
    Target,
)
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.snapshot import MAX_OPEN, GroupState, encode
from queuey.model.timeid import SECOND, MessageId, Ticks, successor
from tests.model.groups import folded as group
from tests.model.groups.folded import Action, Claimed, Found, Look, Order, Outcome, Settled, Settlement, Terms, Wanted

NOW = Ticks(1 << 57)
LEASE = Ticks(30 * SECOND)
ENDED = Ticks(NOW + LEASE)
GENERATION = b"12345678"
DEAD = Target("dead", 9)
PLAIN = Terms()


def id_of(number: int) -> MessageId:
    return MessageId(number.to_bytes(16, "big"))


def ids(first: int, last: int) -> list[MessageId]:
    return [id_of(number) for number in range(first, last + 1)]


def found(state: GroupState, scanned: Sequence[MessageId], **more: Any) -> Found:
    """What a claim finds that scans from where the group has come to, to the end of the log."""
    end = successor(scanned[-1]) if scanned else state.reach
    return Found(scanned=scanned, start=state.reach, end=end, **more)


def claimed(
    state: GroupState,
    scanned: Sequence[MessageId],
    terms: Terms = PLAIN,
    now: Ticks = NOW,
    key: bytes | None = None,
    limit: int = 1000,
) -> Claimed:
    """A claim of what is due, which is all there, and of these."""
    due = group.look(state, limit, terms, now).due
    return group.claim(state, Wanted(limit, LEASE, key), found(state, scanned, present=due), terms, now)


def receipt(id: MessageId, number: int) -> Receipt:
    return Receipt(1, GENERATION, 1, id, number)


def receipts(one: Claimed) -> list[Receipt]:
    return [receipt(taken.id, taken.number) for taken in one.taken]


def settled(
    state: GroupState,
    action: Action,
    those: Iterable[Receipt],
    terms: Terms = PLAIN,
    now: Ticks = NOW,
    reason: str = "",
) -> Settled:
    return group.settle(state, [Settlement(action, one, Ticks(SECOND), reason) for one in those], terms, now)


class GroupTests(SynchronousTestCase):
    """A group that has seen nothing."""

    def setUp(self) -> None:
        self.empty = GroupState(GENERATION, id_of(0))

    def full(self, terms: Terms = PLAIN) -> Claimed:
        return claimed(self.empty, ids(1, MAX_OPEN), terms)


class ClaimTests(GroupTests):
    def test_nothing_is_there(self) -> None:
        one = claimed(self.empty, ())
        self.assertEqual((one.taken, one.blocked), ((), False))
        self.assertIs(one.state, self.empty)

    def test_nothing_is_there_for_long(self) -> None:
        """How far the log was looked at can be kept, although nothing was found."""
        one = group.claim(self.empty, Wanted(10, LEASE), Found(start=id_of(0), end=id_of(9)), PLAIN, NOW)
        self.assertEqual((one.taken, one.state.reach), ((), id_of(9)))

    def test_the_first_ones(self) -> None:
        one = claimed(self.empty, ids(3, 5))
        self.assertEqual(
            [(taken.id, taken.number, taken.deliveries) for taken in one.taken],
            [(id_of(3), 1, 1), (id_of(4), 2, 1), (id_of(5), 3, 1)],
        )
        self.assertEqual({taken.until for taken in one.taken}, {ENDED})
        self.assertEqual((one.state.reach, one.state.last), (id_of(6), 3))
        self.assertEqual(list(one.state.open), ids(3, 5))

    def test_what_is_due_comes_first(self) -> None:
        state = claimed(self.empty, ids(1, 2)).state
        one = claimed(state, ids(3, 4), now=ENDED, limit=3)
        self.assertEqual(
            [(taken.id, taken.number, taken.deliveries) for taken in one.taken],
            [(id_of(1), 3, 2), (id_of(2), 4, 2), (id_of(3), 5, 1)],
        )
        self.assertEqual(one.state.reach, id_of(4))

    def test_claims_that_looked_at_the_same_time(self) -> None:
        """Each is right although both saw the same: they are gathered into one change of the state."""
        same = found(self.empty, ids(1, 4))
        first = group.claim(self.empty, Wanted(2, LEASE), same, PLAIN, NOW)
        second = group.claim(first.state, Wanted(3, LEASE), same, PLAIN, NOW)
        third = group.claim(second.state, Wanted(3, LEASE), same, PLAIN, NOW)
        taken = [[one.id for one in each.taken] for each in (first, second, third)]
        self.assertEqual(taken, [ids(1, 2), ids(3, 4), []])
        self.assertIs(third.state, second.state)

    def test_a_scan_that_began_above(self) -> None:
        """The group was moved back meanwhile; what is between is not passed over."""
        one = group.claim(
            self.empty, Wanted(5, LEASE), Found(scanned=ids(5, 6), start=id_of(4), end=id_of(7)), PLAIN, NOW
        )
        self.assertEqual((one.taken, one.state.reach), ((), id_of(0)))

    def test_a_scan_that_ended_below(self) -> None:
        state = attrs.evolve(self.empty, reach=id_of(8))
        one = group.claim(state, Wanted(5, LEASE), Found(scanned=ids(5, 6), start=id_of(4), end=id_of(7)), PLAIN, NOW)
        self.assertEqual((one.taken, one.state.reach), ((), id_of(8)))

    def test_messages_that_are_gone(self) -> None:
        state = claimed(self.empty, ids(1, 3)).state
        one = group.claim(state, Wanted(5, LEASE), Found(present=ids(1, 1), gone=ids(2, 3)), PLAIN, ENDED)
        self.assertEqual([taken.id for taken in one.taken], ids(1, 1))
        self.assertEqual(list(one.state.open), ids(1, 1))

    def test_as_many_as_may_be_in_flight(self) -> None:
        state = claimed(self.empty, ids(1, MAX_OPEN + 5), limit=MAX_OPEN + 5).state
        self.assertEqual((len(state.open), state.reach), (MAX_OPEN, id_of(MAX_OPEN + 1)))
        self.assertEqual(group.look(state, 7, PLAIN, NOW), Look(blocking=tuple(ids(1, 7))))
        blocked = claimed(state, ids(MAX_OPEN + 1, MAX_OPEN + 5))
        self.assertEqual((blocked.taken, blocked.blocked), ((), True))
        self.assertIs(blocked.state, state)
        self.assertEqual(group.look(state, 7, PLAIN, ENDED), Look(due=tuple(ids(1, 7))))
        self.assertFalse(claimed(state, (), now=ENDED).blocked)

    def test_one_that_was_deleted_makes_room(self) -> None:
        state = self.full().state
        one = group.claim(state, Wanted(5, LEASE), Found(gone=ids(4, 4)), PLAIN, NOW)
        self.assertEqual((one.taken, one.blocked), ((), False))
        self.assertEqual(group.look(one.state, 7, PLAIN, NOW), Look(room=1))

    def test_deliveries_are_counted_up_to_a_limit(self) -> None:
        entry = Entry(1, NOW, MAX_DELIVERIES, WAITING)
        state = attrs.evolve(self.empty, open={id_of(1): entry}, reach=id_of(2), last=1)
        self.assertEqual(claimed(state, ()).taken[0].deliveries, MAX_DELIVERIES)

    def test_the_state_that_was_given_stays_as_it_is(self) -> None:
        first = claimed(self.empty, ids(1, 3))
        before = encode(first.state)
        claimed(first.state, ids(4, 5), now=ENDED)
        settled(first.state, Action.ACK, receipts(first))
        settled(first.state, Action.REJECT, receipts(first), attrs.evolve(PLAIN, dead_letter=DEAD))
        self.assertEqual(encode(first.state), before)


class KeyTests(GroupTests):
    KEY = b"k" * TOKEN

    def test_it_gives_the_same_while_the_lease_lives(self) -> None:
        one = claimed(self.empty, ids(1, 3), key=self.KEY)
        again = claimed(one.state, ids(4, 5), key=self.KEY, now=Ticks(ENDED - 1))
        self.assertEqual(again.taken, one.taken)
        self.assertIs(again.state, one.state)
        self.assertEqual(group.repeated(one.state, self.KEY, NOW), one.taken)
        self.assertIsNone(group.repeated(one.state, b"o" * TOKEN, NOW))

    def test_after_that_it_is_a_new_claim(self) -> None:
        one = claimed(self.empty, ids(1, 3), key=self.KEY)
        self.assertIsNone(group.repeated(one.state, self.KEY, ENDED))
        again = claimed(one.state, ids(4, 5), key=self.KEY, now=ENDED)
        self.assertEqual([taken.number for taken in again.taken], [4, 5, 6, 7, 8])
        self.assertEqual(group.repeated(again.state, self.KEY, ENDED), again.taken)

    def test_what_is_settled_is_not_given(self) -> None:
        one = claimed(self.empty, ids(1, 3), key=self.KEY)
        state = settled(one.state, Action.ACK, receipts(one)[:1]).state
        state = settled(state, Action.RETRY, receipts(one)[1:2]).state
        self.assertEqual(group.repeated(state, self.KEY, NOW), one.taken[2:])
        state = settled(state, Action.ACK, receipts(one)[2:]).state
        self.assertEqual(group.repeated(state, self.KEY, NOW), ())

    def test_an_extended_lease(self) -> None:
        other = claimed(claimed(self.empty, ids(1, 1)).state, ids(2, 2), key=b"o" * TOKEN)
        one = claimed(other.state, ids(3, 5), key=self.KEY)
        late = Ticks(ENDED - 1)
        state = settled(one.state, Action.EXTEND, [*receipts(one)[1:2], receipt(id_of(1), 1)], now=late).state
        again = group.repeated(state, self.KEY, ENDED)
        self.assertEqual(again, (replace(one.taken[1], until=Ticks(late + SECOND)),))
        self.assertIsNone(group.repeated(state, b"o" * TOKEN, ENDED))

    def test_a_lease_that_is_made_shorter(self) -> None:
        """The claim lives as long as the longest of its leases."""
        one = claimed(self.empty, ids(1, 2), key=self.KEY)
        state = settled(one.state, Action.EXTEND, receipts(one)[:1]).state
        self.assertEqual(group.repeated(state, self.KEY, Ticks(NOW + SECOND)), one.taken[1:])

    def test_an_extended_lease_that_is_of_no_claim_under_a_key(self) -> None:
        one = claimed(self.empty, ids(1, 2), key=self.KEY)
        other = claimed(one.state, ids(3, 3))
        state = settled(other.state, Action.EXTEND, receipts(other), now=ENDED).state
        self.assertIsNone(group.repeated(state, self.KEY, ENDED))

    def test_a_claim_that_found_nothing_is_not_remembered(self) -> None:
        self.assertEqual(claimed(self.empty, (), key=self.KEY).state.claims, {})

    def test_another_claim_under_the_same_key(self) -> None:
        """It is refused, and changes nothing, as long as a lease of the first one lives."""
        one = claimed(self.empty, ids(1, 2), key=self.KEY)
        other = self.KEY[:KEY_SCOPE] + b"!" * (TOKEN - KEY_SCOPE)
        refused = claimed(one.state, ids(3, 3), key=other)
        self.assertEqual((refused.reused, refused.taken, refused.state), (True, (), one.state))
        self.assertFalse(group.reused(one.state, self.KEY, NOW))
        self.assertEqual(len(claimed(one.state, ids(3, 3), key=other, now=ENDED).taken), 3)

    def test_as_many_as_are_remembered(self) -> None:
        state = self.empty
        for number in range(1, MAX_CLAIMS + 1):
            state = claimed(state, ids(number, number), key=number.to_bytes(8, "big") * 2).state
        more = ids(MAX_CLAIMS + 1, MAX_CLAIMS + 1)
        blocked = claimed(state, more, key=self.KEY)
        self.assertEqual((blocked.taken, blocked.blocked), ((), True))
        self.assertEqual(len(claimed(state, more).taken), 1)
        after = claimed(state, more, key=self.KEY, now=ENDED)
        self.assertEqual((len(after.taken), list(after.state.claims)), (MAX_CLAIMS + 1, [self.KEY]))


class OnceTests(GroupTests):
    """At most once."""

    TERMS = Terms(at_most_once=True)

    def test_it_is_settled_at_once(self) -> None:
        one = claimed(self.empty, ids(1, 3), self.TERMS)
        self.assertEqual([(taken.id, taken.number) for taken in one.taken], [(id, 0) for id in ids(1, 3)])
        self.assertEqual((one.state.open, one.state.reach), ({}, id_of(4)))

    def test_no_limit_stands_in_the_way(self) -> None:
        one = claimed(self.full().state, ids(MAX_OPEN + 1, MAX_OPEN + 2), self.TERMS)
        self.assertEqual([taken.id for taken in one.taken], ids(MAX_OPEN + 1, MAX_OPEN + 2))

    def test_what_was_given_before_is_not_given_again(self) -> None:
        """The group's guarantee was another one until now."""
        first = claimed(self.empty, ids(1, 2))
        state = settled(first.state, Action.RETRY, receipts(first)[:1]).state
        one = claimed(state, ids(3, 3), self.TERMS, now=ENDED)
        self.assertEqual(([taken.id for taken in one.taken], one.state.open), (ids(3, 3), {}))
        self.assertEqual(settled(first.state, Action.ACK, receipts(first), self.TERMS).outcomes, (Outcome.ACKED,) * 2)

    def test_what_was_taken_back_is_given_once(self) -> None:
        state = attrs.evolve(self.empty, reach=id_of(3), aside=tuple(ids(1, 1)), set_aside=1)
        state = group.reopen(state, ids(1, 1), NOW).state
        one = claimed(state, (), self.TERMS)
        self.assertEqual(([taken.id for taken in one.taken], one.state.open), (ids(1, 1), {}))


class OrderTests(GroupTests):
    """One message of a partition after another."""

    TERMS = Terms(order=Order.PARTITION)

    def test_one_after_another(self) -> None:
        self.assertEqual(group.look(self.empty, 5, self.TERMS, NOW), Look(room=1))
        one = claimed(self.empty, ids(1, 3), self.TERMS)
        self.assertEqual([taken.id for taken in one.taken], ids(1, 1))
        self.assertEqual(group.look(one.state, 5, self.TERMS, NOW), Look(blocking=tuple(ids(1, 1))))
        none = claimed(one.state, ids(2, 3), self.TERMS)
        self.assertEqual((none.taken, none.blocked), ((), False))
        done = settled(one.state, Action.ACK, receipts(one), self.TERMS).state
        self.assertEqual([taken.id for taken in claimed(done, ids(2, 3), self.TERMS).taken], ids(2, 2))

    def test_a_retry_is_waited_for(self) -> None:
        one = claimed(self.empty, ids(1, 3), self.TERMS)
        state = settled(one.state, Action.RETRY, receipts(one), self.TERMS).state
        self.assertEqual(group.look(state, 5, self.TERMS, NOW), Look(blocking=tuple(ids(1, 1))))
        self.assertEqual(group.look(state, 5, self.TERMS, Ticks(NOW + SECOND)), Look(due=tuple(ids(1, 1))))

    def test_one_that_was_deleted_is_in_nobodys_way(self) -> None:
        state = claimed(self.empty, ids(1, 3), self.TERMS).state
        state = group.claim(state, Wanted(5, LEASE), Found(gone=ids(1, 1)), self.TERMS, NOW).state
        self.assertEqual(group.look(state, 5, self.TERMS, NOW), Look(room=1))

    def test_a_move_is_waited_for(self) -> None:
        terms = attrs.evolve(self.TERMS, dead_letter=DEAD)
        one = claimed(self.empty, ids(1, 3), terms)
        state = settled(one.state, Action.REJECT, receipts(one), terms).state
        self.assertEqual(group.look(state, 5, terms, ENDED), Look())
        self.assertEqual(claimed(state, ids(2, 3), terms).taken, ())

    def test_many_that_were_claimed_before_it_was_so(self) -> None:
        state = claimed(self.empty, ids(1, 3)).state
        self.assertEqual(group.look(state, 5, self.TERMS, NOW).blocking, tuple(ids(1, 3)))
        one = claimed(state, ids(4, 5), self.TERMS, now=ENDED)
        self.assertEqual([taken.id for taken in one.taken], ids(1, 1))
