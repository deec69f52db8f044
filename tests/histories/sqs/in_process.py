"""A history within one process: the store in memory, a clock of its own, and answers that are lost at random."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, Final

from tests.histories.sqs.clients import MAX_VISIBILITY, Producer, RefusedError, UnansweredError, Worker
from tests.histories.sqs.record import History
from tests.http.sqs.support import SqsTestCase

STEPS: Final = 250
PRODUCERS: Final = 2
WORKERS: Final = 3
GROUPS: Final = ("A", "B", "C")
MAX_DRAINS: Final = 150


class InProcessCase(SqsTestCase):
    """Runs histories."""

    def run_history(self, seed: int, steps: int = STEPS) -> History:
        """Run one from an empty queue to an empty queue."""
        ticks = 0

        def now() -> float:
            nonlocal ticks
            ticks += 1  # so that no two calls are at the same time
            return self.clock.seconds() + ticks / 1e6

        history = History(now)
        attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        url = self.made(f"q{seed}.fifo", **attributes)
        fates = Random(f"fates of {seed}")

        def ask(operation: str, members: Mapping[str, Any]) -> Mapping[str, Any]:
            fate = fates.random()
            if fate < 0.05:
                raise UnansweredError  # the request is lost
            response = self.raw(operation, members)
            if fate < 0.12 or response.status >= 500:
                raise UnansweredError
            if response.status != 200:
                raise RefusedError((response.header("x-amzn-query-error") or "").partition(";")[0])
            answer: Mapping[str, Any] = response.json
            return answer

        producers = [Producer(f"p{n}", ask, history, Random(f"p{n} of {seed}"), url, GROUPS) for n in range(PRODUCERS)]
        workers = [Worker(f"w{n}", ask, history, Random(f"w{n} of {seed}"), url) for n in range(WORKERS)]
        turns = Random(f"turns of {seed}")
        everyone: list[Producer | Worker] = [*producers, *workers]
        for _ in range(steps):
            turns.choice(everyone).step()
            self.clock.advance(turns.choice((0, 0, 0.1, 0.5, 1)))
        for producer in producers:
            while producer.open:
                producer.step()
        quiet = 0
        for _ in range(MAX_DRAINS):
            quiet = 0 if workers[0].drain() else quiet + 1
            self.clock.advance(MAX_VISIBILITY / 2)
            if quiet > 3:
                return history
        history.wrong.append("the queue does not become empty")
        return history
