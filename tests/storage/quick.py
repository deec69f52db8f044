"""The folder for files of tests: in memory if the system has one, since most tests wait only for the disk."""

from __future__ import annotations

import tempfile
from pathlib import Path
from shutil import rmtree

from twisted.trial.unittest import SynchronousTestCase

SHARED_MEMORY = Path("/dev/shm")


def quick_directory(case: SynchronousTestCase) -> Path:
    """A directory that is gone after the test."""
    where = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    directory = Path(tempfile.mkdtemp(prefix="queuey-test-", dir=where))
    case.addCleanup(rmtree, directory, ignore_errors=True)
    return directory
