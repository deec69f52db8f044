"""The table of ``docs/testing.rst``: it names tests that exist, and ``make test`` runs those of its second column.

It stands here because it imports every test that the table names, which takes all libraries that tests need.
"""

from __future__ import annotations

import re
import unittest
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from tests.counting import load, single_tests, target_of

run_in = "test"

PAGE = Path(__file__).parents[3] / "docs" / "testing.rst"


class Row(NamedTuple):
    """One capability, and the names of the tests that prove it."""

    capability: str
    quick: list[str]
    thorough: list[str]


def rows(text: str) -> list[Row]:
    """Read the table of the page, without its header."""
    table = text.partition(".. list-table::")[2]
    cells = [re.split(r"\n {5}- ?", row) for row in re.split(r"\n {3}\* - ", table)[2:]]
    return [Row(" ".join(capability.split()), names(quick), names(long)) for capability, quick, long in cells]


def names(cell: str) -> list[str]:
    """Read the tests that a cell names."""
    return [f"tests.{name}" for name in re.findall(r"``([^`]+)``", cell)]


class TableTests(SynchronousTestCase):
    """Each row."""

    def setUp(self) -> None:
        self.rows = rows(PAGE.read_text(encoding="utf-8"))

    def targets(self, name: str) -> set[str]:
        """Find the targets that run the tests of a name; none if there are no such tests."""
        found = list(single_tests(load([name], None)))
        return {target_of(test) for test in found if isinstance(test, unittest.TestCase)}

    def test_reading(self) -> None:
        """The rows are found, and each capability stands once and is proven."""
        capabilities = [row.capability for row in self.rows]
        self.assertGreater(len(capabilities), 30)
        self.assertEqual(len(set(capabilities)), len(capabilities))
        self.assertEqual([row.capability for row in self.rows if not row.quick], [])

    def test_names(self) -> None:
        """Every test that is named exists; the quick ones are in ``make test``, and the others add something to it."""
        for row in self.rows:
            for name in row.quick:
                self.assertIn("test", self.targets(name), f"{row.capability}: {name} is not in make test")
            for name in row.thorough:
                self.assertTrue(self.targets(name), f"{row.capability}: there is no {name}")

    def test_a_name_that_is_none(self) -> None:
        """It has no targets."""
        self.assertEqual(self.targets("tests.live.checks.test_capabilities.NoTests"), set())
        self.assertEqual(self.targets("tests.live.test_nothing"), set())
