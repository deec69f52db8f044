"""A crowd of clients that make, claim from and delete groups of their own on one queue, and hold every refusal to its
word: what a 503 says of ``applied`` is compared with what is there."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import Any, Final

import attrs

TIMEOUT: Final = 60.0
"""Seconds until a request is given up."""

REPEATS: Final = 50
"""How often a client sends a request that is refused, at the most."""

Call = tuple[str, int]
"""What was asked, and the status of the answer."""


@attrs.define
class Crowd:
    """The clients.

    :ivar ports: of the front ends of the queue; the clients are spread over them.
    :ivar queue: the path of the queue.
    :ivar key: of the application.
    :ivar clients: how many there are.
    :ivar answers: how often each call got each status.
    :ivar applied: how often refusals said each word.
    :ivar lies: refusals whose ``applied`` was not true, and unexpected answers.
    """

    ports: Sequence[int]
    queue: str
    key: str
    clients: int
    answers: Counter[Call] = attrs.Factory(Counter)
    applied: Counter[str] = attrs.Factory(Counter)
    lies: list[str] = attrs.Factory(list)
    _lock: threading.Lock = attrs.Factory(threading.Lock)

    def prepare(self, limit: float = 60.0) -> None:
        """Post a message, and wait until every front end shows it: what is claimed of the oldest is that one then.

        :param limit: seconds that this may take.
        :raise RuntimeError: if it takes longer.
        """
        until = time.monotonic() + limit
        with self.client(0) as client:
            client.request("POST", "/messages", {})
        for number in range(len(self.ports)):
            with self.client(number) as client:
                while not (client.request("GET", "/messages")[1] or {}).get("messages"):
                    if time.monotonic() > until:
                        raise RuntimeError(f"the message was not shown within {limit:.0f} s")
                    time.sleep(0.1)

    def run(self, turns: int, limit: float = 600.0) -> None:
        """Let the clients make, claim from and delete ``turns`` groups in all.

        :param limit: seconds that they may take.
        :raise RuntimeError: if they take longer.
        """
        threads = [
            threading.Thread(target=self._work, args=(number, range(number, turns, self.clients)), daemon=True)
            for number in range(self.clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(limit)
            if thread.is_alive():
                raise RuntimeError(f"the crowd did not come to an end within {limit:.0f} s")
        with self.client(0) as client:
            status, document = client.ask("GET", "")
        left = [group["name"] for group in document["groups"]] if status == 200 else status
        if left:
            self.lies.append(f"groups that were deleted are listed: {left}")

    @property
    def calls(self) -> int:
        """Requests that were answered."""
        return sum(self.answers.values())

    @property
    def refused(self) -> int:
        """Requests that were answered with an error of the server."""
        return sum(count for (_, status), count in self.answers.items() if status >= 500)

    @contextmanager
    def client(self, number: int) -> Iterator[Client]:
        """A client with a connection of its own, which is closed when the block ends."""
        with closing(HTTPConnection("127.0.0.1", self.ports[number % len(self.ports)], timeout=TIMEOUT)) as connection:
            yield Client(connection, self)

    def note(self, what: str, status: int, document: Any) -> None:
        """Count an answer."""
        with self._lock:
            self.answers[what, status] += 1
            if status >= 500:
                self.applied[document.get("applied", "?")] += 1

    def _work(self, number: int, names: range) -> None:
        try:
            with self.client(number) as client:
                for turn in names:
                    client.turn(f"group-{turn}", by_claim=bool((turn // self.clients) % 2))
        except Exception as error:
            self.lies.append(f"client {number} broke off: {error!r}")


@attrs.define
class Client:
    """One client."""

    connection: HTTPConnection
    crowd: Crowd

    def turn(self, name: str, by_claim: bool) -> None:
        """Make a group, claim from it, and delete it.

        :param by_claim: whether the first claim makes it.
        """
        oldest = {"start": "oldest"}
        if not by_claim:
            self.until_done("make", "PUT", name, (200, 201), oldest, unchanged=404)
        self.claim(name, "first claim" if by_claim else "claim")
        self.until_done("delete", "DELETE", name, (204, 404), None, unchanged=200)

    def until_done(
        self, what: str, method: str, name: str, good: tuple[int, ...], body: object, unchanged: int
    ) -> None:
        """Ask until it is done, and compare what is there with what each refusal says.

        :param unchanged: the status by which one sees that nothing was done.
        """
        for _ in range(REPEATS):
            status, document = self.ask(method, f"/{name}", body, what)
            if status in good:
                return
            seen = self.seen(name)
            if document.get("applied") != "unknown" and (document.get("applied") == "no") != (seen == unchanged):
                self.lie(f"{what} of {name}: {status} {document}, and then it is {seen}")
        self.lie(f"{what} of {name} was refused {REPEATS} times")

    def claim(self, name: str, what: str) -> None:
        """Claim a message until there is an answer."""
        unsure = False
        for _ in range(REPEATS):
            status, document = self.ask("POST", f"/{name}/claims", {"limit": 1}, what)
            if status == 200:
                # A group that a claim makes begins at the newest: there may be nothing yet.
                given = [message["deliveries"] for message in document["messages"]]
                if not unsure and given not in ([[], [1]] if what == "first claim" else [[1]]):
                    self.lie(f"{what} of {name}: given before, though no refusal said so: {given}")
                return
            unsure = unsure or document.get("applied") != "no"
        self.lie(f"{what} of {name} was refused {REPEATS} times")

    def seen(self, name: str) -> int:
        """Whether a group is there: 200 or 404."""
        for _ in range(REPEATS):
            status, _ = self.ask("GET", f"/{name}", None, "look")
            if status in (200, 404):
                return status
        self.lie(f"{name} cannot be looked at")
        return 0

    def lie(self, text: str) -> None:
        """Note what is not true."""
        self.crowd.lies.append(text)

    def ask(self, method: str, path: str, body: object = None, what: str = "list") -> tuple[int, Any]:
        """Ask once about a group, and count the answer."""
        status, document = self.request(method, f"/groups{path}", body)
        self.crowd.note(what, status, document)
        return status, document

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Ask once: the status, and what the JSON says."""
        headers = {"Authorization": f"Application {self.crowd.key}", "Content-Type": "application/json"}
        raw = None if body is None else json.dumps(body).encode()
        self.connection.request(method, f"{self.crowd.queue}{path}", raw, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else {}
