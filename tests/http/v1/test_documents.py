"""The page about the v1 API has every route, every error, and every text of a refusal."""

from __future__ import annotations

import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey.http.answers.errors import STATUS
from queuey.http.connection import limits
from queuey.http.connection.limits import Refusal
from queuey.http.v1.api import V1
from tests.manual import DOCS

PAGE = DOCS / "api-v1.rst"


class PageTests(SynchronousTestCase):
    """docs/api-v1.rst against the code."""

    def setUp(self) -> None:
        self.text = PAGE.read_text(encoding="utf-8")
        self.errors = dict(re.findall(r"(?m)^([A-Za-z-]+) +([45]\d\d)  ", self.text))

    def test_routes(self) -> None:
        """Every route has a heading, and every heading a route."""
        unused: Any = None
        routes = {
            f"{r.method} {r.path.replace('<', '{').replace('>', '}')}" for r in V1(unused, unused, unused).routes()
        }
        headings = set(re.findall(r"(?m)^``((?:GET|POST|PUT|DELETE) /v1.*)``\n~~~", self.text))
        self.assertEqual(headings, routes)

    def test_errors(self) -> None:
        """Every error has its status."""
        for status, name in STATUS.values():
            if name:
                self.assertEqual(self.errors.get(name), str(status), name)

    def test_refusals_of_the_door(self) -> None:
        """So has everything that is refused before a handler runs."""
        refusals = [value for value in vars(limits).values() if isinstance(value, Refusal)]
        self.assertGreater(len(refusals), 3)
        for refusal in refusals:
            self.assertEqual(self.errors.get(refusal.key), str(refusal.status), refusal.key)
