"""What is reported about each request to tracing."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred, succeed
from twisted.logger import globalLogPublisher
from zope.interface import implementer
from zope.interface.verify import verifyObject

from queuey.interfaces import ITraces
from queuey.model.telemetry.served import MAX_CARRIED, Served, Work
from queuey.model.telemetry.trace import TraceContext
from tests.http.api_support import LINES, OTHER, OWNER, fields_of
from tests.http.group_support import GroupTestCase
from tests.logs.support import Events

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
HEADERS = json.dumps(PARENT, separators=(",", ":")).encode()
QUEUE = "/v2/{application}/queues/{queue}"


@implementer(ITraces)
class Recorder:
    """Keeps the spans that it is given.

    :ivar id: of the trace that it says to have recorded it under.
    """

    def __init__(self) -> None:
        self.told: list[Served] = []
        self.id: str | None = None

    def start(self) -> None:
        """There is nothing to begin."""

    def served(self, served: Served) -> str | None:
        self.told.append(served)
        return self.id

    def stop(self) -> Deferred[None]:
        return succeed(None)


class TracedTests(GroupTestCase):
    """One request after another."""

    def setUp(self) -> None:
        self.traces = self.recorder = Recorder()
        super().setUp()
        self.recorder.told.clear()

    def told(self) -> Served:
        """The span of the only request since the last call."""
        (found,) = self.recorder.told
        self.recorder.told.clear()
        return found

    def work(self, operation: str, count: int | None, *ids: str, group: str | None = None) -> None:
        """What the last request has done, with messages that have a context."""
        work = self.told().work
        assert work is not None
        self.assertEqual((work.operation, work.count, work.group), (operation, count, group))
        self.assertEqual([one.id for one in work.carried], list(ids))

    def test_the_provider(self) -> None:
        """The one of these tests has what the interface promises."""
        self.assertTrue(verifyObject(ITraces, self.recorder))

    def test_everything(self) -> None:
        """Of one request, with one message."""
        fields = {**PARENT, "X-Request-Id": "r-1"}
        id = self.appended(b"x", "?ttl=60", "q", **fields)
        told = self.told()
        (carried,) = told.work.carried if told.work is not None else ()
        self.assertEqual((carried.id, carried.headers), (id, HEADERS))
        expected = Served(
            "r-1",
            "POST",
            f"{QUEUE}/messages",
            "/v2/app/queues/q/messages",
            "http",
            "1.1",
            told.client,
            201,
            0.0,
            "app",
            "q",
            TraceContext(TRACE, SPAN, 1),
            Work("send", 0.0, 0.0, None, None, (carried,)),
        )
        self.assertEqual(told, expected)

    def test_what_is_sent(self) -> None:
        """Batches, streams, and overwriting; more messages than have events of their own are counted."""
        stored = self.expect(201, self.batch([{"body": "a"}, {"body": "b"}], **PARENT))["messages"]
        self.work("send", 2, *(message["id"] for message in stored))
        self.expect(201, self.batch([{"body": "a"}, {"body": "b", "headers": {"from": "shop"}}]))
        self.work("send", 2)
        (alone,) = self.expect(201, self.batch([{"body": "a"}]))["messages"]
        self.work("send", None, alone["id"])
        many = self.expect(201, self.batch([{"body": "x"}] * 200, **PARENT))["messages"]
        self.work("send", 200, *(message["id"] for message in many[:MAX_CARRIED]))
        lines = b'{"body":"a"}\n{"body":"b","idempotency_key":"k"}\n{}\n{"body":"c"}\n'
        streamed = self.raw("POST", self.path(), fields_of({**PARENT, "Content-Type": LINES}), lines)
        ids = [found["id"] for found in map(json.loads, streamed.body.splitlines()) if "id" in found]
        self.work("send", 3, *ids)
        self.assertEqual(self.one(alone["id"], "PUT", **PARENT).status, 204)
        self.work("send", None, alone["id"])
        (kept,) = self.expect(201, self.append(b"last", Idempotency_Key='"m"'))["messages"]
        self.work("send", None, kept["id"])

    def test_what_is_received(self) -> None:
        """Pages, claims and single messages, and what is settled; those without a context are counted."""
        first, _, last = self.appended(b"a", **PARENT), self.appended(b"b"), self.appended(b"c", **PARENT)
        self.recorder.told.clear()
        self.page()
        self.work("receive", 3, first, last)
        receipts = self.receipts(limit=2)
        self.work("receive", 2, first, group="g")
        self.settled(ack=receipts)
        self.work("settle", 2, group="g")
        self.stale("no", ack=["x" * 88])
        self.work("settle", 1, group="g")
        self.one(first)
        self.work("receive", None, first)
        self.one(first, "HEAD")
        self.work("receive", None, first)

    def test_v1(self) -> None:
        """The first API does the same."""
        self.posted("/v1/app/q", "a")
        work = self.told().work
        assert work is not None
        self.assertEqual((work.operation, work.count, len(work.carried)), ("send", None, 1))
        self.appended(b"b", **PARENT)
        self.recorder.told.clear()
        (_, second) = self.read("/v1/app/q")
        told = self.told()
        assert told.work is not None
        self.assertEqual(told.route, "/v1/{application}/{queue}")
        self.assertEqual((told.work.operation, told.work.count, len(told.work.carried)), ("receive", 2, 1))
        self.expect(200, self.ask("GET", f"/v1/app/q/{second['message_id']}"))
        told = self.told()
        assert told.work is not None
        self.assertEqual((told.route, told.work.count), ("/v1/{application}/{queue}/{ids}", 1))

    def test_what_is_refused(self) -> None:
        """Before anything is done there is no work; what was begun and failed has some."""
        for headers, status in (({}, 401), (OTHER, 403)):
            self.assertEqual(self.raw("GET", self.path(), headers).status, status)
            told = self.told()
            self.assertEqual((told.status, told.work), (status, None))
        self.assertEqual(self.one(f"{'0' * 12}6{'0' * 3}8{'0' * 15}-1").status, 404)
        told = self.told()
        assert told.work is not None
        self.assertEqual((told.status, told.work.operation, told.work.carried), (404, "receive", ()))

    def test_a_client_that_hangs_up(self) -> None:
        """What it waited for ends with it."""
        self.made()
        self.recorder.told.clear()
        connection = self.start()
        self.clock.advance(3)
        connection.hang_up()
        told = self.told()
        assert told.work is not None
        self.assertEqual((told.status, told.seconds, told.work.began, told.work.ended), (499, 3.0, 0.0, 3.0))

    def test_what_is_not_told(self) -> None:
        """What is about no application, preflight requests, and paths that are not there."""
        for method, path in (("GET", "/__heartbeat__"), ("GET", "/v2/openapi.json"), ("GET", "/nope")):
            self.client.start(method, path, OWNER).hang_up()
        self.raw("OPTIONS", self.path(), {})
        self.assertEqual(self.recorder.told, [])

    def test_the_log(self) -> None:
        """It has the trace under which the request was recorded, or else that of the client."""
        events = Events()
        globalLogPublisher.addObserver(events)
        self.addCleanup(globalLogPublisher.removeObserver, events)
        for recorded, fields in ((None, {}), (None, PARENT), ("a" * 32, PARENT), ("a" * 32, {})):
            self.recorder.id = recorded
            self.appended(b"x", **fields)
        traces = [event["access_line"].trace for event in events.all if "access_line" in event]
        self.assertEqual(traces, [None, TRACE, "a" * 32, "a" * 32])
