"""Changes that operators make while clients post: no request may fail, and each change is in force in time."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from queuey.cli import ops

IN_FORCE: Final = 2.0
"""Seconds after the answer to a change, from which on no request may be begun that does not meet it."""

TIMEOUT: Final = 60.0
APPLICATION: Final = "shop"
QUEUE: Final = f"/v2/{APPLICATION}/queues/q/messages"
QUIET: Final = f"/v2/{APPLICATION}/queues/quiet"
"""A queue to which nobody posts while others wait there."""


def call(to: str, method: str, /, **params: Any) -> Any:
    """What a method of the operators' port returns."""
    connection = ops.connect(to)
    try:
        return ops.call(connection, method, params, None)
    finally:
        connection.close()


def ask(port: int, key: str, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    """One request of the application, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        kind = "text/plain" if path.endswith("/messages") else "application/json"
        connection.request(method, path, body, _headers(key, kind))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def _headers(key: str, kind: str = "text/plain") -> dict[str, str]:
    return {"Authorization": f"Application {key}", "Content-Type": kind}


def in_force(probe: Callable[[], bool], since: float) -> float:
    """Ask until a change is in force; how long after it the request was begun that met it.

    :param since: when the change was answered, by the monotonic clock.
    """
    while True:
        begun = time.monotonic()
        if probe():
            return begun - since
        assert begun - since < IN_FORCE, f"not in force {begun - since:.1f} s after it was answered"
        time.sleep(0.02)


@attrs.define
class Clients:
    """Clients that post, each over one connection, with the key that is the present one.

    :ivar key: the present one.
    :ivar pause: seconds between two posts of one client.
    :ivar posted: how many posts each client has begun with each key.
    :ivar statuses: of all answers.
    :ivar broken: what else went wrong.
    """

    ports: Sequence[int]
    number: int
    key: str
    pause: float
    posted: list[Counter[str]] = attrs.Factory(list)
    statuses: Counter[int] = attrs.Factory(Counter)
    broken: list[str] = attrs.Factory(list)
    _stopped: threading.Event = attrs.Factory(threading.Event)
    _lock: threading.Lock = attrs.Factory(threading.Lock)
    _threads: list[threading.Thread] = attrs.Factory(list)

    def start(self) -> None:
        """Let all of them post, each in a thread."""
        self.posted = [Counter() for _ in range(self.number)]
        self._threads = [threading.Thread(target=self._run, args=(place,)) for place in range(self.number)]
        for thread in self._threads:
            thread.start()

    def each_posts(self, more: int) -> None:
        """Wait until each of them has had so many more answers to posts with the present key."""
        before = [counter[self.key] for counter in self.posted]
        deadline = time.monotonic() + TIMEOUT
        while not all(now[self.key] > then + more for now, then in zip(self.posted, before, strict=True)):
            assert not self.broken, self.broken
            assert time.monotonic() < deadline, "some client does not post any more"
            time.sleep(0.02)

    def finish(self) -> None:
        """Wait for the last answers."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(2 * TIMEOUT)

    def _run(self, place: int) -> None:
        port = self.ports[place % len(self.ports)]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        try:
            while not self._stopped.is_set():
                key = self.key
                connection.request("POST", QUEUE, b"x" * 140, _headers(key))
                answer = connection.getresponse()
                answer.read()
                with self._lock:
                    self.statuses[answer.status] += 1
                self.posted[place][key] += 1
                self._stopped.wait(self.pause)
        except Exception as error:
            self.broken.append(repr(error))
        finally:
            connection.close()


class Wait:
    """A request that waits, in a thread of its own.

    :ivar status: of its answer, and ``body``.
    :ivar ended: when that was there, by the monotonic clock.
    """

    def __init__(self, port: int, key: str, method: str, path: str, body: bytes | None) -> None:
        self._asked = port, key, method, path, body
        self.status = 0
        self.body: Any = None
        self.ended = 0.0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.status, self.body = ask(*self._asked)
        self.ended = time.monotonic()

    @property
    def goes_on(self) -> bool:
        """Whether it waits."""
        return self._thread.is_alive()

    def finish(self) -> None:
        """Wait for its answer."""
        self._thread.join(TIMEOUT)
        assert not self.goes_on, self._asked


def waits(port: int, key: str) -> list[Wait]:
    """A read and a claim that wait."""
    return [
        Wait(port, key, "GET", f"{QUIET}/messages?wait=20", None),
        Wait(port, key, "POST", f"{QUIET}/groups/g/claims", b'{"wait": 20, "limit": 1}'),
    ]


def rotate(to: str, ports: Sequence[int], number: int, pause: float, say: Callable[[str], None]) -> list[str]:
    """Make an application; while its clients post change its key, its policy and its limits, and revoke the old key.

    :param to: the operators' port, of one of the front ends.
    :param ports: of all front ends.
    :return: the keys that there were.
    """
    call(to, "applications.set", name=APPLICATION, create_queues="on-write", ttl=1000)
    old = str(call(to, "keys.add", application=APPLICATION)["key"])
    since = time.monotonic()
    times = [in_force(lambda port=port: ask(port, old, "GET", f"/v2/{APPLICATION}")[0] == 200, since) for port in ports]  # type: ignore[misc]
    say(f"an application is known after {', '.join(f'{one:.2f}' for one in times)} s")
    assert ask(ports[0], old, "POST", QUEUE, b"first")[0] == 201
    assert ask(ports[0], old, "PUT", QUIET, b"{}")[0] == 201
    assert ask(ports[0], old, "PUT", f"{QUIET}/groups/g", b"{}")[0] == 201

    clients = Clients(ports, number, old, pause)
    clients.start()
    try:
        clients.each_posts(3)
        new = str(call(to, "keys.add", application=APPLICATION)["key"])
        since = time.monotonic()
        for port in ports:
            in_force(lambda port=port: ask(port, new, "GET", f"/v2/{APPLICATION}")[0] == 200, since)  # type: ignore[misc]
        clients.key = new
        clients.each_posts(3)

        call(to, "policies.set", application=APPLICATION, ttl=2000)
        call(to, "limits.set", application=APPLICATION, max_body=1000)
        since = time.monotonic()
        for port in ports:

            def changed(port: int = port) -> bool:
                told = ask(port, new, "GET", f"/v2/{APPLICATION}")[1]
                return (told["ttl"], told["limits"]["max_body"]) == (2000, 1000)

            say(f"a policy is in force after {in_force(changed, since):.2f} s")
            assert ask(port, new, "POST", QUEUE, b"x" * 1001)[0] == 413
        clients.each_posts(3)

        (first, _) = call(to, "keys.list", application=APPLICATION)
        cut = [wait for port in ports for wait in waits(port, old)]
        others = [wait for port in ports for wait in waits(port, new)]
        time.sleep(1)  # for all of them to wait; one that came later would be refused as well
        call(to, "keys.revoke", application=APPLICATION, id=first["id"])
        since = time.monotonic()
        for port in ports:
            took = in_force(lambda port=port: ask(port, old, "GET", f"/v2/{APPLICATION}")[0] == 401, since)  # type: ignore[misc]
            say(f"a revoked key is refused after {took:.2f} s")
        for wait in cut:
            wait.finish()
        say(f"what waits is told after {max(wait.ended for wait in cut) - since:.2f} s")
        assert [wait.status for wait in cut] == [401] * len(cut), [(wait.status, wait.body) for wait in cut]
        assert all(wait.goes_on for wait in others), [(wait.status, wait.body) for wait in others]
        for port in ports:
            # One claim takes one message, whichever front end it waits at.
            assert ask(port, new, "POST", f"{QUIET}/messages", b"for those who waited")[0] == 201
        for wait in others:
            wait.finish()
        assert [wait.status for wait in others] == [200] * len(others), [(wait.status, wait.body) for wait in others]
        clients.each_posts(3)
    finally:
        clients.finish()
    say(f"{sum(clients.statuses.values())} posts of {number} clients: {dict(clients.statuses)}")
    assert clients.broken == [], clients.broken
    assert set(clients.statuses) == {201}, clients.statuses
    count = call(to, "queues.describe", application=APPLICATION, queue="q")["messages"]
    assert count == clients.statuses[201] + 1, (count, clients.statuses)
    return [old, new]


def with_secret(folder: Path, secrets: Sequence[str]) -> list[str]:
    """The files of a folder, and of the folders in it, that have any of these in them, as text or as bytes in hex."""
    wanted = [form for secret in secrets for form in (secret.encode(), secret.encode().hex().encode())]
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert files, folder
    return [str(path.relative_to(folder)) for path in files if any(one in path.read_bytes() for one in wanted)]
