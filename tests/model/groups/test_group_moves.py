"""Seek, dead letters and redrive by the rules of groups, and whole courses of events."""

from __future__ import annotations

import attrs
from msgspec.structs import replace

from queuey.interfaces import MAX_STATE
from queuey.model.groups.entries import (
    LEASED,
    MARKED,
    MAX_ACKED,
    MAX_ASIDE,
    MAX_CLAIMS,
    MAX_MOVES,
    MAX_TARGETS,
    TOKEN,
    WAITING,
    Entry,
    In,
    Out,
    Target,
)
from queuey.model.groups.snapshot import MAX_OPEN, GroupState, encode
from queuey.model.timeid import SECOND, Ticks
from tests.model.groups import folded as group
from tests.model.groups.folded import Action, Outcome, Redrive, Result, Terms
from tests.model.groups.test_group import (
    DEAD,
    ENDED,
    NOW,
    PLAIN,
    GroupTests,
    claimed,
    id_of,
    ids,
    receipt,
    receipts,
    settled,
)


class SettleTests(GroupTests):
    def test_an_ack_and_its_repeats(self) -> None:
        one = claimed(self.empty, ids(1, 3))
        done = settled(one.state, Action.ACK, receipts(one)[:1])
        self.assertEqual(done.outcomes, (Outcome.ACKED,))
        for action in Action:
            again = settled(done.state, action, receipts(one)[:1])
            self.assertEqual(again.outcomes, (Outcome.ALREADY_ACKED,))
            self.assertIs(again.state, done.state)

    def test_twice_in_one_change(self) -> None:
        one = claimed(self.empty, ids(1, 2))
        wanted = (Outcome.ACKED, Outcome.ACKED, Outcome.ALREADY_ACKED, Outcome.STALE)
        those = [*receipts(one), receipts(one)[0], receipt(id_of(2), 7)]
        self.assertEqual(settled(one.state, Action.ACK, those).outcomes, wanted)
        those = [receipts(one)[0], receipt(id_of(1), 7), receipts(one)[0]]
        self.assertEqual(settled(one.state, Action.ACK, those).outcomes, (wanted[0], wanted[3], wanted[2]))
        those = [receipt(id_of(1), 7), receipts(one)[0], receipts(one)[0]]
        self.assertEqual(settled(one.state, Action.ACK, those).outcomes, (wanted[3], wanted[0], wanted[2]))

    def test_as_many_acks_as_are_remembered(self) -> None:
        state, first = self.empty, receipt(id_of(1), 1)
        for number in range(MAX_ACKED + 1):
            one = claimed(state, ids(number + 1, number + 1))
            state = settled(one.state, Action.ACK, receipts(one)).state
            wanted = Outcome.ALREADY_ACKED if number < MAX_ACKED else Outcome.STALE
            if number in (0, MAX_ACKED - 1, MAX_ACKED):
                self.assertEqual(settled(state, Action.ACK, [first]).outcomes, (wanted,))

    def test_past_the_end_of_the_lease(self) -> None:
        one = claimed(self.empty, ids(1, 4))
        for action in Action:
            late = settled(one.state, action, receipts(one)[:1], now=Ticks(ENDED * 2))
            self.assertNotIn(late.outcomes[0], (Outcome.STALE, Outcome.INVALID))

    def test_an_old_receipt(self) -> None:
        old = claimed(self.empty, ids(1, 1))
        new = claimed(old.state, (), now=ENDED)
        for action in Action:
            stale = settled(new.state, action, receipts(old), now=ENDED)
            self.assertEqual(stale.outcomes, (Outcome.STALE,))
            self.assertIs(stale.state, new.state)

    def test_a_receipt_of_another_generation(self) -> None:
        one = claimed(self.empty, ids(1, 1))
        other = settled(one.state, Action.ACK, [replace(receipts(one)[0], generation=b"87654321")])
        self.assertEqual(other.outcomes, (Outcome.INVALID,))

    def test_a_retry(self) -> None:
        one = claimed(self.empty, ids(1, 1))
        back = settled(one.state, Action.RETRY, receipts(one))
        self.assertEqual(back.outcomes, (Outcome.RETRYING,))
        self.assertEqual(group.next_due(back.state, NOW), NOW + SECOND)
        self.assertEqual(claimed(back.state, ()).taken, ())
        self.assertEqual(claimed(back.state, (), now=Ticks(NOW + SECOND)).taken[0].deliveries, 2)
        self.assertEqual(settled(back.state, Action.RETRY, receipts(one)).outcomes, (Outcome.RETRYING,))

    def test_an_extension(self) -> None:
        one = claimed(self.empty, ids(1, 1))
        later = settled(one.state, Action.EXTEND, receipts(one), now=ENDED)
        self.assertEqual(later.outcomes, (Outcome.EXTENDED,))
        self.assertEqual(claimed(later.state, (), now=ENDED).taken, ())
        self.assertEqual(group.next_due(later.state, ENDED), ENDED + SECOND)

    def test_a_rejection_without_a_dead_letter_queue(self) -> None:
        one = claimed(self.empty, ids(1, MAX_ASIDE + 1))
        aside = settled(one.state, Action.REJECT, receipts(one))
        self.assertEqual(set(aside.outcomes), {Outcome.SET_ASIDE})
        self.assertEqual((aside.state.set_aside, aside.state.open), (MAX_ASIDE + 1, {}))
        self.assertEqual(aside.state.aside, tuple(ids(2, MAX_ASIDE + 1)))
        self.assertEqual(settled(aside.state, Action.REJECT, receipts(one)[:1]).outcomes, (Outcome.STALE,))

    def test_after_as_many_deliveries_as_there_may_be(self) -> None:
        terms = Terms(max_deliveries=2)
        first = claimed(self.empty, ids(1, 2), terms)
        back = settled(first.state, Action.RETRY, receipts(first), terms)
        self.assertEqual(back.outcomes, (Outcome.RETRYING,) * 2)
        second = claimed(back.state, (), terms, now=Ticks(NOW + SECOND))
        over = settled(second.state, Action.RETRY, receipts(second)[:1], terms)
        self.assertEqual(over.outcomes, (Outcome.SET_ASIDE,))
        late = Ticks(ENDED + SECOND)
        self.assertEqual(group.look(over.state, 5, terms, late).due, ())
        self.assertEqual(group.expire(over.state, terms, Ticks(late - 1)), over.state)
        self.assertEqual(group.expire(over.state, terms, late).aside, tuple(ids(1, 2)))


