"""Workers that claim fairly from several queues under load, and what must hold of the order in which these serve."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import attrs

from queuey_client import Client, Delivery, Draft, QueueyError
from tests.live.clients import KEY

GROUP: Final = "w"

MOST: Final = 60
"""Claims in a row by which a queue with messages may be passed over. Of three queues that are drawn at random, one is
passed over by so many with a probability of 3e-11."""


def starved(served: Sequence[str], queues: Collection[str], most: int = MOST) -> list[str]:
    """Return the queues that were passed over too often in a row.

    :param served: the queues that served claims, one after another, while each of them had messages.
    """
    found, waited = set[str](), dict.fromkeys(queues, 0)
    for queue in served:
        for name in waited:
            waited[name] = 0 if name == queue else waited[name] + 1
        found |= {name for name, number in waited.items() if number > most}
    return sorted(found)


@attrs.define
class Shift:
    """Workers that claim from some queues until these are empty.

    :ivar urls: of the servers, in the order in which the workers take them.
    :ivar filled: how many messages each queue has at first.
    :ivar slack: seconds by which a lease may begin later than its end and its length say.
    :ivar claims: the queue and the bodies of each claim that was served, in the order in which they were answered.
    :ivar acked: bodies of messages whose ack was answered.
    """

    urls: Sequence[str]
    queues: Sequence[str]
    filled: int
    lease: int
    order: str = "fair"
    slack: float = 0.01
    claims: list[tuple[str, list[Delivery]]] = attrs.Factory(list)
    acked: list[str] = attrs.Factory(list)
    stopped: threading.Event = attrs.Factory(threading.Event)
    _lock: threading.Lock = attrs.Factory(threading.Lock)
    _pool: ThreadPoolExecutor | None = None
    _working: list[Future[None]] = attrs.Factory(list)

    def fill(self) -> None:
        """Create the queues, and post to them."""
        with Client(self.urls, "queuey", key=KEY) as client:
            for name in self.queues:
                client.queue(name).ensure(partitions=2)
                client.queue(name).group(GROUP).ensure(lease=self.lease)
                for at in range(0, self.filled, 100):
                    some = range(at, min(at + 100, self.filled))
                    client.queue(name).post_all([Draft(f"{name}-{number}") for number in some])

    def begin(self, workers: int) -> None:
        """Let them begin."""
        self._pool = ThreadPoolExecutor(workers)
        turned = [[*self.urls[at % len(self.urls) :], *self.urls[: at % len(self.urls)]] for at in range(workers)]
        self._working = [self._pool.submit(self._work, urls) for urls in turned]

    def wait_for(self, number: int, limit: float) -> None:
        """Wait until so many claims were served."""
        until = time.monotonic() + limit
        while len(self.claims) < number:
            assert time.monotonic() < until, f"{len(self.claims)} of {number} claims were served"
            time.sleep(0.02)

    def stop(self) -> None:
        """Let them claim no more."""
        self.stopped.set()
        self.finish(120)

    def finish(self, limit: float) -> None:
        """Wait until the queues are empty."""
        assert self._pool is not None
        for one in self._working:
            one.result(limit)
        self._pool.shutdown()

    def _work(self, urls: Sequence[str]) -> None:
        """Claim and acknowledge until nothing has come for longer than the leases that a killed process has left."""
        sources, last = [(name, GROUP) for name in self.queues], time.monotonic()
        with Client(urls, "queuey", key=KEY, timeout=5) as client:
            while time.monotonic() - last < 2 * self.lease + 2 and not self.stopped.is_set():
                try:
                    given = client.claim_many(sources, 2, order=self.order, lease=self.lease, wait=1)
                except QueueyError:
                    last = time.monotonic()
                    continue
                if not given:
                    continue
                last = time.monotonic()
                with self._lock:
                    self.claims.append((given[0].queue, list(given)))
                self._ack(client, given)

    def _ack(self, client: Client, given: Sequence[Delivery]) -> None:
        try:
            client.queue(given[0].queue).group(GROUP).ack(*given)
        except QueueyError:
            return  # they are given again
        with self._lock:
            self.acked += [delivery.text for delivery in given]

    @property
    def loaded(self) -> list[str]:
        """The queues that served claims as long as each of them had messages that were not given yet."""
        left, found = dict.fromkeys(self.queues, self.filled), list[str]()
        seen = set[str]()
        for queue, given in self.claims:
            found.append(queue)
            fresh = {delivery.text for delivery in given} - seen
            seen |= fresh
            left[queue] -= len(fresh)
            # The last ones may be in claims that are under way.
            if left[queue] <= 2 * len(self._working):
                break
        return found

    def problems(self) -> list[str]:
        """What must not be: a message that was lost, given twice within a lease, or acked twice, or a queue that was
        starved."""
        wanted = {f"{name}-{number}" for name in self.queues for number in range(self.filled)}
        given = [delivery for _, some in self.claims for delivery in some]
        found = [f"lost: {body}" for body in sorted(wanted - {delivery.text for delivery in given})]
        found += [f"never stored: {text}" for text in sorted({delivery.text for delivery in given} - wanted)]
        found += [f"acked twice: {body}" for body, number in Counter(self.acked).items() if number > 1]
        found += [f"twice within a lease: {body}" for body in self._together(given)]
        if self.order == "fair":
            found += [f"starved: {name}" for name in starved(self.loaded, self.queues)]
        return found

    def _together(self, given: Sequence[Delivery]) -> list[str]:
        """Messages of which one lease began before another had ended."""
        ends, found = dict[str, float](), list[str]()
        for until, length, text in sorted((_end(one), one.lease, one.text) for one in given):
            if until - length < ends.get(text, 0.0) - self.slack:
                found.append(text)
            ends[text] = until
        return found


def _end(delivery: Delivery) -> float:
    assert delivery.lease_until is not None
    return delivery.lease_until.timestamp()
