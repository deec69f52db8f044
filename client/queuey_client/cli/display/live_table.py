"""A table that is drawn again and again, and the keys that change it; imported on a terminal only."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from queuey_client.cli.display.output import cell
from queuey_client.cli.display.rich_output import make_table
from queuey_client.cli.failures import lines_of, status_of
from queuey_client.core.errors import QueueyError


class Keys:
    """Reads single keys while a table is shown; a context manager.

    Without a terminal, or on a system without ``termios``, no keys are read.

    :param meanings: what each key chooses.
    :ivar chosen: what was chosen last.
    """

    def __init__(self, meanings: Mapping[str, str], chosen: str) -> None:
        self._meanings = meanings
        self.chosen = chosen
        self._restore: Callable[[], None] | None = None

    def __enter__(self) -> Keys:
        with contextlib.suppress(ImportError, OSError, ValueError):
            import termios
            import tty

            handle = sys.stdin.fileno()
            if sys.stdin.isatty():
                before = termios.tcgetattr(handle)
                tty.setcbreak(handle)  # Ctrl-C stays a signal
                self._restore = lambda: termios.tcsetattr(handle, termios.TCSADRAIN, before)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._restore is not None:
            self._restore()

    def wait(self, seconds: float) -> None:
        """Wait, until a key chooses something else or the time is over."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._restore is None:
                time.sleep(left)
                return
            if select.select([sys.stdin], [], [], left)[0]:
                wanted = self._meanings.get(os.read(sys.stdin.fileno(), 1).decode("latin-1").lower())
                if wanted is not None and wanted != self.chosen:
                    self.chosen = wanted
                    return


def live(
    columns: Sequence[str],
    rows: Callable[[], Sequence[dict[str, Any]]],
    interval: float,
    keys: Keys,
    colour: bool,
) -> None:
    """Draw rows every ``interval`` seconds, until Ctrl-C. An error that may pass is shown below the last rows."""
    console = Console(color_system="auto" if colour else None)
    lines: list[list[str]] = []
    with Live(console=console, auto_refresh=False, transient=False) as shown:
        while True:
            note = ""
            try:
                lines = [[cell(row.get(name)) for name in columns] for row in rows()]
            except QueueyError as error:
                if not error.retryable:
                    raise
                note = f"status {status_of(error)}: {lines_of(error)[0]}"
            room = max(3, console.size.height - 4)
            shown.update(Group(*_parts(columns, lines, room, note)), refresh=True)
            keys.wait(interval)


def _parts(columns: Sequence[str], lines: Sequence[Sequence[str]], room: int, note: str) -> Iterator[Any]:
    yield make_table(columns, lines[:room])
    if len(lines) > room:
        yield Text(f"... and {len(lines) - room} more")
    if note:
        yield Text(note)
