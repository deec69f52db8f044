"""Pages that have many times the bytes of a slice: they are made as the client takes them."""

from __future__ import annotations

import json
from typing import Any

from tests.http.api_support import LINES, OWNER, MessagesTestCase
from tests.http.wire_support import Connection, encode_request, held_by_each

MIB = 1 << 20
ALL = "limit=1000&max_bytes=16777216"


class LargePageTests(MessagesTestCase):
    """Messages of 400 KiB, two of which fit in a slice."""

    SIZE = 400 * 1024

    def setUp(self) -> None:
        super().setUp()
        self.ids = [self.appended(bytes([97 + number]) * self.SIZE) for number in range(9)]
        self.clock.advance(1)

    def begin(self, query: str = ALL, **fields: str) -> Connection:
        """Ask for a page, and take nothing of it but what is sent at once."""
        connection = Connection(self.assembly.site)
        connection.transport.greedy = False
        return connection.send(encode_request("GET", f"/v2/app{self.path(f'?{query}')}", {**OWNER, **fields}))

    def read_all(self, connection: Connection) -> None:
        """Take what has come until no more does."""
        size = -1
        while size != len(connection.received):
            size = len(connection.received)
            connection.transport.read()
            self.clock.advance(0)

    def ids_of(self, page: dict[str, Any]) -> list[str]:
        return [message["id"] for message in page["messages"]]

    def test_whole(self) -> None:
        """It has all that it would have if it were made at once, in either direction and either form."""
        for query, ids in ((ALL, self.ids), (f"{ALL}&order=desc", self.ids[::-1]), (f"{ALL}&fresh=true", self.ids)):
            page = self.page(query)
            self.assertEqual(self.ids_of(page), ids)
            self.assertFalse(page["more"])
        for number, message in enumerate(self.page(ALL)["messages"]):
            self.assertEqual(message["body"], chr(97 + number) * self.SIZE)
        connection = self.client.start("GET", f"/v2/app{self.path(f'?{ALL}')}", {**OWNER, "Accept": LINES})
        response = connection.response(only_json=False)
        *messages, last = [json.loads(line) for line in response.body.splitlines()]
        self.assertEqual([message["id"] for message in messages], self.ids)
        self.assertEqual(last["resume"], "exact")

    def test_where_it_goes_on(self) -> None:
        """The field and the member say it alike, before the messages are read for the answer."""
        connection = self.begin(f"limit=7&max_bytes={16 * MIB}")
        self.read_all(connection)
        response = connection.response()
        page = response.json
        self.assertEqual((self.ids_of(page), page["more"]), (self.ids[:7], True))
        self.assertIn(f"after={page['next']}", response.header("link") or "")
        self.assertEqual(self.ids_of(self.page(f"{ALL}&after={page['next']}")), self.ids[7:])

    def test_a_slice_at_a_time(self) -> None:
        """What the client has not taken is not read for it."""
        asked: list[int] = []
        lookup = self.store.lookup

        def counted(queue: Any, addresses: Any, ack: Any) -> Any:
            asked.append(len(addresses))
            return lookup(queue, addresses, ack)

        self.store.lookup = counted  # type: ignore[method-assign]
        connection = self.begin()
        self.assertEqual(asked, [])
        sizes: list[int] = []
        while len(asked) < 4 and len(sizes) < 1000:
            connection.transport.read()
            self.clock.advance(0)
            sizes.append(len(connection.received))
        self.assertEqual(asked, [2, 2, 2, 1])
        self.assertGreater(len(sizes), 20)
        self.read_all(connection)
        self.assertEqual(self.ids_of(connection.response().json), self.ids)

    def test_deleted_meanwhile(self) -> None:
        """A message that is gone before it is sent is not on the page; where it goes on stays."""
        connection = self.begin()
        for id in self.ids[2:8]:
            self.expect_gone(id)
        self.read_all(connection)
        page = connection.response().json
        self.assertEqual(self.ids_of(page), [*self.ids[:2], self.ids[8]])
        self.assertEqual(self.page(f"after={page['next']}")["messages"], [])

    def expect_gone(self, id: str) -> None:
        """Delete a message."""
        self.assertEqual(self.send("DELETE", self.path(f"/{id}")).status, 204)

    def test_queue_deleted_meanwhile(self) -> None:
        """The rest of the page is empty, or the connection breaks off; it is no other queue's."""
        connection = self.begin()
        self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
        self.read_all(connection)
        if connection.open:
            self.assertEqual(self.ids_of(connection.response().json), self.ids[:2])

    def test_head(self) -> None:
        response = self.send("HEAD", self.path(f"?{ALL}"))
        self.assertEqual((response.status, response.body), (200, b""))

    def test_memory(self) -> None:
        """Who takes nothing holds no more than a slice, and its JSON."""
        self.read_all(first := self.begin())
        first.hang_up()
        held, connections = held_by_each(self.begin)
        self.assertLess(held, 2.5 * MIB)
        for connection in connections:
            connection.hang_up()
