"""POSTs while a backup of half a gigabyte is made, against POSTs before and after that.

POSTs of 140 bytes go on all the time. The backup is ``queuey backup``, a process of its own beside the daemon.

    python -m bench.backup [BACKUPS [COUNT [PAUSE]]]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench import figures
from bench.arguments import Number, run
from bench.figures import MIB, Interval
from bench.folders import fill_with_messages
from bench.servers import ROOT, free_port, loading, make_queue, queuey_command, request, serving
from queuey.storage.sqlite.database.files import DATABASE

CONNECTIONS = 32
SIZE = 1000
LIMIT = 120.0
"""Seconds that a backup may take."""


def main(backups: int, count: int, pause: float) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queuey-bench-")))
        fill_with_messages(folder, "filled", count, SIZE)
        print(f"the database has {(folder / 'data' / DATABASE).stat().st_size / MIB:.0f} MiB")
        port = free_port()
        stack.enter_context(serving(queuey_command(folder, port), port, folder / "servers.log"))
        make_queue(port, "q")
        one = request("POST", "/v1/bench/q", b"x" * 140, Content_Type="text/plain")
        running = stack.enter_context(loading(port, CONNECTIONS, 1 + backups * (LIMIT + pause), one))
        time.sleep(1)
        intervals = [back_up(folder, pause) for _ in range(backups)]
        time.sleep(pause)
        figures.show_in_and_out("a backup is made", running.stop(), intervals)


def back_up(folder: Path, pause: float) -> Interval:
    """Make a backup after a pause; from when to when that took."""
    time.sleep(pause)
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as target:
        queuey = str(Path(sys.executable).parent / "queuey")
        command = [queuey, "backup", "--data", str(folder / "data"), f"{target}/copy"]
        begin = time.time()
        subprocess.run(command, cwd=ROOT, check=True, timeout=LIMIT, stdout=subprocess.DEVNULL)
        return Interval(begin, time.time())


if __name__ == "__main__":
    run(main, backups=Number(3), count=Number(400_000), pause=Number(5.0))
