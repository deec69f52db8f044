"""Producers whose every step may fail, be late, be unknown or be the last: no message is shown twice or lost.

First one fault at a time, at each step of a call, of what takes it over, and of a reader; then many in random worlds.
``QUEUEY_LONG=1`` tries every pair of faults, and runs many more worlds.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import count, product
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Unavailable
from queuey.model.messages.producer import PATIENCE
from queuey.model.stable_time.stamps import Flight, Place
from queuey.model.timeid import MessageId, upper_bound
from queuey.storage.cassandra.messages.producers import LIMIT
from tests.storage.cassandra.messages.once_parts import BATCH, Asked, FrontEnd, PeerTimes
from tests.storage.cassandra.messages.once_world import OnceWorld

LONG = bool(os.environ.get("QUEUEY_LONG"))
WORLDS = 5000 if LONG else 20
STEPS = 250

LENGTH: Final = 9
"""Statements of a call of which none fails: it reserves the key, registers the bucket of the long class, writes to
three buckets, commits, and flags what it wrote there."""

LATE: Final = 3.0
"""Seconds after which a write is too late for readers."""

GIVEN_UP: Final = max(PATIENCE, LIMIT) + 1
"""Seconds after which nobody waits for a call."""

FATES: Final = ("refused", "lost", "lingers", "unheard", "denied", "late", "given up", "dies before", "dies after")
"""What may become of a statement. It is known that it was not done; nobody knows, and it was not done, or is done some
time later, or was done; it was done, and is said to be refused; it takes long, or very long; its process ends before it
was done, or after."""


BESIDES: Final = ("", *FATES[:5])
"""What may become of a reader's statement that a writer has come before."""


class Course:
    """One front end whose statements meet some fates, and another one whose reader looks on.

    :param fates: by the numbers of statements; others go well.
    :ivar number: how many statements there were.
    """

    def __init__(self, fates: Mapping[int, str], make_times: Callable[..., PeerTimes] = PeerTimes) -> None:
        self.world = OnceWorld(0, make_times)
        self.front, self.other = self.world.fronts
        self.other.session.free = True
        self.fates = fates
        self.number = 0
        self.looks = True

    def begin_anew(self, fates: Mapping[int, str]) -> None:
        """Another process takes the place of the front end; its statements meet other fates."""
        self.front = self.world.fronts[0] = self.world.front()
        self.fates, self.number = fates, 0

    def call(self) -> None:
        """Ask the front end to store the batch, and let that come to its end."""
        self.world.begin_keyed(self.front)
        self.drive()

    def read(self, before: Callable[[], None] = lambda: None) -> None:
        """Let the first reader ask the front end for a page, and let that come to its end.

        :param before: is called before a statement meets its fate.
        """
        self.world.begin_page(self.world.readers[0], self.front, 100)
        self.drive(before)

    def drive(self, before: Callable[[], None] = lambda: None) -> None:
        """Let what the front end asks meet its fate, one statement after the other."""
        held = self.front.session.held
        while held and not self.front.dead:
            if self.number in self.fates:
                before()
            self.number += 1
            self.meet(held.pop(0), self.fates.get(self.number - 1, ""))
            self.pass_time(0.01)

    def go_on(self, front: FrontEnd, steps: int) -> None:
        """Let so many statements of a front end go well."""
        for _ in range(steps):
            if front.session.held:
                front.session.held.pop(0).served()

    def meet(self, asked: Asked, fate: str) -> None:
        """Let a statement meet its fate."""
        if fate == "refused":
            asked.refused()
        elif fate in ("lost", "lingers"):
            asked.lost()
            self.world.limbo += [asked] if fate == "lingers" else []
        elif fate == "unheard":
            asked.unheard()
        elif fate == "denied":
            asked.denied()
        elif fate in ("dies before", "dies after"):
            self.front.dead = True
            if fate == "dies after":
                asked.run()
        else:
            self.pass_time(*{"late": (LATE,), "given up": (LATE, GIVEN_UP)}.get(fate, ()))
            asked.served()

    def pass_time(self, *seconds: float) -> None:
        """Let time pass, again and again; the reader looks on after each."""
        for some in seconds:
            self.world.advance(some)
            self.look()

    def look(self) -> None:
        """Let the reader read on."""
        if self.looks:
            self.world.begin_page(self.world.readers[0], self.other, 100)

    def settle(self) -> None:
        """What was lost is done after all, and all who wait wait long enough."""
        limbo, self.world.limbo = self.world.limbo, []
        for asked in limbo:
            asked.run().addErrback(lambda failure: None)
        self.looks = True
        self.pass_time(LATE, GIVEN_UP)
        self.look_all()

    def look_all(self) -> None:
        """Let all readers read on."""
        for reader in self.world.readers:
            self.world.begin_page(reader, self.other, 100)

    def shown(self) -> int:
        """How many messages of the batch all readers were shown."""
        first, second = self.world.readers
        assert first.keyed == second.keyed, (first.keyed, second.keyed)
        return len(first.keyed)

    def finish(self) -> str:
        """The client asks again, of the other front end, until it is answered; what is broken then."""
        self.world.repeat(self.other)
        self.world.advance(LATE)
        self.look_all()
        return self.world.broken()


