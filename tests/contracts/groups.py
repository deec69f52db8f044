"""The contract of IGroupStore: which message a group is given, and what becomes of it."""

from __future__ import annotations

from contextlib import suppress

import attrs
from zope.interface.verify import verifyObject

from queuey.errors import NoSuchGroup, NoSuchQueue
from queuey.interfaces import IGroupStore
from queuey.model.applications.policy import Ack
from queuey.model.groups.claims import home_of
from queuey.model.groups.commands import (
    Finish,
    GiveBack,
    Reopen,
    ReopenAnswer,
    Seek,
    Settle,
    SettleAnswer,
    TakeAnswer,
    TakeBack,
)
from queuey.model.groups.entries import LEASED, Entry, In, Out
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.rows import state_key
from queuey.model.groups.snapshot import GroupState, encode
from queuey.model.groups.terms import Action, Order, Redrive, Result, Returning, Settlement, Terms
from queuey.model.groups.terms import Outcome as Settled
from queuey.model.messages.dead_letter_headers import copy_for
from queuey.model.messages.message import Address, Content
from queuey.model.timeid import HIGHEST, LOWEST, SECOND, Ticks, successor
from tests.contracts.group_steps import DEAD, KEY, LEASE, PLAIN, GroupSteps
from tests.contracts.subject import after_restart, contract


