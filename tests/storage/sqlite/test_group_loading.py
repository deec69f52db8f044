"""States with many messages in flight are loaded in pieces: other jobs of the writing thread do not wait for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import apsw
from twisted.internet.defer import Deferred

from queuey.errors import NoSuchGroup, NoSuchQueue, Unavailable
from queuey.model.groups.commands import Ran, Settle, Take, TakeAnswer
from queuey.model.groups.receipts import Receipt
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Action, Outcome, Settlement
from queuey.model.queues.queue import QueueSettings
from queuey.storage.sqlite.writing import group_states
from queuey.storage.sqlite.writing.group_rows import StateReading
from queuey.storage.sqlite.writing.group_states import GroupStates
from tests.contracts.reading import TERMS, new
from tests.storage.sqlite.test_group_batches import BATCHES, SEED, BatchCase
from tests.storage.sqlite.test_groups import LEASE, PLAIN, GroupsCase

MOST = 100
"""Rows that a batch reads, here."""

OPEN = 1000
"""Messages in flight."""


class LoadingCase(GroupsCase):
    """A store that was opened again: a group has many messages in flight, and none of its state is cached.

    :ivar events: what happened, in this order: the numbers of rows that were read, ``None`` for the end of a batch, and
        the names of what was answered.
    """

    def setUp(self) -> None:
        super().setUp()
        self.patch(group_states, "MAX_LOADED", MOST)
        self.receipts = self.fill(self.group)
        self.reopen()
        self.events: list[Any] = []
        add, end = StateReading.add, GroupStates._end_batch

        def read(reading: StateReading, rows: Any) -> int:
            count = add(reading, rows)
            self.events.append(count)
            return count

        def ended(states: GroupStates) -> None:
            self.events.append(None)
            end(states)

        self.patch(StateReading, "add", read)
        self.patch(GroupStates, "_end_batch", ended)

    def fill(self, group: Group) -> list[Receipt]:
        self.post(OPEN)
        return [receipt for _, receipt in self.take(OPEN, group)]

    def reopen(self) -> None:
        self.successResultOf(self.subject.reopen())

    def ask(self, *commands: Any, group: Group | None = None, name: str = "asked") -> Deferred[Ran]:
        waiting = self.store.groups.run(self.queue, group or self.group, PLAIN, commands)
        return self.note(name, waiting)

    def note(self, name: str, waiting: Deferred[Any]) -> Deferred[Any]:
        def answered(result: Any) -> Any:
            self.events.append(name)
            return result

        return waiting.addBoth(answered)

    def pieces(self) -> list[int]:
        """How many rows each batch has read, of those that have read some."""
        found = [0]
        for event in self.events:
            if event is None:
                found.append(0)
            elif isinstance(event, int):
                found[-1] += event
        return [rows for rows in found if rows]

    def together(self, *asked: Callable[[], Deferred[Any]]) -> list[Deferred[Any]]:
        """Ask for things that come into one batch."""
        self.subject.hold()
        waiting = [one() for one in asked]
        self.subject.release()
        return waiting


def taking(limit: int = 1) -> Take:
    return Take((1,), limit, LEASE, 1 << 20)


def acking(receipts: Iterable[Receipt]) -> Settle:
    return Settle(tuple([Settlement(Action.ACK, one) for one in receipts]))


class InPiecesTests(LoadingCase):
    """What is read, and what is done in between."""

    def test_the_rows_that_one_batch_reads(self) -> None:
        (settled,) = self.successResultOf(self.ask(acking(self.receipts[:3]))).answers
        self.assertEqual(list(settled.outcomes), [Outcome.ACKED] * 3)  # type: ignore[union-attr]
        self.assertLessEqual(max(self.pieces()), MOST)
        self.assertGreaterEqual(len(self.pieces()), OPEN // MOST)
        self.assertGreaterEqual(sum(self.pieces()), OPEN)

    def test_other_jobs_come_in_between(self) -> None:
        other = self.make_group("other", 2)
        asked = self.together(
            lambda: self.ask(taking(), name="large"),
            lambda: self.ask(taking(), group=other, name="small"),
            lambda: self.note("post", self.store.append(self.queue, [new(b"1000")], TERMS)),
        )
        self.assertEqual([event for event in self.events if isinstance(event, str)][-1], "large")
        for name in ("small", "post"):
            before = [event for event in self.events[: self.events.index(name)] if isinstance(event, int)]
            self.assertLessEqual(sum(before), MOST, f"{name} waited for {before}")
        for waiting in asked:
            self.successResultOf(waiting)

    def test_several_large_states_share_what_a_batch_reads(self) -> None:
        others = [self.make_group(f"g{number}", number) for number in range(2, 5)]
        for group in others:
            self.take(OPEN, group)
        self.reopen()
        self.events.clear()
        asked = self.together(
            *[lambda group=group: self.ask(taking(), group=group) for group in [self.group, *others]],
            lambda: self.ask(acking(self.receipts)),
        )
        for waiting in asked:
            self.successResultOf(waiting)
        self.assertLessEqual(max(self.pieces()), MOST)
        self.assertGreaterEqual(sum(self.pieces()), 4 * OPEN)
        self.assertLess(sum(self.pieces()), 4 * OPEN + 2 * MOST, "some were read twice")

    def test_a_look_and_a_fused_claim(self) -> None:
        asked = self.together(
            lambda: self.store.groups.look(self.queue, self.group, 1, [self.receipts[0].id]),
            lambda: self.ask(acking(self.receipts[5:6]), taking()),
        )
        self.assertEqual(len(self.successResultOf(asked[0]).open), 1)
        settled, _ = self.successResultOf(asked[1]).answers
        self.assertEqual(settled.outcomes, (Outcome.ACKED,))
        self.assertLessEqual(max(self.pieces()), MOST)

    def test_what_was_loaded_is_not_dropped_for_what_is_still_needed(self) -> None:
        """Together the states of a claim are more than is cached."""
        queue, _ = self.successResultOf(self.store.create("app", "wide", QueueSettings(partitions=3), None))
        group = self.make_group("wide", 9, queue)
        for partition in (1, 2, 3):
            messages = [new(b"x", partition=partition) for _ in range(OPEN)]
            self.successResultOf(self.store.append(queue, messages, TERMS))
        take = Take((1, 2, 3), 3 * OPEN, LEASE, 1 << 20)
        self.successResultOf(self.store.groups.run(queue, group, PLAIN, (take,)))
        self.reopen()
        self.patch(group_states, "MAX_CACHED", 1)
        self.patch(group_states, "MAX_CACHED_OPEN", OPEN)
        self.events.clear()
        ran = self.successResultOf(self.store.groups.run(queue, group, PLAIN, (take,)))
        self.assertEqual(ran.answers, (TakeAnswer(),))
        self.assertLess(sum(self.pieces()), 3 * OPEN + 3 * MOST, "some were read twice")
        self.assertEqual(len(self.writer.groups._cached), 1)


class BrokenOffTests(LoadingCase):
    """What comes between the pieces of a state."""

    def test_a_disk_that_fails(self) -> None:
        """Nothing was done, so the client may ask again; what was read until then is read again."""
        add, count = StateReading.add, 0

        def fails(reading: StateReading, rows: Any) -> int:
            nonlocal count
            count += 1
            if count in (4, 5):
                raise apsw.IOError("disk I/O error")
            return add(reading, rows)

        self.patch(StateReading, "add", fails)
        failed = self.failureResultOf(self.ask(acking(self.receipts)), Unavailable)
        self.assertEqual(failed.value.applied, "no")
        self.assertEqual(self.writer.groups._loading, {})
        (settled,) = self.successResultOf(self.ask(acking(self.receipts))).answers
        self.assertEqual(set(settled.outcomes), {Outcome.ACKED})  # type: ignore[union-attr]

    def stopped_at(self, piece: int, do: Callable[[], Deferred[Any]]) -> Deferred[Ran]:
        """Claim, and do something else after some pieces of the state were read."""
        add, count = StateReading.add, 0
        done: list[Deferred[Any]] = []

        def read(reading: StateReading, rows: Any) -> int:
            nonlocal count
            count += 1
            if count == piece:
                done.append(do())
            return add(reading, rows)

        self.patch(StateReading, "add", read)
        asked = self.ask(taking())
        self.successResultOf(done[0])
        self.assertEqual(self.writer.groups._loading, {})
        return asked

    def test_a_group_that_is_deleted(self) -> None:
        def end() -> Deferred[Any]:
            return self.store.groups.end(self.queue.incarnation, self.group.gid, 1)

        ran = self.successResultOf(self.stopped_at(3, end))
        self.assertNotEqual(ran.answers, (TakeAnswer(),), "its row is there, so it begins again")

    def test_a_queue_that_is_deleted(self) -> None:
        self.failureResultOf(self.stopped_at(3, lambda: self.store.forget(self.queue)), NoSuchQueue, NoSuchGroup)


class RandomTests(BatchCase):
    """Random batches, of which some fail, while every state is loaded again and again, a few rows at a time."""

    def test_random_batches(self) -> None:
        self.patch(group_states, "MAX_LOADED", 10)
        self.patch(group_states, "_EACH", 1)
        self.patch(group_states, "MAX_CACHED", 1)
        for seed in range(SEED, SEED + 2):
            batches = self.run_batches(seed, BATCHES)
            self.assertGreater(batches.answered, BATCHES)