SHARE: Final = 1 if LONG else 5
"""The tests try one of ``SHARE`` pairs of faults. Which one differs from first fault to first fault, so that in five of
them every fate of the second fault is tried."""


def later(number: int, turn: int = 0, share: int = 1) -> Iterator[dict[int, str]]:
    """Each fate of each statement from this one on, without an end.

    :param turn: where to begin if only a share is tried.
    :param share: one of this number of fates is tried.
    """
    for place in count(number):
        yield from ({place: fate} for which, fate in enumerate(FATES) if (which + place + turn) % share == 0)


class StepTests(SynchronousTestCase):
    """A fault at one step; the client asks another front end then."""

    def faults(self) -> Iterator[dict[int, str]]:
        """Each fault of a call, and each two, of which the second is at the next statement, or anywhere."""
        for turn, first in enumerate(later(0)):
            (number,) = first
            if number == LENGTH:
                return
            yield first
            for second in later(number + 1, turn, SHARE):
                if number + (LENGTH if LONG else 2) in second:
                    break
                yield first | second

    def test_none(self) -> None:
        course = Course({})
        course.call()
        self.assertEqual(course.number, LENGTH)
        self.assertEqual([answer.duplicate for answer in course.world.answered[0]], [False])
        course.settle()
        self.assertEqual((course.shown(), course.finish()), (len(BATCH), ""))

    def test_a_call(self) -> None:
        told: Counter[str] = Counter()
        for fates in self.faults():
            course = Course(fates)
            course.call()
            outcome = self.outcome(course)
            told[outcome] += 1
            course.settle()
            wanted = {"answered": (len(BATCH),), "no": (0,)}.get(outcome, (0, len(BATCH)))
            self.assertIn(course.shown(), wanted, fates)
            self.assertEqual(course.finish(), "", fates)
        self.assertGreater(min(told[word] for word in ("answered", "no", "unknown", "")), 3, told)

    def outcome(self, course: Course) -> str:
        """The client's answer: none, that it is stored, or whether it may be."""
        answered, failed = course.world.answered[0], course.world.failed
        self.assertLessEqual(len(answered) + len(failed), 1)
        if not failed:
            self.assertTrue(answered or course.front.dead)
            return "answered" if answered else ""
        (error,) = failed
        assert isinstance(error, Unavailable)
        return error.applied

    def test_what_takes_it_over(self) -> None:
        """A process died at some step, and the one that takes its key over has a fault at one of its own."""
        for died in range(LENGTH):
            for fates in later(0, died, SHARE):
                course = Course({died: "dies after"})
                course.call()
                course.pass_time(GIVEN_UP)
                course.begin_anew(fates)
                course.call()
                if course.number <= min(fates):
                    break
                course.settle()
                self.assertIn(course.shown(), (0, len(BATCH)), (died, fates))
                self.assertEqual(course.finish(), "", (died, fates))

    def test_a_reader(self) -> None:
        """A process died at some step; a reader that comes upon what it left has a fault at one of its own."""
        asked: Counter[int] = Counter()
        for died in range(LENGTH):
            for fates in later(0, died, SHARE):
                course = Course({died: "dies after"})
                course.looks = False
                course.call()
                course.begin_anew(fates)
                for seconds in (LATE, GIVEN_UP):
                    course.world.advance(seconds)
                    course.read()
                if course.number <= min(fates):
                    break
                asked[died] = course.number
                course.settle()
                self.assertIn(course.shown(), (0, len(BATCH)), (died, fates))
                self.assertEqual(course.finish(), "", (died, fates))
        self.assertGreater(asked[LENGTH - 2], asked[0])

    def test_a_reader_whom_the_writer_comes_before(self) -> None:
        """A process stands still for so long that a reader ends its attempt, and goes on just before one of the
        reader's steps, which may fail besides."""
        for stopped, steps, first in product(range(1, LENGTH), (1, LENGTH), range(len(BESIDES) if LONG else 1)):
            for number in count():
                # Each step meets each fate in a long run. Else it meets one, another one than the step before.
                fate = BESIDES[(first + stopped + steps + number) % len(BESIDES)]
                course = Course({})
                if not self.meet_a_reader(course, stopped, steps, {number: fate}):
                    break
                what = (stopped, steps, number, fate)
                course.settle()
                self.assertIn(course.shown(), (0, len(BATCH)), what)
                self.assertEqual(course.finish(), "", what)

    def meet_a_reader(self, course: Course, stopped: int, steps: int, fates: Mapping[int, str]) -> bool:
        """Let that happen; whether the reader has as many steps.

        :param stopped: statements after which the process stands still.
        :param steps: statements that it goes on by.
        """
        world, writer = course.world, course.front
        course.looks = False
        world.begin_keyed(writer)
        course.go_on(writer, stopped)
        course.begin_anew(fates)
        for seconds in (LATE, GIVEN_UP):
            world.advance(seconds)
            course.read(lambda: course.go_on(writer, steps))
        course.go_on(writer, 3 * LENGTH)
        return course.number > min(fates)


