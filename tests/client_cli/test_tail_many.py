"""``queuey tail`` of several queues: by one live read, and by a thread for each queue before an older server."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from click.testing import Result

from queuey_client import Answer, Ask
from queuey_client.cli.following.many_queues import MAX_QUEUES
from queuey_client.cli.program import root
from queuey_client.cli.settings import Settings
from tests.client.live_support import Connection, LiveServer, begun, came, caught_up, lines
from tests.client.support import answer, message, page, problem
from tests.client.test_many import many
from tests.client.test_many_following import came as came_to
from tests.client_cli.support import QUEUE, CommandTestCase, runner

ABSENT = problem("not-found", 404)
SHOWN = ("--columns", "queue,body")


def listed(*names: str) -> Any:
    """A page of the list of queues."""
    return answer({"queues": [{**QUEUE, "name": name} for name in names], "next": None})


class WatchedServer(LiveServer):
    """Notes which threads of the command there are while a message is waited for.

    :ivar threads: their names.
    """

    def __init__(self, *connections: Connection, replies: Sequence[Any] = ()) -> None:
        super().__init__(*connections, replies=replies)
        self.threads: list[str] = []

    def open(self, ask: Ask) -> Answer:
        """Begin the next connection."""
        self.threads = [each.name for each in threading.enumerate() if each.name.startswith("tail")]
        return super().open(ask)


class TailManyTests(CommandTestCase):
    """The server is a list of connections and of other answers."""

    def tail(self, *arguments: str, connections: Sequence[Connection] = (), replies: Sequence[Any] = ()) -> Result:
        self.live = WatchedServer(*connections, replies=replies)
        return runner().invoke(root(), ["tail", *arguments], obj=Settings(self.environment, self.live))

    def test_one_live_read(self) -> None:
        """However many queues there are, there is one request and one thread."""
        pieces = [lines(begun(), caught_up("p0")), *[lines(came_to(f"log-{at}", at)) for at in range(1000)]]
        result = self.tail("a", "log-*", "--count", "1000", *SHOWN, connections=[pieces])
        self.assertEqual(result.exit_code, 0, result.output)
        rows = result.stdout.splitlines()
        self.assertEqual((rows[0], rows[-1], len(rows)), ("log-0\tbody 0", "log-999\tbody 999", 1000))
        self.assertEqual(self.live.queries, [{"queues": ["a"], "prefixes": ["log-"], "start": "newest"}])
        self.assertEqual(self.live.threads, ["tail"])

    def test_the_last_messages_first(self) -> None:
        """Those of all queues, the oldest first; what came meanwhile is printed once."""
        now = datetime.now(timezone.utc) + timedelta(days=1)
        late = {**message(2), "timestamp": now.isoformat()}
        replies = [many(next="p0"), listed("log-b"), page(messages=[late]), page(1)]
        pieces = [lines(begun(), {"message": {**late, "queue": "a"}, "next": "p2"}, came_to("log-b", 3))]
        result = self.tail("a", "log-*", "-n", "1", "--count", "3", *SHOWN, connections=[pieces], replies=replies)
        self.assertEqual(result.stdout.splitlines(), ["log-b\tbody 1", "a\tbody 2", "log-b\tbody 3"])
        self.assertEqual(self.live.queries, [{"queues": ["a"], "prefixes": ["log-"], "after": "p0"}])

    def test_partitions(self) -> None:
        """Those of other partitions are passed over."""
        other = {"message": {**message(1), "queue": "a", "partition": 2}, "next": "p1"}
        result = self.tail(
            "a", "b", "-p", "1", "--count", "1", *SHOWN, connections=[[lines(begun(), other, came_to("b", 2))]]
        )
        self.assertEqual(result.stdout, "b\tbody 2\n")

    def test_all_queues_are_closed(self) -> None:
        """It ends, also as a graph."""
        ended = lines(begun(), came_to("a", 1), caught_up("p1"), {"closed": True, "next": "p1"})
        result = self.tail("a", "b", *SHOWN, connections=[[ended]])
        self.assertEqual((result.exit_code, result.stdout), (0, "a\tbody 1\n"))
        result = self.tail("a", "b", "--graph", "--columns", "messages", connections=[[ended]])
        self.assertEqual((result.exit_code, result.stdout), (0, "1\n"))

    def test_refusals(self) -> None:
        for reply, status in ((problem("too-many-queues", 400), 1), (problem("no-such-queue", 404), 3)):
            result = self.tail("a", "b", connections=[reply])
            self.assertEqual((result.exit_code, self.live.asks), (status, []), result.output)

    def test_an_older_server(self) -> None:
        """Each queue is followed by itself."""
        result = self.tail(
            "log-*", "--count", "1", *SHOWN,
            connections=[ABSENT, [lines(begun(), came(1))]], replies=[ABSENT, listed("log-a")],
        )  # fmt: skip
        self.assertEqual((result.exit_code, result.stdout), (0, "log-a\tbody 1\n"), result.output)
        self.assertEqual(self.live.paths, ["/v2/shop/events", "/v2/shop/queues/log-a/events"])
        with_lines = [[lines(begun(), came(2))]]
        replies = [ABSENT, listed("log-a"), page(1)]
        result = self.tail("log-*", "-n", "1", "--count", "2", *SHOWN, connections=with_lines, replies=replies)
        self.assertEqual(result.stdout.splitlines(), ["log-a\tbody 1", "log-a\tbody 2"], result.output)

    def test_too_many_queues_for_an_older_server(self) -> None:
        names = [f"log-{number:03}" for number in range(MAX_QUEUES + 1)]
        result = self.tail(
            "log-*", connections=[ABSENT, *[ABSENT] * 100], replies=[ABSENT, listed(*names), *[page()] * 100]
        )
        self.assertEqual(result.exit_code, 2)
        self.assertIn("more than 100 queues", result.stderr)
