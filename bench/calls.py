"""How many functions are called for a request: a whole daemon in one process, without sockets and threads.

That says nothing of time, and does not depend on the machine, nor on what else it does: a layer that somebody adds
shows at once. Calls are classified by the part of the daemon that they are in; those of functions that are written in C
belong to the part that calls them.

    python -m bench.calls [ROUNDS]
"""

from __future__ import annotations

import pstats
import secrets
import tempfile
import uuid
from collections import Counter, deque
from collections.abc import Callable, Sequence
from cProfile import Profile
from pathlib import Path
from typing import Any, Final

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection

from bench.arguments import Number, run
from bench.protocols import Queuey
from bench.servers import batch, queuey_command, request
from queuey import config
from queuey.config import SQLiteStorage
from queuey.http.connection.channel import Channel
from queuey.interfaces import IStore
from queuey.logs import open_log
from queuey.service.assembly import assemble
from queuey.storage.caching import CachedStore
from queuey.storage.metered import MeteredStore
from queuey.storage.sqlite import SQLiteSettings, SQLiteStore
from queuey.storage.sqlite.group_commit import GroupCommit, Job
from queuey.storage.timed import TimedStore

CONNECTIONS: Final = 32
BEGIN: Final = 1_800_000_000.0
TURN: Final = 0.001
"""Seconds from one turn to the next."""

_SERVER: Final = (
    "wire.py", "heads/head", "heads/remembered.py", "bodies/body", "connection/channel.py", "connection/lifetime.py",
    "connection/outgoing.py", "connection/sending.py",
)  # fmt: skip
_ANSWER: Final = (
    "requests/", "answers/problems.py", "answers/addresses.py", "answers/encoding.py", "answers/messages.py",
    "answers/pieces.py", "admission/cors.py", "admission/rates.py",
    "connection/limits.py", "v1/representations.py", "v2/representations/",
)  # fmt: skip

PARTS: Final = (
    ("the HTTP server", tuple(f"http/{name}" for name in _SERVER)),
    ("the answer", (*(f"http/{name}" for name in _ANSWER), "service/")),
    ("the log", ("logs/",)),
    (
        "commands of groups",
        (
            "model/groups/",
            "storage/group_",
            "storage/sqlite/groups",
            "storage/sqlite/writing/group_",
            "storage/sqlite/reading/read_ahead",
        ),
    ),
    ("who asks, and for what", ("http/", "auth/")),
    ("the core", ("core/", "interfaces", "model/")),
    ("the store", ("storage/",)),
)
"""The parts, each with the beginnings of its modules' names; the first that fits is it."""

DEFERREDS: Final = "Deferreds and coroutines"
OTHER: Final = "Twisted and Python"

POSTS: Final = {
    "v1": request("POST", "/v1/bench/q", b"x" * 140, Content_Type="text/plain"),
    "v2": request("POST", "/v2/bench/queues/q/messages", b"x" * 140, Content_Type="text/plain"),
}
BATCH: Final = 100
LINES: Final = b'{"body":"%b"}\n' % (b"x" * 140) * BATCH
_TYPE: Final = "application/vnd.queuey.messages+json"
BATCHES: Final = {
    "a batch through v1": request("POST", "/v1/bench/q", batch(BATCH, 140), Content_Type="application/json"),
    "a batch through v2": request("POST", "/v2/bench/queues/q/messages", batch(BATCH, 140), Content_Type=_TYPE),
    "a stream": request("POST", "/v2/bench/queues/q/messages", LINES, Content_Type="application/x-ndjson"),
}
PAGES: Final = {
    "v1": request("GET", "/v1/bench/full?limit=100"),
    "v2": request("GET", "/v2/bench/queues/full/messages?limit=100"),
}

GROUP: Final = "/v2/bench/queues/jobs/groups/g"
WAYS: Final = ("a claim of one message", "a settlement of one receipt", "a claim that settles")


class Piles:
    """Holds back the store's write batches until a turn is over."""

    def __init__(self) -> None:
        self._woken: deque[GroupCommit[Any]] = deque()

    def start(self, batch: GroupCommit[Any]) -> None:
        """See Runner."""

    def gathered(self, batch: GroupCommit[Any]) -> None:
        """See Runner."""
        self._woken.append(batch)

    left = gathered

    def answer(self, function: Callable[[Sequence[Job[Any]]], None], jobs: Sequence[Job[Any]]) -> None:
        """See Runner."""
        function(jobs)

    def take(self) -> None:
        """Do everything that waits."""
        while self._woken:
            self._woken.popleft().take()


