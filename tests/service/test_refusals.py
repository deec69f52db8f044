"""What a refused start says about another process that has the port or the data."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from queuey.config import Overrides, Settings, development, load
from queuey.errors import DataInUse, Unavailable
from queuey.service.process.listening import AddressTaken
from queuey.service.process.refusals import with_advice


class AdviceTests(SynchronousTestCase):
    def settings(self) -> Settings:
        """Settings of a file."""
        (file := Path(self.mktemp())).write_text("")
        return load(file)

    def test_port(self) -> None:
        """Without a file the advice is another port than the one that is taken; with a file, where to change it."""
        taken = AddressTaken("cannot listen on it")
        self.assertIn("it; choose another port: make run PORT=5100, or ", with_advice(taken, development(Path("/d"))))
        other = development(Path("/d"), Overrides(http="tcp:5100:interface=127.0.0.1"))
        self.assertIn("make run PORT=5200, or twistd queuey --http tcp:5200:", with_advice(taken, other))
        self.assertIn("in [server], or with --http", with_advice(taken, self.settings()))

    def test_data(self) -> None:
        """Two daemons of one checkout need two folders; with a file of settings the reason says enough."""
        used = DataInUse("The data directory /d is in use by process 5.")
        found = with_advice(used, development(Path("/d")))
        self.assertIn(
            "by process 5; stop that one, or choose another folder: make run PORT=5100 DATA=other-data", found
        )
        self.assertEqual(with_advice(used, self.settings()), used.text)

    def test_other_reasons(self) -> None:
        self.assertEqual(with_advice(Unavailable("The disk is away."), development(Path("/d"))), "The disk is away.")
