"""A choice of queues: by name, and by what their names begin with."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import attrs

MAX_NAMES: Final = 10_000
"""Names in a choice, at most; each may be one queue."""

MAX_NAMES_IN_QUERY: Final = 100
"""The same in the query of a URL."""

MAX_PREFIXES: Final = 10
"""Prefixes in a choice, at most."""


@attrs.frozen
class QueueChoice:
    """The queues of an application that a reader asks for.

    :ivar names: in rising order, each once.
    :ivar prefixes: in rising order, each once; all queues whose names begin with one of them, also those that are
        created later.
    """

    application: str
    names: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    def has(self, application: str, name: str) -> bool:
        """Return whether a queue of this name is in the choice, or would be."""
        return application == self.application and (name.startswith(self.prefixes) or name in self._names)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.names)

    def signed_line(self) -> str:
        """Return the text that stands for the choice in a signed URL: names, and prefixes after a colon, separated by
        commas. Names contain neither, so it is never the name of one queue if there is a prefix or a second name."""
        return ",".join([*self.names, *(f":{prefix}" for prefix in self.prefixes)])


def choice_of(application: str, names: tuple[str, ...], prefixes: tuple[str, ...]) -> QueueChoice:
    """Return the choice of some names and prefixes, in any order."""
    return QueueChoice(application, tuple(sorted(set(names))), tuple(sorted(set(prefixes))))
