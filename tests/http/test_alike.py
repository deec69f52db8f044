"""Batches and streams of messages that differ in their bodies alone are answered and stored as any others are.

Two daemons have stores, clocks and random numbers of their own that say the same. One of them is sent the same bytes as
the other, and takes no message for one of those.
"""

from __future__ import annotations

import json
from itertools import count
from random import Random
from typing import Any
from unittest.mock import patch

from hypothesis import Phase, given
from hypothesis import settings as bounded
from hypothesis import strategies as st
from twisted.internet.task import Clock

from queuey.http.v1 import inputs
from queuey.http.v2.messages import appends
from queuey.http.v2.streams import lines
from queuey.interfaces import IStore
from queuey.model.messages.batch import NewMessages
from queuey.service import assembly
from tests.http.api_support import BATCH, LINES, OWNER, SETTINGS, V2TestCase
from tests.http.responses import Response
from tests.http.v1.test_stores import OnCassandra, OnSQLite
from tests.http.wire_support import Client

LIMITED = f"""{SETTINGS}
[application:app]
max_body = 2KiB
max_queue_messages = 40
max_queue_bytes = 6KiB
"""

TEXTS = st.text(st.sampled_from('ab"\\\n\x7fé€😀'), max_size=6) | st.integers(1, 900).map("x".__mul__)
PLAIN = st.fixed_dictionaries({"body": TEXTS})
OTHERS = st.sampled_from(
    [
        *({"body": "a", "ttl": 7}, {"body": "b", "partition": 1}, {"body": "c", "delay": 3}, {"body_base64": "AAEC"}),
        *({"body": "d", "headers": {"é": 1}}, {"body": "e", "key": "k"}, {"body": "f", "idempotency_key": "one"}),
        *({"body": 7}, {"body": "\ud800"}, {}, 7, None, {"ttl": 0, "body": "g"}, {"body": ""}),
    ]
)
BATCHES = st.tuples(
    st.lists(PLAIN, max_size=12) | st.lists(PLAIN | OTHERS, max_size=6) | PLAIN.map(lambda each: [each] * 30),
    st.sampled_from([(",", ":"), (", ", ": ")]),
    st.booleans(),
)
PARTITIONS = st.sampled_from([1, 3])
WAYS = st.sampled_from(["v1", "v2", "once", "stream"])
STEPS = st.lists(st.tuples(WAYS, BATCHES, st.sampled_from([0, 0, 1, 5])), min_size=3, max_size=10)

EXAMPLES = bounded(deadline=None, database=None, max_examples=30, phases=(Phase.generate,))


class AlikeCase(V2TestCase):
    """Sends the same to one daemon and to another."""

    settings = LIMITED

    def setUp(self) -> None:
        self.sides = [self._side(), self._side()]
        self.numbers = count(1)

    def _side(self) -> tuple[Clock, Client, Random]:
        chosen = Random(5)
        with patch.object(assembly, "Random", lambda: chosen):
            super().setUp()
        return self.clock, self.client, chosen

    def both_ways(self, partitions: int, steps: list[Any]) -> None:
        """Compare the two, each in a new queue."""
        queue = f"q{next(self.numbers)}"
        quick = self._answers(self.sides[0], queue, partitions, steps)
        with (
            patch.object(inputs, "batch_bodies", _none),
            patch.object(appends, "batch_bodies", _none),
            patch.object(lines, "line_bodies", _none),
        ):
            self.assertEqual(quick, self._answers(self.sides[1], queue, partitions, steps))

    def _answers(self, side: tuple[Clock, Client, Random], queue: str, partitions: int, steps: list[Any]) -> list[Any]:
        """What is answered to these steps, and what the queue has after them."""
        self.clock, self.client, chosen = side
        chosen.seed(partitions)
        self.queue = queue
        self.expect(201, self.send("PUT", f"/queues/{queue}", {"partitions": partitions}))
        found: list[Any] = []
        for way, (messages, separators, ascii), seconds in steps:
            self.clock.advance(seconds)
            found.append(_told(self._ask(way, messages, separators, ascii)))
        self.clock.advance(10)
        return [*found, self.ask("GET", f"/v2/app/queues/{queue}/messages?limit=1000").json["messages"]]

    def _ask(self, way: str, messages: list[Any], separators: tuple[str, str], ascii: bool) -> Response:
        def text(value: Any) -> bytes:
            return json.dumps(value, separators=separators, ensure_ascii=ascii).encode("utf-8", "surrogatepass")

        document = text({"messages": messages})
        if way == "v1":
            return self.post_json(f"/v1/app/{self.queue}", document)
        if way == "stream":
            return self.stream(b"\n".join(map(text, messages)))
        fields = {**OWNER, "Idempotency-Key": '"one"'} if way == "once" else OWNER
        return self.send("POST", f"/queues/{self.queue}/messages", document, fields, BATCH)

    def stream(self, body: bytes) -> Response:
        fields = {**OWNER, "Content-Type": LINES}
        connection = self.client.start("POST", f"/v2/app/queues/{self.queue}/messages", fields, body)
        self.clock.advance(0)  # lines that are read one by one wait for a turn of the reactor
        return connection.response("POST", only_json=False)


class MemoryTests(AlikeCase):
    @EXAMPLES
    @given(PARTITIONS, STEPS)
    def test_both_ways(self, partitions: int, steps: list[Any]) -> None:
        self.both_ways(partitions, steps)


class SQLiteTests(OnSQLite, AlikeCase):
    @EXAMPLES
    @given(PARTITIONS, STEPS)
    def test_both_ways(self, partitions: int, steps: list[Any]) -> None:
        self.both_ways(partitions, steps)


class CassandraTests(OnCassandra, AlikeCase):
    @EXAMPLES
    @given(PARTITIONS, STEPS)
    def test_both_ways(self, partitions: int, steps: list[Any]) -> None:
        self.both_ways(partitions, steps)


class TakenTests(AlikeCase):
    """Batches of text reach the store as columns."""

    def make_store(self) -> IStore:
        self.taken: list[Any] = []
        store = super().make_store()
        append = store.append

        def note(queue: Any, messages: Any, terms: Any) -> Any:
            self.taken.append(messages)
            return append(queue, messages, terms)

        store.append = note  # type: ignore[method-assign]
        return store

    def test_columns(self) -> None:
        self.queue = "q0"
        self.expect(201, self.send("PUT", f"/queues/{self.queue}", {}))
        batch = {"messages": [{"body": "a"}, {"body": "b"}]}
        self.expect(201, self.post_json("/v1/app/q0", batch))
        self.expect(201, self.send("POST", "/queues/q0/messages", batch, content_type=BATCH))
        self.stream(b'{"body":"a"}\n{"body":"b"}\n')
        found = [(type(each), list(each.drafts.bodies)) for each in self.taken]
        self.assertEqual(found, [(NewMessages, [b"a", b"b"])] * 3)


def _none(*arguments: object) -> None:
    return None


def _told(response: Response) -> Any:
    """What an answer says but for what each one has of its own."""
    if response.header("content-type") == "application/x-ndjson":
        told: Any = [json.loads(line) for line in response.body.splitlines()]
    else:
        told = [response.json]
    for each in told:
        each.pop("instance", None)
    return response.status, response.header("location"), told
