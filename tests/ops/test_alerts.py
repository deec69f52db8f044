"""The alerts that are seen without Prometheus are those of the rules."""

from __future__ import annotations

import re
from importlib.resources import files

from twisted.trial.unittest import SynchronousTestCase

from queuey.model.telemetry.counts import Gauge, gauge
from queuey.ops.alerts import CONDITIONS, MAX_SHOWN, holding
from tests.ops.support import OpsTestCase


class ConditionTests(SynchronousTestCase):
    def test_they_are_those_of_the_rules(self) -> None:
        text = (files("queuey") / "samples/prometheus/queuey.rules.yml").read_text(encoding="utf-8")
        rules = dict(re.findall(r"- alert: (\w+)\n +expr: (?:>-\n +)?(.*)\n", text))
        for condition in CONDITIONS:
            number = f"{condition.bound:g}" if condition.bound < 1e5 else str(int(condition.bound))
            expression = rf"{condition.metric} {condition.sign} {number}( and deriv.*| unless {condition.unless} == 1)?"
            self.assertRegex(rules[condition.alert], rf"^{expression}$")

    def test_what_holds(self) -> None:
        lags: dict[tuple[str, ...], float] = {("a", "q", f"g{number}"): 1000.0 + number for number in range(30)}
        metrics = (
            gauge("queuey_ready", "", lambda: 0),
            gauge("queuey_draining", "", lambda: 0),
            gauge("queuey_disk_free_bytes", "", lambda: None),
            Gauge("queuey_group_lag_messages", "", ("application", "queue", "group"), lambda: lags),
        )
        ready, behind = holding(metrics)
        self.assertEqual((ready["alert"], ready["values"]), ("QueueyNotReady", [{"labels": {}, "value": 0}]))
        self.assertEqual((behind["alert"], len(behind["values"]), behind["more"]), ("QueueyGroupBehind", MAX_SHOWN, 10))
        self.assertEqual(behind["values"][0]["labels"], {"application": "a", "queue": "q", "group": "g0"})

    def test_a_drained_front_end_is_not_expected_to_be_ready(self) -> None:
        metrics = (gauge("queuey_ready", "", lambda: 0), gauge("queuey_draining", "", lambda: 1))
        self.assertEqual([one["alert"] for one in holding(metrics)], ["QueueyDrainLeftOn"])


class ReportTests(OpsTestCase):
    def test_report(self) -> None:
        found = self.call("health.report")
        self.assertEqual((found["live"], found["ready"], found["workers"]), (True, True, None))
        self.assertIn({"of": "ready", "name": "store", "ok": True, "reason": "The store answers."}, found["checks"])
        self.assertEqual(found["alerts"], [])
        self.call("drain")
        found = self.call("health.report")
        self.assertFalse(found["ready"])
        self.assertEqual([one["alert"] for one in found["alerts"]], ["QueueyDrainLeftOn"])
