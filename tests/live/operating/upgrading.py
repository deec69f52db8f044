"""Clients that go on while one daemon makes room for the next, and count each of their requests."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import attrs

from tests.live.clients import HEADERS
from tests.live.running import LIMIT


@attrs.define
class Client:
    """Posts numbered messages over a connection that it keeps for as long as it may, one after the other.

    :ivar sent: how many requests were begun.
    :ivar stored: the bodies of those that were answered 201.
    :ivar statuses: of all answers.
    :ivar failed: what became of requests without an answer; a connection that is closed or refused is a failure.
    :ivar told: how many answers said that the connection ends.
    :ivar longest: seconds for the longest request, and the time at which it ended.
    """

    port: int
    path: str
    name: str
    sent: int = 0
    stored: list[str] = attrs.Factory(list)
    statuses: Counter[int] = attrs.Factory(Counter)
    failed: list[str] = attrs.Factory(list)
    told: int = 0
    longest: float = 0.0

    def run(self, ends: threading.Event) -> None:
        """Post until the end."""
        connection = self._connection()
        while not ends.is_set():
            body = f"{self.name}-{self.sent}"
            self.sent += 1
            began = time.monotonic()
            try:
                connection.request("POST", self.path, body, {**HEADERS, "Content-Type": "text/plain"})
                answer = connection.getresponse()
                json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failed.append(f"{body}: {type(error).__name__}: {error}")
                connection.close()
                connection = self._connection()
                continue
            self.longest = max(self.longest, time.monotonic() - began)
            self.statuses[answer.status] += 1
            if answer.status == 201:
                self.stored.append(body)
            # http.client closes the connection by itself where the answer says so, and makes another one.
            self.told += answer.getheader("Connection") == "close"
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)


@contextmanager
def under_load(port: int, path: str, number: int) -> Iterator[Sequence[Client]]:
    """Clients that post for as long as the block takes."""
    ends = threading.Event()
    clients = [Client(port, path, f"c{one}") for one in range(number)]
    threads = [threading.Thread(target=client.run, args=(ends,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield clients
    finally:
        ends.set()
        for thread in threads:
            thread.join(2 * LIMIT)


def progress(clients: Sequence[Client], wait_until: Callable[[Callable[[], bool], str], None]) -> None:
    """Wait until each client has had five more answers."""
    before = [sum(client.statuses.values()) for client in clients]
    wait_until(
        lambda: all(sum(client.statuses.values()) > had + 5 for client, had in zip(clients, before, strict=True)),
        "some client gets no answers",
    )


def balance(clients: Sequence[Client]) -> dict[str, int]:
    """All requests, by what became of them; every one that was begun is in it."""
    statuses = sum((client.statuses for client in clients), Counter())
    counted = {f"answered {status}": number for status, number in sorted(statuses.items())}
    counted |= {"failed": sum(len(client.failed) for client in clients)}
    sent = sum(client.sent for client in clients)
    assert sum(counted.values()) == sent, (counted, sent)
    return {"sent": sent, **counted}
