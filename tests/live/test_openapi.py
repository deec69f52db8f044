"""A daemon is asked what its own description allows and what it forbids, and each answer is held against it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

from queuey.http.v2.openapi import document
from tests.http.test_v2_description import operations
from tests.live.clients import KEY
from tests.live.test_daemon import LiveTestCase

ROOT: Final = Path(__file__).parents[2]
LONG: Final = bool(os.environ.get("QUEUEY_LONG"))
EXAMPLES: Final = 400 if LONG else 20
"""Random requests for each operation; those at the edges of what is allowed come in addition."""

LIMIT: Final = 3600.0 if LONG else 300.0
"""Seconds until the whole is given up."""

SLOWEST: Final = 10
"""Seconds that an answer may take."""

OPTIONS: Final = (
    "--phases=examples,coverage,fuzzing",
    # Without this the description itself would be left out.
    "--include-path-regex=^/v2/",
    f"--max-examples={EXAMPLES}",
    f"--max-response-time={SLOWEST}",
    "--checks=all",
    # What can be said in a schema is not all that makes a request right: of two parameters only one may be given, and
    # a cursor has to be one. A deleted queue is made anew before the next request, as the hooks do it.
    "--exclude-checks=positive_data_acceptance,use_after_free,ensure_resource_availability,object_level_authorization",
    "--continue-on-failure",
    "--warnings=off",
    "--output-sanitize=false",
    "--no-color",
    "--seed=7",
)


class ConformanceTests(LiveTestCase):
    """What is answered is what is described."""

    def ask_everything(self, *more: str) -> None:
        """Let schemathesis ask; it fails where an answer is not as described."""
        base = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{base}/v2/openapi.json", f"--url={base}"]
        done = subprocess.run(
            [*command, f"--header=Authorization: Application {KEY}", *OPTIONS, *more],
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SCHEMATHESIS_HOOKS": "tests.live.described",
                "QUEUEY_ASKED": base,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        self.assertEqual(done.returncode, 0, f"{done.stdout}\n{done.stderr}")

    def answered(self, log: str) -> dict[tuple[str, str], set[str]]:
        """The statuses that there were, by method and path."""
        found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for status, method, path in re.findall(r" access (\d+) ([A-Z]+) ([^ ?]+)", log):
            name = re.sub(r"(?<=/messages/)[^/]+$", "{id}", re.sub(r"(?<=/queues/)[^/]+", "{queue}", path))
            found[method, name.replace("/v2/queuey", "/v2/{application}")].add(status)
        return found

    def test_conformance(self) -> None:
        """No answer differs from the description, and each success that it has comes at times."""
        daemon = self.serve()
        self.ask_everything()
        found = self.answered(daemon.output())
        for method, path, operation in operations(document()):
            promised = {status for status in operation["responses"] if status < "4"}
            self.assertEqual(promised - found[method, path], set(), f"{method} {path}")
        self.assertNotIn("Traceback", daemon.output())
