"""One queue of a backup, put into the real API; only the connection is ours."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from queuey.cli import restoring
from queuey.cli.restoring import Client, Restored, RestoringFailed, restore_queue
from queuey.model.messages.dead_letter_headers import Letter, dead_letter, with_key
from queuey.model.messages.message import MAX_TTL, Address, Content, Message, NewMessage
from queuey.model.queues.queue import Consistency, Guarantee, Queue, QueueSettings, QueueType
from queuey.model.timeid import SECOND, MessageId, Ticks, from_seconds, to_v1_hex
from queuey.storage.sqlite.upkeep.backup import Archive
from tests.contracts.reading import TERMS, foreign_id
from tests.contracts.subject import Wall
from tests.http.api_support import KEY, NOW, ApiTestCase
from tests.http.responses import Response
from tests.storage.quick import quick_directory
from tests.storage.sqlite.old_files import open_store


class Answered:
    """An answer as ``http.client`` has it."""

    def __init__(self, response: Response) -> None:
        self.status = response.status
        self._body = response.body

    def read(self) -> bytes:
        return self._body


class Wire:
    """A connection to a daemon; ``broken`` makes it fail, ``garbled`` has what is read instead of the answer."""

    def __init__(self, case: ApiTestCase) -> None:
        self.requests: list[tuple[str, str]] = []
        self.broken = False
        self.broken_after: int | None = None
        self.garbled: bytes | None = None
        self._case = case

    def request(self, method: str, url: str, body: bytes | None, headers: Mapping[str, bytes]) -> None:
        if self.broken:
            raise ConnectionRefusedError(111, "Connection refused")
        if self.broken_after is not None:
            self.broken_after -= 1
            if self.broken_after < 0:
                raise ConnectionRefusedError(111, "Connection refused")
        self.requests.append((method, url))
        fields = {name: value.decode("latin-1") for name, value in headers.items()}
        self._response = self._case.ask(method, url, fields, body)

    def getresponse(self) -> Answered:
        answer = Answered(self._response)
        if self.garbled is not None:
            answer._body = self.garbled
        return answer

    def close(self) -> None:
        """Nothing is open."""


class RestoringTests(ApiTestCase):
    """A backup with queues of the application ``app``, and a daemon that has none."""

    def setUp(self) -> None:
        super().setUp()
        self.clock.advance(0.25)  # the ids of the backup are of the past
        directory = quick_directory(self)
        self.old = open_store(directory, Wall())
        self.addCleanup(lambda: self.successResultOf(self.old.close()))
        self.archive = Archive(directory)
        self.addCleanup(self.archive.close)
        self.wire = Wire(self)
        self.api = Client(self.wire, "http://127.0.0.1:5000", "app", KEY)

    def make(self, name: str, settings: QueueSettings) -> Queue:
        queue, _ = self.successResultOf(self.old.create("app", name, settings, None))
        return queue

    def fill(self, queue: Queue, *contents: Content, partition: int = 1, ttl: int = 1000) -> tuple[MessageId, ...]:
        messages = [NewMessage(partition, content, ttl) for content in contents]
        return self.successResultOf(self.old.append(queue, messages, TERMS))

    def restore(self, name: str = "q", new_name: str = "q") -> Restored:
        return restore_queue(self.archive, self.api, name, new_name, self.clock.seconds)

    def failed(self, *words: str) -> None:
        text = str(self.assertRaises(RestoringFailed, self.restore))
        for word in words:
            self.assertIn(word, text)
        self.assertNotIn("\n", text)

    def stored(self, name: str, *places: Address) -> list[Any]:
        """What the daemon keeps."""
        (queue,) = self.successResultOf(self.store.describe("app", [name]))
        assert queue is not None
        return list(self.successResultOf(self.store.lookup(queue, places, TERMS.ack)).messages)

    def test_everything_of_a_queue(self) -> None:
        name = "Ä?/;".replace("/", "%")
        settings = QueueSettings(QueueType.PUBLIC, 3, Consistency.WEAK, ("app:app", "bid:x@example.org"))
        queue = self.make(name, settings)
        ids = self.fill(queue, Content(b"plain"), Content("✉".encode(), 'text/x; a="ü"'))
        (third,) = self.fill(queue, Content(b'{"json": 1}', "application/json"), partition=3, ttl=MAX_TTL)
        future = foreign_id(500)
        self.successResultOf(self.old.replace(queue, [Address(2, future)], Content(b"future"), 600, TERMS))
        self.fill(self.make("other", settings), Content(b"not this one"))
        self.clock.advance(10)
        self.assertEqual(self.restore(name, name), Restored(put=4, there=0))
        (made,) = self.successResultOf(self.store.describe("app", [name]))
        assert made is not None
        self.assertEqual(made.settings, settings)
        places = [Address(1, ids[0]), Address(1, ids[1]), Address(3, third), Address(2, future)]
        found = self.stored(name, *places)
        self.assertEqual([Address(message.partition, message.id) for message in found], places)
        self.assertEqual(
            [(message.content.body.decode(), message.content.content_type) for message in found],
            [("plain", None), ("✉", 'text/x; a="ü"'), ('{"json": 1}', "application/json"), ("future", None)],
        )
        left = [(message.expires - from_seconds(NOW)) / 10_000_000 for message in found]
        self.assertEqual(left, [1000.25, 1000.25, MAX_TTL + 0.25, 600.25])
        self.assertEqual(self.successResultOf(self.store.names("app", "", 9, "")), (name,))

    def test_what_is_there_is_left_as_it_is(self) -> None:
        queue = self.make("q", QueueSettings())
        ids = self.fill(queue, Content(b"old 1"), Content(b"old 2"))
        path = self.make_queue("q", partitions="2", type="public")
        self.expect(200, self.ask("PUT", f"{path}/{to_v1_hex(ids[1])}", body=b"newer"))
        self.assertEqual(self.restore(), Restored(put=1, there=1))
        self.assertEqual(self.bodies(path), ["old 1", "newer"])
        self.assertEqual(self.restore(), Restored(put=0, there=2))
        (queue_now,) = self.successResultOf(self.store.describe("app", ["q"]))
        assert queue_now is not None
        self.assertEqual((queue_now.settings.partitions, queue_now.settings.type), (2, QueueType.PUBLIC))

    def test_what_queuey_has_added(self) -> None:
        """A message with a key, and a dead letter, come back as they were; also one that is too large for a batch."""
        letter = Letter("q", Address(1, foreign_id(5)), "g", bytes(16), 1, "no")
        contents = (
            with_key(Content(b"a", "text/plain"), "k"),
            dead_letter(with_key(Content(b"b"), "k"), letter),
            with_key(Content(b"\xff" * 600_000, "image/png"), "k"),
        )
        ids = self.fill(self.make("q", QueueSettings()), *contents)
        self.assertEqual(self.restore(), Restored(put=3, there=0))
        found = self.stored("q", *[Address(1, id) for id in ids])
        self.assertEqual([message.content.headers for message in found], [content.headers for content in contents])
        self.assertEqual([message.content.body for message in found], [content.body for content in contents])

    def test_more_partitions_are_made(self) -> None:
        queue = self.make("q", QueueSettings(partitions=3))
        self.fill(queue, Content(b"x"), partition=3)
        path = self.make_queue("q", type="public")
        self.make_queue("qq")
        self.restore()
        self.assertEqual(self.bodies(path, "partitions=3"), ["x"])

    def test_another_name(self) -> None:
        self.fill(self.make("q", QueueSettings()), Content(b"x"))
        self.make_queue("r")
        self.restore(new_name="p")
        self.assertEqual(self.bodies("/v1/app/p"), ["x"])
        self.assertEqual(self.ask("GET", "/v1/app/q").status, 404)

    def test_many_in_batches(self) -> None:
        """Each is one request, of so many messages or bytes at the most; so it is if all of them are there."""
        self.patch(restoring, "BATCH_BYTES", 20_000)
        self.patch(restoring, "BATCH_MESSAGES", 100)
        queue = self.make("q", QueueSettings())
        self.fill(queue, *[Content(b"%d" % number) for number in range(250)])
        self.fill(queue, *[Content(b"x" * 9000)] * 4)
        for expected in (Restored(put=254, there=0), Restored(put=0, there=254)):
            self.wire.requests.clear()
            self.assertEqual(self.restore(), expected)
            asked = [path for method, path in self.wire.requests if path.endswith("/messages")]
            self.assertEqual(asked, ["/v2/app/queues/q/messages"] * 5)
        self.assertEqual(len(self.bodies("/v1/app/q", "limit=1000")), 254)

    def test_one_that_is_refused_in_a_batch(self) -> None:
        """It is found, and what is wrong with it is said; the others are restored."""
        queue = self.make("q", QueueSettings())
        self.fill(queue, *[Content(b"%d" % number) for number in range(20)])
        self.fill(queue, Content(b"odd", None, b'{"queuey-own":1}'))
        self.failed("PUT /v2/app/queues/q/messages/", "was answered 400: ", "queuey-")
        self.assertEqual(self.bodies("/v1/app/q")[:20], [str(number) for number in range(20)])

    def test_a_daemon_that_takes_less(self) -> None:
        """A batch that is too large for it is cut in two, over and over."""
        self.assembly.site.limits = attrs.evolve(self.assembly.site.limits, max_body=2000)
        self.fill(self.make("q", QueueSettings()), *[Content(b"x" * 100)] * 50, Content(b"y" * 1900))
        self.assertEqual(self.restore(), Restored(put=51, there=0))

    def test_what_expires_meanwhile_is_not_put(self) -> None:
        queue = self.make("q", QueueSettings())
        self.fill(queue, Content(b"short"), ttl=10)
        self.fill(queue, Content(b"long"))
        self.clock.advance(9.25)
        times = iter([NOW + 9.5, NOW + 9.5, NOW + 9.5, NOW + 10])
        done = restore_queue(self.archive, self.api, "q", "q", lambda: next(times))
        self.assertEqual(done, Restored(put=1, there=0))
        self.assertEqual(self.bodies("/v1/app/q"), ["long"])
        self.clock.advance(1)
        self.assertEqual(self.restore(), Restored(put=0, there=1))

    def fill_beyond_v1(self) -> list[Message]:
        """Messages as v2 takes them: any bytes, any type, headers, and one that is delayed."""
        queue = self.make("q%ü", QueueSettings(partitions=2, guarantee=Guarantee.EXACTLY_ONCE, ttl=77))
        contents = [
            Content(b"\xff\x00", "image/png"),
            Content(b"a=b&ttl=1", "application/x-www-form-urlencoded"),
            Content(b"\xfe", "application/x-www-form-urlencoded"),
            Content(b"text", "text/plain", '{"from":"shöp","n":[1,2]}'.encode()),
            Content(b"", None, b"{}"),
            Content(b"", "application/octet-stream"),
        ]
        ids = self.fill(queue, *contents, partition=2)
        late = NewMessage(1, Content(b"\x80", "a/b", b"{}"), 9, Ticks(600 * SECOND))
        ids += self.successResultOf(self.old.append(queue, [late], TERMS))
        places = [Address(2, id) for id in ids[:-1]] + [Address(1, ids[-1])]
        return list(self.successResultOf(self.old.lookup(queue, places, TERMS.ack)).messages)

    def check_beyond_v1(self, messages: list[Message], name: str, *, alone: bool = False) -> None:
        """All of it is there, except that v2 gives a type to what has none, if each was put alone."""
        (made,) = self.successResultOf(self.store.describe("app", [name]))
        assert made is not None
        self.assertEqual((made.settings.guarantee, made.settings.ttl), (Guarantee.EXACTLY_ONCE, 77))
        found = self.stored(name, *[Address(message.partition, message.id) for message in messages])
        expected = [message.content for message in messages]
        if alone:
            expected[4] = msgspec.structs.replace(expected[4], content_type="application/octet-stream")
        self.assertEqual([message.content for message in found], expected)
        for message, before in zip(found, messages, strict=True):
            self.assertTrue(0 <= message.expires - before.expires <= 2 * SECOND, message)

    def test_what_only_v2_takes(self) -> None:
        messages = self.fill_beyond_v1()
        self.assertEqual(self.restore("q%ü", "q%ü"), Restored(put=7, there=0))
        self.check_beyond_v1(messages, "q%ü")
        page = self.ask("GET", "/v2/app/queues/q%25%C3%BC/messages").json
        self.assertEqual(len(page["messages"]), 6)
        self.clock.advance(601)
        page = self.ask("GET", "/v2/app/queues/q%25%C3%BC/messages").json
        self.assertEqual([message["body_base64"] for message in page["messages"][6:]], ["gA=="])
        self.assertEqual(self.restore("q%ü", "q%ü"), Restored(put=0, there=7))

    def test_interrupted_between_two_steps(self) -> None:
        """A second run finds what is not finished, and finishes it: of messages too large for a batch here."""
        self.patch(restoring, "BATCH_BYTES", 1)
        messages = self.fill_beyond_v1()
        for done in range(30):
            self.wire.broken_after = done
            try:
                found = self.restore("q%ü", "q%ü")
            except RestoringFailed as error:
                self.assertIn("Connection refused", str(error))
            else:
                break
        self.assertGreater(done, 3)
        self.assertEqual(found.there + found.put, 7)
        self.check_beyond_v1(messages, "q%ü", alone=True)

    def test_refused(self) -> None:
        self.failed('The backup has no queue "q" of the application "app".')
        self.fill(self.make("q", QueueSettings()), Content(b"x" * (2 << 20)))
        self.failed("PUT /v1/app/q/1:", "was answered 413: ")
        self.api = Client(self.wire, "http://127.0.0.1:5000/", "app", "no-key")
        self.failed("GET /v1/app?", "was answered 401: ")
        self.wire.garbled = b"[]"
        self.failed("was answered 401: []")
        for self.wire.garbled in (b"<html>", b""):
            self.failed("http://127.0.0.1:5000/ does not answer: ")
        self.wire.broken = True
        self.failed("http://127.0.0.1:5000/ does not answer: [Errno 111] Connection refused")

    def test_behind_a_proxy(self) -> None:
        self.api = Client(self.wire, "https://example.org/queues/", "a b", KEY)
        self.make("q", QueueSettings())
        self.successResultOf(self.old.create("a b", "q", QueueSettings(), None))
        self.failed("GET /queues/v1/a%20b?offset=q&limit=1&details=true was answered 404")

    def test_connections(self) -> None:
        plain, tls = restoring.connect("http://[::1]"), restoring.connect("https://example.org:1/x")
        assert isinstance(plain, http.client.HTTPConnection)
        assert isinstance(tls, http.client.HTTPSConnection)
        self.assertEqual((plain.host, plain.port, tls.host, tls.port), ("::1", 80, "example.org", 1))
