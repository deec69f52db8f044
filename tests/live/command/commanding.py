"""A daemon that the tests of the command ``queuey`` share, and a shell and a terminal in front of it."""

from __future__ import annotations

import atexit
import contextlib
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from twisted.trial.unittest import SynchronousTestCase

from queuey_client import Client
from tests.live.clients import KEY
from tests.live.daemon.test_daemon import wait_until
from tests.live.running import Daemon, free_port, write_settings

BIN = Path(sys.executable).parent
CTRL_C = "\x03"
LIMIT = 60
"""Seconds that a command may take."""


class _Endpoint(BaseHTTPRequestHandler):
    """Takes every message of a push."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@cache
def endpoint() -> int:
    """Start an endpoint of pushes for all tests of a run. :return: its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    atexit.register(end)
    return server.server_address[1]


@cache
def served() -> int:
    """Start a daemon for all tests of a run. :return: its port."""
    folder, port = Path(tempfile.mkdtemp(prefix="queuey-test-")), free_port()
    settings = write_settings(folder, port)
    with settings.open("a") as file:
        file.write("[application:queuey]\npush = true\npush_hosts = 127.0.0.1\n")
        file.write(f"[push]\nsecrets = {'7' * 64}\nnetworks = 127.0.0.0/8\nports = {endpoint()}\n")
    daemon = Daemon(BIN / "twistd", ["--config", str(settings)], folder, {})

    def end() -> None:
        daemon.kill()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    daemon.wait_until_it_serves(port)
    return port


def takes_signals(group: int) -> bool:
    """Tell whether a process ``queuey`` of a process group has installed its handler of SIGTERM."""
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if os.getpgid(int(status.parent.name)) == group:
                found = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
                if found["Name"] == "queuey" and int(found["SigCgt"], 16) >> signal.SIGTERM - 1 & 1:
                    return True
    return False


def is_connected(group: int, port: int) -> bool:
    """Tell whether a process of a process group has a connection to a port of this machine: its command is at work.

    Until then it may still import what it needs, and has not installed the handlers of signals that a worker has.
    """
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]" for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "01"}
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):
            if os.getpgid(int(folder.parent.name)) == group:
                for file in folder.iterdir():
                    with contextlib.suppress(OSError):
                        if os.readlink(file) in sockets:
                            return True
    return False


class CommandTestCase(SynchronousTestCase):
    """A home of its own, and a daemon without queues."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="queuey-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.port = served()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("QUEUEY_", "XDG_"))},
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "QUEUEY_URL": self.url,
            "QUEUEY_APPLICATION": "queuey",
            "QUEUEY_KEY": KEY,
        }
        self.client = Client(self.url, "queuey", key=KEY)
        self.addCleanup(self.client.close)
        self.addCleanup(self.remove_queues)

    def remove_queues(self) -> None:
        for each in list(self.client.queues()):
            self.client.queue(each.name).remove()

    def shell(self, text: str, status: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run commands in bash."""
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LIMIT,
        )
        self.assertEqual(done.returncode, status, f"{text}\n{done.stdout}{done.stderr}")
        self.assertNotIn("Traceback", done.stderr)
        return done

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command; it ends with the test."""
        process = subprocess.Popen(
            [str(BIN / "queuey"), *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

        def end() -> None:
            process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def interrupted(self, text: str, has_worked: Callable[[], bool] = lambda: True) -> int:
        """Run a command until it works, and interrupt it as a terminal does, with all of its pipeline.

        :param has_worked: tells whether it has done what later commands need.
        :return: the exit status.
        """
        process = subprocess.Popen(
            ["bash", "-c", text],
            cwd=self.folder,
            env=self.environment,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_until(lambda: takes_signals(process.pid), f"{text} does not begin")
            wait_until(lambda: is_connected(process.pid, self.port), f"{text} does not begin to work")
            wait_until(has_worked, f"{text} does not do its work")
            os.killpg(process.pid, signal.SIGINT)
            _, words = process.communicate(timeout=LIMIT)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(LIMIT)
        self.assertNotIn("Traceback", words)
        return process.returncode

    def terminal(self, command: str, *typed: tuple[str, str], **environment: str) -> tuple[int, str]:
        """Run a command on a terminal.

        :param typed: what is typed, each once something is shown that matches an expression.
        :return: its status, and all that it showed.
        """
        pid, master = pty.fork()
        if pid == 0:  # pragma: no cover
            with contextlib.suppress(BaseException):
                os.chdir(self.folder)
                own = {**self.environment, "TERM": "xterm", "COLUMNS": "120", "LINES": "30", **environment}
                os.execve("/bin/bash", ["bash", "-c", f"exec {command}"], own)
            os._exit(99)
        shown, seen, began = b"", 0, time.monotonic()
        waiting, text, written = list(typed), "", began
        try:
            while time.monotonic() < began + LIMIT:
                if waiting and re.search(waiting[0][0].encode(), shown[seen:], re.DOTALL):
                    text = waiting.pop(0)[1]
                    os.write(master, text.encode())
                    seen, written = len(shown), time.monotonic()
                elif not waiting and text == CTRL_C and time.monotonic() > written + 2:
                    # Python does not see a signal that comes just before it waits for a line, until another one comes.
                    os.write(master, text.encode())
                    written = time.monotonic()
                if not select.select([master], [], [], 0.1)[0]:
                    continue
                try:
                    data = os.read(master, 65536)
                except OSError:
                    break
                if not data:
                    break
                shown += data
        finally:
            if time.monotonic() >= began + LIMIT:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            os.close(master)
        return os.waitstatus_to_exitcode(status), shown.decode("utf-8", "replace")
