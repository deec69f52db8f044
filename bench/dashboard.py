"""What an open dashboard costs: POSTs to many queues with and without it, the memory of both ends, and the first paint.

    python -m bench.dashboard [ROUNDS [SECONDS [QUEUES [MINUTES]]]]

For the rates a client reads the stream of the list of queues, as the page does, because a browser on the same machine
would take processor time of its own. Then the page is open in Chromium for so many minutes (60 for an hour), beside
POSTs on one connection; the figures are the memory of the daemon and of the page at the end, with that when a fifth of
the time was over. The first paint is measured in Chromium too. Without Chromium these two are left out.
"""

from __future__ import annotations

import json
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from subprocess import Popen
from threading import Thread
from typing import Final
from urllib.parse import quote

from bench import figures
from bench.arguments import ROUNDS, SECONDS, Number, run
from bench.servers import ask, free_port, loading, queuey_command, request, serving
from tests.live.browser.devtools import Browser, driving
from tests.live.browser.driver import find_chromium

CONNECTIONS: Final = 32
TOKEN: Final = "a-token-of-the-benchmark"
CALLS: Final = [
    {"method": "health.report"},
    {"method": "queues.report", "params": {"sort": "stored", "limit": 50, "history": True}},
]
PAINTS: Final = 5
ROWS: Final = "document.querySelector('table.cards tbody tr') && performance.now()"
PAINT: Final = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def main(rounds: int, seconds: float, queues: int, minutes: float) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder, port, board = Path(name), free_port(), free_port()
        digest = sha256(TOKEN.encode()).hexdigest()
        server = f"dashboard = tcp:{board}:interface=127.0.0.1\ndashboard_tokens = bench watch sha256:{digest}"
        command = queuey_command(folder, port, server=server)
        with serving(command, port, folder / "servers.log") as daemon:
            for number in range(queues):
                ask(port, "PUT", f"/v2/bench/queues/q{number:07}", b"{}", "application/json")
            compare(rounds, seconds, queues, port, board)
            chromium = find_chromium()
            if chromium is None:
                print("there is no Chromium, so neither the memory nor the first paint of the page was measured")
                return
            profile = folder / "browser"
            profile.mkdir()
            with driving(chromium, profile) as browser:
                paint(browser, board, queues)
                keep_open(browser, daemon, minutes * 60, queues, port)


def post() -> bytes:
    """A POST of 140 bytes to one of the queues."""
    return request("POST", "/v2/bench/queues/q{NUMBER}/messages", b"x" * 140, Content_Type="text/plain")


def compare(rounds: int, seconds: float, queues: int, port: int, board: int) -> None:
    """POSTs while a page reads its stream, and without."""

    def alone() -> float:
        return figures.rate("queuey", port, CONNECTIONS, seconds, post(), queues)

    def beside() -> float:
        with reading(board):
            return alone()

    sides: dict[str, Callable[[], float]] = {"with a page": beside, "without": alone}
    found = figures.alternating(rounds, sides)
    figures.show("POSTs with a page open / without", found["with a page"] / found["without"], at_least=0.95)


@contextmanager
def reading(board: int) -> Iterator[None]:
    """Read the stream of the list of queues until the block ends.

    :raise RuntimeError: it was refused.
    """
    with socket.create_connection(("127.0.0.1", board), 60) as connection:
        head = f"GET /live?calls={quote(json.dumps(CALLS))} HTTP/1.1\r\nHost: 127.0.0.1:{board}\r\n"
        head += f"Sec-Fetch-Site: same-origin\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        connection.sendall(head.encode())
        begin = connection.recv(65536)
        if not begin.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"the stream was refused: {begin!r}")

        def read() -> None:
            with suppress(OSError):
                while connection.recv(65536):
                    pass

        thread = Thread(target=read)
        thread.start()
        try:
            yield
        finally:
            connection.shutdown(socket.SHUT_RDWR)
            thread.join()


def paint(browser: Browser, board: int, queues: int) -> None:
    """The first paint of the page, and when its first rows are there."""
    paints, rows = [], []
    for _ in range(PAINTS):
        browser.open("about:blank")
        browser.open(f"http://127.0.0.1:{board}/#token={TOKEN}")
        rows.append(float(browser.wait(lambda: browser.run(ROWS), "no rows")))
        paints.append(float(browser.wait(lambda: browser.run(PAINT), "no paint")))
    print(f"first paint with {queues} queues: {statistics.median(paints):.0f} ms of {[round(one) for one in paints]}")
    print(f"first rows with {queues} queues: {statistics.median(rows):.0f} ms of {[round(one) for one in rows]}")


def keep_open(browser: Browser, daemon: Popen[bytes], seconds: float, queues: int, port: int) -> None:
    """The memory of the page and of the daemon while the page is open, and messages are posted."""
    with loading(port, 1, seconds + 60, post(), queues) as load:
        time.sleep(seconds / 5)
        before = figures.memory(daemon.pid).resident, browser.used_memory()
        time.sleep(seconds * 4 / 5)
        after = figures.memory(daemon.pid).resident, browser.used_memory()
        posted = figures.good("queuey", load.stop())
    print(f"POSTs beside it: {posted['rate']:.0f}/s")
    for name, old, new in zip(("daemon", "page"), before, after, strict=True):
        print(f"memory of the {name}: {old / 1e6:.1f} MB, and {new / 1e6:.1f} MB later")
        figures.show(f"memory of the {name} later / before", new / old, at_most=1.3)


if __name__ == "__main__":
    run(main, rounds=ROUNDS, seconds=SECONDS, queues=Number(1000), minutes=Number(1.0))
