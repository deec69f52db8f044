"""Reading a page of 100 messages of 140 bytes, against a bare Klein app that gives as many bytes, always the same.

Read are a full page in the middle of a queue and the last page of a queue, which is shorter than its limit, through v1
and v2; and a page of v2 by a client that has it already, which is answered 304. The Klein app writes Site's own access
log; another one writes no log. All take turns under the same load generator.

    python -m bench.read [ROUNDS [SECONDS]] [--before FOLDER]

With ``--before`` another checkout of Queuey, in that folder, serves the same pages and takes turns with them.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from bench import figures
from bench.arguments import ROUNDS, SECONDS, Folder, run
from bench.servers import ROOT, ask, free_port, make_queue, post_batch, queuey_command, request, serving

PAGES: Final = {
    "v1": "/v1/bench/long?limit=100",
    "v1, last": "/v1/bench/short?limit=101",
    "v2": "/v2/bench/queues/long/messages?limit=100",
    "v2, last": "/v2/bench/queues/short/messages?limit=101",
}
CONNECTIONS: Final = 32


def main(rounds: int, seconds: float, before: Path | None) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queuey-bench-")))
        log = folder / "servers.log"
        queuey, logging, silent = served(stack, folder / "now", log, ROOT), free_port(), free_port()
        hello = [sys.executable, "-m", "bench.hello"]
        stack.enter_context(serving([*hello, str(logging), str(folder / "access.log")], logging, log))
        stack.enter_context(serving([*hello, str(silent)], silent, log))
        size = len(ask(queuey, "GET", PAGES["v1"]).body)
        print(f"a page of 100 messages has {size} bytes")
        asked = {name: (queuey, request("GET", path)) for name, path in PAGES.items()}
        known = request("GET", PAGES["v2"], If_None_Match=ask(queuey, "GET", PAGES["v2"]).tag)
        asked |= {"v2, 304": (queuey, known), "static": (logging, request("GET", f"/{size}"))}
        asked["static, no log"] = silent, request("GET", f"/{size}")
        if before is not None:
            earlier = served(stack, folder / "before", log, before)
            asked |= {f"{name}, before": (earlier, request("GET", path)) for name, path in PAGES.items()}
        sides = {
            name: partial(figures.rate, name, port, CONNECTIONS, seconds, text) for name, (port, text) in asked.items()
        }
        rates = figures.alternating(rounds, sides)
        show(rates, before is not None)


def served(stack: ExitStack, folder: Path, log: Path, checkout: Path) -> int:
    """The port of a daemon of a checkout, which has the pages.

    :param stack: ends it.
    :param folder: for its data.
    """
    folder.mkdir()
    port = free_port()
    # Our own modules are found by a path file, which comes after this.
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    stack.enter_context(serving(queuey_command(folder, port), port, log, environment=environment))
    for queue, batches in (("short", 1), ("long", 2)):
        make_queue(port, queue)
        for _ in range(batches):
            post_batch(port, queue, 100, 140)
    for path in PAGES.values():
        if len(ask(port, "GET", path).json["messages"]) != 100:
            raise SystemExit("queuey gave another page than was asked for")
    return port


def show(rates: dict[str, float], before: bool) -> None:
    """Print the ratios."""
    figures.show("a page / static", rates["v1"] / rates["static"], at_least=0.5)
    figures.show("a page / static, no log", rates["v1"] / rates["static, no log"])
    figures.show("the last page / static", rates["v1, last"] / rates["static"])
    figures.show("a page of v2 / static", rates["v2"] / rates["static"])
    figures.show("the last page of v2 / static", rates["v2, last"] / rates["static"])
    figures.show("a page of v2 answered 304 / 200", rates["v2, 304"] / rates["v2"])
    for name in PAGES if before else ():
        figures.show(f"{name} / before", rates[name] / rates[f"{name}, before"], at_least=0.95)


if __name__ == "__main__":
    run(main, rounds=ROUNDS, seconds=SECONDS, before=Folder())
