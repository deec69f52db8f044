"""Pages that are read in one row and written by few calls are, byte for byte, what each message would be by itself."""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.http.answers.messages import joined_json
from queuey.http.v1.representations import MESSAGES
from queuey.http.v2.representations.messages import PLAIN
from queuey.model.applications.policy import Ack
from queuey.model.messages.columns import BETWEEN, DIGITS, EARLIEST, Columns, body_bytes, content_bytes
from queuey.model.messages.message import Content, NewMessage
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.window import NEWEST, OLDEST, SLICE_BYTES, Merge, MergeSlice, Position, Slice, Window
from queuey.model.timeid import EPOCH, MAX_TICKS, SECOND, Ticks, make
from queuey.storage.sqlite.reading.page_query import COLUMNS, FEW, PASSED_OVER, Bulk
from queuey.storage.sqlite.reading.reader import Reader
from tests.contracts.reading import TERMS
from tests.contracts.subject import START
from tests.storage.quick import quick_directory
from tests.storage.sqlite.runners import Inline
from tests.storage.subjects import SQLiteSubject

NOW = EPOCH + int(START) * SECOND

TEXTS = st.sampled_from(
    [bytes([number]) for number in range(128) if number != BETWEEN[0]]
    + [b"\\u001e", b'",', "\u00e9\u2028".encode(), "\N{PILE OF POO}".encode(), b"\xff", b"\xe2\x80", b"x" * 140]
)
BODIES = st.lists(TEXTS, max_size=4).map(b"".join)
TYPES = st.sampled_from([None, "text/plain", 'a/b;c="d"', "no type", "\u00e9", "", "="])
HEADERS = st.sampled_from([None, b'{"a":"b"}', '{"a":"\u00e9"}'.encode()])
ODD = BODIES | st.sampled_from([BETWEEN, b"a" + BETWEEN, b"y" * 3000])
NEW = st.builds(Content, ODD, TYPES, HEADERS)
STEPS = st.lists(st.tuples(st.integers(0, 3000) | st.just(SECOND), st.integers(0, 3), BODIES), min_size=1, max_size=30)
TIMES = st.sampled_from([NOW, NOW - 3000, EARLIEST, EARLIEST - 1, EPOCH - 1, EPOCH, 0, EPOCH + 10**DIGITS, MAX_TICKS])


def columns(
    start: int, ends: int, steps: Sequence[tuple[int, int, bytes]], content_type: str | None, headers: bytes | None
) -> Columns:
    """Messages that come one after another."""
    heads, time = b"", min(start, MAX_TICKS - len(steps) * SECOND)
    for step, sequence, _ in steps:
        time += step
        heads += make(Ticks(time), sequence, step) + b"%0*d" % (DIGITS, ends + step)
    return Columns(7, heads, content_type, headers, BETWEEN.join([body for _, _, body in steps]), len(steps))


class ColumnsTests(SynchronousTestCase):
    """Columns are messages, and their JSON that of the messages."""

    @settings(deadline=None, database=None)
    @given(
        TIMES,
        st.sampled_from([10**16, NOW - EPOCH]),
        STEPS,
        TYPES,
        HEADERS,
    )
    def test_json(
        self, start: int, ends: int, steps: list[tuple[int, int, bytes]], kind: str | None, headers: bytes | None
    ) -> None:
        page = columns(start, ends, steps, kind, headers)
        messages = tuple(page)
        self.assertEqual([each.content for each in messages], [Content(body, kind, headers) for *_, body in steps])
        self.assertEqual([message.expires for message in messages], [EPOCH + ends + step for step, *_ in steps])
        self.assertEqual(page, messages)
        self.assertEqual(messages, page)
        self.assertEqual((hash(page), len(page), page[-1]), (hash(messages), len(messages), messages[-1]))
        for sizes in (body_bytes, content_bytes):
            self.assertEqual(sizes(page), sizes(messages))
        self.assertEqual(joined_json(MESSAGES, page), ",".join(MESSAGES.each(messages)).encode())
        for between in (b",", b"\n"):
            expected = between.decode().join(PLAIN.each(messages)).encode()
            self.assertEqual(joined_json(PLAIN, page, between), expected)

    def test_other_messages_are_another_page(self) -> None:
        one, other = (columns(NOW, 10**16, [(0, 0, body)], None, None) for body in (b"a", b"b"))
        self.assertNotEqual(one, other)
        self.assertNotEqual(one, ())
        self.assertEqual(one, columns(NOW, 10**16, [(0, 0, b"a")], None, None))


