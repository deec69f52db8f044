"""Streams of messages over the wire: told line by line, held back, broken off, and stored as they come."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import count
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs

from queuey.errors import NoSuchQueue, QueueyError, StorageFull, Unavailable
from queuey.http.v2.streams.lines import MAX_LINES, MAX_WRONG, SLICE_LINES
from queuey.http.v2.streams.results import MAX_UNREAD
from queuey.interfaces import IStore
from queuey.model.message import NewMessage
from queuey.model.policy import WriteTerms
from queuey.model.queue import Queue
from queuey.model.timeid import MessageId
from queuey.storage.caching import CachedStore
from queuey.storage.memory import MemoryStore
from tests.http.api_support import OTHER, OWNER, SETTINGS, ApiTestCase
from tests.http.wire_support import Connection, Fields, Response, encode_chunks, encode_request

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
        """Each line is told where its message is, in order, and the last line counts."""
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
        """What is wrong with a line is told of it, with its number, and the others are stored."""
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
        """Stored messages are not told of, if the client likes."""
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
        assembly = self.make_house(SETTINGS + "[application:app]\ncreate_queues = on-write\n")
        path = "/v2/app/queues/new/messages"
        for body, there in ((b"\n", 404), (message("a") + message("b"), 200)):
            Connection(assembly.site).send(encode_request("POST", path, {**OWNER, **TYPE}, body))
            self.assertEqual(there, self.ask("GET", "/v2/app/queues/new").status)
        self.assertEqual(["a", "b"], self.bodies("/v1/app/new"))


class KeyTests(StreamCase):
    """Lines that are stored once."""

    def test_duplicate(self) -> None:
        """A line that was stored before is told again where it is, and that it is a duplicate."""
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
        """Who may not write is told so at once."""
        anonymous = {**TYPE, "Transfer-Encoding": "chunked"}
        self.refused_early(401, "unauthorized", headers=anonymous)
        self.refused_early(403, "forbidden", headers={**anonymous, **OTHER})
        connection = Connection(self.assembly.site)
        connection.send(encode_request("POST", PATH.replace("/q/", "/other/"), CHUNKED))
        self.refuse(404, "no-such-queue", connection.response())

    def test_expected(self) -> None:
        """A client that waits for it is told to go on after the checks, or refused."""
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


class ArrivingTests(StreamCase):
    """A stream is handled while it arrives."""

    def test_answered_as_it_comes(self) -> None:
        """Each line has its answer before the next one comes."""
        connection = self.begin()
        for number in range(1, 4):
            connection.send(chunk(message(str(number))))
            self.assertEqual(number, len(self.told(connection)))
            self.assertEqual(number, len(self.stored()))
        connection.send(b"0\r\n\r\n")
        self.assertEqual({"done": True, "stored": 3, "failed": 0}, self.lines(connection)[-1])

    def test_byte_by_byte(self) -> None:
        """However it comes, it is the same."""
        connection = self.begin().send_slowly(encode_chunks([message("a") + message("b")[:5], message("b")[5:-1]]))
        self.assertEqual({"done": True, "stored": 2, "failed": 0}, self.lines(connection)[-1])
        self.assertEqual(["a", "b"], self.stored())

    def test_batches(self) -> None:
        """What comes while a batch is stored is the next batch, begun as soon as that is done."""
        held = self.hold()
        connection = self.begin().send(chunk(message("a")))
        connection.send(chunk(message("b"))).send(chunk(message("c"))).send(chunk(message("d")))
        self.assertEqual(([1], []), (self.held.sizes, self.told(connection)))
        held.pop().callback(None)
        self.assertEqual(([1, 3], 1), (self.held.sizes, len(self.told(connection))))
        connection.send(b"0\r\n\r\n")
        held.pop().callback(None)
        self.assertEqual({"done": True, "stored": 4, "failed": 0}, self.lines(connection)[-1])

    def test_storage_holds_back(self) -> None:
        """While a batch is stored, no more is read than the next batch and what a connection may keep."""
        held = self.hold()
        connection = self.begin()
        sent = self.flood(connection, message("x" * 1000))
        self.assertTrue(connection.paused)
        self.assertLess(sent, 2 * MAX_LINES)
        while held:
            held.pop().callback(None)
        self.assertFalse(connection.paused)
        self.assertEqual(sent, sum(self.held.sizes))

    def flood(self, connection: Connection, line: bytes) -> int:
        """Send lines until nothing more is read; how many."""
        for number in range(100_000):
            if connection.paused:
                return number
            connection.send(chunk(line))
        return 100_000

    def test_reader_that_stops(self) -> None:
        """Nothing more is read of who does not read, or stored, until it reads, or its time is over."""
        connection = self.begin()
        connection.transport.greedy = False
        sent = self.flood(connection, message("a"))
        self.assertTrue(connection.paused)
        self.assertLess(sent, 10 * MAX_LINES)
        stored = sum(self.held.sizes)
        self.assertLess(stored, sent)
        connection.transport.read()
        self.assertGreater(sum(self.held.sizes), stored)
        self.assertGreater(self.flood(connection, message("a")), 0)
        self.clock.pump([1] * 80)
        self.assertTrue(connection.transport.aborted)

    def test_client_that_sends_all_before_it_reads(self) -> None:
        """It is read to its end, if it wants failures alone, as long as it sends; then it gets them all."""
        connection = self.begin("?results=failures")
        connection.transport.greedy = False
        for _ in range(200):
            connection.send(chunk(message("a") + message("b", ttl=0) * 10))
            self.clock.pump([0.5] * 4)
        self.assertFalse(connection.paused)
        self.assertTrue(connection.open)
        connection.send(b"0\r\n\r\n")
        while connection.transport.unread:
            connection.transport.read()
        told = self.lines(connection)
        self.assertEqual({"done": True, "stored": 200, "failed": 2000}, told[-1])
        self.assertEqual(2001, len(told))

    def test_more_failures_than_are_kept_for_who_reads(self) -> None:
        """Who reads them gets all, however many they are."""
        connection = self.begin("?results=failures")
        for _ in range(60):
            connection.send(chunk(WRONG_AND_RIGHT))
        connection.send(b"0\r\n\r\n")
        self.clock.advance(0)
        self.assertGreater(len(connection.received), MAX_UNREAD)
        *told, last = self.lines(connection)
        self.assertEqual((5940, {"done": True, "stored": 60, "failed": 5940}), (len(told), last))

    def streamed(self, body: bytes) -> list[Any]:
        """What is told of a stream whose lines take turns."""
        connection = self.begin().send(chunk(body) + b"0\r\n\r\n")
        self.clock.advance(0)
        return self.lines(connection)

    def test_too_many_in_a_row(self) -> None:
        """A stream in which so many lines are no messages ends, says why, and is answered little."""
        wrong = b'{"body":1,' + b",".join(b'"member%d":1' % number for number in range(1000)) + b"}\n"
        for body, most in ((b"{}\n" * 300_000, MAX_WRONG), (wrong * 60, MAX_WRONG - 1)):
            self.setUp()
            *told, why, last = self.streamed(message("a") + body + message("b"))
            found = len(told) - 1
            self.assertTrue(1 < found <= most, found)
            self.assertEqual(
                [self.problem(each) for each in told[1:]], [("invalid-body", at + 2) for at in range(found)]
            )
            self.assertEqual(("invalid-body", "partly", None), tuple(map(why.get, ("code", "applied", "line"))))
            self.assertIn(f"The last {found} lines are no messages. Nothing after line {found + 1}", why["detail"])
            self.assertEqual({"done": False, "stored": 1, "failed": found}, last)
            self.assertLess(len(json.dumps(told)), 64 << 10)
            self.assertEqual(["a"], self.stored())

    def test_many_that_are_not_in_a_row(self) -> None:
        """As long as there are messages between them a stream goes on, in each way that its lines are read."""
        for right in (message("a"), message("a", ttl=9)):
            self.setUp()
            wrong = b"{}\n" * (MAX_WRONG - 1)
            *_, last = self.streamed((wrong + b"\n" + right) * 3 + wrong)
            self.assertEqual({"done": True, "stored": 3, "failed": 4 * (MAX_WRONG - 1)}, last)

    def test_too_many_at_once(self) -> None:
        """If there is no message before them, nothing is stored."""
        *_, why, last = self.streamed(b"{}\n" * MAX_WRONG)
        self.assertEqual(("no", {"done": False, "stored": 0, "failed": MAX_WRONG}), (why["applied"], last))

    def turn(self) -> None:
        """One turn of the reactor: what is scheduled meanwhile is for the next."""
        due = [call for call in self.clock.calls if call.getTime() <= self.clock.seconds()]
        for call in due:
            self.clock.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)

    def test_wrong_lines_take_turns(self) -> None:
        """In one turn of the reactor a slice of one stream is handled, and then one of the next."""
        streams = [self.begin() for _ in range(5)]
        for stream in streams:
            stream.send(chunk(b"{}\n" * 90))
        seen = [0] * len(streams)
        turns = 0
        while sum(seen) < 5 * 90:
            self.turn()
            turns += 1
            counts = [len(self.told(stream)) for stream in streams]
            self.assertLessEqual(sum(counts) - sum(seen), SLICE_LINES)
            self.assertLessEqual(max(counts) - min(counts), SLICE_LINES)
            seen = counts
        self.assertEqual(([90] * 5, 5 * 3), (seen, turns))  # two slices of reading, and one more of telling
        for stream in streams:
            stream.send(b"0\r\n\r\n")
            self.assertEqual({"done": True, "stored": 0, "failed": 90}, self.lines(stream)[-1])

    def test_wrong_lines_that_waited_take_turns(self) -> None:
        """So does what is told of lines that have gathered behind a slow write."""
        held = self.hold()
        stream = self.begin().send(chunk(message("a")))
        stream.send(chunk(b"{}\n" * 99))
        self.clock.advance(0)
        held[0].callback(None)
        seen = len(self.told(stream))
        while seen < 100:
            self.turn()
            count = len(self.told(stream))
            self.assertLess(0, count - seen)
            self.assertLessEqual(count - seen, SLICE_LINES)
            seen = count

    def test_hang_up_before_the_turn(self) -> None:
        """What waits for its turn is dropped with its connection."""
        stream = self.begin().send(chunk(b'{"a":1}\n' * 120))
        stream.hang_up()
        self.clock.advance(0)
        self.assertEqual([], self.flushLoggedErrors())

    def test_more_failures_than_are_kept(self) -> None:
        """Failures that nobody reads have a limit; then they are counted, and the client is told so."""
        connection = self.begin("?results=failures")
        connection.transport.greedy = False
        for _ in range(60):
            connection.send(chunk(WRONG_AND_RIGHT))
            self.clock.advance(0)
        connection.send(chunk(b"broken\n"))
        while connection.transport.unread:
            connection.transport.read()
            self.clock.advance(0)
        told = self.lines(connection)
        untold = told[-1]["untold"]
        self.assertEqual({"done": False, "stored": 60, "failed": 5941, "untold": untold}, told[-1])
        self.assertEqual(5941 - untold, len(told) - 1)
        self.assertEqual(("invalid-body", 6001), self.problem(told[-2]))
        self.assertGreater(untold, 0)

    def test_hang_up(self) -> None:
        """What was begun is finished, and nothing more is begun."""
        held = self.hold()
        connection = self.begin().send(chunk(message("a"))).send(chunk(message("b")))
        connection.hang_up()
        held.pop().callback(None)
        self.assertEqual(([1], ["a"]), (self.held.sizes, self.stored()))
        self.begin().send(chunk(message("c")[:-1])).hang_up()
        self.assertEqual([1], self.held.sizes)
        connection = self.begin("?results=failures")
        connection.transport.greedy = False
        connection.send(chunk(message("c", ttl=0) * 1000)).hang_up()
        connection = self.begin()
        connection.transport.greedy = False
        self.held.held = None
        self.flood(connection, message("a"))
        stored = sum(self.held.sizes)
        connection.hang_up()
        self.assertEqual(stored, sum(self.held.sizes))
        self.assertEqual([], self.flushLoggedErrors())

    def test_body_that_breaks(self) -> None:
        """Malformed chunks, or a client that is silent for too long: what came before is stored, and told."""
        ways: tuple[tuple[str, Callable[[Connection], object]], ...] = (
            ("malformed-request", lambda connection: connection.send(b"zz\r\n")),
            ("request-timeout", lambda connection: self.clock.pump([1] * 61)),
            ("overloaded", lambda connection: self.assembly.site.drain()),
        )
        for code, way in ways:
            self.setUp()
            connection = self.begin().send(chunk(message("a") + b'{"body":'))
            way(connection)
            _, problem, last = self.lines(connection)
            self.assertEqual((code, "partly", False), (problem["code"], problem["applied"], "line" in problem))
            self.assertEqual({"done": False, "stored": 1, "failed": 0}, last)
            self.assertTrue(connection.transport.half_closed)

    def test_body_that_breaks_after_failures(self) -> None:
        """The problem of the whole stream says what is known of all its lines."""
        for error, applied in ((Unavailable("Who knows.", applied="unknown"), "unknown"), (StorageFull("No."), "no")):
            self.held.errors = [error]
            connection = self.begin().send(chunk(message("a"))).send(b"zz\r\n")
            failed, problem, last = self.lines(connection)
            self.assertEqual((applied, applied), (failed["applied"], problem["applied"]))
            self.assertEqual({"done": False, "stored": 0, "failed": 1}, last)

    def test_body_that_breaks_while_its_lines_are_stored(self) -> None:
        """What is being stored is waited for, so that nobody is told that nothing was."""
        held = self.hold()
        connection = self.begin().send(chunk(message("a"))).send(b"zz\r\n")
        self.assertEqual(b"", connection.received)
        held.pop().callback(None)
        _, problem, last = self.lines(connection)
        self.assertEqual("malformed-request", problem["code"])
        self.assertEqual({"done": False, "stored": 1, "failed": 0}, last)

    def test_silent_within_the_framing(self) -> None:
        """Who stops in the middle of what is around the chunks is silent as well."""
        for begun in (b"5", b"0\r\n", b"0\r\nX-Trailer: 1\r\n"):
            connection = self.begin().send(chunk(message("a"))).send(begun)
            self.clock.pump([1] * 61)
            self.assertEqual("request-timeout", self.lines(connection)[1]["code"], begun)
        connection = self.begin().send(b"5")
        self.clock.pump([1] * 61)
        self.refuse(408, "request-timeout", connection.response())

    def test_stop_before_a_stream(self) -> None:
        """A stream is not begun when the server has come to its end: it could take any time."""
        connection = Connection(self.assembly.site)
        connection.send(encode_request("POST", PATH, {**OWNER, **TYPE}, message("a")))
        self.assembly.site.drain()
        connection.send(encode_request("POST", PATH, CHUNKED)).send(chunk(message("b")))
        stored, refused = connection.responses(only_json=False)
        self.assertEqual((200, 503), (stored.status, self.refuse(503, "overloaded", refused)["status"]))
        self.assertEqual([1], self.held.sizes)
        self.assertTrue(connection.transport.half_closed)

    def test_time_for_each_piece(self) -> None:
        """A stream may take as long as it likes, as long as something comes."""
        connection = self.begin()
        for _ in range(10):
            self.clock.pump([1] * 50)
            connection.send(chunk(message("a")))
        connection.send(b"0\r\n\r\n")
        self.assertEqual({"done": True, "stored": 10, "failed": 0}, self.lines(connection)[-1])


class FailingTests(StreamCase):
    """Storage that fails."""

    def fail_with(self, *errors: QueueyError) -> None:
        self.held.errors = [*errors]

    def test_goes_on(self) -> None:
        """Every line of a batch that fails has that problem, and whether it was stored; then the stream goes on."""
        self.fail_with(Unavailable("It is away.", applied="unknown"), StorageFull("It is full."))
        connection = self.begin().send(chunk(message("a") + message("b"))).send(chunk(message("c")))
        connection.send(encode_chunks([message("d")]))
        told = self.lines(connection)
        self.assertEqual(
            [("unavailable", 1), ("unavailable", 2), ("storage-full", 3)], [self.problem(line) for line in told[:3]]
        )
        self.assertEqual(["unknown", "unknown", "no"], [line["applied"] for line in told[:3]])
        self.assertEqual({"done": True, "stored": 1, "failed": 3}, told[-1])
        self.assertEqual(["d"], self.stored())

    def test_some_of_a_batch(self) -> None:
        """Each line has its own outcome, though some of a batch are wrong, some fail, and some are stored."""
        self.fail_with(Unavailable("It is away.", applied="unknown"))
        told = self.stream(
            message("a", ttl=0) + message("b") + message("c", ttl=0) + message("d", idempotency_key="1") + message("e")
        )
        self.assertEqual(
            [("invalid-body", 1), ("unavailable", 2), ("invalid-body", 3)], [self.problem(line) for line in told[:3]]
        )
        self.assertEqual({"done": True, "stored": 2, "failed": 3}, told[5])
        self.assertEqual(["d", "e"], self.stored())

    def test_log(self) -> None:
        """The log has what storage refused, and nothing of what is the client's."""
        self.fail_with(Unavailable("It is away.", applied="unknown"), NoSuchQueue("It is gone."))
        with capturedLogs() as events:
            self.begin().send(chunk(message("a") + message("b", ttl=0))).send(chunk(message("c")))
        refused = [event for event in events if event.get("event") == "refused"]
        self.assertEqual([(503, "unknown")], [(event["status"], event["applied"]) for event in refused])

    def change(self, **settings: Any) -> None:
        headers = {**OWNER, "Content-Type": "application/merge-patch+json"}
        answer = self.ask("PATCH", "/v2/app/queues/q", headers, json.dumps(settings).encode())
        self.assertEqual(200, answer.status, answer.body)

    def test_changed_queue(self) -> None:
        """Each line goes by the queue as it is when the line comes, however old the stream is."""
        connection = self.begin().send(chunk(message("a", partition=2) + message("b", idempotency_key="b")))
        self.change(partitions=2, ttl=50, consistency="weak")
        connection.send(chunk(message("c", partition=2) + message("d", idempotency_key="d")))
        self.change(consistency="strong")
        connection.send(chunk(message("e", idempotency_key="e"))).send(b"0\r\n\r\n")
        told = self.lines(connection)
        self.assertEqual([("invalid-body", 1), ("not-promised", 4)], [self.problem(told[at]) for at in (0, 3)])
        self.assertEqual(2, told[2]["partition"])
        self.assertEqual({"done": True, "stored": 3, "failed": 2}, told[5])
        page = self.ask("GET", PATH).json["messages"]
        lives = {each["body"]: each["expires"][:19] for each in page}
        self.assertEqual(lives["c"], lives["e"])
        self.assertLess(lives["c"], lives["b"])

    def test_deleted_queue(self) -> None:
        """If the queue is deleted, what was sent since is told so, and the stream ends."""
        connection = self.begin().send(chunk(message("a")))
        self.assertEqual(200, self.ask("DELETE", "/v1/app/q").status)
        connection.send(chunk(message("b") + message("c"))).send(chunk(message("d")))
        told = self.lines(connection)
        self.assertEqual([("no-such-queue", 2), ("no-such-queue", 3)], [self.problem(line) for line in told[1:3]])
        self.assertEqual({"done": False, "stored": 1, "failed": 2}, told[3])
        self.assertTrue(connection.transport.half_closed)

    def test_revoked_key(self) -> None:
        """A key that lets in no more lets a stream go on no longer: what was sent since is told so, and it ends."""
        connection = self.begin().send(chunk(message("a")))
        settings = self.assembly.in_force.settings
        without = [attrs.evolve(one, digests=frozenset()) for one in settings.applications]
        self.assembly.use(attrs.evolve(settings, applications=tuple(without)))
        connection.send(chunk(message("b") + message("c"))).send(chunk(message("d")))
        told = self.lines(connection)
        self.assertEqual([("unauthorized", 2), ("unauthorized", 3)], [self.problem(line) for line in told[1:3]])
        self.assertEqual({"done": False, "stored": 1, "failed": 2}, told[3])
        self.assertTrue(connection.transport.half_closed)
        self.assertEqual([1], self.held.sizes)

    def test_deleted_queue_and_a_broken_line(self) -> None:
        """Of what comes after the lines that failed nothing is told: the lines before it were dropped."""
        held = self.hold()
        connection = self.begin().send(chunk(message("a"))).send(chunk(message("b") + b"broken"))
        connection.send(b"0\r\n\r\n")
        held.pop().errback(NoSuchQueue("It is gone."))
        problem, last = self.lines(connection)
        self.assertEqual(("no-such-queue", 1), self.problem(problem))
        self.assertEqual({"done": False, "stored": 0, "failed": 1}, last)
        self.assertEqual([1], self.held.sizes)

    def test_found_out_while_the_client_is_silent(self) -> None:
        """What ends a stream is told at once, and not when the client sends more."""
        for error, last in (
            (NoSuchQueue("It is gone."), {"done": False, "stored": 0, "failed": 1}),
            (KeyError(), None),
        ):
            held = self.hold()
            connection = self.begin().send(chunk(message("a")))
            held.pop().errback(error)
            if last is None:
                self.refuse(500, "internal", connection.response())
            else:
                self.assertEqual(last, self.lines(connection)[-1])
            self.assertTrue(connection.transport.half_closed)
        self.assertEqual(1, len(self.flushLoggedErrors(KeyError)))

    def test_defects(self) -> None:
        """A defect is a 500 before the answer begins; then it cuts the connection. Either way the log has it."""
        self.held.errors = [ZeroDivisionError()]
        connection = self.begin().send(chunk(message("a")))
        self.refuse(500, "internal", connection.response())
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        connection = self.begin().send(chunk(message("a")))
        self.held.errors = [ZeroDivisionError()]
        connection.send(chunk(message("b")))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertTrue(connection.transport.aborted)
        self.assertEqual(1, len(self.told(connection)))
