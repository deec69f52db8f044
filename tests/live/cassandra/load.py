"""Clients that post and poll over HTTP, each in a thread, and note all of it in one history."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, Final, Protocol

import attrs

from queuey.model.timeid import LOWEST, MessageId, from_v1_hex, successor, to_v1_hex
from tests.live.cassandra.histories import History, Outcome, Poll, Post, Spot, Stored
from tests.live.clients import HEADERS

TIMEOUT: Final = 30.0
"""Seconds that an answer may take; a front end answers within 10, unless it is paused."""

PAUSE: Final = 0.2
"""Seconds after an answer that is none."""


class Target(Protocol):
    """A front end, as its clients know it: its process may be another one after a restart."""

    @property
    def port(self) -> int: ...

    @property
    def process(self) -> str: ...


class Client:
    """One connection after another to a front end."""

    def __init__(self, target: Target, history: History) -> None:
        self._target = target
        self._history = history
        self._connection = self._connect()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._target.port, timeout=TIMEOUT)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[str, int, Any]:
        """Send a request.

        :return: the process, the status and the document; the status is 0 where there was no answer, and -1 where
            nothing was sent.
        """
        process = self._target.process
        status, document = self._ask(method, path, body, headers)
        self._history.answered(process, max(status, 0))
        if status >= 400 and status != 503:
            self._history.wrong(f"{method} {path} at {process}: {status} {document}")
        return process, status, document

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, Any]:
        try:
            self._connection.request(method, path, body, {**HEADERS, **headers})
            answer = self._connection.getresponse()
            text = answer.read()
            if answer.status == 503 and not answer.getheader("Retry-After"):
                self._history.wrong(f"{method} {path}: 503 without Retry-After")
            return answer.status, json.loads(text)
        except ConnectionRefusedError:
            return self._failed(-1)
        except (OSError, http.client.HTTPException, ValueError):
            return self._failed(0)

    def _failed(self, status: int) -> tuple[int, None]:
        self._connection.close()
        return status, None

    def close(self) -> None:
        self._connection.close()


@attrs.frozen
class Queue:
    """A queue that clients use together."""

    name: str
    partitions: int = 1
    consistency: str = "strong"

    @property
    def path(self) -> str:
        return f"/v1/queuey/{self.name}"

    def spots(self) -> list[Spot]:
        """Its partitions."""
        return [Spot(self.name, number) for number in range(1, self.partitions + 1)]


class Worker:
    """A thread that does one thing again and again."""

    def __init__(self, client: Client, history: History, pause: float) -> None:
        """:param pause: seconds between two requests."""
        self._client = client
        self._history = history
        self._pause = pause
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop once the answer that is waited for is there."""
        self._stopped.set()

    def join(self) -> None:
        self._thread.join(TIMEOUT + 10)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                well = self._step()
                self._stopped.wait(self._pause if well else PAUSE)
        except Exception as error:
            self._history.wrong(f"a client ended by {error!r}")
        finally:
            self._client.close()

    def _step(self) -> bool:
        """Do it once; whether that went well."""
        raise NotImplementedError


class Poster(Worker):
    """Posts messages, one by one and in batches, of which no two are alike."""

    def __init__(
        self, name: str, target: Target, queues: Sequence[Queue], history: History, pause: float, seed: int
    ) -> None:
        super().__init__(Client(target, history), history, pause)
        self._name = name
        self._queues = queues
        self._random = Random(seed)
        self._number = 0

    def _step(self) -> bool:
        queue = self._random.choice(self._queues)
        many = self._random.randint(2, 6) if self._random.random() < 0.3 else 1
        bodies = tuple(self._body() for _ in range(many))
        invoked = time.monotonic()
        if many == 1:
            answer = self._client.ask("POST", queue.path, bodies[0].encode(), **{"Content-Type": "text/plain"})
        else:
            text = json.dumps({"messages": [{"body": body} for body in bodies]})
            answer = self._client.ask("POST", queue.path, text.encode(), **{"Content-Type": "application/json"})
        post = Post(answer[0], queue.name, bodies, invoked, time.monotonic(), *_outcome(queue, bodies, answer))
        self._history.add(post)
        return post.outcome is Outcome.OK

    def _body(self) -> str:
        self._number += 1
        return f"{self._name}-{self._number}"


