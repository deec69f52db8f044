"""A server of live reads that is a log in memory: what the client's readers follow, without a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Union
from urllib.parse import parse_qs, urlsplit

import attrs

from queuey_client import Answer, Ask, NoAnswer, Opened
from tests.client.support import Server, message, problem

STABLE = {"stable_until": "2025-11-26T12:14:43.2112434Z"}
Piece = Union[bytes, NoAnswer, None]


def lines(*documents: Mapping[str, Any]) -> bytes:
    """What a server sends for these."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in documents)


def begun(place: str = "p0", retry: float = 2500) -> Mapping[str, Any]:
    """The first line."""
    return {"retry": retry, "next": place}


def came(number: int, **more: Any) -> Mapping[str, Any]:
    """A message; the place after it is ``p`` and its number."""
    return {"message": message(number, **more), "next": f"p{number}"}


def caught_up(place: str) -> Mapping[str, Any]:
    """All that is there has come."""
    return {"caught_up": STABLE, "next": place}


def gap(first: str, place: str) -> Mapping[str, Any]:
    """Messages are gone."""
    return {"gap": {"queue": "orders", "resume": "truncated", "first": first, "why": "purged"}, "next": place}


def refusal(code: str, status: int, **more: Any) -> Mapping[str, Any]:
    """The server ends the live read."""
    return {"problem": json.loads(problem(code, status, **more).body)}


@attrs.define
class Incoming:
    """An answer that is these pieces: bytes, a break, or ``None`` for a time in which nothing comes.

    :ivar server: whose clock moves while nothing comes.
    """

    server: LiveServer
    pieces: list[Piece]
    closed: bool = False

    def receive(self, seconds: float) -> bytes | None:
        """The next piece."""
        assert not self.closed
        self.server.waits.append(seconds)
        piece = self.pieces.pop(0) if self.pieces else None
        if piece is None:
            self.server.now += seconds
        if isinstance(piece, NoAnswer):
            raise piece
        return piece

    def close(self) -> None:
        """It may be called again."""
        self.closed = True


Connection = Union[Answer, NoAnswer, Sequence[Piece]]


class LiveServer(Server):
    """Answers live reads from a list of connections, and other requests as :class:`Server` does."""

    def __init__(self, *connections: Connection, replies: Sequence[Any] = ()) -> None:
        super().__init__(*replies)
        self.connections = list(connections)
        self.opened: list[Incoming] = []
        self.queries: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.waits: list[float] = []
        self.media_type = "application/x-ndjson"

    def open(self, ask: Ask) -> Answer:
        """Begin the next connection."""
        parts = urlsplit(ask.url)
        self.paths.append(parts.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.queries.append(asked if ask.body is None else json.loads(ask.body))
        assert ask.headers["Accept"] == "application/x-ndjson"
        connection = self.connect(self.queries[-1])
        if isinstance(connection, NoAnswer):
            raise connection
        if isinstance(connection, Answer):
            return connection
        self.opened.append(Incoming(self, list(connection)))
        return Opened(200, {"content-type": self.media_type}, incoming=self.opened[-1])

    def connect(self, query: Mapping[str, Any]) -> Connection:
        """What the next connection brings."""
        return self.connections.pop(0)

    @property
    def left_open(self) -> int:
        """How many connections were not closed."""
        return sum(not each.closed for each in self.opened)


class LogServer(LiveServer):
    """A log of some messages. Its first connections break after so many bytes; the rest are whole.

    :ivar size: bytes of a piece.
    """

    def __init__(self, count: int, cuts: Sequence[int], size: int) -> None:
        super().__init__()
        self._bodies = range(1, count + 1)
        self._cuts = list(cuts)
        self._size = size

    def connect(self, query: Mapping[str, Any]) -> Connection:
        """From the place that the client has, to the end."""
        place = query.get("after", "p0")
        sent = [begun(place), *[came(n, body=f"grüße {n}\n" * n) for n in self._bodies if n > int(place[1:])]]
        whole = lines(*sent, caught_up(f"p{len(self._bodies)}"))
        if not self._cuts:
            return list(self._pieces(whole))
        return [*self._pieces(whole[: self._cuts.pop(0)]), NoAnswer("cut")]

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        return (data[at : at + self._size] for at in range(0, len(data), self._size))
