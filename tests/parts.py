"""The parts of ``make test`` and of ``make test-long``: which commands they are, and what they need.

``tests.checks`` says what each part is, and runs them.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from tests.live.cassandra.nodes import CQL, THRIFT, why_not

LIMIT = 3600
"""Seconds that a suite of ``make test`` may take, many times what it takes on two idle cores."""

LONG_LIMIT = 7200
"""The same for ``make test-long``."""

ROOT = Path(__file__).parent.parent
VERSIONS = ("3.11", "3.12", "3.13")


@attrs.frozen
class Part:
    """One part of the checks.

    :ivar steps: its commands, one after another; one that fails ends the part.
    :ivar counted: whether its last step writes counts of tests; otherwise the part is one test.
    :ivar limit: seconds that each step may take.
    :ivar needs: what it needs besides ``.venv``: targets of the Makefile that install it.
    :ivar missing: why this machine cannot run it, or nothing.
    :ivar environment: what is set for it alone.
    """

    name: str
    steps: tuple[tuple[str, ...], ...]
    counted: bool = False
    limit: float = LIMIT
    needs: tuple[str, ...] = ()
    missing: str = ""
    environment: Mapping[str, str] = attrs.Factory(dict)


EXPLORED = (
    "tests.core.applications.test_applications_together",
    "tests.core.groups.crowds.test_group_crowds",
    "tests.histories.groups.test_in_process",
    "tests.histories.groups.test_mutants",
    "tests.http.test_api_fuzz",
    "tests.http.v2.test_fuzz",
    "tests.http.wire.test_smuggling",
    "tests.model.groups.test_group_explored",
    "tests.model.groups.test_group_machine",
    "tests.model.groups.test_pointers_explored",
    "tests.model.messages.test_producer_explored",
    "tests.model.stable_time.test_stable_simulated",
    "tests.storage.cassandra.messages.test_producers_faults",
    "tests.storage.test_machine",
    "tests.storage.sqlite.test_power",
)
"""The modules that walk through every course of some rules, or through very many at random. They are a part of their
own, since to measure coverage would take several times as long, and since whether the rules hold does not depend on the
version of Python; the code of the rules is tested under all of them."""


DOCUMENTATION = "tests.test_documentation"
"""What builds the documentation, and looks at it: a part of its own."""


def suites(without: Sequence[str] = ()) -> list[str]:
    """The packages and modules under ``tests`` that hold unit and contract tests.

    :param without: modules that are left out; the others of their packages are named one by one.
    """
    folders = [f.parent for f in (ROOT / "tests").glob("*/__init__.py") if f.parent.name != "live"]
    names = [f"tests.{path.stem}" for path in [*folders, *(ROOT / "tests").glob("test_*.py")]]
    return sorted(each for name in names for each in _apart(name, without))


def _apart(name: str, without: Sequence[str]) -> list[str]:
    if name in without:
        return []
    if not any(each.startswith(f"{name}.") for each in without):
        return [name]
    files = (ROOT / name.replace(".", "/")).rglob("test_*.py")
    modules = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    return [module for module in modules if module not in without]


def live_suites(without: Sequence[str] = ()) -> list[str]:
    """The packages and modules under ``tests/live``, less the one that needs nodes of Cassandra.

    :param without: packages and modules that are left out; the others of their packages are named one by one.
    """
    live = ROOT / "tests" / "live"
    folders = [f.parent for f in live.glob("*/__init__.py") if f.parent.name != "cassandra"]
    names = [f"tests.live.{path.stem}" for path in [*folders, *live.glob("test_*.py")]]
    return sorted(each for name in names for each in _apart(name, without))


AROUND = ("tests.live.command", "tests.live.guides", "tests.live.packages")
"""The packages of ``tests/live`` about what is around the daemon: the command, packages and examples."""

CLIENTS = (
    "tests.live.client",
    "tests.live.pushes.test_push_receivers",
    "tests.live.sqs.test_sqs_celery",
    "tests.live.sqs.test_sqs_clients",
    "tests.live.sqs.test_sqs_guide",
)
"""The packages and modules of ``tests/live`` about clients and receivers. This part, ``AROUND`` and the rest of
``tests/live`` run side by side, since all of them wait more than they compute."""


CLIENT = {"PYTHONPATH": str(ROOT / "client")}
"""Where the client is, for a Python in which it is not installed."""


def other_pythons() -> Iterator[tuple[str, str]]:
    """The versions besides the one that runs, each with an interpreter, or nothing where there is none."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    for version in VERSIONS:
        if version != own:
            yield version, found_python(version)


