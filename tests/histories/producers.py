"""Producers that want each of their messages stored once, and ask again and again until they know that it is."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from random import Random
from typing import Any, Final
from urllib.parse import urlencode

import attrs

from tests.histories.clients import PATIENCE, Answer, Client, Log, Worker, rest, stored
from tests.histories.keys import key_of
from tests.histories.record import Record, Send
from tests.live.cassandra.histories import Outcome
from tests.live.cassandra.load import Target

BATCH: Final = "application/vnd.queuey.messages+json"
STREAM: Final = "application/x-ndjson"

STREAMED: Final = 0.15
BATCHED: Final = 0.3
DELAYED: Final = 0.15
REPEATED: Final = 0.2
REUSED: Final = 0.08
"""How often each of these happens, of 1."""

AGAIN: Final = ("key-in-use", "unavailable", "overloaded", "storage-full")
"""Codes of problems that a later try may not have."""


@attrs.frozen
class Item:
    """What is sent under one key: one message, or several that are stored together or not at all.

    :ivar delay: seconds after which they are due.
    :ivar reuse: whether the key was used before, for something else.
    """

    key: str
    bodies: tuple[str, ...]
    delay: float = 0.0
    reuse: bool = False

    def other(self) -> Item:
        """Something else under the same key."""
        return attrs.evolve(self, bodies=tuple(f"{body} other" for body in self.bodies), reuse=True)

    def members(self) -> list[dict[str, Any]]:
        """Its messages, as JSON has them."""
        delay = {"delay": self.delay} if self.delay else {}
        return [{"body": body, **_key(body), **delay} for body in self.bodies]

    def request(self) -> tuple[str, dict[str, str], bytes]:
        """The query, the head and the body of a request for it."""
        headers = {"Idempotency-Key": f'"{self.key}"'}
        if len(self.bodies) > 1:
            return "", {**headers, "Content-Type": BATCH}, json.dumps({"messages": self.members()}).encode()
        asked = _key(self.bodies[0]) | ({"delay": str(self.delay)} if self.delay else {})
        query = f"?{urlencode(asked)}" if asked else ""
        return query, {**headers, "Content-Type": "text/plain"}, self.bodies[0].encode()

    def line(self) -> bytes:
        """Its line in a stream."""
        return json.dumps({**self.members()[0], "idempotency_key": self.key}).encode() + b"\n"


def _key(body: str) -> dict[str, str]:
    key = key_of(body)
    return {} if key is None else {"key": key}


class Producer(Worker):
    """Sends one thing after another until it is answered 2xx; some once more, and something else under some keys."""

    def __init__(self, name: str, client: Client, log: Log, record: Record, random: Random, pause: float) -> None:
        """:param name: of which no other is the beginning."""
        super().__init__(client, record, pause)
        self._name = name
        self._log = log
        self._random = random
        self._number = 0

    def _step(self) -> None:
        if self._random.random() < STREAMED:
            self._stream()
            return
        item = self._new(self._random.randint(2, 5) if self._random.random() < BATCHED else 1)
        if not self._until_told(item):
            return
        if self._random.random() < REPEATED:
            self._until_told(item)
        if self._random.random() < REUSED:
            self._until_told(item.other())

    def _new(self, messages: int) -> Item:
        self._number += 1
        key = f"{self._name}-{self._number}"
        delay = self._random.randint(1, 20) / 10 if self._random.random() < DELAYED else 0.0
        return Item(key, tuple(f"{key}/{place}" for place in range(messages)), delay)

    # One request for one thing

    def _until_told(self, item: Item) -> bool:
        """Send it until its answer says what became of it: 2xx, or 422 for a key that was used before.

        :return: whether it was 2xx.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            answer = self._send(item)
            if answer.status == 201 or _code(answer) == "key-reused":
                return answer.status == 201
            if answer.status and _code(answer) not in AGAIN:
                self._record.wrong(f"{item.key}: {answer.status} {answer.documents}")
                return False
            rest(answer, self._record)
        self._record.wrong(f"{item.key}: not answered within {PATIENCE:.0f} s")
        return False

    def _send(self, item: Item) -> Answer:
        query, headers, body = item.request()
        invoked = time.monotonic()
        answer = self._client.ask("POST", self._log.path + query, body, headers)
        note = _Note(answer.process, self._log.name, invoked, time.monotonic())
        if answer.status == 201:
            replayed = answer.headers.get("Idempotency-Replayed") == "true"
            self._record.add(note.ok(item, 201, answer.document, answer.document["messages"], replayed))
        else:
            self._record.add(note.not_ok(item, answer.status, _applied(answer)))
        return answer

    # Many things in one stream

    def _stream(self) -> None:
        """Send a stream of several, one of them perhaps twice; those that are not known to be stored once more."""
        left = [self._new(1) for _ in range(self._random.randint(3, 8))]
        if self._random.random() < REPEATED:
            left.append(left[0])
        deadline = time.monotonic() + PATIENCE
        while left and time.monotonic() < deadline:
            answer = self._send_lines(left)
            if answer.status not in (0, 200, 503, 507):
                self._record.wrong(f"a stream: {answer.status} {answer.documents}")
                return
            lines = answer.documents if answer.status == 200 else ()
            left = [item for item, line in zip_longest(left, lines[: len(left)]) if line is None or "id" not in line]
            if left:
                rest(answer, self._record)
        if left:
            self._record.wrong(f"{[item.key for item in left]}: not answered within {PATIENCE:.0f} s")

    def _send_lines(self, items: Sequence[Item]) -> Answer:
        invoked = time.monotonic()
        body = b"".join(item.line() for item in items)
        answer = self._client.ask("POST", self._log.path, body, {"Content-Type": STREAM})
        note = _Note(answer.process, self._log.name, invoked, time.monotonic())
        lines = list(answer.documents) if answer.status == 200 else []
        last = lines.pop() if lines and "done" in lines[-1] else None
        self._record.add(*(self._line(note, item, line) for item, line in zip_longest(items, lines[: len(items)])))
        self._check_end(items, lines, last, answer)
        return answer

    def _line(self, note: _Note, item: Item, line: dict[str, Any] | None) -> Send:
        if line is None:
            return note.not_ok(item, 0, "unknown")
        if "id" in line:
            return note.ok(item, 200, line, [line], None)
        if line.get("code") not in AGAIN:
            self._record.wrong(f"a line of a stream: {line}")
        return note.not_ok(item, line["status"], line["applied"])

    def _check_end(self, items: Sequence[Item], lines: Sequence[Any], last: Any, answer: Answer) -> None:
        """The last line of a whole answer says what the lines before it say."""
        if answer.status != 200 or not answer.whole:
            return
        good = sum("id" in line for line in lines)
        if last != {"done": len(lines) == len(items), "stored": good, "failed": len(lines) - good}:
            self._record.wrong(f"a stream of {len(items)} has {len(lines)} lines ({good} stored), and ends with {last}")


