"""Checks parameters that are text; all mistakes of a request are reported together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Final, TypeVar

from queuey.errors import InvalidRequest
from queuey.http.inputs.mistakes import Mistakes
from queuey.model.fields import Whole
from queuey.model.text import shown

E = TypeVar("E", bound=Enum)

_NUMBER: Final = re.compile(r"([+-]?)(?=[0-9])0*+([0-9]*+)", re.ASCII)
"""The quantifiers are possessive: with backtracking, a bad number would take time quadratic in its leading zeros."""
_MOST_DIGITS: Final = 40

MANY: Final = "InvalidParameter"
"""The name under which v1 says how many mistakes there are, if it does not name all of them."""

MAX_REMEMBERED: Final = 256
"""Queries up to this many bytes are cached with their parsed parameters."""

_BOOLEANS: Final = {
    "true": True, "1": True, "yes": True, "on": True,
    "false": False, "0": False, "no": False, "off": False,
}  # fmt: skip


def whole_number(text: str) -> int | None:
    """The number that decimal digits with an optional sign mean, or ``None``.

    Numbers of more digits than anything here can have count as the first such number, since Python refuses to read
    those of thousands.
    """
    match = _NUMBER.fullmatch(text.strip(" \t"))
    if match is None:
        return None
    sign, digits = match.groups()
    value = int(digits or "0") if len(digits) <= _MOST_DIGITS else 10**_MOST_DIGITS
    return -value if sign == "-" else value


class Parameters:
    """The parameters of a request, or of one message in a batch.

    An empty value counts as absent. Each getter notes what is wrong and then gives the default, so that all mistakes
    can be raised together by :meth:`check`.
    """

    def __init__(self, given: Mapping[str, str | None], mistakes: Mistakes | None = None, prefix: str = "") -> None:
        """
        :param given: values by name.
        :param mistakes: collects the mistakes.
        :param prefix: is put before each name there.
        """
        self._given = given
        self._prefix = prefix
        self._mistakes = Mistakes() if mistakes is None else mistakes

    def text(self, name: str) -> str | None:
        """A parameter as it came, or ``None`` if it is absent."""
        return self._given.get(name) or None

    def wrong(self, name: str, text: str) -> None:
        """Note a mistake in a parameter."""
        self._mistakes.add(self._prefix + name, text)

    def number(self, field: Whole) -> int | None:
        """Return a whole number, or ``None`` if it is absent or wrong."""
        name, low, high = field.name, field.low, field.high
        raw = self.text(name)
        if raw is None:
            return None
        value, said = whole_number(raw), shown(raw.strip(" \t"))
        if value is None:
            self.wrong(name, f'"{shown(raw)}" is not a number')
        elif value < low:
            self.wrong(name, f"{said} is less than minimum value {low}")
        elif value > high:
            self.wrong(name, f"{said} is greater than maximum value {high}")
        else:
            return value
        return None

    def choice(self, name: str, among: type[E]) -> E | None:
        """One of a few words, or ``None``."""
        raw = self.text(name)
        if raw is None:
            return None
        try:
            return among(raw)
        except ValueError:
            self.wrong(name, f'"{shown(raw)}" is not one of {", ".join(member.value for member in among)}')
            return None

    def boolean(self, name: str) -> bool:
        """Yes or no; absent is no."""
        raw = self.text(name)
        if raw is None:
            return False
        value = _BOOLEANS.get(raw.lower())
        if value is None:
            self.wrong(name, f'"{shown(raw)}" is not a boolean')
        return bool(value)

    def check(self) -> None:
        """Raise an error with all mistakes.

        :raise InvalidRequest: if there is anything.
        """
        refuse(self._mistakes)


def refuse(mistakes: Mistakes) -> None:
    """Raise mistakes, if there are any, as v1 names them: each by its parameter.

    :raise InvalidRequest: naming the first of them, and saying how many there are if those are not all.
    """
    if mistakes:
        more = {MANY: mistakes.in_all} if mistakes.unnamed else {}
        raise InvalidRequest({**dict(mistakes.named), **more})
