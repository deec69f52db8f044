"""The checks themselves: tests that did not run must not go unnoticed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

from twisted.python import log
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests import runs_in
from tests.checks import counted
from tests.counting import CountingReporter, Counts, Spent, count, load, single_tests, target_of
from tests.parts import ROOT


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
        """A warning that no test looked at comes when the test has passed already."""
        result = CountingReporter(io.StringIO(), "default", False, log)
        self.addCleanup(log.removeObserver, result._saw)
        result.startTest(self)
        result.addSuccess(self)
        result._saw({"warning": "careful", "filename": "x.py", "lineno": 1, "category": "UserWarning"})
        self.assertEqual(count(result), Counts(0, 1, 0))


class MarkedTests(SynchronousTestCase):
    """Tests are marked with the target of the Makefile that runs them."""

    class Unmarked(SynchronousTestCase):
        def test_it(self) -> None:
            pass

        @runs_in("test-long")
        def test_slow(self) -> None:
            pass

    class Marked(Unmarked):
        run_in = "test-long"

        @runs_in("test")
        def test_quick(self) -> None:
            pass

    class Inheriting(Marked):
        pass

    def test_nearest_mark(self) -> None:
        """A method's counts before its class's, a base class's never; without any it is ``make test`` that runs it."""
        names = [f"{__name__}.MarkedTests.{case}" for case in ("Unmarked", "Marked", "Inheriting")]
        every = single_tests(load(names, None))
        found = {tuple(test.id().split(".")[-2:]): target_of(test) for test in every}
        expected = {
            ("Unmarked", "test_it"): "test",
            ("Unmarked", "test_slow"): "test-long",
            ("Marked", "test_it"): "test-long",
            ("Marked", "test_slow"): "test-long",
            ("Marked", "test_quick"): "test",
            ("Inheriting", "test_it"): "test",
            ("Inheriting", "test_slow"): "test-long",
            ("Inheriting", "test_quick"): "test",
        }
        self.assertEqual(found, expected)

    def test_module_and_package(self) -> None:
        """All of tests/live is in the long run, where a module or a class does not say otherwise."""
        names = ["tests.live.connections.test_noisy", "tests.live.failures.test_faults"]
        every = {test.id(): target_of(test) for test in single_tests(load(names, None))}
        self.assertEqual(every["tests.live.connections.test_noisy.NoisyTests.test_a_noisy_neighbour"], "test-long")
        self.assertEqual(every["tests.live.failures.test_faults.KillTests.test_kills_under_mixed_load"], "test")

    def test_unknown_target(self) -> None:
        """A mark that is misspelt stops the run."""

        class Case(self.Unmarked):  # type: ignore[name-defined,misc]
            run_in = "long"

        self.assertRaises(ValueError, target_of, Case("test_it"))

    def test_selection(self) -> None:
        """``make test`` runs those that are marked so, and ``make test-long`` all."""
        name = f"{__name__}.MarkedTests.Marked"
        quick, every = ([test.id() for test in single_tests(load([name], None, *more))] for more in (["test"], []))
        self.assertEqual(quick, [f"{name}.test_quick"])
        self.assertEqual(len(every), 3)


class SpentTests(SynchronousTestCase):
    """How long something took."""

    def test_difference(self) -> None:
        """Time passes on both clocks, and adds up."""
        before = Spent.now()
        sum(range(10_000))
        spent = Spent.now() - before
        self.assertGreater(spent.seconds, 0)
        self.assertGreaterEqual(spent.processor, 0)
        self.assertEqual(Spent(1, 2) + Spent(3, 4), Spent(4, 6))


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
        ours = {name: value for name, value in os.environ.items() if name != "QUEUEY_LONG"}
        program = "import hypothesis, tests; print(hypothesis.settings().max_examples, tests.tried(60, 600))"
        command = [sys.executable, "-c", program]
        done = subprocess.run(
            command, cwd=ROOT, env={**ours, **environment}, capture_output=True, text=True, timeout=60
        )
        return done.stdout

    def test_as_a_rule(self) -> None:
        self.assertEqual(self.tried(), "100 60\n")

    def test_a_long_run_tries_much(self) -> None:
        self.assertEqual(self.tried(QUEUEY_LONG="1"), "2000 600\n")