def _outcome(queue: Queue, bodies: Sequence[str], answer: tuple[str, int, Any]) -> tuple[Outcome, tuple[Stored, ...]]:
    _, status, document = answer
    if status == 201:
        pairs = zip(bodies, document["messages"], strict=True)
        return Outcome.OK, tuple(_stored(queue, one["partition"], one["key"], body) for body, one in pairs)
    return Outcome.FAILED if status < 0 or 400 <= status < 500 else Outcome.UNKNOWN, ()


def _stored(queue: Queue, partition: int, key: str, body: str) -> Stored:
    id = from_v1_hex(key)
    assert id is not None, key
    return Stored(Spot(queue.name, partition), id, body)


class Reader(Worker):
    """Polls every partition of some queues, each from the last id that it has seen there."""

    def __init__(
        self, name: str, target: Target, queues: Sequence[Queue], history: History, pause: float, limit: int
    ) -> None:
        super().__init__(Client(target, history), history, pause)
        self._name = name
        self._limit = limit
        self._places: list[tuple[Queue, Spot]] = [(queue, spot) for queue in queues for spot in queue.spots()]
        self._lower: dict[Spot, MessageId] = {spot: LOWEST for _, spot in self._places}
        self._next = 0

    def _step(self) -> bool:
        queue, spot = self._places[self._next % len(self._places)]
        self._next += 1
        poll = page(self._client, self._name, queue, spot, self._lower[spot], self._limit)
        if poll is None:
            return False
        self._history.add(poll)
        if poll.found:
            self._lower[spot] = successor(poll.found[-1].id)
        return True


def page(client: Client, reader: str, queue: Queue, spot: Spot, lower: MessageId, limit: int) -> Poll | None:
    """Ask for one page from an id on; ``None`` where there was no answer, or 503."""
    since = "0" if lower == LOWEST else to_v1_hex(lower)
    invoked = time.monotonic()
    path = f"{queue.path}?partitions={spot.partition}&order=ascending&limit={limit}&since={since}"
    process, status, document = client.ask("GET", path)
    if status != 200:
        return None
    found = tuple(_stored(queue, one["partition"], one["message_id"], one["body"]) for one in document["messages"])
    return Poll(reader, process, spot, lower, invoked, time.monotonic(), found, len(found) == limit)


def read_everything(target: Target, queues: Sequence[Queue], seconds: float = 60.0) -> list[Stored]:
    """All messages of some queues, page by page; 503 is asked again for some time."""
    history = History()
    client = Client(target, history)
    deadline = time.monotonic() + seconds
    found: list[Stored] = []
    try:
        for queue in queues:
            for spot in queue.spots():
                lower: MessageId | None = LOWEST
                while lower is not None:
                    poll = page(client, "end", queue, spot, lower, 1000)
                    if poll is None:
                        assert time.monotonic() < deadline, f"{spot} cannot be read: {history.statuses}"
                        time.sleep(PAUSE)
                        continue
                    found += poll.found
                    lower = successor(poll.found[-1].id) if poll.full else None
    finally:
        client.close()
    assert not history.problems, history.problems
    return found


@contextmanager
def working(workers: Sequence[Worker]) -> Iterator[None]:
    """Let them work meanwhile."""
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.join()


def wait_until(what: Callable[[], bool], seconds: float, why: Callable[[], str]) -> float:
    """Wait until something is so.

    :return: how many seconds that took.
    """
    began = time.monotonic()
    while not what():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds:g} s: {why()}")
        time.sleep(0.05)
    return time.monotonic() - began
