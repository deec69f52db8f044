"""The generated tests notice each bound that is changed in the code alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.reporter import TestResult
from twisted.trial.unittest import SynchronousTestCase

from queuey.http.v2.messages import pages
from queuey.model import fields
from tests.http import test_refusals
from tests.http.v1 import test_fields

run_in = "test-long"

V2 = ("TTL", "DELAY", "REMAINING_TTL", "PARTITIONS", "LIMIT", "CLAIM_LIMIT", "MAX_BYTES", "WAIT", "LEASE",
      "MAX_DELIVERIES", "MAX_IN_FLIGHT")  # fmt: skip
GENERATED: tuple[tuple[Callable[[str], SynchronousTestCase], str], ...] = (
    (test_refusals.QueryTests, "test_each_is_refused"),
    (test_refusals.QueryTests, "test_each_is_taken"),
    (test_refusals.BodyTests, "test_each_is_refused"),
    (test_refusals.BodyTests, "test_each_is_taken"),
)


class MutantTests(SynchronousTestCase):
    """One bound at a time is one more or one less."""

    def notice(self) -> bool:
        """Tell whether a generated test fails."""
        for make, name in GENERATED:
            pages._wanted.cache_clear()
            result = TestResult()
            make(name).run(result)
            if not result.wasSuccessful():
                return True
        return False

    def change(self, field: Any, bound: str, value: float) -> None:
        old = getattr(field, bound)
        object.__setattr__(field, bound, value)
        try:
            self.assertTrue(self.notice(), f"{field.name}: {bound} {old} is {value}")
        finally:
            self.flushLoggedErrors()  # the model raises what the API has let through
            object.__setattr__(field, bound, old)

    def test_every_bound(self) -> None:
        self.addCleanup(pages._wanted.cache_clear)
        self.assertFalse(self.notice())
        for name in V2:
            field = getattr(fields, name)
            for bound in ("low", "high"):
                for step in (-1, 1):
                    self.change(field, bound, getattr(field, bound) + step)

    def test_v1(self) -> None:
        """In v1 the fields themselves are the table, so what is noticed is a place that has another field."""
        result = TestResult()
        self.patch(test_fields, "NUMBERS", ((fields.LIMIT, "ttl", test_fields.header("POST")),))
        test_fields.FieldTests("test_numbers_are_refused").run(result)
        self.assertFalse(result.wasSuccessful())
