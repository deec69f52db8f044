"""What stands in the documentation, for the tests that hold it against the code or run it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parent.parent / "docs"


def chapters(folder: str) -> list[Path]:
    """The pages of a folder in the order of reading: its index, and those that its table of contents names."""
    index = DOCS / folder / "index.rst"
    (names,) = re.findall(r"(?m)^\.\. toctree::\n(?:   :.*\n)*\n((?:   .+\n)+)", index.read_text(encoding="utf-8"))
    return [index, *(DOCS / folder / f"{name}.rst" for name in names.split())]


def whole(folder: str) -> str:
    """The text of all pages of a folder, in the order of reading."""
    return "\n".join(page.read_text(encoding="utf-8") for page in chapters(folder))


def blocks(text: str, language: str = r"\S+") -> Iterator[tuple[str, list[str]]]:
    """The blocks of code of a page: the language of each, and its lines without their indentation."""
    for found in re.finditer(rf"(?m)^( *)\.\. code-block:: ({language})\n((?:\n|\1 +.*\n?)+)", text):
        lines = found.group(3).strip("\n").splitlines()
        indented = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        yield found.group(2), [line[indented:] for line in lines]


def commands(text: str) -> list[str]:
    """What a page types into a shell, one command each: all that is in its ``bash`` blocks."""
    found: list[str] = []
    for _, lines in blocks(text, "bash"):
        begun = ""
        for line in filter(None, lines):
            begun += f"\n{line}" if begun else line
            if is_whole(begun):
                found.append(begun)
                begun = ""
        if begun:
            raise ValueError(f"this command has no end: {begun}")
    return found


def is_whole(command: str) -> bool:
    """Whether a command ends here, or goes on in the next line: after a backslash, a pipe, or inside of quotes."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        return False
    return bool(words) and words[-1] not in ("|", "&&")
