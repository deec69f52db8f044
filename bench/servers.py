"""Starting and stopping the servers that a benchmark compares."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import attrs

ROOT = Path(__file__).resolve().parent.parent
KEY = "a-key-for-benchmarks"


def free_port() -> int:
    """A port of loopback on which no process listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    command: list[str], port: int, log: Path, limit: float = 20.0, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends, once it accepts connections.

    :param limit: seconds that it may take to start, and again to end; then all that it has started is killed.
    :param environment: its own, in place of ours.
    :raise RuntimeError: if it does not start within that time.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
    try:
        _wait_for(port, process, limit)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], limit: float) -> None:
    until = time.monotonic() + limit
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended at once with status {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the server did not listen within {limit:g} seconds")


def queuey_command(folder: Path, port: int, storage: str = "", server: str = "", more: str = "") -> list[str]:
    """The command that serves Queuey on a port, with its data and its log in a folder.

    :param storage: more lines for ``[storage]``; and so ``server``.
    :param more: more sections.
    """
    ini = folder / "queuey.ini"
    ini.write_text(
        f"[server]\nhttp = tcp:{port}:interface=127.0.0.1\n{server}\n"
        f"[storage]\nbackend = sqlite\npath = {folder / 'data'}\n{storage}\n"
        f"[application_keys]\nbench = {KEY}\n"
        f"[logging]\nfile = {folder / 'queuey.log'}\n{more}"
    )
    twistd = str(Path(sys.executable).parent / "twistd")
    return [twistd, "--nodaemon", f"--pidfile={folder / 'twistd.pid'}", "queuey", "--config", str(ini)]


def post_to(application: str, key: str = KEY) -> bytes:
    """The bytes of a POST of 140 bytes through v2, to the queue ``q`` of an application."""
    raw = request("POST", f"/v2/{application}/queues/q/messages", b"x" * 140, Content_Type="text/plain")
    return raw.replace(KEY.encode(), key.encode())


@contextmanager
def loading(port: int, connections: int, seconds: float, request: bytes, count: int = 1) -> Iterator[Load]:
    """Put load on a server from a process of its own; :mod:`bench.load` says what the arguments are."""
    command = [sys.executable, "-m", "bench.load", str(port), str(connections), str(seconds), str(count)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdin is not None
        process.stdin.write(request)
        process.stdin.close()
        process.stdin = None
        yield Load(process, seconds + 60)
    finally:
        process.kill()
        process.communicate()


@attrs.frozen
class Load:
    """Load that is under way."""

    _process: subprocess.Popen[bytes]
    _limit: float

    def stop(self) -> dict[str, Any]:
        """Let its time be over, and finish."""
        self._process.send_signal(signal.SIGTERM)
        return self.finish()

    def finish(self) -> dict[str, Any]:
        """Wait for its end; what :mod:`bench.load` prints.

        :raise RuntimeError: if it broke off.
        """
        output, _ = self._process.communicate(timeout=self._limit)
        if self._process.returncode:
            raise RuntimeError(f"the load generator ended with status {self._process.returncode}")
        result: dict[str, Any] = json.loads(output)
        return result


def load(port: int, connections: int, seconds: float, request: bytes, count: int = 1) -> dict[str, Any]:
    """Put load on a server from a process of its own, and wait for its end; what :mod:`bench.load` prints."""
    with loading(port, connections, seconds, request, count) as running:
        return running.finish()


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of a request with our key."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Application {KEY}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def ask(port: int, method: str, path: str, body: bytes = b"", content_type: str = "text/plain") -> Answer:
    """Ask Queuey once, with our key.

    :raise RuntimeError: if the answer is no 2xx.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {"Authorization": f"Application {KEY}", "Content-Type": content_type}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status // 100 != 2:
        raise RuntimeError(f"{method} {path} was answered {answer.status}: {text[:300]!r}")
    return Answer(text, answer.getheader("ETag") or "")


@attrs.frozen
class Answer:
    """An answer.

    :ivar tag: its entity tag, in its quotes; empty without one.
    """

    body: bytes
    tag: str = ""

    @property
    def json(self) -> Any:
        """What it says."""
        return json.loads(self.body)


def make_queue(port: int, name: str, partitions: int = 1) -> None:
    """Make a queue of the application ``bench``."""
    form = f"queue_name={name}&partitions={partitions}".encode()
    ask(port, "POST", "/v1/bench", form, "application/x-www-form-urlencoded")


def batch(count: int, size: int) -> bytes:
    """The body of a POST of that many messages, of that many bytes each."""
    return json.dumps({"messages": [{"body": "x" * size}] * count}).encode()


def post_batch(port: int, queue: str, count: int, size: int) -> None:
    """Post messages to a queue of the application ``bench``."""
    ask(port, "POST", f"/v1/bench/{queue}", batch(count, size), "application/json")