class MoveTests(GroupTests):
    TERMS = Terms(dead_letter=DEAD)
    LETTER = In(DEAD, 3, id_of(77))

    def moving(self) -> GroupState:
        one = claimed(self.empty, ids(1, 2), self.TERMS)
        out = settled(one.state, Action.REJECT, receipts(one)[:1], self.TERMS, reason="why")
        self.assertEqual(out.outcomes, (Outcome.MOVING,))
        self.assertEqual(settled(out.state, Action.ACK, receipts(one)[:1], self.TERMS).outcomes, (Outcome.STALE,))
        return out.state

    def test_a_mark(self) -> None:
        state = self.moving()
        self.assertEqual(state.moves, {id_of(1): Out(DEAD, "why")})
        self.assertEqual((state.open[id_of(1)].number, state.open[id_of(1)].kind), (3, MARKED))
        self.assertEqual(claimed(state, (), self.TERMS, now=ENDED).taken[0].id, id_of(2))
        self.assertEqual(settled(state, Action.ACK, [receipt(id_of(1), 3)]).outcomes, (Outcome.STALE,))
        left = group.drop(state, ids(1, 2))
        self.assertEqual((list(left.open), group.next_due(left, NOW)), (ids(1, 1), None))

    def test_it_ends_once(self) -> None:
        state = self.moving()
        self.assertIs(group.finish(state, id_of(1), 2, Result.DONE, NOW), state)
        self.assertIs(group.finish(state, id_of(2), 2, Result.DONE, NOW), state)
        for result in (Result.DONE, Result.GONE):
            done = group.finish(state, id_of(1), 3, result, NOW)
            self.assertEqual((list(done.open), done.moves), (ids(2, 2), {}))
            self.assertIs(group.finish(done, id_of(1), 3, result, NOW), done)

    def test_the_dead_letter_queue_is_missing(self) -> None:
        """The message stays open, and is tried again later and later."""
        terms = Terms(max_deliveries=1, dead_letter=DEAD)
        state, now, waits = claimed(self.empty, ids(1, 1), terms).state, ENDED, []
        for _ in range(15):
            state = group.expire(state, terms, now)
            state = group.finish(state, id_of(1), state.open[id_of(1)].number, Result.MISSING, now)
            due = group.next_due(state, now)
            assert due is not None
            waits.append((due - now) / SECOND)
            self.assertEqual(claimed(state, (), terms, now=Ticks(due - 1)).taken, ())
            now = due
        self.assertEqual(waits, [min(2.0**n, 3600) for n in range(15)])
        again = claimed(state, (), PLAIN, now=now)
        self.assertEqual((again.taken[0].deliveries, again.state.open[id_of(1)].setbacks), (2, 15))

    def test_as_many_as_may_be_under_way(self) -> None:
        one = claimed(self.empty, ids(1, MAX_MOVES + 1), self.TERMS)
        out = settled(one.state, Action.REJECT, receipts(one), self.TERMS)
        self.assertEqual(out.outcomes, (Outcome.MOVING,) * MAX_MOVES + (Outcome.LATER,))
        self.assertEqual(out.state.open[id_of(MAX_MOVES + 1)].kind, LEASED)
        free = group.finish(out.state, id_of(1), out.state.open[id_of(1)].number, Result.DONE, NOW)
        self.assertEqual(settled(free, Action.REJECT, receipts(one)[-1:], self.TERMS).outcomes, (Outcome.MOVING,))
        terms = attrs.evolve(self.TERMS, max_deliveries=1)
        back = settled(out.state, Action.RETRY, receipts(one)[-1:], terms)
        self.assertEqual(back.outcomes, (Outcome.RETRYING,))
        self.assertEqual(group.look(back.state, 5, terms, ENDED).due, ())
        self.assertEqual(group.expire(back.state, terms, ENDED).open, back.state.open)

    def test_as_many_queues_as_they_may_name(self) -> None:
        state = claimed(self.empty, ids(1, MAX_TARGETS + 1)).state
        for number in range(1, MAX_TARGETS + 2):
            terms = Terms(dead_letter=Target("dead", number))
            out = settled(state, Action.REJECT, [receipt(id_of(number), number)], terms)
            state = out.state
        self.assertEqual((out.outcomes, len(state.moves)), ((Outcome.LATER,), MAX_TARGETS))

    def test_the_way_back(self) -> None:
        done = group.finish(self.moving(), id_of(1), 3, Result.DONE, NOW)
        back = group.redrive(done, id_of(1), self.LETTER, NOW)
        self.assertEqual((back.verdict, back.state.moves), (Redrive.MARKED, {id_of(1): self.LETTER}))
        self.assertEqual(list(back.state.open), ids(1, 2))
        self.assertEqual(claimed(back.state, ()).taken, ())
        self.assertIs(group.redrive(back.state, id_of(1), self.LETTER, NOW).verdict, Redrive.LATER)
        free = group.finish(back.state, id_of(1), 4, Result.DONE, NOW)
        self.assertEqual(free.open[id_of(1)], Entry(4, NOW, 0, WAITING))
        self.assertIs(group.redrive(free, id_of(1), self.LETTER, NOW).verdict, Redrive.NEEDLESS)
        self.assertEqual(claimed(free, ()).taken[0].deliveries, 1)
        self.assertEqual(list(group.finish(back.state, id_of(1), 4, Result.GONE, NOW).open), ids(2, 2))
        missing = group.finish(back.state, id_of(1), 4, Result.MISSING, NOW)
        self.assertEqual(missing.open[id_of(1)].kind, WAITING)

    def test_what_was_never_examined(self) -> None:
        back = group.redrive(self.empty, id_of(1), self.LETTER, NOW)
        self.assertEqual(back, group.Redriven(self.empty, Redrive.NEEDLESS))

    def test_no_room_for_the_way_back(self) -> None:
        state = attrs.evolve(self.full().state, reach=id_of(MAX_OPEN + 9))
        self.assertIs(group.redrive(state, id_of(MAX_OPEN + 1), self.LETTER, NOW).verdict, Redrive.FULL)
        other = settled(state, Action.ACK, [receipt(id_of(1), 1)]).state
        self.assertIs(group.redrive(other, id_of(MAX_OPEN + 1), self.LETTER, NOW).verdict, Redrive.MARKED)
        full = group.reopen(attrs.evolve(state, aside=tuple(ids(0, 0)), set_aside=1), ids(0, 0), NOW)
        self.assertEqual((full.ids, full.state.set_aside), ((), 1))

    def test_what_was_set_aside_is_taken_back(self) -> None:
        one = claimed(self.empty, ids(1, 3))
        state = settled(one.state, Action.REJECT, receipts(one)[:2]).state
        back = group.reopen(state, ids(2, 3), NOW)
        self.assertEqual((back.ids, back.state.aside, back.state.set_aside), (tuple(ids(2, 2)), tuple(ids(1, 1)), 1))
        self.assertEqual(list(back.state.open), ids(2, 3))
        self.assertIs(group.reopen(back.state, ids(2, 3), NOW).state, back.state)
        both = group.redrive(back.state, id_of(1), self.LETTER, NOW).state
        self.assertEqual((both.aside, both.set_aside), ((), 0))


