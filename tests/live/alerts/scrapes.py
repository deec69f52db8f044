"""What Prometheus has from asking a daemon again and again, and what becomes of it if things go on as they are."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs
from prometheus_client.parser import text_string_to_metric_families

HOUR: Final = 60
"""Scrapes, of which there is one a minute."""

TIMEOUT: Final = 60.0

Values = list[float | None]
"""The values of a series, a minute apart; ``None`` where it was not there."""


@attrs.frozen
class Scrape:
    """What a daemon said of itself at one moment.

    :ivar values: by the name of a series and its labels.
    :ivar growing: the series that count, and do not go up and down.
    """

    values: Mapping[str, float] = attrs.field(repr=False)
    growing: frozenset[str] = attrs.field(repr=False)

    @classmethod
    def of(cls, text: str, instance: str) -> Scrape:
        """What Prometheus makes of an answer.

        :param instance: the name that it has for the daemon.
        """
        values = {_series("up", {}, instance): 1.0}
        growing = set()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                series = _series(sample.name, sample.labels, instance)
                values[series] = sample.value
                if family.type in ("counter", "histogram"):
                    growing.add(series)
        return cls(values, frozenset(growing))

    @classmethod
    def failed(cls, instance: str) -> Scrape:
        """What Prometheus makes of no answer."""
        return cls({_series("up", {}, instance): 0.0}, frozenset())

    def total(self, name: str) -> float:
        """The sum of all series of this name."""
        return sum(self._all(name))

    def most(self, name: str) -> float:
        """The greatest value of the series of this name; 0 where there are none."""
        return max(self._all(name), default=0.0)

    def _all(self, name: str) -> list[float]:
        return [value for series, value in self.values.items() if series.startswith(f"{name}{{")]

    def has(self, name: str) -> bool:
        """Whether there is a series of this name."""
        return any(series.startswith(f"{name}{{") for series in self.values)

    def of_job(self, job: str) -> Scrape:
        """The same, as a Prometheus has it that knows the daemon under another name."""
        old, new = 'job="queuey"', f'job="{job}"'
        return Scrape(
            {name.replace(old, new): value for name, value in self.values.items()},
            frozenset(name.replace(old, new) for name in self.growing),
        )


def scrape(port: int, instance: str = "here") -> Scrape:
    """Ask a daemon as Prometheus does.

    :param port: the operators' port, on loopback.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise AssertionError(f"/metrics was answered {answer.status}: {text}")
        return Scrape.of(text, instance)
    except OSError:
        return Scrape.failed(instance)
    finally:
        connection.close()


def _series(name: str, labels: Mapping[str, str], instance: str) -> str:
    every = {"job": "queuey", "instance": instance, **labels}
    return f"{name}{{{','.join(f'{key}={json.dumps(value)}' for key, value in every.items())}}}"


def course(scrapes: Sequence[Scrape], more: int) -> dict[str, Values]:
    """The series of scrapes a minute apart, which go on for so many minutes more.

    What counts goes on growing as it did between the last two scrapes; the rest stays.
    """
    names = dict.fromkeys(name for one in scrapes for name in one.values)
    return {name: [*_seen(scrapes, name), *_goes_on(scrapes, name, more)] for name in names}


def _seen(scrapes: Sequence[Scrape], name: str) -> Values:
    return [one.values.get(name) for one in scrapes]


def _goes_on(scrapes: Sequence[Scrape], name: str, more: int) -> Iterator[float | None]:
    last = scrapes[-1].values.get(name)
    if last is None:
        yield from [None] * more
        return
    step = 0.0
    if name in scrapes[-1].growing and len(scrapes) > 1:
        step = max(last - scrapes[-2].values.get(name, 0.0), 0.0)
    for minute in range(1, more + 1):
        yield last + step * minute
