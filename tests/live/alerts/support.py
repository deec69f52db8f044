"""The base of tests that make alerts fire."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from twisted.trial.unittest import SynchronousTestCase

from tests.live.alerts import promtool
from tests.live.alerts.expressions import Alert, alerts, uses
from tests.live.alerts.scrapes import HOUR, Scrape, course, scrape
from tests.live.running import LIMIT


def wait_for(port: int, condition: Callable[[Scrape], bool], why: str) -> Scrape:
    """Ask a daemon until its metrics are so; those."""
    deadline = time.monotonic() + LIMIT
    while not condition(found := scrape(port)):
        if time.monotonic() > deadline:
            raise AssertionError(why)
        time.sleep(0.1)
    return found


class AlertCase(SynchronousTestCase):
    """Evaluates alerts by what was scraped."""

    def alert(self, name: str) -> Alert:
        """An alert of the rules."""
        (found,) = [alert for alert in alerts() if alert.name == name]
        return found

    def is_raised(self, name: str, scrapes: Sequence[Scrape], minutes: int = HOUR) -> bool:
        """Whether an alert is being raised, once things have gone on for so long as they were between the last two."""
        asked = {use.name for use in uses(self.alert(name).expression)[0]}
        series = {key: values for key, values in course(scrapes, minutes).items() if key.partition("{")[0] in asked}
        return promtool.raised(name, series, len(scrapes) + minutes)

    def check_alert(self, name: str, calm: Sequence[Scrape], after: Sequence[Scrape], minutes: int = HOUR) -> None:
        """An alert is not raised by how things were, and is by how they became.

        :param calm: scrapes before the cause.
        :param after: scrapes after it.
        """
        self.assertFalse(self.is_raised(name, calm, minutes), f"{name} is raised without a cause")
        self.assertTrue(self.is_raised(name, [*calm, *after], minutes), f"{name} is not raised")
