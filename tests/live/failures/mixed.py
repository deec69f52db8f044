"""Clients that do everything at once, and know afterwards what must be there, what must not, and what may be either.

Each worker has messages and queues of its own, so what it knows of them is exact. Before a request is sent, the outcome
counts as open: what was before, or what is asked for. Its answer decides: 2xx for the one, 4xx and 507 for the other.
503 or no answer leave it open until a later look settles it.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any
from urllib.parse import urlencode

import attrs

from queuey.model.timeid import from_seconds, from_v1_hex, make, to_v1_hex
from tests.live.clients import HEADERS, TIMEOUT, ask, read_all

QUEUE = "q"
PATH = f"/v1/queuey/{QUEUE}"
OWN_TIMES = 1_600_000_000.0
"""Where the ids begin that workers choose themselves: seconds since 1970, long ago."""
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Gone(Exception):
    """The server does not answer any more."""


@attrs.define
class Worker:
    """One client, over one connection after another.

    :ivar messages: the bodies that each id may have; ``None`` stands for no message.
    :ivar unanswered: bodies of POSTs that may be there, each POST whole or not at all.
    :ivar queues: what each queue of its own may hold; ``None`` stands for no queue.
    :ivar statuses: how many answers there were of each.
    :ivar problems: what was wrong with answers while it worked.
    """

    name: str
    random: Random
    size: int = 30
    messages: dict[str, set[str | None]] = attrs.Factory(dict)
    unanswered: list[tuple[str, ...]] = attrs.Factory(list)
    queues: dict[str, set[tuple[str, ...] | None]] = attrs.Factory(dict)
    statuses: dict[int, int] = attrs.Factory(dict)
    problems: list[str] = attrs.Factory(list)
    last: bytes = b""
    _number: int = 0
    _stopped: threading.Event = attrs.Factory(threading.Event)
    _thread: threading.Thread | None = None
    _connection: http.client.HTTPConnection | None = None

    def start(self, port: int) -> Worker:
        """Begin to work in a thread."""
        self._stopped.clear()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def finish(self) -> Worker:
        """Stop, and wait for the last answer."""
        self._stopped.set()
        assert self._thread is not None
        self._thread.join(TIMEOUT + 5)
        assert not self._thread.is_alive()
        return self

    @property
    def acknowledged(self) -> int:
        """How many requests were answered 2xx."""
        return sum(number for status, number in self.statuses.items() if status < 300)

    def _run(self) -> None:
        steps = [self._post, self._post, self._batch, self._batch, self._put_new, self._put_over, self._delete,
                 self._look, self._live_of_a_queue]  # fmt: skip
        try:
            while not self._stopped.is_set():
                self.random.choice(steps)()
        except Gone:
            pass
        except Exception as error:
            self.problems.append(repr(error))
        finally:
            assert self._connection is not None
            self._connection.close()

    def _ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        assert self._connection is not None
        try:
            self._connection.request(method, path, body, {**HEADERS, **headers})
            answer = self._connection.getresponse()
            document = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            raise Gone from None
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        if answer.status >= 400 and answer.status not in (503, 507):
            self.problems.append(f"{method} {path}: {answer.status} {document}")
        return answer.status, document

    def _new_body(self) -> str:
        self._number += 1
        return f"{self.name}-{self._number}-" + "x" * self.random.randrange(self.size)

    # What it does

    def _post(self) -> None:
        self._send_new((self._new_body(),), {"Content-Type": "text/plain"})

    def _batch(self) -> None:
        bodies = tuple(self._new_body() for _ in range(self.random.randint(2, 6)))
        self._send_new(bodies, {"Content-Type": "application/json"})

    def _send_new(self, bodies: tuple[str, ...], headers: dict[str, str]) -> None:
        text = json.dumps({"messages": [{"body": body} for body in bodies]}) if len(bodies) > 1 else bodies[0]
        self.unanswered.append(bodies)
        status, document = self._ask("POST", PATH, text.encode(), **headers)
        if status != 503:
            self.unanswered.pop()
        if status == 201:
            for body, stored in zip(bodies, document["messages"], strict=True):
                self.messages[stored["key"]] = {body}
                self._rises(stored["key"])

    def _rises(self, key: str) -> None:
        id = from_v1_hex(key)
        if id is None or id <= self.last:
            self.problems.append(f"the id {key} does not rise")
        else:
            self.last = id

    def _put_new(self) -> None:
        self._number += 1
        id = make(from_seconds(OWN_TIMES + self._number), 1, int.from_bytes(self.name.encode()[-5:]))
        self._change("PUT", [to_v1_hex(id)], self._new_body())

    def _put_over(self) -> None:
        self._change("PUT", self._some(), self._new_body())

    def _delete(self) -> None:
        self._change("DELETE", self._some(), None)

    def _some(self) -> list[str]:
        """Ids that it knows all about; some are of messages that it has deleted."""
        known = list(self.messages)[-200:]
        picked = self.random.sample(known, min(len(known), self.random.randint(1, 3)))
        return [id for id in picked if len(self.messages[id]) == 1]

    def _change(self, method: str, ids: Sequence[str], body: str | None) -> None:
        if not ids:
            return
        before = {id: self.messages.get(id, {None}) for id in ids}
        self.messages.update({id: {*states, body} for id, states in before.items()})
        encoded = None if body is None else body.encode()
        status, _ = self._ask(method, f"{PATH}/{','.join(ids)}", encoded)
        if status == 200:
            self.messages.update({id: {body} for id in ids})
        elif status != 503:
            self.messages.update(before)

    def _look(self) -> None:
        ids = self._some()
        if not ids:
            return
        status, document = self._ask("GET", f"{PATH}/{','.join(ids)}")
        if status == 200:
            found = {message["message_id"]: message["body"] for message in document["messages"]}
            for id in ids:
                if {found.get(id)} != self.messages[id]:
                    self.problems.append(f"{id} is {found.get(id)}, not {self.messages[id]}")

    def _live_of_a_queue(self) -> None:
        """Make a queue, post to it, delete it, make it again; any of these may be the last that is done."""
        self._number += 1
        name, body = f"{self.name}-{self._number}", self._new_body()
        form = urlencode({"queue_name": name}).encode()
        self.queues[name] = {None}
        steps: list[tuple[tuple[str, ...] | None, tuple[str, str, bytes | None, dict[str, str]]]] = [
            ((), ("POST", "/v1/queuey", form, FORM)),
            ((body,), ("POST", f"/v1/queuey/{name}", body.encode(), {})),
            (None, ("DELETE", f"/v1/queuey/{name}", None, {})),
            ((), ("POST", "/v1/queuey", form, FORM)),
        ]
        for state, (method, path, text, headers) in steps[: self.random.randint(1, len(steps))]:
            before = self.queues[name]
            self.queues[name] = {*before, state}
            status, _ = self._ask(method, path, text, **headers)
            if status not in (200, 201):
                self.queues[name] = {*before, state} if status == 503 else before
                return
            self.queues[name] = {state}

    # What it finds

    def check(self, port: int, stored: dict[str, str]) -> list[str]:
        """Compare what it knows with what is there, and settle what was open.

        :param stored: all messages of the shared queue.
        :return: what is wrong.
        """
        wrong, self.problems = self.problems, []
        for id, allowed in self.messages.items():
            if stored.get(id) not in allowed:
                wrong.append(f"{id} is {stored.get(id)}, not one of {allowed}")
            self.messages[id] = {stored.get(id)}
        mine = {id: body for id, body in stored.items() if body.startswith(f"{self.name}-")}
        unexpected = {id: body for id, body in mine.items() if id not in self.messages}
        wrong += self._settle_posts(unexpected)
        for name in self.queues:
            wrong += self._check_queue(port, name)
        return wrong

    def _settle_posts(self, found: dict[str, str]) -> Iterable[str]:
        bodies = list(found.values())
        for post in self.unanswered:
            present = [body for body in bodies if body in post]
            if present not in ([], list(post)):
                yield f"of the POST of {post} there is {present}"
        known = {body for post in self.unanswered for body in post}
        yield from (f"{body} was never sent, or refused" for body in bodies if body not in known)
        self.messages.update({id: {body} for id, body in found.items()})
        self.unanswered = []

    def _check_queue(self, port: int, name: str) -> Iterable[str]:
        status, document = ask(port, "GET", f"/v1/queuey/{name}")
        found = tuple(message["body"] for message in document["messages"]) if status == 200 else None
        if found not in self.queues[name] or status not in (200, 404):
            yield f"the queue {name} is {found} ({status}), not one of {self.queues[name]}"
        self.queues[name] = {found}


def workers(number: int, seed: int, size: int = 30) -> list[Worker]:
    """So many of them; what they do is chosen by the seed."""
    return [Worker(f"w{place}", Random(seed * 100 + place), size) for place in range(number)]


def problems(port: int, crew: Sequence[Worker]) -> list[str]:
    """What a daemon has, compared with what the workers know; nothing is wrong where the list is empty."""
    messages = read_all(port, QUEUE)
    stored = {message["message_id"]: message["body"] for message in messages}
    wrong = [] if len(stored) == len(messages) else ["an id came twice"]
    ids = [from_v1_hex(message["message_id"]) or b"" for message in messages]
    if ids != sorted(ids):
        wrong.append("ids do not rise")
    for worker in crew:
        wrong += worker.check(port, stored)
    return wrong
