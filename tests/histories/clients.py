"""What producers and readers share: connections that may be cut at any time, and threads that end with the test."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random, SystemRandom
from typing import Any, Final

import attrs

from queuey.model.timeid import MessageId, from_hex
from tests.histories.record import Record
from tests.live.cassandra.histories import Spot, Stored
from tests.live.cassandra.load import Target
from tests.live.clients import HEADERS

TIMEOUT: Final = 30.0
"""Seconds that an answer may take."""

PAUSE: Final = 0.1
"""Seconds after a connection that was cut, or refused."""

PATIENCE: Final = 90.0
"""Seconds after which something must have worked, whatever was broken meanwhile."""

APPLICATION: Final = "/v2/queuey"


def new_seed() -> int:
    """What decides about all that is random; ``QUEUEY_SEED`` of the environment, where somebody has set it."""
    return int(os.environ.get("QUEUEY_SEED") or SystemRandom().randrange(1 << 30))


@attrs.frozen
class Log:
    """A queue that clients use together.

    :ivar partitions: how many it has.
    """

    name: str
    partitions: int = 1

    @property
    def path(self) -> str:
        """Where its messages are."""
        return f"{APPLICATION}/queues/{self.name}/messages"


@attrs.frozen
class Answer:
    """What came back.

    :ivar process: whom the request was sent to.
    :ivar status: 0 where nothing came, or not all of it.
    :ivar documents: what the JSON says, or each line of JSON that came.
    :ivar whole: whether all lines came.
    """

    process: str
    status: int
    documents: tuple[Any, ...] = ()
    headers: Mapping[str, str] = attrs.Factory(dict)
    whole: bool = True

    @property
    def document(self) -> Any:
        """What the JSON says, where it is not one of several lines."""
        return self.documents[0]


class Client:
    """One connection after another, to one of several places that serve the same."""

    def __init__(self, targets: Sequence[Target], record: Record, random: Random) -> None:
        self._targets = tuple(targets)
        self._record = record
        self._random = random
        self._turn()

    def _turn(self) -> None:
        self._target = self._random.choice(self._targets)
        self._connection = http.client.HTTPConnection("127.0.0.1", self._target.port, timeout=TIMEOUT)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request; where it has no whole answer, or 503, the next one may go elsewhere."""
        answer = self._ask(method, path, body, {**HEADERS, **(headers or {})})
        self._record.answered(method, answer.status)
        if answer.status in (0, 503) or not answer.whole:
            self.close()
            self._turn()
        return answer

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        process = self._target.process
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            if answer.length is None and not answer.chunked:
                return Answer(process, 0)  # its head was cut, of which http.client makes one without these fields
            text, whole = _read(answer)
            lines = "ndjson" in answer.headers.get("Content-Type", "")
            if not lines and not whole:
                return Answer(process, 0)
            documents = _lines(text) if lines else (json.loads(text) if text else None,)
        except (OSError, http.client.HTTPException):
            return Answer(process, 0)
        return Answer(process, answer.status, documents, dict(answer.headers), whole)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _read(answer: http.client.HTTPResponse) -> tuple[bytes, bool]:
    """What came of a body, and whether that was all."""
    try:
        return answer.read(), True
    except http.client.IncompleteRead as cut:
        return cut.partial, False


def _lines(text: bytes) -> tuple[Any, ...]:
    """What each line says that has its end."""
    return tuple(json.loads(line) for line in text.split(b"\n")[:-1])


def rest(answer: Answer, record: Record) -> None:
    """Wait for as long as an answer says that asks for another try, or for a moment where there was none."""
    if answer.status in (409, 503):
        told = answer.headers.get("Retry-After", "")
        if told.isdecimal():
            time.sleep(int(told))
            return
        record.wrong(f"{answer.status} without Retry-After: {answer.document}")
    time.sleep(PAUSE)


def stored(queue: str, one: Mapping[str, Any], body: str) -> Stored:
    """A message, as an answer shows it."""
    digits, _, partition = one["id"].partition("-")
    id = from_hex(digits)
    if id is None or partition != str(one["partition"]):
        raise ValueError(f"no id of this partition: {one}")
    return Stored(Spot(queue, one["partition"]), MessageId(id), body)


class Worker:
    """A thread that does one thing again and again."""

    def __init__(self, client: Client, record: Record, pause: float) -> None:
        """:param pause: seconds between two requests."""
        self._client = client
        self._record = record
        self._pause = pause
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more, and finish what was begun."""
        self._stopped.set()

    def join(self, seconds: float = 2 * PATIENCE) -> None:
        """Wait for the end, so long at the most."""
        self._thread.join(seconds)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._over():
                self._step()
                self._stopped.wait(self._pause)
        except Exception as error:
            self._record.wrong(f"a client ended by {error!r}")
        finally:
            self._client.close()

    def _over(self) -> bool:
        """Whether nothing is left to do."""
        return self._stopped.is_set()

    def _step(self) -> None:
        """Do it once."""
        raise NotImplementedError


@contextmanager
def working(workers: Sequence[Worker]) -> Iterator[None]:
    """Let them work meanwhile, and finish what they have begun."""
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.join()
