"""All that ``make test`` proves, in one run: ``python -m tests.checks [--long] [PART...]``.

Run from the root by the Python of the development environment. The parts, four of which run side by side, the longest
first (two cores are what a small machine has, and tests with daemons and with Cassandra also wait):

=============  ========================================================================================
unit           every test outside of ``tests/live`` but those of ``explored``, with branch coverage measured
coverage       the floor of ``.coveragerc``, of what ``unit`` measured
explored       the tests that walk through every course of some rules, or very many, at full speed
live           ``tests/live``: real sockets, processes, signals and files
workers        some of ``live`` with two workers; in a long run all of it
cassandra      ``tests/live/cassandra``: the same with real nodes of Cassandra, of which two are started for all
ruff, format   the linter, and the one way of laying out code
imports        the layers of ``.importlinter``
mypy           strict, tests and tools included
docs           Sphinx, each warning an error
python3.X      the tests of ``unit`` under every other Python of 3.11-3.13 that this machine has, with a fifth of what
               is random
=============  ========================================================================================

Tests are counted one by one, as trial counted them; every other part counts as one test. A suite that broke off, that
ran over its time, that passed nothing or that left processes behind has failed. A part that cannot run on this machine
is skipped, with the reason; nothing else is ever skipped. With names of parts, only those run.

Each part's output is printed as one block when it ends. Everything temporary is in one folder outside of the tree that
is removed at the end. The last line is the counts, alone; the exit status is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

from tests.counting import Counts
from tests.live.cassandra.nodes import why_not

LIMIT = 3600
"""Seconds that a suite may take: twice of what it takes where four share two cores."""

AT_ONCE = 4
"""Lanes that run side by side."""

ROOT = Path(__file__).parent.parent
VERSIONS = ("3.11", "3.12", "3.13")
#: Seconds between asking a part to end and ending it.
GRACE = 15.0


@attrs.frozen
class Part:
    """One part of the checks.

    :ivar steps: its commands, one after another; one that fails ends the part.
    :ivar counted: whether its last step writes counts of tests; otherwise the part is one test.
    :ivar limit: seconds that each step may take.
    :ivar missing: why this machine cannot run it, or nothing.
    :ivar environment: what is set for it alone.
    """

    name: str
    steps: tuple[tuple[str, ...], ...]
    counted: bool = False
    limit: float = 900
    missing: str = ""
    environment: Mapping[str, str] = attrs.Factory(dict)


@attrs.frozen
class Result:
    """How a part went."""

    part: Part
    counts: Counts
    seconds: float
    output: str

    def __str__(self) -> str:
        """The block that is printed."""
        shown = self.part.counted or self.counts.failed or self.part.name == "coverage"
        title = f"== {self.part.name}: {self.counts} ({self.seconds:.1f} s)"
        return f"{title}\n{self.output.strip()}\n" if shown else title


class Interrupted(Exception):
    """The whole run is being ended."""


class Processes:
    """Every child that is running, so that none outlives this program."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def run(self, command: Sequence[str], output: Path, environment: dict[str, str], limit: float) -> str:
        """Run one command in a process group of its own.

        :param output: the file that takes what it prints.
        :param limit: seconds.
        :return: what was wrong with how it ended, or nothing.
        """
        with output.open("ab") as stream:
            child = self._start(command, stream.fileno(), environment)
        try:
            status = child.wait(limit)
            problem = f"exit status {status}" if status else ""
        except subprocess.TimeoutExpired:
            problem = f"not done after {limit:.0f} s"
        finally:
            left = end_group(child) if child.poll() is None else end_leftovers(child)
            with self._lock:
                self._running.discard(child)
        if self._ended:
            raise Interrupted
        return problem or left

    def _start(self, command: Sequence[str], stream: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._ended:
                raise Interrupted
            child = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running.add(child)
            return child

    def end(self) -> None:
        """End all of them, and start no more."""
        with self._lock:
            self._ended = True
            running = list(self._running)
        for child in running:
            end_group(child)


def members(group: int) -> Iterator[str]:
    """The names of the living processes of a process group; none where there is no ``/proc``."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = entry.read_text(encoding="utf-8", errors="replace").rpartition(")")
        except OSError:
            continue
        state, _, owner, *_ = rest.split()
        if int(owner) == group and state not in "ZX":
            yield name.partition("(")[2]


def signal_group(group: int, number: int) -> None:
    """Send a signal to a process group that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def end_group(child: subprocess.Popen[bytes]) -> str:
    """End a command and all that it started: first by asking."""
    signal_group(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE)
    kill_group(child.pid)
    child.wait()
    return ""


def kill_group(group: int) -> None:
    """End a process group, and wait until it is gone: a signal is obeyed when its process next runs."""
    signal_group(group, signal.SIGKILL)
    deadline = time.monotonic() + GRACE
    while any(members(group)) and time.monotonic() < deadline:
        time.sleep(0.01)


def end_leftovers(child: subprocess.Popen[bytes]) -> str:
    """Whether a command that has ended left others running; they are given two seconds, then ended."""
    deadline = time.monotonic() + 2
    while (left := list(members(child.pid))) and time.monotonic() < deadline:
        time.sleep(0.05)
    if left:
        kill_group(child.pid)
        return f"left processes running: {', '.join(left)}"
    return ""


class Checks:
    """Runs parts, prints how each went, and adds up."""

    def __init__(self, folder: Path, processes: Processes, long: bool) -> None:
        self._folder = folder
        self._processes = processes
        self._long = long
        self._lock = threading.Lock()
        self._counts = Counts()

    def run(self, lanes: Sequence[Sequence[Part]]) -> Counts:
        """Run the lanes in their order, some side by side, and the parts of each one after another."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            try:
                for _ in pool.map(self._lane, lanes):
                    pass
            except BaseException:
                self._processes.end()
                raise
        return self._counts

    def _lane(self, parts: Sequence[Part]) -> None:
        for part in parts:
            result = self._skip(part) if part.missing else self._run(part)
            with self._lock:
                self._counts += result.counts
                print(result, flush=True)

    def _skip(self, part: Part) -> Result:
        return Result(part, Counts(skipped=1), 0, f"SKIPPED: {part.missing}")

    def _run(self, part: Part) -> Result:
        began = time.monotonic()
        folder = self._folder / part.name
        (folder / "tmp").mkdir(parents=True)
        output = folder / "output"
        problem = ""
        for step in part.steps:
            problem = problem or self._processes.run(step, output, self._environment(part, folder), part.limit)
        counts = counted(folder / "counts", problem) if part.counted else Counts(int(not problem), int(bool(problem)))
        text = output.read_text(encoding="utf-8", errors="replace")
        return Result(part, counts, time.monotonic() - began, f"{text}\n{problem}")

    def _environment(self, part: Part, folder: Path) -> dict[str, str]:
        more = {
            "TMPDIR": str(folder / "tmp"),
            "QUEUEY_COUNTS": str(folder / "counts"),
            "HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis"),
            **part.environment,
        }
        if self._long:
            more["QUEUEY_LONG"] = "1"
        return {**os.environ, **more}


def counted(file: Path, problem: str) -> Counts:
    """What a suite wrote of itself; how it ended makes one failure more, where no failure of a test explains it."""
    try:
        counts = Counts(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Counts(failed=1)
    unexplained = not counts.failed and (problem or not counts.passed)
    return counts + Counts(failed=int(bool(unexplained)))


EXPLORED = (
    "tests.core.test_applications_together",
    "tests.core.test_group_crowds",
    "tests.histories.groups.test_in_process",
    "tests.histories.groups.test_mutants",
    "tests.http.test_api_fuzz",
    "tests.http.test_smuggling",
    "tests.http.test_v2_fuzz",
    "tests.model.test_group_explored",
    "tests.model.test_group_machine",
    "tests.model.test_pointers_explored",
    "tests.model.test_producer_explored",
    "tests.model.test_stable_simulated",
    "tests.storage.cassandra.test_producers_faults",
    "tests.storage.test_machine",
    "tests.storage.test_power",
)
"""The modules that walk through every course of some rules, or through very many at random. To measure coverage would
take several times as long, and whether the rules hold does not hang on the version of Python; what they are written in
is tested under all of them."""


def suites(without: Sequence[str] = ()) -> list[str]:
    """The packages and modules under ``tests`` that hold unit and contract tests.

    :param without: modules that are left out; the others of their packages are named one by one.
    """
    folders = [f.parent for f in (ROOT / "tests").glob("*/__init__.py") if f.parent.name != "live"]
    names = [f"tests.{path.stem}" for path in [*folders, *(ROOT / "tests").glob("test_*.py")]]
    return sorted(each for name in names for each in _apart(name, without))


def _apart(name: str, without: Sequence[str]) -> list[str]:
    if not any(each.startswith(f"{name}.") for each in without):
        return [name]
    files = (ROOT / name.replace(".", "/")).rglob("test_*.py")
    modules = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    return [module for module in modules if module not in without]


def live_suites() -> list[str]:
    """The packages and modules under ``tests/live``, less the one that needs nodes of Cassandra."""
    live = ROOT / "tests" / "live"
    folders = [f.parent for f in live.glob("*/__init__.py") if f.parent.name != "cassandra"]
    return sorted(f"tests.live.{path.stem}" for path in [*folders, *live.glob("test_*.py")])


def other_pythons() -> Iterator[tuple[str, str]]:
    """The versions besides the one that runs, each with an interpreter, or nothing where there is none."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    for version in VERSIONS:
        if version != own:
            found = subprocess.run(["sh", ROOT / "tests" / "pythons.sh", version], capture_output=True, text=True)
            yield version, found.stdout.strip()


def suite(python: str, folder: Path, names: Sequence[str], *more: str, run: Sequence[str] = ("-m",)) -> tuple[str, ...]:
    """The command that runs tests and counts them."""
    return (python, "-b", *run, "tests.counting", "--temp-directory", str(folder / "trial"), *more, *names)


def python_part(version: str, python: str, folder: Path) -> Part:
    """The tests of ``unit`` under another Python."""
    name = f"python{version}"
    home = ROOT / ".venvs" / version
    steps = (
        (sys.executable, "-m", "tests.environments", python, str(home)),
        suite(str(home / "bin" / "python"), folder / name, suites(EXPLORED)),
    )
    missing = "" if python else f"no Python {version} here that can make a virtual environment"
    few = {"QUEUEY_FEW": "1"}
    return Part(name, steps, counted=True, limit=LIMIT, missing=missing, environment=few)


def order(long: bool) -> tuple[str, ...]:
    """The options of a suite: in a long run its tests are in a random order, and clean up at once."""
    return ("--force-gc", "--random", str(random.randrange(2**32))) if long else ()


def unit_parts(folder: Path, long: bool) -> list[Part]:
    """The lane of the tests whose coverage is measured."""
    own = sys.executable
    data = f"--data-file={folder / 'measured'}"
    run = ("-m", "coverage", "run", data, "-m")
    tests = suite(own, folder / "unit", suites(EXPLORED), *order(long), run=run)
    return [
        Part("unit", (tests,), counted=True, limit=LIMIT),
        Part("coverage", ((own, "-m", "coverage", "report", data),)),
    ]


def explored_parts(folder: Path, long: bool) -> list[Part]:
    """The lane of the tests that walk through very much."""
    tests = suite(sys.executable, folder / "explored", EXPLORED, *order(long))
    return [Part("explored", (tests,), counted=True, limit=7200 if long else LIMIT)]


def live_parts(folder: Path, long: bool) -> list[Part]:
    """The lane of the tests with daemons."""
    tests = suite(sys.executable, folder / "live", live_suites())
    return [Part("live", (tests,), counted=True, limit=7200 if long else LIMIT)]


IN_WORKERS = (
    "tests.live.test_daemon.StopTests",
    "tests.live.test_store_metrics",
    "tests.live.test_supervision.NotifyTests",
    "tests.live.test_traces",
)
"""Where several processes have to be one: a beginning and an end, and what is counted and told. The rest is
about one connection, and ``tests.live.test_workers`` about workers whatever the environment says."""

TWO_WORKERS = {"QUEUEY_WORKERS": "2"}


def other_parts(folder: Path, long: bool) -> list[list[Part]]:
    """The lanes of tests with daemons that are set up in another way."""
    if not long:
        return [[_live_part("workers", folder, IN_WORKERS, LIMIT, TWO_WORKERS)]]
    return [[_live_part("workers", folder, live_suites(), 7200, TWO_WORKERS)]]


def _live_part(name: str, folder: Path, names: Sequence[str], limit: float, environment: Mapping[str, str]) -> Part:
    tests = suite(sys.executable, folder / name, names)
    return Part(name, (tests,), counted=True, limit=limit, environment=environment)


def cassandra_parts(folder: Path, long: bool, missing: str) -> list[Part]:
    """The lane of the tests against Cassandra.

    :param missing: why this machine cannot run it, or nothing.
    """
    serve = (sys.executable, "-m", "tests.live.cassandra.serve")
    tests = suite(sys.executable, folder / "cassandra", ["tests.live.cassandra"], *order(long))
    return [Part("cassandra", ((*serve, *tests),), counted=True, limit=7200 if long else LIMIT, missing=missing)]


def house_parts(folder: Path) -> list[Part]:
    """The lane of what reads the code."""
    own = (sys.executable, "-m")
    layers = str(Path(sys.executable).parent / "lint-imports")
    target = str(folder / "docs" / "html")
    sphinx = (*own, "sphinx", "-W", "--keep-going", "-q", "-E", "-b", "html", "-d", f"{target}-trees", "docs", target)
    return [
        Part("ruff", ((*own, "ruff", "check"),)),
        Part("format", ((*own, "ruff", "format", "--check"),)),
        Part("imports", ((layers, "--no-cache"),)),
        Part("mypy", ((*own, "mypy"),)),
        Part("docs", (sphinx,)),
    ]


def lanes(folder: Path, long: bool) -> list[list[Part]]:
    """All lanes, the longest first, but for what reads the code, which soon says what it finds."""
    others = [[python_part(version, python, folder)] for version, python in other_pythons()]
    return [
        cassandra_parts(folder, long, why_not()),
        live_parts(folder, long),
        house_parts(folder),
        unit_parts(folder, long),
        explored_parts(folder, long),
        *others,
        *other_parts(folder, long),
    ]


def chosen(lanes: Sequence[Sequence[Part]], names: Sequence[str]) -> list[list[Part]]:
    """Only the parts that were asked for, all of them where none was."""
    known = [part.name for lane in lanes for part in lane]
    for name in names:
        if name not in known:
            raise SystemExit(f"no part is called {name}; there are: {', '.join(known)}")
    return [[part for part in lane if not names or part.name in names] for lane in lanes]


def main() -> int:
    """Run the checks; the exit status is 1 if anything failed, 130 if the run was ended from outside."""
    parser = argparse.ArgumentParser(prog="python -m tests.checks")
    parser.add_argument("--long", action="store_true", help="more of everything that is random, in a random order")
    parser.add_argument("parts", nargs="*", metavar="PART")
    told = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="queuey-checks-"))
    folder.chmod(0o711)  # servers that refuse to run as root are run by others, who come to what is theirs through here
    try:
        parts = chosen(lanes(folder, told.long), told.parts)
        began = time.monotonic()
        counts = Checks(folder, Processes(), told.long).run(parts)
    except KeyboardInterrupt:
        print("interrupted")
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"all parts: {time.monotonic() - began:.1f} s\n{counts}")
    return 1 if counts.failed else 0


if __name__ == "__main__":
    sys.exit(main())
