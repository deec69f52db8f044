"""The dashboard in Chromium, driven as a person would."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from queuey.config import DEVELOPMENT_KEY
from queuey.ops.dashboard.live import EVERY
from tests import runs_in
from tests.live.dashboard.dashboards import HOSTILE, DashboardCase
from tests.live.operating.rotating import call
from tests.live.running import LIMIT

PICTURES: Final = os.environ.get("QUEUEY_PICTURES", "")
PAGES: Final = (
    ("queues", "#/queues", "orders"),
    ("queue", "#/queue/queuey/orders", "Consumer groups"),
    ("queue-of-many-groups", "#/queue/queuey/audit", "Groups 1 to 4 of 6"),
    ("dead-letters", "#/dead/queuey/orders/billing", "card declined"),
    ("groups", "#/dead", "billing"),
    ("waits", "#/waits", "queuey"),
    ("applications", "#/applications", "queuey"),
    ("application", "#/applications/shop", "max_queues"),
    ("daemon", "#/daemon", "Checks"),
)
WATCH: Final = r"""(async () => {
    const key = %s;
    const { Live } = await import(document.querySelector("script").src.replace("main.js", "rpc.js"));
    const take = Live.prototype.take;
    window.told = [];
    Live.prototype.take = function (block, answers) {
        take.call(this, block, answers);
        const data = block.split("\n").find((line) => line.startsWith("data: "));
        if (!data || !block.startsWith("event: numbers")) return;
        const row = document.querySelector(`tr[data-key="${key}"]`);
        const cell = row?.querySelector("[data-label=messages]");
        window.told.push([JSON.parse(data.slice(6)).at, cell?.firstChild.data === "1"]);
    };
})()"""
"""Notes with which numbers of the daemon the row of a queue shows a message: the daemon's time, and whether it does."""


