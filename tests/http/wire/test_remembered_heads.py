"""A head that is read by the one before it is the head that the reader would have read."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.http.connection.limits import Refused
from queuey.http.heads.head import Head
from queuey.http.heads.head_reader import HeadReader
from queuey.http.heads.remembered import MAX_BYTES, RememberedHead

LIMIT = 2000
PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

_GAPS = (
    b"Content-Length", b"x-request-id", b"Idempotency-Key", b"traceparent", b"TraceState", b"X-Forwarded-For"
)  # fmt: skip
_VALUES = (
    b"0", b"3", b"007", b"+3", b"3, 3", b"", b" ", b"\t4 ", b'"a"', b"a b", b"a\tb", b"a\x00b", b"a\nb", b"a\rb",
    b"a\r\nHost: other", b"a\r\n\r\n", b"\xff", b"1.2.3.4, 5.6.7.8", PARENT, PARENT[:-1] + b"0", b"k=v", b"x" * 99,
    b":",
)  # fmt: skip
_OTHERS = (b"Host: a", b"Accept: */*", b"Expect: 100-continue", b"Connection: close", b"X: Idempotency-Key: 1")
_LINES = st.one_of(
    st.sampled_from(_OTHERS),
    st.tuples(st.sampled_from(_GAPS), st.sampled_from(_VALUES)).map(lambda line: b"%b:%b" % line),
)


def whole(lines: list[bytes]) -> bytes:
    """A head as bytes."""
    return b"\r\n".join([b"POST /v2/a/queues/q/messages HTTP/1.1", *lines, b"", b""])


def strictly(data: bytes) -> tuple[Head, int] | None:
    """What the reader reads, and what follows from it; ``None`` if it is refused."""
    reader = HeadReader(LIMIT)
    try:
        head = reader.feed(data)
        if head is not None:
            head.settle()
    except Refused:
        return None
    return None if head is None else (head, reader.size)


def told(head: Head) -> tuple[object, ...]:
    """All that is said of a head."""
    fields = {name: list(values) for name, values in head.fields.items()}
    return head.line, fields, head.closes, head.host, head.length, head.asks, head.request_id, head.trace


class RememberedHeadTests(SynchronousTestCase):
    @settings(deadline=None, database=None)
    @given(st.lists(_LINES, max_size=5, unique=True), st.lists(st.sampled_from(_VALUES), min_size=5, max_size=5))
    @example([b"Content-Length:3"], [b"+3"] * 5)
    @example([b"Idempotency-Key:1"], [b"a\nb"] * 5)
    def test_the_reader_says_the_same(self, lines: list[bytes], values: list[bytes]) -> None:
        lines = [b"Host: a", *lines] if b"Host: a" not in lines else lines
        first = strictly(whole(lines))
        if first is None:
            return
        gaps = [name.lower() for name in _GAPS]
        others = []
        for line, value in zip(lines, [*values, b""], strict=False):
            name, colon, _ = line.partition(b":")
            others.append(name + colon + value if name.lower() in gaps else line)
        data = whole(others)
        read = RememberedHead(whole(lines), first[0]).read(data + b"body", LIMIT)
        if read is not None:
            expected = strictly(data)
            assert expected is not None
            self.assertEqual((told(read[0]), read[1]), (told(expected[0]), expected[1]))

    def test_what_is_new_each_time(self) -> None:
        """Each of it is read, in any spelling, alone and all together."""
        values = (
            (b"3", b"04"),
            (b"a", b"b"),
            (b'"1"', b'"2"'),
            (PARENT, b"nothing"),
            (b"k=v", b""),
            (b"::1", b"1.1.1.1"),
        )
        for chosen in [*([each] for each in range(len(_GAPS))), [*range(len(_GAPS))]]:
            heads = [
                whole([b"Host: a", *(b"%b:  %b\t" % (_GAPS[at], values[at][turn]) for at in chosen), b"Accept: b"])
                for turn in (0, 1, 0)
            ]
            found = strictly(heads[0])
            assert found is not None
            first = found[0]
            last = RememberedHead(heads[0], first)
            first.plan, first.whole, first.max_body = cast(Any, object()), True, 7
            for data in (*heads[1:], heads[1]):
                read, expected = last.read(data + b"more", LIMIT), strictly(data)
                assert read is not None, data
                assert expected is not None, data
                self.assertEqual((told(read[0]), read[1]), (told(expected[0]), len(data)))
                self.assertEqual((read[0].plan, read[0].whole, read[0].max_body), (first.plan, True, 7))

    def test_what_is_another_head(self) -> None:
        """If anything else differs, is missing, comes twice or is too large, the reader has to read it."""
        base = [b"Host: a", b"X-Request-Id: 1", b"Accept: b"]
        found = strictly(whole(base))
        assert found is not None
        last = RememberedHead(whole(base), found[0])
        for lines in (
            base[:2],
            [*base, b"X: y"],
            [*base, base[1]],
            [base[0], b"X-Request-Id : 1", base[2]],
            [base[0], b"x-request-id: 1", base[2]],
            [b"Host: b", *base[1:]],
            [base[0], b"X-Request-Id: " + b"1" * LIMIT, base[2]],
            [base[0], base[2]],
        ):
            self.assertIs(last.read(whole(lines), LIMIT), None, lines)
        other = whole([base[0], b"X-Request-Id: 2", base[2]])
        self.assertIs(last.read(other[:-1], LIMIT), None)
        self.assertIs(last.read(other, len(other) - 1), None)
        self.assertIsNot(last.read(other, len(other)), None)

    def test_the_same_bytes(self) -> None:
        """The same bytes are the same head."""
        for lines in (
            [b"Host: a"],
            [b"Host: a", b"X-Request-Id: 1"],
            [b"Host: a", b"X-Request-Id: 1", b"x-request-id: 2"],
        ):
            found = strictly(whole(lines))
            assert found is not None
            read = RememberedHead(whole(lines), found[0]).read(whole(lines) + b"more", LIMIT)
            self.assertEqual(read, (found[0], len(whole(lines))))

    def test_no_gaps(self) -> None:
        """By a head without any field that is new each time, or with one that came twice, no other head is read."""
        for lines in ([b"Host: a"], [b"Host: a", b"X-Request-Id: 1", b"x-request-id: 2"]):
            found = strictly(whole(lines))
            assert found is not None
            last = RememberedHead(whole(lines), found[0])
            for other in ([b"Host: b"], [b"Host: a", b"X-Request-Id: 1", b"x-request-id: 3"]):
                self.assertIs(last.read(whole(other), LIMIT), None)

    def test_size(self) -> None:
        """A head that is larger than one that may be remembered is not read by one, whatever the limit."""
        lines = [b"Host: a", b"X-Request-Id: 1"]
        found = strictly(whole(lines))
        assert found is not None
        last = RememberedHead(whole(lines), found[0])
        for size in (MAX_BYTES, MAX_BYTES + 1):
            value = b"1" * (size - len(whole(lines)) + 1)
            self.assertEqual(last.read(whole([lines[0], b"X-Request-Id: " + value]), 1 << 20) is None, size > MAX_BYTES)

    def test_an_empty_line_before(self) -> None:
        """A head that came behind an empty line is read with that line, and without it by the reader."""
        lines = [b"Host: a", b"X-Request-Id: 1"]
        data = b"\r\n" + whole(lines)
        reader = HeadReader(LIMIT)
        head = reader.feed(data)
        assert head is not None
        head.settle()
        last = RememberedHead(data, head)
        other = whole([b"Host: a", b"X-Request-Id: 2"])
        read = last.read(b"\r\n" + other, LIMIT)
        assert read is not None
        self.assertEqual((read[0].request_id, read[1]), ("2", len(other) + 2))
        self.assertIs(last.read(other, LIMIT), None)
