"""Large documents are looked through in slices, and are refused if the decoder would make too much of them."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from queuey.http.sqs.errors import SqsError
from queuey.http.sqs.json_parts import MAX_PARTS, SMALL, STEPS, check
from tests.http.sqs.support import SqsTestCase, Turns


class CheckTests(SynchronousTestCase):
    def turns(self, body: bytes) -> int:
        """How many turns it takes to find out that a document may be decoded."""
        turns = Turns()
        self.successResultOf(Deferred.fromCoroutine(check(body, turns)))
        return turns.given

    def refused(self, body: bytes) -> None:
        checking = Deferred.fromCoroutine(check(body, Turns()))
        self.assertEqual(self.failureResultOf(checking, SqsError).value.code, "SerializationException")

    def test_text_is_no_part(self) -> None:
        """Whatever it is, and however it is escaped."""
        for text in ("[{," * SMALL, '"' * SMALL, "\\" * SMALL, '\\",[' * SMALL, "\u00e9" * SMALL, "x" * SMALL):
            for more in ("", "\\", '"', '\\"'):
                self.turns(json.dumps({"MessageBody": text + more, "a": [text, {}]}).encode())

    def test_in_slices(self) -> None:
        self.assertGreaterEqual(self.turns(json.dumps({"MessageBody": '"' * 10 * STEPS}).encode()), 10)

    def test_too_many(self) -> None:
        for part in (b"[],", b"{},", b"1,", b'"a":1,', b'"",', b'"\\"",', b"[", b"{"):
            self.refused(b'{"a":[' + part * max(2 * MAX_PARTS, 2 * SMALL // len(part)))

    def test_small_ones(self) -> None:
        """They are left to the decoder, and so is what is no JSON."""
        for body in (b"", b"[" * SMALL, b"," * SMALL, b'"' + b"x" * 2 * SMALL, b'"\\' + b"x" * 2 * SMALL + b"\\"):
            self.turns(body)


class RequestTests(SqsTestCase):
    def test_a_large_batch(self) -> None:
        url = self.made()
        text = '{"a": [1, "\\"]"]},' * 5000
        entries = [{"Id": str(n), "MessageBody": text} for n in range(10)]
        call = self.start_call("SendMessageBatch", QueueUrl=url, Entries=entries)
        self.clock.advance(0)
        answer = self.answer_of(call)
        self.assertEqual(len(answer["Successful"]), 10)
        self.assertEqual({one["Body"] for one in self.received(url)}, {text})

    def test_a_hostile_one(self) -> None:
        url = self.made()
        body = json.dumps({"QueueUrl": url, "MessageBody": "x", "more": [[]] * 100_000}).encode()
        response = self.raw("SendMessage", body)
        self.assertIn("objects, lists and commas", self.failed("SerializationException", response))