def found_python(version: str) -> str:
    """Return an interpreter of a version that can make a virtual environment, or nothing."""
    found = subprocess.run(["sh", ROOT / "tests" / "pythons.sh", version], capture_output=True, text=True)
    return found.stdout.strip()


def suite(
    python: str, folder: Path, names: Sequence[str], long: bool, *more: str, run: Sequence[str] = ("-m",)
) -> tuple[str, ...]:
    """The command that runs and counts tests: all of these names in a long run, otherwise those of ``make test``."""
    target = "test-long" if long else "test"
    trial = ("--temp-directory", str(folder / "trial"), "--run-in", target)
    return (python, "-b", *run, "tests.counting", *trial, *more, *names)


def order(long: bool) -> tuple[str, ...]:
    """The options of a suite: in a long run its tests are in a random order, and clean up at once."""
    return ("--force-gc", "--random", str(random.randrange(2**32))) if long else ()


def suite_part(name: str, folder: Path, names: Sequence[str], long: bool, **more: Any) -> Part:
    """A part that runs tests by the Python that runs here."""
    tests = suite(sys.executable, folder / name, names, long, *order(long))
    return Part(name, (tests,), counted=True, limit=LONG_LIMIT if long else LIMIT, **more)


def unit_lanes(folder: Path, long: bool) -> list[list[Part]]:
    """The lanes of ``unit`` and ``http``; in a long run it is one lane, at whose end is their coverage."""
    unit = suites((*EXPLORED, DOCUMENTATION))
    names = {name: [each for each in unit if is_http(each) == (name == "http")] for name in ("unit", "http")}
    if not long:
        return [[suite_part(name, folder, tests, long)] for name, tests in names.items()]
    return [[*(measured_part(name, folder, tests) for name, tests in names.items()), coverage_part(folder)]]


def is_http(name: str) -> bool:
    """Whether a package or module belongs to ``tests.http``."""
    return name == "tests.http" or name.startswith("tests.http.")


def measured_part(name: str, folder: Path, names: Sequence[str]) -> Part:
    """A part whose coverage is measured."""
    run = ("-m", "coverage", "run", f"--data-file={folder / f'measured.{name}'}", "-m")
    tests = suite(sys.executable, folder / name, names, True, *order(True), run=run)
    return Part(name, (tests,), counted=True, limit=LONG_LIMIT)


def coverage_part(folder: Path) -> Part:
    """What was covered by the parts before it."""
    own = (sys.executable, "-m", "coverage")
    data = f"--data-file={folder / 'measured'}"
    return Part("coverage", ((*own, "combine", "-q", data, str(folder)), (*own, "report", data)))


def python_part(version: str, python: str, folder: Path) -> Part:
    """The tests of ``unit`` and ``http`` under another Python, in which Queuey is not installed."""
    name = f"python{version}"
    home = ROOT / ".venvs" / version
    steps = (
        (sys.executable, "-m", "tests.environments", python, str(home)),
        suite(str(home / "bin" / "python"), folder / name, suites((*EXPLORED, *WITH_DAEMON)), True),
    )
    missing = "" if python else f"no Python {version} here that can make a virtual environment"
    return Part(name, steps, counted=True, limit=LONG_LIMIT, missing=missing, environment=CLIENT)


CLIENT_PYTHON = "3.9"
"""The oldest Python that the client is for; the daemon needs a newer one."""

CLIENT_SUITES = ("tests.client", "tests.client_cli")
WITH_DAEMON = ("tests.client.test_beside_the_daemon",)
"""The tests of the client that use the daemon, and its commands where it is installed."""


