"""Readers that page through a queue with cursors, and never go back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from queuey.model.reading.cursor import parse
from queuey.model.timeid import from_seconds
from tests.histories.clients import PATIENCE, Answer, Client, Log, Worker, rest, stored
from tests.histories.record import Page, Record
from tests.live.cassandra.histories import Stored
from tests.live.cassandra.load import Target

WAIT: Final = 1
"""Seconds that a page may wait for a message."""

LINES: Final = "application/x-ndjson"

SLACK: Final = 0.01
"""Seconds by which the time of a message may be ahead: ids of one moment are made one after another."""


class Reader(Worker):
    """Asks for one page after another, each with the cursor of the one before; a page that was cut it asks for again.

    Once stopped it reads on up to the end.
    """

    def __init__(
        self,
        name: str,
        client: Client,
        log: Log,
        record: Record,
        *,
        partitions: tuple[int, ...] = (),
        limit: int = 7,
        lines: bool = False,
        wait: int = WAIT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        :param partitions: all, if none is named.
        :param lines: whether to ask for lines of JSON.
        :param wait: seconds.
        :param clock: the greatest time that any server's clock can have come to.
        """
        super().__init__(client, record, 0.0)
        self._name = name
        self._log = log
        self._partitions = partitions
        self._headers = {"Accept": LINES} if lines else {}
        self._query = "&".join([f"limit={limit}", f"wait={wait}", *(f"partition={number}" for number in partitions)])
        self._clock = clock
        self._after = ""
        self._ended = False
        self._deadline = 0.0

    def stop(self) -> None:
        """Read to the end and no further."""
        self._deadline = time.monotonic() + PATIENCE
        super().stop()

    def _over(self) -> bool:
        if self._stopped.is_set() and not self._ended and time.monotonic() > self._deadline:
            self._record.wrong(f"{self._name} did not come to the end within {PATIENCE:.0f} s")
            return True
        return self._ended

    def _step(self) -> None:
        last = self._stopped.is_set()
        invoked = time.monotonic()
        cursor = f"&after={self._after}" if self._after else ""
        answer = self._client.ask("GET", f"{self._log.path}?{self._query}{cursor}", None, self._headers)
        if answer.status == 200 and answer.whole and answer.documents and "next" in answer.documents[-1]:
            page = self._page(answer, invoked)
            self._record.add(page)
            self._ended = last and not page.more and not page.found
            return
        if answer.status not in (0, 200, 503):
            self._record.wrong(f"{self._name}: {answer.status} {answer.documents}")
        rest(answer, self._record)

    def _page(self, answer: Answer, invoked: float) -> Page:
        *messages, end = answer.documents if self._headers else (*answer.document["messages"], answer.document)
        found = tuple(stored(self._log.name, message, message["body"]) for message in messages)
        self._after = end["next"]
        self._check(end, answer)
        partitions = self._partitions or tuple(range(1, self._log.partitions + 1))
        times, clock = (invoked, time.monotonic()), from_seconds(self._clock() + SLACK)
        position = parse(self._after).position
        return Page(self._name, answer.process, self._log.name, partitions, *times, found, position, end["more"], clock)

    def _check(self, end: dict[str, Any], answer: Answer) -> None:
        if end["resume"] != "exact":
            self._record.wrong(f"{self._name}: resume is {end['resume']}")
        if ('rel="next"' in answer.headers.get("Link", "")) != end["more"] and not self._headers:
            self._record.wrong(f"{self._name}: more is {end['more']}, and Link is {answer.headers.get('Link')}")


def read_all(target: Target, log: Log) -> list[Stored]:
    """All messages of a queue, in large pages, with nothing under way.

    :raise AssertionError: where that does not work.
    """
    record = Record()
    reader = Reader("end", Client([target], record, Random(0)), log, record, limit=1000, wait=0)
    reader.stop()
    reader._run()
    assert not record.problems, record.problems
    return [message for page in record.pages for message in page.found]


def readers(
    targets: Sequence[Target], log: Log, record: Record, seed: int, clock: Callable[[], float] = time.time
) -> list[Worker]:
    """Some of all partitions, and some of a few, of a queue that has three; they go to any of the places."""
    kinds: list[tuple[tuple[int, ...], int, bool]] = [
        ((), 20, False),
        ((), 11, True),
        ((1, 3), 5, False),
        ((2,), 3, True),
    ]
    found: list[Worker] = []
    for place, (partitions, limit, lines) in enumerate(kinds):
        client = Client(targets, record, Random(f"reader {place} of {seed}"))
        more: dict[str, Any] = {"partitions": partitions, "limit": limit, "lines": lines, "clock": clock}
        found.append(Reader(f"r{place}", client, log, record, **more))
    return found
