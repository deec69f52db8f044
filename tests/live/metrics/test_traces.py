"""Traces of a live daemon, as a collector is given them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.request
from itertools import count
from typing import Any, Final

from tests import runs_in
from tests.live.clients import HEADERS, ask
from tests.live.daemon.test_daemon import TWISTD, LiveTestCase, end, wait_until
from tests.live.metrics.collecting import Collector, Told
from tests.live.running import LIMIT, WORKERS, Daemon, free_port

QUEUE: Final = "/v2/queuey/queues/q"
MESSAGES: Final = f"{QUEUE}/messages"
ROUTE: Final = "/v2/{application}/queues/{queue}"
BATCH: Final = "application/vnd.queuey.messages+json"
LINES: Final = "application/x-ndjson"
SECRET: Final = "a-secret-that-stands-in-a-body"


class TracesTestCase(LiveTestCase):
    """A daemon that exports, and what it is asked."""

    def setUp(self) -> None:
        super().setUp()
        self.numbers = count(1)

    def collect(self, port: int = 0, *, hangs: bool = False) -> Collector:
        """A collector that is closed with the test."""
        collector = Collector(port, hangs=hangs)
        self.addCleanup(collector.close)
        return collector

    def export_to(self, url: str, more: str = "") -> None:
        self.add_settings(f"\n[tracing]\nendpoint = {url}\n{more}")

    def context(self, flags: str = "01") -> tuple[str, str, dict[str, str]]:
        """The ids of a trace and of a span, and the header that says so."""
        number = next(self.numbers)
        trace, span = f"{number:032x}", f"{number + 0xA000:016x}"
        return trace, span, {"traceparent": f"00-{trace}-{span}-{flags}"}

    def post(self, path: str, body: Any, kind: str = "application/json", **headers: str) -> Any:
        """What is answered, which is a success; of lines the first."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, data, {**HEADERS, "Content-Type": kind, **headers}, method="POST")
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            return json.loads(answer.read().split(b"\n")[0])

    def spans_of(self, collector: Collector, *traces: str) -> list[list[Told]]:
        """The spans of each trace, that of the request first, once all are there."""

        def found() -> list[list[Told]]:
            spans = collector.spans
            return [sorted((s for s in spans if s.trace_id == one), key=lambda s: s.start) for one in traces]

        wait_until(lambda: all(any(s.kind == "server" for s in some) for some in found()), f"no spans of {traces}")
        return found()

    def words(self, daemon: Daemon) -> list[str]:
        """What was said of traces, each word as often as there are processes that may say it."""
        return re.findall(r" (traces-\S+) ", daemon.output())

    def access_lines(self, daemon: Daemon) -> dict[str, str]:
        """The ids of traces in the log, by the ids of requests."""
        return {id: trace for trace, id in re.findall(r" trace=(\S+) id=(\S+)", daemon.output())}


