"""Test classes that run the tests of others on another store: a line each, instead of a class without content."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import wraps
from typing import Any

from tests import runs_in


def again(module: str, cases: Mapping[str, type[Any]], suites: Iterable[type[Any]], **named: type[Any]) -> None:
    """Define, in a module, each suite once on each case.

    A class gets the prefix of its case and the name of its suite, where ``Contract`` at its end becomes ``Tests``.

    :param module: ``__name__`` of the module.
    :param cases: the classes that make the store, by prefix.
    :param suites: classes of tests.
    :param named: more of them, by the name that they get after the prefix.
    """
    space = vars(sys.modules[module])
    by_name = {_name(suite): suite for suite in suites} | named
    for prefix, case in cases.items():
        for name, suite in by_name.items():
            full = prefix + name
            if full in space:
                raise ValueError(f"{module} has a {full} already")
            space[full] = type(full, (case, suite), {"__module__": module, "__doc__": suite.__doc__})


def leave_to_long(module: str, case: str, name: str) -> None:
    """Mark an inherited test for ``make test-long``, in one class of a module alone.

    :param module: ``__name__`` of the module.
    :param case: the class.
    """
    found = vars(sys.modules[module])[case]
    test = getattr(found, name)

    @runs_in("test-long")
    @wraps(test)
    def later(self: Any) -> object:
        return test(self)

    setattr(found, name, later)


def _name(suite: type[Any]) -> str:
    return suite.__name__.removesuffix("Contract") + ("Tests" if suite.__name__.endswith("Contract") else "")
