"""Workers that share a queue: each takes messages, acknowledges them, and takes the next ones.

Run as a program of its own, so that it takes no time from the server's process:

    python -m bench.workers KIND PORT WORKERS SECONDS [OPTIONS]

KIND is one of ``bench.protocols.KINDS``, OPTIONS a JSON object with the arguments of that protocol. A worker ends when
the time is over and all that it has taken is acknowledged, or when there was no message for it. The time begins when
all workers are connected. The program prints one line of JSON: messages that were acknowledged, the seconds until the
last of them was, that rate, requests that were answered, how many answers were wrong or never came, whether a worker
found no message, and the processor time that all of this took here.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from selectors import EVENT_READ, BaseSelector, DefaultSelector
from typing import Any, Final

import attrs

from bench.protocols import IProtocol, Unexpected, protocol
from bench.servers import ROOT

RECEIVED: Final = 256 * 1024
"""Bytes that are received by one call."""


@attrs.define
class Tally:
    """What came of a run.

    :ivar until: when the time is over, by ``time.perf_counter``; ``last``: when the last message was acknowledged.
    :ivar answered: requests.
    :ivar refused: wrong answers, and answers that never came.
    :ivar dry: whether a worker found no message.
    """

    until: float = math.inf
    last: float = 0.0
    messages: int = 0
    answered: int = 0
    refused: int = 0
    dry: bool = False


class Worker:
    """Takes and acknowledges messages in turn, on a connection of its own."""

    def __init__(self, selector: BaseSelector, port: int, protocol: IProtocol, tally: Tally) -> None:
        self._selector = selector
        self._protocol = protocol
        self._tally = tally
        self._received = b""
        self._held: list[bytes] = []
        self._takes = True
        self._socket = protocol.connect(port)
        selector.register(self._socket, EVENT_READ, self)

    def start(self) -> None:
        """Send the first request."""
        self._socket.sendall(self._protocol.take())

    def ready(self) -> None:
        """Read what has come. Requests are small, so that sending them does not wait."""
        try:
            data = self._socket.recv(RECEIVED)
            if not data:
                raise Unexpected(self._received)
            self._received += data
            end = self._protocol.end(self._received)
            if end is not None:
                answer, self._received = self._received[:end], self._received[end:]
                self._answered(answer)
        except (OSError, Unexpected) as error:
            print(f"wrong: {error!r}"[:1000], file=sys.stderr)
            self._tally.refused += 1
            self._close()

    def _answered(self, answer: bytes) -> None:
        self._tally.answered += 1
        if self._takes:
            taken = self._protocol.taken(answer)
            if self._held:
                self._count()
            self._held = taken
        else:
            self._protocol.acked(answer)
            self._count()
        self._next()

    def _count(self) -> None:
        self._tally.messages += len(self._held)
        self._tally.last = time.perf_counter()
        self._held = []

    def _next(self) -> None:
        over = time.perf_counter() >= self._tally.until
        if not self._held and (self._takes or over):
            self._tally.dry |= self._takes and not over
            self._close()
        elif not self._held:
            self._takes = True
            self._socket.sendall(self._protocol.take())
        elif self._protocol.fused and not over:
            self._socket.sendall(self._protocol.take(self._held))
        else:
            self._takes = False
            self._socket.sendall(self._protocol.ack(self._held))

    def _close(self) -> None:
        self._selector.unregister(self._socket)
        self._socket.close()


def run(kind: str, port: int, workers: int, seconds: float, options: dict[str, Any]) -> dict[str, Any]:
    """Let workers work on a server of this machine.

    :return: what the module's docstring says.
    :raise TimeoutError: a worker still waits for an answer half a minute after the time was over.
    """
    tally = Tally()
    with DefaultSelector() as selector:
        found = [Worker(selector, port, protocol(kind, number, workers, options), tally) for number in range(workers)]
        began, busy = time.perf_counter(), time.process_time()
        tally.until = began + seconds
        for worker in found:
            worker.start()
        while selector.get_map():
            left = tally.until + 30 - time.perf_counter()
            if left <= 0:
                raise TimeoutError("a worker was never answered")
            for key, _ in selector.select(left):
                key.data.ready()
    took = max(tally.last - began, 1e-9)
    return {
        "messages": tally.messages,
        "rate": tally.messages / took,
        "seconds": took,
        "answered": tally.answered,
        "asked_rate": tally.answered / took,
        "refused": tally.refused,
        "dry": tally.dry,
        "cpu": time.process_time() - busy,
    }


def work(kind: str, port: int, workers: int, seconds: float, **options: Any) -> dict[str, Any]:
    """Let workers work in a process of their own, and wait for its end; what that process prints.

    :raise RuntimeError: if it broke off.
    """
    numbers = [str(number) for number in (port, workers, seconds)]
    command = [sys.executable, "-m", "bench.workers", kind, *numbers, json.dumps(options)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=seconds + 60)
    if done.returncode:
        raise RuntimeError(f"the workers ended with status {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main(kind: str, port: str, workers: str, seconds: str, options: str = "{}") -> None:
    """Run, and print."""
    print(json.dumps(run(kind, int(port), int(workers), float(seconds), json.loads(options))))


if __name__ == "__main__":
    main(*sys.argv[1:])
