"""How many values JSON has is found without decoding it."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey.http.inputs.json_size import MAX_VALUES, has_too_many_values


def values(document: Any) -> int:
    """How many values a document is, itself included."""
    if isinstance(document, dict):
        return 1 + sum(map(values, document.values()))
    return 1 + sum(map(values, document)) if isinstance(document, list) else 1


class SizeTests(SynchronousTestCase):
    """What is too much."""

    def test_at_the_bound(self) -> None:
        for inner in ([1] * (MAX_VALUES - 1), [""] * (MAX_VALUES - 1), {str(n): "x" for n in range(MAX_VALUES - 1)}):
            self.assertIs(has_too_many_values(json.dumps(inner).encode()), False)
        for inner in ([1] * (MAX_VALUES + 1), [""] * (MAX_VALUES + 1), {str(n): "x" for n in range(MAX_VALUES + 1)}):
            self.assertIs(has_too_many_values(json.dumps(inner).encode()), True)

    def test_nests(self) -> None:
        for unit in (b"[", b'{"a":', b"[]," * 2, b"{},"):
            self.assertIs(has_too_many_values(unit * MAX_VALUES * 2), True, unit)

    def test_texts(self) -> None:
        """What stands in a text is no value, whatever stands there."""
        for text in (",[{" * MAX_VALUES, '",' * MAX_VALUES, "\\" * MAX_VALUES + '",', '\\",[' * MAX_VALUES):
            for document in (text, {"messages": [{"body": text, "ttl": 5}]}, [text, text]):
                self.assertIs(has_too_many_values(json.dumps(document).encode()), False)

    def test_random(self) -> None:
        """JSON that has fewer values is never refused, and what has twice as many always is."""
        random = Random(5)
        pieces = ("a", ",", "[", "{", "\\", '"', "\n", "é")
        for _ in range(12):
            count = random.randrange(MAX_VALUES // 4, MAX_VALUES * 2)
            texts = ["".join(random.choices(pieces, k=random.randrange(4))) for _ in range(50)]
            kinds: tuple[Any, ...] = (1, -1.5, None, True, [], {}, *texts, {texts[0]: texts[1]}, [texts[2], 3])
            document = random.choices(kinds, k=count)
            found, total = has_too_many_values(json.dumps(document).encode()), values(document)
            if total <= MAX_VALUES:
                self.assertIs(found, False)
            if total > 2 * MAX_VALUES:
                self.assertIs(found, True)
