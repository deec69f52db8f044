"""The contract of IQueueStore."""

from __future__ import annotations

from twisted.internet.defer import gatherResults
from zope.interface.verify import verifyObject

from queuey.errors import Conflict, NoSuchQueue, StorageFull
from queuey.interfaces import IQueueStore
from queuey.model.queues.queue import Consistency, Guarantee, Queue, QueueSettings, QueueType
from queuey.model.timeid import from_seconds
from tests.contracts.subject import START, Contract, after_restart, contract

PLAIN = QueueSettings()
OTHER = QueueSettings(
    QueueType.PUBLIC,
    200,
    Consistency.VERY_STRONG,
    ("app:x", "bid:a+b@c.example", "a\0\"',\n\u2028"),
    Guarantee.EXACTLY_ONCE,
    1,
)
STRANGE = [
    "a b",
    "%",
    "_",
    "A",
    "a",
    "b'--\"",
    "\u00e9",
    "e\u0301",
    "\ud7ff",
    "\ue000",
    "\uffff",
    "\U00010000",
    "\U0010ffff",
]


class QueuesContract(Contract):
    """What every store of queues promises."""

    async def make(self, name: str, settings: QueueSettings = PLAIN, application: str = "app") -> Queue:
        queue, made = await self.store.create(application, name, settings, None)
        self.assertTrue(made)
        return queue

    async def described(self, name: str, application: str = "app") -> Queue | None:
        (queue,) = await self.store.describe(application, [name])
        return queue

    async def listed(self, start: str = "", limit: int = 1000, prefix: str = "", application: str = "app") -> list[str]:
        return list(await self.store.names(application, start, limit, prefix))

    def test_it_provides_the_interface(self) -> None:
        verifyObject(IQueueStore, self.store)

    @contract
    async def test_what_is_at_hand(self) -> None:
        """It is the queue as it is: the same object until it is changed, and nothing once it is gone."""
        queue = await self.make("q")
        self.assertIn(self.store.cached("app", "q"), (None, queue))
        self.assertIsNone(self.store.cached("app", "another"))
        self.assertIsNone(self.store.cached("another", "q"))
        described = await self.described("q")
        known = self.store.cached("app", "q")
        if known is not None:
            self.assertEqual(known, described)
            self.assertIs(self.store.cached("app", "q"), known)
            self.assertIs(await self.described("q"), known)
        changed = await self.store.update(queue, OTHER)
        self.assertIn(self.store.cached("app", "q"), (None, changed))
        await self.described("q")
        self.assertTrue(await self.store.forget(changed))
        self.assertIsNone(self.store.cached("app", "q"))

    @contract
    async def test_made_as_asked(self) -> None:
        for number, settings in enumerate((PLAIN, OTHER, QueueSettings(consistency=Consistency.WEAK))):
            name = f"queue {number}"
            queue = await self.make(name, settings)
            self.assertEqual((queue.application, queue.name, queue.settings), ("app", name, settings))
            self.assertEqual(queue.created, from_seconds(START + number))
            self.assertTrue(queue.version)
            self.assertEqual(await self.described(name), queue)
            self.subject.wall.seconds += 1

    @contract
    async def test_one_that_exists_is_left_as_it_is(self) -> None:
        queue = await self.make("queue", OTHER)
        self.assertEqual(await self.store.create("app", "queue", PLAIN, None), (queue, False))
        self.assertEqual(await self.described("queue"), queue)

    @contract
    async def test_of_many_at_once_one_made_it(self) -> None:
        answers = [self.store.create("app", "queue", PLAIN, None) for _ in range(20)]
        results = await gatherResults(answers)
        self.assertEqual([made for _, made in results].count(True), 1)
        self.assertEqual(len({queue for queue, _ in results}), 1)

    @contract
    async def test_applications_are_apart(self) -> None:
        one, other = await self.make("queue"), await self.make("queue", OTHER, "app2")
        self.assertNotEqual(one.incarnation, other.incarnation)
        self.assertEqual(await self.described("queue"), one)
        self.assertEqual(await self.described("queue", "app2"), other)
        self.assertIsNone(await self.described("queue", "ap"))
        self.assertEqual(await self.listed(application="ap"), [])
        await self.store.forget(other)
        self.assertEqual(await self.listed(), ["queue"])

    @contract
    async def test_update(self) -> None:
        old = await self.make("queue")
        new = await self.store.update(old, OTHER)
        self.assertEqual(
            (new.name, new.application, new.incarnation, new.created, new.settings),
            (old.name, old.application, old.incarnation, old.created, OTHER),
        )
        self.assertNotEqual(new.version, old.version)
        self.assertEqual(await self.described("queue"), new)

    @contract
    async def test_what_a_queue_leaves_to_its_application(self) -> None:
        queue = await self.make("queue")
        for guarantee in (*Guarantee, None):
            for ttl in (1 << 25, None):
                settings = QueueSettings(guarantee=guarantee, ttl=ttl)
                queue = await self.store.update(queue, settings)
                self.assertEqual(queue.settings, settings)
                self.assertEqual(await self.described("queue"), queue)

    @contract
    async def test_each_update_has_a_version_of_its_own(self) -> None:
        queue = await self.make("queue")
        versions = {queue.version}
        for _ in range(5):
            queue = await self.store.update(queue, PLAIN)
            versions.add(queue.version)
        self.assertEqual(len(versions), 6)

    @contract
    async def test_update_of_what_was_changed_meanwhile(self) -> None:
        old = await self.make("queue")
        new = await self.store.update(old, OTHER)
        await self.fails(Conflict, self.store.update(old, PLAIN))
        self.assertEqual(await self.described("queue"), new)

    @contract
    async def test_of_many_updates_at_once_one_wins(self) -> None:
        queue = await self.make("queue")
        answers = [self.store.update(queue, QueueSettings(partitions=number)) for number in range(2, 22)]
        won: list[Queue] = []
        for answer in answers:
            try:
                won.append(await answer)
            except Conflict:
                continue
        self.assertEqual(len(won), 1)
        self.assertEqual(await self.described("queue"), won[0])

    @contract
    async def test_update_of_what_is_gone(self) -> None:
        old = await self.make("queue")
        await self.store.forget(old)
        await self.fails(NoSuchQueue, self.store.update(old, OTHER))
        await self.make("queue")
        await self.fails(NoSuchQueue, self.store.update(old, OTHER))

    @contract
    async def test_forget(self) -> None:
        queue = await self.make("queue")
        self.assertTrue(await self.store.forget(queue))
        self.assertFalse(await self.store.forget(queue))
        self.assertIsNone(await self.described("queue"))
        self.assertEqual(await self.listed(), [])

    @contract
    async def test_forget_names_a_life_not_a_version(self) -> None:
        old = await self.make("queue")
        await self.store.update(old, OTHER)
        self.assertTrue(await self.store.forget(old))
        anew = await self.make("queue")
        self.assertFalse(await self.store.forget(old))
        self.assertEqual(await self.described("queue"), anew)
        self.assertNotEqual((anew.incarnation, anew.version), (old.incarnation, old.version))

    @contract
    async def test_of_many_who_forget_one_did(self) -> None:
        queue = await self.make("queue")
        results = await gatherResults([self.store.forget(queue) for _ in range(10)])
        self.assertEqual(results.count(True), 1)

    @contract
    async def test_describe_in_the_order_asked(self) -> None:
        a, b = await self.make("a"), await self.make("b")
        self.assertEqual(
            await self.store.describe("app", ["b", "x", "a", "b", ""]),
            (b, None, a, b, None),
        )
        self.assertEqual(await self.store.describe("app", []), ())

    @contract
    async def test_names_of_any_characters_in_the_order_of_code_points(self) -> None:
        for name in STRANGE[::2] + STRANGE[1::2]:
            queue = await self.make(name)
            self.assertEqual(await self.described(name), queue)
        ordered = sorted(STRANGE)
        self.assertEqual(await self.listed(), ordered)
        for place, name in enumerate(ordered):
            self.assertEqual(await self.listed(name), ordered[place:])
            self.assertEqual(await self.listed(name + "\0"), ordered[place + 1 :])
            self.assertEqual(await self.listed(prefix=name), [other for other in ordered if other.startswith(name)])

    @contract
    async def test_prefixes(self) -> None:
        names = [
            "",
            "a",
            "a\ud7ff",
            "a\ud7ffx",
            "a\ue000",
            "a\U0010ffff",
            "a\U0010ffffb",
            "ab",
            "b",
            "\U0010ffff",
            "\U0010ffff\U0010ffff",
        ]
        for name in names:
            await self.make(name)
        for prefix in [*names, "a\ud7ffxy", "\U0010ffff\U0010ffff\U0010ffff"]:
            for start in [*names, "a\0", "zz"]:
                wanted = sorted(name for name in names if name.startswith(prefix) and name >= start)
                self.assertEqual(await self.listed(start, prefix=prefix), wanted, (prefix, start))

    @contract
    async def test_limits(self) -> None:
        for name in "dbca":
            await self.make(name)
        self.assertEqual([await self.listed(limit=limit) for limit in (0, 1, 3)], [[], ["a"], ["a", "b", "c"]])
        self.assertEqual(await self.listed(limit=10**30), ["a", "b", "c", "d"])
        self.assertEqual(await self.listed("b", 2), ["b", "c"])
        self.assertEqual(await self.listed("bb", 2), ["c", "d"])
        self.assertEqual(await self.listed("e", 2), [])

    @contract
    async def test_paging_over_ten_thousand(self) -> None:
        names = [f"{number % 7}-{number:05d}" for number in range(10_000)]
        await gatherResults([self.store.create("app", name, PLAIN, None) for name in names])
        for prefix in ("", "3-"):
            wanted = sorted(name for name in names if name.startswith(prefix))
            got: list[str] = []
            page = await self.listed("", 700, prefix)
            while page:
                got += page
                page = await self.listed(page[-1] + "\0", 700, prefix)
            self.assertEqual(got, wanted)
        some = names[::9]
        described = await self.store.describe("app", some)
        self.assertEqual([queue and queue.name for queue in described], some)

    @contract
    async def test_no_more_than_an_application_may_have(self) -> None:
        a = await self.make("a")
        await self.make("elsewhere", application="app2")
        b, _ = await self.store.create("app", "b", PLAIN, 2)
        failure = await self.fails(StorageFull, self.store.create("app", "c", PLAIN, 2))
        self.assertIn("2 queues", str(failure))
        self.assertEqual(await self.listed(), ["a", "b"])
        self.assertEqual(await self.store.create("app", "b", PLAIN, 1), (b, False))
        await self.store.forget(a)
        await self.store.forget(a)
        _, made = await self.store.create("app", "c", PLAIN, 2)
        self.assertTrue(made)
        await self.fails(StorageFull, self.store.create("app", "d", PLAIN, 2))
        await self.fails(StorageFull, self.store.create("app3", "d", PLAIN, 0))

    @contract
    async def test_of_many_at_once_no_more_are_made(self) -> None:
        made = 0
        for answer in [self.store.create("app", f"{number}", PLAIN, 7) for number in range(20)]:
            try:
                await answer
                made += 1
            except StorageFull:
                continue
        self.assertEqual((made, len(await self.listed())), (7, 7))

    @after_restart
    async def test_over_a_restart(self) -> None:
        first, second = await self.make("first", OTHER), await self.make("second")
        gone = await self.make("third")
        first = await self.store.update(first, PLAIN)
        await self.store.forget(gone)
        await self.subject.reopen()
        self.assertEqual(await self.store.describe("app", ["second", "first", "third"]), (second, first, None))
        self.assertEqual(await self.listed(), ["first", "second"])
        anew = await self.make("third")
        self.assertNotIn(anew.incarnation, (first.incarnation, second.incarnation, gone.incarnation))
        await self.fails(StorageFull, self.store.create("app", "fourth", PLAIN, 3))
