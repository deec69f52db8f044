"""The tests.

``QUEUEY_LONG=1`` in the environment, which ``make test-long`` sets, makes everything that is random try much more.
"""

import os
from collections.abc import Callable
from typing import Final, TypeVar

from hypothesis import settings

Marked = TypeVar("Marked", bound=Callable[..., object])

TARGETS: Final = ("test", "test-long")
"""What ``run_in`` says of a test, a class, a module or a package: the targets of the Makefile."""

LONG: Final = bool(os.environ.get("QUEUEY_LONG"))


def runs_in(target: str) -> Callable[[Marked], Marked]:
    """Mark a single test with the target that runs it; a class, a module or a package sets ``run_in`` itself."""

    def mark(test: Marked) -> Marked:
        test.run_in = target  # type: ignore[attr-defined]
        return test

    return mark


def tried(count: int, long: int) -> int:
    """How many examples a test tries.

    :param count: as a rule.
    :param long: in a long run.
    """
    return long if LONG else count


# No deadline for one example: on a busy machine it would fail what is right.
settings.register_profile("queuey", deadline=None, max_examples=tried(100, 2000))
settings.load_profile("queuey")
