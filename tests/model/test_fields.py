"""Declared numbers: what they take, how they refuse, and that the model refuses what is out of bounds."""

from __future__ import annotations

import math
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from queuey.model import fields
from queuey.model.applications.policy import Policy
from queuey.model.fields import Real, Whole
from queuey.model.groups.settings import GroupSettings
from queuey.model.queues.queue import QueueSettings

NAMED = [field for field in vars(fields).values() if isinstance(field, Whole | Real)]


def declared(model: Any) -> dict[str, Whole | Real]:
    """Return the fields that the attributes of a model class refer to, by attribute."""
    found = {}
    for attribute in attrs.fields(model):
        owner = getattr(attribute.validator, "__self__", None)
        if isinstance(owner, Whole | Real):
            found[attribute.name] = owner
    return found


class FieldTests(SynchronousTestCase):
    """One field alone."""

    def refused(self, field: Whole | Real, value: Any) -> str:
        return str(self.assertRaises(ValueError, field.of_json, value))

    def test_bounds(self) -> None:
        """Both bounds are allowed; what lies beyond, and other types, are not."""
        for field in NAMED:
            step = 1 if isinstance(field, Whole) else 0.0001
            for value in (field.low, field.high, float(field.low), float(field.high)):
                self.assertEqual(field.of_json(value), value, field)
            for wrong in (field.low - step, field.high + 1, math.inf, -math.inf, 1e400):
                self.assertEqual(self.refused(field, wrong), "is out of range", field)
            for other in (True, False, None, "1", [1], {"a": 1}):
                self.assertIn("is not a ", self.refused(field, other), field)
            self.assertRaises(ValueError, field.of_json, math.nan)

    def test_fractions(self) -> None:
        self.assertEqual(self.refused(Whole("n", 1, 5), 1.5), "is not a whole number")
        self.assertEqual(Whole("n", 1, 5).of_json(5.0), 5)
        self.assertEqual(Real("n", 0, 5).of_json(1.5), 1.5)

    def test_texts(self) -> None:
        ttl = Whole("ttl", 60, 2_592_000, unit="seconds")
        self.assertEqual(ttl.refusal("5"), '"5" is not a whole number from 60 to 2592000')
        self.assertEqual((ttl.refusal(), ttl.allowed), (ttl.refusal("5")[4:], "60 to 2592000 seconds"))
        self.assertEqual(fields.partition(1).refusal("2"), 'must be 1, not "2"')
        self.assertEqual(fields.WAIT.refusal(), "is not a number of seconds from 0 to 20")
        self.assertEqual(fields.REQUEST_RATE.allowed, "0.001 to 1000000 a second")
        self.assertLess(len(ttl.refusal("x" * 5000)), 200)

    def test_defaults(self) -> None:
        self.assertEqual(fields.LEASE.default, 30)
        self.assertRaises(AttributeError, lambda: fields.MAX_QUEUES.default)


class ModelTests(SynchronousTestCase):
    """Values of the model are never out of bounds."""

    def test_every_number(self) -> None:
        models = {
            Policy: {field.name for field in (fields.TTL, fields.IDEMPOTENCY_TTL, fields.MAX_BODY, *fields.LIMITS)},
            QueueSettings: {"ttl", "partitions"},
            GroupSettings: {"lease", "max_deliveries", "max_in_flight"},
        }
        for model, names in models.items():
            found = declared(model)
            self.assertEqual({name: field.name for name, field in found.items()}, {name: name for name in names})
            needed = {"application": "a", "max_body": 5} if model is Policy else {}
            for name, field in found.items():
                for value in (field.low, field.high):
                    self.assertEqual(getattr(model(**{**needed, name: value}), name), value)
                for value in (field.low - 1, field.high + 1):
                    error = self.assertRaises(ValueError, model, **{**needed, name: value})
                    self.assertIn(f"{name}: {value} is not a ", str(error))
