"""Rate limits by token buckets, one for each key, in this process only."""

from __future__ import annotations

from collections.abc import Callable

from queuey.model.applications.rates import Bucket, Rate


class Buckets:
    """A bucket for each of some keys."""

    def __init__(self, seconds: Callable[[], float], most: int) -> None:
        """:param seconds: a monotonic clock.
        :param most: buckets, at most; the least recently used one is dropped first, and is full when it is used again.
        """
        self._seconds = seconds
        self._most = most
        self._buckets: dict[bytes, Bucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: bytes, rate: Rate) -> float:
        """Take a token out of a bucket.

        :param rate: the rate at which a new bucket is filled.
        :return: 0 if there was a token; otherwise the seconds until there is one, and the bucket is unchanged.
        """
        now = self._seconds()
        bucket = self._buckets.pop(key, None) or Bucket(rate, now)
        if len(self._buckets) >= self._most:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[key] = bucket
        wait = bucket.wait(1, now)
        if not wait:
            bucket.take(1, now)
        return wait
