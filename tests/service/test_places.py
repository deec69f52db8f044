"""Options of twistd that cannot be followed, before twistd itself meets them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from queuey.config import Overrides
from queuey.service import Options
from queuey.service.process.log_location import wrong_folders


class FoldersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.file = self.folder / "file"
        self.file.write_text("")
        self.missing = self.folder / "missing"

    def wrong(self, **options: Any) -> list[str]:
        """What is said of some options, without the beginning that all lines have."""
        said = wrong_folders({"rundir": ".", "pidfile": str(self.folder / "twistd.pid"), **options})
        return [line.removeprefix("twistd --") for line in said]

    def test_right(self) -> None:
        """The defaults, a log on standard output, and files that are there."""
        self.assertEqual(self.wrong(), [])
        self.assertEqual(self.wrong(pidfile="", logfile="-", chroot=None), [])
        self.assertEqual(self.wrong(logfile=str(self.file), rundir=str(self.folder)), [])

    def test_no_folder(self) -> None:
        """Each option has its line."""
        self.assertEqual(
            self.wrong(rundir=str(self.missing), chroot=str(self.file)),
            [f"chroot: {self.file} is not a folder", f"rundir: {self.missing} is not a folder"],
        )
        pidfile, logfile = self.missing / "x.pid", self.file / "x.log"
        self.assertEqual(
            self.wrong(pidfile=str(pidfile), logfile=str(logfile)),
            [
                f"pidfile: {pidfile} cannot be made: {self.missing} is not a folder",
                f"logfile: {logfile} cannot be made: {self.file} is not a folder",
            ],
        )

    def test_a_folder(self) -> None:
        self.assertEqual(self.wrong(logfile=str(self.folder)), [f"logfile: {self.folder} is a folder"])

    def test_within_another_root(self) -> None:
        """What paths mean there cannot be seen from here."""
        self.assertEqual(self.wrong(chroot=str(self.folder), logfile=str(self.missing / "x.log")), [])


class OptionsTests(SynchronousTestCase):
    def test_a_word_that_is_no_option(self) -> None:
        """Most often it is the settings file."""
        error = self.assertRaises(UsageError, Options().parseOptions, ["queuey.ini"])
        self.assertEqual(str(error), "'queuey.ini' is not an option; the settings are named by --config FILE")

    def test_in_place_of_settings(self) -> None:
        options = Options()
        options.parseOptions([])
        self.assertEqual(options.overrides, Overrides(Path.cwd()))
        options.parseOptions(["--http", "tcp:1", "--http=unix:q", "--data", "d", "--ops", "off"])
        self.assertEqual(options.overrides, Overrides(Path.cwd(), "tcp:1\nunix:q", "d", "off"))
