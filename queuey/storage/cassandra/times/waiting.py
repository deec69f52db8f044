"""Waits between attempts."""

from __future__ import annotations


def growing(first: float, failures: int, longest: float) -> float:
    """Seconds to wait before the next attempt: twice as long after each failure in a row.

    :param first: seconds after none.
    :param longest: maximum in seconds.
    """
    return min(longest, first * 2.0 ** min(failures, 16))
