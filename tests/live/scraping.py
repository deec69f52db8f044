"""Reads the metrics of a running daemon."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from tests.live.running import LIMIT

Metrics = dict[tuple[str, ...], float]
"""Each value, by the name of its line and the values of its labels, in the order of their names."""


def scrape(port: int) -> Metrics:
    """The metrics as they are now.

    :param port: of the operators.
    """
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    samples = [sample for family in families for sample in family.samples]
    return {(sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value for sample in samples}


def until(port: int, fits: Callable[[Metrics], bool]) -> Metrics:
    """The first metrics that fit.

    :raise AssertionError: where none do within ``LIMIT`` seconds, with the last ones.
    """
    deadline = time.monotonic() + LIMIT
    while True:
        found = scrape(port)
        if fits(found):
            return found
        assert time.monotonic() < deadline, sorted(line for line in found.items() if "_bucket" not in line[0][0])
        time.sleep(0.2)
