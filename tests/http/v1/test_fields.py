"""Each number, word and yes or no of v1: taken at its bounds, refused beyond them, in the words that v1 has always had.

The cases are generated from the declared fields and from a table of the places where v1 takes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from queuey.http.v1.inputs import Order
from queuey.model import fields
from queuey.model.fields import Whole
from queuey.model.queues.queue import Consistency, QueueType
from tests.http.api_support import OWNER, ApiTestCase
from tests.http.responses import Response

COUNT = 3
"""Partitions of the queue."""

Send = Callable[["FieldTests", str, str], Response]
"""Sends a request with one value under one name."""


def header(method: str, path: str = "/v1/app/q") -> Send:
    """Send a value in a header field."""
    return lambda test, name, text: test.ask(method, path, [*OWNER.items(), (f"X-{name}", text)], b"x")


def query(path: str) -> Send:
    """Send a value in the query."""
    return lambda test, name, text: test.ask("GET", f"{path}?{name}={text}")


def form(method: str, path: str) -> Send:
    """Send a value in a form."""
    return lambda test, name, text: test.form(method, path, **{name: text})


def member(test: FieldTests, name: str, text: str) -> Response:
    """Send a value as a member of the second message of a batch."""
    body = json.dumps({"messages": [{"body": "a"}, {"body": "b", name: text}]}).encode()
    return test.ask("POST", "/v1/app/q", [*OWNER.items(), ("Content-Type", "application/json")], body)


NUMBERS: tuple[tuple[Whole, str, Send], ...] = (
    (fields.TTL, "ttl", header("POST")),
    (fields.TTL, "ttl", header("PUT", "/v1/app/q/{key}")),
    (fields.TTL, "1.ttl", member),
    (fields.partition(COUNT), "partition", header("POST")),
    (fields.partition(COUNT), "1.partition", member),
    (fields.LIMIT, "limit", query("/v1/app/q")),
    (Whole("limit", 1, 10**40), "limit", query("/v1/app")),
    (fields.PARTITIONS, "partitions", form("POST", "/v1/app")),
    (fields.PARTITIONS, "partitions", form("PUT", "/v1/app/q")),
)
"""Each number, the name by which a refusal calls it, and how it is sent."""

WORDS: tuple[tuple[type[Enum], str, Send], ...] = (
    (QueueType, "type", form("POST", "/v1/app")),
    (QueueType, "type", form("PUT", "/v1/app/q")),
    (Consistency, "consistency", form("POST", "/v1/app")),
    (Consistency, "consistency", form("PUT", "/v1/app/q")),
    (Order, "order", query("/v1/app/q")),
)
BOOLEANS = ("details", "include_count")


class FieldTests(ApiTestCase):
    """A queue with some partitions and a message."""

    def setUp(self) -> None:
        super().setUp()
        self.make_queue("q", partitions=str(COUNT))
        self.key = self.posted("/v1/app/q", "x", partition="1")["key"]

    def ask(self, method: str, path: str, *rest: Any) -> Response:
        return super().ask(method, path.replace("{key}", getattr(self, "key", "")), *rest)

    def cases(self, field: Whole) -> Iterator[tuple[str, str]]:
        """Give texts that are refused, with what is said of each."""
        low, high = field.low, field.high
        for number in (low - 1, low - 7):
            yield str(number), f"{number} is less than minimum value {low}"
        if high < 10**40:
            for number in (high + 1, high * 1000):
                yield str(number), f"{number} is greater than maximum value {high}"
        for text in ("x", "1.5", "1e3", "NaN", "0x1", "1,2"):
            yield text, f'"{text}" is not a number'

    def test_numbers_are_refused(self) -> None:
        for field, name, send in NUMBERS:
            for text, said in self.cases(field):
                self.assertEqual(self.refused(400, send(self, field.name, text)), {name: said}, (name, text))
        self.assertEqual(len(self.read("/v1/app/q", "partitions=1,2,3")), 1)

    def test_numbers_are_taken(self) -> None:
        """The bounds, and an empty value, which counts as absent."""
        for field, name, send in NUMBERS:
            for text in (str(field.low), str(field.high), f"0{field.high}", ""):
                response = send(self, field.name, text)
                if response.status == 400:
                    self.assertEqual(list(response.error), ["InvalidUpdate"], (name, text))

    def test_words(self) -> None:
        for words, name, send in WORDS:
            values = [word.value for word in words]
            for text in ("other", values[0].upper(), f"{values[0]}x"):
                said = {name: f'"{text}" is not one of {", ".join(values)}'}
                self.assertEqual(self.refused(400, send(self, name, text)), said)
            for text in (*values, ""):
                self.assertIn(send(self, name, text).status, (200, 201), text)

    def test_booleans(self) -> None:
        for name in BOOLEANS:
            for text in ("maybe", "2", "t"):
                errors = self.refused(400, query("/v1/app")(self, name, text))
                self.assertEqual(errors, {name: f'"{text}" is not a boolean'})
            for text in ("true", "1", "YES", "on", "false", "0", "no", "Off", ""):
                self.assertEqual(query("/v1/app")(self, name, text).status, 200)

    def test_several_times_and_unknown(self) -> None:
        """The last value of a parameter counts, unknown ones are ignored; a header field comes once."""
        self.assertEqual(self.ask("GET", "/v1/app/q?limit=x&limit=1&unknown=1").status, 200)
        self.assertEqual(list(self.refused(400, self.ask("GET", "/v1/app/q?limit=1&limit=x"))), ["limit"])
        for name in ("X-TTL", "X-Partition"):
            response = self.ask("POST", "/v1/app/q", [*OWNER.items(), (name, "1"), (name, "1")], b"x")
            self.assertEqual(list(self.refused(400, response)), ["BadRequest"])
