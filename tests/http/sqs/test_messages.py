"""Messages over SQS: sent, received, hidden, deleted, one by one and in batches."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from typing import Any

from queuey.http.sqs.removals import PAUSE
from tests.http.sqs.support import SqsTestCase
from tests.http.wire_support import Connection


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def md5_of(attributes: dict[str, Any]) -> str:
    """The MD5 of attributes, as clients compute it."""
    data = b""
    for name in sorted(attributes):
        one = attributes[name]
        text = "StringValue" in one
        value = one["StringValue"].encode() if text else base64.b64decode(one["BinaryValue"])
        for part in (name.encode(), one["DataType"].encode()):
            data += struct.pack(">I", len(part)) + part
        data += (b"\1" if text else b"\2") + struct.pack(">I", len(value)) + value
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


ATTRIBUTES = {
    "city": {"DataType": "String", "StringValue": "Zürich"},
    "n": {"DataType": "Number.int", "StringValue": "-7.5"},
    "raw": {"DataType": "Binary.gif", "BinaryValue": "AP8="},
}


class MessageTests(SqsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.q = self.made()

    def test_there_and_back(self) -> None:
        text = 'grüezi \U0001f600 <&>\n\t"'
        sent = self.sent(self.q, text, MessageAttributes=ATTRIBUTES)
        self.assertEqual((sent["MD5OfMessageBody"], sent["MD5OfMessageAttributes"]), (md5(text), md5_of(ATTRIBUTES)))
        (one,) = self.received(self.q)
        self.assertEqual((one["MessageId"], one["Body"], one["MD5OfBody"]), (sent["MessageId"], text, md5(text)))
        self.assertEqual((one["MessageAttributes"], one["MD5OfMessageAttributes"]), (ATTRIBUTES, md5_of(ATTRIBUTES)))
        system = one["Attributes"]
        self.assertEqual((system["ApproximateReceiveCount"], system["SenderId"]), ("1", self.pair.id))
        self.assertEqual(int(system["SentTimestamp"]) // 1000, int(self.clock.seconds()))
        self.assertEqual(self.counts(self.q), (0, 1, 0))
        self.assertEqual(self.call("DeleteMessage", QueueUrl=self.q, ReceiptHandle=one["ReceiptHandle"]), {})
        self.assertEqual(self.call("DeleteMessage", QueueUrl=self.q, ReceiptHandle=one["ReceiptHandle"]), {})
        self.assertEqual(self.counts(self.q), (0, 0, 0))
        self.clock.advance(40)
        self.assertEqual(self.received(self.q), [])

    def test_only_what_is_asked_for(self) -> None:
        self.sent(self.q, MessageAttributes={**ATTRIBUTES, "n.a": {"DataType": "String", "StringValue": "x"}})
        (one,) = self.call("ReceiveMessage", QueueUrl=self.q, VisibilityTimeout=0)["Messages"]
        self.assertEqual(set(one), {"MessageId", "ReceiptHandle", "MD5OfBody", "Body"})
        for names, found in ((["n"], {"n"}), (["n.*"], {"n", "n.a"}), (["raw", "nope"], {"raw"})):
            (one,) = self.call(
                "ReceiveMessage", QueueUrl=self.q, VisibilityTimeout=0, MessageAttributeNames=names,
                AttributeNames=["SenderId"],
            )["Messages"]  # fmt: skip
            self.assertEqual((set(one["MessageAttributes"]), set(one["Attributes"])), (found, {"SenderId"}))
            self.assertEqual(one["MD5OfMessageAttributes"], md5_of(one["MessageAttributes"]))

    def test_a_deleted_message_takes_no_room(self) -> None:
        """In a queue that was made through SQS; others keep it for their readers."""
        self.expect(201, self.send("PUT", "/queues/other", {}))
        other = self.call("GetQueueUrl", QueueName="other")["QueueUrl"]
        for url, left in ((self.q, 0), (other, 1)):
            self.sent(url)
            (one,) = self.received(url)
            self.call("DeleteMessage", QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
            self.clock.advance(PAUSE)
            name = url.rpartition("/")[2]
            found = self.expect(200, self.send("GET", f"/queues/{name}/messages"))
            self.assertEqual(len(found["messages"]), left)
            self.assertEqual(self.received(url, WaitTimeSeconds=0), [])

    def test_hidden_for_longer_and_not_at_all(self) -> None:
        self.sent(self.q)
        (one,) = self.received(self.q)
        change = {"QueueUrl": self.q, "ReceiptHandle": one["ReceiptHandle"]}
        self.assertEqual(self.call("ChangeMessageVisibility", **change, VisibilityTimeout=100), {})
        self.clock.advance(60)
        self.assertEqual(self.received(self.q), [])
        self.call("ChangeMessageVisibility", **change, VisibilityTimeout=0)
        # As on AWS, it can be hidden once more until someone has received it.
        self.assertEqual(self.call("ChangeMessageVisibility", **change, VisibilityTimeout=10), {})
        self.assertEqual(self.received(self.q), [])
        self.clock.advance(10)
        (again,) = self.received(self.q)
        self.assertEqual((again["MessageId"], again["Attributes"]["ApproximateReceiveCount"]), (one["MessageId"], "2"))
        self.fails("MessageNotInflight", "ChangeMessageVisibility", **change, VisibilityTimeout=10)

    def test_receipts_that_are_none(self) -> None:
        for operation in ("DeleteMessage", "ChangeMessageVisibility"):
            more = {"VisibilityTimeout": 1}
            self.fails("ReceiptHandleIsInvalid", operation, QueueUrl=self.q, ReceiptHandle="nonsense", **more)
            self.fails("MissingRequiredParameterException", operation, QueueUrl=self.q, **more)

    def test_a_long_poll(self) -> None:
        waiting = self.start_call("ReceiveMessage", QueueUrl=self.q, WaitTimeSeconds=10)
        self.clock.advance(3)
        self.sent(self.q, "late")
        self.clock.advance(0.1)
        (one,) = self.answer_of(waiting)["Messages"]
        self.assertEqual(one["Body"], "late")
        waiting = self.start_call("ReceiveMessage", QueueUrl=self.q, WaitTimeSeconds=2)
        self.clock.advance(2.1)
        self.assertEqual(self.answer_of(waiting), {})

    def test_the_wait_of_the_queue(self) -> None:
        self.call("SetQueueAttributes", QueueUrl=self.q, Attributes={"ReceiveMessageWaitTimeSeconds": "5"})
        waiting = self.start_call("ReceiveMessage", QueueUrl=self.q)
        self.clock.advance(4.9)
        self.sent(self.q, "late")
        self.clock.advance(0.1)
        self.assertEqual(len(self.answer_of(waiting)["Messages"]), 1)

    def test_delayed_ones(self) -> None:
        self.sent(self.q, "later", DelaySeconds=10)
        self.assertEqual(self.counts(self.q), (0, 0, 1))
        self.clock.advance(11)
        (one,) = self.received(self.q)
        self.assertEqual(int(one["Attributes"]["SentTimestamp"]) // 1000, int(self.clock.seconds()) - 11)

    def test_a_batch(self) -> None:
        entries: list[Any] = [{"Id": f"e{n}", "MessageBody": f"m{n}"} for n in range(8)]
        entries += [{"Id": "empty", "MessageBody": ""}, {"Id": "far", "MessageBody": "x", "DelaySeconds": 901}]
        answer = self.call("SendMessageBatch", QueueUrl=self.q, Entries=entries)
        self.assertEqual([one["Id"] for one in answer["Successful"]], [f"e{n}" for n in range(8)])
        self.assertEqual(
            [(one["Id"], one["Code"], one["SenderFault"]) for one in answer["Failed"]],
            [("empty", "MissingParameter", True), ("far", "InvalidParameterValue", True)],
        )
        got = self.received(self.q)
        self.assertEqual([one["Body"] for one in got], [f"m{n}" for n in range(8)])
        self.assertEqual([one["MessageId"] for one in got], [one["MessageId"] for one in answer["Successful"]])
        handles = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(got)]
        times = [{**one, "VisibilityTimeout": 100} for one in handles]
        answer = self.call("ChangeMessageVisibilityBatch", QueueUrl=self.q, Entries=times)
        self.assertEqual((len(answer["Successful"]), "Failed" in answer), (8, False))
        answer = self.call("DeleteMessageBatch", QueueUrl=self.q, Entries=[*handles, {"Id": "x", "ReceiptHandle": "y"}])
        self.assertEqual([one["Id"] for one in answer["Successful"]], [str(n) for n in range(8)])
        self.assertEqual([one["Code"] for one in answer["Failed"]], ["ReceiptHandleIsInvalid"])
        self.assertEqual(self.counts(self.q), (0, 0, 0))

    def test_batches_that_are_wrong_as_a_whole(self) -> None:
        def entries(*ids: str) -> list[dict[str, str]]:
            return [{"Id": id, "MessageBody": "x"} for id in ids]

        for code, given in (
            ("EmptyBatchRequest", []),
            ("TooManyEntriesInBatchRequest", entries(*"abcdefghijk")),
            ("BatchEntryIdsNotDistinct", entries("a", "a")),
            ("InvalidBatchEntryId", entries("")),
            ("InvalidBatchEntryId", entries("a b")),
            ("InvalidBatchEntryId", [{"MessageBody": "x"}]),
            ("SerializationException", ["x"]),
        ):
            self.fails(code, "SendMessageBatch", QueueUrl=self.q, Entries=given)
        large = [{"Id": str(n), "MessageBody": "x" * 600_000} for n in range(2)]
        self.fails("BatchRequestTooLong", "SendMessageBatch", QueueUrl=self.q, Entries=large)
        self.assertEqual(self.counts(self.q), (0, 0, 0))

    def test_messages_that_are_not_taken(self) -> None:
        def attribute(**one: str) -> Any:
            return {"MessageAttributes": {"a": one}}

        many = {"MessageAttributes": {f"a{n}": {"DataType": "String", "StringValue": "x"} for n in range(11)}}
        for code, given in (
            ("MissingRequiredParameterException", {}),
            ("MissingRequiredParameterException", {"MessageBody": ""}),
            ("InvalidMessageContents", {"MessageBody": "a\0"}),
            ("InvalidMessageContents", {"MessageBody": "\ufffe"}),
            ("SerializationException", {"MessageBody": 7}),
            ("SerializationException", {"MessageBody": "x", "DelaySeconds": "1"}),
            ("InvalidParameterValueException", {"MessageBody": "x", "DelaySeconds": -1}),
            ("InvalidParameterValueException", {"MessageBody": "x" * ((1 << 20) + 1)}),
            ("InvalidParameterValueException", {"MessageBody": "x", **many}),
            ("InvalidParameterValueException", {"MessageBody": "x", **attribute(DataType="Text", StringValue="x")}),
            ("InvalidParameterValueException", {"MessageBody": "x", **attribute(DataType="String", StringValue="")}),
            ("InvalidParameterValueException", {"MessageBody": "x", **attribute(DataType="Number", StringValue="x")}),
            ("InvalidParameterValueException", {"MessageBody": "x", **attribute(DataType="Number", StringValue="nan")}),
            ("InvalidParameterValueException", {"MessageBody": "x", **attribute(DataType="Number", StringValue="1_0")}),
            ("InvalidParameterValueException", {"MessageBody": "x", **attribute(DataType="Number", StringValue=" 1")}),
            ("InvalidParameterValueException", {"MessageBody": "x", **attribute(DataType="Binary", BinaryValue="?")}),
            ("InvalidParameterValueException", {"MessageBody": "x", **attribute(StringValue="x")}),
            (
                "InvalidParameterValueException",
                {"MessageBody": "x", "MessageAttributes": {"AWS.x": {"DataType": "String", "StringValue": "x"}}},
            ),
            (
                "InvalidParameterValueException",
                {"MessageBody": "x", **attribute(DataType="String", StringValue="x" * 9000)},
            ),
            ("InvalidParameterValueException", {"MessageBody": "x", "MessageDeduplicationId": "d"}),
            ("InvalidParameterValueException", {"MessageBody": "x", "MessageGroupId": "a b"}),
        ):
            self.fails(code, "SendMessage", QueueUrl=self.q, **given)
        self.assertEqual(self.counts(self.q), (0, 0, 0))

    def test_names_of_attributes(self) -> None:
        """Letters of all scripts are taken, and no other characters."""
        for name in ("attr.1øßä", "x" * 256, "ひ"):
            given = {name: {"DataType": "String", "StringValue": "x"}}
            self.assertEqual(self.sent(self.q, MessageAttributes=given)["MD5OfMessageAttributes"], md5_of(given))
            (one,) = self.received(self.q)
            self.assertEqual(one["MessageAttributes"], given)
        for name in ("a!b", "a§b", "a b", "a/b", "a\n", "x" * 257, ".a", "a.", "a..b", "aWs.a", "AMAZON.a", ""):
            given = {name: {"DataType": "String", "StringValue": "x"}}
            sending = {"QueueUrl": self.q, "MessageBody": "x", "MessageAttributes": given}
            self.failed("InvalidParameterValueException", self.raw("SendMessage", sending))

    def test_the_trace_of_a_request(self) -> None:
        """It is that of its messages, unless one says otherwise."""
        trace, other = "Root=1-3152b799-8954dae64eda91bc9a23a7e8;Parent=7fa8c0f79203be72;Sampled=1", "Root=1-0-0"
        system = {"MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": other}}}
        for given, more, expected in (
            (trace, {}, trace),
            (trace, system, other),
            (None, system, other),
            (None, {}, None),
            ("x" * 513, {}, None),
            ("a b", {}, None),
        ):
            sending = {"QueueUrl": self.q, "MessageBody": "x", **more}
            call = Connection(self.assembly.site).send(self.encoded("SendMessage", sending, trace=given))
            self.assertEqual("MD5OfMessageSystemAttributes" in self.answer_of(call), bool(more))
            (one,) = self.received(self.q)
            self.assertEqual(one["Attributes"].get("AWSTraceHeader"), expected)

    def test_a_body_of_which_json_makes_six_bytes_each(self) -> None:
        """What is counted is the message, not the request."""
        text = "\u0001" * 10
        self.fails("InvalidMessageContents", "SendMessage", QueueUrl=self.q, MessageBody=text)
        text = "é" * (1 << 19)
        self.assertEqual(self.sent(self.q, text)["MD5OfMessageBody"], md5(text))

    def test_a_retry_of_the_sdk_is_stored_once(self) -> None:
        members = {"QueueUrl": self.q, "MessageBody": "x"}
        first, second = (self.raw("SendMessage", members, invocation="a1b2c3d4-0001").json for _ in range(2))
        self.assertEqual(first, second)
        other = self.raw("SendMessage", members, invocation="a1b2c3d4-0002").json
        self.assertNotEqual(other["MessageId"], first["MessageId"])
        self.assertEqual(self.counts(self.q), (2, 0, 0))
        entries = [{"Id": "a", "MessageBody": "x"}, {"Id": "b", "MessageBody": "y"}]
        batch = {"QueueUrl": self.q, "Entries": entries}
        first, second = (self.raw("SendMessageBatch", batch, invocation="a1b2c3d4-0003").json for _ in range(2))
        self.assertEqual((first, self.counts(self.q)), (second, (4, 0, 0)))

    def test_a_dead_letter(self) -> None:
        dead = self.made("dead")
        policy = {"deadLetterTargetArn": self.arn(dead), "maxReceiveCount": "2"}
        work = self.made("work", RedrivePolicy=json.dumps(policy), VisibilityTimeout="5")
        sent = self.sent(work, "poison", MessageAttributes=ATTRIBUTES)
        for _ in range(2):
            self.assertEqual(len(self.received(work)), 1)
            self.clock.advance(6)
        self.assertEqual(self.received(work), [])
        self.clock.advance(1)
        (letter,) = self.received(dead)
        self.assertEqual((letter["MessageId"], letter["Body"]), (sent["MessageId"], "poison"))
        self.assertEqual(letter["MessageAttributes"], ATTRIBUTES)
        self.assertEqual(letter["Attributes"]["DeadLetterQueueSourceArn"], self.arn(work))
        self.assertEqual(self.call("ListDeadLetterSourceQueues", QueueUrl=dead), {"queueUrls": [work]})
        self.assertEqual(self.call("ListDeadLetterSourceQueues", QueueUrl=work), {"queueUrls": []})

    def test_a_purge(self) -> None:
        self.sent(self.q, "flying")
        (flying,) = self.received(self.q)
        self.sent(self.q, "there")
        self.sent(self.q, "later", DelaySeconds=100)
        self.clock.advance(1)
        self.assertEqual(self.call("PurgeQueue", QueueUrl=self.q), {})
        self.assertEqual(self.counts(self.q), (0, 0, 0))
        self.call("DeleteMessage", QueueUrl=self.q, ReceiptHandle=flying["ReceiptHandle"])
        self.sent(self.q, "after")
        self.clock.advance(200)
        self.assertEqual([one["Body"] for one in self.received(self.q)], ["after"])
