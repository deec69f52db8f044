"""A worker of a daemon with faults: with the defect, and the clock, of the folder that it is run in."""

from __future__ import annotations

from pathlib import Path

from queuey.service.worker import main
from tests.live.alerts.faulty import break_appends
from tests.live.failures.set_clock import set_clock

if __name__ == "__main__":
    folder = Path.cwd()
    if (folder / "clock").exists():
        set_clock(str(folder / "clock"))
    break_appends(folder / "defect")
    main()
