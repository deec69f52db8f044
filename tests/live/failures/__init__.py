"""Kills, clocks that are set, disks that are full, spoiled or hang; ``faults`` is the base of such tests."""