def client_python_part(folder: Path) -> Part:
    """The tests of the client under the oldest Python that it is for."""
    python, name = found_python(CLIENT_PYTHON), f"client{CLIENT_PYTHON}"
    home = ROOT / ".venvs" / name
    names = [each for suite in CLIENT_SUITES for each in _apart(suite, WITH_DAEMON)]
    steps = (
        (sys.executable, "-m", "tests.environments", python, str(home), str(ROOT / "tests" / "client" / "needs.txt")),
        suite(str(home / "bin" / "python"), folder / name, names, True),
    )
    missing = "" if python else f"no Python {CLIENT_PYTHON} here that can make a virtual environment"
    return Part(name, steps, counted=True, limit=LONG_LIMIT, missing=missing, environment=CLIENT)


LIVE_NEEDS = ("browser",)
CLIENTS_NEEDS = (*LIVE_NEEDS, "javascript", "generators", "receivers", "sqs-clients")
LONG_LIVE_NEEDS = (*CLIENTS_NEEDS, "sqs-go", "promtool", "samples", "debian-root")


def live_part(folder: Path, long: bool) -> Part:
    """The tests with daemons, except those of the two parts below."""
    names = live_suites((*AROUND, *CLIENTS))
    return suite_part("live", folder, names, long, needs=LONG_LIVE_NEEDS if long else LIVE_NEEDS)


def around_part(folder: Path, long: bool) -> Part:
    """The tests of the command, packages and examples, with daemons."""
    return suite_part("around", folder, AROUND, long, needs=LONG_LIVE_NEEDS if long else LIVE_NEEDS)


def clients_part(folder: Path, long: bool) -> Part:
    """The tests of clients and receivers, with daemons. Only these need what npm and pip install besides ``.venv``."""
    return suite_part("clients", folder, CLIENTS, long, needs=LONG_LIVE_NEEDS if long else CLIENTS_NEEDS)


TWO_WORKERS = {"QUEUEY_WORKERS": "2"}


def workers_part(folder: Path) -> Part:
    """The tests with daemons once more, with two workers."""
    tests = suite(sys.executable, folder / "workers", live_suites(), True)
    needs = LONG_LIVE_NEEDS
    return Part("workers", (tests,), counted=True, limit=LONG_LIMIT, needs=needs, environment=TWO_WORKERS)


def cassandra_part(folder: Path, long: bool, missing: str) -> Part:
    """The tests with Cassandra, beside the nodes that they share.

    :param missing: why this machine cannot run it, or nothing.
    """
    servers = (CQL, THRIFT) if long else (CQL,)
    serve = (sys.executable, "-m", "tests.live.cassandra.serve", *(f"--{server}" for server in servers))
    tests = suite(sys.executable, folder / "cassandra", ["tests.live.cassandra"], long, *order(long))
    needs = (*servers, "promtool") if long else servers
    limit = LONG_LIMIT if long else LIMIT
    return Part("cassandra", ((*serve, *tests),), counted=True, limit=limit, needs=needs, missing=missing)


def house_parts(folder: Path, long: bool) -> list[Part]:
    """The lane of what reads the code."""
    own = (sys.executable, "-m")
    layers = str(Path(sys.executable).parent / "lint-imports")
    return [
        Part("ruff", ((*own, "ruff", "check"),)),
        Part("format", ((*own, "ruff", "format", "--check"),)),
        Part("imports", ((layers, "--no-cache"),)),
        Part("mypy", ((*own, "mypy"),)),
        suite_part("docs", folder, [DOCUMENTATION], long),
    ]


def lanes(folder: Path, long: bool) -> list[list[Part]]:
    """All lanes, in the order in which they start.

    What reads the code comes first, since it soon says what it finds. Then come the parts with daemons and clusters,
    which take the longest because they also wait, and leave the cores to others meanwhile. What only computes fills the
    places that are left, the longest first, so that no core is idle at the end.
    """
    found = [
        house_parts(folder, long),
        [cassandra_part(folder, long, why_not())],
        [live_part(folder, long)],
        [around_part(folder, long)],
        [clients_part(folder, long)],
        *unit_lanes(folder, long),
        [suite_part("explored", folder, EXPLORED, long)],
    ]
    if long:
        found += [[python_part(version, python, folder)] for version, python in other_pythons()]
        found.append([client_python_part(folder)])
        found.append([workers_part(folder)])
    return found
