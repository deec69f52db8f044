"""The contract of IGroupStore where something comes in between, and where there is much of everything."""

from __future__ import annotations

from queuey.model.applications.policy import Ack
from queuey.model.fields import LEASE
from queuey.model.groups.commands import Finish, GiveBack, Reopen, ReopenAnswer, Settle, TakeAnswer, TakeBack
from queuey.model.groups.entries import In, key_hash
from queuey.model.groups.terms import Action, Order, Result, Returning, Settlement, Terms
from queuey.model.groups.terms import Outcome as Settled
from queuey.model.messages.dead_letter_headers import with_key
from queuey.model.messages.message import Address, Content, NewMessage
from queuey.model.timeid import HIGHEST, SECOND, MessageId, Ticks
from tests.contracts.group_steps import DEAD, KEY, PLAIN, GroupSteps
from tests.contracts.reading import TERMS
from tests.contracts.subject import contract

BY_KEY = Terms(Order.KEY)
IN_TURN = Terms(Order.PARTITION)
MANY_KEYS = 100


class GroupTroublesContract(GroupSteps):
    """What every store of groups promises in hard times.

    :ivar in_flight: messages that are in flight at once, where it is many.
    """

    in_flight = 3000

    async def remove(self, *ids: MessageId) -> None:
        await self.store.remove(self.queue, [Address(1, id) for id in ids], Ack.MAJORITY)

    # The order of keys, where the first of a key is no more

    @contract
    async def test_a_message_that_is_deleted_holds_up_no_other_of_its_key(self) -> None:
        await self.begin()
        ids = await self.post(b"a1", b"a2", b"a3", key="a")
        await self.post(b"b1", key="b")
        self.assertEqual(await self.bodies(1, terms=BY_KEY), [b"a1"])
        self.assertEqual(await self.bodies(1, terms=BY_KEY), [b"b1"])
        self.assertEqual(await self.bodies(terms=BY_KEY), [])
        await self.remove(ids[0])
        self.assertEqual(await self.bodies(1, terms=BY_KEY), [b"a2"])
        self.assertEqual(await self.bodies(terms=BY_KEY), [])
        await self.remove(ids[1])
        self.assertEqual(await self.bodies(terms=BY_KEY), [b"a3"])

    @contract
    async def test_nor_does_one_that_waits_or_has_expired(self) -> None:
        await self.begin()
        (a1,) = await self.post(b"a1", key="a")
        await self.post(b"b1", key="b", ttl=20)
        await self.post(b"a2", key="a")
        await self.post(b"b2", key="b")
        receipts = await self.receipts(2, terms=BY_KEY)
        self.assertEqual(await self.bodies(terms=BY_KEY), [])
        await self.settle(Action.RETRY, receipts[:1], BY_KEY, 600)
        await self.remove(a1)
        self.assertEqual(await self.bodies(terms=BY_KEY), [b"a2"])
        await self.settle(Action.EXTEND, receipts[1:], BY_KEY, 600)
        await self.subject.advance(25)
        self.assertEqual(await self.bodies(terms=BY_KEY), [b"b2"])

    @contract
    async def test_of_many_keys_each_is_looked_at_some_time(self) -> None:
        await self.begin()
        for first in ("1", "2"):
            bodies = [f"{number} {first}".encode() for number in range(MANY_KEYS)]
            contents = [with_key(Content(body), str(number)) for number, body in enumerate(bodies)]
            ids = await self.store.append(self.queue, [NewMessage(1, one, 3600) for one in contents], TERMS)
            await self.subject.advance(0.1)
            if first == "1":
                heads = ids
        self.assertEqual(len(await self.bodies(MANY_KEYS, terms=BY_KEY, lease=Ticks(600 * SECOND))), MANY_KEYS)
        await self.remove(heads[70])
        found: list[bytes] = []
        for _ in range(30):
            found += await self.bodies(terms=BY_KEY)
            await self.subject.advance(0.01237)
        self.assertEqual(found, [b"70 2"])

    @contract
    async def test_what_comes_back_comes_before_later_ones_of_its_key(self) -> None:
        await self.begin()
        ids = await self.post(b"1", b"2", b"3", key="a")
        for number in (0, 1):
            receipts = await self.receipts(1, terms=BY_KEY)
            await self.settle(Action.REJECT if number else Action.ACK, receipts, BY_KEY)
        back = (key_hash("a"),)
        answer = await self.one(ReopenAnswer, Reopen(1, (ids[1],), (), back), BY_KEY)
        self.assertEqual(answer, ReopenAnswer(1, False))
        self.assertEqual(await self.bodies(1, terms=BY_KEY), [b"2"])
        self.assertEqual(await self.bodies(terms=BY_KEY), [])
        letter = In(DEAD, 1, ids[0])
        seen = (await self.look()).last
        await self.ran(TakeBack(1, seen, (Returning(ids[0], letter, *back),)), terms=BY_KEY)
        await self.subject.advance(31)
        self.assertEqual(await self.bodies(terms=BY_KEY), [])
        (mark,) = (await self.look()).marks
        await self.ran(Finish(1, ((ids[0], mark.number, Result.DONE),)), terms=BY_KEY)
        self.assertEqual(await self.bodies(1, terms=BY_KEY), [b"1"])
        self.assertEqual(await self.bodies(terms=BY_KEY), [])

    # What is settled and given back

    @contract
    async def test_a_settlement_that_is_repeated(self) -> None:
        await self.begin()
        await self.post(b"ack", b"retry", b"extend", b"reject")
        ack, retry, extend, reject = await self.receipts()
        expected = (
            (Action.ACK, ack, Settled.ACKED, Settled.ALREADY_ACKED),
            (Action.RETRY, retry, Settled.RETRYING, Settled.RETRYING),
            (Action.EXTEND, extend, Settled.EXTENDED, Settled.EXTENDED),
            (Action.REJECT, reject, Settled.SET_ASIDE, Settled.STALE),
        )
        for action, receipt, first, again in expected:
            outcomes = [(await self.settle(action, [receipt], span=60))[0] for _ in range(3)]
            self.assertEqual(outcomes, [first, again, again])
        self.assertEqual((await self.look()).lag.set_aside, 1)
        await self.subject.advance(60)
        given = [(one.deliveries, body) for one, _, body in self.given(await self.take())]
        self.assertEqual(given, [(2, b"retry"), (2, b"extend")])
        last = [(await self.settle(action, [receipt]))[0] for action, receipt, _, _ in expected]
        self.assertEqual(last, [Settled.ALREADY_ACKED, Settled.STALE, Settled.STALE, Settled.STALE])

    @contract
    async def test_a_lease_that_ends_while_it_is_settled(self) -> None:
        """What comes first counts, and the receipt of an ended lease holds until the message is given to another."""
        await self.begin()
        await self.post(b"1")
        lease = Ticks(5 * SECOND)
        for ended in (4.9, 5, 6):
            (receipt,) = await self.receipts(lease=lease)
            await self.subject.advance(ended)
            settle = Settle((Settlement(Action.RETRY, receipt),))
            ran = await self.ran(self.taking(lease=lease), settle)
            taken, settled = ran.answers
            assert isinstance(taken, TakeAnswer)
            still = ended < 5
            self.assertEqual(len(taken.shares), 0 if still else 1)
            self.assertEqual(settled.outcomes, (Settled.RETRYING if still else Settled.STALE,))  # type: ignore[union-attr]
            await self.subject.advance(5)
        (receipt,) = await self.receipts(lease=lease)
        await self.subject.advance(5)
        ran = await self.ran(Settle((Settlement(Action.ACK, receipt),)), self.taking())
        self.assertEqual(ran.answers[1], TakeAnswer())
        self.assertEqual(await self.settle(Action.ACK, [receipt]), (Settled.ALREADY_ACKED,))

    @contract
    async def test_a_claim_that_is_given_back(self) -> None:
        """Once or twice: it takes nothing from those who were given the messages after that."""
        await self.begin()
        await self.post(b"1", b"2", key="a")
        for name, terms in (("plain", PLAIN), ("keys", BY_KEY), ("row", IN_TURN)):
            self.group = await self.make(name, name.encode().ljust(16))
            answer = await self.take(terms=terms)
            back = GiveBack(tuple([(share.partition, share.taken) for share in answer.shares]))
            await self.ran(back, terms=terms)
            again = self.given(await self.take(terms=terms))
            self.assertEqual([one.deliveries for one, _, _ in again], [1] * len(again))
            self.assertEqual([body for _, _, body in again], [b"1", b"2"][: len(again)])
            await self.ran(back, terms=terms)
            self.assertEqual(await self.bodies(terms=terms), [])
            self.assertEqual((await self.look()).lag.in_flight, len(again))

    # What is removed under a claim

    @contract
    async def test_a_queue_that_is_purged_under_a_claim(self) -> None:
        await self.begin()
        await self.post(*[b"old"] * 100)
        receipts = await self.receipts(3)
        await self.store.purge(self.queue, HIGHEST, Ack.MAJORITY)
        lag = (await self.look()).lag
        self.assertEqual((lag.in_flight, lag.waiting, lag.oldest), (0, 0, None))
        self.assertEqual(await self.bodies(), [])
        await self.post(b"new")
        self.assertEqual(await self.settle(Action.ACK, receipts[:1]), (Settled.ACKED,))
        self.assertEqual(await self.bodies(), [b"new"])
        await self.settle(Action.RETRY, receipts[1:2])
        await self.subject.advance(31)
        self.assertEqual(await self.bodies(), [b"new"])
        self.assertEqual(await self.settle(Action.ACK, receipts[1:]), (Settled.STALE,) * 2)

    @contract
    async def test_a_key_of_a_claim_whose_messages_are_purged(self) -> None:
        await self.begin()
        await self.post(b"1", b"2")
        self.assertEqual(len(await self.bodies(key=KEY)), 2)
        await self.store.purge(self.queue, HIGHEST, Ack.MAJORITY)
        again = await self.take(key=KEY)
        self.assertEqual([message for share in again.shares for message in share.messages if message], [])

    # Much of everything

    @contract
    async def test_many_groups_of_one_queue(self) -> None:
        """None disturbs another one."""
        await self.begin()
        ids = await self.post(b"1", b"2", b"3")
        groups = [await self.make(f"g{number}", number.to_bytes(16, "big")) for number in range(200)]
        receipts = {}
        for group in groups:
            answer = self.given(await self.take(2, group=group))
            self.assertEqual([one.id for one, _, _ in answer], ids[:2])
            receipts[group.name] = [receipt for _, receipt, _ in answer]
        for place, group in enumerate(groups):
            self.group = group
            acked = receipts[group.name][: place % 3]
            self.assertEqual(await self.settle(Action.ACK, acked), (Settled.ACKED,) * len(acked))
            stranger = receipts[groups[place - 1].name][:1]
            self.assertEqual(await self.settle(Action.ACK, stranger), (Settled.INVALID,))
        await self.post(b"4")
        await self.subject.advance(31)
        for place, group in enumerate(groups):
            # The first claim may leave what has come since messages were read ahead.
            given = [
                *await self.bodies(group=group),
                *await self.bodies(group=group),
            ]
            self.assertEqual(given, [b"1", b"2", b"3", b"4"][place % 3 :])

    @contract
    async def test_as_many_in_flight_as_may_be(self) -> None:
        """Then a claim is blocked until one of them is settled; all of it outlives a restart."""
        await self.begin()
        terms, lease = Terms(max_in_flight=self.in_flight), Ticks(LEASE.high * SECOND)
        new = [NewMessage(1, Content(b""), 86_400)] * 1000
        for _ in range(self.in_flight // 1000):
            await self.store.append(self.queue, new, TERMS)
        await self.store.append(self.queue, new[:2], TERMS)
        await self.subject.advance(0.1)
        receipts = []
        for _ in range(self.in_flight // 1000):
            receipts += await self.receipts(1000, terms=terms, lease=lease)
        self.assertEqual(len(set(receipts)), self.in_flight)
        self.assertTrue((await self.take(terms=terms)).blocked)
        self.assertEqual(await self.settle(Action.ACK, receipts[500:501]), (Settled.ACKED,))
        self.assertEqual(len(await self.receipts(terms=terms, lease=lease)), 1)
        if self.subject.keeps:
            await self.subject.reopen()
        self.assertTrue((await self.take(terms=terms)).blocked)
        lag = (await self.look()).lag
        self.assertEqual((lag.in_flight, lag.waiting), (self.in_flight, 0))
        self.assertEqual(await self.settle(Action.ACK, receipts[:500]), (Settled.ACKED,) * 500)
        self.assertEqual(len(await self.receipts(terms=terms)), 1)
        self.assertEqual(await self.bodies(), [])
