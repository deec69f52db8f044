"""How soon a worker that waits has a message: from the POST to the answer of the claim, against a POST by itself.

In turns, it posts a message to a queue without a waiting claim, and a message to a queue for which the claim of a
worker waits on another connection. The worker then acks the message, which is not measured. It prints the median times
from the first byte of the POST to the last byte of its answer, and to the last byte of the answer to the claim.

    python -m bench.hand_out [ROUNDS [COUNT]]

COUNT is the number of messages of each kind in a round.
"""

from __future__ import annotations

import json
import socket
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bench import figures
from bench.arguments import ROUNDS, Number, run
from bench.servers import ask, free_port, make_queue, queuey_command, request, serving

GROUP: Final = "/v2/bench/queues/q/groups/g"
JSON: Final = "application/json"
SETTLES: Final = 0.002
"""Seconds after which a claim that was sent waits in the daemon."""


class Connection:
    """A connection to the daemon."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, asked: bytes) -> float:
        """Send a request; the time."""
        began = time.perf_counter()
        self._socket.sendall(asked)
        return began

    def answer(self) -> tuple[float, bytes]:
        """Wait for an answer; the time at which it was there, and its body."""
        found = b""
        while True:
            found += self._socket.recv(65536)
            head, end, body = found.partition(b"\r\n\r\n")
            if not end:
                continue
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r", 1)[0])
            if len(body) >= length:
                if not head.startswith(b"HTTP/1.1 20"):
                    raise SystemExit(f"the answer was {found[:500]!r}")
                return time.perf_counter(), body

    def close(self) -> None:
        self._socket.close()


class Worker:
    """A client that posts, and one that waits for what is posted."""

    def __init__(self, port: int) -> None:
        self.poster, self.worker = Connection(port), Connection(port)
        self._claim = request("POST", f"{GROUP}/claims", b'{"limit":1,"wait":20}', Content_Type=JSON)

    def lone(self) -> float:
        """Seconds that a POST takes to a queue without a waiting claim."""
        began = self.poster.send(request("POST", "/v2/bench/queues/p/messages", b"x" * 140, Content_Type="text/plain"))
        return self.poster.answer()[0] - began

    def waited_for(self) -> tuple[float, float]:
        """Seconds from a POST to its answer, and to that of the claim that waits for it."""
        self.worker.send(self._claim)
        time.sleep(SETTLES)
        began = self.poster.send(request("POST", "/v2/bench/queues/q/messages", b"x" * 140, Content_Type="text/plain"))
        posted = self.poster.answer()[0] - began
        ended, body = self.worker.answer()
        messages: list[dict[str, Any]] = json.loads(body)["messages"]
        settlement = json.dumps({"ack": [messages[0]["receipt"]]}).encode()
        self.worker.send(request("POST", f"{GROUP}/settlements", settlement, Content_Type=JSON))
        self.worker.answer()
        return posted, ended - began


def main(rounds: int, count: int) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queuey-bench-")))
        port = free_port()
        stack.enter_context(serving(queuey_command(folder, port), port, folder / "servers.log"))
        for name in ("p", "q"):
            make_queue(port, name)
        ask(port, "PUT", GROUP, b"{}", JSON)
        worker = Worker(port)
        ratios = []
        for _ in range(rounds):
            lone, posted, claimed = [], [], []
            for _ in range(count):
                lone.append(worker.lone())
                post, claim = worker.waited_for()
                posted.append(post)
                claimed.append(claim)
            medians = [1000 * statistics.median(times) for times in (lone, posted, claimed)]
            ratios.append(medians[2] / medians[0])
            print(
                f"a POST {medians[0]:.3f} ms; while a worker waits {medians[1]:.3f} ms; "
                f"the worker has it after {medians[2]:.3f} ms",
                flush=True,
            )
        worker.poster.close()
        worker.worker.close()
    figures.show("a waiting worker has the message / a POST", statistics.median(ratios), at_most=1.5)


if __name__ == "__main__":
    run(main, rounds=ROUNDS, count=Number(300))
