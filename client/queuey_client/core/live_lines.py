"""The lines of a live read: objects of JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from queuey_client.core.errors import QueueyError, error_of
from queuey_client.core.parsing import message_of, message_of_many, time_of
from queuey_client.core.steps import Answer
from queuey_client.core.values import Message, Place

MAX_LINE = 256 << 20
"""Bytes that a line may have; a server's longest message has far fewer."""

LONGEST_PAUSE = 60.0
"""Seconds that a server can ask to wait before the next connection."""


@dataclass(frozen=True)
class Line:
    """What a line says.

    :ivar next: the place after it; ``None`` if it has none.
    :ivar gap: whether messages are gone, of the queue ``of`` (``None``: of several); ``first``: the place just before
        the first one that is left.
    :ivar caught_up: up to when everything was sent, if all that was there has been sent.
    :ivar closed: whether the queue is closed, so that no message will follow.
    :ivar problem: why the live read ends.
    :ivar retry: seconds after which to come back once it has ended.
    """

    next: Place | None
    message: Message | None = None
    gap: bool = False
    of: str | None = None
    first: Place | None = None
    caught_up: datetime | None = None
    closed: bool = False
    problem: QueueyError | None = None
    retry: float | None = None


class LineReader:
    """Cuts the bytes of an answer into lines, and reads them. What has no end yet is kept until the rest comes.

    :param queue: whose messages they bring; ``None`` if each message names its queue.
    """

    def __init__(self, queue: str | None) -> None:
        self._queue = queue
        self._begun: list[bytes] = []
        self._size = 0

    def read(self, piece: bytes) -> list[Line]:
        """Return the lines that end in a piece.

        :raise ValueError: one is no line of a live read, or has too many bytes.
        """
        *ended, rest = piece.split(b"\n")
        if ended:
            ended[0] = b"".join([*self._begun, ended[0]])
            self._begun, self._size = [], 0
        self._begun.append(rest)
        self._size += len(rest)
        if self._size > MAX_LINE:
            raise ValueError(f"a line has more than {MAX_LINE} bytes")
        try:
            return [self._line(json.loads(line)) for line in ended]
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"a line lacks what it should have: {error!r}") from error

    def _line(self, found: dict[str, Any]) -> Line:
        next, retry = found.get("next"), found.get("retry")
        if "message" in found:
            place, message = found["next"], found["message"]
            many = self._queue is None
            return Line(place, message_of_many(message, place) if many else message_of(self._queue or "", message))
        if "gap" in found:
            gap = found["gap"]
            return Line(found["next"], gap=True, of=gap.get("queue"), first=gap.get("first"))
        if "caught_up" in found:
            return Line(found["next"], caught_up=time_of(found["caught_up"].get("stable_until")))
        if "problem" in found:
            fields = {"content-type": "application/problem+json"}
            status = int(found["problem"].get("status") or 500)
            return Line(next, problem=error_of(Answer(status, fields, json.dumps(found["problem"]).encode())))
        if retry is not None:
            retry = max(0.0, min(float(retry) / 1000, LONGEST_PAUSE))
        return Line(next, closed=found.get("closed") is True, retry=retry)