@attrs.frozen
class _Note:
    """What is the same for all that one request says."""

    process: str
    queue: str
    invoked: float
    ended: float

    def ok(
        self,
        item: Item,
        status: int,
        told: Mapping[str, Any],
        places: Sequence[Mapping[str, Any]],
        replayed: bool | None,
    ) -> Send:
        """It is stored.

        :param told: what says whether it had been before.
        :param places: of its messages.
        """
        found = tuple(stored(self.queue, one, body) for one, body in zip(places, item.bodies, strict=True))
        return self._send(item, Outcome.OK, status, found, told.get("duplicate"), replayed)

    def not_ok(self, item: Item, status: int, applied: str) -> Send:
        """It is not, or that is not known."""
        return self._send(item, Outcome.FAILED if applied == "no" else Outcome.UNKNOWN, status)

    def _send(self, item: Item, outcome: Outcome, status: int, *more: Any) -> Send:
        times = (self.invoked, self.ended)
        return Send(self.process, self.queue, item.key, item.bodies, item.reuse, *times, outcome, status, *more)


def _code(answer: Answer) -> str:
    """The code of a problem, or nothing."""
    return str(answer.document.get("code", "")) if answer.status >= 400 else ""


def _applied(answer: Answer) -> str:
    """Whether a request that was not answered 2xx may have stored something."""
    return str(answer.document.get("applied", "unknown")) if answer.status else "unknown"


def producers(
    number: int, targets: Sequence[Target], log: Log, record: Record, seed: int, pause: float
) -> list[Worker]:
    """So many of them, who go to any of the places.

    :param pause: seconds between two things that one of them sends.
    """
    found: list[Worker] = []
    for place in range(number):
        random = Random(f"producer {place} of {seed}")
        found.append(Producer(f"p{place}", Client(targets, record, random), log, record, random, pause))
    return found
