"""Pushes at the dashboard: what they do, their attempts, and pause and resume."""

from __future__ import annotations

import hashlib
import time

from queuey.config import DEVELOPMENT_KEY
from tests.live.dashboard.dashboards import DashboardCase
from tests.live.running import free_port

run_in = "test"

TOKEN = "0123456789abcdef" * 2


class PushTests(DashboardCase):
    """A push to a port where nothing listens."""

    def arguments(self) -> list[str]:
        self.target = free_port()
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        settings = self.folder / "queuey.ini"
        settings.write_text(
            f"[server]\ndashboard_tokens = ann watch,operate sha256:{digest}\n"
            f"[application_keys]\nqueuey = {DEVELOPMENT_KEY}\n"
            "[application:queuey]\npush = true\npush_hosts = 127.0.0.1\n"
            f"[push]\nsecrets = {'7' * 64}\nnetworks = 127.0.0.0/8\nports = {self.target}\n"
        )
        return ["--config", str(settings)]

    def printed(self) -> str:
        return f"http://127.0.0.1:{self.board}/#token={TOKEN}"

    def test_a_push_is_paused(self) -> None:
        """The page says that it fails, why, and what was sent; it is paused, and goes on."""
        browser = self.browser
        self.http("PUT", "orders", {})
        self.http("PUT", "plain", {})
        self.http("PUT", "orders/pushes/shipping", {"url": f"http://127.0.0.1:{self.target}/in"})
        self.http("POST", "orders/messages", {"order": 1})
        self.sign_in()
        deadline = time.monotonic() + 30
        while not self.http("GET", "orders/pushes/shipping")["failures"]:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)
        self.go("#/queue/queuey/orders", "no-connection")
        browser.see(f"http://127.0.0.1:{self.target}/in", "table[aria-label=Pushes]")
        browser.click("main button[value=shipping]", "Attempts")
        browser.see("Last attempts of shipping", "main")
        browser.see("no-connection", "table[aria-label='Attempts of shipping']")
        self.assertEqual(self.faults("pushes"), [])
        browser.click("main button[value=shipping]", "Pause")
        browser.see("shipping is paused", "#note")
        browser.see("paused since", "table[aria-label=Pushes]")
        self.assertEqual(self.http("GET", "orders/pushes/shipping")["state"], "paused")
        browser.click("main button[value=shipping]", "Resume")
        browser.see("shipping goes on", "#note")
        browser.wait(lambda: "active" in browser.text("table[aria-label=Pushes]"), "it is not active")
        self.go("#/queue/queuey/plain", "Consumer groups")
        self.assertEqual(browser.run("document.querySelectorAll('table[aria-label=Pushes]').length"), 0)