class PersonTests(DashboardCase):
    """What an operator does on a day."""

    @runs_in("test")
    def test_from_the_printed_url_to_a_claim(self) -> None:
        """Sign in, see a message, peek at a hostile one, redrive a selection, and claim it."""
        browser = self.browser
        self.sign_in()
        self.assertEqual(browser.run("location.href"), f"http://127.0.0.1:{self.board}/#/queues")
        self.assertEqual(browser.run("sessionStorage.length + document.cookie.length"), 0)
        self.assertEqual(browser.run("history.length"), 2)  # the empty tab, and this page without the token
        self.fill()
        self.see_a_message()
        browser.see("orders", "table.cards")
        queue = "#/queue/queuey/orders"
        browser.click(f"a[href='{queue}']")
        browser.see("Consumer groups", "main")
        browser.click("button", "Peek")
        browser.see(HOSTILE.decode(), "pre")
        self.assertEqual(browser.run("document.querySelectorAll('main img, main script').length"), 0)
        self.assertEqual(browser.run("document.title"), "Queuey: queuey / orders")
        browser.click("main a", "dead letters of billing")
        browser.see("no such customer", "main")
        self.redrive("no such customer")
        claimed: list[Any] = []

        def enough() -> bool:
            claimed.extend(self.claim(100))
            return len(claimed) == 5 + 18 + 1

        browser.wait(enough, "too few are claimed")
        audited = [line for line in self.daemon.output().splitlines() if "token start" in line]
        self.assertTrue(any("messages.peek" in line and '"ids":[' in line for line in audited), audited)
        self.assertTrue(any("groups.redrive" in line for line in audited), audited)
        self.assertNotIn(self.url.partition("token=")[2], self.daemon.output().replace(self.url, ""))

    def see_a_message(self) -> None:
        """A message is shown by the next numbers that the daemon sends, which is within three seconds.

        The times are those of the daemon, so it does not matter how long the browser takes. A daemon that was kept from
        working for a while may be late by as much.
        """
        browser = self.browser
        self.http("PUT", "seen", {})
        browser.see("seen", "table.cards")
        browser.run(WATCH % json.dumps("queuey/seen"))
        (message,) = self.http("POST", "seen/messages", body=b"hello")["messages"]
        stored = datetime.fromisoformat(message["timestamp"]).timestamp()
        told = browser.wait(
            lambda: [one for one in browser.run("window.told") if one[1]][:1], "the message is not shown"
        )
        every = [(at, bool(shown)) for at, shown in browser.run("window.told")]
        times = [at for at, _ in every]
        at = told[0][0]
        before = max([one for one in times if one < at], default=at)
        late = max(0.0, at - before - EVERY)
        self.assertLessEqual(at - stored, 3 + late, every)
        # Numbers that were being collected when it was stored may lack it, and no others.
        self.assertLessEqual(sum(stored < one < at for one in times), 1, every)

    def test_all_groups_of_a_queue(self) -> None:
        """They are shown page by page, by name; those that were made meanwhile too."""
        browser = self.browser
        self.http("PUT", "busy", {})
        for number in range(9):
            self.http("PUT", f"busy/groups/g{number}", {})
        self.sign_in()
        self.go("#/queue/queuey/busy", "Groups 1 to 4 of 9")
        self.groups("g0", "g1", "g2", "g3")
        self.http("POST", "busy/messages", body=b"x")
        browser.click("button", "Groups after")
        self.groups("g4", "g5", "g6", "g7")
        browser.see("g4: 1 behind", "main")
        self.http("PUT", "busy/groups/h", {})
        browser.click("button", "Groups after")
        self.groups("g8", "h")
        browser.see("Groups 9 to 10 of 10", "main")
        self.assertTrue(browser.run("document.querySelector('[data-act=groups-after]').disabled"))
        for number in (4, 5, 6, 7, 8):
            self.http("DELETE", f"busy/groups/g{number}")
        self.http("POST", "busy/messages", body=b"x")
        browser.click("button", "Groups before")
        self.groups("h")
        browser.click("button", "Groups before")
        self.groups("g0", "g1", "g2", "g3")

    def test_a_queue_that_is_not_consumed(self) -> None:
        """It does not "keep up" because it is posted to: a group has messages, and no consumer takes them."""
        self.http("PUT", "orders", {})
        self.sign_in()
        self.http("POST", "orders/messages", body=b"x")
        self.state("active")
        self.http("PUT", "orders/groups/billing", {"start": "oldest"})
        for _ in range(5):
            self.http("POST", "orders/messages", body=b"x")
        self.state("not consumed")
        claimed = self.claim(10)
        self.state("keeps up")
        self.http("POST", "orders/groups/billing/settlements", {"ack": [one["receipt"] for one in claimed]})
        self.http("POST", "orders/messages", body=b"x")
        self.http("POST", "orders/groups/billing/settlements", {"ack": [one["receipt"] for one in self.claim(10)]})
        self.state("keeps up")

    def test_a_queue_whose_consumers_lose_ground(self) -> None:
        """It "falls behind" if the daemon says so, unless its messages are not consumed at all."""
        self.sign_in()
        script = """(async () => {
          const { stateOf } = await import(document.querySelector("script").src.replace("main.js", "queues.js"));
          const group = { behind: 5, waiting: 0, in_flight: 1, set_aside: 0 };
          const queue = { groups: [group], rates: { stored: 1, given: 1 } };
          const idle = { ...queue, groups: [{ ...group, in_flight: 0 }], rates: { stored: 1, given: 0 } };
          return [queue, { ...queue, growing: true }, { ...idle, growing: true }].map((each) => stateOf(each)[0]);
        })()"""
        self.assertEqual(self.browser.run(script), ["keeps up", "falls behind", "not consumed"])

    def state(self, text: str) -> None:
        """Wait until the row of the queue ``orders`` has a state."""
        shown = "document.querySelector('tr[data-key=\"queuey/orders\"] .state')?.textContent"
        self.browser.wait(lambda: self.browser.run(shown) == text, f"the queue is not {text}")

    def groups(self, *names: str) -> None:
        """Wait until these groups are shown, and no others."""
        shown = "[...document.querySelectorAll('.group')].map((group) => group.dataset.key)"
        self.browser.wait(lambda: self.browser.run(shown) == list(names), f"{names} are not shown")

    def redrive(self, reason: str) -> None:
        browser = self.browser
        browser.type("input[name=reason]", reason)
        browser.click("form button", "Filter")
        browser.see("5 listed", "main")
        browser.click("thead input[type=checkbox]")
        browser.click("button", "Redrive 5 selected")
        browser.see("5 can be claimed again by billing", "dialog")
        self.assertTrue(browser.run("document.querySelector('dialog button').disabled"))
        browser.type("dialog input", "billing")
        browser.click("dialog button", "Redrive")
        browser.see("5 messages were given back to billing", "#note")
        browser.see("0 listed", "main")

    def test_a_key_is_rotated(self) -> None:
        """A new one is shown once and works; the old one is revoked and does not."""
        browser = self.browser
        self.sign_in()
        self.go("#/applications", "queuey")
        browser.type("main input[name=name]", "shop")
        browser.click("main button", "Make")
        browser.see("This application has no key", "main")
        browser.click("button", "Add a key")
        browser.see("It is shown only now", "main")
        old = browser.text("#new-key")
        id = browser.wait(lambda: browser.text("table.cards tbody th"), "no key")
        browser.click("button", "I have it")
        browser.click("button", "Rotate")
        browser.click("dialog button", "Make a new key")
        browser.wait(lambda: browser.text("#new-key") not in ("", old), "no new key")
        new = browser.text("#new-key")
        self.assertEqual([self.status(key) for key in (old, new)], [200, 200])
        browser.click(f"button[value='{id}']", "Revoke")
        browser.type("dialog input", id)
        browser.click("dialog button", "Revoke")
        browser.see(f"{id} was revoked", "#note")
        self.assertEqual([self.status(key) for key in (old, new)], [401, 200])

    def status(self, key: str) -> int:
        """Return the status of an answer to a program with a key."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v2/shop/queues")
        request.add_header("Authorization", f"Application {key}")
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    @runs_in("test")
    def test_a_token_that_only_watches(self) -> None:
        """The page offers no change, and the daemon refuses one that is asked for all the same."""
        self.fill()
        to = f"unix:{self.folder}/data/queuey-ops.sock"
        made = call(to, "dashboard.token", name="screen", rights=["watch"])
        browser = self.browser
        self.sign_in(made["url"])
        browser.see("screen: watch only", "#me")
        self.go("#/dead/queuey/orders/billing", "card declined")
        self.assertEqual(browser.run("document.querySelectorAll('main input[type=checkbox]').length"), 0)
        browser.see("lacks the right operate", "main")
        self.go("#/queue/queuey/orders", "This token may not see messages")
        browser.see("30 2 * * *, UTC", "main")
        self.assertEqual(browser.run("document.querySelectorAll('main button[value=nightly]').length"), 0)
        for method, params in (
            ("groups.redrive", {"group": "billing", "all": True}),
            ("messages.peek", {}),
            ("queues.purge", {}),
            ("schedules.pause", {"schedule": "nightly"}),
        ):
            about = {"application": "queuey", "queue": "orders", **params}
            script = f"""import(document.querySelector("script").src.replace("main.js", "rpc.js")).then(({{ call }}) =>
                call({json.dumps(method)}, {json.dumps(about)})).then(() => "done", (error) => error.code)"""
            self.assertEqual(browser.run(script), "forbidden", method)
        browser.click("header button", "Sign out")
        browser.see("Token", "form")
        browser.type("#token", "a-token-that-nobody-has-given")
        browser.press("Enter")
        browser.see("The token is missing, wrong or expired", "[role=alert]")
        # That the token was refused is in the console of the browser; all else is a fault.
        browser.problems[:] = [one for one in browser.problems if "401" not in one]

    def test_a_schedule_is_paused(self) -> None:
        """It says so, and goes on when it is asked to."""
        self.fill()
        self.sign_in()
        browser = self.browser
        self.go("#/queue/queuey/orders", "30 2 * * *, UTC")
        browser.click("main button[value=nightly]", "Pause")
        browser.see("nightly is paused", "#note")
        browser.see("paused since", "main")
        self.assertEqual(self.http("GET", "orders/schedules/nightly")["state"], "paused")
        browser.click("main button[value=nightly]", "Resume")
        browser.see("nightly goes on", "#note")
        browser.wait(lambda: "active" in browser.text("table[aria-label=Schedules]"), "it is not active")
        audited = [line for line in self.daemon.output().splitlines() if "schedules.pause" in line]
        self.assertTrue(audited and "token start" in audited[0], audited)

    def test_by_keyboard_alone(self) -> None:
        """From the list to a queue, and through a dialog, without a mouse."""
        self.fill()
        self.sign_in()
        browser = self.browser
        browser.see("orders", "table.cards")
        browser.tab_to("Skip to the content")
        browser.press("Enter")
        self.assertEqual(browser.run("document.activeElement.id"), "main")
        browser.tab_to("invoices")
        browser.press("Enter")
        browser.see("Settings", "main")
        self.assertEqual(browser.run("document.activeElement.id"), "main")
        browser.tab_to("Purge")
        browser.press("Enter")
        browser.see("This cannot be undone", "dialog")
        self.assertEqual(browser.run("document.activeElement.id"), "dialog-word")
        browser.press("Escape")
        browser.wait(lambda: not browser.run("Boolean(document.querySelector('dialog'))"), "the dialog stays")
        self.assertIn("Purge", browser.run("document.activeElement.innerText"))

    @runs_in("test-long")
    def test_it_goes_on_after_a_break(self) -> None:
        """The page says how old its numbers are, and goes on when the daemon does."""
        self.sign_in()
        browser = self.browser
        browser.see("live", "#age")
        self.daemon.send(signal.SIGSTOP)
        browser.see("no answer", "#age")
        self.daemon.send(signal.SIGCONT)
        self.http("PUT", "later", {})
        browser.see("later", "table.cards")
        browser.see("live", "#age")


class LooksTests(DashboardCase):
    """Each page, at each width, in light and dark."""

    def test_pages(self) -> None:
        """No page is wider than the window, axe-core finds nothing, and no policy is broken. With QUEUEY_PICTURES, a
        picture of each is made."""
        self.fill()
        call(f"unix:{self.folder}/data/queuey-ops.sock", "applications.set", name="shop", max_queues=100)
        call(f"unix:{self.folder}/data/queuey-ops.sock", "keys.add", application="shop")
        for number in range(6):
            self.http("PUT", f"audit/groups/reader-{number}", {})
        for _ in range(2):
            self.follow("orders")
        if PICTURES:
            self.go_on_posting()
        self.sign_in()
        browser = self.browser
        faults: list[Any] = []
        for name, path, text in PAGES:
            self.go(path, text)
            if name == "queue":
                browser.click("button", "Peek")
                browser.see("EUR", "main")
            faults += self.faults(name)
        self.assertEqual(faults, [])
        self.need_axe()

    def test_what_is_shown_for_a_while(self) -> None:
        """The same holds for the form of signing in, refusals, dialogs and a key that was made."""
        self.fill()
        browser = self.browser
        browser.open(self.url.partition("#")[0])
        browser.see("Token", "form")
        faults = self.faults("sign-in")
        browser.type("#token", "a-token-that-was-never-given")
        browser.press("Enter")
        browser.see("The token is missing, wrong or expired", "[role=alert]")
        browser.problems.clear()
        faults += self.faults("sign-in-refused")
        self.sign_in()
        self.go("#/dead/queuey/orders/billing", "card declined")
        browser.click("thead input[type=checkbox]")
        browser.click("button", "Redrive 12 selected")
        browser.see("12 can be claimed again by billing", "dialog")
        faults += self.faults("redrive")
        browser.press("Escape")
        self.go("#/applications", "queuey")
        browser.type("main input[name=name]", "shop")
        browser.click("main button", "Make")
        browser.see("This application has no key", "main")
        browser.click("button", "Add a key")
        browser.see("It is shown only now", "main")
        faults += self.faults("new-key")
        self.go("#/queue/queuey/no-such-queue", "There is no such queue")
        faults += self.faults("no-such-queue")
        self.assertEqual(faults, [])
        self.need_axe()

    def follow(self, queue: str) -> None:
        """Open a live read, until the test ends."""
        client = self.enterContext(socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT))
        head = f"GET /v2/queuey/queues/{queue}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        client.sendall(f"{head}Authorization: Application {DEVELOPMENT_KEY}\r\n\r\n".encode())
        self.assertIn(b" 200 ", client.recv(4096))

    def go_on_posting(self) -> None:
        """Post for a while, so that the charts of the pictures show something."""
        for number in range(40):
            for _ in range(3 + number % 7):
                self.http("POST", "orders/messages", {"order": 4730 + number, "amount": {"EUR": "19.90"}})
                self.http("POST", "thumbnails/messages", body=b"picture " * 40)
            claimed = self.claim(1 + number % 4)
            receipts = [one["receipt"] for one in claimed]
            if receipts:
                self.http("POST", "orders/groups/billing/settlements", {"ack": receipts})
            time.sleep(1)

    def shown(self, name: str) -> None:
        if PICTURES:
            self.browser.picture(Path(PICTURES) / f"{name}.png")