class WholeTests(GroupTests):
    def test_a_seek(self) -> None:
        one = claimed(self.empty, ids(1, 6), key=b"k" * TOKEN)
        state = settled(one.state, Action.ACK, receipts(one)[:1]).state
        state = settled(state, Action.REJECT, receipts(one)[1:4]).state
        sought = group.seek(state, id_of(3), b"87654321")
        assert sought is not None
        self.assertEqual((sought.open, sought.claims, sought.acked, sought.last), ({}, {}, (), 6))
        self.assertEqual((sought.aside, sought.set_aside, sought.reach), (tuple(ids(2, 2)), 1, id_of(3)))
        self.assertEqual(settled(sought, Action.ACK, receipts(one)).outcomes, (Outcome.INVALID,) * 6)
        again = claimed(sought, ids(3, 4))
        self.assertEqual([taken.number for taken in again.taken], [7, 8])
        self.assertIs(group.seek(again.state, id_of(3), b"87654321"), again.state)

    def test_a_seek_waits_for_moves(self) -> None:
        terms = Terms(dead_letter=DEAD)
        one = claimed(self.empty, ids(1, 1), terms)
        state = settled(one.state, Action.REJECT, receipts(one), terms).state
        self.assertIsNone(group.seek(state, id_of(0), b"87654321"))

    def test_a_purge(self) -> None:
        one = claimed(self.empty, ids(1, 4))
        state = settled(one.state, Action.REJECT, receipts(one)[:1]).state
        purged = group.purge(state, id_of(3))
        self.assertEqual((list(purged.open), purged.aside, purged.set_aside), (ids(3, 4), (), 0))
        self.assertEqual(purged.reach, id_of(5))
        self.assertEqual(group.purge(state, id_of(9)).reach, id_of(9))
        self.assertEqual(settled(purged, Action.ACK, receipts(one)[1:2]).outcomes, (Outcome.STALE,))

    def test_lag(self) -> None:
        self.assertEqual(group.lag(self.empty, NOW), group.Lag(id_of(0), id_of(0), 0, 0, 0, None))
        one = claimed(self.empty, ids(1, 4))
        state = settled(one.state, Action.RETRY, receipts(one)[1:2]).state
        state = settled(state, Action.ACK, receipts(one)[:1]).state
        state = settled(state, Action.REJECT, receipts(one)[3:]).state
        lag = group.lag(state, NOW)
        self.assertEqual(lag, group.Lag(id_of(2), id_of(5), 1, 1, 1, id_of(2)))
        self.assertEqual(lag.behind(10), 12)
        self.assertEqual(group.lag(state, ENDED).in_flight, 0)
        self.assertIsNone(group.next_due(state, ENDED))

    def test_a_thousand_at_once_are_small(self) -> None:
        """The longest state that can come about: everything is settled, claimed and moved at the limits."""
        state = self.full().state
        first = [receipt(id_of(number), number) for number in range(1, MAX_OPEN + 1)]
        state = settled(state, Action.REJECT, first[:MAX_ASIDE]).state
        state = settled(state, Action.ACK, first[MAX_ASIDE:]).state
        for number in range(MAX_CLAIMS):
            fresh = ids(MAX_OPEN + 1 + number * 3, MAX_OPEN + 3 + number * 3)
            state = claimed(state, fresh, key=number.to_bytes(TOKEN, "big")).state
        state = claimed(state, ids(5000, 5999)).state
        last = [receipt(id, entry.number) for id, entry in state.open.items()]
        state = settled(state, Action.REJECT, last, Terms(dead_letter=DEAD), reason="r" * 300).state
        self.assertEqual((len(state.open), len(state.moves), len(state.aside)), (MAX_OPEN, MAX_MOVES, MAX_ASIDE))
        self.assertLess(len(encode(state)), MAX_STATE)
