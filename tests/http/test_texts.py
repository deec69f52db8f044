"""Rendered pages: kept as long as their slices, and the same bytes as what is rendered anew."""

from __future__ import annotations

import gc
import json
from weakref import ref

from twisted.trial.unittest import SynchronousTestCase

from queuey.http.texts import Texts
from queuey.http.writing import joined_json
from queuey.model.message import Content, Message
from queuey.model.timeid import Ticks, make
from queuey.model.window import Lasting, WindowSlice
from tests.http.api_support import OWNER, ApiTestCase

BODIES = (b"a", b'"\\\n\x00', "\u2028 \N{PILE OF POO}".encode(), b"\xff")
MESSAGES = tuple(Message(1, make(Ticks(n), 1, 2), Content(body), Ticks(9)) for n, body in enumerate(BODIES))


class TextsTests(SynchronousTestCase):
    """What is kept."""

    def test_a_slice_that_lasts_is_rendered_once(self) -> None:
        texts, slice = Texts(), WindowSlice(MESSAGES, None, Lasting())
        pieces = texts.of(slice), texts.of(slice)
        (first,), (second,) = [piece.texts for piece in pieces]
        self.assertIs(first, second)
        self.assertEqual([(piece.messages, piece.size) for piece in pieces], [(4, 1 + 4 + 8 + 1)] * 2)
        self.assertEqual(first, joined_json(MESSAGES))

    def test_slices_are_told_apart_by_their_marks(self) -> None:
        texts, mark = Texts(), Lasting()
        texts.of(WindowSlice(MESSAGES[:1], None, mark))
        self.assertEqual(texts.of(WindowSlice(MESSAGES[1:2], None, Lasting())).texts, [joined_json(MESSAGES[1:2])])
        self.assertEqual(texts.of(WindowSlice(MESSAGES[2:], None)).texts, [joined_json(MESSAGES[2:])])

    def test_a_text_goes_with_its_slice(self) -> None:
        texts, slice = Texts(), WindowSlice(MESSAGES, None, Lasting())
        texts.of(slice)
        mark = ref(slice.lasting) if slice.lasting else None
        del slice
        gc.collect()
        self.assertIsNone(mark() if mark else texts)
        self.assertEqual(len(vars(texts)["_texts"]), 0)


class PageTests(ApiTestCase):
    """Pages that are asked for again, over v1."""

    def page(self, query: str = "limit=2") -> list[str]:
        """The bodies of a page that is asked for twice, which must be answered alike."""
        first, second = (self.ask("GET", f"/v1/app/q?{query}") for _ in range(2))
        self.assertEqual(first.body, second.body)
        self.assertEqual(self.ask("HEAD", f"/v1/app/q?{query}").body, b"")
        return [message["body"] for message in json.loads(first.body)["messages"]]

    def test_changes_show_at_once(self) -> None:
        queue = self.make_queue(partitions="2")
        keys = [self.posted(queue, text, partition="1")["key"] for text in ('"', "\u2028", "c")]
        other = self.posted(queue, "other", partition="2")["key"]
        self.assertEqual(self.page(), ['"', "\u2028"])
        self.assertEqual(self.page("limit=1&partitions=2,1"), ["other", '"'])
        self.expect(200, self.ask("PUT", f"{queue}/{keys[0]}", OWNER, b"new"))
        self.assertEqual(self.page(), ["new", "\u2028"])
        self.expect(200, self.ask("DELETE", f"{queue}/{keys[1]},2:{other}"))
        self.assertEqual(self.page(), ["new", "c"])
        self.assertEqual(self.page("limit=1&partitions=2,1"), ["new"])
        self.expect(200, self.ask("DELETE", queue))
        self.make_queue(partitions="2")
        self.assertEqual(self.page(), [])
