"""Which parts the checks have: a test that is in none of them would make a smaller number that is easily overlooked."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.checks import Checks, Processes, chosen, times
from tests.counting import Counts
from tests.parts import (
    AROUND,
    CLIENTS,
    DOCUMENTATION,
    EXPLORED,
    ROOT,
    VERSIONS,
    Part,
    around_part,
    cassandra_part,
    clients_part,
    lanes,
    live_part,
    live_suites,
    python_part,
    suites,
    unit_lanes,
    workers_part,
)

FOLDER = Path("x")
HOUSE = ["ruff", "format", "imports", "mypy", "docs"]
SUITES = ["unit", "http", "explored", "live", "around", "clients", "cassandra"]


def names(lanes: list[list[Part]]) -> list[str]:
    """The names of all parts."""
    return [part.name for lane in lanes for part in lane]


def modules(words: Sequence[str]) -> list[str]:
    """The modules of tests that a command runs, one by one."""
    found = [ROOT / word.replace(".", "/") for word in words if word.startswith("tests.live.")]
    files = [
        file for path in found for file in (path.rglob("test_*.py") if path.is_dir() else [path.with_suffix(".py")])
    ]
    return [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]


class PartsTests(SynchronousTestCase):
    """Which parts there are to run."""

    lanes = ((Part("unit", ()), Part("live", ())), (Part("mypy", ()),))

    def test_choice(self) -> None:
        """All without names, else those."""
        self.assertEqual(chosen(self.lanes, []), [list(lane) for lane in self.lanes])
        self.assertEqual(chosen(self.lanes, ["mypy"]), [[], [Part("mypy", ())]])

    def test_unknown(self) -> None:
        """A part that does not exist is no part that passed."""
        self.assertRaises(SystemExit, chosen, self.lanes, ["mipy"])

    def test_suites(self) -> None:
        """This module is among them, and nothing live is."""
        self.assertIn("tests.test_parts", suites())
        self.assertIn("tests.contracts", suites())
        self.assertNotIn("tests.live", suites())

    def test_suites_without_some(self) -> None:
        """What is left out is there otherwise, and nothing else is missing."""
        names = suites(EXPLORED)
        self.assertIn("tests.contracts", names)
        self.assertIn("tests.storage.cassandra.store.test_store", names)
        self.assertNotIn("tests.model", names)
        folders = {name.rpartition(".")[0] for name in EXPLORED}
        whole = {f"{folder}.{path.stem}" for folder in folders
                 for path in (ROOT / folder.replace(".", "/")).glob("test_*.py")}  # fmt: skip
        self.assertEqual(whole - set(names), set(EXPLORED))

    def test_each_suite_once(self) -> None:
        """The parts without processes share all suites among them."""
        for long in (False, True):
            commands = [step for lane in unit_lanes(FOLDER, long) for part in lane for step in part.steps]
            found = [
                word for words in commands for word in words if word.startswith("tests.") and word != "tests.counting"
            ]
            self.assertEqual(sorted(found), sorted(suites((*EXPLORED, DOCUMENTATION))))

    def test_explored(self) -> None:
        """They are a part of their own."""
        (explored,) = (part for lane in lanes(FOLDER, False) for part in lane if part.name == "explored")
        self.assertLessEqual(set(EXPLORED), set(explored.steps[0]))

    def test_live_suites(self) -> None:
        """All but what needs Cassandra, which is a part of its own."""
        self.assertIn("tests.live.daemon", live_suites())
        self.assertEqual([name for name in live_suites() if "cassandra" in name], [])

    def test_around(self) -> None:
        """What is around the daemon, and clients, are parts of their own; the three parts are all of the live tests."""
        live, around, clients = (part(FOLDER, False).steps[0] for part in (live_part, around_part, clients_part))
        self.assertLessEqual(set(AROUND), set(around))
        self.assertLessEqual(set(CLIENTS), set(clients))
        self.assertEqual(sorted([*modules(live), *modules(around), *modules(clients)]), sorted(modules(live_suites())))

    def test_cassandra(self) -> None:
        """It is skipped where it cannot run, and nowhere else."""
        here, there = (cassandra_part(FOLDER, False, missing) for missing in ("", "no Java"))
        self.assertEqual(here.missing, "")
        self.assertIn("tests.live.cassandra", here.steps[0])
        self.assertEqual(there.missing, "no Java")

    def test_what_is_installed(self) -> None:
        """A short run installs a browser, packages of npm and pip, and one server; only a long run needs the rest."""
        short = ("browser", "javascript", "generators", "receivers", "sqs-clients")
        self.assertEqual(clients_part(FOLDER, False).needs, short)
        self.assertEqual(live_part(FOLDER, False).needs, ("browser",))
        self.assertEqual(around_part(FOLDER, False).needs, ("browser",))
        self.assertEqual(cassandra_part(FOLDER, False, "").needs, ("cassandra",))
        long_needs = (*short, "sqs-go", "promtool", "samples", "debian-root")
        for part in (live_part, around_part, clients_part):
            self.assertEqual(part(FOLDER, True).needs, long_needs)
        self.assertEqual(cassandra_part(FOLDER, True, "").needs, ("cassandra", "cassandra-3.11", "promtool"))

    def test_all_parts(self) -> None:
        """Each is in one lane, and what is measured is reported after it."""
        self.assertEqual(sorted(names(lanes(FOLDER, False))), sorted([*HOUSE, *SUITES]))
        long = names(lanes(FOLDER, True))
        others = [f"python{version}" for version in VERSIONS if f"{version}." not in f"{platform.python_version()}."]
        more = ["coverage", "workers", "client3.9", *others]
        self.assertEqual(sorted(long), sorted([*HOUSE, *SUITES, *more]))
        self.assertLess(max(long.index("unit"), long.index("http")), long.index("coverage"))

    def test_another_python(self) -> None:
        """Its environment has no commands of the daemon, so the test that they join those of the client is left out."""
        part = python_part("3.12", "/python", FOLDER)
        self.assertIn("tests.client.test_calls", part.steps[-1])
        self.assertNotIn("tests.client", part.steps[-1])
        self.assertNotIn("tests.client.test_beside_the_daemon", part.steps[-1])

    def test_targets(self) -> None:
        """A short run leaves out what is marked for the long one, in each suite; a long run leaves out nothing."""
        for long, target in ((False, "test"), (True, "test-long")):
            for part in (part for lane in lanes(FOLDER, long) for part in lane if part.counted):
                command = part.steps[-1]
                self.assertEqual(command[command.index("--run-in") + 1], target, part.name)

    def test_daemons_with_two_workers(self) -> None:
        """A long run has all of the live tests once more with two workers."""
        workers = workers_part(FOLDER)
        self.assertEqual(workers.environment, {"QUEUEY_WORKERS": "2"})
        self.assertLessEqual(set(live_suites()), set(workers.steps[0]))

    def test_environment_of_a_part(self) -> None:
        """It is the part's alone; and what decides how much is random is the same for all parts of a run."""
        workers, unit = workers_part(FOLDER), Part("unit", ())
        short, long = (Checks(FOLDER, Processes(), long) for long in (False, True))
        self.assertEqual(short._environment(workers, FOLDER)["QUEUEY_WORKERS"], "2")
        self.assertEqual(short._environment(unit, FOLDER).get("QUEUEY_WORKERS"), os.environ.get("QUEUEY_WORKERS"))
        self.assertEqual(long._environment(unit, FOLDER)["QUEUEY_LONG"], "1")

    def test_missing(self) -> None:
        """A part that this machine cannot run is a skip, and says why."""
        checks = Checks(Path(self.mktemp()), Processes(), long=False)
        result = checks._skip(Part("python3.11", (), missing="none here"))
        self.assertEqual((result.counts, result.output), (Counts(0, 0, 1), "SKIPPED: none here"))

    def test_times(self) -> None:
        """Those of the parts, the longest first."""
        self.assertEqual(times({"docs": 1.25, "unit": 100}), "   100.0 s  unit\n     1.2 s  docs")
