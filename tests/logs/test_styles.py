"""The styles of log lines; clients cannot add lines of their own."""

from __future__ import annotations

import json
import re
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, LogLevel, formatEvent
from twisted.python import log as old_log
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Unavailable
from queuey.logs import EventLog, access_logger
from queuey.logs.styles import MAX_TEXT, MAX_VALUE, Event, JSONStyle, TextStyle
from tests.logs.support import Events

# 2026-11-24T13:31:08.123Z
NOW = 1795527068.1234


@attrs.frozen
class Line:
    """A request that was answered, as the HTTP server reports it."""

    request_id: str = "6f1c"
    client: str = "127.0.0.1"
    method: str = "GET"
    path: str = "/v1/app/queue?limit=1"
    status: int = 200
    bytes_in: int = 140
    bytes_out: int = 98
    seconds: float = 0.00042
    application: str | None = "app"
    queue: str | None = "queue"
    trace: str | None = None


def access(line: Line) -> Event:
    events: list[Event] = []
    access_logger(events.append, lambda: NOW)(line)
    return events[0]


def text(line: Line) -> str:
    return TextStyle().line(access(line))


def parsed(line: str) -> dict[str, str]:
    """The values of an access line, read in the way that the documentation tells."""
    head, _, rest = line.partition(" access ")
    values = re.findall(r'(?:([a-z]+)=)?("(?:[^"\\]|\\.)*"|\S+)', rest)
    found = dict(zip(("status", "method", "path"), [value for _, value in values[:3]], strict=True))
    found |= dict(values[3:])
    found["time"], found["level"] = head.split(" ")
    return {name: json.loads(value) if value.startswith('"') else value for name, value in found.items()}


class AccessTests(SynchronousTestCase):
    def test_text(self) -> None:
        self.assertEqual(
            text(Line()),
            "2026-11-24T13:31:08.123Z info access 200 GET /v1/app/queue?limit=1 client=127.0.0.1 in=140 out=98 ms=0.42"
            " app=app queue=queue id=6f1c",
        )

    def test_json(self) -> None:
        self.assertEqual(
            JSONStyle().line(access(Line())),
            '{"time":"2026-11-24T13:31:08.123Z","level":"info","event":"access","status":200,"method":"GET",'
            '"path":"/v1/app/queue?limit=1","client":"127.0.0.1","in":140,"out":98,"ms":0.42,"app":"app",'
            '"queue":"queue","id":"6f1c"}',
        )

    def test_without_application_and_queue(self) -> None:
        line = Line(application=None, queue=None)
        self.assertTrue(text(line).endswith(" ms=0.42 id=6f1c"))
        self.assertNotIn("trace", json.loads(JSONStyle().line(access(line))))
        self.assertNotIn("app", json.loads(JSONStyle().line(access(attrs.evolve(line, path="/")))))

    def test_quotes(self) -> None:
        self.assertIn(' queue="a \\"b\\" \\\\" ', text(Line(queue='a "b" \\')))
        self.assertIn(' queue="日本" ', text(Line(queue="日本")))
        self.assertIn(' queue="" ', text(Line(queue="")))

    def test_long_values_are_cut(self) -> None:
        long = "/" + "x" * 5000
        cut = f"{long[:MAX_VALUE]}... (5001 characters)"
        self.assertIn(f' "{cut}" ', text(Line(path=long)))
        self.assertEqual(json.loads(JSONStyle().line(access(Line(path=long))))["path"], cut)
        self.assertIn(f" /{'x' * (MAX_VALUE - 1)} ", text(Line(path=long[:MAX_VALUE])))

    def test_trace(self) -> None:
        """Where there is one."""
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        self.assertTrue(text(Line(trace=trace)).endswith(f" queue=queue trace={trace} id=6f1c"))
        self.assertEqual(json.loads(JSONStyle().line(access(Line(trace=trace))))["trace"], trace)

    @given(st.text(max_size=50), st.text(max_size=50), st.text(max_size=50), st.text(max_size=50))
    def test_whatever_comes_can_be_read_back(self, method: str, path: str, queue: str, id: str) -> None:
        line = Line(method=method, path=path, queue=queue, request_id=id)
        shown = text(line)
        self.assertTrue(shown.isprintable())
        found = parsed(shown)
        self.assertEqual(
            (found["method"], found["path"], found["queue"], found["id"], found["status"]),
            (method, path, queue, id, "200"),
        )
        as_json = JSONStyle().line(access(line))
        self.assertTrue(as_json.isprintable())
        self.assertEqual(json.loads(as_json)["path"], path)

    def test_other_observers_can_show_it(self) -> None:
        self.assertEqual(formatEvent(access(Line())), "GET /v1/app/queue?limit=1 200")


class EventTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.events = Events()
        self.log = EventLog(Logger("queuey.test", observer=self.events))

    def lines(self) -> tuple[str, dict[str, Any]]:
        event = {**self.events.all.pop(), "log_time": NOW}
        return TextStyle().line(event), json.loads(JSONStyle().line(event))

    def test_levels_words_and_fields(self) -> None:
        for level in ("debug", "info", "warn", "error"):
            getattr(self.log, level)("queue-made", "Made {queue} with {partitions}", queue="q", partitions=3)
            shown, fields = self.lines()
            self.assertEqual(shown, f"2026-11-24T13:31:08.123Z {level} queue-made Made q with 3")
            self.assertEqual(
                fields,
                {
                    "time": "2026-11-24T13:31:08.123Z",
                    "level": level,
                    "event": "queue-made",
                    "namespace": "queuey.test",
                    "text": "Made q with 3",
                    "queue": "q",
                    "partitions": 3,
                },
            )

    def test_values_cannot_begin_lines(self) -> None:
        evil = "x\n2026 info fake\r\x1b[2J\x85\u2028\u202e\ud800\x00\x7f\U000e0001"
        self.log.warn("odd", "Odd: {value}", value=evil)
        event = self.events.all[0]
        shown = TextStyle().line(event)
        self.assertTrue(shown.isprintable())
        self.assertTrue(
            shown.endswith(
                " warn odd Odd: x\\n2026 info fake\\r\\u001b[2J\\u0085\\u2028\\u202e\\ud800\\u0000\\u007f\\udb40\\udc01"
            ),
            shown,
        )
        as_json = JSONStyle().line(event)
        self.assertTrue(as_json.isprintable())
        self.assertEqual(json.loads(as_json)["value"], evil)

    def test_fields_of_every_type(self) -> None:
        self.log.info(
            "e", "t", none=None, yes=True, nan=float("nan"), half=0.5, raw=b"\xffa", many=(1, "b"), text="own"
        )
        fields = self.lines()[1]
        self.assertEqual(fields["text"], "t")
        expected = {"none": None, "yes": True, "nan": "nan", "half": 0.5, "raw": "\\xffa", "many": "(1, 'b')"}
        self.assertEqual({name: fields[name] for name in expected}, expected)
        self.assertEqual(fields["text_"], "own")

    def test_long_text_is_cut(self) -> None:
        self.log.info("e", "{value}", value="x" * 100_000)
        shown, fields = self.lines()
        self.assertTrue(shown.endswith("x... (100000 characters)"))
        self.assertLess(len(shown), MAX_TEXT + 100)
        self.assertLess(len(fields["value"]), MAX_TEXT + 100)

    def test_lines_of_others(self) -> None:
        Logger("twisted.web", observer=self.events).info("Site {secret}", secret="on 80", key=object())
        shown, fields = self.lines()
        self.assertEqual(shown, "2026-11-24T13:31:08.123Z info twisted.web Site on 80")
        self.assertEqual(set(fields), {"time", "level", "namespace", "text"})

    def test_the_field_event_of_others_is_no_word(self) -> None:
        Logger("a b", observer=self.events).info("x", event="Not a word\n")
        self.assertEqual(self.lines()[0], '2026-11-24T13:31:08.123Z info "a b" x')

    def test_events_that_say_nothing(self) -> None:
        for event in ({}, {"log_level": LogLevel.info, "log_time": NOW}):
            self.assertEqual((TextStyle().line(event), JSONStyle().line(event)), ("", ""))

    def test_times(self) -> None:
        for style in (TextStyle(), JSONStyle()):
            for seconds, shown in (
                (NOW, "2026-11-24T13:31:08.123Z"),
                (NOW + 0.5, "2026-11-24T13:31:08.623Z"),
                (NOW + 60, "2026-11-24T13:32:08.123Z"),
                (0.9999, "1970-01-01T00:00:00.999Z"),
            ):
                self.assertIn(shown, style.line({"log_format": "x", "log_time": seconds}))

    def test_without_time_and_level(self) -> None:
        self.assertEqual(TextStyle().line({"log_format": "x"}), "- info - x")


class FailureTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.events = Events()
        self.log = EventLog(Logger("queuey.test", observer=self.events))

    def failed(self, error: Exception) -> Failure:
        try:
            raise error
        except Exception:
            return Failure()

    def test_defects_have_a_traceback(self) -> None:
        self.log.failure("broken", "Cannot {verb}", self.failed(ValueError("one\ntwo\x85")), verb="go")
        lines = TextStyle().line(self.events.all[0]).split("\n")
        self.assertTrue(lines[0].endswith("Z error broken Cannot go: ValueError: one\\ntwo\\u0085"), lines[0])
        self.assertGreater(len(lines), 3)
        for line in lines[1:]:
            self.assertTrue(line.startswith("    | ") and line.isprintable(), line)
        self.assertIn("in failed", lines[2])
        fields = json.loads(JSONStyle().line(self.events.all[0]))
        self.assertEqual(fields["text"], "Cannot go: ValueError: one\ntwo\x85")
        self.assertIn("Traceback (most recent call last)", fields["traceback"])

    def test_errors_in_words_have_none(self) -> None:
        self.log.failure("late", "No answer", self.failed(Unavailable("Storage is slow.")))
        self.assertTrue(
            TextStyle().line(self.events.all[0]).endswith(" error late No answer: Unavailable: Storage is slow.")
        )
        self.assertNotIn("traceback", json.loads(JSONStyle().line(self.events.all[0])))

    def test_errors_by_the_old_way_of_logging(self) -> None:
        publisher = old_log.LogPublisher()
        event: Event = {}
        publisher.addObserver(event.update)
        publisher.msg(failure=self.failed(ValueError("old")), why="Why", isError=1)
        lines = TextStyle().line({**event, "log_level": LogLevel.critical}).split("\n")
        self.assertTrue(lines[0].endswith(" Why: ValueError: old"), lines[0])
        self.assertTrue(lines[1].startswith("    | Traceback"), lines[1])

    def test_without_a_text(self) -> None:
        Logger("twisted.web", observer=self.events).failure("", self.failed(KeyError("k")))
        first = TextStyle().line(self.events.all[0]).split("\n")[0]
        self.assertTrue(first.endswith(" critical twisted.web Unhandled error: KeyError: 'k'"), first)
