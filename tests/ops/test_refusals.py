"""Each parameter of each operators' method refuses what it does not allow; the methods themselves give the cases."""

from __future__ import annotations

import re
from typing import Any

from queuey.ops import faults
from queuey.ops.parameters import Parameter
from tests.ops.support import OpsTestCase

OTHERS: dict[str, tuple[Any, ...]] = {
    "string": (7, True, [], {}, "x" * 1001, "a\u0000b"),
    "number": ("7", True, [], {}, "x"),
    "boolean": ("true", 1, 0, [], {}),
    "array": (7, True, {}),
}
"""Values that are wrong for each type."""

GOOD: dict[str, Any] = {"string": "oldest", "number": 5, "boolean": True, "array": [1]}
_NUMBER = re.compile(r"([0-9.]+) to ([0-9.]+)")


def wrong(parameter: Parameter) -> list[Any]:
    """Return values that a parameter does not allow."""
    found = list(OTHERS[parameter.kind.type])
    match = _NUMBER.match(parameter.kind.allowed)
    if parameter.kind.type == "number" and match is not None:
        low, high = (float(bound) if "." in bound else int(bound) for bound in match.groups())
        found += [low - 1, high + 1, low - 0.0005, 10**29]
    return found


class RefusalTests(OpsTestCase):
    """Every method, one wrong parameter at a time."""

    def parameters(self, name: str) -> tuple[Parameter, ...]:
        found: tuple[Parameter, ...] = (
            self.assembly.ops.hooks.resource._pages[  # type: ignore[attr-defined]
                b"/rpc"
            ]
            .resource._getFunction(name)
            .parameters
        )
        return found

    def check_refused(self, method: str, name: str, params: dict[str, Any]) -> None:
        error = self.fault(method, **params)
        self.assertEqual((error["code"], error["data"]["applied"]), (faults.INVALID_PARAMS, "no"), (method, params))
        self.assertEqual([one["parameter"] for one in error["data"]["errors"]], [name], (method, params))

    def test_each_parameter(self) -> None:
        """Of another type, out of bounds, missing, and of another name."""
        cases = 0
        for method in self.call("system.listMethods"):
            if method.startswith("system."):
                continue
            known = self.parameters(method)
            needed = {one.name: GOOD[one.kind.type] for one in known if one.needed}
            if "id" in needed:
                needed["id"] = "0" * 12
            for parameter in known:
                for value in wrong(parameter):
                    self.check_refused(method, parameter.name, {**needed, parameter.name: value})
                    cases += 1
                if parameter.needed:
                    others = {name: value for name, value in needed.items() if name != parameter.name}
                    self.check_refused(method, parameter.name, others)
                    self.check_refused(method, parameter.name, {**others, parameter.name: None})
            self.check_refused(method, "'unknown'", {**needed, "unknown": 1})
        self.assertGreater(cases, 400)
        self.assertEqual(self.call("applications.list")["applications"][0]["name"], "app")
