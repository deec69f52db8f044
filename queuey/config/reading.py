"""From the text of an ini file to sections and keys, with every mistake of syntax named by its line.

The interpreter's configparser is not used: it stops at the first mistake, and forgets on which line a key was.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from queuey.config.mistakes import Report, plain
from queuey.errors import ConfigurationError

MAX_FILE: Final = 16 << 20
"""Bytes of a settings file: without a bound, a wrong path such as a device would be read for ever."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_COMMENT: Final = ("#", ";")
_BLANK: Final = " \t"


@attrs.define
class Section:
    """One section.

    :ivar line: that it begins on.
    :ivar values: of its keys; the lines of one value are joined by newlines.
    :ivar lines: on which its keys are.
    """

    line: int
    values: dict[str, str] = attrs.Factory(dict)
    lines: dict[str, int] = attrs.Factory(dict)


@attrs.define
class _Position:
    """The position of the reader: the section, and the key that an indented line continues."""

    section: Section | None = None
    name: str = ""
    key: str | None = None
    indent: int = 0
    skipped: bool = False


def read_text(path: Path, shown: str) -> str:
    """The text of a settings file.

    :param shown: its name as a line shows it.
    :raise ConfigurationError: of one line, where it cannot be read or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError((f"{shown}: cannot be read: {reason}",)) from None
    if len(data) > MAX_FILE:
        raise ConfigurationError((f"{shown}: is longer than {MAX_FILE >> 20} MiB, too long for a settings file",))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError((f"{shown}: line {line}: is not UTF-8",)) from None


def parse(text: str, report: Report, passed_over: Callable[[str], bool]) -> dict[str, Section]:
    """The sections of an ini file by their names.

    :param report: is called with mistakes in the syntax; the valid rest is returned.
    :param passed_over: returns whether the section of a name is ignored, with mistakes in its syntax.
    """
    sections: dict[str, Section] = {}
    position = _Position()
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.removesuffix("\r")
        stripped = line.strip(_BLANK)
        if not stripped or stripped.startswith(_COMMENT):
            continue
        indent = len(line) - len(line.lstrip(_BLANK))
        if position.key is not None and indent > position.indent:
            _go_on(position, stripped, number, report)
        elif stripped.startswith("["):
            position = _begin(sections, stripped, number, report, passed_over)
        else:
            position.indent = indent
            _take(position, stripped, number, report)
    return sections


def _begin(
    sections: dict[str, Section], stripped: str, number: int, report: Report, passed_over: Callable[[str], bool]
) -> _Position:
    section = Section(number)
    name = stripped[1:-1].strip(_BLANK)
    if not stripped.endswith("]") or not name or _CONTROL.search(name):
        report.problem(f"line {number}", "is no section: one is written [name], alone on its line")
        return _Position(section)
    if passed_over(name):
        sections.setdefault(name, section)
        return _Position(section, name, skipped=True)
    if name in sections:
        report.problem(f"[{plain(name)}]", f"stands twice, on lines {sections[name].line} and {number}")
    return _Position(sections.setdefault(name, section), name)


def _take(position: _Position, stripped: str, number: int, report: Report) -> None:
    name, equals, value = (part.strip(_BLANK) for part in stripped.partition("="))
    position.key = ""
    if position.skipped:
        return
    if position.section is None:
        report.problem(f"line {number}", "stands before the first section")
    elif not equals or not name:
        report.problem(f"line {number}", "is neither a section, nor a comment, nor name = value")
    elif _CONTROL.search(stripped):
        report.problem(f"line {number}", "has a control character")
    elif name in position.section.values:
        lines = f"{position.section.lines[name]} and {number}"
        report.problem(f"[{plain(position.name)}] {plain(name)}", f"stands twice, on lines {lines}")
    else:
        position.key = name
        position.section.values[name] = value
        position.section.lines[name] = number


def _go_on(position: _Position, stripped: str, number: int, report: Report) -> None:
    if not position.key or position.section is None:
        return
    if _CONTROL.search(stripped):
        report.problem(f"line {number}", "has a control character")
        return
    before = position.section.values[position.key]
    position.section.values[position.key] = f"{before}\n{stripped}" if before else stripped