class Wire(Connection):
    """A socket that takes everything; what it was sent is kept."""

    connected = 1

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def getHandle(self) -> Wire:  # type: ignore[override]
        """The socket itself."""
        return self

    def send(self, data: bytes) -> int:
        """Take it."""
        self.sent.append(data)
        return len(data)

    def write(self, data: bytes) -> None:
        """Take it."""
        self.sent.append(data)

    def getPeer(self) -> IPv4Address:
        """The other end."""
        return IPv4Address("TCP", "127.0.0.1", 40000)

    getHost = getPeer

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing is ever delayed."""

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """It never asks anybody to pause."""


class Daemon:
    """A daemon in this process; its time goes on with its turns alone."""

    def __init__(self, folder: Path) -> None:
        self._clock = Clock()
        self._clock.rightNow = BEGIN
        self._piles = Piles()
        queuey_command(folder, 1)
        settings = config.load(folder / "queuey.ini")
        log = open_log(settings.logging.file, settings.logging.format, settings.logging.level, 2, self._now)
        assert isinstance(settings.storage, SQLiteStorage)
        store = self._store(settings.storage)
        self.assembly = assemble(settings, self._clock, self._now, store, log, _no_web, alone=True)
        self._close = log.close
        store.open()
        form = "application/x-www-form-urlencoded"
        self.ask(1, request("POST", "/v1/bench", b"queue_name=q", Content_Type=form))
        self.ask(1, request("POST", "/v1/bench", b"queue_name=full", Content_Type=form))
        self.ask(1, request("POST", "/v1/bench/full", batch(101, 140), Content_Type="application/json"))

    def _now(self) -> float:
        return self._clock.rightNow

    def _store(self, settings: SQLiteStorage) -> IStore:
        told = self._now
        node, sequence = secrets.randbits(48), secrets.randbits(14)
        sqlite = SQLiteStore(
            settings.path,
            SQLiteSettings(),
            self._clock,
            told,
            self._piles,
            node,
            sequence,
            lambda: uuid.uuid4().hex,
            secrets.randbits,
        )
        cached = CachedStore(sqlite, 4096)
        return MeteredStore(TimedStore(cached, self._clock, 10.0, 3.0), self._clock)

    def connect(self) -> tuple[Channel, Wire]:
        """Open a connection."""
        channel, wire = self.assembly.site.buildProtocol(None), Wire()
        channel.makeConnection(wire)
        return channel, wire

    def turn(self) -> None:
        """Let the store work, and the reactor's turn end."""
        self._piles.take()
        self._clock.advance(TURN)

    def ask(self, rounds: int, asked: bytes, profile: Profile | None = None) -> None:
        """Send a request again and again over as many connections as there are.

        :raise RuntimeError: where one is not answered as it should be.
        """
        connections = [self.connect() for _ in range(CONNECTIONS if profile else 1)]
        each = [asked] * len(connections)
        self.answers(connections, each)
        if profile is not None:
            for _ in range(2):
                self.answers(connections, each)
            for _ in range(rounds):
                self.answers(connections, each, profile)

    def answers(
        self, connections: Sequence[tuple[Channel, Wire]], asked: Sequence[bytes], profile: Profile | None = None
    ) -> list[bytes]:
        """Send a request over each connection, all in one turn, and return the answers.

        :raise RuntimeError: if one is not answered as it should be.
        """
        if profile is not None:
            profile.enable()
        for (channel, _), one in zip(connections, asked, strict=True):
            channel.dataReceived(one)
        self.turn()
        if profile is not None:
            profile.disable()
        answers = []
        for one, (_, wire) in zip(asked, connections, strict=True):
            if not wire.sent or not wire.sent[0].startswith(b"HTTP/1.1 20"):
                raise RuntimeError(f"{one[:60]!r} was answered {wire.sent!r}")
            answers.append(b"".join(wire.sent))
            wire.sent.clear()
        return answers

    def close(self) -> None:
        """Close its files."""
        self.assembly.store.close()
        self._piles.take()
        self._close()


def _no_web() -> Any:
    raise AssertionError("nobody is to be asked")


@attrs.frozen
class Calls:
    """The calls of functions for one request, by part."""

    parts: dict[str, float]

    @property
    def all(self) -> float:
        """All of them."""
        return sum(self.parts.values())


def counted(daemon: Daemon, rounds: int, asked: bytes) -> Calls:
    """The calls for one of many equal requests."""
    profile = Profile()
    daemon.ask(rounds, asked, profile)
    return _calls(profile, rounds)


