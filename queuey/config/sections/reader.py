"""Reads the keys of a section, and reports keys and sections that are not known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs

from queuey.config import keys, legacy
from queuey.config.declarations.declared import Key, attributes
from queuey.config.mistakes import Mistake, Report, nearest, plain
from queuey.config.reading import Section

T = TypeVar("T")
S = TypeVar("S")

APPLICATION_PREFIX: Final = "application:"
ISSUER_PREFIX: Final = "jwt:"
APPLICATION_KEYS: Final = "application_keys"
KNOWN: Final = (
    "server",
    "storage",
    "metadata",
    APPLICATION_KEYS,
    "application:NAME",
    "applications",
    "browserid",
    "jwt:NAME",
    "logging",
    "metrics",
    "tracing",
    "push",
    "sqs",
)

_COMMENT: Final = re.compile(r"\s[#;]")
"""What looks like a comment after a value; it belongs to the value."""


@attrs.frozen
class Reader:
    """Reads the keys of one section, and reports mistakes in them."""

    name: str
    values: Mapping[str, str]
    base: Path
    report: Report

    def value(self, key: Key[T]) -> T:
        """Return the value of a key; its default if it is left out, or wrong and reported."""
        text = self.values.get(key.name, "")
        if text:
            try:
                return key.kind.read(text, self.base)
            except* Mistake as group:
                self.report.mistakes(self.place(key.name), group, key.allowed, _COMMENT.search(text) is not None)
        return key.kind.read(key.default, self.base)

    def section(self, kind: type[S], **given: Any) -> S:
        """Return the settings that a class declares.

        :param given: attributes that have been read already.
        """
        found = {name: self.value(key) for name, key in attributes(kind) if name not in given}
        return kind(**found, **given)

    def place(self, name: str) -> str:
        """Return the name of a key of this section in messages."""
        return f"[{plain(self.name)}] {plain(name)}"

    def refuse_unknown(self, known: tuple[str, ...]) -> None:
        """Report every key that the section cannot have."""
        for name in self.values:
            if name not in known:
                allowed = ", ".join(known)
                self.report.problem(
                    self.place(name), "is not known", allowed=allowed, meant=nearest(name, known) or _elsewhere(name)
                )


def _elsewhere(name: str) -> str:
    places = [key.place for key in keys.TABLE if key.name == name]
    return places[0] if places else ""


def refuse_unknown_sections(sections: Mapping[str, Section], report: Report) -> None:
    """Report every section that this program has no use for."""
    for name in sections:
        known = name in KNOWN or name == legacy.SERVER_MAIN or legacy.passed_over(name)
        if known or name.startswith((APPLICATION_PREFIX, ISSUER_PREFIX)):
            continue
        near = nearest(name, KNOWN)
        allowed = ", ".join(f"[{one}]" for one in KNOWN)
        report.problem(f"[{plain(name)}]", "is not known", allowed=allowed, meant=f"[{near}]" if near else "")
