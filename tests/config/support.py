"""What the tests of settings share: text in, settings or lines out."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from queuey.config import Settings, load
from queuey.errors import ConfigurationError

KEY = "a-key-of-some-length"
APPLICATION = f"[application_keys]\napp = {KEY}\n"
"""What a file needs so that nothing is warned of."""


class SettingsTestCase(SynchronousTestCase):
    """Writes a file ``q.ini`` in a folder of its own, and loads it."""

    def setUp(self) -> None:
        # The path of a socket has 107 bytes at the most, which trial's own folders may be longer than.
        self.folder = Path(tempfile.mkdtemp(prefix="queuey-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.file = self.folder / "q.ini"

    def load(self, text: str | bytes) -> Settings:
        self.file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(self.file)

    def problems(self, text: str | bytes) -> list[str]:
        """The lines of what is wrong, without the file's name, which each of them has."""
        error = self.assertRaises(ConfigurationError, self.load, text)
        for line in error.problems:
            self.assertTrue(line.startswith(f"{self.file}: "), line)
            self.assertNotIn("\n", line)
        return [line.removeprefix(f"{self.file}: ") for line in error.problems]

    def warned(self, settings: Settings) -> list[str]:
        return [line.partition("q.ini: ")[2] for line in settings.warnings]
