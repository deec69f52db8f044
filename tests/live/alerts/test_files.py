"""What stands in etc/prometheus, etc/grafana and docs/runbook fits together, and fits the metrics that there are."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.live.alerts import promtool
from tests.live.alerts.expressions import ROOT, RULES, Known, alerts, dashboard, panels
from tests.manual import commands
from tests.ops.test_documents import rows

run_in = "test"

TABLE = ROOT / "docs" / "metrics.rst"
RUNBOOK = ROOT / "docs" / "runbook"
SCRAPE = ROOT / "etc" / "prometheus" / "prometheus.yml"
FIRED = [ROOT / "tests" / "live" / name / "test_alerts.py" for name in ("alerts", "cassandra/operating")]

SECTIONS = ["What it means", "What users notice", "How to look", "What to do", "How to know that it is over"]


def known() -> Known:
    """The metrics of the code: the table is held against it by :mod:`tests.ops.test_metrics_document`."""
    return Known.of_table(rows(TABLE.read_text(encoding="utf-8"), 4))


class ExpressionsTests(SynchronousTestCase):
    """Everything that is asked for is there."""

    maxDiff = None

    def test_what_is_not_there_is_found(self) -> None:
        """This very comparison."""
        there = Known({"up": frozenset(), "made": frozenset({"kind"})})
        self.assertEqual(there.problems('sum by (job, kind) (rate(made{kind="a"}[5m])) > 0', "{{ $labels.kind }}"), [])
        self.assertEqual(there.problems("up == 0 unless gone > 1"), ["there is no gone"])
        self.assertEqual(there.problems('made{kin="a"}'), ["made has no label kin"])
        self.assertEqual(there.problems("sum by (kin) (made)"), ["nothing has a label kin"])
        self.assertEqual(there.problems("made * on (kin) up"), ["nothing has a label kin"])
        self.assertEqual(there.problems("made", "{{ $labels.kin }} {{kine}}"), [
            "nothing has a label kin",
            "nothing has a label kine",
        ])  # fmt: skip
        with self.assertRaises(ValueError):
            there.problems("sum by (job (made)")

    def test_alerts(self) -> None:
        """Names and labels of every alert, those that its texts name included."""
        there = known()
        wrong = {a.name: there.problems(a.expression, " ".join(a.annotations.values())) for a in alerts()}
        self.assertEqual({name: problems for name, problems in wrong.items() if problems}, {})
        self.assertGreater(len(wrong), 20)

    def test_dashboard(self) -> None:
        """Names and labels of every panel, those of its legends included."""
        there = known()
        legends = [target.get("legendFormat", "") for panel in panels() for target in panel["targets"]]
        found = [
            (title, there.problems(expression, legend))
            for (title, expression), legend in zip(dashboard(), legends, strict=True)
        ]
        self.assertEqual([(title, problems) for title, problems in found if problems], [])
        self.assertGreater(len(found), 20)


class DashboardTests(SynchronousTestCase):
    """The dashboard as Grafana takes it."""

    def test_panels(self) -> None:
        """No two have the same id or share room; each has a source of data, and a unit."""
        every = list(panels())
        self.assertEqual(len({panel["id"] for panel in every}), len(every))
        rooms = [panel["gridPos"] for panel in every]
        taken = [(x, y) for r in rooms for x in range(r["x"], r["x"] + r["w"]) for y in range(r["y"], r["y"] + r["h"])]
        self.assertEqual(len(set(taken)), len(taken))
        self.assertLessEqual(max(x for x, _ in taken), 23)
        for panel in every:
            self.assertEqual(panel["datasource"], {"type": "prometheus", "uid": "${datasource}"}, panel["title"])
            self.assertIn("unit", panel["fieldConfig"]["defaults"], panel["title"])


class RulesTests(SynchronousTestCase):
    """The files as Prometheus takes them."""

    run_in = "test-long"  # for promtool, which make test does not install

    def test_rules(self) -> None:
        """promtool reads all of them, with their templates."""
        status, output = promtool.run("check", "rules", str(RULES))
        self.assertEqual(status, 0, output)
        self.assertIn(f"{len(alerts())} rules found", output)

    def test_scraping(self) -> None:
        """The example of how to scrape names these rules."""
        status, output = promtool.run("check", "config", "--syntax-only", str(SCRAPE))
        self.assertEqual(status, 0, output)
        self.assertIn(RULES.name, SCRAPE.read_text(encoding="utf-8"))

    def test_whoever_is_woken_knows_why(self) -> None:
        """Each alert says how urgent it is, and what is wrong."""
        for alert in alerts():
            self.assertIn(alert.labels["severity"], ("page", "ticket"), alert.name)
            self.assertEqual(set(alert.annotations), {"summary", "runbook_url"}, alert.name)


class RunbookTests(SynchronousTestCase):
    """A page for each alert."""

    def pages(self) -> list[Path]:
        """All but the first one."""
        return sorted(path for path in RUNBOOK.glob("*.rst") if path.name != "index.rst")

    def test_every_alert_has_its_page_and_no_page_lacks_an_alert(self) -> None:
        """By its name, where its address leads."""
        for alert in alerts():
            self.assertTrue(alert.annotations["runbook_url"].endswith(f"/runbook/{alert.name}.html"), alert.name)
        self.assertEqual([path.stem for path in self.pages()], sorted(alert.name for alert in alerts()))

    def test_each_page_says_everything(self) -> None:
        """What it means, what users notice, how to look, with commands, what to do, and when it is over."""
        for path in self.pages():
            text = path.read_text(encoding="utf-8")
            self.assertEqual(re.findall(r"(?m)^(.+)\n-{4,}$", text), SECTIONS, path.name)
            self.assertTrue(text.startswith(f"{path.stem}\n{'=' * len(path.stem)}\n"), path.name)
            self.assertTrue(commands(text), path.name)

    def test_pages_name_only_what_there_is(self) -> None:
        """Metrics, words of the log, and methods of the operators' port."""
        there = known().metrics
        words = set(re.findall(r"(?m)^   \* - ``(.*)``$", (ROOT / "docs" / "log.rst").read_text(encoding="utf-8")))
        methods = {row[0].strip("`") for row in rows((ROOT / "docs" / "rpc.rst").read_text(encoding="utf-8"), 4)}
        for path in self.pages():
            text = path.read_text(encoding="utf-8")
            asked = set(re.findall(r"queuey ops\s(?:\s*--config \S+\s)?\s*([a-z][a-zA-Z.]+)", text))
            self.assertEqual(asked - methods, set(), path)
            named = set(re.findall(r"\b(?:queuey|process|python)_[a-z0-9_]+\b", text))
            self.assertEqual({name for name in named if not any(one.startswith(name) for one in there)}, set(), path)
            grepped = {word for found in re.findall(r"grep -E ' \(([a-z|-]+)\) ' ", text) for word in found.split("|")}
            self.assertEqual(grepped - words, set(), path)

    def test_every_alert_is_made_to_fire(self) -> None:
        """In a test that brings its cause about."""
        tests = "\n".join(path.read_text(encoding="utf-8") for path in FIRED)
        self.assertEqual([alert.name for alert in alerts() if f'"{alert.name}"' not in tests], [])
