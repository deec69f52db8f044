"""Streams of messages: what is to be sent, in which pieces, and what the answer to a piece says.

A writer sends one request after another, each with the lines that have come since the one before. So a slow server is
sent larger pieces, and not more requests. Each line has a key of its own: a piece that was cut is sent again as it is.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from queuey_client.core.encoding import LINES, new_key
from queuey_client.core.errors import QueueyError, Unavailable, error_of
from queuey_client.core.session import Session
from queuey_client.core.steps import Answer, Call, Steps
from queuey_client.core.values import Draft, line_of

MAX_LINES = 1000
MAX_PIECE = 1 << 20
"""Lines, and bytes, of one request; a larger line goes alone."""

MAX_BYTES = 64 << 20
"""Bytes that a writer holds at the most."""


@dataclass(frozen=True)
class Entry:
    """A message on its way.

    :ivar own: whether its key was made by the writer.
    """

    draft: Draft
    line: bytes
    key: str | None
    own: bool


Refused = tuple[Entry, QueueyError]


class Backlog:
    """The messages that a writer has and that are not stored yet."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[Entry] = deque()
        self._bytes = 0
        self._prefix = new_key()
        self.posted = 0
        self.stored = 0
        self.failed = 0

    @property
    def full(self) -> bool:
        """Whether a writer waits before it takes another message."""
        return self.posted - self.settled >= self._limit or self._bytes >= MAX_BYTES

    @property
    def settled(self) -> int:
        """How many are stored or refused."""
        return self.stored + self.failed

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def enough(self) -> bool:
        """Whether there is a whole piece, which need not wait for more."""
        return len(self._waiting) >= MAX_LINES or self._bytes >= MAX_PIECE

    def add(self, draft: Draft, keys: bool) -> None:
        """Take a message."""
        self.posted += 1
        own = draft.idempotency_key is None
        key = (f"{self._prefix}-{self.posted}" if keys else None) if own else draft.idempotency_key
        entry = Entry(draft, line_of(draft, key), key or None, own)
        self._bytes += len(entry.line)
        self._waiting.append(entry)

    def take(self) -> list[Entry]:
        """Return the next piece."""
        piece: list[Entry] = []
        size = 0
        while self._waiting and len(piece) < MAX_LINES:
            size += len(self._waiting[0].line)
            if piece and size > MAX_PIECE:
                break
            piece.append(self._waiting.popleft())
        self._bytes -= sum(len(entry.line) for entry in piece)
        return piece

    def done(self, piece: Sequence[Entry], refused: int) -> None:
        """Count a piece that was sent."""
        self.stored += len(piece) - refused
        self.failed += refused

    def drop(self) -> None:
        """Forget what waits."""
        self.failed += len(self._waiting)
        self._waiting.clear()
        self._bytes = 0


def write(session: Session, queue: str, path: str, piece: Sequence[Entry]) -> Steps[list[Refused]]:
    """Store a piece; what is refused for now is sent again until the deadline.

    :param queue: the path of the queue, by which it is known whether it takes keys.
    :return: what was refused for good, and why.
    """
    refused: list[Refused] = []
    left = list(piece)
    began, attempts = session.clock(), 0
    while left:
        attempts += 1
        if not session.takes_keys(queue):
            left = [_without_key(entry) for entry in left]
        try:
            answer: Answer = yield from session.exchange(_call(path, left))
        except QueueyError as error:
            return refused + [(entry, error) for entry in left]
        result = _read(answer, left)
        refused += result.refused
        left = result.again
        if result.no_keys:
            session.refuses_keys(queue)
        elif left:
            assert result.error is not None
            result.error.attempts = attempts
            try:
                yield from session.pause(attempts, began, result.error)
            except QueueyError as error:
                return refused + [(entry, error) for entry in left]
    return refused


def _call(path: str, entries: Sequence[Entry]) -> Call:
    body = b"".join([entry.line for entry in entries])
    safe = all(entry.key for entry in entries)
    return Call("POST", path, (("results", "failures"),), {"Content-Type": LINES}, body, safe=safe)


def _without_key(entry: Entry) -> Entry:
    return Entry(entry.draft, line_of(entry.draft, None), None, True) if entry.own and entry.key else entry


@dataclass(frozen=True)
class _Result:
    """What the answer to a piece says.

    :ivar error: why some of it is sent again.
    :ivar no_keys: whether it is sent again without keys of the writer's own.
    """

    refused: list[Refused]
    again: list[Entry]
    error: QueueyError | None = None
    no_keys: bool = False


def _read(answer: Answer, piece: Sequence[Entry]) -> _Result:
    """Read an answer, which has the problems and, if it is whole, a last line that counts."""
    problems, end, cause = _lines(answer.body, len(piece))
    refused: list[Refused] = []
    again: list[Entry] = []
    error: QueueyError | None = None
    no_keys = False
    for number, problem in problems.items():
        entry, found = piece[number], _error(problem)
        if found.code == "not-promised" and entry.own and entry.key:
            no_keys = True
            again.append(entry)
        elif found.retryable and (found.applied == "no" or entry.key):
            error = found
            again.append(entry)
        else:
            refused.append((entry, found))
    if end.get("done") is True and not end.get("untold"):
        return _Result(refused, again, error, no_keys)
    # Which of the other lines are stored is unknown. Those with a key are sent again, which stores them once.
    error = _error(cause) if cause else Unavailable("the answer to a stream was cut", retryable=True)
    if not isinstance(error, Unavailable) and not error.retryable:
        unsent, known = error, set(problems)
        rest = [(entry, unsent) for at, entry in enumerate(piece) if at not in known]
        return _Result(refused + rest, again, error, no_keys)
    for at, entry in enumerate(piece):
        if at not in problems and entry.key:
            again.append(entry)
        elif at not in problems:
            refused.append((entry, Unavailable(error.detail, code=error.code, applied="unknown")))
    places = {id(entry): at for at, entry in enumerate(piece)}
    again.sort(key=lambda entry: places[id(entry)])
    return _Result(refused, again, error, no_keys)


def _lines(body: bytes, size: int) -> tuple[dict[int, Any], dict[str, Any], dict[str, Any] | None]:
    """Return the problems by the index of their entry, the last line, and the problem that ended the stream."""
    problems: dict[int, Any] = {}
    end: dict[str, Any] = {}
    cause: dict[str, Any] | None = None
    for line in body.split(b"\n"):
        try:
            found = json.loads(line) if line.strip() else None
        except ValueError:
            break  # cut within a line
        if not isinstance(found, dict):
            continue
        if "done" in found:
            end = found
        elif "code" in found:
            number = found.get("line")
            if isinstance(number, int) and 1 <= number <= size:
                problems[number - 1] = found
            else:
                cause = found
    return problems, end, cause


def _error(problem: dict[str, Any]) -> QueueyError:
    status = problem.get("status", 500)
    headers = {"content-type": "application/problem+json"}
    return error_of(Answer(status if isinstance(status, int) else 500, headers, json.dumps(problem).encode()))
