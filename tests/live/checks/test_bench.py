"""Each benchmark runs, with numbers so small that its figures mean nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[3]
LIMIT = 400.0

AT_ONCE: Final = 3
"""Programs that run at the same time: they wait more than they work."""

#: The arguments of each program, and what it prints.
PROGRAMS: Final = {
    "post": ("1 0.1", "queuey / hello"),
    "read": ("1 0.1", "(at least 0.50)"),
    "batch": ("1 0.1", "(at least 20.00)"),
    "sweep": ("1 2000 2", "(at least 0.70)"),
    "backup": ("1 2000 1", "(at least 0.70)"),
    "slow_readers": ("1 0.5 3 5", "(at most 3.00)"),
    "hangups": ("8 4 4 3", "(at most 1.00)"),
    "shapes": ("3 1 12", "(at most 1.00)"),
    "million": ("2000 1 0.1", "names in one answer"),
    "v2_post": ("1 0.1", "(at least 0.95)"),
    "once": ("1 0.1", "(at most 1.30)"),
    "ndjson": ("1 0.1", "(at least 0.70)"),
    "cursors": ("5000 1", "(at most 1.20)"),
    "counts": ("2000 1 20", "(at least 0.30)"),
    "waits": ("50 0.2", "(at most 1.00)"),
    "policies": ("1 0.1", "(at least 0.90)"),
    "limits": ("1 0.1", "(at least 0.90)"),
    "noisy": ("1 0.1 8", "(at most 2.00)"),
    "groups": ("1 0.1 20 2000", "(at least 0.50)"),
    "group_waits": ("50 0.2", "(at most 1.00)"),
    "group_writing": ("1", "32 fused: "),
    "group_factors": ("1 20 20", "(at most 1.30)"),
    "hand_out": ("1 5", "(at most 1.50)"),
    "crowd": ("8 4", "refused: 0 of "),
    "identities": ("1 0.1", "(at least 0.95)"),
    "metering": ("1 0.1 20", "(at least 0.90)"),
    "copy": ("2000", "messages/s copied"),
    "restore": ("1 0.2 2000", "(at least 1.00)"),
    "processor": ("1 0.2 4", "(at least 1.60)"),
    "heads": ("2", "ratio "),
    "lone": ("1 0.1", "(at most 1.30)"),
    "idle": ("50", "(at most 1.00)"),
    "live": ("50 0.2", "(at most 1.00)"),
    "cores": ("2 1 0.1", "128 connections: "),
    "calls": ("1", "calls of functions"),
    "in_flight": ("2000 1", "(at most 50.00)"),
    "clients": ("1 10", "(at most 12.00)"),
    "many": ("100 2", "(at most 1.00)"),
    "queue_reports": ("1000 1", "(at most 3.00)"),
    "dashboard": ("1 0.1 20 0.03", "(at least 0.95)"),
    "push": ("20 5 0.1", "(at least 0.70)"),
    "sqs": ("1 0.1 10", "for a message"),
    "push_down": ("500 20 0.5", "(at least 0.70)"),
}


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with other arguments than those above if there are any."""
    command = [sys.executable, "-m", f"bench.{name}", *(arguments or PROGRAMS[name][0].split())]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)


class BenchTests(SynchronousTestCase):
    """Benchmarks as programs."""

    def test_they_are_those_of_make_bench(self) -> None:
        found = re.search(r"^BENCHES := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert found is not None
        self.assertEqual(found[1].split(), list(PROGRAMS))

    def test_each_ends_well_and_prints_its_figures(self) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            ends = zip(PROGRAMS.items(), pool.map(run, PROGRAMS), strict=True)
            for (name, (_, figure)), done in ends:
                self.assertEqual(done.returncode, 0, f"{name}: {done.stdout}{done.stderr}")
                self.assertIn(figure, done.stdout, name)

    def test_each_refuses_what_makes_no_sense(self) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for name, done in zip(PROGRAMS, pool.map(lambda name: run(name, "0"), PROGRAMS), strict=True):
                self.assertEqual((done.returncode, done.stdout), (2, ""), f"{name}: {done.stdout}{done.stderr}")
                self.assertRegex(done.stderr, r"error: argument [A-Z]+: 0 is not ", name)
