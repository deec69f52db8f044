"""What an application and its queues may keep, in each store that counts it: exact in any course of writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import StorageFull
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import ANYWAY, Address, Content
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.timeid import HIGHEST, MessageId
from queuey.storage.sqlite import SQLiteStore
from tests import tried
from tests.contracts.reading import foreign_id, new, once
from tests.storage.quick import quick_directory
from tests.storage.subjects import HeldSubject, MemorySubject

Step = tuple[str, int, int, int]
"""What is done, to which queue, with how many messages, of how many bytes each."""

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "once", "replace", "put", "remove", "purge", "forget"]),
        st.integers(0, 2),
        st.integers(1, 4),
        st.integers(0, 6),
    ),
    max_size=25,
)
LIMIT = st.one_of(st.none(), st.integers(1, 12))
TERMS = st.builds(
    WriteTerms, st.just(Ack.ONE), max_bytes=LIMIT, max_messages=LIMIT, max_queue_bytes=LIMIT, max_queue_messages=LIMIT
)
SETTINGS = QueueSettings(partitions=1)
PLACES = [Address(1, foreign_id(-10 - number)) for number in range(4)]


class Course:
    """A course of writes to two queues of one application and one of another, beside a count of our own."""

    def __init__(self, test: SynchronousTestCase, subject: MemorySubject | HeldSubject, terms: WriteTerms) -> None:
        self.test = test
        self.subject = subject
        self.terms = terms
        self.queues: list[Queue] = []
        self.held: list[dict[MessageId, int]] = [{}, {}, {}]
        self.keys = 0
        for number, application in enumerate(("app", "app", "other")):
            queue, _ = self.done(subject.store.create(application, f"q{number}", SETTINGS, None))
            self.queues.append(queue)

    def done(self, answer: Deferred[Any]) -> Any:
        return self.test.successResultOf(answer)

    def take(self, step: Step) -> None:
        """Do one thing, and see that it is refused exactly where a limit would be passed."""
        getattr(self, step[0])(*step[1:])

    def limit(self, place: int, more: dict[MessageId, int]) -> str | None:
        """The first limit that is passed once a queue holds these as well, or in place of what it held."""
        after = {**self.held[place], **more}
        own = [self.held[place], *(self.held[other] for other in ((1, 0, None)[place],) if other is not None)]
        before = sum(map(len, own)), sum(sum(each.values()) for each in own)
        messages, size = len(after) - len(own[0]), sum(after.values()) - sum(own[0].values())
        terms = self.terms
        for name, most, held, added in (
            ("max_bytes", terms.max_bytes, before[1], size),
            ("max_messages", terms.max_messages, before[0], messages),
            ("max_queue_bytes", terms.max_queue_bytes, sum(own[0].values()), size),
            ("max_queue_messages", terms.max_queue_messages, len(own[0]), messages),
        ):
            if most is not None and added > 0 and held + added > most:
                return name
        return None

    def wrote(self, answer: Deferred[Any], place: int, more: dict[MessageId, int]) -> Any:
        """The result of a write; ``None`` where it is refused as it has to be."""
        limit = self.limit(place, more)
        if limit is None:
            return self.done(answer)
        self.test.assertEqual(self.test.failureResultOf(answer, StorageFull).value.limit, limit)
        return None

    def append(self, place: int, count: int, size: int) -> None:
        answer = self.subject.store.append(self.queues[place], [new(b"x" * size)] * count, self.terms)
        self.appended(answer, place, count, size)

    def once(self, place: int, count: int, size: int) -> None:
        self.keys += 1
        key = once(b"%d" % self.keys)
        messages = [new(b"x" * size)] * count
        answer = self.subject.store.append_once(self.queues[place], messages, self.terms, key)
        self.appended(answer.addCallback(lambda it: [one.id for one in it.addresses]), place, count, size)

    def appended(self, answer: Deferred[Any], place: int, count: int, size: int) -> None:
        counted = {MessageId(b"%016d" % number): size for number in range(count)}
        for id in self.wrote(answer, place, counted) or ():
            self.held[place][id] = size

    def replace(self, place: int, count: int, size: int) -> None:
        more = {address.id: size for address in PLACES[:count]}
        answer = self.subject.store.replace(self.queues[place], PLACES[:count], Content(b"x" * size), 60, self.terms)
        fits = self.limit(place, more) is None
        self.wrote(answer, place, more)
        if fits:
            self.held[place].update(more)

    def put(self, place: int, count: int, size: int) -> None:
        id = next(iter(self.held[place]), None)
        if id is None:
            return
        content = Content(b"x" * size)
        answer = self.subject.store.put(self.queues[place], Address(1, id), content, 60, ANYWAY, self.terms)
        if self.wrote(answer, place, {id: size}) is not None:
            self.held[place][id] = size

    def remove(self, place: int, count: int, size: int) -> None:
        ids = list(self.held[place])[:count]
        self.done(self.subject.store.remove(self.queues[place], [Address(1, id) for id in ids], Ack.ONE))
        for id in ids:
            del self.held[place][id]

    def purge(self, place: int, count: int, size: int) -> None:
        self.done(self.subject.store.purge(self.queues[place], HIGHEST, Ack.ONE))
        self.held[place] = {}

    def forget(self, place: int, count: int, size: int) -> None:
        queue = self.queues[place]
        self.done(self.subject.store.forget(queue))
        self.queues[place], _ = self.done(self.subject.store.create(queue.application, queue.name, SETTINGS, None))
        self.held[place] = {}


class QuotaTests(SynchronousTestCase):
    """Each store by itself."""

    def each(self) -> list[Callable[[], MemorySubject | HeldSubject]]:
        return [MemorySubject, lambda: HeldSubject(quick_directory(self))]

    @settings(max_examples=tried(60, 600))
    @given(TERMS, STEPS)
    def test_any_course(self, terms: WriteTerms, steps: list[Step]) -> None:
        """What a limit refuses is what would pass it, and nothing else."""
        for make in self.each():
            subject = make()
            course = Course(self, subject, terms)
            for step in steps:
                course.take(step)
            for queue, held in zip(course.queues, course.held, strict=True):
                self.assertEqual(self.successResultOf(subject.store.count(queue, Ack.ONE)), len(held))
            self.successResultOf(subject.close())

    def test_many_at_once(self) -> None:
        """Writers that come together pass no limit, and those that fit are all let in."""
        for terms in (WriteTerms(Ack.ONE, max_messages=5), WriteTerms(Ack.ONE, max_queue_messages=5)):
            for make in self.each():
                subject = make()
                queue, _ = self.successResultOf(subject.store.create("app", "q", SETTINGS, None))
                subject.hold()
                writes = [subject.store.append(queue, [new(b"x")] * 2, terms) for _ in range(4)]
                writes.append(subject.store.append(queue, [new(b"x")], terms))
                subject.release()
                for write in (*writes[:2], writes[4]):
                    self.successResultOf(write)
                for write in writes[2:4]:
                    self.failureResultOf(write, StorageFull)
                self.successResultOf(subject.close())

    def test_after_a_restart(self) -> None:
        """What was there before counts, and what comes and goes in the write batch that counts it first."""
        subject = HeldSubject(quick_directory(self))
        queue, _ = self.successResultOf(subject.store.create("app", "q", SETTINGS, None))
        gone, _ = self.successResultOf(subject.store.create("app", "gone", SETTINGS, None))
        for life in (queue, gone):
            ids = self.successResultOf(subject.store.append(life, [new(b"x")] * 3, WriteTerms(Ack.ONE)))
        self.successResultOf(subject.reopen())
        few = WriteTerms(Ack.ONE, max_messages=6)
        subject.hold()
        good: list[Deferred[Any]] = [
            subject.store.append(queue, [new(b"x")], WriteTerms(Ack.ONE)),
            subject.store.remove(gone, [Address(1, ids[0])], Ack.ONE),
            subject.store.forget(gone),
            subject.store.append(queue, [new(b"x")], WriteTerms(Ack.ONE)),
            subject.store.append(queue, [new(b"x")], few),
        ]
        full = subject.store.append(queue, [new(b"x")], few)
        subject.release()
        for answer in good:
            self.successResultOf(answer)
        self.failureResultOf(full, StorageFull)
        self.failureResultOf(subject.store.append(queue, [new(b"x")], few), StorageFull)
        self.successResultOf(subject.store.append(queue, [new(b"x")], WriteTerms(Ack.ONE, max_messages=7)))
        self.successResultOf(subject.close())

    def test_a_pile_that_fails(self) -> None:
        """It leaves what was counted as it was before."""
        subject = HeldSubject(quick_directory(self))
        queue, _ = self.successResultOf(subject.store.create("app", "q", SETTINGS, None))
        few = WriteTerms(Ack.ONE, max_messages=4)
        self.successResultOf(subject.store.append(queue, [new(b"x")], few))
        subject.hold()
        good = [subject.store.append(queue, [new(b"x")], few) for _ in range(2)]
        assert isinstance(subject.store, SQLiteStore)
        bad = subject.store._writing.submit(lambda writer: writer.connection.execute("nonsense"))
        subject.release()
        for answer in good:
            self.successResultOf(answer)
        self.failureResultOf(bad)
        self.successResultOf(subject.store.append(queue, [new(b"x")], few))
        self.failureResultOf(subject.store.append(queue, [new(b"x")], few), StorageFull)
        self.successResultOf(subject.close())