def counted_claims(daemon: Daemon, rounds: int) -> dict[str, Calls]:
    """The calls for each of ``WAYS``, by workers that do the same again and again; each has a connection of its own.

    The group and its messages are made here.
    """
    form = "application/x-www-form-urlencoded"
    daemon.ask(1, request("POST", "/v1/bench", b"queue_name=jobs", Content_Type=form))
    daemon.ask(1, request("PUT", GROUP, b"{}", Content_Type="application/json"))
    profiles = [Profile() for _ in WAYS]
    _take_and_ack(daemon, rounds, *profiles[:2])
    _take_fused(daemon, rounds, profiles[2])
    return {way: _calls(profile, rounds) for way, profile in zip(WAYS, profiles, strict=True)}


def _take_and_ack(daemon: Daemon, rounds: int, claims: Profile, settlements: Profile) -> None:
    """Claim a message and ack it, over each connection."""
    workers, connections = _workers(daemon, fused=False)
    for at in range(-3, rounds):
        _fill(daemon)
        asked = [worker.take() for worker in workers]
        answers = daemon.answers(connections, asked, claims if at >= 0 else None)
        asked = [worker.ack(worker.taken(answer)) for worker, answer in zip(workers, answers, strict=True)]
        answers = daemon.answers(connections, asked, settlements if at >= 0 else None)
        for worker, answer in zip(workers, answers, strict=True):
            worker.acked(answer)


def _take_fused(daemon: Daemon, rounds: int, claims: Profile) -> None:
    """Claim a message over each connection, and settle the one before."""
    workers, connections = _workers(daemon, fused=True)
    _fill(daemon)
    answers = daemon.answers(connections, [worker.take() for worker in workers])
    for at in range(-3, rounds):
        _fill(daemon)
        asked = [worker.take(worker.taken(answer)) for worker, answer in zip(workers, answers, strict=True)]
        answers = daemon.answers(connections, asked, claims if at >= 0 else None)


def _workers(daemon: Daemon, *, fused: bool) -> tuple[list[Queuey], list[tuple[Channel, Wire]]]:
    """Workers, and the connection of each."""
    workers = [Queuey(GROUP, 1, fused, number, CONNECTIONS) for number in range(CONNECTIONS)]
    return workers, [daemon.connect() for _ in workers]


def _fill(daemon: Daemon) -> None:
    """Post a message for each worker."""
    messages = batch(CONNECTIONS, 140)
    daemon.ask(1, request("POST", "/v1/bench/jobs", messages, Content_Type="application/json"))


def _calls(profile: Profile, rounds: int) -> Calls:
    """The calls for each of the requests that a profile is of."""
    parts: Counter[str] = Counter()
    for (file, _, name), (_, calls, _, _, callers) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        if file == __file__:
            continue
        if file != "~":
            parts[part(file, name)] += calls
            continue
        for (caller, _, its_name), (_, some, _, _) in callers.items():
            if caller != __file__:
                parts[part(caller, its_name)] += some
    return Calls({name: calls / (rounds * CONNECTIONS) for name, calls in parts.items()})


def part(file: str, name: str) -> str:
    """The part that a function is in."""
    if "queuey.deferreds" in file or file.endswith(("queuey/deferreds.py", "internet/defer.py")):
        return DEFERREDS
    if file.startswith("<attrs generated"):
        # Its last word is that of the class.
        file = file.partition("queuey.")[2].rpartition(".")[0].replace(".", "/") + ".py"
    elif "/queuey/" in file:
        file = file.rpartition("/queuey/")[2]
    else:
        return OTHER
    return next((told for told, beginnings in PARTS if file.startswith(beginnings)), OTHER)


def show(what: str, calls: Calls) -> None:
    """Print how many calls there are, by part."""
    print(f"{what}: {calls.all:.1f} calls of functions")
    for name, number in sorted(calls.parts.items(), key=lambda item: -item[1]):
        print(f"    {number:6.1f}  {name}", flush=True)


def main(rounds: int) -> None:
    """Count and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as folder:
        daemon = Daemon(Path(folder))
        for api, asked in POSTS.items():
            show(f"POST of one message through {api}", counted(daemon, rounds, asked))
        for way, asked in BATCHES.items():
            print(f"message of {BATCH} in {way}: {counted(daemon, rounds, asked).all / BATCH:.1f} calls of functions")
        for way, calls in counted_claims(daemon, rounds).items():
            show(way, calls)
        for api, asked in PAGES.items():
            show(f"page of 100 messages through {api}", counted(daemon, rounds, asked))
        daemon.close()


if __name__ == "__main__":
    run(main, rounds=Number(20))
