"""Streams of live reads at the end of a source: what they share, and what one of them has read before."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.core.live.reads import LiveReads, LiveTimes
from queuey.core.live.source import Event, LivePage, Place, Source
from queuey.core.live.stream import LiveStream
from queuey.errors import QueueyError
from queuey.model.applications.policy import Policy
from queuey.model.messages.message import Content, Message
from queuey.model.timeid import Ticks

TIMES = LiveTimes(live_time=600, heartbeat=15, stalled=75)


class FakeSource:
    """A log of numbers; the place after a number is the number.

    :ivar log: what is in it; ``closed``: whether nothing more comes.
    :ivar reads: from where it was read, in the order of the reads.
    :ivar held: while it is a list, the looks of the tail wait in it.
    """

    key: Hashable = "log"

    def __init__(self) -> None:
        self.log: list[int] = []
        self.closed = False
        self.reads: list[int] = []
        self.held: list[Deferred[None]] | None = None
        self.watches: list[FakeWatch] = []

    def read(self, place: Place, limit: int, max_bytes: int, *, resumed: bool, seen: Ticks) -> Deferred[LivePage]:
        self.reads.append(place)
        page = self._page(place, limit)
        if self.held is None:
            return succeed(page)
        waiting: Deferred[None] = Deferred()
        self.held.append(waiting)
        return waiting.addCallback(lambda _: page)

    def _page(self, place: int, limit: int) -> LivePage:
        found = [number for number in self.log if number > place]
        numbers, over = found[:limit], len(found) <= limit
        ids: list[Any] = numbers
        messages = [Message(1, each, Content(b"x"), Ticks(0)) for each in ids]
        end = numbers[-1] if numbers else place
        return LivePage(
            place, end, messages, numbers, len(numbers), over, Ticks(0), "v", Ticks(1), closed=over and self.closed
        )

    def append(self, *numbers: int) -> None:
        self.log += numbers
        for watch in self.watches:
            watch.arrive()

    def release(self) -> None:
        """Let the looks that wait have their pages."""
        held, self.held = self.held or [], None
        for waiting in held:
            waiting.callback(None)

    def watch(self, seconds: float) -> FakeWatch:
        self.watches.append(FakeWatch(self))
        return self.watches[-1]

    def time(self, place: Place) -> Ticks:
        return Ticks(place)

    def cursor(self, place: Place) -> str:
        return str(place)

    def close(self) -> None:
        """Nothing is kept for it."""


class FakeWatch:
    """A wait for numbers."""

    def __init__(self, source: FakeSource) -> None:
        self._source = source
        self._come = False
        self._waiting: Deferred[bool] | None = None

    def arrive(self) -> None:
        self._come = True
        self._fire()

    def arrival(self, place: Place) -> Deferred[bool]:
        waiting = self._waiting = Deferred()
        self._fire()
        return waiting

    def _fire(self) -> None:
        if self._come and self._waiting is not None:
            waiting, self._waiting, self._come = self._waiting, None, False
            waiting.callback(True)

    def rest(self) -> Deferred[None]:
        return succeed(None)

    def leave(self) -> None:
        self._source.watches.remove(self)


class FakeFormat:
    """Writes words."""

    kind = "words"

    def begin(self, retry: int, cursor: str) -> bytes:
        return b""

    def event(self, event: Event, cursor: str) -> bytes:
        return event.name.encode()

    def page(self, source: Source, page: LivePage) -> bytes:
        return b"".join([b"%d " % place for place in page.places])

    def caught_up(self, stable: Ticks, cursor: str) -> bytes:
        return b""

    def closed(self, cursor: str) -> bytes:
        return b"closed "

    def beat(self, cursor: str, *, moved: bool) -> bytes:
        return b""

    def problem(self, error: QueueyError, instance: str) -> bytes:
        return b"problem "

    def end(self, retry: int) -> bytes:
        return b"end "


class FakeClient:
    """Takes everything, or nothing while ``full`` is a Deferred."""

    request_id = "id"

    def __init__(self) -> None:
        self.text = ""
        self.full: Deferred[None] | None = None
        self.finished = False

    def send(self, data: bytes) -> Deferred[None]:
        self.text += data.decode("ascii")
        return succeed(None) if self.full is None else self.full

    def finish(self) -> None:
        self.finished = True

    def count_messages(self, number: int, size: int, names: Sequence[str] | None = None) -> None:
        pass


class FakeGuard:
    """Lets everybody read."""

    def check(self) -> Deferred[None]:
        return succeed(None)

    def until(self) -> float | None:
        return None

    def release(self) -> None:
        pass


class TailTests(SynchronousTestCase):
    """One look for all streams at the end."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.source = FakeSource()
        self.failures: list[Any] = []
        self.reads = LiveReads(self.clock, lambda: TIMES, lambda least, most: least, self.failures.append)
        self.format = FakeFormat()

    def tearDown(self) -> None:
        self.assertEqual(self.failures, [])
        for stream in self.reads.streams:
            stream.cancel()
        self.assertEqual((len(self.reads), self.source.watches, self.clock.getDelayedCalls()), (0, [], []))

    def follow(self, place: int = 0, limits: tuple[int, int] = (100, 1000)) -> tuple[LiveStream, FakeClient]:
        client = FakeClient()
        self.reads.limits.enter(Policy("app", 1000), "q")
        stream = LiveStream(
            self.reads, self.reads.tail(self.source), client, self.format, FakeGuard(), place, "v", limits,
            ("app", "q"), resumed=True, stops=False,
        )  # fmt: skip
        stream.begin(None)
        return stream, client

    def turn(self) -> None:
        self.clock.pump([0.0] * 6)

    def joined_ahead(self) -> tuple[FakeClient, FakeClient]:
        """A stream at the end, and another that has read 1 and 2 while the look of the first one is under way."""
        _, first = self.follow()
        self.turn()
        self.source.held = []
        self.source.append(1, 2)
        self.turn()
        held, self.source.held = self.source.held, None
        _, second = self.follow()
        self.turn()
        self.assertEqual((first.text, second.text), ("", "1 2 "))
        self.source.held = held
        return first, second

    def test_ahead_of_the_tail(self) -> None:
        """What a stream has read before it came is not sent again."""
        first, second = self.joined_ahead()
        self.source.release()
        self.turn()
        self.assertEqual((first.text, second.text), ("1 2 ", "1 2 "))
        self.source.append(3)
        self.turn()
        self.assertEqual((first.text, second.text), ("1 2 3 ", "1 2 3 "))

    def test_ahead_of_the_end_of_a_closed_log(self) -> None:
        """The reader learns at once that nothing more comes."""
        self.source.closed = True
        first, second = self.follow()[1], self.follow()[1]
        self.turn()
        self.assertEqual((first.text, second.text), ("closed ", "closed "))
        self.source.closed = False
        first, second = self.joined_ahead()
        self.source.release()
        self.source.closed = True
        self.source.append(3)
        self.turn()
        self.assertEqual((first.text, second.text), ("1 2 3 closed ", "1 2 3 closed "))

    def test_closed_behind_a_stream_that_is_ahead(self) -> None:
        """The page of the others is the last one, and has nothing for it; it hears of the end nevertheless."""
        _, first = self.follow()
        self.turn()
        self.source.log.append(1)
        _, second = self.follow()
        self.turn()
        self.source.closed = True
        self.source.append()
        self.turn()
        self.assertEqual((first.text, second.text), ("1 closed ", "1 closed "))
        self.assertTrue(first.finished and second.finished)

    def test_half_of_a_page(self) -> None:
        """A stream that has read the first half of a page reads on by itself, and then waits with the others again."""
        _, first = self.follow()
        self.turn()
        self.source.log.append(1)
        _, second = self.follow()
        self.turn()
        self.assertEqual((first.text, second.text), ("", "1 "))
        self.source.append(2)
        self.turn()
        self.assertEqual((first.text, second.text), ("1 2 ", "1 2 "))
        self.source.reads.clear()
        self.source.append(3)
        self.turn()
        self.assertEqual((first.text, second.text), ("1 2 3 ", "1 2 3 "))
        self.assertEqual(self.source.reads, [2])

    def test_page_behind_the_place(self) -> None:
        """A page that begins behind what a stream has read is for it as for all others."""
        _, first = self.follow()
        self.turn()
        self.source.log.append(1)
        _, second = self.follow()
        self.turn()
        self.source.log.clear()
        self.source.reads.clear()
        self.source.append(2)
        self.turn()
        self.assertEqual((first.text, second.text), ("2 ", "1 2 "))
        self.assertEqual(self.source.reads, [0])

    def test_stalled_client(self) -> None:
        """A client that takes nothing leaves the others, and reads on from its place when it takes more."""
        _, first = self.follow()
        stream, second = self.follow()
        self.turn()
        second.full = Deferred()
        for number in range(1, 6):
            self.source.append(number)
            self.turn()
        self.assertEqual((first.text, second.text), ("1 2 3 4 5 ", "1 "))
        self.clock.advance(3)
        self.assertEqual(stream.blocked_for, 3)
        full, second.full = second.full, None
        full.callback(None)
        self.turn()
        self.assertEqual(second.text, "1 2 3 4 5 ")
        self.source.append(6)
        self.turn()
        self.assertEqual((first.text[-2:], second.text[-2:]), ("6 ", "6 "))

    def test_small_turns(self) -> None:
        """A stream whose turns are smaller than a page of the others reads it in turns of its own."""
        _, first = self.follow()
        _, second = self.follow(limits=(2, 1000))
        _, third = self.follow(limits=(100, 3))
        self.turn()
        self.source.reads.clear()
        self.source.append(1, 2, 3, 4, 5)
        self.turn()
        for client in (first, second, third):
            self.assertEqual(client.text, "1 2 3 4 5 ")
        self.assertGreater(len(self.source.reads), 2)
