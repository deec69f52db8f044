"""What the expressions of alerts and of the dashboard ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import promql_parser
import yaml
from promql_parser import AggregateExpr, BinaryExpr, Expr, VectorSelector

ROOT: Final = Path(__file__).parents[3]
RULES: Final = ROOT / "etc" / "prometheus" / "queuey.rules.yml"
DASHBOARD: Final = ROOT / "etc" / "grafana" / "queuey.json"

OF_PROMETHEUS: Final = frozenset({"job", "instance"})
"""The labels that Prometheus gives to all that it scrapes."""


@attrs.frozen
class Alert:
    """A rule that raises an alert."""

    name: str
    expression: str
    labels: dict[str, str]
    annotations: dict[str, str]


def alerts(path: Path = RULES) -> list[Alert]:
    """All alerts of a file of rules."""
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    return [Alert(rule["alert"], rule["expr"], rule["labels"], rule["annotations"]) for rule in rules]


def panels(path: Path = DASHBOARD) -> Iterator[dict[str, Any]]:
    """The panels of a dashboard that ask for something."""
    for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
        if panel["type"] != "row":
            yield panel


def dashboard(path: Path = DASHBOARD) -> list[tuple[str, str]]:
    """Each expression of a dashboard, with the title of its panel, as Grafana sends it to Prometheus."""
    found = [(panel["title"], target["expr"]) for panel in panels(path) for target in panel["targets"]]
    return [(title, expression.replace("$__rate_interval", "5m")) for title, expression in found]


@attrs.frozen
class Use:
    """A metric that an expression asks for.

    :ivar labels: those that it is chosen by.
    """

    name: str
    labels: frozenset[str]


def uses(expression: str) -> tuple[list[Use], set[str]]:
    """What an expression asks for, and the labels that it groups or joins by.

    :raise ValueError: it is no PromQL.
    """
    found: list[Use] = []
    grouped: set[str] = set()

    def visit(node: Expr) -> None:
        if isinstance(node, VectorSelector):
            found.append(Use(str(node.name), frozenset(matcher.name for matcher in node.matchers.matchers)))
        elif isinstance(node, AggregateExpr) and node.modifier is not None:
            grouped.update(node.modifier.labels)
        elif isinstance(node, BinaryExpr) and node.modifier is not None:
            grouped.update(node.modifier.matching.labels if node.modifier.matching else ())
            grouped.update(node.modifier.group_labels or ())

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found, grouped


def told(text: str) -> set[str]:
    """The labels that a text with templates of Prometheus or Grafana names."""
    return set(re.findall(r"\$labels\.(\w+)", text)) | set(re.findall(r"\{\{(\w+)\}\}", text))


@attrs.frozen
class Known:
    """The metrics that there are.

    :ivar metrics: the labels of each series, by its name.
    """

    metrics: dict[str, frozenset[str]]

    @classmethod
    def of_table(cls, rows: list[tuple[str, ...]]) -> Known:
        """Those of the table in ``docs/metrics.rst``, which another test compares with the code."""
        metrics: dict[str, frozenset[str]] = {"up": frozenset()}
        for name, kind, labels, _ in rows:
            name, own = name.strip("`"), frozenset(re.findall(r"``(\w+)``", labels))
            if kind == "histogram":
                metrics |= {f"{name}_bucket": own | {"le"}, f"{name}_sum": own, f"{name}_count": own}
            else:
                metrics[name] = own
        return cls(metrics)

    def problems(self, expression: str, text: str = "") -> list[str]:
        """What an expression asks for that there is not.

        :param text: what is said of its result; it names labels.
        """
        asked, grouped = uses(expression)
        wrong = [f"there is no {use.name}" for use in asked if use.name not in self.metrics]
        labels: frozenset[str] = OF_PROMETHEUS.union(*(self.metrics.get(use.name, frozenset()) for use in asked))
        for use in asked:
            extra = use.labels - self.metrics.get(use.name, frozenset()) - OF_PROMETHEUS
            wrong += [f"{use.name} has no label {label}" for label in sorted(extra)]
        wrong += [f"nothing has a label {label}" for label in sorted((grouped | told(text)) - labels)]
        return wrong
