"""What every group store promises about claims."""

from __future__ import annotations

from queuey.model.applications.policy import Ack
from queuey.model.groups.claims import home_of
from queuey.model.groups.commands import (
    GiveBack,
    TakeAnswer,
)
from queuey.model.groups.terms import Action, Order, Terms
from queuey.model.groups.terms import Outcome as Settled
from queuey.model.messages.dead_letter_headers import copy_for
from queuey.model.messages.message import Address, Content
from queuey.model.timeid import HIGHEST, SECOND, Ticks, successor
from tests.contracts.group_steps import KEY, LEASE, GroupSteps
from tests.contracts.subject import contract


class GroupClaimsContract(GroupSteps):
    """Claims, and claims under a key."""

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
