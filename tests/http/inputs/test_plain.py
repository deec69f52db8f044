"""Batches and lines that are read without a look at each message: they are what they are taken for, or not taken."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.http.inputs.fast_json import batch_bodies, line_bodies
from queuey.http.v2.inputs.strict_json import strict_json

TEXTS = st.text(st.sampled_from('ab"\\\n\x01\x7fé€😀/u{}[]:, body'), max_size=8)
STYLES = st.sampled_from([(",", ":"), (", ", ": ")])
ESCAPES = st.booleans()

NO_BATCHES = (
    b"",
    b"[]",
    b'{"messages":[{"body":"a"}]',
    b'{"messages":[{"body":"a"}]} 1',
    b'{"messages":[{"body":"a"}],"more":1}',
    b'{"messages":[{"body":"a","ttl":5}]}',
    b'{"messages":[{"body":"a"},{}]}',
    b'{"messages":[{"body":null}]}',
    b'{"messages":[{"body":1}]}',
    b'{"messages":[{"body":"a\x01"}]}',
    b'{"messages":[{"body":"\xff"}]}',
    b'{"messages":[{"body":"\xed\xa0\x80"}]}',
    b'{"messages":[{"body":"\\ud800"}]}',
    b'{"messages":[{"body":"a","body":"b"}]}',
    b'{"messages":[{"body":"a","b\\u006fdy":"b"}]}',
    b'{"messages":[{"body":"a"}],"messages":[{"body":"b"}]}',
    b'{"messages":[{"body":"\\\\"},{"body":"\\\\"},{"body":"\\\\"},{"body":"\\\\","body":"b"}]}',
    b'{"messages":[{"body":"a"}],"m\\u0065ssages":[{"body":"b"}]}',
)

NO_LINES = (
    [b""],
    [b"7"],
    [b'{"body":"a"}', b""],
    [b'{"body":"a"}{"body":"b"}', b""],
    [b'{"body":"a"}{"body":"b"}', b'{"body":"c"}'],
    [b'{"body":"a"}', b'{"body":"b"}{"body":"c"}'],
    [b'{"body":"a"},', b'{"body":"b"}'],
    [b'{"body":', b'"a"}'],
    [b'{"body":"a"', b"}"],
    [b'{"body":"a","body":"b"}'],
    [b'{"body":"a","b\\u006fdy":"b"}'],
    [b'{"body":"a","key":"b"}'],
    [b'{"body":"a"}', b'{"body":"b","idempotency_key":"c"}'],
    [b'{"body":"a"}', b' {"body":"b"}'],
    [b'{"body":"a"}', b'{"body":"\xff"}'],
    [b'{"body":"a"}', b'{"body":1}'],
)


@st.composite
def mangled(draw: st.DrawFn, separator: bytes) -> bytes:
    """JSON objects with a body, of which a few bytes may be others, be lost or come again."""
    texts = draw(st.lists(TEXTS, max_size=4))
    objects = [_text({"body": text}, draw(STYLES), draw(ESCAPES)) for text in texts]
    data = bytearray(separator.join(objects))
    for _ in range(draw(st.integers(0, 2))):
        start, length = draw(st.integers(0, len(data))), draw(st.integers(0, 12))
        data[start : start + length] = draw(
            st.sampled_from(
                [b"", b'"', b"\\", b",", b"\n", b" ", b"{", b"}", b"\xff", b"\x00", b'"body":"', b"\\u0062"]
            )
            | st.just(bytes(data[start : start + length]) * 2)
        )
    return bytes(data)


def _text(value: Any, separators: tuple[str, str], ascii: bool) -> bytes:
    return json.dumps(value, separators=separators, ensure_ascii=ascii).encode("utf-8")


class BatchTests(SynchronousTestCase):
    @given(st.lists(TEXTS), STYLES)
    def test_what_programs_write(self, texts: list[str], style: tuple[str, str]) -> None:
        data = _text({"messages": [{"body": text} for text in texts]}, style, ascii=False)
        plain = not any("\\" in text for text in texts)
        bodies = batch_bodies(data)
        if plain:
            self.assertIsNotNone(bodies)
        if bodies is not None:
            self.assertEqual(bodies, [text.encode("utf-8") for text in texts])

    @given(mangled(b","))
    def test_what_is_taken_is_what_strict_json_reads(self, items: bytes) -> None:
        data = b'{"messages":[' + items + b"]}"
        bodies = batch_bodies(data)
        if bodies is not None:
            self.assertEqual(strict_json(data), {"messages": [{"body": str(body, "utf-8")} for body in bodies]})

    def test_what_is_not_taken(self) -> None:
        for data in NO_BATCHES:
            self.assertIsNone(batch_bodies(data), data)

    def test_nothing(self) -> None:
        self.assertEqual(batch_bodies(b'{"messages":[]}'), [])


class LineTests(SynchronousTestCase):
    def test_what_programs_write(self) -> None:
        for separators in ((",", ":"), (", ", ": ")):
            lines = [_text({"body": text}, separators, ascii=False) for text in ("a", "é\n", '"', "")]
            self.assertEqual(line_bodies(lines), [b"a", "é\n".encode(), b'"', b""])

    @given(mangled(b"\n"))
    def test_what_is_taken_is_what_strict_json_reads_of_each(self, data: bytes) -> None:
        lines = data.split(b"\n")
        bodies = line_bodies(lines)
        if bodies is not None:
            self.assertEqual([strict_json(line) for line in lines], [{"body": str(body, "utf-8")} for body in bodies])

    def test_what_is_not_taken(self) -> None:
        for lines in NO_LINES:
            self.assertIsNone(line_bodies(lines), lines)
