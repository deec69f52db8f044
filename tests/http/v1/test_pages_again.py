"""A page that is read again is rendered to the same bytes."""

from __future__ import annotations

import json

from queuey.model.messages.message import Content, Message
from queuey.model.timeid import Ticks, make
from tests.http.api_support import OWNER, ApiTestCase

BODIES = (b"a", b'"\\\n\x00', "\u2028 \N{PILE OF POO}".encode(), b"\xff")
MESSAGES = tuple(Message(1, make(Ticks(n), 1, 2), Content(body), Ticks(9)) for n, body in enumerate(BODIES))


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