class ExportTests(TracesTestCase):
    """What is exported."""

    @runs_in("test")
    def test_everything(self) -> None:
        """Parents, links and attributes, of what is sent, received and settled; and what was kept is kept for good."""
        collector = self.collect()
        self.export_to(collector.url, "headers = X-Key: a-key-of-the-collector\nservice_name = shop\n")
        daemon = self.serve()
        self.assertEqual(ask(self.port, "PUT", QUEUE)[0], 201)
        one, batch, lines, page, claim, settle, first = (self.context() for _ in range(7))
        state = {"tracestate": "congo=t61rcWkgMzE", "X-Request-Id": "the-first"}
        (stored,) = self.post(MESSAGES, SECRET.encode(), "text/plain", **one[2], **state)["messages"]
        own = {"traceparent": f"00-{'e' * 32}-{'f' * 16}-01"}
        items = [{"body": SECRET}, {"body": "b", "headers": own}]
        in_batch = [each["id"] for each in self.post(MESSAGES, {"messages": items}, BATCH, **batch[2])["messages"]]
        streamed = self.post(MESSAGES, b'{"body":"c"}\n{"body":"d"}\n', LINES, **lines[2])["id"]
        self.assertEqual(ask(self.port, "GET", f"{MESSAGES}?limit=3", None, **page[2])[0], 200)
        claimed = self.post(f"{QUEUE}/groups/g/claims", {"limit": 2}, **claim[2])["messages"]
        receipts = {"ack": [message["receipt"] for message in claimed]}
        self.assertEqual(len(self.post(f"{QUEUE}/groups/g/settlements", receipts, **settle[2])["outcomes"]), 2)
        self.assertEqual(ask(self.port, "GET", "/v1/queuey/q?limit=1", None, **first[2])[0], 200)
        told = self.spans_of(collector, *(each[0] for each in (one, batch, lines, page, claim, settle, first)))
        self.assertEqual([len(spans) for spans in told], [2] * 7)
        for context, (server, work) in zip((one, batch, lines, page, claim, settle, first), told, strict=True):
            self.assertEqual((server.parent_id, work.parent_id), (context[1], server.span_id))
            self.assertLessEqual(server.start, work.start)
            self.assertLessEqual(work.end, server.end)
        names = [(server.name, work.name, work.kind) for server, work in told]
        send, receive = ("send q", "producer"), ("receive q", "consumer")
        self.assertEqual(
            names,
            [
                *[(f"POST {ROUTE}/messages", *send)] * 3,
                (f"GET {ROUTE}/messages", *receive),
                (f"POST {ROUTE}/groups/{{group}}/claims", *receive),
                (f"POST {ROUTE}/groups/{{group}}/settlements", "settle q", "internal"),
                ("GET /v1/{application}/{queue}", *receive),
            ],
        )
        server, work = told[0]
        self.assertEqual(
            server.attributes,
            {
                "http.request.method": "POST",
                "http.route": f"{ROUTE}/messages",
                "http.response.status_code": 201,
                "url.path": MESSAGES,
                "url.scheme": "http",
                "network.protocol.version": "1.1",
                "client.address": "127.0.0.1",
                "queuey.request.id": "the-first",
                "queuey.application": "queuey",
            },
        )
        self.assertEqual((server.state, server.kind), ("congo=t61rcWkgMzE", "server"))
        common = {"messaging.system": "queuey", "messaging.destination.name": "q", "queuey.application": "queuey"}

        def doing(operation: str, **more: Any) -> dict[str, Any]:
            named = {"messaging.operation.name": operation, "messaging.operation.type": operation}
            return {
                **common,
                **named,
                **{f"messaging.{name.replace('__', '.')}": value for name, value in more.items()},
            }

        self.assertEqual(
            [work.attributes for _, work in told],
            [
                doing("send", message__id=stored["id"]),
                doing("send", batch__message_count=2),
                doing("send", batch__message_count=2),
                doing("receive", batch__message_count=3),
                doing("receive", batch__message_count=2, consumer__group__name="g"),
                doing("settle", batch__message_count=2, consumer__group__name="g"),
                doing("receive", batch__message_count=1),
            ],
        )
        of_one, of_batch, of_own, of_lines = (
            f"{one[0]}-{one[1]}",
            f"{batch[0]}-{batch[1]}",
            f"{'e' * 32}-{'f' * 16}",
            f"{lines[0]}-{lines[1]}",
        )

        def by(id: str) -> dict[str, str]:
            return {"messaging.message.id": id}

        links = [work.links for _, work in told]
        in_order = ((of_one, by(stored["id"])), (of_batch, by(in_batch[0])), (of_own, by(in_batch[1])))
        self.assertEqual(links[0], ((of_one, {}),))
        self.assertEqual(links[1], in_order[1:])
        self.assertEqual(([context for context, _ in links[2]], links[2][0][1]), ([of_lines] * 2, by(streamed)))
        self.assertEqual(links[3:], [in_order, in_order[:2], (), in_order[:1]])
        self.assertEqual(server.resource["service.name"], "shop")
        self.assertEqual(collector.headers["x-key"], "a-key-of-the-collector")
        shown = daemon.output() + str(collector.spans)
        for secret in (SECRET, HEADERS["Authorization"].split()[1], "a-key-of-the-collector"):
            self.assertNotIn(secret, shown)
        self.assertEqual(self.access_lines(daemon)["the-first"], one[0])

        # What was decided elsewhere holds; what begins here has a trace of its own, which the log names.
        unsampled = self.context("00")
        self.assertEqual(ask(self.port, "GET", f"{MESSAGES}?limit=1", None, **unsampled[2])[0], 200)
        self.assertEqual(ask(self.port, "GET", "/v2/queuey/queues/nope", None, **{"X-Request-Id": "the-last"})[0], 404)
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        (last,) = (span for span in collector.spans if span.attributes.get("queuey.request.id") == "the-last")
        self.assertEqual((last.parent_id, last.attributes["http.response.status_code"]), ("", 404))
        self.assertEqual(self.access_lines(daemon)["the-last"], last.trace_id)
        self.assertNotIn(unsampled[0], [span.trace_id for span in collector.spans])
        self.assertNotIn("traces-", daemon.output())

        daemon = self.serve()
        found = ask(self.port, "GET", f"{MESSAGES}?limit=3")[1]["messages"]
        told_of_one = {**one[2], "tracestate": state["tracestate"]}
        self.assertEqual([message["headers"] for message in found], [told_of_one, batch[2], own])

    def test_in_the_background(self) -> None:
        """The threads of the SDK begin in the process that serves."""
        collector = self.collect()
        self.export_to(collector.url)
        command = [str(TWISTD), "--pidfile", "twistd.pid", "queuey", "--config", str(self.settings)]
        self.assertEqual(subprocess.run(command, cwd=self.folder, timeout=LIMIT).returncode, 0)
        pid = int((self.folder / "twistd.pid").read_text())
        self.addCleanup(end, pid)
        trace, span, header = self.context()
        self.assertEqual(ask(self.port, "PUT", QUEUE, None, **header)[0], 201)
        ((server,),) = self.spans_of(collector, trace)
        self.assertEqual(server.parent_id, span)
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not (self.folder / "twistd.pid").exists(), "it did not stop")


