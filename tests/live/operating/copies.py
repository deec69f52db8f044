"""``queuey copy`` as a process beside daemons, which tests kill, and have finish."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

import attrs

from tests.live.clients import HEADERS, TIMEOUT

BIN: Final = Path(sys.executable).parent

ENDS: Final = 300.0
"""Seconds within which a copy ends, on a machine that does other things as well."""


class Copy:
    """One run of the command.

    :ivar source: the settings of the store that is copied, and ``target`` those of the copy.
    """

    def __init__(self, source: Path, target: Path, *options: str) -> None:
        """Start it."""
        command = [str(BIN / "queuey"), "copy", *options, str(source), str(target)]
        self._output = target.with_name("copy-output")
        with self._output.open("wb") as stream:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT)

    def output(self) -> str:
        """What it has printed."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def wait(self) -> int:
        """Wait for its end.

        :return: its exit status.
        """
        return self._process.wait(ENDS)

    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def wait_until_it_says(self, text: str) -> None:
        """Return once it has printed this.

        :raise AssertionError: where it ends, or the time is over, before that.
        """
        deadline = time.monotonic() + ENDS
        while text not in self.output():
            if self.ended() or time.monotonic() > deadline:
                raise AssertionError(f"{text!r} is not in what it printed:\n{self.output()}")
            time.sleep(0.05)

    def end(self, number: int = signal.SIGKILL) -> int:
        """Send it a signal, and wait for its end.

        :return: its exit status; also where it had ended by itself.
        """
        if not self.ended():
            self._process.send_signal(number)
        return self._process.wait(ENDS)


def killed_again_and_again(source: Path, target: Path, times: int, random: Random, longest: float) -> int:
    """Begin copies, which go on for as long as somebody serves, and kill each some time after it has got to work.

    :param longest: seconds after which one is killed.
    :return: how many were killed before their end.
    """
    killed = 0
    for _ in range(times):
        copy = Copy(source, target, "--finish")
        copy.wait_until_it_says("copying ")
        time.sleep(random.random() * longest)
        killed += copy.end() == -signal.SIGKILL
    return killed


@attrs.frozen
class Before:
    """What clients of a store have in their hands before it moves.

    :ivar cursor: of a reader who has read three messages.
    :ivar receipts: of two messages that a worker has claimed.
    :ivar ids: of all messages, and ``keyed`` that of the one that was posted under a key.
    :ivar tags: the entity tags of the queue and of the group.
    """

    cursor: str
    receipts: tuple[str, ...]
    ids: tuple[str, ...]
    keyed: str
    tags: tuple[str, ...]


QUEUE: Final = "/v2/queuey/queues/handed"
GROUP: Final = f"{QUEUE}/groups/crew"
KEYED: Final = {"Idempotency-Key": '"once"', "Content-Type": "text/plain", "Queuey-Headers": "%7B%22a%22%3A1%7D"}
JSON: Final = {"Content-Type": "application/json"}


def ask(port: int, method: str, path: str, body: object = None, **headers: str) -> tuple[Any, Mapping[str, str]]:
    """One request that is answered 2xx.

    :param body: bytes as they are, or what is sent as JSON.
    :return: what was answered, and the fields of its head.
    """
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    more = JSON if data is not body else {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request(method, path, data, {**HEADERS, **more, **headers})
        answer = connection.getresponse()
        document = json.loads(answer.read() or b"null")
        assert 200 <= answer.status < 300, (method, path, answer.status, document)
        return document, dict(answer.headers)
    finally:
        connection.close()


def before(port: int) -> Before:
    """Have something of everything."""
    ask(port, "PUT", QUEUE, {"partitions": 2, "ttl": 5000})
    ask(port, "PUT", GROUP, {"lease": 900, "guarantee": "exactly-once"})
    ids = []
    for number in range(6):
        posted, _ = ask(port, "POST", f"{QUEUE}/messages", b"%d" % number)
        ids.append(posted["messages"][0]["id"] if "messages" in posted else posted["id"])
    keyed, _ = ask(port, "POST", f"{QUEUE}/messages", b"keyed", **KEYED)
    ask(port, "POST", f"{QUEUE}/messages?delay=1000", b"delayed")
    ask(port, "PUT", f"{QUEUE}/messages/{ids[5]}", b"5, written anew")
    page = wait_for(lambda: ask(port, "GET", f"{QUEUE}/messages?limit=3")[0], lambda page: len(page["messages"]) == 3)
    claimed = wait_for(
        lambda: ask(port, "POST", f"{GROUP}/claims", {"limit": 2})[0], lambda found: bool(found["messages"])
    )
    tags = tuple(ask(port, "GET", path)[1]["ETag"] for path in (QUEUE, GROUP))
    receipts = tuple(message["receipt"] for message in claimed["messages"])
    return Before(page["next"], receipts, tuple(ids), keyed["messages"][0]["id"], tags)


def problems_after(port: int, had: Before) -> list[str]:
    """What does not hold any more of what clients had, where the copy of their store is served from."""
    wrong = []
    again, headers = ask(port, "POST", f"{QUEUE}/messages", b"keyed", **KEYED)
    if (again["messages"][0]["id"], headers.get("Idempotency-Replayed")) != (had.keyed, "true"):
        wrong.append(f"the repeat was answered {again}")
    page = wait_for(
        lambda: ask(port, "GET", f"{QUEUE}/messages?after={had.cursor}&limit=100")[0],
        lambda page: len(page["messages"]) >= 4,
    )
    if sorted(message["body"] for message in page["messages"]) != ["3", "4", "5, written anew", "keyed"]:
        wrong.append(f"the reader goes on to {page['messages']}")
    settled, _ = ask(port, "POST", f"{GROUP}/settlements", {"ack": list(had.receipts)})
    if [one["outcome"] for one in settled["outcomes"]] != ["acked"] * len(had.receipts):
        wrong.append(f"the receipts were answered {settled['outcomes']}")
    wrong += [
        f"{path} has another tag"
        for path, tag in zip((QUEUE, GROUP), had.tags, strict=True)
        if ask(port, "GET", path)[1]["ETag"] != tag
    ]
    described, _ = ask(port, "GET", QUEUE)
    if (described["partitions"], described["ttl"]) != (2, 5000):
        wrong.append(f"the queue is {described}")
    left, _ = wait_claims(port, 7 - len(had.receipts))
    if left != 7 - len(had.receipts):
        wrong.append(f"the group has {left} messages left")
    posted, _ = ask(port, "POST", f"{QUEUE}/messages", b"after")
    newest = (posted["messages"][0] if "messages" in posted else posted)["id"]
    if newest <= max(had.ids):
        wrong.append(f"a new id is {newest}, and there were {had.ids}")
    return wrong


def wait_claims(port: int, wanted: int) -> tuple[int, list[Any]]:
    """Claim until there are so many messages, or nothing comes any more; how many there were."""
    found: list[Any] = []
    empty = 0
    while len(found) < wanted and empty < 20:
        some = ask(port, "POST", f"{GROUP}/claims", {"limit": 10, "wait": 1})[0]["messages"]
        found += some
        empty += not some
    return len(found), found


def wait_for(look: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """Look until something is so, which a store of many front ends may take some seconds for."""
    deadline = time.monotonic() + ENDS
    while not wanted(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found
