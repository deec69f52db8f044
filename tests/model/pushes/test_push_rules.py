"""What a push sends, and what answers mean: requests, signatures, verdicts and the circuit."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.messages.message import Content, Message
from queuey.model.pushes.circuit import FAILURES, LONGEST, Circuit
from queuey.model.pushes.outcomes import LONGEST_PAUSE, Verdict, judge, parse_retry_after, pause
from queuey.model.pushes.requests import push_body, reply_type, signed_headers
from queuey.model.pushes.settings import (
    REJECTABLE,
    Format,
    Paused,
    Push,
    Secret,
    decode_push,
    encode_push,
    header_problem,
    prefix_problem,
)
from queuey.model.pushes.signatures import secret_text, signature
from queuey.model.timeid import Ticks, from_hex, ticks_of, to_rfc3339

ID = from_hex("1f0cac17d82a6730b16c3a8f2b9d4e01")
URL = "https://example.com/hook"


def message(body: bytes = b"x", content_type: str | None = None, headers: Any = None) -> Message:
    assert ID is not None
    encoded = None if headers is None else json.dumps(headers, ensure_ascii=False).encode()
    return Message(1, ID, Content(body, content_type, encoded), Ticks(0))


class SignatureTests(SynchronousTestCase):
    def test_verified_by_the_library(self) -> None:
        """The library of the Standard Webhooks project verifies our signature by each live secret."""
        now, secrets = int(datetime.now(UTC).timestamp()), (b"a" * 32, b"b" * 32)
        made = push_body(Push(URL), "/v2/app/queues/q", message(b'{"a": "\xc3\xa9"}', "application/json"))
        headers = dict(signed_headers(made, secrets, now))
        for secret in secrets:
            self.assertEqual(Webhook(secret_text(secret)).verify(made.body, headers), {"a": "é"})

    def test_same_as_the_library(self) -> None:
        moment = datetime(2026, 1, 2, tzinfo=UTC)
        theirs = Webhook(secret_text(b"k" * 32)).sign("id-1", moment, "body")
        self.assertEqual(signature([b"k" * 32], "id-1", int(moment.timestamp()), b"body"), theirs)


class RequestTests(SynchronousTestCase):
    def headers(self, push: Push, **of: Any) -> dict[str, str]:
        return dict(push_body(push, "/v2/app/queues/q", message(**of)).headers)

    def test_raw(self) -> None:
        """The body as it is, the message's headers under a prefix, percent-encoded, and the trace."""
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        own = {"Order": "7", "Naïve": "x", "text": "é\r\nX: 1", "n": 5, "traceparent": parent, "tracestate": "a=b"}
        push = Push(URL, headers=(("Authorization", "Bearer x"),))
        made = push_body(push, "/v2/app/queues/q", message(b"\0", "image/png", own))
        self.assertEqual(made.body, b"\0")
        self.assertEqual(made.id, "1f0cac17d82a6730b16c3a8f2b9d4e01-1")
        self.assertEqual(
            dict(made.headers),
            {
                "content-type": "image/png",
                "message-Order": "7",
                "message-text": "%C3%A9%0D%0AX:%201",
                "message-n": "5",
                "traceparent": parent,
                "tracestate": "a=b",
                "Authorization": "Bearer x",
            },
        )

    def test_content_type(self) -> None:
        """A content type that cannot stand in a header field is replaced."""
        for told, sent in ((None, "text/plain; charset=utf-8"), ("a\r\nb: c", "application/octet-stream")):
            self.assertEqual(self.headers(Push(URL), content_type=told)["content-type"], sent)

    def test_type_of_a_reply(self) -> None:
        """A type that is no media type, which no client could have posted or could restore, is not stored."""
        for hostile in ("text/plain\rX-Evil: 1", "text/\xe9", "a\0b", "", "a" * 2000):
            self.assertEqual(reply_type(hostile), "application/octet-stream")
        self.assertEqual((reply_type("text/css; a=b"), reply_type(None)), ("text/css; a=b", None))

    def test_cloudevent(self) -> None:
        """In binary mode the attributes are header fields."""
        push = Push(URL, format=Format.CLOUDEVENTS, event_type="order.paid")
        made = push_body(push, "/v2/app/queues/q", message(b"1", "application/json", {"queuey-key": "k"}))
        assert ID is not None
        time = to_rfc3339(ticks_of(ID))
        wanted = {"specversion": "1.0", "id": made.id, "source": "/v2/app/queues/q", "type": "order.paid"}
        wanted |= {"time": time, "partitionkey": "k"}
        found = {name[3:]: value for name, value in made.headers if name.startswith("ce-")}
        self.assertEqual(found, wanted)
        self.assertEqual(made.body, b"1")

    def test_structured(self) -> None:
        """In structured mode the body is the event: JSON as it is, other text as text, other bytes as base64."""
        push = Push(URL, format=Format.CLOUDEVENTS_STRUCTURED)
        deep = b"[" * 100_000
        for body, content_type, name, value in (
            (b'{"a": [1, "\xc3\xa9"]}', "application/json", "data", {"a": [1, "é"]}),
            (b"{}", "application/x+json; v=1", "data", {}),
            (b"caf\xc3\xa9", "text/plain", "data", "café"),
            (b"\xff\0", None, "data_base64", b"\xff\0"),
            (b"{", "application/json", "data_base64", b"{"),
            (b"[NaN]", "application/json", "data_base64", b"[NaN]"),
            (deep, "application/json", "data_base64", deep),
        ):
            made = push_body(push, "/s", message(body, content_type))
            event = json.loads(made.body)
            found = b64decode(event[name]) if name == "data_base64" else event[name]
            self.assertEqual(found, value)
            self.assertEqual(dict(made.headers)["content-type"], "application/cloudevents+json; charset=utf-8")
            self.assertEqual({"data", "data_base64"} & event.keys(), {name})

    def test_structured_as_it_is(self) -> None:
        """JSON is sent to the byte, so numbers keep their digits."""
        push, number = Push(URL, format=Format.CLOUDEVENTS_STRUCTURED), b"[1.0000000000000000000001, 1e999]"
        self.assertIn(b'"data":' + number, push_body(push, "/s", message(number, "application/json")).body)

    @given(st.dictionaries(st.text(max_size=9), st.text(max_size=9) | st.integers() | st.none(), max_size=4))
    def test_no_header_is_added(self, own: dict[str, Any]) -> None:
        """Whatever a message's headers are, all fields are visible ASCII, and each is under the prefix."""
        for name, value in self.headers(Push(URL, header_prefix="m-"), headers=own).items():
            self.assertTrue(name == "content-type" or name.startswith("m-"), name)
            self.assertTrue(f"{name}{value}".isascii() and f"{name}{value}".isprintable())


