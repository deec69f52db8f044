"""How far a long work is, on a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

AFTER = 1.0
"""Seconds after which a progress bar is shown: short work needs none."""


class Progress:
    """Shows how far it is, if it is wanted and takes longer than a second; a context manager.

    :param total: of what is counted, if it is known.
    """

    def __init__(self, wanted: bool, label: str, total: int | None = None) -> None:
        self._wanted = wanted
        self._label = label
        self._total = total
        self._began = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int | None = None) -> None:
        """Show how much is done, of what total if that is known by now."""
        if not self._wanted:
            return
        if self._bar is None:
            if time.monotonic() - self._began < AFTER:
                return
            self._start()
        self._bar.update(self._task, completed=done, total=self._total if total is None else total)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
        self._bar = Progress(*columns, console=Console(file=sys.stderr), transient=True)
        self._task = self._bar.add_task(self._label, total=self._total)
        self._bar.start()
