"""Streams of messages over HTTP: results by line, back-pressure, hang-ups, and stored while they arrive."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail

from queuey.http.v2.streams.lines import MAX_LINES, MAX_WRONG
from queuey.interfaces import IStore
from queuey.model.applications.policy import WriteTerms
from queuey.model.messages.message import NewMessage
from queuey.model.queues.queue import Queue
from queuey.model.timeid import MessageId
from queuey.storage.caching import CachedStore
from queuey.storage.memory import MemoryStore
from tests.http.api_support import OTHER, OWNER, SETTINGS, ApiTestCase
from tests.http.responses import Response
from tests.http.wire_support import Connection, Fields, encode_chunks, encode_request

PATH = "/v2/app/queues/q/messages"
TYPE = {"Content-Type": "application/x-ndjson"}
CHUNKED = {**OWNER, **TYPE, "Transfer-Encoding": "chunked"}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def message(body: str, **members: Any) -> bytes:
    return json.dumps({"body": body, **members}).encode() + b"\n"


WRONG_AND_RIGHT = message("b", ttl=0) * (MAX_WRONG - 1) + message("a")
"""As many lines in a row as may be no messages, and one that is."""


class HeldStore(MemoryStore):
    """The memory store, whose appends may be held back, or fail.

    :ivar sizes: messages in each append that was begun.
    :ivar held: appends that wait for the test; ``None``: none waits.
    :ivar errors: what the next appends fail with.
    """

    sizes: list[int]
    held: list[Deferred[None]] | None
    errors: list[Exception]

    def append(
        self, queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms
    ) -> Deferred[tuple[MessageId, ...]]:
        self.sizes.append(len(messages))
        if self.errors:
            return fail(self.errors.pop(0))
        append = super().append
        if self.held is None:
            return append(queue, messages, terms)
        held: Deferred[None] = Deferred()
        self.held.append(held)
        return held.addCallback(lambda _: append(queue, messages, terms))


class StreamCase(ApiTestCase):
    """A queue, and streams into it."""

    held: HeldStore

    def setUp(self) -> None:
        super().setUp()
        self.make_queue()

    def make_store(self) -> IStore:
        numbers, told = count(1), self.clock.seconds
        random = Random(7).getrandbits
        self.held = HeldStore(self.clock, told, 1 << 28, 1 << 40, 7, lambda: f"v{next(numbers)}", random)
        self.held.sizes, self.held.held, self.held.errors = [], None, []
        return CachedStore(self.held, 100)

    def hold(self) -> list[Deferred[None]]:
        """Hold appends back from now on; they wait here."""
        held: list[Deferred[None]] = []
        self.held.held = held
        return held

    def begin(self, query: str = "", headers: Fields = CHUNKED) -> Connection:
        """Begin a stream in chunks."""
        return Connection(self.assembly.site).send(encode_request("POST", PATH + query, headers))

    def stream(self, body: bytes, query: str = "") -> list[dict[str, Any]]:
        """Send a whole stream; the lines of the answer."""
        connection = Connection(self.assembly.site)
        connection.send(encode_request("POST", PATH + query, {**OWNER, **TYPE}, body))
        return self.lines(connection)

    def lines(self, connection: Connection) -> list[dict[str, Any]]:
        """The lines of an answer that is whole."""
        response = connection.response(only_json=False)
        self.assertEqual((200, "application/x-ndjson"), (response.status, response.header("Content-Type")))
        self.assertEqual("no-store", response.header("Cache-Control"))
        self.assertTrue(response.body.endswith(b"\n"))
        self.assertTrue(response.body.isascii())
        return [json.loads(line) for line in response.body.splitlines()]

    def told(self, connection: Connection) -> list[dict[str, Any]]:
        """The lines of an answer that goes on."""
        body = connection.received.partition(b"\r\n\r\n")[2]
        return [json.loads(line) for line in body.splitlines() if line.startswith(b"{")]

    def problem(self, line: dict[str, Any]) -> tuple[str, int]:
        """The code of a problem, and the line that has it; it is a whole problem document."""
        members = {"type", "title", "status", "detail", "instance", "code", "retryable", "applied", "line"}
        self.assertEqual(members, set(line) - {"errors", "limit"})
        return line["code"], line["line"]

    def refuse(self, status: int, code: str, response: Response) -> dict[str, Any]:
        self.assertEqual((status, code), (response.status, response.json["code"]), response.body)
        self.assertEqual("application/problem+json", response.header("Content-Type"))
        return dict(response.json)

    def stored(self) -> list[str]:
        return self.bodies("/v1/app/q", "limit=1000")


class TellingTests(StreamCase):
    """What becomes of each line."""

    def test_stored(self) -> None:
        """Each line has a result with the address of its message, in order, and the last line counts."""
        *told, last = self.stream(message("a") + message("b", ttl=5) + b'{"body_base64": "/w=="}')
        self.assertEqual({"done": True, "stored": 3, "failed": 0}, last)
        self.assertEqual(["a", "b", "\ufffd"], self.stored())
        self.assertEqual([{"id", "partition", "timestamp"}] * 3, [set(line) for line in told])
        ids = [line["id"] for line in told]
        self.assertEqual((sorted(ids), [1] * 3), (ids, [line["partition"] for line in told]))
        self.assertEqual({"-1"}, {id[32:] for id in ids})
        self.assertTrue(told[0]["timestamp"].startswith("2023-11-14T22:13:20.0"), told[0])
        self.assertEqual([2, 1], self.held.sizes)

    def test_options(self) -> None:
        """Lines have the members of the messages of a batch."""
        self.make_queue("q", partitions="5")
        told = self.stream(
            message("a", partition=5)
            + message("b", key="k")
            + message("c", key="k")
            + message("d", delay=60)
            + message("e", content_type="text/html", headers={"a": "\u00e9"})
        )
        self.assertEqual({"done": True, "stored": 5, "failed": 0}, told[-1])
        self.assertEqual(5, told[0]["partition"])
        self.assertEqual(told[1]["partition"], told[2]["partition"])
        self.assertTrue(told[3]["timestamp"].startswith("2023-11-14T22:14:20.0"), told[3])
        found = [each["body"] for each in self.read("/v1/app/q", "partitions=1,2,3,4,5")]
        self.assertEqual(["a", "b", "c", "e"], sorted(found))

    def test_nothing(self) -> None:
        """A stream may be empty, and lines too."""
        for body in (b"", b"\n", b"\n \t\r\n\n"):
            self.assertEqual([{"done": True, "stored": 0, "failed": 0}], self.stream(body))
        self.assertEqual([], self.held.sizes)

    def test_wrong_lines(self) -> None:
        """An error in a line is its result, with its number, and the others are stored."""
        told = self.stream(message("a") + b"\n" + message("b", tll=5) + message("c", ttl=0) + message("d"))
        self.assertEqual({"done": True, "stored": 2, "failed": 2}, told[-1])
        self.assertEqual([("invalid-body", 3), ("invalid-body", 4)], [self.problem(line) for line in told[1:3]])
        self.assertEqual(["/tll"], [error["pointer"] for error in told[1]["errors"]])
        self.assertEqual((400, False, "no"), tuple(told[1][name] for name in ("status", "retryable", "applied")))
        self.assertEqual(["a", "d"], self.stored())
        self.assertEqual([2], self.held.sizes)

    def test_broken_lines(self) -> None:
        """A broken line ends the stream, after the messages before it, and closes the connection."""
        for text, code in (
            (b"nonsense\n", "invalid-body"),
            (b"[1]\n", "invalid-body"),
            (b'{"body": "\xff"}\n', "invalid-body"),
            (b'{"body": "' + b"x" * (1 << 20) + b'"}\n', "too-large"),
        ):
            self.setUp()
            connection = self.begin().send(chunk(message("a") + message("b")))
            connection.send(chunk(message("c") + text + message("d"))).send(chunk(message("e")))
            told = self.lines(connection)
            self.assertEqual((code, 4), self.problem(told[3]))
            self.assertEqual({"done": False, "stored": 3, "failed": 1}, told[4])
            self.assertEqual(["a", "b", "c"], self.stored())
            self.assertTrue(connection.transport.half_closed)

    def test_broken_last_line(self) -> None:
        """The connection closes, too, if nothing comes after it."""
        connection = Connection(self.assembly.site)
        connection.send(encode_request("POST", PATH, {**OWNER, **TYPE}, message("a") + b'{"body":"b"'))
        *_, last = self.lines(connection)
        self.assertEqual({"done": False, "stored": 1, "failed": 1}, last)
        self.assertFalse(connection.open)

    def test_broken_first_line(self) -> None:
        """If that is the first, nothing is stored."""
        told = self.stream(b"{,}\n" + message("a"))
        self.assertEqual(("invalid-body", 1), self.problem(told[0]))
        self.assertEqual([{"done": False, "stored": 0, "failed": 1}], told[1:])
        self.assertEqual(([], []), (self.stored(), self.held.sizes))

    def test_line_of_the_limit(self) -> None:
        """The limit of bodies holds for a line, and not for the stream."""
        size = (1 << 20) - len(message("")) + 1
        told = self.stream(message("x" * size) + message("y" * size))
        self.assertEqual({"done": True, "stored": 2, "failed": 0}, told[-1])
        told = self.stream(message("a") + message("x" * (size + 1)))
        self.assertEqual(("too-large", 2, "max_body"), (*self.problem(told[1]), told[1]["limit"]))

    def test_path_in_other_letters(self) -> None:
        """However the path is written, it is the same; only a body that is not read in pieces has the usual limit."""
        path = PATH.replace("messages", "%6Dessages")
        for headers, body in (
            ({**OWNER, **TYPE}, message("a") * 2 + b"broken"),
            (CHUNKED, encode_chunks([message("a"), message("a") + b"broken"])),
        ):
            connection = Connection(self.assembly.site).send(encode_request("POST", path, headers, body))
            *told, last = self.lines(connection)
            self.assertEqual(("invalid-body", 3), self.problem(told[2]))
            self.assertEqual({"done": False, "stored": 2, "failed": 1}, last)
        large = message("x" * 1000) * 1100
        connection = Connection(self.assembly.site).send(encode_request("POST", path, {**OWNER, **TYPE}, large))
        self.refuse(413, "too-large", connection.response())
        self.assertEqual(["a"] * 4, self.stored())

    def test_queue_of_v1(self) -> None:
        """A body for v1 is a message of any type, whatever its queue is called."""
        self.make_queue("messages")
        fields = {**OWNER, **TYPE, "Transfer-Encoding": "chunked"}
        connection = Connection(self.assembly.site).send(encode_request("POST", "/v1/app/messages", fields))
        connection.send(encode_chunks([message("a"), message("b")]))
        self.assertEqual(201, connection.response().status)
        self.assertEqual([(message("a") + message("b")).decode()], self.bodies("/v1/app/messages"))

    def test_failures_only(self) -> None:
        """Stored messages have no results, if the client asks for that."""
        told = self.stream(message("a") + message("b", ttl=0) + message("c"), "?results=failures")
        self.assertEqual(("invalid-body", 2), self.problem(told[0]))
        self.assertEqual([{"done": True, "stored": 2, "failed": 1}], told[1:])
        told = self.stream(message("a") + b"broken", "?results=failures")
        self.assertEqual(("invalid-body", 2), self.problem(told[0]))
        self.assertEqual([{"done": False, "stored": 1, "failed": 1}], told[1:])
        self.assertEqual({"done": True, "stored": 1, "failed": 0}, self.stream(message("a"), "?results=all")[1])

    def test_keep_alive(self) -> None:
        """A stream that has come whole before its answer begins leaves the connection as it is."""
        connection = Connection(self.assembly.site)
        one = encode_request("POST", PATH, {**OWNER, **TYPE}, message("a"))
        connection.send(one).send(one)
        answers = connection.responses(only_json=False)
        self.assertEqual([(200, False)] * 2, [(each.status, each.closes) for each in answers])

    def test_old_clients(self) -> None:
        """HTTP/1.0 has no chunks: the end of the connection is that of the answer."""
        request = encode_request("POST", PATH, {**OWNER, **TYPE}, message("a"))
        connection = Connection(self.assembly.site).send(request.replace(b"HTTP/1.1", b"HTTP/1.0"))
        self.assertEqual({"done": True, "stored": 1, "failed": 0}, self.lines(connection)[-1])

    def test_more_than_a_batch_may_have(self) -> None:
        """A stream may have 1,001 messages, and more; they are stored in several batches."""
        told = self.stream(message("a") * (2 * MAX_LINES + 1))
        self.assertEqual({"done": True, "stored": 2001, "failed": 0}, told[-1])
        self.assertEqual((2002, [MAX_LINES, MAX_LINES, 1]), (len(told), self.held.sizes))

    def test_on_write(self) -> None:
        """Where messages make their queues, a stream does; one without messages does not."""
        assembly = self.make_assembly(SETTINGS + "[application:app]\ncreate_queues = on-write\n")
        path = "/v2/app/queues/new/messages"
        for body, there in ((b"\n", 404), (message("a") + message("b"), 200)):
            Connection(assembly.site).send(encode_request("POST", path, {**OWNER, **TYPE}, body))
            self.assertEqual(there, self.ask("GET", "/v2/app/queues/new").status)
        self.assertEqual(["a", "b"], self.bodies("/v1/app/new"))


class KeyTests(StreamCase):
    """Lines that are stored once."""

    def test_duplicate(self) -> None:
        """A line that was stored before has the same address in its result, and is marked as a duplicate."""
        body = message("a", idempotency_key="1") + message("b") + message("c", idempotency_key="2")
        first = self.stream(body)
        self.assertEqual([False, None, False], [line.get("duplicate") for line in first[:3]])
        self.assertEqual({"done": True, "stored": 3, "failed": 0}, first[3])
        self.assertEqual(sorted(line["id"] for line in first[:3]), [line["id"] for line in first[:3]])
        second = self.stream(message("c", idempotency_key="2") + message("a", idempotency_key="1"))
        self.assertEqual([True, True], [line["duplicate"] for line in second[:2]])
        self.assertEqual([first[2]["id"], first[0]["id"]], [line["id"] for line in second[:2]])
        self.assertEqual({"done": True, "stored": 2, "failed": 0}, second[2])
        self.assertEqual(["a", "b", "c"], self.stored())

    def test_twice_in_one_stream(self) -> None:
        """The second of two equal lines is a duplicate of the first."""
        told = self.stream(message("a", idempotency_key="1") * 2)
        self.assertEqual([False, True], [line["duplicate"] for line in told[:2]])
        self.assertEqual(told[0]["id"], told[1]["id"])

    def test_reused(self) -> None:
        """The same key with another message is refused, and the stream goes on."""
        told = self.stream(
            message("a", idempotency_key="1") + message("b", idempotency_key="1") + message("c", idempotency_key="2")
        )
        self.assertEqual(("key-reused", 2), self.problem(told[1]))
        self.assertEqual((422, "no"), (told[1]["status"], told[1]["applied"]))
        self.assertEqual({"done": True, "stored": 2, "failed": 1}, told[3])

    def test_key_of_a_request(self) -> None:
        """A key that a request has had is taken, in the same scope."""
        headers = {**OWNER, "Content-Type": "text/plain", "Idempotency-Key": '"1"'}
        self.assertEqual(201, self.ask("POST", PATH, headers, b"a").status)
        told = self.stream(message("a", idempotency_key="1"))
        self.assertEqual(("key-reused", 1), self.problem(told[0]))

    def test_weak(self) -> None:
        """Where that cannot be promised, each such line is refused."""
        self.make_queue("q", consistency="weak")
        told = self.stream(message("a", idempotency_key="1") + message("b"))
        self.assertEqual(("not-promised", 1), self.problem(told[0]))
        self.assertEqual({"done": True, "stored": 1, "failed": 1}, told[2])


class RefusalTests(StreamCase):
    """What is refused before anything is answered or read."""

    def refused_early(self, status: int, code: str, query: str = "", headers: Fields = CHUNKED) -> dict[str, Any]:
        connection = self.begin(query, headers)
        response = connection.response()
        self.assertTrue(response.closes)
        self.assertNotIn(CONTINUE, connection.received)
        return self.refuse(status, code, response)

    def test_query(self) -> None:
        """There is one option."""
        for query in (
            "?ttl=5",
            "?results=",
            "?results=some",
            "?results=all&results=all",
            "?partition=1",
            "?result=all",
        ):
            self.refused_early(400, "invalid-parameters", query)

    def test_headers(self) -> None:
        """What a single message has in its head, each line has for itself."""
        for name, value in (("Idempotency-Key", '"key"'), ("Queuey-Headers", "{}")):
            found = self.refused_early(400, "invalid-parameters", headers={**CHUNKED, name: value})
            self.assertEqual([name], [error["parameter"] for error in found["errors"]])

    def test_type(self) -> None:
        """Lines are UTF-8, and not compressed."""
        other = {"Content-Type": "application/x-ndjson; charset=latin-1"}
        self.refused_early(415, "unsupported-media-type", headers={**CHUNKED, **other})
        self.refused_early(415, "content-encoding", headers={**CHUNKED, "Content-Encoding": "gzip"})
        for text in (
            "Application/X-NDJSON",
            "application/x-ndjson;charset=UTF-8",
            "application/x-ndjson ; charset=utf-8",
        ):
            connection = self.begin(headers={**CHUNKED, "Content-Type": text}).send(encode_chunks([message("a")]))
            self.assertEqual(2, len(self.lines(connection)), text)

    def test_access(self) -> None:
        """A client that may not write gets the error at once."""
        anonymous = {**TYPE, "Transfer-Encoding": "chunked"}
        self.refused_early(401, "unauthorized", headers=anonymous)
        self.refused_early(403, "forbidden", headers={**anonymous, **OTHER})
        connection = Connection(self.assembly.site)
        connection.send(encode_request("POST", PATH.replace("/q/", "/other/"), CHUNKED))
        self.refuse(404, "no-such-queue", connection.response())

    def test_expected(self) -> None:
        """A client that waits for 100 Continue gets it after the checks, or is refused."""
        waits = {**CHUNKED, "Expect": "100-continue"}
        self.refused_early(400, "invalid-parameters", "?ttl=5", waits)
        connection = self.begin(headers=waits)
        self.assertEqual(CONTINUE, connection.received)
        connection.send(encode_chunks([message("a")]))
        self.assertEqual([100, 200], [each.status for each in connection.responses(only_json=False)])

    def test_broken_body_at_once(self) -> None:
        """Malformed chunks, and a stream that does not come, before anything was stored: an answer with its status."""
        connection = self.begin().send(b"zz\r\n")
        self.refuse(400, "malformed-request", connection.response())
        connection = self.begin()
        self.clock.pump([1] * 61)
        self.refuse(408, "request-timeout", connection.response())
