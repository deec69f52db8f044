"""The answer to a stream: the result of each line, sent while the stream is still arriving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.internet.defer import Deferred, succeed

from queuey.deferreds import deferred
from queuey.http.answers.encoding import encoded
from queuey.http.answers.problems import Problem, document
from queuey.http.v2.streams.lines import Line
from queuey.http.wire import ClientGone, Request

NDJSON: Final = "application/x-ndjson"

MAX_UNREAD: Final = 1 << 20
"""Bytes of problems that are buffered for a client that does not read before it has sent everything."""

Outcome = str | Problem
"""The result of a line: where its message is, as JSON, or why it was not stored."""

Outcomes = Sequence[Outcome] | str
"""The results of lines, one for each; or where all their messages are, in one text of as many lines."""


class Results:
    """Reports every line, as fast as the client reads.

    :ivar stored: lines whose messages are stored.
    :ivar failed: lines whose messages are not stored, or whose outcome is unknown.
    """

    def __init__(self, request: Request) -> None:
        self.stored = 0
        self.failed = 0
        self._request = request
        self._begun = False
        self._unstored = "no"

    async def tell(self, lines: Sequence[Line], outcomes: Outcomes) -> None:
        """Report what became of lines."""
        if isinstance(outcomes, str):
            self.stored += len(lines)
            await self._send(self._told([outcomes]))
            return
        stored = [outcome for outcome in outcomes if type(outcome) is str]
        self.stored += len(stored)
        if len(stored) == len(lines):
            await self._send(self._told(stored))
            return
        texts: list[str] = []
        for line, outcome in zip(lines, outcomes, strict=True):
            if isinstance(outcome, str):
                texts += self._told([outcome])
            else:
                self.failed += 1
                if outcome.applied != "no":
                    self._unstored = "unknown"
                texts.append(self._problem(outcome, line.number))
        await self._send(texts)

    async def end(self, done: bool, problem: Problem | None = None, line: int | None = None) -> None:
        """Tell that this was all.

        :param done: whether every line of the stream was handled.
        :param problem: why no more of it was.
        :param line: the number of the line that has this problem, where it is one line's.
        """
        texts = [] if problem is None else [self._problem(problem, line)]
        self.failed += line is not None
        summary = {"done": done, "stored": self.stored, "failed": self.failed, **self._omitted()}
        texts.append(encoded(summary).decode("ascii"))
        await self._write(texts)

    @property
    def count(self) -> int:
        """How many lines became anything."""
        return self.stored + self.failed

    @property
    def applied(self) -> str:
        """Whether anything of the stream is stored, as problems say it."""
        return "partly" if self.stored else self._unstored

    def _told(self, stored: list[str]) -> list[str]:
        """Return the texts to send for stored messages."""
        return stored

    async def _send(self, texts: list[str]) -> None:
        await self._write(texts)

    def _omitted(self) -> dict[str, int]:
        return {}

    def _problem(self, problem: Problem, line: int | None) -> str:
        self._request.count_refused(problem.code)
        found = document(problem, self._request.request_id)
        if line is not None:
            found["line"] = line
        return encoded(found).decode("ascii")

    def _write(self, texts: Sequence[str]) -> Deferred[None]:
        if not self._begun:
            self._begun = True
            self._request.setResponseCode(200)
            self._request.setHeader(b"Content-Type", NDJSON.encode("ascii"))
        return self._request.send("\n".join([*texts, ""]).encode("ascii"))


class Failures(Results):
    """Reports failures only, and buffers them for a client that does not read, so that it can go on sending.

    The buffer is limited. Failures beyond the limit are counted but not reported, and the last line says how many there
    were.
    """

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._kept: list[str] = []
        self._size = 0
        self._untold = 0
        self._sending = False
        self._sent: Deferred[None] = succeed(None)

    async def end(self, done: bool, problem: Problem | None = None, line: int | None = None) -> None:
        """See above; it waits until what is kept has left."""
        await self._sent
        await super().end(done, problem, line)

    def _told(self, stored: list[str]) -> list[str]:
        """Return no texts: stored messages are not reported."""
        return []

    async def _send(self, texts: list[str]) -> None:
        for text in texts:
            if self._size > MAX_UNREAD:
                self._untold += 1
            else:
                self._kept.append(text)
                self._size += len(text)
        if self._kept and not self._sending:
            self._sent = self._empty()

    def _omitted(self) -> dict[str, int]:
        return {"untold": self._untold} if self._untold else {}

    @deferred
    async def _empty(self) -> None:
        """Send what is kept, and what comes to it meanwhile."""
        self._sending = True
        try:
            while self._kept:
                texts, self._kept = self._kept, []
                self._size = 0
                await self._write(texts)
        except ClientGone:
            return
        self._sending = False
