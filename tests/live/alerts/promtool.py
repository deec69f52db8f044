"""Prometheus' own program, which checks rules and evaluates them without waiting."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SkipTest

from tests.live.alerts.expressions import ROOT, RULES
from tests.live.alerts.scrapes import Values

INSTALL: Final = Path(__file__).parent / "install.sh"
OWN: Final = ROOT / "bin" / "prometheus" / "promtool"
LIMIT: Final = 120.0

_RAISED: Final = re.compile(r'exp: ?"?\{\} 0E\+00"?,?\s*got: ?"?\{\} 1E\+00"?')
"""What it prints where nothing was expected and there was something."""


def find() -> str:
    """Where the program is.

    :raise SkipTest: this machine cannot have it.
    """
    found = shutil.which("promtool") or (str(OWN) if OWN.exists() else None)
    if found:
        return found
    done = subprocess.run(["sh", INSTALL, "why-not"], capture_output=True, text=True, timeout=LIMIT)
    reason = done.stdout.strip() or done.stderr.strip()
    if reason:
        raise SkipTest(reason)
    raise AssertionError("This machine can have promtool, and it is not there: make promtool")


def run(*words: str) -> tuple[int, str]:
    """Run it; its exit status, and all that it printed."""
    done = subprocess.run([find(), *words], capture_output=True, text=True, timeout=LIMIT)
    return done.returncode, done.stdout + done.stderr


def raised(alert: str, series: Mapping[str, Values], minutes: int, rules: Path = RULES) -> bool:
    """Whether an alert is being raised at the end of these series.

    :param minutes: how many scrapes there were.
    """
    with tempfile.TemporaryDirectory(prefix="queuey-alerts-") as folder:
        test = Path(folder) / "test.yml"
        test.write_text(json.dumps(_silent(alert, series, minutes, rules)), encoding="utf-8")
        status, output = run("test", "rules", str(test))
    if status == 0:
        return False
    if _RAISED.search(output):
        return True
    raise AssertionError(output)


def _silent(alert: str, series: Mapping[str, Values], minutes: int, rules: Path) -> dict[str, Any]:
    """A test of promtool that passes if the alert is not raised; its form is JSON, which is YAML too."""
    expression = f'(group(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0))'
    asked = {"expr": expression, "eval_time": f"{minutes - 1}m", "exp_samples": [{"labels": "{}", "value": 0}]}
    given = [{"series": name, "values": " ".join(map(_written, values))} for name, values in series.items()]
    test = {"interval": "1m", "input_series": given, "promql_expr_test": [asked]}
    return {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}


def _written(value: float | None) -> str:
    if value is None:
        return "_"
    if math.isnan(value):
        return "NaN"
    return {math.inf: "Inf", -math.inf: "-Inf"}.get(value) or repr(value)
