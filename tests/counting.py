"""Runs tests by trial and counts them: ``python -b -m tests.counting --temp-directory DIR NAME...``.

It differs from ``trial`` in six things that the checks need:

- the counts are written as JSON to the file that ``QUEUEY_COUNTS`` names, at the very end, so that a run that broke
  off leaves none;
- what a test skipped is printed with its reason;
- tests that are expected to fail are failures: whatever is known to be wrong is mended or is an issue;
- a warning that no test looked at is an error of the test that caused it, unless dependencies deprecate each other.
  trial collects the warnings of a test and, after it, hands on those that were not flushed: they become log events;
- a test is let go of once it has run, with all that it kept in its attributes, and what was there before the first one
  is no garbage: else each collection would look through all of that again;
- with ``--run-in test`` it leaves out the tests that are marked with ``run_in = "test-long"`` (see ``target_of``).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import sys
import time
import unittest
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.python import log
from twisted.python.failure import Failure
from twisted.trial.reporter import Reporter
from twisted.trial.runner import DestructiveTestSuite, TestLoader, TestSuite, TrialRunner

from tests import TARGETS


@attrs.frozen
class Counts:
    """How a run of tests went."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Both runs together."""
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        """The form of the last line of the checks."""
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


class UnheededWarning(Exception):
    """A test caused a warning and did not look at it."""


@attrs.frozen
class Spent:
    """How long something took.

    :ivar seconds: on the clock of the wall.
    :ivar processor: seconds of processors, those of processes that have ended included.
    """

    seconds: float = 0
    processor: float = 0

    @classmethod
    def now(cls) -> Spent:
        """What this process has spent so far."""
        times = os.times()
        return cls(time.monotonic(), times.user + times.system + times.children_user + times.children_system)

    def __add__(self, other: Spent) -> Spent:
        """Both together."""
        return Spent(self.seconds + other.seconds, self.processor + other.processor)

    def __sub__(self, other: Spent) -> Spent:
        """What was spent since then."""
        return Spent(self.seconds - other.seconds, self.processor - other.processor)


class CountingReporter(Reporter):
    """Prints what did not pass, and nothing else: a thousand lines of ``[OK]`` hide the one that matters."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.succeeded: list[str] = []
        self._running: Any = None
        self._began = Spent()
        self.spent: dict[str, Spent] = defaultdict(Spent)
        log.addObserver(self._saw)

    def startTest(self, method: Any) -> None:
        """Keep the test, to blame it for what is logged before it stops."""
        super().startTest(method)
        self._running = method
        self._began = Spent.now()

    def stopTest(self, method: Any) -> None:
        """What is logged from here on belongs to no test."""
        super().stopTest(method)
        self._running = None
        self.spent[method.id().rpartition(".")[0]] += Spent.now() - self._began

    def addSuccess(self, test: Any) -> None:
        """Keep the name, since an error after the test's end may still come."""
        super().addSuccess(test)
        self.succeeded.append(test.id())

    def _saw(self, event: dict[str, Any]) -> None:
        if "warning" in event and self._running is not None:
            text = f"{event['filename']}:{event['lineno']}: {event['category']}: {event['warning']}"
            self.addError(self._running, Failure(UnheededWarning(text)))


def expected_failures(result: CountingReporter) -> set[str]:
    """The tests marked as ``todo``, whether they failed as promised or not."""
    marked: list[Any] = [*result.expectedFailures, *result.unexpectedSuccesses]
    return {test.id() for test, *_ in marked}


def count(result: CountingReporter) -> Counts:
    """Turn trial's result into counts; a test that fails in its body and again in its clean-up counts once."""
    failed = {test.id() for test, *_ in [*result.failures, *result.errors]} | expected_failures(result)
    passed = [name for name in result.succeeded if name not in failed]
    return Counts(passed=len(passed), failed=len(failed), skipped=len(result.skips))


