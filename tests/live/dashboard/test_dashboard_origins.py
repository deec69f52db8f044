"""No page of another origin in an operator's browser reaches the dashboard."""

from __future__ import annotations

from tests.live.browser.test_ops_browser import FAILED, REFUSED
from tests.live.browser.test_ops_browser import OpsBrowserTests as _OpsBrowserTests
from tests.live.operating.rotating import call


class OtherOriginTests(_OpsBrowserTests):
    """The page that attacks the operators' port attacks the dashboard."""

    settings = """\
[server]
http = tcp:{port}:interface=127.0.0.1
ops = unix:ops.sock
dashboard = tcp:{ops}:interface=127.0.0.1
[storage]
backend = memory
[logging]
file = queuey.log
format = json
"""

    def test_no_page_gets_through(self) -> None:
        _, seen = self.see()
        for step in ("rebound", "rebound-get"):
            self.assertEqual(seen[step]["status"], 403)
            self.assertIn("The dashboard is not served under this host name", seen[step]["body"])
        for step in ("fetch", "fetch-by-name", "fetch-with-token", "fetch-plain"):
            self.assertEqual(seen[step], REFUSED, step)
        for step in ("fetch-opaque", "fetch-unnamed"):
            self.assertIn(seen[step], ({"status": 0, "body": ""}, REFUSED), step)
        for step in ("socket", "rebound-socket", "events", "image"):
            self.assertEqual(seen[step], FAILED, step)
        self.assertEqual(call(f"unix:{self.folder}/ops.sock", "applications.list")["applications"], [])
