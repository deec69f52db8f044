"""The tests of the wire once more, on the channel that reads every head in Python.

What draws examples, and what takes long, runs on the default channel alone, or is bounded here: the two are held
against each other, byte by byte, in ``test_wire_channels``.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING
from unittest import TestResult

from twisted.trial.unittest import SynchronousTestCase

from queuey.http.wire import CHANNELS
from tests.http import (
    test_smuggling,
    test_wire_answers,
    test_wire_bodies,
    test_wire_connections,
    test_wire_contract,
    test_wire_heads,
    test_wire_klein,
    test_wire_refusals,
    test_wire_times,
    wire_support,
)
from tests.http.wire_support import CHANNEL, Handler, answer_ok, make_site

if TYPE_CHECKING:
    _Case = SynchronousTestCase
else:
    _Case = object

MODULES = (
    test_smuggling,
    test_wire_answers,
    test_wire_bodies,
    test_wire_connections,
    test_wire_contract,
    test_wire_heads,
    test_wire_klein,
    test_wire_refusals,
    test_wire_times,
)


class OnPython(_Case):
    """Lets a case make its sites with the other channel."""

    every_byte = False

    def run(self, result: TestResult | None = None) -> TestResult | None:
        """Run the case, its own preparations included, on that channel."""
        before, wire_support.CHANNEL = wire_support.CHANNEL, "python"
        try:
            super().run(result)
            return result
        finally:
            wire_support.CHANNEL = before


def _draws(case: type) -> bool:
    """Whether hypothesis draws examples for some test of a case: it wants each test to belong to one case."""
    return any(hasattr(each, "hypothesis") for each in vars(case).values())


def _cases(module: ModuleType) -> list[type[SynchronousTestCase]]:
    own = [each for each in vars(module).values() if isinstance(each, type) and each.__module__ == module.__name__]
    return [each for each in own if issubclass(each, SynchronousTestCase) and not _draws(each)]


for _module in MODULES:
    for _case in _cases(_module):
        globals()[_case.__name__] = type(_case.__name__, (OnPython, _case), {"__module__": __name__})


class ChannelTests(SynchronousTestCase):
    def test_channels(self) -> None:
        """The cases above run on the one channel, and all others on the other."""
        copied = [case.__name__ for module in MODULES for case in _cases(module)]
        self.assertEqual(len(copied), len(set(copied)))
        self.assertGreater(len(copied), 18)
        seen: list[object] = []

        class Case(OnPython, SynchronousTestCase):
            def setUp(self) -> None:
                seen.append(make_site(Handler(answer_ok)).whole)

            def runTest(self) -> None:
                seen.append(make_site(Handler(answer_ok)).whole)

        Case().run(TestResult())
        self.assertEqual([None, None], seen)
        self.assertIs(CHANNELS[CHANNEL], make_site(Handler(answer_ok)).whole)
