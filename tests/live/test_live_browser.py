"""A page of another origin that follows a queue by a signed URL, as docs/api-v2/browsers.rst shows, in Chromium."""

from __future__ import annotations

import json
import re
import shutil
import signal
import tempfile
import textwrap
import time
from pathlib import Path
from urllib.parse import urlencode

from queuey.model.application import digest_of, key_id
from queuey.model.signing import Grant, sign
from tests.live.browser.driver import browsing, needed_chromium, result, serving
from tests.live.clients import KEY, ask, make_queue
from tests.live.running import free_port
from tests.live.scraping import until
from tests.live.test_daemon import LiveTestCase

run_in = "test"

GUIDE = Path(__file__).parents[2] / "docs" / "api-v2" / "browsers.rst"
MESSAGES = 1000
AT_ONCE = 20

PAGE = """<!DOCTYPE html>
<meta charset="utf-8">
<title>A page that follows a queue</title>
<script>
%s
const seen = [];
follow(
  async () => new URLSearchParams(location.search).get("url"),
  message => {
    if (message.body === "end") fetch("/result", { method: "POST", body: JSON.stringify(seen) });
    else seen.push(message.body);
  },
);
</script>
"""


def shown() -> str:
    """The program of the guide."""
    found = re.search(r"(?m)^ +function follow\(.*?\n   \}\n", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return textwrap.dedent(found[0])


class EventSourceTests(LiveTestCase):
    """A real EventSource."""

    def setUp(self) -> None:
        super().setUp()
        self.chromium = needed_chromium()

    def signed(self) -> str:
        """A URL of live reads that needs no key."""
        digest = digest_of(KEY)
        grant = Grant("queuey", "page", "read", str(int(time.time()) + 600))
        given = {"signed_by": key_id(digest), "signed_for": "read", "signed_until": grant.until, "errors": "events"}
        query = urlencode({**given, "signature": sign(digest, grant)})
        return f"http://127.0.0.1:{self.port}/v2/queuey/queues/page/events?{query}"

    def post(self, *bodies: str) -> None:
        batch = json.dumps({"messages": [{"body": body} for body in bodies]}).encode()
        answer = ask(self.port, "POST", "/v1/queuey/page", batch, **{"Content-Type": "application/json"})
        self.assertEqual(answer[0], 201, answer)

    def test_through_restarts(self) -> None:
        """It shows a thousand messages, none missing and none twice, though the daemon is killed and told to stop."""
        folder = Path(tempfile.mkdtemp(prefix="queuey-browser-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        ops = free_port()
        self.replace_settings("[server]\n", f"[server]\nstop_timeout = 2\nops = tcp:{ops}:interface=127.0.0.1\n")
        with serving(PAGE % shown()) as page:
            self.add_settings(f"[application:queuey]\nsigned_urls = true\ncors_origins = {page.origin}\n")
            daemon = self.serve()
            make_queue(self.port, "page")
            url = f"{page.origin}/?{urlencode({'url': self.signed()})}"
            with browsing(self.chromium, url, folder) as browser:
                until(ops, lambda found: found.get(("queuey_live_streams", "sse")) == 1)
                for start in range(0, MESSAGES, AT_ONCE):
                    self.post(*map(str, range(start, start + AT_ONCE)))
                    if start == 300:
                        daemon.kill()
                        daemon = self.serve()
                    elif start == 600:
                        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
                        daemon = self.serve()
                self.post("end")
                seen = result(browser, page, folder)
        self.assertEqual(seen, [str(number) for number in range(MESSAGES)])
        self.assertNotIn("Traceback", daemon.output())
