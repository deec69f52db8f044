"""What the command prints: tables on a terminal, the same rows with tabs in a pipe, and JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO

import click

from queuey_client.cli.failures import printable

NOTHING = "-"
"""Stands for what is not there."""

Row = Mapping[str, Any]
Item = tuple[Row, Mapping[str, Any]]
"""A row, and the document that it is made of."""


def cell(value: Any) -> str:
    """Return a value as a row has it."""
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, int):
        return str(value)
    return printable(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


class Output:
    """Standard output.

    :param form: ``table``, ``json`` or ``ndjson``.
    :param columns: what to show, instead of the columns that a command has by itself.
    :param terminal: whether it is one.
    """

    def __init__(
        self, stream: BinaryIO, form: str, columns: Sequence[str] | None, terminal: bool, colour: bool
    ) -> None:
        self._stream = stream
        self.form = form
        self.columns = columns
        self.terminal = terminal
        self.colour = colour

    @property
    def tables(self) -> bool:
        """Whether rows are printed, not JSON."""
        return self.form == "table"

    def write(self, data: bytes) -> None:
        """Print bytes as they are."""
        self._stream.write(data)

    def flush(self) -> None:
        """Let the reader of a pipe have what is printed."""
        self._stream.flush()

    def line(self, text: str) -> None:
        """Print a line."""
        self.write(text.encode("utf-8", "backslashreplace") + b"\n")

    def document(self, document: Any) -> None:
        """Print JSON: whole, or a line."""
        indent = 2 if self.form == "json" else None
        separators = None if indent else (",", ":")
        self.line(json.dumps(document, ensure_ascii=False, indent=indent, separators=separators))

    def rows(self, columns: Sequence[str], items: Iterable[Item]) -> int:
        """Print rows, as a whole table on a terminal.

        :return: how many.
        """
        if self.form == "json":
            documents = [document for _, document in items]
            self.document(documents)
            return len(documents)
        if self.form == "ndjson":
            count = 0
            for _, document in items:
                self.document(document)
                count += 1
            return count
        found = list(items)
        chosen = self.chosen(columns, found[:1])
        lines = [[cell(value_of(item, name)) for name in chosen] for item in found]
        if self.terminal:
            self._table(chosen, lines)
        else:
            for line in lines:
                self.line("\t".join(line))
        return len(found)

    def record(self, document: Mapping[str, Any]) -> None:
        """Print one thing with all that is known of it: a row for each member."""
        if not self.tables:
            self.document(document)
        elif self.columns is not None:
            self.rows((), [(document, document)])
        else:
            lines = [[name, cell(value)] for name, value in document.items()]
            if self.terminal:
                self._table(("", ""), lines)
            else:
                for line in lines:
                    self.line("\t".join(line))

    def chosen(self, columns: Sequence[str], sample: Sequence[Item]) -> Sequence[str]:
        """Return the columns to print. :raise click.UsageError: if a column does not exist."""
        if self.columns is None:
            return columns
        for row, document in sample:
            known = dict.fromkeys([*columns, *row, *document])
            for name in self.columns:
                if name.split(".")[0] not in known:
                    raise click.UsageError(f"there is no column {name!r}; the columns are: {', '.join(known)}")
        return self.columns

    def _table(self, columns: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
        from queuey_client.cli.display.rich_output import table

        self.flush()
        self.write(table(columns, lines, self.colour).encode("utf-8", "backslashreplace"))


def value_of(item: Item, name: str) -> Any:
    """Return the value of a column: of the row, else of a member of the document, such as ``behind.count``."""
    row, document = item
    if name in row:
        return row[name]
    found: Any = document
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def standard_output() -> BinaryIO:
    """Return standard output for bytes."""
    return sys.stdout.buffer
