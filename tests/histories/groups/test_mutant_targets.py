"""What mutants replace exists: it costs nothing to know that before histories are made."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.histories.groups.mutants import MUTANTS
from tests.histories.sqs.mutants import MUTANTS as SQS_MUTANTS


class TargetTests(SynchronousTestCase):
    """Each patch of each mutant."""

    def test_targets_exist(self) -> None:
        """The name is there, else the function was moved or renamed and the mutant would change nothing."""
        patches: list[tuple[str, tuple[Any, str, Any]]] = [
            (mutant.name, patch) for mutant in MUTANTS for patch in mutant.patches
        ]
        patches += [(mutant.name, (mutant.place, mutant.attribute, None)) for mutant in SQS_MUTANTS]
        missing = [
            f"{mutant}: {getattr(where, '__name__', where)}.{name}"
            for mutant, (where, name, _) in patches
            if not hasattr(where, name)
        ]
        self.assertEqual(missing, [])