class VerdictTests(SynchronousTestCase):
    def verdict(self, status: int | None, retry_after: float | None = None, deliveries: int = 1, **push: Any) -> Any:
        return judge(Push(URL, **push), status, retry_after, deliveries, 5, 0.0)

    def test_verdicts(self) -> None:
        for taken in (200, 201, 204, 299):
            self.assertIs(self.verdict(taken).verdict, Verdict.ACK)
        for status in (None, 100, 199, 300, 301, 302, 307, 308, 400, 401, 404, 408, 429, 500, 503, 599):
            self.assertEqual((self.verdict(status).verdict, self.verdict(status).delay), (Verdict.RETRY, 5.0), status)
        self.assertIs(self.verdict(410).verdict, Verdict.PAUSE)

    def test_reject_on(self) -> None:
        for status in REJECTABLE:
            self.assertIs(self.verdict(status, reject_on=(status,)).verdict, Verdict.REJECT)
            self.assertIs(self.verdict(status, reject_on=(500, 401)).verdict, Verdict.RETRY)
        for status in (401, 500):
            self.assertIs(self.verdict(status, reject_on=(500, 401)).verdict, Verdict.RETRY)

    def test_last_delivery(self) -> None:
        """The last delivery that the group allows rejects the message; without a limit there is none."""
        self.assertIs(self.verdict(500, deliveries=4).verdict, Verdict.RETRY)
        self.assertIs(self.verdict(500, deliveries=5).verdict, Verdict.REJECT)
        self.assertTrue(self.verdict(500, deliveries=5).failed)
        self.assertFalse(self.verdict(400, deliveries=5, reject_on=(400,)).failed)
        self.assertIs(judge(Push(URL), 500, None, 999, 0, 0).verdict, Verdict.RETRY)

    def test_retry_after(self) -> None:
        """It counts for 429 and 503, from a second to an hour."""
        for asked, delay in ((0.0, 1.0), (7.0, 7.0), (99_999.0, 3600.0)):
            self.assertEqual(self.verdict(503, asked).delay, delay)
            self.assertEqual(self.verdict(429, asked).delay, delay)
            self.assertEqual(self.verdict(500, asked).delay, 5.0)

    def test_parse_retry_after(self) -> None:
        now = datetime(2026, 1, 2, tzinfo=UTC).timestamp()
        for text, seconds in (
            (None, None),
            ("7", 7.0),
            ("9" * 400, 999_999_999.0),
            ("Fri, 02 Jan 2026 00:01:00 GMT", 60.0),
            ("Fri, 02 Jan 2020 00:01:00 GMT", 0.0),
            ("Fri, 99 Jan 2026 00:01:00 GMT", None),
            ("-1", None),
            ("soon", None),
            ("²", None),
        ):
            self.assertEqual(parse_retry_after(text, now), seconds, text)

    @given(st.integers(0, 10**6), st.floats(0, 1))
    def test_pauses(self, attempts: int, random: float) -> None:
        self.assertTrue(5 <= pause(attempts, random) <= LONGEST_PAUSE)
        self.assertGreaterEqual(pause(attempts + 1, 0), pause(attempts, 0))


