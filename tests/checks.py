"""The parts of ``make test`` and of ``make test-long``, in one run: ``python -m tests.checks [--long] [PART...]``.

Run from the root by the Python of the development environment. Six parts run side by side, since tests with daemons
and with Cassandra also wait; two cores are what a small machine has. ``make test`` runs these:

=============  ========================================================================================
ruff, format   the linter, and the one way of laying out code
imports        the layers of ``.importlinter``
mypy           strict, tests and tools included
docs           Sphinx, each warning an error, and the tests of what it builds
unit           the tests outside of ``tests/live``, except those of ``docs``, ``http`` and ``explored``
http           ``tests/http``, except those of ``explored``
explored       the tests that walk through every course of some rules, or very many
live           ``tests/live``, except ``around`` and ``clients``: real sockets, processes, signals and files
around         the tests of ``tests/live`` about the command, packages and examples
clients        the tests of ``tests/live`` about clients and receivers of pushes
cassandra      ``tests/live/cassandra``: the same with a real node of Cassandra, which is started once for all of them
=============  ========================================================================================

They leave out the tests that are marked with ``run_in = "test-long"``; of ``tests/live`` they run those that are marked
with ``run_in = "test"`` (``tests.counting.target_of``). ``make test-long`` runs every test in the same parts, with more
of what is random, and these parts besides:

================  =====================================================================================
coverage          the floor of ``.coveragerc``, of the branches that ``unit`` and ``http`` went through
python3.X         the tests of ``unit`` and ``http`` under every other Python of 3.11-3.13 that this machine has
client3.9         the tests of the client under the oldest Python that it supports
workers           ``live`` and ``around`` with two workers
================  =====================================================================================

Tests are counted one by one, as trial counted them; every other part counts as one test. A suite that broke off, that
ran over its time, that passed nothing or that left processes behind has failed. A part that cannot run on this machine
is skipped, with the reason; nothing else is ever skipped. With names of parts, only those run.

Each part's output is printed as one block when it ends. Everything temporary is in one folder outside of the tree that
is removed at the end. At the end come the seconds of each part, and the counts in the last line, alone; the exit status
is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
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
from tests.parts import ROOT, Part, lanes

INSTALL_LIMIT = 900
"""Seconds that it may take to install one thing."""

AT_ONCE = 6
"""Lanes that run side by side."""

#: Seconds between asking a part to end and ending it.
GRACE = 15.0


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
        self._installing = threading.Lock()
        self._counts = Counts()
        self.seconds: dict[str, float] = {}

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
                self.seconds[part.name] = result.seconds
                print(result, flush=True)

    def _skip(self, part: Part) -> Result:
        return Result(part, Counts(skipped=1), 0, f"SKIPPED: {part.missing}")

    def _run(self, part: Part) -> Result:
        began = time.monotonic()
        folder = self._folder / part.name
        (folder / "tmp").mkdir(parents=True)
        output = folder / "output"
        environment = self._environment(part, folder)
        problem = self._install(part, output)
        for step in part.steps:
            problem = problem or self._processes.run(step, output, environment, part.limit)
        counts = counted(folder / "counts", problem) if part.counted else Counts(int(not problem), int(bool(problem)))
        text = output.read_text(encoding="utf-8", errors="replace")
        return Result(part, counts, time.monotonic() - began, f"{text}\n{problem}")

    def _install(self, part: Part, output: Path) -> str:
        """Install what a part needs, one thing at a time: installers lock each other out."""
        problem = ""
        for target in part.needs:
            with self._installing:
                command = ("make", "--no-print-directory", target)
                problem = problem or self._processes.run(command, output, dict(os.environ), INSTALL_LIMIT)
        return problem

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


def chosen(lanes: Sequence[Sequence[Part]], names: Sequence[str]) -> list[list[Part]]:
    """Only the parts that were asked for, all of them where none was."""
    known = [part.name for lane in lanes for part in lane]
    for name in names:
        if name not in known:
            raise SystemExit(f"no part is called {name}; there are: {', '.join(known)}")
    return [[part for part in lane if not names or part.name in names] for lane in lanes]


def times(seconds: Mapping[str, float]) -> str:
    """The seconds of each part, the longest first."""
    return "\n".join(f"{each:8.1f} s  {name}" for name, each in sorted(seconds.items(), key=lambda one: -one[1]))


def processor() -> float:
    """Seconds of processors that all commands and what they ended took."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


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
        checks = Checks(folder, Processes(), told.long)
        counts = checks.run(parts)
    except KeyboardInterrupt:
        print("interrupted")
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{times(checks.seconds)}\nall parts: {time.monotonic() - began:.1f} s, {processor():.1f} s of processors")
    print(counts)
    return 1 if counts.failed else 0


if __name__ == "__main__":
    sys.exit(main())
