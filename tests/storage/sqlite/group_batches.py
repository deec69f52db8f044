"""Write batches with commands of groups among appends, removals and purges, of which any statement may fail.

After each batch what the writing thread has cached of every state must be what a fresh load of its rows gives, and what
was answered must be stored.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from queuey.errors import QueueyError
from queuey.interfaces import Outcome
from queuey.model.applications.policy import Ack
from queuey.model.groups.commands import (
    Command,
    Finish,
    GiveBack,
    Ran,
    Reopen,
    Seek,
    Settle,
    SettleAnswer,
    Take,
    TakeAnswer,
    TakeBack,
    View,
)
from queuey.model.groups.entries import MARKED, TOKEN, In, Target
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.rows import encode_group, group_key
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.groups.terms import Action, Order, Result, Returning, Settlement, Terms
from queuey.model.groups.terms import Outcome as Settled
from queuey.model.messages.dead_letter_headers import with_key
from queuey.model.messages.message import Address, Content, NewMessage
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.timeid import LOWEST, SECOND, MessageId, Ticks, from_seconds
from queuey.storage.sqlite.writing.writer import Writer
from tests.contracts.reading import TERMS
from tests.storage.sqlite.group_faults import Faulty, check_cached
from tests.storage.subjects import HeldSubject

PARTITIONS: Final = 2
DEAD: Final = Target("dead", 77)
KEYS: Final = (None, None, "a", "b", "c")
CLAIM_KEYS: Final = tuple(bytes((number,)) * TOKEN for number in (1, 2, 3))

PLANS: Final = {
    "plain": Terms(),
    "dead": Terms(max_deliveries=2, dead_letter=DEAD),
    "keys": Terms(Order.KEY, max_deliveries=3),
    "row": Terms(Order.PARTITION),
    "once": Terms(at_most_once=True),
}
"""The groups, by their names, and the terms of each."""


@attrs.define
class Seen:
    """What a worker knows of one group.

    :ivar receipts: that it was given; some are used up.
    :ivar acked: ids of which an ack was answered, and ``given`` of those that were given at most once.
    :ivar takes: the last claims that got something.
    :ivar sought: whether what was settled may be given again: the group was moved, or messages were taken back.
    """

    group: Group
    terms: Terms
    receipts: list[Receipt] = attrs.field(factory=list)
    acked: set[MessageId] = attrs.field(factory=set)
    given: set[MessageId] = attrs.field(factory=set)
    takes: list[TakeAnswer] = attrs.field(factory=list)
    sought: bool = False


class Batches:
    """A store whose writes wait, and random batches of them.

    :ivar ids: of all messages whose append was answered, by partitions.
    :ivar removed: ids of messages that were to be removed, or purged.
    :ivar failed: how many operations failed.
    """

    def __init__(self, subject: HeldSubject, seed: int) -> None:
        self.subject = subject
        self.random = Random(seed)
        self.ids: dict[int, list[MessageId]] = {1: [], 2: []}
        self.removed: set[MessageId] = set()
        self.failed = 0
        self.answered = 0
        self.wrong: list[str] = []
        self.queue: Queue = result(self.store.create("app", "q", QueueSettings(partitions=PARTITIONS), None))[0]
        self.groups = {name: Seen(self._group(name), terms) for name, terms in PLANS.items()}
        self.faulty = Faulty(self.writer)

    @property
    def store(self) -> Any:
        return self.subject.store

    @property
    def writer(self) -> Writer:
        found: Writer = self.store._open.writer
        return found

    def _group(self, name: str) -> Group:
        gid = name.encode().ljust(16, b".")
        group = Group(self.queue.incarnation, name, gid, b"s" * 32, GroupSettings(), LOWEST, Ticks(0), "")
        key = group_key(group.queue, name)
        assert result(self.store.states.replace(key, None, encode_group(group), name)) is Outcome.APPLIED
        return group

    # What is asked

    def batch(self, operations: int, statement: int = -1, commit: int = -1) -> None:
        """Ask for some things, in one batch, and check what is cached then. If each failed, nothing was stored.

        :param statement: that fails meanwhile, and ``commit``; see ``Faulty``.
        """
        before, answered = self.rows(), self.answered
        self.faulty.begin(statement, commit)
        self.subject.hold()
        for _ in range(operations):
            choose, weights = zip(*self._OPERATIONS, strict=True)
            self.random.choices(choose, weights)[0](self)
        self.subject.release()
        self.faulty.begin()
        if self.answered == answered:
            assert self.rows() == before, "something of what failed was stored"
        self.check()

    def _heard(self, waiting: Deferred[Any], told: Callable[[Any], object]) -> None:
        def answered(answer: Any) -> None:
            self.answered += 1
            told(answer)

        def refused(failure: Failure) -> None:
            failure.trap(QueueyError, ZeroDivisionError)
            self.failed += 1

        def defect(failure: Failure) -> None:
            self.wrong.append(failure.getTraceback())

        waiting.addCallbacks(answered, refused).addErrback(defect)

    def _append(self) -> None:
        partition, number = self.random.randint(1, PARTITIONS), self.random.choice((1, 1, 3, 30))
        contents = [
            with_key(Content(b"x" * self.random.randrange(50)), self.random.choice(KEYS)) for _ in range(number)
        ]
        new = [NewMessage(partition, content, 86_400) for content in contents]
        self._heard(self.store.append(self.queue, new, TERMS), self.ids[partition].extend)

    def _remove(self) -> None:
        partition = self.random.randint(1, PARTITIONS)
        if not self.ids[partition]:
            return
        id = self.random.choice(self.ids[partition])
        self.removed.add(id)
        self._heard(self.store.remove(self.queue, [Address(partition, id)], Ack.ONE), lambda _: None)

    def _purge(self) -> None:
        ids = self.ids[1]
        if len(ids) < 40:
            return
        before = self.random.choice(ids[:20])
        self.removed.update([id for some in self.ids.values() for id in some if id < before])
        self._heard(self.store.purge(self.queue, before, Ack.ONE), lambda _: None)

    def _run(self, seen: Seen, *commands: Command) -> None:
        waiting = self.store.groups.run(self.queue, seen.group, seen.terms, commands)
        self._heard(waiting, lambda ran: self._ran(seen, commands, ran))

    def _ran(self, seen: Seen, commands: tuple[Command, ...], ran: Ran) -> None:
        for command, answer in zip(commands, ran.answers, strict=True):
            if isinstance(answer, TakeAnswer):
                self._took(seen, answer)
            elif isinstance(command, Settle):
                assert isinstance(answer, SettleAnswer)
                for one, outcome in zip(command.settlements, answer.outcomes, strict=True):
                    if outcome is Settled.ACKED:
                        assert one.receipt.id not in seen.acked or seen.sought, "acked twice"
                        seen.acked.add(one.receipt.id)

    def _took(self, seen: Seen, answer: TakeAnswer) -> None:
        for share in answer.shares:
            for one in share.taken:
                if one.number:
                    assert one.id not in seen.acked or seen.sought, "given after its ack"
                    receipt = Receipt(self.queue.incarnation, share.generation, share.partition, one.id, one.number)
                    seen.receipts.append(receipt)
                else:
                    assert one.id not in seen.given or seen.sought, "given twice"
                    seen.given.add(one.id)
        if answer.shares and answer.shares[0].taken[0].number:
            seen.takes = [*seen.takes, answer][-5:]

    def _any(self) -> Seen:
        return self.random.choice(list(self.groups.values()))

    def _take(self, seen: Seen, *before: Command) -> None:
        partitions = self.random.choice(((1,), (2,), (1, 2), (2, 1)))
        lease = Ticks(self.random.choice((1, 30)) * SECOND)
        key = None if seen.terms.at_most_once else self.random.choice((None, None, None, *CLAIM_KEYS))
        limit, size = self.random.choice((1, 1, 10, 40)), self.random.choice((60, 1 << 20))
        self._run(seen, *before, Take(partitions, limit, lease, size, key))

    def _claim(self) -> None:
        self._take(self._any())

    def _settlements(self, seen: Seen) -> Settle:
        known = seen.receipts[-60:]
        some = self.random.sample(known, min(len(known), self.random.choice((1, 1, 5, 30))))
        actions = [self.random.choice((*Action, Action.ACK, Action.ACK)) for _ in some]
        spans = [Ticks(self.random.choice((0, 2, 40)) * SECOND) for _ in some]
        return Settle(tuple(map(Settlement, actions, some, spans)))

    def _settle(self) -> None:
        seen = self._any()
        if seen.receipts:
            self._run(seen, self._settlements(seen))

    def _settle_and_take(self) -> None:
        seen = self._any()
        if seen.receipts:
            self._take(seen, self._settlements(seen))

    def _give_back(self) -> None:
        seen = self._any()
        if seen.takes:
            answer = self.random.choice(seen.takes)
            self._run(seen, GiveBack(tuple([(share.partition, share.taken) for share in answer.shares])))

    def _seek(self) -> None:
        seen = self._any()
        partition = self.random.randint(1, PARTITIONS)
        reach = self.random.choice([LOWEST, *self.ids[partition]])
        seen.sought = True
        self._run(seen, Seek(partition, reach, self.random.randbytes(8)))

    def _move(self) -> None:
        """Look at the marks of a partition, and finish some moves."""
        seen, partition = self._any(), self.random.randint(1, PARTITIONS)

        def looked(view: View) -> None:
            some = [(mark.id, mark.number, self.random.choice(list(Result))) for mark in view.marks[:20]]
            for id, _, _ in some:
                seen.acked.discard(id)
            if some:
                seen.sought = True  # a message that came back, or is gone, is none of what was acked
                self._run(seen, Finish(partition, tuple(some)))

        self._heard(self.store.groups.look(self.queue, seen.group, partition), looked)

    def _come_back(self) -> None:
        """Take back dead letters, or what was set aside."""
        seen, partition = self._any(), self.random.randint(1, PARTITIONS)
        if not self.ids[partition] or seen.terms.at_most_once:
            return
        ids = tuple(sorted({self.random.choice(self.ids[partition]) for _ in range(3)}))

        def looked(view: View) -> None:
            seen.sought = True
            letter = In(DEAD, 1, ids[0])
            self._run(
                seen,
                Reopen(partition, tuple([id for id in ids if id in view.aside]), ids[:1]),
                TakeBack(partition, view.last, tuple([Returning(id, letter) for id in ids])),
            )

        self._heard(self.store.groups.look(self.queue, seen.group, partition), looked)

    def _other(self) -> None:
        """A write of something else."""
        self._heard(self.store.states.replace("a key", "no version", None, ""), lambda _: None)

    def _defect(self) -> None:
        """Something that no error of the database is, in the midst of the batch."""
        self._heard(self.store._writing.submit(lambda writer: 1 // 0), lambda _: None)

    _OPERATIONS: Final = (
        (_append, 12), (_claim, 30), (_settle, 20), (_settle_and_take, 10), (_give_back, 4), (_seek, 1), (_move, 4),
        (_come_back, 2), (_remove, 2), (_purge, 1), (_other, 2), (_defect, 1),
    )  # fmt: skip

    # What must be so

    def check(self) -> None:
        """No answer was wrong, and what is cached is what is stored."""
        assert not self.wrong, self.wrong[0]
        limit, terms = self.random.choice((1, 5, 1000)), (*PLANS.values(), Terms(max_deliveries=1))
        check_cached(self.writer, from_seconds(self.subject.wall.seconds), terms, limit)

    def drain(self) -> None:
        """Give and ack all that is left of a group without limits: what is there, was not acked, and is not set aside
        comes, and nothing else does."""
        seen = self.groups["plain"]
        expected = {one for partition in self.ids for one in self._there(partition)} - seen.acked
        for _ in range(3):
            result(self.subject.advance(50))
        come: set[MessageId] = set()
        while some := self._drained(seen):
            come |= some
        views = [result(self.store.groups.look(self.queue, seen.group, number)) for number in self.ids]
        aside = {id for view in views for id in view.aside}
        assert not self.wrong, self.wrong[0]
        if not seen.sought:
            assert come == expected - aside, (len(come), len(expected))

    def _drained(self, seen: Seen) -> set[MessageId]:
        take = Take((1, 2), 1000, Ticks(30 * SECOND), 1 << 20)
        (answer,) = result(self.store.groups.run(self.queue, seen.group, seen.terms, (take,))).answers
        self._took(seen, answer)
        some = {one.id for share in answer.shares for one in share.taken}
        receipts = [one for one in seen.receipts if one.id in some][-len(some) :] if some else []
        self._run(seen, Settle(tuple([Settlement(Action.ACK, one) for one in receipts])))
        return some

    def _there(self, partition: int) -> set[MessageId]:
        """What is stored in a partition."""
        found = self.writer._connection.execute("SELECT id FROM messages WHERE partition = ?", (partition,))
        return {id for (id,) in found}

    def check_copy(self, store: Any) -> None:
        """What was answered is stored in another store, which was opened over a copy of this one's files."""
        for seen in self.groups.values():
            for partition in self.ids:
                view: View = result(store.groups.look(self.queue, seen.group, partition, tuple(seen.acked)))
                again = {id for id, one in view.open.items() if one.kind != MARKED}
                assert not again or seen.sought, "what was acked is open"
        there = {id for (id,) in store._open.writer._connection.execute("SELECT id FROM messages")}
        lost = {id for ids in self.ids.values() for id in ids} - there - self.removed
        assert not lost, "what was appended is not there"

    def rows(self) -> list[Any]:
        """All that is stored of groups and messages."""
        execute = self.writer._connection.execute
        tables = ("group_states", "deliveries", "dead_states", "messages", "tallies", "usage", "clock")
        return [sorted(execute(f"SELECT * FROM {table}").fetchall(), key=repr) for table in tables]


def result(waiting: Deferred[Any]) -> Any:
    """What a Deferred has fired with."""
    found: list[Any] = []
    waiting.addBoth(found.append)
    (got,) = found
    if isinstance(got, Failure):
        got.raiseException()
    return got
