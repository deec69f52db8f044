"""The checks themselves: what they would otherwise miss is a smaller number that nobody sees."""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from twisted.python import log
from twisted.python.reflect import namedAny
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.checks import (
    EXPLORED,
    IN_WORKERS,
    ROOT,
    VERSIONS,
    Checks,
    Part,
    Processes,
    cassandra_parts,
    chosen,
    counted,
    lanes,
    live_suites,
    other_parts,
    python_part,
    suites,
)
from tests.counting import CountingReporter, Counts, count


class CountedTests(SynchronousTestCase):
    """What is made of the file of counts and of how the run ended."""

    def counts(self, written: str | None, problem: str) -> Counts:
        """Judge one run."""
        file = Path(self.mktemp())
        if written is not None:
            file.write_text(written, encoding="utf-8")
        return counted(file, problem)

    def written(self, passed: int, failed: int) -> str:
        """What a run writes."""
        return json.dumps({"passed": passed, "failed": failed, "skipped": 0})

    def test_all_is_well(self) -> None:
        """The counts are those of the tests."""
        self.assertEqual(self.counts(self.written(3, 0), ""), Counts(3, 0, 0))

    def test_failed_tests_explain_the_exit_status(self) -> None:
        """No failure is counted twice."""
        self.assertEqual(self.counts(self.written(3, 2), "exit status 1"), Counts(3, 2, 0))

    def test_no_file(self) -> None:
        """The run broke off, whatever its exit status."""
        self.assertEqual(self.counts(None, ""), Counts(0, 1, 0))
        self.assertEqual(self.counts("{", ""), Counts(0, 1, 0))
        self.assertEqual(self.counts('{"passed": 1, "other": 2}', ""), Counts(0, 1, 0))

    def test_unexplained_end(self) -> None:
        """Every test passed and yet something was wrong."""
        self.assertEqual(self.counts(self.written(3, 0), "left processes running: twistd"), Counts(3, 1, 0))

    def test_no_test(self) -> None:
        """A suite that ran nothing has failed."""
        self.assertEqual(self.counts(self.written(0, 0), ""), Counts(0, 1, 0))


class CountTests(SynchronousTestCase):
    """What is made of trial's result."""

    def run_one(self, body: object) -> Counts:
        """Run one test method."""

        class Case(SynchronousTestCase):
            test_it = body

        result = CountingReporter(io.StringIO(), "default", False, log)
        self.addCleanup(log.removeObserver, result._saw)
        Case("test_it").run(result)
        return count(result)

    def test_pass(self) -> None:
        """A test that returns has passed."""
        self.assertEqual(self.run_one(lambda case: None), Counts(1, 0, 0))

    def test_fails_twice(self) -> None:
        """In its body and in its clean-up: it is one test."""

        def body(case: SynchronousTestCase) -> None:
            case.addCleanup(case.fail, "later")
            case.fail("now")

        self.assertEqual(self.run_one(body), Counts(0, 1, 0))

    def test_skip(self) -> None:
        """Neither passed nor failed."""

        def body(case: SynchronousTestCase) -> None:
            raise SkipTest("needs the moon")

        self.assertEqual(self.run_one(body), Counts(0, 0, 1))

    def test_expected_failure(self) -> None:
        """Both kinds are failures."""

        def fails(case: SynchronousTestCase) -> None:
            case.fail("known")

        def passes(case: SynchronousTestCase) -> None:
            pass

        for body in (fails, passes):
            body.todo = "some day"  # type: ignore[attr-defined]
            self.assertEqual(self.run_one(body), Counts(0, 1, 0))

    def test_error_after_success(self) -> None:
        """A warning that nobody looked at comes when the test has passed already."""
        result = CountingReporter(io.StringIO(), "default", False, log)
        self.addCleanup(log.removeObserver, result._saw)
        result.startTest(self)
        result.addSuccess(self)
        result._saw({"warning": "careful", "filename": "x.py", "lineno": 1, "category": "UserWarning"})
        self.assertEqual(count(result), Counts(0, 1, 0))


KEPT = """
import gc
import weakref
from twisted.trial.unittest import SynchronousTestCase

class KeptTests(SynchronousTestCase):
    kept = []

    def test_first(self):
        self.itself = self
        self.kept.append(weakref.ref(self))

    test_second = test_first

    def test_third(self):
        gc.collect()
        self.assertEqual([one() for one in self.kept], [None, None])
"""


