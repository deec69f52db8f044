"""A page served from an origin of its own, and a headless Chromium that opens it.

The page posts what it saw to the server it comes from, so nothing has to be asked of the browser: it is started with
an address, and ended when the result is there.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SkipTest

from tests.checks import members, signal_group

HERE: Final = Path(__file__).parent
LIMIT: Final = 90.0
"""Seconds that the browser may take to start and the page to finish."""

MAX_RESULT: Final = 1 << 20
OPTIONS: Final = (
    "--headless",
    # As root there is no sandbox to be had; the only page that is opened is our own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    # Nothing but the page may cause traffic.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-quic",
    "--hide-scrollbars",
    "--disable-breakpad",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def find_chromium() -> str | None:
    """Where Chromium is."""
    return shutil.which("chromium")


def why_not() -> str:
    """Why this machine cannot install it; empty where it can."""
    done = subprocess.run(["sh", HERE / "install.sh", "why-not"], capture_output=True, text=True, timeout=60)
    return done.stdout.strip() or done.stderr.strip()


def needed_chromium() -> str:
    """The program, for a test that needs it.

    :raise SkipTest: where this machine cannot have it, saying why.
    :raise AssertionError: where it could.
    """
    chromium = find_chromium()
    if chromium is not None:
        return chromium
    reason = why_not()
    if reason:
        raise SkipTest(reason)
    raise AssertionError("This machine can install Chromium, and it is not there: make browser")


class _Handler(BaseHTTPRequestHandler):
    """Serves the page, and takes what it posts."""

    server: PageServer
    timeout = LIMIT

    def do_GET(self) -> None:
        """The page, or a file beside it, whatever the query."""
        path = self.path.partition("?")[0]
        found = self.server.page if path == "/" else self.server.files.get(path)
        kind = "text/javascript" if path.endswith(".js") else "text/html"
        self._answer(404 if found is None else 200, found or b"", kind)

    def do_POST(self) -> None:
        """The result."""
        length = min(int(self.headers["Content-Length"]), MAX_RESULT)
        self.server.results.put(self.rfile.read(length))
        self._answer(200, b"")

    def _answer(self, status: int, body: bytes, kind: str = "text/html") -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""


class PageServer(ThreadingHTTPServer):
    """One origin, on a port of loopback."""

    daemon_threads = True

    def __init__(self, page: bytes, port: int, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.page = page
        self.files = files
        self.results: queue.Queue[bytes] = queue.Queue()

    @property
    def origin(self) -> str:
        """As browsers send it."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving(page: str | None = None, port: int = 0, files: Mapping[str, bytes] | None = None) -> Iterator[PageServer]:
    """Serve a page until the block ends.

    :param page: its HTML; without it, what is in ``page.html``.
    :param port: 0 is any that is free.
    :param files: what is beside the page, by path; it is JavaScript where the path ends with ``.js``.
    """
    html = (HERE / "page.html").read_bytes() if page is None else page.encode("utf-8")
    with PageServer(html, port, files or {}) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(LIMIT)


@contextmanager
def browsing(chromium: str, url: str, folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Open an address in a browser that knows nothing yet, and end all of it with the block.

    :param folder: an empty one, for its profile and its output.
    :param options: more of them; the last one of a name counts.
    """
    environment = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    command = [chromium, *OPTIONS, *options, f"--user-data-dir={folder / 'profile'}", url]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a browser and every process that it started.

    :raise AssertionError: where one of them is still there after a while.
    """
    # All at once: the browser's own way of ending writes a profile that is not needed.
    signal_group(process.pid, signal.SIGKILL)
    process.wait(LIMIT)
    deadline = time.monotonic() + LIMIT
    while left := list(members(process.pid)):
        if time.monotonic() > deadline:
            raise AssertionError(f"still running: {left}")
        time.sleep(0.02)


def visit(chromium: str, server: PageServer, query: str, folder: Path) -> Any:
    """Open the page and wait for what it saw.

    :param query: the parameters of the page, urlencoded.
    :raise AssertionError: where no result comes, with what the browser printed.
    """
    with browsing(chromium, f"{server.origin}/?{query}", folder) as process:
        return result(process, server, folder)


def result(process: subprocess.Popen[bytes], server: PageServer, folder: Path) -> Any:
    """Wait for what a page has to tell.

    :param server: that it tells it.
    :param folder: that the browser writes to.
    :raise AssertionError: where no result comes, with what the browser printed.
    """
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        try:
            return json.loads(server.results.get(timeout=0.2))
        except queue.Empty:
            if process.poll() is not None:
                break
    output = (folder / "output").read_text(encoding="utf-8", errors="replace")
    raise AssertionError(f"no result from the browser, whose exit status is {process.returncode}:\n{output}")