def run(seed: int, make_times: Callable[..., PeerTimes] = PeerTimes) -> OnceWorld:
    """One world from its beginning to its end."""
    world = OnceWorld(seed, make_times)
    for _ in range(STEPS):
        world.step()
    world.settle()
    return world


class Unchecked(PeerTimes):
    """However late a write was acknowledged, it is committed."""

    def landed(self, flight: Flight) -> None:
        try:
            super().landed(flight)
        except Unavailable:
            return


class Unsettled(PeerTimes):
    """Readers do not wait for writes that are under way."""

    def stable(self, place: Place, slow: bool = False, weak: bool = False) -> MessageId:
        return upper_bound(self.now())


class MutantTests(SynchronousTestCase):
    """What the courses find where a rule is broken."""

    def broken(self, make_times: Callable[..., PeerTimes]) -> set[str]:
        found: set[str] = set()
        for first in range(LENGTH):
            for fate in FATES:
                course = Course({first: fate}, make_times)
                course.call()
                course.settle()
                found.add(course.finish().partition(":")[0])
        return found - {""}

    def test_a_write_whose_lateness_is_not_checked_is_passed_over(self) -> None:
        self.assertEqual(self.broken(Unchecked), {"passed over"})

    def test_readers_that_do_not_wait_pass_over(self) -> None:
        self.assertEqual(self.broken(Unsettled), {"passed over"})


class WorldTests(SynchronousTestCase):
    def test_nothing_is_seen_twice_or_lost(self) -> None:
        seen: Counter[Any] = Counter()
        for seed in range(WORLDS):
            world = run(seed)
            self.assertEqual(world.broken(), "", seed)
            seen["answers"] += sum(map(len, world.answered))
            seen["failures"] += len(world.failed)
            seen["repeats"] += sum(answer.duplicate for answers in world.answered for answer in answers)
        for what in ("answers", "failures", "repeats"):
            self.assertGreater(seen[what], WORLDS, seen)