MANY = st.lists(BODIES, min_size=9, max_size=24)
LIMITS = st.sampled_from([FEW, FEW + 1, 15, 19, 20, 100, 1000])
PLACES = st.integers(0, 29)

ABOUT_A_PILE = 3
"""Statements that a write batch takes for itself: where it begins, the stable time, and where it ends."""


class PagesTests(SynchronousTestCase):
    """The embedded store reads pages of one partition in one row, and what is read so is what single rows are."""

    def setUp(self) -> None:
        self.subject = SQLiteSubject(quick_directory(self), Inline)
        self.addCleanup(self.subject.close)
        self.names = iter(range(1_000_000))

    def queue_of(self, contents: Sequence[Content], *ttls: int) -> Queue:
        """A queue with messages in its second partition.

        :param ttls: of one after another, over and over; the first is 60 where none is given.
        """
        store, lives = self.subject.store, ttls or (60,)
        made = store.create("app", f"q{next(self.names)}", QueueSettings(partitions=2), None)
        queue, _ = self.successResultOf(made)
        new = [NewMessage(2, content, lives[at % len(lives)]) for at, content in enumerate(contents)]
        self.ids = self.successResultOf(store.append(queue, new, TERMS)) if new else ()
        return queue

    def both(self, queue: Queue, asked: Window | Merge) -> Slice[Window] | MergeSlice:
        """What is read in one row, if it is, which is the same as what is read otherwise."""
        found = self.read(queue, asked)
        with patch.object(Bulk, "read", lambda *_, **__: None):
            expected = self.read(queue, asked)
        self.assertEqual(found, expected)
        self.assertIsInstance(expected.messages, tuple)
        if found.messages:
            self.assertEqual(joined_json(MESSAGES, found.messages), joined_json(MESSAGES, expected.messages))
            self.assertEqual(joined_json(PLAIN, found.messages), joined_json(PLAIN, expected.messages))
        return found

    def read(self, queue: Queue, asked: Window | Merge) -> Slice[Window] | MergeSlice:
        store = self.subject.store
        if isinstance(asked, Merge):
            return self.successResultOf(store.read_merged(queue, asked, Ack.ONE))
        return self.successResultOf(store.read_range(queue, asked, Ack.ONE))

    @settings(deadline=None, database=None, max_examples=40)
    @given(
        st.lists(NEW, max_size=24)
        | st.builds(lambda kind, own, some: [Content(each, kind, own) for each in some], TYPES, HEADERS, MANY),
        st.sampled_from([(60,), (60, 1), (1, 60), (60,) * 20 + (1,)]),
        st.data(),
    )
    def test_pages(self, contents: list[Content], ttls: tuple[int, ...], data: st.DataObject) -> None:
        queue = self.queue_of(contents, *ttls)
        self.subject.wall.seconds += data.draw(st.sampled_from([0, 5]))  # what expires then is not swept
        for _ in range(4):
            lower, upper = [self.place(data.draw(PLACES)) for _ in range(2)]
            limit, descending = data.draw(LIMITS), data.draw(st.booleans())
            self.both(queue, Window((2,), lower.id, upper.id, descending, limit))
            most = data.draw(st.sampled_from([SLICE_BYTES, 16 << 20, 100]))
            self.both(queue, Merge((2,), lower, upper, descending, limit, most))
            vars(self.reader().bulk)["_passed_over"].clear()

    def place(self, number: int) -> Position:
        return Position(self.ids[number], number % 4) if number < len(self.ids) else (OLDEST, NEWEST)[number % 2]

    def test_what_is_alike_is_columns(self) -> None:
        alike = [Content(b"a", "text/plain", b'{"a":"b"}')] * 20
        for contents, expected in (
            (alike, Columns),
            ([*alike, Content(b"b")], tuple),
            ([*alike, Content(BETWEEN, "text/plain", b'{"a":"b"}')], tuple),
        ):
            queue = self.queue_of(contents)
            for asked in (Window((2,), limit=100), Merge((2,)), Merge((2,), descending=True)):
                found = self.both(queue, asked)
                self.assertEqual((type(found.messages), len(found.messages)), (expected, len(contents)))
            for few in (Window((2,), limit=FEW), Window((1, 2)), Merge((1, 2)), Merge((2,), max_bytes=100_000)):
                self.assertIsInstance(self.both(queue, few).messages, tuple)

    def test_rows_in_another_order(self) -> None:
        """Should SQLite join the rows in another order than that of the ids, they are read one after another."""
        queue = self.queue_of([Content(b"%d" % (number * 7 % 20)) for number in range(20)])
        for descending, text in COLUMNS.items():
            before, subquery = text.split("FROM (")
            for order in ("id" if descending else "id DESC", "body"):
                other = f"{before} FROM (SELECT * FROM ({subquery} ORDER BY {order})"
                vars(self.reader().bulk)["_passed_over"].clear()
                with patch.dict(COLUMNS, {descending: other}):
                    for asked in (Window((2,), descending=descending, limit=9), Merge((2,), descending=descending)):
                        found = self.both(queue, asked)
                        self.assertIsInstance(found.messages, tuple)
                        vars(self.reader().bulk)["_passed_over"].clear()

    def test_the_order_is_that_of_the_index(self) -> None:
        """Nothing is sorted, and no row is looked at beyond the limit."""
        execute = self.reader().connection.execute
        for text in COLUMNS.values():
            plan = "; ".join(row[-1] for row in execute(f"EXPLAIN QUERY PLAN {text}", (1,) * 6))
            self.assertIn("SEARCH messages USING INDEX", plan)
            self.assertNotIn("B-TREE", plan)
            self.assertNotIn("SCAN messages", plan)

    def test_what_is_too_large_does_not_make_up_for_what_cannot_be_told_apart(self) -> None:
        odd = [Content(body) for body in [b"y" * 3000, *[b"a" + BETWEEN] * 3, *[b"b"] * 10]]
        found = self.both(self.queue_of(odd), Window((2,), limit=1000))
        self.assertEqual([message.content for message in found.messages], odd)

    def test_every_limit(self) -> None:
        queue = self.queue_of([Content(b"%d" % number) for number in range(20)])
        for limit in range(FEW + 1, 23):
            for descending in (False, True):
                merged = self.both(queue, Merge((2,), descending=descending, limit=limit))
                assert isinstance(merged, MergeSlice)
                scanned = self.both(queue, Window((2,), descending=descending, limit=limit))
                numbers = list(range(20))[:: -1 if descending else 1][:limit]
                for found in (merged, scanned):
                    self.assertIsInstance(found.messages, Columns)
                    self.assertEqual([int(each.content.body) for each in found.messages], numbers)
                self.assertEqual(merged.over, limit >= 20)

    def test_what_has_expired_is_not_shown(self) -> None:
        queue = self.queue_of([Content(b"%d" % number) for number in range(20)], 60, 1)
        self.subject.wall.seconds += 5
        for asked in (Window((2,)), Merge((2,)), Merge((2,), limit=10)):
            shown = [message.content.body for message in self.both(queue, asked).messages]
            self.assertEqual(shown, [b"%d" % number for number in range(0, 20, 2)])

    def test_a_page_in_one_row_takes_one_statement(self) -> None:
        queue, statements = self.queue_of([Content(b"a")] * 20), self.statements()
        for asked in (Window((2,), limit=10), Merge((2,), limit=10)):
            statements.clear()
            self.assertIsInstance(self.read(queue, asked).messages, Columns)
            self.assertEqual(len(statements), ABOUT_A_PILE + 1, statements)

    def test_a_queue_whose_messages_cannot_be_told_apart_is_passed_over_for_a_while(self) -> None:
        queue = self.queue_of([Content(BETWEEN)] * 20)
        other, statements = self.queue_of([Content(b"a")] * 20), self.statements()
        tried = []
        for _ in range(2 * PASSED_OVER + 3):
            statements.clear()
            self.read(queue, Window((2,)))
            tried.append(any("group_concat" in statement for statement in statements))
            self.assertIsInstance(self.read(other, Window((2,))).messages, Columns)
        self.assertEqual([at for at, one in enumerate(tried) if one], [0, PASSED_OVER + 1, 2 * PASSED_OVER + 2])

    def statements(self) -> list[str]:
        """What the reading thread asks the database from now on."""
        asked: list[str] = []

        def trace(_: object, statement: str, __: object) -> bool:
            asked.append(statement)
            return True

        self.reader().connection.exec_trace = trace
        return asked

    def reader(self) -> Reader:
        made = vars(self.subject.store)["_open"].reader
        assert isinstance(made, Reader)
        return made
