"""A daemon with a dashboard and some queues, for tests and pictures of its page."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from queuey.config import DEVELOPMENT_KEY
from tests.live.browser.devtools import Browser, driving
from tests.live.browser.driver import HERE, needed_chromium
from tests.live.running import LIMIT, Daemon, free_port

TWISTD: Final = Path(sys.executable).parent / "twistd"
AXE: Final = HERE / "node_modules" / "axe-core" / "axe.min.js"
LOOKS: Final = ((1440, "light"), (1440, "dark"), (360, "light"), (360, "dark"))
HOSTILE: Final = b'<img src=x onerror="document.title = 1"><script>document.title = 2</script>'


class DashboardCase(SynchronousTestCase):
    """A daemon as ``make run`` starts it, and a browser.

    :ivar url: what the daemon has printed: it signs in with every right.
    """

    def setUp(self) -> None:
        chromium = needed_chromium()
        self.folder = Path(tempfile.mkdtemp(prefix="queuey-board-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.port, self.board = free_port(), free_port()
        http, board = (f"tcp:{port}:interface=127.0.0.1" for port in (self.port, self.board))
        arguments = ["--http", http, "--data", "data", "--dashboard", board, *self.arguments()]
        self.daemon = Daemon(TWISTD, arguments, self.folder, {})
        self.addCleanup(self.daemon.kill)
        self.daemon.wait_until_it_serves(self.port)
        self.url = self.printed()
        profile = self.folder / "browser"
        profile.mkdir()
        self.browser: Browser = self.enterContext(driving(chromium, profile))
        self.addCleanup(self.end)

    def arguments(self) -> list[str]:
        """Return more arguments of the daemon."""
        return []

    def printed(self) -> str:
        deadline = time.monotonic() + LIMIT
        while (match := re.search(r"http://\S+#token=\S+", self.daemon.output())) is None:
            self.assertLess(time.monotonic(), deadline, self.daemon.output())
            time.sleep(0.05)
        return match[0]

    def end(self) -> None:
        """Stop the daemon; the page and the daemon had no problem until then."""
        self.assertEqual(self.browser.problems, [])
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0, self.daemon.output())
        self.assertNotIn("Traceback", self.daemon.output())

    def http(self, method: str, path: str, document: Any = None, body: bytes = b"", kind: str = "text/plain") -> Any:
        """Ask the API as a program of the application does."""
        headers = {"Authorization": f"Application {DEVELOPMENT_KEY}", "Content-Type": kind}
        if document is not None:
            body, headers["Content-Type"] = json.dumps(document).encode(), "application/json"
        url = f"http://127.0.0.1:{self.port}/v2/queuey/queues/{path}"
        request = urllib.request.Request(url, body or None, headers, method=method)
        with urllib.request.urlopen(request, timeout=LIMIT) as response:
            return json.loads(response.read() or b"null")

    def claim(self, count: int) -> list[Any]:
        """Claim messages of the group ``billing``."""
        found: list[Any] = self.http("POST", "orders/groups/billing/claims", {"limit": count, "lease": 60})["messages"]
        return found

    def fill(self) -> None:
        """Make queues with messages, groups that are behind, a schedule, and twelve dead letters with two reasons."""
        for name, partitions in (("orders", 3), ("failed-orders", 1), ("thumbnails", 4), ("audit", 1), ("invoices", 1)):
            self.http("PUT", name, {"partitions": partitions})
        self.http("PUT", "orders/groups/billing", {"dead_letter": "failed-orders", "max_deliveries": 3})
        self.http("PUT", "orders/groups/mail", {})
        self.http("PUT", "thumbnails/groups/resize", {})
        self.http("PUT", "orders/schedules/nightly", {"cron": "30 2 * * *", "message": {"body": "report"}})
        for number in range(30):
            self.http("POST", "orders/messages", {"order": 4700 + number, "amount": {"EUR": "19.90"}})
            if number % 2:
                self.http("POST", "thumbnails/messages", body=b"picture " * 40)
        rejected = self.claim(12)
        reasons = ["card declined: 402"] * 7 + ["no such customer"] * 5
        settled = [{"receipt": one["receipt"], "reason": why} for one, why in zip(rejected, reasons, strict=True)]
        self.http("POST", "orders/groups/billing/settlements", {"reject": settled})
        self.http("POST", "orders/messages", body=HOSTILE, kind="text/html")

    def faults(self, name: str) -> list[Any]:
        """Return what axe-core finds in what is shown, at each width, in light and dark; nothing is wider than the
        window. Without axe-core only the width is checked."""
        browser, found = self.browser, []
        if AXE.exists() and not browser.run("typeof axe === 'object'"):
            browser.run(AXE.read_text(encoding="utf-8") + "; 0")
        for width, scheme in LOOKS:
            browser.show_as(width, scheme)
            self.assertLessEqual(browser.run("document.documentElement.scrollWidth"), width, name)
            self.shown(f"{name}-{width}-{scheme}")
            if AXE.exists():
                seen = browser.run(
                    """axe.run(document, {resultTypes: ["violations"]}).then(({ violations }) => violations.map((one) =>
                    [one.id, one.help, one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200))]))"""
                )
                found += [(name, width, scheme, *one) for one in seen]
        browser.show_as(*LOOKS[0])
        return found

    def shown(self, name: str) -> None:
        """Take a picture of what is shown; tests that take none do nothing."""

    def need_axe(self) -> None:
        """Skip a test in which axe-core should have looked, after all else was checked."""
        if not AXE.exists():
            raise SkipTest("axe-core is not installed, so only the layout was checked: make browser")

    def sign_in(self, url: str = "") -> None:
        """Open the page by a URL with a token."""
        self.browser.open(url or self.url)
        self.browser.see("Queues", "h1")

    def go(self, path: str, text: str) -> None:
        """Go to a page, and wait for what it shows."""
        self.browser.run(f"location.hash = {json.dumps(path)}")
        self.browser.see(text, "main")
