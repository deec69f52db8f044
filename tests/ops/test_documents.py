"""The page about the operators' port has every method, parameter and member, as the code has it; and no other."""

from __future__ import annotations

import re
from pathlib import Path

from queuey.model.applications import members
from queuey.ops.rpc import MAX_BATCH, MAX_DEPTH, MAX_DIGITS, Methods
from tests.ops.support import OpsTestCase

PAGE = Path(__file__).parents[2] / "docs" / "rpc.rst"
Row = tuple[str, ...]


def rows(text: str, cells: int) -> list[Row]:
    """The rows of all tables with so many columns, but for their heads."""
    pattern = r"^   \* - (.*)" + r"\n     - (.*)" * (cells - 1) + r"\n(?!     - )"
    unfolded = re.sub(r"\n       (?=\S)", " ", text)
    found = re.findall(pattern, unfolded + "\n", re.MULTILINE)
    return [tuple(cell.strip() for cell in row) for row in found if row[0].startswith("``")]


class RPCPageTests(OpsTestCase):
    """docs/rpc.rst."""

    maxDiff = None

    def methods(self) -> dict[str, Row]:
        """What is said of each method."""
        found: dict[str, Row] = {}
        for name in self.call("system.listMethods"):
            function = self.function(name)
            own = [f"``{p.name}``" + ("" if p.needed else "?") for p in function.parameters if not p.null]
            if any(parameter.null for parameter in function.parameters):  # only members have a meaning of null
                own.append("members")
            text = " ".join((function.__doc__ or "").split()).replace("`", "``")
            found[name] = (f"``{name}``", ", ".join(own) or "none", function.returns, text)
        return found

    def function(self, name: str) -> Methods:
        """The method itself."""
        from queuey.ops.access import OperatorsRoot

        door = self.assembly.ops.hooks.resource
        assert isinstance(door, OperatorsRoot)
        return door._pages[b"/rpc"].resource._getFunction(name)  # type: ignore[attr-defined, no-any-return]

    def test_methods(self) -> None:
        self.assertEqual(rows(PAGE.read_text(encoding="utf-8"), 4), list(self.methods().values()))

    def test_members(self) -> None:
        expected = [
            (f"``{member.name}``", member.type, member.allowed.replace("*", "\\*"))
            for limits in (False, True)
            for member in members.named(limits)
        ]
        self.assertEqual(rows(PAGE.read_text(encoding="utf-8"), 3), expected)

    def test_numbers(self) -> None:
        text = PAGE.read_text(encoding="utf-8")
        for said in (f"at most {MAX_BATCH} calls", f"more deeply than {MAX_DEPTH} levels", f"than {MAX_DIGITS} digits"):
            self.assertIn(said, text)
