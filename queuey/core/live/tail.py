"""The end of a source, where streams wait together: one look serves all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from queuey.core.live.source import LivePage, Place, Source, Watch
from queuey.errors import QueueyError, Unavailable
from queuey.model.fields import LIMIT
from queuey.model.timeid import Ticks

if TYPE_CHECKING:
    from queuey.core.live.reads import LiveReads
    from queuey.core.live.stream import LiveStream

MAX_PAGE: Final = 64 * 1024
"""Bytes of bodies that are read at once for all streams at the end."""

_EARLIER: Final = 0.8
"""The part of a heartbeat after which to look anyway, so that the next heartbeat has a current place."""

AT_ONCE: Final = 100
"""Streams that are served in one turn of the reactor: there may be ten thousand, and others wait meanwhile."""


class Tail:
    """The streams that have reached the end of a source.

    A look reads the source once, and its page is rendered once for each format. A stream that does not read its part
    leaves the tail, and reads the log by itself until it is back at the end.

    :ivar place: up to where the source was read for all streams here.
    :ivar seen: when the look began that found the place to be the end; 0 if none has.
    """

    __slots__ = ("_cursor", "_looking", "_reads", "_streams", "_users", "_watch", "_woken", "place", "seen", "source")

    def __init__(self, reads: LiveReads, source: Source) -> None:
        self.source = source
        self.place: Place = None
        self.seen = Ticks(0)
        self._reads = reads
        self._streams: dict[LiveStream, None] = {}
        self._users = 0
        self._watch: Watch | None = None
        self._looking: Deferred[Any] | None = None
        self._woken = False
        self._cursor: tuple[Place, str] | None = None

    def use(self) -> None:
        """Count one more stream that reads the source, at any place."""
        self._users += 1

    def release(self) -> None:
        """Count one stream less."""
        self._users -= 1
        if not self._users:
            self._reads.forget(self)

    def cursor_of(self, place: Place) -> str:
        """Return the text of a place; as a rule all streams here have the same one."""
        if self._cursor is None or self._cursor[0] is not place:
            self._cursor = place, self.source.cursor(place)
        return self._cursor[1]

    def join(self, stream: LiveStream) -> bool:
        """Let a stream wait here.

        :return: whether it may: it may not if the others were sent more events than it has.
        """
        if self._streams and stream.place < self.place:
            return False
        self._streams[stream] = None
        if self._watch is None:
            self.place, self.seen = stream.place, stream.seen
            self._watch = self.source.watch(_EARLIER * self._reads.heartbeat)
            # Once more, since something may have come before the wait began.
            self._look()
        return True

    def leave(self, stream: LiveStream) -> None:
        """Let a stream go its own way."""
        self._streams.pop(stream, None)
        if not self._streams and self._watch is not None:
            watch, self._watch = self._watch, None
            watch.leave()
            if self._looking is not None:
                self._looking.cancel()

    def _await(self, waiting: Deferred[Any], go_on: Callable[[Any, Watch], None]) -> None:
        """Wait for the next step; after the last stream has left, the steps that were begun lead nowhere."""
        watch = self._watch
        if watch is not None:
            self._looking = waiting
            waiting.addCallback(go_on, watch).addErrback(self._failed, watch)

    def _look(self) -> None:
        if self._watch is not None:
            self._await(
                self.source.read(self.place, LIMIT.default, MAX_PAGE, resumed=True, seen=self.seen), self._looked
            )

    def _looked(self, page: LivePage, watch: Watch) -> None:
        """Serve all streams with what a look has found, a few in each turn of the reactor."""
        if watch is not self._watch:
            return
        self.place, self.seen = page.place, page.began if page.at_end else Ticks(0)
        self._serve(page, list(self._streams), {}, watch)

    def _serve(self, page: LivePage, left: list[LiveStream], rendered: dict[object, bytes], watch: Watch) -> None:
        some, left = left[:AT_ONCE], left[AT_ONCE:]
        for stream in some:
            if stream in self._streams:
                try:
                    stream.take(page, rendered)
                except Exception:  # a defect that one stream meets is not met by the others
                    stream.refuse(self._reads.defect(Failure()))
        if watch is not self._watch:
            return
        if left:
            self._await(self._reads.turns.next(), lambda _, watch: self._serve(page, left, rendered, watch))
        elif not page.at_end:
            self._await(self._reads.turns.next(), lambda _, watch: self._look())
        elif not self._reads.ending:
            self._wait(rest=self._woken and not page.messages)

    def _wait(self, *, rest: bool) -> None:
        """Wait until there may be a message.

        :param rest: whether the last look found no message, which may happen again and again.
        """
        if self._watch is None:
            return

        def heard(come: bool, watch: Watch) -> None:
            if watch is not self._watch or self._reads.ending:
                return
            self._woken = come
            if come and rest:
                self._await(watch.rest(), lambda _, watch: self._look())
            else:
                self._look()

        self._await(self._watch.arrival(self.place), heard)

    def _failed(self, failure: Failure, watch: Watch) -> None:
        """Go on later if the store does not answer now; end the streams if there is no such source any more."""
        if watch is not self._watch or failure.check(CancelledError):
            return
        if failure.check(Unavailable):
            self._await(self._reads.pause(), lambda _, watch: self._look())
            return
        error = failure.value
        known = error if isinstance(error, QueueyError) else self._reads.defect(failure)
        for stream in list(self._streams):
            stream.refuse(known)
