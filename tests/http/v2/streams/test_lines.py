"""The lines of a stream: where they end, and what they are."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from queuey.http.v2.inputs.items import Items
from queuey.http.v2.streams.lines import MAX_LINES, BrokenLine, Cutter, Keys, Line, Reader


class CutterTests(SynchronousTestCase):
    """Pieces become lines."""

    def test_cut_anywhere(self) -> None:
        """The lines are the same, however the bytes come."""
        data = b"one\n\ntwo\r\nthree\n"
        for first in range(len(data)):
            for second in range(first, len(data)):
                cutter = Cutter(10)
                found = [
                    line for part in (data[:first], data[first:second], data[second:]) for line in cutter.feed(part)
                ]
                self.assertEqual([b"one", b"", b"two\r", b"three"], found)
                self.assertEqual(b"", cutter.last())

    def test_last_line_without_an_end(self) -> None:
        cutter = Cutter(10)
        self.assertEqual([b"one"], cutter.feed(b"one\ntw"))
        self.assertEqual([], cutter.feed(b"o"))
        self.assertEqual(b"two", cutter.last())
        self.assertEqual(b"", cutter.last())

    def test_limit(self) -> None:
        """A line of the limit is taken; one byte more is too long, as soon as it is there."""
        cutter = Cutter(5)
        self.assertEqual([b"12345", b"54321"], cutter.feed(b"12345\n54321\n12345"))
        self.assertFalse(cutter.too_long)
        self.assertEqual([], cutter.feed(b"6"))
        self.assertTrue(cutter.too_long)
        self.assertEqual(([], b""), (cutter.feed(b"\nmore\n"), cutter.last()))

    def test_too_long_in_the_middle(self) -> None:
        """What comes before it is given; what comes after it is not looked at."""
        for pieces in ([b"a\n123456\nb\n"], [b"a\n123", b"456\nb\n"]):
            cutter = Cutter(5)
            self.assertEqual([b"a"], [line for piece in pieces for line in cutter.feed(piece)])
            self.assertTrue(cutter.too_long)


class ReaderTests(SynchronousTestCase):
    """Lines become messages."""

    def setUp(self) -> None:
        self.reader = Reader(100, Items(3, 60, keyed=True), Keys(frozenset({"app:a"}), 86_400))

    def read(self, *pieces: bytes) -> tuple[list[Line], BrokenLine | None]:
        """All lines of a stream, and the one that broke it."""
        found: list[Line] = []
        try:
            for piece in pieces:
                for portion in self.reader.feed(piece):
                    found += portion
            for portion in self.reader.end():
                found += portion
        except BrokenLine as broken:
            return found, broken
        return found, None

    def once(self, **members: Any) -> Any:
        return self.read(json.dumps({"idempotency_key": "k", "body": "x", **members}).encode() + b"\n")[0][0].once

    def test_messages(self) -> None:
        """Each has its number and its size; lines that say nothing are counted."""
        found, broken = self.read(
            b'{"body": "a"}\n\n \t\r\n', b'{"body":', b'"b", "ttl": 5}\r\n{"body_base64": "/w=="}'
        )
        self.assertIsNone(broken)
        self.assertEqual([(1, 13), (4, 23), (5, 23)], [(line.number, line.size) for line in found])
        drafts = [line.draft for line in found]
        self.assertEqual(
            [(b"a", 60), (b"b", 5), (b"\xff", 60)], [(d.content.body, d.ttl) for d in drafts if d is not None]
        )

    def test_nothing(self) -> None:
        for pieces in ([], [b""], [b"\n\n"], [b" "]):
            self.assertEqual(([], None), self.read(*pieces))

    def test_wrong_lines(self) -> None:
        """What is an object, and no message, is said of its line, and the stream goes on."""
        for text, pointer in (
            ('{"body":"x","bodi":"y"}', "/bodi"),
            ('{"body":"x","ttl":0}', "/ttl"),
            ('{"body":"x","partition":4}', "/partition"),
            ("{}", ""),
            ('{"body":"x","headers":{"queuey-only":"x"}}', "/headers"),
            ('{"body":"x","idempotency_key":""}', "/idempotency_key"),
            ('{"body":"x","body":"y"}', ""),
            ('{"body":"\\ud800"}', ""),
        ):
            found, broken = self.read(text.encode() + b'\n{"body":"good"}\n')
            self.assertIsNone(broken, text)
            wrong, good = found
            assert wrong.problem is not None, text
            self.assertEqual("invalid-body", wrong.problem.code)
            self.assertEqual([pointer], [error["pointer"] for error in wrong.problem.errors], text)
            self.assertTrue(wrong.problem.detail.startswith(pointer or ("the message", "The JSON")), text)
            self.assertEqual((None, None), (wrong.draft, good.problem))

    def test_broken_lines(self) -> None:
        """What is no object in UTF-8 ends the stream, after the lines before it."""
        for text in (
            b"x",
            b"[]",
            b'"text"',
            b"5",
            b"null",
            b'{"body":"x"',
            b'{"body":"x"} {"body":"y"}',
            b'{"body":NaN}',
            b'{"body":"\xff"}',
            b'\xef\xbb\xbf{"body":"x"}',
            b'{"body":"x"}\x00',
            b"[" * 90,
            b"\xff",
        ):
            for end in (b"\n", b""):
                self.setUp()
                found, broken = self.read(b'{"body":"a"}\n\n' + text + end)
                self.assertEqual([1], [line.number for line in found], text)
                assert broken is not None, text
                self.assertEqual((3, "invalid-body"), (broken.number, broken.problem.code))

    def test_too_long(self) -> None:
        """So does a line of more bytes than the limit, whether or not its end comes."""
        for text in (b"x" * 101, b"x" * 1000 + b"\n", b'{"body":"%b"}\n' % (b"x" * 90)):
            self.setUp()
            found, broken = self.read(b'{"body":"a"}\n' + text)
            self.assertEqual(1, len(found))
            assert broken is not None
            self.assertEqual(
                (2, "too-large", "max_body"), (broken.number, broken.problem.code, broken.problem.members["limit"])
            )
        self.setUp()
        self.assertEqual(1, len(self.read(b'{"body":"%b"}' % (b"x" * 89))[0]))

    def test_many_things_wrong(self) -> None:
        """What is said of a line does not grow with it."""
        self.reader = Reader(100_000, Items(3, 60, keyed=True), Keys(frozenset(), 86_400))
        line = json.dumps({"n" * 100 + str(place): place for place in range(800)} | {"ttl": 0}).encode()
        (wrong,), broken = self.read(line)
        assert wrong.problem is not None
        self.assertIsNone(broken)
        self.assertEqual(20, len(wrong.problem.errors))
        self.assertIn("There are 802 mistakes, of which the first 20 are named.", wrong.problem.detail)
        self.assertLess(len(wrong.problem.detail), 10_000)

    def test_number_of_many_digits(self) -> None:
        """It is JSON, though Python reads no whole number of so many."""
        self.reader = Reader(100_000, Items(3, 60, keyed=True), Keys(frozenset(), 86_400))
        (wrong, _), broken = self.read(b'{"body":"x","ttl":' + b"9" * 5000 + b"}\n" + b'{"body":"x"}\n')
        assert wrong.problem is not None
        self.assertIsNone(broken)
        self.assertEqual("invalid-body", wrong.problem.code)

    def test_portions(self) -> None:
        """Of many lines in one piece no more are read at a time than are handled at once."""
        data = b'{"body":""}\n' * (2 * MAX_LINES + 5)
        self.assertEqual([MAX_LINES, MAX_LINES, 5], [len(portion) for portion in self.reader.feed(data)])

    def test_keys(self) -> None:
        """What a keyed line says makes its digest, and not how it is written; key and caller make the key."""
        once = self.once()
        self.assertEqual((32, 32, 86_400), (len(once.key), len(once.digest), once.lifetime))
        (line,), _ = self.read(b' {"body" : "\\u0078", "idempotency_key":"k"}\n')
        self.assertEqual(once, line.once)
        self.assertEqual(once.key, self.once(ttl=5).key)
        digests = {
            self.once(**members).digest for members in ({}, {"body": "y"}, {"ttl": 5}, {"key": "k"}, {"delay": 1})
        }
        self.assertEqual(5, len(digests))
        self.assertNotEqual(once.key, self.once(idempotency_key="other").key)
        self.assertEqual(once.digest, self.once(idempotency_key="other").digest)
        other = Reader(100, Items(3, 60, keyed=True), Keys(frozenset({"bid:a@example.com"}), 86_400))
        ((line,),) = other.feed(b'{"body":"x","idempotency_key":"k"}\n')
        assert line.once is not None
        self.assertNotEqual(once.key, line.once.key)
        ((line,),) = self.reader.feed(b'{"body":"x"}\n')
        self.assertIsNone(line.once)