class MemoryTests(SynchronousTestCase):
    """What a test keeps goes with it."""

    def test_a_test_that_has_run(self) -> None:
        """No suite holds it, and the collector finds it: it is gone before the next one runs."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        (folder / "test_kept.py").write_text(KEPT, encoding="utf-8")
        command = [sys.executable, "-m", "tests.counting", "--temp-directory", str(folder / "trial"), "test_kept"]
        ours = {name: value for name, value in os.environ.items() if name != "QUEUEY_COUNTS"}
        environment = {**ours, "PYTHONPATH": str(folder)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        self.assertEqual(done.stdout.splitlines()[-1:], ["3 passed, 0 failed, 0 skipped"], done.stdout + done.stderr)


class ExamplesTests(SynchronousTestCase):
    """How much is tried of what is random."""

    def tried(self, **environment: str) -> str:
        """How many examples by default, and of a test that says how many."""
        ours = {name: value for name, value in os.environ.items() if name not in ("QUEUEY_FEW", "QUEUEY_LONG")}
        program = "import hypothesis, tests; print(hypothesis.settings().max_examples, tests.tried(60, 600))"
        command = [sys.executable, "-c", program]
        done = subprocess.run(
            command, cwd=ROOT, env={**ours, **environment}, capture_output=True, text=True, timeout=60
        )
        return done.stdout

    def test_as_a_rule(self) -> None:
        self.assertEqual(self.tried(), "100 60\n")

    def test_few(self) -> None:
        self.assertEqual(self.tried(QUEUEY_FEW="1"), "20 12\n")

    def test_a_long_run_tries_much_whatever_else_is_said(self) -> None:
        self.assertEqual(self.tried(QUEUEY_FEW="1", QUEUEY_LONG="1"), "2000 600\n")


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
        self.assertIn("tests.test_checks", suites())
        self.assertIn("tests.contracts", suites())
        self.assertNotIn("tests.live", suites())

    def test_suites_without_some(self) -> None:
        """What is left out is there otherwise, and nothing else is missing."""
        names = suites(EXPLORED)
        self.assertIn("tests.contracts", names)
        self.assertIn("tests.storage.cassandra.test_store", names)
        self.assertNotIn("tests.model", names)
        folders = {name.rpartition(".")[0] for name in EXPLORED}
        whole = {f"{folder}.{path.stem}" for folder in folders
                 for path in (ROOT / folder.replace(".", "/")).glob("test_*.py")}  # fmt: skip
        self.assertEqual(whole - set(names), set(EXPLORED))

    def test_live_suites(self) -> None:
        """All but what needs Cassandra, which is a part of its own."""
        self.assertIn("tests.live.test_daemon", live_suites())
        self.assertEqual([name for name in live_suites() if "cassandra" in name], [])

    def test_cassandra(self) -> None:
        """It is skipped where it cannot run, and nowhere else."""
        here, there = (cassandra_parts(Path("x"), False, missing) for missing in ("", "no Java"))
        self.assertEqual(here[0].missing, "")
        self.assertIn("tests.live.cassandra", here[0].steps[0])
        self.assertEqual(there[0].missing, "no Java")

    def test_all_parts(self) -> None:
        """Each is in one lane, and what is measured is reported after it."""
        found = [part.name for lane in lanes(Path("x"), False) for part in lane]
        others = [f"python{version}" for version in VERSIONS if f"{version}." not in f"{platform.python_version()}."]
        house = ["ruff", "format", "imports", "mypy", "docs"]
        every = ["unit", "coverage", "explored", "live", "workers", "cassandra", *house, *others]
        self.assertEqual(sorted(found), sorted(every))
        self.assertEqual(found.index("coverage"), found.index("unit") + 1)
        long = [part.name for lane in lanes(Path("x"), True) for part in lane]
        self.assertEqual(sorted(long), sorted(every))

    def test_daemons_that_are_set_up_in_another_way(self) -> None:
        """Some tests in a run on any day, and all of them in a long one."""
        ((some,),) = other_parts(Path("x"), False)
        self.assertEqual(some.environment, {"QUEUEY_WORKERS": "2"})
        for name in IN_WORKERS:
            self.assertIn(name, some.steps[0])
            self.assertTrue(callable(namedAny(name)) or name in live_suites(), name)
        ((workers,),) = other_parts(Path("x"), True)
        self.assertEqual(workers.environment, {"QUEUEY_WORKERS": "2"})
        self.assertLessEqual(set(live_suites()), set(workers.steps[0]))

    def test_only_other_pythons_try_less_of_what_is_random(self) -> None:
        parts = [part for lane in lanes(Path("x"), False) for part in lane]
        fewer = {part.name for part in parts if "QUEUEY_FEW" in part.environment}
        self.assertEqual(fewer, {part.name for part in parts if part.name.startswith("python")})

    def test_environment_of_a_part(self) -> None:
        """It is the part's alone."""
        few, all_of_it = python_part("3.12", "", Path("x")), Part("unit", ())
        checks = Checks(Path("x"), Processes(), long=False)
        self.assertEqual(checks._environment(few, Path("x"))["QUEUEY_FEW"], "1")
        self.assertEqual(checks._environment(all_of_it, Path("x")).get("QUEUEY_FEW"), os.environ.get("QUEUEY_FEW"))

    def test_missing(self) -> None:
        """A part that this machine cannot run is a skip, and says why."""
        checks = Checks(Path(self.mktemp()), Processes(), long=False)
        result = checks._skip(Part("python3.11", (), missing="none here"))
        self.assertEqual((result.counts, result.output), (Counts(0, 0, 1), "SKIPPED: none here"))
