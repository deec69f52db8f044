"""A page of another origin that uses the API with fetch, in a real browser: with its origin configured, and without."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.live.browser.driver import needed_chromium, serving, visit
from tests.live.clients import KEY, ask, make_queue
from tests.live.daemon.test_daemon import LiveTestCase

run_in = "test"

STEPS = (
    "create",
    "post",
    "batch",
    "read",
    "rewind to an id",
    "rewind to a time",
    "overwrite",
    "look up",
    "delete messages",
    "read the rest",
    "read without a key",
    "false key",
    "too large",
    "delete",
    "read what is gone",
)
#: The queue that the page makes, in a URL.
NAMED = "/from%20a%20p%C3%A4ge"
REFUSED = {"error": "TypeError"}


def bodies(step: Any) -> list[str]:
    """The bodies of the messages that a step saw."""
    return [message["body"] for message in step["body"]["messages"]]


class BrowserTests(LiveTestCase):
    """Chromium, Queuey on one port of loopback, and the page on another: for a browser these are two origins."""

    def setUp(self) -> None:
        super().setUp()
        self.chromium = needed_chromium()

    def visit(self, origins: str) -> dict[str, Any]:
        """Serve a queue that everyone may read, and let the page call; what each of its steps saw.

        :param origins: what the settings allow; ``{origin}`` is the page's own.
        """
        folder = Path(tempfile.mkdtemp(prefix="queuey-browser-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        with serving() as page:
            allowed = origins.format(origin=page.origin)
            self.add_settings(f"[application:queuey]\nmax_body = 4000\ncors_origins = {allowed}\n")
            self.daemon = self.serve()
            make_queue(self.port, "public", type="public")
            ask(self.port, "POST", "/v1/queuey/public", b"for everyone")
            query = urlencode({"api": f"http://127.0.0.1:{self.port}", "key": KEY})
            seen: dict[str, Any] = visit(self.chromium, page, query, folder)
        self.assertEqual(tuple(seen), STEPS)
        return seen

    def check_all(self, seen: dict[str, Any]) -> None:
        """The page could do and see everything."""
        statuses = [seen[name].get("status") for name in STEPS]
        self.assertEqual(statuses, [201, 201, 201, *[200] * 8, 401, 413, 200, 404], seen)
        self.assertEqual([name for name in STEPS if not seen[name]["id"]], [])
        self.assertEqual(seen["create"]["body"]["queue_name"], "from a päge")
        self.assertEqual(bodies(seen["read"]), ["grüße", "second", "third"])
        self.assertEqual(bodies(seen["rewind to an id"]), ["third"])
        self.assertEqual(bodies(seen["rewind to a time"]), ["grüße", "second", "third"])
        self.assertEqual(bodies(seen["look up"]), ["overwritten", "third"])
        self.assertEqual(bodies(seen["read the rest"]), ["second"])
        self.assertEqual(bodies(seen["read without a key"]), ["for everyone"])
        refusals = [list(seen[name]["body"]["error_msg"]) for name in ("false key", "too large", "read what is gone")]
        self.assertEqual(refusals, [["InvalidApplicationKey"], ["RequestTooLarge"], ["InvalidQueueName"]])

    def test_configured_origin(self) -> None:
        """Create, post, read, rewind, overwrite, delete; and the refusals can be read too."""
        self.check_all(self.visit("https://elsewhere.example.org {origin}"))

    def test_every_origin(self) -> None:
        """The same where every origin may call."""
        self.check_all(self.visit("*"))

    def check_nothing(self, seen: dict[str, Any]) -> None:
        """The browser refused the page everything: what needs a key was never sent, what does not, never shown."""
        self.assertEqual(seen, dict.fromkeys(STEPS, REFUSED))
        self.assertEqual(ask(self.port, "GET", "/v1/queuey")[1]["queues"], [{"queue_name": "public"}])
        asked = re.findall(r" access (\d+ [A-Z]+) /v1/queuey(\S*) .* out=", self.daemon.output())
        self.assertIn(("204 OPTIONS", ""), asked)
        self.assertIn(("200 GET", "/public"), asked)
        self.assertNotIn(("201 POST", NAMED), asked)

    def test_another_origin(self) -> None:
        """Of all that there are, only those that are configured may call."""
        self.check_nothing(self.visit("https://elsewhere.example.org http://localhost"))

    def test_no_origin(self) -> None:
        """Without any, no page may."""
        self.check_nothing(self.visit(""))
