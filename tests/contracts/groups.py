"""The contract of IGroupStore: which message a group is given, and what becomes of it."""

from __future__ import annotations

from contextlib import suppress

import attrs
from msgspec.structs import replace
from zope.interface.verify import verifyObject

from queuey.errors import NoSuchGroup, NoSuchQueue
from queuey.interfaces import IGroupStore
from queuey.model.applications.policy import Ack
from queuey.model.groups.commands import (
    Finish,
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
from queuey.model.timeid import HIGHEST, LOWEST, SECOND, Ticks, successor
from tests.contracts.group_claims import GroupClaimsContract
from tests.contracts.group_steps import DEAD, KEY, LEASE, PLAIN
from tests.contracts.subject import after_restart, contract


class GroupsContract(GroupClaimsContract):
    """What every store of groups promises."""

    def test_it_provides_the_interface(self) -> None:
        verifyObject(IGroupStore, self.groups)

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
        other = replace(three, generation=b"x" * 8)
        gone = replace(three, number=three.number + 100)
        far = replace(three, partition=9)
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
