"""Clients for live tests: they post, remember what was acknowledged, and read everything back."""

from __future__ import annotations

import http.client
import json
import threading
from contextlib import closing
from typing import Any
from urllib.parse import urlencode

import attrs

KEY = "f25bfb8fe200475c8a0532a9cbe7651e"
"""The key that :mod:`tests.live.running` puts into its settings."""

HEADERS = {"Authorization": f"Application {KEY}"}
TIMEOUT = 60.0


def ask(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    """One request of the application ``queuey``.

    :return: the status, and what the JSON says.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request(method, path, body, {**HEADERS, **headers})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def make_queue(port: int, name: str, **fields: object) -> None:
    """Make a queue, whether or not it exists."""
    form = urlencode({"queue_name": name, **fields}).encode()
    status, answer = ask(port, "POST", "/v1/queuey", form, **{"Content-Type": "application/x-www-form-urlencoded"})
    assert status == 201, answer


def read_all(port: int, queue: str) -> list[dict[str, Any]]:
    """Every message of a queue's first partition, page by page as a client of v1 does it."""
    found: list[dict[str, Any]] = []
    since = "0"
    while True:
        _, answer = ask(port, "GET", f"/v1/queuey/{queue}?limit=1000&since={since}")
        fresh = [m for m in answer["messages"] if not found or m["message_id"] != found[-1]["message_id"]]
        found += fresh
        if not fresh:
            return found
        since = found[-1]["message_id"]


@attrs.define
class Poster:
    """Posts numbered messages over one connection until it is stopped or the server goes away.

    :ivar acknowledged: the body and the id of each message that was answered 201.
    :ivar refused: statuses that were answered instead.
    :ivar unknown: bodies that were sent and never answered, or answered 503, which may have been stored.
    """

    port: int
    queue: str
    name: str
    acknowledged: list[tuple[str, str]] = attrs.Factory(list)
    refused: list[int] = attrs.Factory(list)
    unknown: list[str] = attrs.Factory(list)
    stopped: threading.Event = attrs.Factory(threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> Poster:
        """Begin to post in a thread."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def finish(self) -> Poster:
        """Stop posting, and wait for the last answer."""
        self.stopped.set()
        assert self._thread is not None
        self._thread.join(TIMEOUT + 5)
        assert not self._thread.is_alive()
        return self

    def _run(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)) as connection:
            self._post_over(connection)

    def _post_over(self, connection: http.client.HTTPConnection) -> None:
        number = 0
        while not self.stopped.is_set():
            body = f"{self.name}-{number}"
            number += 1
            try:
                connection.request("POST", f"/v1/queuey/{self.queue}", body, {**HEADERS, "Content-Type": "text/plain"})
                answer = connection.getresponse()
                document = json.loads(answer.read())
            except ConnectionRefusedError:
                return
            except (OSError, http.client.HTTPException, ValueError):
                self.unknown.append(body)
                return
            if answer.status == 201:
                self.acknowledged.append((body, document["messages"][0]["key"]))
            else:
                self.refused.append(answer.status)
                if answer.status == 503:
                    self.unknown.append(body)
