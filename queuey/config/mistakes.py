"""Collects all mistakes in a settings file, so that its owner sees them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Final, TypeVar

import attrs

from queuey.errors import ConfigurationError

T = TypeVar("T")

_SHOWN: Final = 60
"""Characters of a foreign text that a line shows."""


class Mistake(Exception):
    """One mistake in a value.

    :ivar meant: what the author may have meant, or empty.
    """

    def __init__(self, what: str, meant: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.meant = meant


@attrs.frozen
class Report:
    """The report about one file: mistakes that make it unusable, and warnings for its owner.

    :ivar file: the file's name as lines show it.
    """

    file: str
    problems: list[str] = attrs.Factory(list)
    warnings: list[str] = attrs.Factory(list)

    def problem(self, place: str, what: str, *, allowed: str = "", meant: str = "") -> None:
        """Add a mistake; ``place`` is a line, a section, or a section and a key."""
        line = f"{self.file}: {place}: {what}"
        if allowed:
            line += f"; allowed: {allowed}"
        if meant:
            line += f"; did you mean {meant}?"
        self.problems.append(line)

    def mistakes(self, place: str, group: BaseExceptionGroup[Mistake], allowed: str, comment: bool = False) -> None:
        """Add every :class:`Mistake` of a group.

        :param comment: whether the value has what looks like a comment behind it.
        """
        for mistake in group.exceptions:
            if isinstance(mistake, Mistake):
                what = f"{mistake.what}; a comment needs a line of its own" if comment else mistake.what
                self.problem(place, what, allowed=allowed, meant=mistake.meant)

    def warn(self, place: str, what: str) -> None:
        """Add what does not stop the daemon."""
        self.warnings.append(f"{self.file}: {place}: {what}")

    def stop_if_wrong(self) -> None:
        """End here if anything is wrong.

        :raise ConfigurationError: with all problems so far.
        """
        if self.problems:
            raise ConfigurationError(tuple(self.problems))


def shown(text: str) -> str:
    """A foreign text in quotes, on one line, without control characters, and not too long."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def plain(text: str) -> str:
    """A foreign name without quotes, unless it has characters that would spoil the line."""
    return text if text.isprintable() and 0 < len(text) <= _SHOWN else shown(text)


def shown_path(path: object) -> str:
    """A path in full, on one line."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def nearest(text: str, known: Iterable[str]) -> str:
    """Return the known word that is nearest to a text, or an empty text if none is near."""
    by_lower = {word.lower(): word for word in known}
    found = get_close_matches(text[:_SHOWN].lower(), by_lower, 1)
    return by_lower[found[0]] if found else ""


def each(items: Iterable[str], read: Callable[[str], T]) -> tuple[T, ...]:
    """Read every item.

    :raise ExceptionGroup: of every :class:`Mistake` that was raised, if there were any.
    """
    values, wrong = [], []
    for item in items:
        try:
            values.append(read(item))
        except Mistake as mistake:
            wrong.append(mistake)
    if wrong:
        raise ExceptionGroup("mistakes in a list", wrong)
    return tuple(values)
