"""One durable POST of 140 bytes, with authentication, validation and the access line, against a bare Klein hello.

The hello reads the body and writes Site's own access log; another one writes no log. All take turns under the same
load generator, so that whatever else the machine does meets them alike.

    python -m bench.post [ROUNDS [SECONDS]]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.arguments import ROUNDS, SECONDS, run
from bench.servers import free_port, load, queuey_command, request, serving

BODY = b"x" * 140


def main(rounds: int, seconds: float) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queuey-bench-")))
        ports = {"queuey": free_port(), "hello": free_port(), "hello, no log": free_port()}
        hello = [sys.executable, "-m", "bench.hello"]
        commands = {
            "queuey": queuey_command(folder, ports["queuey"]),
            "hello": [*hello, str(ports["hello"]), str(folder / "access.log")],
            "hello, no log": [*hello, str(ports["hello, no log"])],
        }
        for name, command in commands.items():
            stack.enter_context(serving(command, ports[name], folder / "servers.log"))
        form = request("POST", "/v1/bench", b"queue_name=q", Content_Type="application/x-www-form-urlencoded")
        load(ports["queuey"], 1, 0.1, form)
        requests = {"queuey": request("POST", "/v1/bench/q", BODY, Content_Type="text/plain")}
        for connections in (32, 128):
            rates: dict[str, list[float]] = {name: [] for name in commands}
            for _ in range(rounds):
                for name, port in ports.items():
                    result = load(port, connections, seconds, requests.get(name, request("POST", "/", BODY)))
                    if result["refused"]:
                        raise SystemExit(f"{name} refused {result['refused']} requests")
                    rates[name].append(result["rate"])
            medians = {name: statistics.median(found) for name, found in rates.items()}
            for name, found in rates.items():
                print(f"{connections} connections, {name}: {medians[name]:.0f}/s of {[round(rate) for rate in found]}")
            for name in ("hello", "hello, no log"):
                print(f"{connections} connections, queuey / {name}: {medians['queuey'] / medians[name]:.2f}")


if __name__ == "__main__":
    run(main, rounds=ROUNDS, seconds=SECONDS)
