"""A copy that was interrupted goes on, and defects of copying are noticed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed

from queuey.core.copying import WAITS
from queuey.errors import BodyTooLarge, InvalidUpdate, StorageFull, Unavailable
from queuey.interfaces import IImportTarget
from queuey.model.applications.policy import Ack
from queuey.model.exports import ExportPage, Heads
from queuey.model.messages.message import Address, Message
from queuey.model.queues.queue import Queue
from queuey.model.timeid import SECOND, MessageId, Ticks
from tests.contracts.reading import TERMS, bodies, new
from tests.core.copying.test_copying import NAME, CopyCase


class Cut(Exception):
    """The copy is interrupted here."""


class Interrupted:
    """A target that changes nothing any more after so many writes."""

    def __init__(self, target: IImportTarget, left: int, error: Callable[[], Exception] = Cut) -> None:
        self._target = target
        self._left = left
        self._error = error

    def __getattr__(self, name: str) -> Any:
        if name in ("keep", "keep_queue", "keep_answers", "remove", "end_queue"):
            if not self._left:
                return lambda *_: fail(self._error())
            self._left -= 1
        return getattr(self._target, name)


class Forgetful:
    """A target, or a source, with one defect."""

    def __init__(self, wrapped: Any, **defects: Callable[..., Any]) -> None:
        self._wrapped = wrapped
        self._defects = defects

    def __getattr__(self, name: str) -> Any:
        return self._defects.get(name) or getattr(self._wrapped, name)


class InterruptedTests(CopyCase):
    """Wherever a copy is cut off, another one goes on."""

    def test_at_every_write(self) -> None:
        self.fill()
        ended = 0
        for left in range(100):
            copying = self.copying(target=cast(IImportTarget, Interrupted(self.target, left)))
            work = copying.run_pass()
            ended = left
            if isinstance(work.result, type(None)):
                break
            self.failureResultOf(work, Cut)
            if left % 2:
                self.append(b"meanwhile")
        self.assertGreater(ended, 2)
        self.finish()
        self.check_alike()

    def test_a_store_that_does_not_answer_is_asked_again(self) -> None:
        self.append(b"one")
        silent = 3

        def keep(queue: Queue, messages: Sequence[Message]) -> Deferred[None]:
            nonlocal silent
            if silent:
                silent -= 1
                return fail(Unavailable("Nobody is there."))
            return self.target.keep(queue, messages)

        copying = self.copying(target=cast(IImportTarget, Forgetful(self.target, keep=keep)))
        self.result(copying.run_pass())
        self.assertEqual(self.slept, list(WAITS[:3]))
        self.assertEqual(copying.tally.messages, 1)

    def test_in_the_end_it_is_given_up(self) -> None:
        self.append(b"one")
        gone = cast(IImportTarget, Interrupted(self.target, 0, lambda: Unavailable("Nobody is there.")))
        copying = self.copying(target=gone)
        self.failureResultOf(copying.run_pass(), Unavailable)
        self.assertEqual(self.slept, list(WAITS))

    def test_what_the_target_can_never_have_is_told_at_once(self) -> None:
        self.append(b"one")
        full = cast(IImportTarget, Interrupted(self.target, 1, lambda: StorageFull("It is full.")))
        self.failureResultOf(self.copying(target=full).run_pass(), StorageFull)
        self.assertEqual(self.slept, [])

    def test_the_message_that_the_target_can_never_have_is_named(self) -> None:
        """What is too much together only is written one by one."""
        ids = self.append(b"one", b"large", b"two")
        allowed = 1

        def keep(queue: Queue, messages: Sequence[Message]) -> Deferred[None]:
            if len(messages) > allowed or b"large" in bodies(messages):
                return fail(BodyTooLarge("It is too large."))
            return self.target.keep(queue, messages)

        copying = self.copying(target=cast(IImportTarget, Forgetful(self.target, keep=keep)))
        text = str(self.failureResultOf(copying.run_pass(), InvalidUpdate).value)
        self.assertIn(f'the message {ids[1].hex()}-1 of the queue "queue" of app: It is too large.', text)
        self.result(self.store.remove(self.queue, [Address(1, ids[1])], Ack.MAJORITY))
        self.finish(copying)
        self.check_alike()


class MutantTests(CopyCase):
    """What the checks above find of copies that are not quite right."""

    def check_caught(self, source: Any = None, target: Any = None) -> None:
        copying = self.copying(source, target)
        self.result(copying.run_pass())
        with self.assertRaises(self.failureException):
            self.seal()
            done = copying.complete(NAME)
            if isinstance(done.result, int):
                self.check_alike()
            else:
                self.failureResultOf(done, InvalidUpdate)
                self.fail("it says itself that it does not become like its source")

    def test_remaining_time_is_forgotten(self) -> None:
        self.append(b"one")

        def keep(queue: Queue, messages: Sequence[Message]) -> Deferred[None]:
            later = [evolve(one, expires=Ticks(one.expires + 60 * SECOND)) for one in messages]
            return self.target.keep(queue, later)

        self.check_caught(target=Forgetful(self.target, keep=keep))

    def test_states_of_groups_are_forgotten(self) -> None:
        self.fill()

        def state_keys(rest: str | None, limit: int) -> Deferred[ExportPage[tuple[str, str]]]:
            return succeed(ExportPage((), None))

        self.check_caught(source=Forgetful(self.source, state_keys=state_keys))

    def test_deletes_are_forgotten(self) -> None:
        first, _ = self.append(b"one", b"two")
        self.run_pass()
        self.result(self.store.remove(self.queue, [Address(1, first)], Ack.MAJORITY))

        def heads(queue: Queue, partition: int, start: MessageId, limit: int) -> Deferred[Heads]:
            return succeed(Heads((), None))

        self.check_caught(target=Forgetful(self.target, heads=heads))

    def test_it_starts_from_scratch_under_new_ids(self) -> None:
        self.append(b"one")

        def keep(queue: Queue, messages: Sequence[Message]) -> Deferred[Any]:
            return self.filled.append(queue, [new(one.content.body) for one in messages], TERMS)

        self.check_caught(target=Forgetful(self.target, keep=keep))

    def test_answers_are_forgotten(self) -> None:
        self.fill()
        self.check_caught(target=Forgetful(self.target, keep_answers=lambda answers: succeed(0)))
