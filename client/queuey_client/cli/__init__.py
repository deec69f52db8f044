"""The command ``queuey``; it needs ``queuey-client[cli]``.

Importing this module imports nothing else of the command, so that a missing dependency can be reported in plain words.
"""

from __future__ import annotations

import sys


def run() -> int:
    """Run the command; the entry point of the console script.

    :return: the exit status.
    """
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
