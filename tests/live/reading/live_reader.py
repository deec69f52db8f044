"""A client of live reads that reconnects at the last place it got."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import attrs

from tests.live.clients import HEADERS, TIMEOUT

LINES: Final = "application/x-ndjson"
SSE: Final = "text/event-stream"
PAUSE: Final = 0.05
"""Seconds until it comes back, whatever the server asks for: the tests want many breaks in a short time."""


@attrs.define
class LiveReader:
    """Follows one queue of the application ``queuey``, or many, in a thread.

    :ivar queue: its name; if it is empty, ``query`` chooses the queues.
    :ivar media_type: the format that it asks for.
    :ivar query: of its first request; later ones have the place in ``Last-Event-ID``.
    :ivar seen: the bodies of the messages, in the order in which they came.
    :ivar place: the place after the last one; ``gaps``: the gaps that events reported.
    :ivar changes: the queues that events named, each with the change.
    :ivar whole: how many answers ended as they should, and ``cut`` how many broke off.
    :ivar statuses: what it was answered besides 200 and 204.
    :ivar closed: whether it got the event that nothing more comes.
    """

    port: int
    queue: str
    media_type: str = LINES
    query: str = "start=oldest"
    headers: dict[str, str] = attrs.Factory(lambda: dict(HEADERS))
    seen: list[str] = attrs.Factory(list)
    place: str | None = None
    gaps: list[Any] = attrs.Factory(list)
    changes: list[tuple[str, str]] = attrs.Factory(list)
    problems: list[Any] = attrs.Factory(list)
    whole: int = 0
    cut: int = 0
    statuses: list[int] = attrs.Factory(list)
    closed: bool = False
    stopped: threading.Event = attrs.Factory(threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> LiveReader:
        """Begin to follow."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def finish(self) -> LiveReader:
        """Come back no more, and wait for the end of the answer, which heartbeats bring about."""
        self.stopped.set()
        assert self._thread is not None
        self._thread.join(TIMEOUT + 5)
        assert not self._thread.is_alive()
        return self

    def wait_for(self, bodies: set[str], limit: float) -> None:
        """Wait until all of these have come."""
        deadline = time.monotonic() + limit
        while not bodies <= set(self.seen):
            if time.monotonic() > deadline:
                missing = sorted(bodies - set(self.seen))
                raise AssertionError(f"{len(missing)} messages are missing after {limit:.0f} s: {missing[:10]}")
            time.sleep(PAUSE)

    def _run(self) -> None:
        while not (self.stopped.is_set() or self.closed):
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)) as connection:
                try:
                    self._follow(connection)
                except ConnectionRefusedError:
                    """It is being restarted."""
                except (OSError, http.client.HTTPException):
                    self.cut += 1
            time.sleep(PAUSE)

    def _follow(self, connection: http.client.HTTPConnection) -> None:
        place = {} if self.place is None else {"Last-Event-ID": self.place}
        path = f"/queues/{self.queue}/events" if self.queue else "/events"
        connection.request(
            "GET", f"/v2/queuey{path}?{self.query}", None, {**self.headers, "Accept": self.media_type, **place}
        )
        answer = connection.getresponse()
        if answer.status != 200:
            answer.read()
            if answer.status == 204:
                self.closed = True
            else:
                self.statuses.append(answer.status)
            return
        take = self._take_line if self.media_type == LINES else self._take_event
        for block in _blocks(answer, b"\n" if self.media_type == LINES else b"\n\n"):
            take(block.decode("utf-8"))
            if self.stopped.is_set():
                return
        self.whole += 1

    def _take_line(self, line: str) -> None:
        found = json.loads(line)
        if "message" in found:
            self.seen.append(found["message"]["body"])
        self._note(found.get("gap"), found.get("problem"), found.get("queue"), closed="closed" in found)
        self.place = found.get("next", self.place)

    def _take_event(self, block: str) -> None:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        name, data = fields.get("event", "message"), fields.get("data")
        if data is not None:
            found = json.loads(data)
            if name == "message":
                self.seen.append(found["body"])
            gap, problem, change = (found if name == each else None for each in ("gap", "problem", "queue"))
            self._note(gap, problem, change, closed=name == "closed")
        self.place = fields.get("id", self.place)

    def _note(self, gap: Any, problem: Any, change: Any, *, closed: bool) -> None:
        if gap is not None:
            self.gaps.append(gap)
        if problem is not None:
            self.problems.append(problem)
        if change is not None:
            self.changes.append((change["queue"], change["change"]))
        self.closed = self.closed or closed


def _blocks(answer: http.client.HTTPResponse, end: bytes) -> Iterator[bytes]:
    """The blocks that have come whole; raises an error if the answer breaks off."""
    rest = b""
    while data := answer.read1(65536):
        *blocks, rest = (rest + data).split(end)
        yield from blocks
