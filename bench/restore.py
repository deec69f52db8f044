"""Messages a second that ``queuey restore-queue`` puts back, beside those that a daemon takes in batches.

Messages of 140 bytes. In each round a queue of the backup is restored under a new name, once more over what is there
then, and batches of 100 are posted over 32 connections. The command's time is that of its whole process.

    python -m bench.restore [ROUNDS [SECONDS [COUNT]]]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from itertools import count as numbers
from pathlib import Path
from typing import Final

from bench import figures
from bench.arguments import ROUNDS, SECONDS, Number, run
from bench.folders import fill_with_messages
from bench.servers import KEY, ROOT, batch, free_port, make_queue, queuey_command, request, serving

CONNECTIONS: Final = 32
BATCH: Final = 100
SIZE: Final = 140
LIMIT: Final = 1800.0
"""Seconds that one run of the command may take."""

ENOUGH: Final = 10_000


def main(rounds: int, seconds: float, count: int) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queuey-bench-")))
        (folder / "old").mkdir()
        fill_with_messages(folder / "old", "q", count, SIZE)
        (folder / "key").write_text(KEY)
        port = free_port()
        stack.enter_context(serving(queuey_command(folder, port), port, folder / "servers.log"))
        make_queue(port, "taken")
        body = batch(BATCH, SIZE)
        post = request("POST", "/v1/bench/taken", body, Content_Type="application/json")
        names = numbers(1)
        sides: dict[str, Callable[[], float]] = {
            "messages restored": lambda: restore(folder, port, f"restored-{next(names)}", count),
            "messages passed over": lambda: restore(folder, port, "restored-1", count),
            f"messages in batches of {BATCH}": partial(batches, port, seconds, post),
        }
        restored, passed, taken = figures.alternating(rounds, sides).values()
        figures.show("messages restored / in batches", restored / taken)
        figures.show("messages passed over / in batches", passed / taken)
        figures.show(f"messages restored / {ENOUGH}", restored / ENOUGH, at_least=1.0)


def restore(folder: Path, port: int, name: str, count: int) -> float:
    """Messages a second of one run of the command."""
    command = [str(Path(sys.executable).parent / "queuey"), "restore-queue", str(folder / "old" / "data"), "bench", "q"]
    command += ["--to", f"http://127.0.0.1:{port}", "--key-file", str(folder / "key"), "--as", name]
    begin = time.monotonic()
    subprocess.run(command, cwd=ROOT, check=True, timeout=LIMIT, stdout=subprocess.DEVNULL)
    return count / (time.monotonic() - begin)


def batches(port: int, seconds: float, text: bytes) -> float:
    """Messages a second in batches."""
    return BATCH * figures.rate("queuey", port, CONNECTIONS, seconds, text)


if __name__ == "__main__":
    run(main, rounds=ROUNDS, seconds=SECONDS, count=Number(100_000))
