"""Random histories of one consumer group in one partition, held step by step against a model that is written down in
another way: a few dictionaries by message.

``QUEUEY_LONG=1`` runs many more.
"""

from __future__ import annotations

from typing import cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test
from msgspec.structs import astuple
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.groups.entries import LEASED, MARKED, TOKEN, WAITING, In, Out, Target
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.snapshot import GroupState, decode, encode, stamped
from queuey.model.timeid import SECOND, Ticks
from tests import tried
from tests.model.groups import folded
from tests.model.groups import folded as group
from tests.model.groups.folded import Action, Found, Order, Outcome, Redrive, Result, Settlement, Terms, Wanted
from tests.model.groups.group_model import GroupModel
from tests.model.groups.known import TARGETS, Known, id_of, number_of

KEYS = tuple(bytes((number,)) * TOKEN for number in (1, 2))

few = st.integers(0, 3)
spans = st.sampled_from([0, 1, 5, 60])


class GroupMachine(GroupModel):
    """One group, what it is asked for, and what it should be."""

    # What is around the group

    @rule(keys=st.lists(st.integers(0, 2), min_size=1, max_size=4), apart=st.integers(1, 3))
    def append(self, keys: list[int], apart: int) -> None:
        for key in keys:
            self.log.add(self.next)
            self.keys[self.next] = key
            self.next += apart

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.log.remove(data.draw(st.sampled_from(sorted(self.log))))

    @rule(seconds=st.sampled_from([1, 10, 61, 7200]))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(
        order=st.sampled_from(Order),
        most=few,
        queue=st.sampled_from([None, *TARGETS]),
        once=st.sampled_from([False, False, False, True]),
    )
    def change_settings(self, order: Order, most: int, queue: Target | None, once: bool) -> None:
        self.terms = Terms(order, most, queue, once and not self.open)
        self.any_order = self.any_order or order is Order.KEY

    # Claims

    @rule(limit=st.integers(1, 5), lease=spans, fits=st.integers(1, 5), key=st.sampled_from([None, None, *KEYS]))
    def claim(self, limit: int, lease: int, fits: int, key: bytes | None) -> None:
        self.changed(group.expire(self.state, self.terms, Ticks(self.now)))
        self.expect_expired()
        self.look(limit, fits)
        self.take(limit, lease, key)

    @rule(limit=st.integers(1, 5), fits=st.integers(1, 5))
    def look(self, limit: int, fits: int) -> None:
        """Look at the log; what is found may be used much later."""
        look = group.look(self.state, limit, self.terms, Ticks(self.now))
        due, blocking, room = self.expect_look(limit)
        assert tuple(map(number_of, look.due)) == tuple(due)
        assert tuple(map(number_of, look.blocking)) == tuple(blocking)
        assert look.room == room, (look.room, room)
        looked = (*look.due, *look.blocking)
        logged = [message for message in sorted(self.log) if message >= self.reach]
        scanned = logged if self.by_key and room else logged[:room]
        present = [id for id in look.due if number_of(id) in self.log][:fits]
        scanned = scanned[: fits - len(present)]
        end = self.next if len(scanned) == len(logged) else scanned[-1] + 1 if scanned else self.reach
        self.found = Found(
            tuple(present),
            tuple(id for id in looked if number_of(id) not in self.log),
            tuple(map(id_of, scanned)),
            id_of(self.reach),
            id_of(end if room else self.reach),
            keys={id_of(message): self.keys[message] for message in scanned if self.keys[message]},
        )

    @precondition(lambda self: self.found)
    @rule(limit=st.integers(1, 5), lease=spans, key=st.sampled_from([None, None, *KEYS]))
    def take(self, limit: int, lease: int, key: bytes | None) -> None:
        """Claim, given what was found now or some time ago."""
        assert self.found is not None
        key = None if self.terms.at_most_once else key
        found, wanted = self.found, Wanted(limit, Ticks(lease * SECOND), key)
        claimed = group.claim(self.state, wanted, found, self.terms, Ticks(self.now))
        self.changed(claimed.state)
        self.expect_dropped(map(number_of, found.gone))
        self.expect_expired()
        taken = [(number_of(one.id), one.number, one.deliveries, one.until) for one in claimed.taken]
        self.taken = claimed.taken
        assert not claimed.blocked
        if key is not None and key in self.keyed and self.keyed[key].until > self.now:
            assert taken == self.expect_repeated(key)
            return
        self.keyed = {one: claim for one, claim in self.keyed.items() if claim.until > self.now or key is None}
        assert [message for message, *_ in taken] == self.expect_taken(found, limit, wanted.lease, key)
        for message, number, deliveries, until in taken:
            known = self.open.get(message)
            if self.terms.at_most_once:
                assert (number, deliveries, message in self.given_once) == (0, 1, False)
                self.given_once.add(message)
            else:
                assert known is not None
                assert (number, deliveries, until) == (known.number, known.deliveries, known.due)
                self.receipts.append((self.era, message, number))
            if message not in self.given and not self.any_order:
                assert message > max(self.given, default=0)
            self.given.add(message)

    @precondition(lambda self: self.taken)
    @rule()
    def give_back(self) -> None:
        """No worker has seen what was claimed last."""
        before = self.state
        self.changed(group.give_back(self.state, self.taken, Ticks(self.now)))
        some = False
        for one in self.taken:
            known = self.open.get(number_of(one.id))
            if known is not None and known.number == one.number and known.kind == LEASED:
                known.kind, known.due, some = WAITING, self.now, True
                known.deliveries = max(0, known.deliveries - 1)
        assert some or self.state is before

    # Settlements

    @precondition(lambda self: self.receipts)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        recent = self.receipts[-12:]
        asked = data.draw(
            st.lists(st.tuples(st.sampled_from(recent), st.sampled_from(Action), spans), min_size=1, max_size=6)
        )
        settlements = [
            Settlement(
                action, Receipt(1, bytes((era,)) * 8, 1, id_of(message), number), Ticks(span * SECOND), f"why {number}"
            )
            for (era, message, number), action, span in asked
        ]
        settled = group.settle(self.state, settlements, self.terms, Ticks(self.now))
        before = self.state
        self.changed(settled.state)
        wanted = [self.expect_settled(receipt, action, span) for receipt, action, span in asked]
        assert list(settled.outcomes) == wanted, (settled.outcomes, wanted)
        if {Outcome.STALE, Outcome.INVALID, Outcome.ALREADY_ACKED}.issuperset(wanted):
            assert settled.state is before

    # Moves

    @precondition(lambda self: self.state.moves)
    @rule(data=st.data(), result=st.sampled_from(Result), off=st.sampled_from([0, 0, 0, 1, -1]))
    def move(self, data: st.DataObject, result: Result, off: int) -> None:
        id = data.draw(st.sampled_from(sorted(self.state.moves)))
        before, move, known = self.state, self.state.moves[id], self.open[number_of(id)]
        self.changed(group.finish(self.state, id, known.number + off, result, Ticks(self.now)))
        if off:
            assert self.state is before
        elif isinstance(move, Out) and result is Result.MISSING:
            known.kind, known.due = WAITING, self.now + min(1 << known.setbacks, 3600) * SECOND
            known.setbacks += 1
        elif isinstance(move, In) and result is not Result.GONE:
            del self.letters[cast(int, known.letter)]
            self.open[number_of(id)] = Known(known.number, self.now, 0, WAITING, key=known.key)
        else:
            if isinstance(move, Out) and result is Result.DONE:
                self.letters[max(self.letters, default=0) + 1] = number_of(id)
            self.letters.pop(known.letter or 0, None)
            del self.open[number_of(id)]

    @precondition(lambda self: self.letters)
    @rule(data=st.data(), queue=st.sampled_from(TARGETS))
    def redrive(self, data: st.DataObject, queue: Target) -> None:
        letter = data.draw(st.sampled_from(sorted(self.letters)))
        message = self.letters[letter]
        move, key = In(queue, 1, id_of(letter)), self.keys[message]
        back = group.redrive(self.state, id_of(message), move, Ticks(self.now), key)
        before = self.state
        self.changed(back.state)
        known = self.open.get(message)
        if known is not None and known.kind == MARKED:
            assert (back.verdict, self.state is before) == (Redrive.LATER, True)
        elif known is not None or message >= self.reach:
            assert (back.verdict, self.state is before) == (Redrive.NEEDLESS, True)
            del self.letters[letter]
        else:
            assert back.verdict is Redrive.MARKED
            self.last += 1
            self.open[message] = Known(self.last, self.now, 0, MARKED, letter=letter, key=key)
            self.given_once.discard(message)
            if message in self.aside:
                self.aside.remove(message)

    @rule(data=st.data())
    def reopen(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from([*self.aside, 1, self.next]), max_size=4))
        keys = {id_of(message): self.keys.get(message, 0) for message in ids}
        back = group.reopen(self.state, map(id_of, ids), Ticks(self.now), keys)
        self.changed(back.state)
        wanted = sorted(set(ids) & set(self.aside))
        assert list(map(number_of, back.ids)) == wanted
        for message in wanted:
            self.last += 1
            self.open[message] = Known(self.last, self.now, 0, WAITING, key=self.keys[message])
            self.aside.remove(message)
            self.given_once.discard(message)

    # The whole group

    @rule(data=st.data())
    def seek(self, data: st.DataObject) -> None:
        to, before = data.draw(st.integers(0, self.next)), self.state
        generation = bytes((self.era + 1,)) * 8
        after = group.seek(self.state, id_of(to), generation)
        if self.state.moves:
            assert after is None
            return
        assert after is not None
        self.changed(after)
        assert group.seek(after, id_of(0), generation) is after
        self.era, self.reach, self.open, self.keyed = self.era + 1, to, {}, {}
        self.acked, self.given, self.given_once = set(), set(), set()
        self.aside = [message for message in self.aside if message < to]
        assert after.last == before.last

    @rule(data=st.data())
    def purge(self, data: st.DataObject) -> None:
        to = data.draw(st.integers(0, self.next))
        self.changed(group.purge(self.state, id_of(to)))
        self.log = {message for message in self.log if message >= to}
        self.expect_dropped([message for message in (*self.open, *self.aside) if message < to])
        self.reach = max(self.reach, to)

    # What is always so

    def changed(self, after: GroupState) -> None:
        """The state is another one; the one that was given stays what it was, and bytes tell all of it."""
        assert encode(self.state) == self.before
        self.state = stamped(after, id_of(self.last)) if after is not self.state else after
        assert decode(encode(self.state)) == self.state
        self.before = encode(self.state)

    before = encode(GroupState(b"\1" * 8, id_of(0)))

    @invariant()
    def is_as_the_model_says(self) -> None:
        state = self.state
        found = {number_of(id): astuple(entry) for id, entry in state.open.items()}
        wanted = {m: (k.number, k.due, k.deliveries, k.kind, k.setbacks, k.key) for m, k in sorted(self.open.items())}
        assert list(found.items()) == list(wanted.items()), (found, wanted)
        moving = {message for message, known in self.open.items() if known.kind == MARKED}
        assert set(map(number_of, state.moves)) == moving
        assert (state.reach, state.last, state.generation) == (id_of(self.reach), self.last, bytes((self.era,)) * 8)
        assert (list(map(number_of, state.aside)), state.set_aside) == (self.aside, len(self.aside))
        assert {key: (c.first, c.size, c.until) for key, c in state.claims.items() if c.until > self.now} == {
            key: (c.numbers.start, len(c.numbers), c.until) for key, c in self.keyed.items() if c.until > self.now
        }

    @invariant()
    def lag_and_waits_are_right(self) -> None:
        lag = group.lag(self.state, Ticks(self.now))
        busy = [k for k in self.open.values() if k.kind == MARKED or (k.kind == LEASED and k.due > self.now)]
        assert (lag.in_flight, lag.waiting, lag.set_aside) == (len(busy), len(self.open) - len(busy), len(self.aside))
        assert lag.settled_through == id_of(min(self.open, default=self.reach))
        assert lag.oldest == (id_of(min(self.open)) if self.open else None)
        assert (lag.reach, lag.behind(7)) == (id_of(self.reach), len(self.open) + 7)
        dues = [known.due for known in self.open.values() if known.kind != MARKED and known.due > self.now]
        assert group.next_due(self.state, Ticks(self.now)) == min(dues, default=None)


class MachineTests(SynchronousTestCase):
    def test_histories(self) -> None:
        self.patch(folded, "living", folded.Living())
        run_state_machine_as_test(
            GroupMachine,
            settings=settings(
                max_examples=tried(100, 3000),
                stateful_step_count=50,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
