"""What rich draws; imported on a terminal only."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text


def make_table(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    """Return a table. What it shows is text: rich's markup in a value has no effect."""
    shown = Table(box=None, pad_edge=False, show_header=any(columns), header_style="bold")
    for number, name in enumerate(columns):
        numbers = all(line[number].replace(".", "", 1).isdigit() or line[number] == "-" for line in lines) and lines
        shown.add_column(Text(name), justify="right" if numbers else "left", overflow="ellipsis", no_wrap=True)
    for line in lines:
        shown.add_row(*[Text(value) for value in line])
    return shown


def table(columns: Sequence[str], lines: Sequence[Sequence[str]], colour: bool) -> str:
    """Return a table as wide as the terminal."""
    target = io.StringIO()
    width = shutil.get_terminal_size().columns
    console = Console(file=target, force_terminal=colour, width=width, color_system="standard" if colour else None)
    console.print(make_table(columns, lines))
    return target.getvalue()
