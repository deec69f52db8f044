"""Tests with real sockets, processes, signals and files.

``make test`` runs those modules, classes and methods that are marked with ``run_in = "test"``, ``make test-long`` all.
"""

run_in = "test-long"
