"""Reading a page of 100 messages of 140 bytes, against a bare Klein app that gives as many bytes, always the same.

A full page lasts, and is kept at hand. The same messages asked for with a larger limit are no full page: they are what
a page costs that is read for the first time. The Klein app writes Site's own access log; another one writes no log. All
take turns under the same load generator.

    python -m bench.read [ROUNDS [SECONDS]]
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import figures
from bench.arguments import ROUNDS, SECONDS, run
from bench.servers import ask, free_port, make_queue, post_batch, queuey_command, request, serving

PAGE = "/v1/bench/q?limit=100"
NOT_FULL = "/v1/bench/q?limit=101"
CONNECTIONS = 32


def main(rounds: int, seconds: float) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queuey-bench-")))
        queuey, logging, silent = (free_port() for _ in range(3))
        hello = [sys.executable, "-m", "bench.hello"]
        log = folder / "servers.log"
        stack.enter_context(serving(queuey_command(folder, queuey), queuey, log))
        stack.enter_context(serving([*hello, str(logging), str(folder / "access.log")], logging, log))
        stack.enter_context(serving([*hello, str(silent)], silent, log))
        make_queue(queuey, "q")
        post_batch(queuey, "q", 100, 140)
        size = page_size(queuey)
        print(f"a page of 100 messages has {size} bytes")
        asked = {
            "queuey": (queuey, request("GET", PAGE)),
            "queuey, not full": (queuey, request("GET", NOT_FULL)),
            "static": (logging, request("GET", f"/{size}")),
            "static, no log": (silent, request("GET", f"/{size}")),
        }
        sides = {
            name: partial(figures.rate, name, port, CONNECTIONS, seconds, text) for name, (port, text) in asked.items()
        }
        rates = figures.alternating(rounds, sides)
        figures.show("a page / static", rates["queuey"] / rates["static"], at_least=0.5)
        figures.show("a page / static, no log", rates["queuey"] / rates["static, no log"])
        figures.show("a page that is not full / static", rates["queuey, not full"] / rates["static"])


def page_size(port: int) -> int:
    """Bytes in the body of a page."""
    answer = ask(port, "GET", PAGE)
    if len(answer.json["messages"]) != 100:
        raise SystemExit("queuey gave another page than was asked for")
    return len(answer.body)


if __name__ == "__main__":
    run(main, rounds=ROUNDS, seconds=SECONDS)