class CollectorTests(TracesTestCase):
    """Collectors that do not work: no request waits for them. Each worker exports what it has served."""

    def test_away_and_back(self) -> None:
        """It is said once that spans are lost, and once that they are no more, by each process that lost some."""
        port = free_port()
        self.export_to(f"http://127.0.0.1:{port}/v1/traces", "export_timeout = 0.2\n")
        daemon = self.serve()
        self.assertEqual(ask(self.port, "PUT", QUEUE)[0], 201)
        wait_until(lambda: " warn traces-lost " in daemon.output(), "nothing was said")
        collector = self.collect(port)

        def back() -> bool:
            self.assertEqual(ask(self.port, "GET", QUEUE)[0], 200)
            words = self.words(daemon)
            return words.count("traces-back") == words.count("traces-lost")

        wait_until(back, "it did not come back")
        self.assertTrue(collector.spans)
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        words = self.words(daemon)
        times = words.count("traces-lost")
        self.assertLessEqual(times, WORKERS)
        self.assertEqual(sorted(words, reverse=True), ["traces-lost"] * times + ["traces-back"] * times)
        self.assertNotIn("Traceback", daemon.output())
        self.assertEqual([line for line in daemon.output().splitlines() if not re.match(r"\d{4}-\d\d-", line)], [])

    def test_hanging(self) -> None:
        """Requests are answered, what is too much is lost, and the end does not wait for longer than it may."""
        collector = self.collect(hangs=True)
        self.export_to(collector.url, "max_spans = 4\nexport_timeout = 60\nflush_timeout = 0.5\n")
        daemon = self.serve()
        self.assertEqual(ask(self.port, "PUT", QUEUE)[0], 201)
        self.assertTrue(collector.asked.wait(LIMIT), "nothing was exported")

        def lost() -> bool:
            for _ in range(20):
                self.assertEqual(ask(self.port, "POST", MESSAGES, b"x")[0], 201)
            return self.words(daemon).count("traces-lost") == WORKERS

        wait_until(lost, "not every process says that spans are lost")
        told = daemon.output()
        self.assertEqual(told.count("traces-lost spans are lost: more than 4 wait for their export"), WORKERS)
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        self.assertEqual(self.words(daemon), ["traces-lost"] * WORKERS + ["traces-cut"] * WORKERS)
        cut = "traces-cut 4 spans were not exported within 0.5 s, and are lost"
        self.assertEqual(daemon.output().count(cut), WORKERS)
        self.assertIn(" info stopped ", daemon.output())