def show_unheeded_warnings() -> None:
    """Set the filters that hold outside of test methods, where trial repeats warnings that no test looked at."""
    warnings.simplefilter("always")
    # Dependencies deprecate each other's names, which no change here can mend.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r".*[/\\](site-packages|lib[/\\]python3)\b")
    warnings.filterwarnings("ignore", category=PendingDeprecationWarning, module=r".*[/\\]site-packages\b")
    # Its server names some fields as text, and its clients as bytes, and one table has them all.
    warnings.filterwarnings("ignore", category=BytesWarning, module=r".*[/\\]twisted[/\\]web[/\\]http_headers")
    # It looks up what it has drawn by the values, and no bytes and the number 0 have the same hash.
    warnings.filterwarnings("ignore", category=BytesWarning, module=r".*[/\\]hypothesis[/\\]internal[/\\]cache")


def target_of(test: Any) -> str:
    """Tell which target runs a test: ``test``, and then ``test-long`` does so too, or ``test-long`` alone.

    The attribute ``run_in`` says it: of the method, of the class itself (not of one that it inherits from), of the
    module or of a package around it. The nearest one counts, and without any it is ``test``.
    """
    method = getattr(test, test.id().rpartition(".")[2], None)
    names = type(test).__module__.split(".")
    around = [sys.modules.get(".".join(names[:length])) for length in range(len(names), 0, -1)]
    for where in (method, type(test), *around):
        found = getattr(where, "__dict__", {}).get("run_in")
        if found in TARGETS:
            return str(found)
        if found is not None:
            raise ValueError(f"{test.id()}: run_in is one of {TARGETS}, not {found!r}")
    return "test"


def single_tests(suite: Any) -> Iterator[Any]:
    """Each test of a suite, however deep."""
    if isinstance(suite, unittest.TestSuite):
        for part in suite:
            yield from single_tests(part)
    else:
        yield suite


def load(names: Sequence[str], seed: int | None, target: str = "test-long") -> TestSuite:
    """Find the tests of these names.

    :param seed: decides a random order, or ``None`` for the alphabet's.
    :param target: whose tests they have to be: ``test-long`` runs all.
    """
    loader = TestLoader()
    loader.suiteFactory = DestructiveTestSuite
    if seed is not None:
        print(f"random order, seed {seed} (again: --random {seed})")
        order = random.Random(seed)
        loader.sorter = lambda _: order.random()
    found = loader.loadByNames(list(names), recurse=True)
    if target == "test":
        found = DestructiveTestSuite([test for test in single_tests(found) if target_of(test) == target])
    return found


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.counting")
    parser.add_argument("--temp-directory", type=Path, required=True, help="a new folder to run in")
    parser.add_argument("--random", type=int, metavar="SEED", help="run in a random order")
    parser.add_argument("--run-in", choices=TARGETS, default="test-long", help="run the tests of this target alone")
    parser.add_argument("--slowest", type=int, default=0, metavar="N", help="name the classes that took most time")
    parser.add_argument("--force-gc", action="store_true", help="collect garbage after each test: errors show there")
    parser.add_argument("names", nargs="+", help="packages, modules, classes or methods")
    return parser.parse_args(arguments)


def main() -> int:
    """Run the tests named on the command line; the exit status is 1 if one failed or none passed."""
    # Before trial changes into its own folder: modules are still found by then, and so is the file of the counts.
    sys.path.insert(0, os.getcwd())
    target = os.environ.get("QUEUEY_COUNTS")
    told = options(sys.argv[1:])
    load(told.names, None, told.run_in)
    gc.collect()
    gc.freeze()
    # Freeze again: a test that is frozen is never found to be garbage.
    suite = load(told.names, told.random, told.run_in)
    show_unheeded_warnings()
    folder = str(told.temp_directory)
    result = TrialRunner(CountingReporter, workingDirectory=folder, forceGarbageCollection=told.force_gc).run(suite)
    assert isinstance(result, CountingReporter)
    for name in sorted(expected_failures(result)):
        print(f"{name}: a test that is expected to fail is not allowed here")
    for name, spent in sorted(result.spent.items(), key=lambda one: -one[1].processor)[: told.slowest]:
        print(f"{spent.seconds:8.1f} s, of processors {spent.processor:8.1f} s  {name}")
    counts = count(result)
    print(counts)
    if target:
        Path(target).write_text(json.dumps(attrs.asdict(counts)), encoding="utf-8")
    return 1 if counts.failed or not counts.passed else 0


if __name__ == "__main__":
    sys.exit(main())
