"""Reading a queue of a million messages to its end, in pages of 100, each by the cursor of the one before.

What is asked is that it stays as quick as it begins: the time of the first, a middle and the last tenth of the pages.
The messages have 140 bytes.

    python -m bench.cursors [COUNT [ROUNDS]]
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from bench import figures
from bench.arguments import Number, run
from bench.folders import fill_with_messages
from bench.servers import KEY, free_port, queuey_command, serving

PAGE: Final = 100
SIZE: Final = 140
PATH: Final = f"/v2/bench/queues/q/messages?limit={PAGE}"
HEADERS: Final = {"Authorization": f"Application {KEY}"}
TENTHS: Final = {"first": 0, "middle": 5, "last": 9}


def main(count: int, rounds: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="queuey-bench-") as name:
        folder = Path(name)
        fill_with_messages(folder, "q", count, SIZE)
        port = free_port()
        with serving(queuey_command(folder, port), port, folder / "servers.log"):
            found = [tenths(read_whole(port, count)) for _ in range(rounds)]
    medians = {
        which: statistics.median(times[place] for times in found) / (count // PAGE // 10)
        for which, place in TENTHS.items()
    }
    for which, seconds in medians.items():
        print(f"{which} tenth of {count} messages: {seconds * 1000:.2f} ms a page of {PAGE}")
    figures.show("a page of the middle tenth / of the first", medians["middle"] / medians["first"], at_most=1.2)
    figures.show("a page of the last tenth / of the first", medians["last"] / medians["first"], at_most=1.2)


def read_whole(port: int, count: int) -> list[float]:
    """When each page had come, in seconds, after the time at which the first was asked for.

    :raise SystemExit: where other messages come than there are.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    moments, messages, path = [time.perf_counter()], 0, PATH
    while True:
        connection.request("GET", path, headers=HEADERS)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"GET {path} was answered {answer.status}: {text[:300]!r}")
        page = json.loads(text)
        messages += len(page["messages"])
        moments.append(time.perf_counter())
        if not page["more"]:
            break
        path = f"{PATH}&after={page['next']}"
    connection.close()
    if messages != count:
        raise SystemExit(f"{messages} messages came instead of {count}")
    return moments


def tenths(moments: list[float]) -> list[float]:
    """The seconds that each tenth of the pages took."""
    size = (len(moments) - 1) // 10
    return [moments[(tenth + 1) * size] - moments[tenth * size] for tenth in range(10)]


if __name__ == "__main__":
    run(main, count=Number(1_000_000, least=10 * PAGE), rounds=Number(3))
