"""Pages of another origin that follow a queue, or many, by a signed URL, in Chromium: by an EventSource, as
docs/api-v2/browsers.rst shows, and by the JavaScript client."""

from __future__ import annotations

import json
import re
import shutil
import signal
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlencode

from queuey.model.applications.application import digest_of, key_id
from queuey.model.applications.signing import Grant, sign
from queuey.model.queues.choice import choice_of
from tests import runs_in, tried
from tests.live.browser.driver import browsing, needed_chromium, result, serving
from tests.live.client.test_javascript import client_files
from tests.live.clients import KEY, ask, make_queue
from tests.live.daemon.test_daemon import LiveTestCase
from tests.live.running import free_port
from tests.live.scraping import until

run_in = "test"

GUIDE = Path(__file__).parents[3] / "docs" / "api-v2" / "browsers.rst"
MESSAGES = tried(400, 1000)
AT_ONCE = 20
KILLED, STOPPED = MESSAGES * 3 // 10, MESSAGES * 6 // 10
"""How many messages are stored when the daemon is killed, and when it is stopped."""
ROOMS = 10
"""Queues of a page that follows many; another one is created each hundred messages."""
ROOM_NAMES = ("news", *[f"room-{number}" for number in range(ROOMS)])

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


CLIENT_PAGE = """<!DOCTYPE html>
<meta charset="utf-8">
<title>A page that follows many queues with the client</title>
<script type="module">
import { Client } from "/queuey.js";
const seen = [];
const choice = Client.choiceFromSignedUrl(new URLSearchParams(location.search).get("url"));
for await (const { queue, text } of choice.follow()) {
  if (text === "end") break;
  seen.push(text);
}
await fetch("/result", { method: "POST", body: JSON.stringify(seen) });
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

    def signed(self, path: str, line: str, choice: Sequence[tuple[str, str]] = ()) -> str:
        """A URL of live reads that needs no key."""
        digest = digest_of(KEY)
        grant = Grant("queuey", line, "read", str(int(time.time()) + 600))
        given = {"signed_by": key_id(digest), "signed_for": "read", "signed_until": grant.until, "errors": "events"}
        query = urlencode([*choice, *given.items(), ("signature", sign(digest, grant))])
        return f"http://127.0.0.1:{self.port}/v2/queuey{path}/events?{query}"

    def post(self, queue: str, *bodies: str) -> None:
        batch = json.dumps({"messages": [{"body": body} for body in bodies]}).encode()
        answer = ask(self.port, "POST", f"/v1/queuey/{queue}", batch, **{"Content-Type": "application/json"})
        self.assertEqual(answer[0], 201, answer)

    def post_to_one(self, bodies: Sequence[str]) -> None:
        self.post("page", *bodies)

    def post_to_rooms(self, bodies: Sequence[str]) -> None:
        """Each message to another queue than the one before; some of these are new."""
        for body in bodies:
            if body.endswith("50"):
                make_queue(self.port, f"room-new-{body}")
                self.post(f"room-new-{body}", body)
            else:
                self.post(f"room-{int(body) % ROOMS}", body)

    def signed_for_many(self) -> str:
        """The URL of the queue ``news``, and of all whose names begin with ``room-``."""
        line = choice_of("queuey", ("news",), ("room-",)).signed_line()
        return self.signed("", line, [("queue", "news"), ("prefix", "room-")])

    def test_through_restarts(self) -> None:
        """It shows every message, none missing and none twice, though the daemon is killed and stopped."""
        self.check(PAGE % shown(), lambda: self.signed("/queues/page", "page"), ("page",), self.post_to_one)

    @runs_in("test-long")
    def test_many_queues(self) -> None:
        """A page that reads many queues shows the same; some of the queues are created while it reads. ``make test``
        runs the next test instead."""
        self.check(PAGE % shown(), self.signed_for_many, ROOM_NAMES, self.post_to_rooms)

    def test_many_queues_with_the_client(self) -> None:
        """The same with the JavaScript client, which reads lines of JSON."""
        self.check(CLIENT_PAGE, self.signed_for_many, ROOM_NAMES, self.post_to_rooms, "ndjson", client_files())

    def check(
        self,
        html: str,
        signed: Callable[[], str],
        queues: Sequence[str],
        post: Callable[[Sequence[str]], None],
        kind: str = "sse",
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        """Post to what a page follows, and end the daemon twice meanwhile.

        :param signed: returns the URL that the page is given.
        :param post: stores some messages.
        """
        folder = Path(tempfile.mkdtemp(prefix="queuey-browser-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        ops = free_port()
        self.replace_settings("[server]\n", f"[server]\nstop_timeout = 2\nops = tcp:{ops}:interface=127.0.0.1\n")
        with serving(html, files=files) as page:
            self.add_settings(f"[application:queuey]\nsigned_urls = true\ncors_origins = {page.origin}\n")
            daemon = self.serve()
            for name in queues:
                make_queue(self.port, name)
            url = f"{page.origin}/?{urlencode({'url': signed()})}"
            with browsing(self.chromium, url, folder) as browser:
                until(ops, lambda found: found.get(("queuey_live_streams", kind)) == 1)
                for start in range(0, MESSAGES, AT_ONCE):
                    post([str(number) for number in range(start, start + AT_ONCE)])
                    if start == KILLED:
                        daemon.kill()
                        daemon = self.serve()
                    elif start == STOPPED:
                        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
                        daemon = self.serve()
                self.post(queues[0], "end")
                seen = result(browser, page, folder)
        self.assertEqual(seen, [str(number) for number in range(MESSAGES)])
        self.assertNotIn("Traceback", daemon.output())
