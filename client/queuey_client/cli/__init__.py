"""The command ``queuey``; it needs ``queuey-client[cli]``.

Importing this module imports nothing else of the command, so that a missing dependency can be reported in plain words.
"""

from __future__ import annotations

import os
import sys


def open_standard_streams() -> None:
    """Open those of standard input, output and error that are closed, so that no file or connection gets their numbers.

    Input is opened for writing and output for reading: a command that uses them fails, and does not seem to work. Words
    for standard error are lost.
    """
    streams = (("stdin", os.O_WRONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w"))
    for number, (name, flags, mode) in enumerate(streams):
        if getattr(sys, name) is None:
            # The lowest number that is free is this one, because those below it are open.
            os.open(os.devnull, flags)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors="surrogateescape", closefd=False))


def run() -> int:
    """Run the command; the entry point of the console script.

    :return: the exit status.
    """
    open_standard_streams()
    try:
        import click  # noqa: F401
    except ImportError:
        sys.stderr.write("queuey: the command needs click and rich: pip install 'queuey-client[cli]'\n")
        return 1
    try:
        from queuey_client.cli.program import main

        return main(sys.argv[1:])
    except KeyboardInterrupt:
        # While modules were imported, or while an earlier signal was handled.
        return 130
