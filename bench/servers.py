"""Starting and stopping the servers that a benchmark compares."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEY = "a-key-for-benchmarks"


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(command: list[str], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends, once it accepts connections.

    :raise RuntimeError: if it does not within 20 seconds.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    try:
        _wait_for(port, process)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended at once with status {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the server did not listen within 20 seconds")


def queuey_command(folder: Path, port: int, storage: str = "") -> list[str]:
    """The command that serves Queuey on a port, with its data and its log in a folder.

    :param storage: more lines for ``[storage]``.
    """
    ini = folder / "queuey.ini"
    ini.write_text(
        f"[server]\nhttp = tcp:{port}:interface=127.0.0.1\n"
        f"[storage]\nbackend = sqlite\npath = {folder / 'data'}\n{storage}\n"
        f"[application_keys]\nbench = {KEY}\n"
        f"[logging]\nfile = {folder / 'queuey.log'}\n"
    )
    twistd = str(Path(sys.executable).parent / "twistd")
    return [twistd, "--nodaemon", f"--pidfile={folder / 'twistd.pid'}", "queuey", "--config", str(ini)]


def load(port: int, connections: int, seconds: float, request: bytes) -> dict[str, float]:
    """Put load on a server from a process of its own; what :mod:`bench.load` prints."""
    command = [sys.executable, "-m", "bench.load", str(port), str(connections), str(seconds)]
    done = subprocess.run(
        command, input=request, capture_output=True, check=True, cwd=ROOT, env=dict(os.environ), timeout=seconds + 60
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of a request with our key."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Application {KEY}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body
