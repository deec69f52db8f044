"""What ``queuey bench`` does in one process: requests of many threads, and how long each took."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from queuey_client.cli.settings import Settings
from queuey_client.core.encoding import new_key
from queuey_client.core.errors import QueueyError
from queuey_client.sync.queue import Queue

BATCH = 100
"""Messages of a batch, a page and a claim."""

STREAM = 1000
"""Messages of one stream."""

GROUP = "bench"
LONGEST_WAIT = 10.0
"""Seconds for a message to reach a reader."""

MAX_TIMES = 100_000
"""Durations that are kept for percentiles. If there are more, every second one is kept, then every fourth ..."""

Step = Callable[[], int]


@dataclass(frozen=True)
class Plan:
    """What a process does.

    :ivar clients: threads, each with a connection.
    :ivar rate: requests a second; ``None`` is as many as possible.
    :ivar keys: whether each request has an Idempotency-Key.
    """

    kind: str
    queue: str
    body: bytes
    clients: int
    seconds: float
    rate: float | None
    keys: bool


@dataclass
class Outcome:
    """What a process did.

    :ivar messages: that were stored, read, or claimed and acked.
    :ivar stored: messages that the server acknowledged.
    :ivar times: when requests began, and how many seconds they took.
    :ivar failure: the error that ended it.
    """

    requests: int = 0
    messages: int = 0
    stored: int = 0
    errors: int = 0
    seconds: float = 0.0
    times: list[tuple[float, float]] = field(default_factory=list)
    failure: str | None = None


def run_in_process(environment: Mapping[str, str], given: Mapping[str, Any], plan: Plan) -> Outcome:
    """Run a plan with a client of its own; for a process that was started for it."""
    settings = Settings(environment)
    settings.connections = plan.clients
    for name, value in given.items():
        settings.give(name, value)
    try:
        return Load(settings.client.queue(plan.queue), plan).run()
    finally:
        settings.close()


class Load:
    """The threads of one process."""

    def __init__(self, queue: Queue, plan: Plan) -> None:
        self._queue = queue
        self._plan = plan
        self._lock = threading.Lock()
        self._every = 1
        self._numbers = itertools.count()
        self._outcome = Outcome()

    def run(self, on_wait: Callable[[float], None] = lambda seconds: None) -> Outcome:
        """Run it.

        :param on_wait: is called every now and then with the seconds that have passed.
        """
        began = time.monotonic()
        threads = [
            threading.Thread(target=self._work, args=(self._step_of(number), began), daemon=True)
            for number in range(self._plan.clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
                on_wait(time.monotonic() - began)
        self._outcome.seconds = time.monotonic() - began
        return self._outcome

    def _step_of(self, number: int) -> Step:
        kind = ("post", "read", "claim")[number % 3] if self._plan.kind == "mixed" else self._plan.kind
        made: Callable[[], Step] = getattr(self, f"_{kind}")
        return made()

    def _work(self, step: Step, began: float) -> None:
        outcome = self._outcome
        while outcome.failure is None:
            asked = self._next(began)
            if asked - began >= self._plan.seconds:
                return
            try:
                count = step()
            except QueueyError as error:
                with self._lock:
                    outcome.errors += 1
                    if not error.retryable:
                        outcome.failure = f"{error.detail} ({error.code})"
                continue
            self._finished(count, asked - began, time.monotonic() - asked)

    def _next(self, began: float) -> float:
        """Wait until the next request is due. :return: when that is, from which its duration is measured.

        With a rate, a request that has to wait for a free client is measured from the time when it was due: otherwise
        a slow server would be asked less often, and would look quicker than it is.
        """
        if self._plan.rate is None:
            return time.monotonic()
        with self._lock:
            due = began + next(self._numbers) / self._plan.rate
        time.sleep(max(0.0, min(due, began + self._plan.seconds) - time.monotonic()))
        return due

    def _finished(self, count: int, began: float, took: float) -> None:
        outcome = self._outcome
        with self._lock:
            outcome.requests += 1
            outcome.messages += count
            if outcome.requests % self._every == 0:
                outcome.times.append((began, took))
            if len(outcome.times) >= MAX_TIMES:
                outcome.times, self._every = outcome.times[::2], self._every * 2

    def _stored(self, count: int) -> int:
        with self._lock:
            self._outcome.stored += count
        return count

    def _key(self) -> str:
        return new_key() if self._plan.keys else ""

    # One request of each kind. A step returns how many messages it was about.

    def _post(self) -> Step:
        return lambda: self._stored(len(self._queue.post(self._plan.body, idempotency_key=self._key()).ids))

    def _batch(self) -> Step:
        bodies = [self._plan.body] * BATCH
        return lambda: self._stored(len(self._queue.post_all(bodies, idempotency_key=self._key()).ids))

    def _stream(self) -> Step:
        def step() -> int:
            with self._queue.writer() as writer:
                for _ in range(STREAM):
                    writer.post(self._plan.body)
            return self._stored(writer.stored)

        return step

    def _read(self) -> Step:
        place: list[str | None] = [None]

        def step() -> int:
            page = self._queue.read(after=place[0], limit=BATCH)
            place[0] = page.next if page.more else None
            return len(page.messages)

        return step

    def _claim(self) -> Step:
        group = self._queue.group(GROUP)

        def step() -> int:
            found = group.claim(BATCH, wait=0)
            if found:
                group.ack(*found)
            return len(found)

        return step

    def _latency(self) -> Step:
        """Post a message, and wait until a reader gets it. Each client reads what all of them post."""
        place: list[str | None] = [None]

        def step() -> int:
            if place[0] is None:
                place[0] = next((each.place for each in self._queue.read(order="desc", limit=1).messages), None)
            stored = self._queue.post(self._plan.body, idempotency_key=self._key())
            self._stored(1)
            until = time.monotonic() + LONGEST_WAIT
            while time.monotonic() < until:
                page = self._queue.read(after=place[0], wait=1, limit=1000)
                place[0] = page.next
                if any(message.id == stored.id for message in page.messages):
                    break
            return 1

        return step
