"""A proxy that cuts connections: before a request goes through, within it, after it, and within its answer."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from enum import Enum
from random import Random
from select import select
from typing import Final

import attrs

LIMIT: Final = 30.0
"""Seconds for which a connection may stand still."""

PIECE: Final = 1 << 16
ANSWER: Final = 600
"""Bytes of answers of which the last may be passed on; most answers have fewer."""

SOON: Final = 0.02
"""Seconds that a server has at the most for a request whose client goes away at once."""

_RESET: Final = struct.pack("ii", 1, 0)
_LENGTH: Final = re.compile(rb"(?im)^content-length: *([0-9]+)")


class Cut(Enum):
    """Where a connection is cut."""

    BEFORE = "before the request"
    WITHIN = "within the request"
    AFTER = "after the request"
    UNANSWERED = "before the answer"
    HALF = "within the answer"


@attrs.frozen
class Fate:
    """What becomes of one connection.

    :ivar passed: requests that are passed on, and answered, before the one that is cut.
    :ivar share: how much of the request, or of an answer, goes through; below 1.
    :ivar reset: whether both ends get a reset at once, and what is under way is thrown away.
    """

    cut: Cut
    passed: int
    share: float
    reset: bool


class _Over(Exception):
    """The connection ends here."""


class Proxy:
    """Listens on a port of its own, and passes what comes there on to another port of loopback.

    It is a Target of clients. Requests must tell the length of their bodies.

    :ivar cuts: how many connections were cut, by where.
    """

    def __init__(self, name: str, target: int, random: Random, most: int = 12) -> None:
        """Listen.

        :param name: of what is behind it.
        :param target: the port.
        :param random: decides about one connection after another, in the order in which they come.
        :param most: requests of one connection.
        """
        self.process = name
        self.target = target
        self.cuts: Counter[Cut] = Counter()
        self._random = random
        self._most = most
        self._cutting = True
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        self._begin(self._accept)

    def point(self, target: int) -> None:
        """Pass what comes from now on to another port."""
        self.target = target

    def calm(self) -> None:
        """Cut nothing any more."""
        self._cutting = False

    def close(self) -> None:
        """End all of it, and wait for that."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LIMIT + 5)
            assert not thread.is_alive()

    def summary(self) -> str:
        """How often it cut where, for a line of figures."""
        return ", ".join(f"{self.cuts[cut]} {cut.value}" for cut in Cut)

    def _begin(self, what: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=what, args=arguments, daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._begin(self._pass_on, client, self._fate())

    def _fate(self) -> Fate:
        cut, passed = self._random.choice(list(Cut)), self._random.randrange(self._most)
        return Fate(cut, passed, self._random.random(), self._random.random() < 0.5)

    def _pass_on(self, client: socket.socket, fate: Fate) -> None:
        ends = [client]
        with self._lock:
            self._open.add(client)
        try:
            server = socket.create_connection(("127.0.0.1", self.target), LIMIT)
            ends.append(server)
            with self._lock:
                self._open.add(server)
            client.settimeout(LIMIT)
            _Exchanges(client, server, fate, self._may_cut).run()
        except (OSError, _Over):
            pass
        finally:
            with self._lock:
                self._open.difference_update(ends)
            for end in ends:
                end.close()

    def _may_cut(self, cut: Cut) -> bool:
        """Whether a connection whose time has come is cut; it is counted then."""
        with self._lock:
            self.cuts[cut] += self._cutting
        return self._cutting


class _Exchanges:
    """One connection: a request, its answer, the next request."""

    def __init__(
        self, client: socket.socket, server: socket.socket, fate: Fate, may_cut: Callable[[Cut], bool]
    ) -> None:
        self._client = client
        self._server = server
        self._fate = fate
        self._may_cut = may_cut
        self._kept = b""

    def run(self) -> None:
        """Pass on until it ends.

        :raise _Over: where it does.
        """
        for _ in range(self._fate.passed):
            self._server.sendall(self._request())
            self._answer()
        request = self._request()
        if self._may_cut(self._fate.cut):
            self._last(request)
        self._server.sendall(request)
        while True:
            self._answer()
            self._server.sendall(self._request())

    def _last(self, request: bytes) -> None:
        """Cut it at this request."""
        cut, share = self._fate.cut, self._fate.share
        if cut is Cut.BEFORE:
            self._end()
        self._server.sendall(request[: max(1, int(len(request) * share))] if cut is Cut.WITHIN else request)
        if cut is Cut.AFTER:
            time.sleep(SOON * share)
        elif cut is Cut.UNANSWERED:
            self._server.recv(PIECE)
        elif cut is Cut.HALF:
            self._half(max(1, int(ANSWER * share)))
        self._end()

    def _half(self, size: int) -> None:
        """Pass on so many bytes, of the next answer if this one has fewer."""
        while True:
            piece = self._server.recv(PIECE)
            self._client.sendall(piece[:size])
            size -= len(piece)
            if size <= 0 or not piece:
                return
            if not self._more(self._server):
                self._server.sendall(self._request())

    def _more(self, end: socket.socket) -> bool:
        """Wait until either end sends something: whether the answer goes on."""
        ready, _, _ = select([self._client, self._server], [], [], LIMIT)
        if not ready:
            raise _Over
        return end in ready

    def _answer(self) -> None:
        """Pass an answer on, up to what the client sends next."""
        while self._more(self._server):
            piece = self._server.recv(PIECE)
            if not piece:
                raise _Over
            self._client.sendall(piece)

    def _request(self) -> bytes:
        """The next request, all of it."""
        while b"\r\n\r\n" not in self._kept:
            self._read()
        head, mark, _ = self._kept.partition(b"\r\n\r\n")
        told = _LENGTH.search(head)
        size = len(head) + len(mark) + (int(told[1]) if told else 0)
        while len(self._kept) < size:
            self._read()
        request, self._kept = self._kept[:size], self._kept[size:]
        return request

    def _read(self) -> None:
        piece = self._client.recv(PIECE)
        if not piece:
            raise _Over
        self._kept += piece

    def _end(self) -> None:
        if self._fate.reset:
            for end in (self._client, self._server):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        raise _Over