class CircuitTests(SynchronousTestCase):
    def test_opens_and_closes(self) -> None:
        circuit = Circuit()
        for number in range(FAILURES):
            self.assertEqual((circuit.allowed(8), circuit.wait(100)), (8, 0.0), number)
            circuit.failed(99, 100, 0)
        self.assertEqual((circuit.open, circuit.allowed(8), circuit.wait(100), circuit.wait(105)), (True, 1, 5.0, 0.0))
        circuit.failed(105, 106, 0)
        self.assertEqual(circuit.wait(106), 10.0)
        for number in range(2, 100):
            circuit.failed(1000 * number, 1000 * number, 0)
        self.assertEqual(circuit.wait(99_000), LONGEST)
        circuit.succeeded()
        self.assertEqual((circuit.open, circuit.allowed(8), circuit.wait(99_000)), (False, 8, 0.0))

    def test_requests_that_fail_together(self) -> None:
        """They make one pause, however many they are; the next pause is longer after an attempt that was a test."""
        circuit = Circuit()
        for number in range(64):
            circuit.failed(90, 100 + number / 100, 0)
        self.assertEqual((circuit.failures, circuit.wait(100.09)), (64, 5.0))
        circuit.failed(90, 103, 0, 7)  # what an endpoint asks for is done in any case
        self.assertEqual(circuit.wait(103), 7)
        circuit.failed(110, 111, 0)
        self.assertEqual(circuit.wait(111), 10.0)

    def test_retry_after(self) -> None:
        circuit = Circuit()
        for _ in range(FAILURES):
            circuit.failed(0, 0, 0, 3000)
        self.assertEqual(circuit.wait(0), 3000)


class SettingsTests(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        full = Push(
            URL,
            3,
            2,
            0.5,
            Format.CLOUDEVENTS,
            (("A", "b"),),
            "x-",
            "t",
            (400,),
            "answers",
            (Secret("s1", b"\1", Ticks(7)),),
            Paused(Ticks(9), "gone"),
        )
        for push in (Push(URL), full):
            self.assertEqual(decode_push(json.loads(json.dumps(encode_push(push)))), push)
        self.assertNotIn("\\x01", repr(full))
        self.assertNotIn("'b'", repr(full))

    def test_headers(self) -> None:
        for name, value in (("Authorization", "Bearer a b"), ("X-A", "1")):
            self.assertIsNone(header_problem(name, value))
        for name, value in (
            ("Host", "a"),
            ("content-LENGTH", "1"),
            ("Transfer-Encoding", "chunked"),
            ("webhook-id", "1"),
            ("Webhook_Id", "1"),
            ("transfer_encoding", "chunked"),
            ("ce-id", "1"),
            ("A B", "1"),
            ("", "1"),
            ("A", "b\r\nC: d"),
            ("A", ""),
            ("A", "é"),
        ):
            self.assertIsNotNone(header_problem(name, value), (name, value))

    def test_prefix(self) -> None:
        for prefix in ("message-", "x-order-"):
            self.assertIsNone(prefix_problem(prefix))
        for prefix in ("", "-", "x", "h", "Content-", "webhook-", "webhook-x", "WEB", "transfer-", "a b", "a" * 33):
            self.assertIsNotNone(prefix_problem(prefix), prefix)