class GroupsContract(GroupSteps):
    """What every store of groups promises."""

    def test_it_provides_the_interface(self) -> None:
        verifyObject(IGroupStore, self.groups)

    # Claims

    @contract
    async def test_the_oldest_first_with_their_messages(self) -> None:
        await self.begin()
        ids = await self.post(b"1", b"2", b"3")
        answer = await self.take(2)
        self.assertEqual([(one.id, body) for one, _, body in self.given(answer)], [(ids[0], b"1"), (ids[1], b"2")])
        self.assertEqual([one.deliveries for one, _, _ in self.given(answer)], [1, 1])
        numbers = [one.number for one, _, _ in self.given(answer)]
        self.assertEqual(numbers, [numbers[0], numbers[0] + 1])
        self.assertEqual({one.until for one, _, _ in self.given(answer)}, {Ticks(self.now() + LEASE)})
        self.assertEqual((await self.bodies(), await self.bodies()), ([b"3"], []))

    @contract
    async def test_nothing(self) -> None:
        await self.begin()
        ran = await self.ran(self.taking())
        self.assertEqual(ran.answers, (TakeAnswer(),))
        self.assertFalse(ran.after[1].moving)
        self.assertIsNone(ran.after[1].due)

    @contract
    async def test_more_than_one_look_brings(self) -> None:
        await self.begin()
        await self.post(*[b"%d" % number for number in range(900)])
        self.assertEqual(await self.bodies(7), [b"%d" % number for number in range(7)])
        self.assertEqual(await self.bodies(100), [b"%d" % number for number in range(7, 107)])
        self.assertEqual(len(await self.bodies(1000)), 793)

    @contract
    async def test_bytes(self) -> None:
        await self.begin(2)
        await self.post(b"12345", b"67", b"8")
        await self.post(b"x" * 8, partition=2)
        self.assertEqual(await self.bodies(max_bytes=3, partitions=(1, 2)), [b"12345"])
        self.assertEqual(await self.bodies(max_bytes=3, partitions=(1, 2)), [b"67", b"8"])
        self.assertEqual(await self.bodies(max_bytes=3, partitions=(1, 2)), [b"x" * 8])

    @contract
    async def test_several_partitions(self) -> None:
        await self.begin(3)
        for number in (1, 2, 3):
            await self.post(b"%d" % number, partition=number)
        answer = await self.take(2, (2, 3, 1))
        self.assertEqual([share.partition for share in answer.shares], [2, 3])
        self.assertEqual(await self.bodies(10, (1, 2, 3)), [b"1"])

    @contract
    async def test_only_from_its_place_on(self) -> None:
        await self.begin()
        ids = await self.post(b"1", b"2")
        other = await self.make("h", b"h" * 16, successor(ids[0]))
        self.assertEqual(await self.bodies(group=other), [b"2"])
        self.assertEqual(await self.bodies(), [b"1", b"2"])

    @contract
    async def test_what_is_no_more_or_not_yet(self) -> None:
        await self.begin()
        ids = await self.post(b"gone", b"1")
        await self.post(b"expires", ttl=20)
        await self.post(b"later", delay=60)
        await self.store.remove(self.queue, [Address(1, ids[0])], Ack.MAJORITY)
        await self.subject.advance(25)
        self.assertEqual(await self.bodies(1), [b"1"])
        self.assertEqual(await self.bodies(), [])
        await self.store.purge(self.queue, HIGHEST, Ack.MAJORITY)
        await self.subject.advance(40)
        self.assertEqual(await self.bodies(), [b"later"])

    @contract
    async def test_copies_for_other_groups(self) -> None:
        await self.begin()
        other = await self.make("h", b"h" * 16)
        headers = copy_for(Content(b""), other.gid).headers
        await self.post(*[b"copy"] * 30, headers=headers)
        await self.post(b"1")
        self.assertEqual(await self.bodies(1), [b"1"])
        self.assertEqual(len(await self.bodies(100, group=other)), 31)

    @contract
    async def test_leases_that_end(self) -> None:
        await self.begin()
        await self.post(b"1", b"2")
        ran = await self.ran(self.taking(1, lease=Ticks(5 * SECOND)))
        self.assertEqual(ran.after[1].due, Ticks(self.now() + 5 * SECOND))
        self.assertEqual(await self.bodies(), [b"2"])
        await self.subject.advance(5)
        ((again, _, body),) = self.given(await self.take())
        self.assertEqual((again.deliveries, body), (2, b"1"))

    @contract
    async def test_messages_that_are_deleted_while_they_are_leased(self) -> None:
        await self.begin()
        ids = await self.post(b"1", b"2")
        terms = Terms(max_in_flight=2)
        await self.take(terms=terms)
        await self.post(b"3")
        self.assertTrue((await self.take(terms=terms)).blocked)
        await self.store.remove(self.queue, [Address(1, ids[0])], Ack.MAJORITY)
        self.assertEqual(await self.bodies(terms=terms), [b"3"])

    @contract
    async def test_at_most_once(self) -> None:
        await self.begin()
        await self.post(b"1", b"2")
        terms = Terms(at_most_once=True)
        ((one, _, body),) = self.given(await self.take(1, terms=terms))
        self.assertEqual((one.number, one.deliveries, body), (0, 1, b"1"))
        self.assertEqual((await self.bodies(terms=terms), await self.bodies(terms=terms)), ([b"2"], []))
        self.assertEqual((await self.look()).lag.in_flight, 0)

    @contract
    async def test_one_message_after_another(self) -> None:
        await self.begin()
        await self.post(b"1", b"2")
        terms = Terms(order=Order.PARTITION)
        (first,) = await self.receipts(terms=terms)
        self.assertEqual(await self.bodies(terms=terms), [])
        await self.settle(Action.ACK, [first], terms)
        self.assertEqual(await self.bodies(terms=terms), [b"2"])

    @contract
    async def test_the_order_of_each_key(self) -> None:
        await self.begin()
        for body, key in ((b"a1", "a"), (b"a2", "a"), (b"b1", "b"), (b"x", None), (b"a3", "a")):
            await self.post(body, key=key)
        terms = Terms(order=Order.KEY)
        (first,) = await self.receipts(1, terms=terms)
        self.assertEqual(await self.bodies(terms=terms), [b"b1", b"x"])
        self.assertEqual(await self.bodies(terms=terms), [])
        await self.settle(Action.ACK, [first], terms)
        self.assertEqual(await self.bodies(terms=terms), [b"a2", b"a3"])

    @contract
    async def test_many_that_wait_for_one_of_their_key(self) -> None:
        await self.begin()
        for _ in range(3):
            await self.post(*[b"a"] * 100, key="a")
        await self.post(b"b", key="b")
        terms = Terms(order=Order.KEY)
        await self.take(1, terms=terms)
        self.assertEqual(await self.bodies(terms=terms), [b"b"])

    @contract
    async def test_what_is_given_back(self) -> None:
        await self.begin()
        await self.post(b"1", b"2")
        answer = await self.take()
        back = GiveBack(tuple([(share.partition, share.taken) for share in answer.shares]))
        await self.ran(back)
        self.assertEqual([(one.deliveries, body) for one, _, body in self.given(await self.take())],
                         [(1, b"1"), (1, b"2")])  # fmt: skip

    # Claims under a key

    @contract
    async def test_a_repeat_under_a_key(self) -> None:
        await self.begin()
        await self.post(b"1", b"2", b"3")
        first = await self.take(2, key=KEY)
        again = await self.take(2, key=KEY)
        self.assertEqual((self.given(again), again.again, first.again), (self.given(first), True, False))
        self.assertTrue((await self.take(2, key=KEY[:8] + b"x" * 8)).reused)
        await self.settle(Action.ACK, [receipt for _, receipt, _ in self.given(first)][:1])
        self.assertEqual(self.given(await self.take(2, key=KEY)), self.given(first)[1:])
        await self.subject.advance(31)
        self.assertEqual(await self.bodies(key=KEY), [b"2", b"3"])

    @contract
    async def test_a_key_whose_claim_is_elsewhere(self) -> None:
        await self.begin(3)
        home = home_of(KEY, 3)
        there = home % 3 + 1
        await self.post(b"1", b"2", partition=there)
        every = (1, 2, 3)
        first = await self.take(1, every, key=KEY)
        self.assertEqual([share.partition for share in first.shares], [there])
        await self.post(b"home", partition=home)
        self.assertEqual(self.given(await self.take(1, every, key=KEY)), self.given(first))
        (receipt,) = [receipt for _, receipt, _ in self.given(first)]
        self.assertEqual(await self.settle(Action.EXTEND, [receipt], span=60), (Settled.EXTENDED,))
        await self.subject.advance(40)
        again = await self.take(1, every, key=KEY)
        self.assertEqual([receipt for _, receipt, _ in self.given(again)], [receipt])

    @contract
    async def test_what_a_key_was_given_and_nothing_new(self) -> None:
        await self.begin(3)
        home = home_of(KEY, 3)
        there = home % 3 + 1
        every = (1, 2, 3)
        await self.post(b"1", b"2", partition=there)
        self.assertEqual(self.given(await self.take(1, every, key=KEY, known=True)), [])
        first = await self.take(1, every, key=KEY)
        await self.post(b"home", partition=home)
        again = await self.take(1, every, key=KEY, known=True)
        self.assertEqual((self.given(again), again.again), (self.given(first), True))
        self.assertTrue((await self.take(1, every, key=KEY[:8] + b"x" * 8, known=True)).reused)
        self.assertEqual(self.given(await self.take(1, every, key=b"o" * len(KEY), known=True)), [])
        await self.subject.advance(31)
        self.assertEqual(self.given(await self.take(1, every, key=KEY, known=True)), [])
        self.assertEqual(len(await self.bodies(10, every)), 3)

    # Settlements

    @contract
    async def test_settlements_of_every_kind(self) -> None:
        await self.begin(2)
        await self.post(b"1", b"2", b"3")
        await self.post(b"4", partition=2)
        one, two, three, four = await self.receipts(partitions=(1, 2))
        asked = [(Action.ACK, one), (Action.REJECT, four), (Action.RETRY, two), (Action.EXTEND, three)]
        asked.append((Action.ACK, one))
        settle = Settle(tuple([Settlement(action, receipt, Ticks(60 * SECOND)) for action, receipt in asked]))
        answer = await self.one(SettleAnswer, settle)
        outcomes = (Settled.ACKED, Settled.SET_ASIDE, Settled.RETRYING, Settled.EXTENDED, Settled.ALREADY_ACKED)
        self.assertEqual(answer.outcomes, outcomes)
        other = attrs.evolve(three, generation=b"x" * 8)
        gone = attrs.evolve(three, number=three.number + 100)
        far = attrs.evolve(three, partition=9)
        wrong = await self.settle(Action.ACK, [other, gone, far])
        self.assertEqual(wrong, (Settled.INVALID, Settled.STALE, Settled.INVALID))
        await self.subject.advance(59)
        self.assertEqual(await self.bodies(partitions=(1, 2)), [])
        await self.subject.advance(1)
        self.assertEqual(await self.bodies(partitions=(1, 2)), [b"2", b"3"])

    @contract
    async def test_settlements_that_need_a_lease_in_force(self) -> None:
        """A receipt whose lease has ended changes nothing then, although no other claim has taken the message."""
        await self.begin()
        await self.post(b"1", b"2", b"3")
        one, two, three = await self.receipts()
        self.assertEqual(await self.settle(Action.EXTEND, [one], span=90, live=True), (Settled.EXTENDED,))
        self.assertEqual(await self.settle(Action.EXTEND, [two], span=0, live=True), (Settled.EXTENDED,))
        self.assertEqual(await self.settle(Action.EXTEND, [two], span=90, live=True), (Settled.STALE,))
        self.assertEqual(await self.settle(Action.ACK, [two], live=True), (Settled.STALE,))
        await self.subject.advance(LEASE / SECOND)
        self.assertEqual(await self.settle(Action.ACK, [three, one], live=True), (Settled.STALE, Settled.ACKED))
        self.assertEqual(await self.settle(Action.ACK, [three]), (Settled.ACKED,))
        self.assertEqual(await self.bodies(), [b"2"])

    @contract
    async def test_a_lease_of_no_time(self) -> None:
        """The message may be claimed again at once; the receipt is valid until then."""
        await self.begin()
        await self.post(b"1")
        (first,) = await self.receipts(lease=Ticks(0))
        (second,) = await self.receipts(lease=Ticks(0))
        self.assertEqual(await self.settle(Action.ACK, [first, second]), (Settled.STALE, Settled.ACKED))

    @contract
    async def test_settle_and_claim_in_one_call(self) -> None:
        await self.begin()
        await self.post(b"1", b"2")
        terms = Terms(order=Order.PARTITION)
        receipts = await self.receipts(terms=terms)
        settle = Settle((Settlement(Action.ACK, receipts[0]),))
        ran = await self.ran(settle, self.taking(), terms=terms)
        settled, taken = ran.answers
        self.assertEqual(settled, SettleAnswer((Settled.ACKED,)))
        assert isinstance(taken, TakeAnswer)
        self.assertEqual([body for _, _, body in self.given(taken)], [b"2"])
        again = await self.ran(settle, self.taking(), terms=terms)
        self.assertEqual(again.answers, (SettleAnswer((Settled.ALREADY_ACKED,)), TakeAnswer()))

    @contract
    async def test_many_acks_are_remembered(self) -> None:
        await self.begin()
        for _ in range(4):
            await self.post(*[b"x"] * 300)
        first = await self.receipts(1)
        self.assertEqual(await self.settle(Action.ACK, first), (Settled.ACKED,))
        for _ in range(9):
            some = await self.receipts(100)
            self.assertEqual(set(await self.settle(Action.ACK, some)), {Settled.ACKED})
        self.assertEqual(await self.settle(Action.ACK, first), (Settled.ALREADY_ACKED,))

    # Moves

    @contract
    async def test_a_message_on_its_way_out(self) -> None:
        await self.begin()
        (id,) = await self.post(b"1")
        terms = Terms(dead_letter=DEAD)
        receipts = await self.receipts(terms=terms)
        settle = Settle((Settlement(Action.REJECT, receipts[0], reason="why"),))
        ran = await self.ran(settle, terms=terms)
        (answer,) = ran.answers
        assert isinstance(answer, SettleAnswer)
        self.assertEqual((answer.outcomes, ran.after[1].moving), ((Settled.MOVING,), True))
        (mark,) = (await self.look()).marks
        self.assertEqual((mark.id, mark.number, mark.move), (id, answer.marked[0], Out(DEAD, "why")))
        self.assertEqual(mark.deliveries, 1)
        self.assertEqual(await self.settle(Action.ACK, receipts, terms), (Settled.STALE,))
        await self.ran(Finish(1, ((id, mark.number - 1, Result.DONE),)))
        self.assertEqual(len((await self.look()).marks), 1)
        await self.ran(Finish(1, ((id, mark.number, Result.MISSING),)))
        view = await self.look(ids=(id, HIGHEST))
        self.assertEqual((view.marks, set(view.open), view.open[id].setbacks), ((), {id}, 1))
        await self.subject.advance(2)
        self.assertEqual(await self.bodies(terms=terms), [b"1"])

    @contract
    async def test_too_many_deliveries(self) -> None:
        await self.begin()
        (id,) = await self.post(b"1")
        terms = Terms(max_deliveries=1, dead_letter=DEAD)
        await self.take(terms=terms, lease=Ticks(SECOND))
        await self.subject.advance(2)
        ran = await self.ran(self.taking(), terms=terms)
        self.assertEqual((ran.answers, ran.after[1].moving), ((TakeAnswer(),), True))
        (mark,) = (await self.look()).marks
        await self.ran(Finish(1, ((id, mark.number, Result.DONE),)))
        self.assertEqual((await self.look(ids=(id,))).open, {})

    @contract
    async def test_the_way_back(self) -> None:
        await self.begin()
        (id,) = await self.post(b"1")
        await self.settle(Action.ACK, await self.receipts())
        letter = In(DEAD, 2, id)
        seen = (await self.look()).last
        back = TakeBack(1, seen, (Returning(id, letter), Returning(HIGHEST, letter)))
        verdicts = await self.one(tuple, back)
        self.assertEqual(verdicts, (Redrive.MARKED, Redrive.NEEDLESS))
        self.assertEqual((await self.ran(back)).answers, (None,))
        (mark,) = (await self.look()).marks
        self.assertEqual(mark.move, letter)
        await self.ran(Finish(1, ((id, mark.number, Result.DONE),)))
        self.assertEqual([(one.deliveries, body) for one, _, body in self.given(await self.take())], [(1, b"1")])

    @contract
    async def test_what_was_set_aside(self) -> None:
        await self.begin()
        ids = await self.post(b"1", b"2", b"3")
        await self.settle(Action.REJECT, await self.receipts())
        self.assertEqual((await self.look()).aside, tuple(ids))
        terms = Terms(max_in_flight=1)
        answer = await self.one(ReopenAnswer, Reopen(1, tuple(ids[:2]), (ids[2],)), terms)
        self.assertEqual((answer, (await self.look()).aside), (ReopenAnswer(1, True), (ids[1],)))
        self.assertEqual(await self.bodies(), [b"1"])

    # Other places

    @contract
    async def test_a_seek(self) -> None:
        await self.begin()
        ids = await self.post(b"1", b"2")
        receipts = await self.receipts(1)
        seek = Seek(1, ids[1], b"1" * 8)
        self.assertEqual((await self.ran(seek, seek)).answers, (True, True))
        self.assertEqual(await self.settle(Action.ACK, receipts), (Settled.INVALID,))
        ((one, receipt, body),) = self.given(await self.take())
        self.assertEqual((receipt.generation, body), (b"1" * 8, b"2"))
        self.assertGreater(one.number, receipts[0].number)
        self.assertEqual((await self.ran(Seek(1, LOWEST, b"2" * 8))).answers, (True,))
        self.assertEqual(await self.bodies(), [b"1", b"2"])
        await self.ran(Seek(1, LOWEST, b"3" * 8), self.taking(1))
        self.assertEqual(await self.bodies(), [b"2"])

    @contract
    async def test_a_seek_waits_for_moves(self) -> None:
        await self.begin()
        await self.post(b"1")
        terms = Terms(dead_letter=DEAD)
        await self.settle(Action.REJECT, await self.receipts(terms=terms), terms)
        self.assertEqual((await self.ran(Seek(1, LOWEST, b"1" * 8))).answers, (False,))

    @contract
    async def test_where_it_is(self) -> None:
        await self.begin()
        ids = await self.post(b"1", b"2", b"3", b"4")
        lag = (await self.look()).lag
        self.assertEqual((lag.reach, lag.in_flight, lag.waiting, lag.oldest), (LOWEST, 0, 0, None))
        receipts = await self.receipts(3)
        await self.settle(Action.RETRY, receipts[1:2])
        await self.settle(Action.ACK, receipts[:1])
        lag = (await self.look()).lag
        self.assertEqual((lag.settled_through, lag.oldest, lag.reach), (ids[1], ids[1], successor(ids[2])))
        self.assertEqual((lag.in_flight, lag.waiting, lag.behind(1)), (1, 1, 3))
        await self.store.purge(self.queue, ids[2], Ack.MAJORITY)
        lag = (await self.look()).lag
        self.assertEqual((lag.in_flight, lag.waiting, lag.oldest), (1, 0, ids[2]))

    # Ends

    @contract
    async def test_a_group_that_is_deleted(self) -> None:
        await self.begin(2)
        await self.post(b"1")
        receipts = await self.receipts(1)
        await self.write(attrs.evolve(self.group, ended=True))
        await self.groups.end(self.queue.incarnation, self.group.gid, 2)
        await self.groups.end(self.queue.incarnation, self.group.gid, 2)
        await self.fails(NoSuchGroup, self.groups.run(self.queue, self.group, PLAIN, (self.taking(),)))
        await self.fails(NoSuchGroup, self.groups.look(self.queue, self.group, 1))
        anew = await self.write(attrs.evolve(self.group, gid=b"n" * 16, version="version 2"))
        await self.fails(NoSuchGroup, self.groups.run(self.queue, self.group, PLAIN, (self.taking(),)))
        self.assertEqual(await self.bodies(group=anew), [b"1"])
        self.group = anew
        self.assertEqual(await self.settle(Action.ACK, receipts), (Settled.INVALID,))

    @contract
    async def test_a_queue_that_is_deleted(self) -> None:
        await self.begin()
        await self.post(b"1")
        await self.take()
        await self.store.forget(self.queue)
        with suppress(NoSuchQueue, NoSuchGroup):
            self.assertEqual((await self.take()).shares, ())

    # Stored

    @after_restart
    async def test_all_of_it_is_stored(self) -> None:
        await self.begin(2)
        ids = await self.post(*[b"%d" % number for number in range(8)], key="k")
        terms = Terms(dead_letter=DEAD)
        receipts = await self.receipts(7, terms=terms)
        await self.settle(Action.ACK, receipts[:1], terms)
        await self.settle(Action.ACK, receipts[1:2], terms)
        await self.settle(Action.REJECT, receipts[2:3], terms)
        await self.settle(Action.REJECT, receipts[3:4])
        await self.settle(Action.RETRY, receipts[4:5], terms, 60)
        await self.post(b"9", partition=2)
        keyed = self.given(await self.take(1, (2, 1), key=KEY))
        before = await self.look(ids=ids)
        await self.subject.reopen()
        after = await self.look(ids=ids)
        self.assertEqual(after, before)
        self.assertEqual({entry.key for entry in after.open.values()} - {0}, {next(iter(after.open.values())).key})
        acks = await self.settle(Action.ACK, [*receipts[:3], receipts[5]], terms)
        again = Settled.ALREADY_ACKED
        self.assertEqual(acks, (again, again, Settled.STALE, Settled.ACKED))
        self.assertEqual(self.given(await self.take(1, (2, 1), key=KEY)), keyed)
        self.assertEqual(await self.bodies(), [] if keyed[0][2] == b"7" else [b"7"])
        await self.subject.advance(70)
        self.assertIn(b"4", await self.bodies())

    @after_restart
    async def test_a_seek_is_stored(self) -> None:
        await self.begin()
        await self.post(*[b"x"] * 50)
        await self.receipts(50)
        await self.ran(Seek(1, LOWEST, b"1" * 8), self.taking(1))
        await self.subject.reopen()
        lag = (await self.look()).lag
        self.assertEqual((lag.in_flight, lag.waiting), (1, 0))
        self.assertEqual(len(await self.bodies(100)), 49)

    @contract
    async def test_a_state_of_an_earlier_version(self) -> None:
        if not self.subject.keeps:
            return  # what is kept in memory ends with its version
        await self.begin()
        ids = await self.post(b"1", b"2", b"3")
        entry = Entry(41, Ticks(self.now() + LEASE), 3, LEASED)
        state = GroupState(b"o" * 8, successor(ids[1]), 42, {ids[1]: entry}, (40,), tokens=(b"t" * 16,))
        key = state_key(self.queue.incarnation, self.group.gid, 1)
        await self.store.states.replace(key, None, encode(state), "old")
        numbers = {ids[0]: 40, ids[1]: 41}
        receipts = [Receipt(self.queue.incarnation, b"o" * 8, 1, id, number) for id, number in numbers.items()]
        outcomes = await self.settle(Action.ACK, receipts)
        self.assertEqual(outcomes, (Settled.ALREADY_ACKED, Settled.ACKED))
        ((one, receipt, body),) = self.given(await self.take())
        self.assertEqual((one.number, receipt.generation, body), (43, b"o" * 8, b"3"))
        self.assertEqual(await self.settle(Action.ACK, receipts), (Settled.ALREADY_ACKED,) * 2)
