"""The section [tracing]: its values, its secrets, and the libraries that it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from queuey.config import TracingSettings
from tests.config.support import SettingsTestCase

ROOT = Path(__file__).parents[2]
URL = "http://collector:4318/v1/traces"


class TracingTests(SettingsTestCase):
    """What is read."""

    def test_defaults(self) -> None:
        self.assertEqual(self.load("").tracing, TracingSettings(None, (), "queuey", 1.0, 8192, 10.0, 5.0))

    def test_everything(self) -> None:
        """Values of header fields are shown nowhere."""
        settings = self.load(
            f"[tracing]\nendpoint = {URL}\nheaders =\n  X-Key: a-secret of:mine\n  B:2\n"
            "service_name = shop queues\nratio = 0.25\nmax_spans = 5\nexport_timeout = 1.5\nflush_timeout = 2\n"
        )
        fields = (("X-Key", "a-secret of:mine"), ("B", "2"))
        self.assertEqual(settings.tracing, TracingSettings(URL, fields, "shop queues", 0.25, 5, 1.5, 2.0))
        shown = "\n".join(settings.describe())
        self.assertIn("headers = \n    X-Key: (not shown)\n    B: (not shown)\nservice_name = shop queues", shown)
        self.assertNotIn("a-secret", shown + repr(settings))

    def test_mistakes_in_headers(self) -> None:
        """They are named without what may be a key."""
        for text in ("X-Key a-secret", "X-Key: a-secr\u00e9t", ": a-secret"):
            (problem,) = self.problems(f"[tracing]\nheaders = {text}\n")
            self.assertIn("[tracing] headers: field 1 is not a name, a colon and a value of visible ASCII", problem)
            self.assertNotIn("a-secr", problem)


class LibraryTests(SettingsTestCase):
    """The libraries are an extra: installations without tracing do not need them."""

    def test_missing(self) -> None:
        """It is said in one line, and only where something is to be traced."""
        what = "needs libraries that are not installed; pip install 'queuey[otel]' installs them"
        refused = (1, f"{self.file}: [tracing] endpoint: {what}\n")
        for text, missing, expected in (
            (f"endpoint = {URL}", "opentelemetry", refused),
            (f"endpoint = {URL}", "opentelemetry.exporter.otlp.proto.http", refused),
            ("ratio = 0.5", "opentelemetry", (0, "")),
        ):
            program = f"import sys; sys.modules[{missing!r}] = None; from queuey_client.cli import run; sys.exit(run())"
            self.file.write_text(f"[tracing]\n{text}\n[application_keys]\na = a-key-of-some-length\n")
            command = [sys.executable, "-c", program, "check", "--settings-only", str(self.file)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
            self.assertEqual((done.returncode, done.stderr), expected)

    def test_not_imported(self) -> None:
        """Where nothing is traced, a daemon does not carry them about."""
        program = (
            "import sys; from queuey.service import assembly, make_traces; from queuey.config import TracingSettings; "
            "assert make_traces(TracingSettings(), None) is None; sys.exit('opentelemetry' in sys.modules)"
        )
        self.assertEqual(subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60).returncode, 0)
