"""What AWS's FIFO queues and attributes of messages do, as others have recorded it; see ``test_recorded``."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.http.sqs.support import SqsTestCase


class FifoTests(SqsTestCase):
    def fifo(self, **attributes: str) -> str:
        return self.made("q.fifo", FifoQueue="true", **attributes)

    def put(self, url: str, body: str, group: str = "1", id: str | None = None, **more: Any) -> None:
        self.sent(url, body, MessageGroupId=group, MessageDeduplicationId=id or body.replace(" ", "-"), **more)

    def taken(self, url: str) -> list[str]:
        return [one["Body"] for one in self.received(url)]

    def delete(self, url: str, one: Any) -> None:
        self.assertEqual(self.call("DeleteMessage", QueueUrl=url, ReceiptHandle=one["ReceiptHandle"]), {})

    def test_no_delay_of_a_message_is_that_of_the_queue(self) -> None:
        url = self.fifo(DelaySeconds="2", ContentBasedDeduplication="true")
        self.sent(url, "message-1", MessageGroupId="1", DelaySeconds=0)
        self.assertEqual(self.taken(url), [])
        self.clock.advance(3)
        self.assertEqual(self.taken(url), ["message-1"])

    def test_a_group_that_was_empty(self) -> None:
        url = self.fifo()
        self.put(url, "Message 1", "g1")
        self.delete(url, self.received(url)[0])
        self.assertEqual(self.taken(url), [])
        self.put(url, "Message 2", "g1")
        self.assertEqual(self.taken(url), ["Message 2"])

    def test_one_message_of_a_group_stays_hidden(self) -> None:
        """Those before it are given, and none after it."""
        for place in range(3):
            url = self.made(f"q{place}.fifo", FifoQueue="true", VisibilityTimeout="1")
            for body in ("foo", "bar", "baz"):
                self.put(url, body)
            found = self.received(url)
            self.assertEqual([one["Body"] for one in found], ["foo", "bar", "baz"])
            handle = found[place]["ReceiptHandle"]
            self.call("ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=4)
            self.clock.advance(1.5)
            self.assertEqual(self.taken(url), ["foo", "bar", "baz"][:place])

    def test_deleted_within_a_longer_time(self) -> None:
        url = self.fifo(VisibilityTimeout="1")
        self.put(url, "foobar")
        (one,) = self.received(url)
        self.call("ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=one["ReceiptHandle"], VisibilityTimeout=5)
        self.clock.advance(1.5)
        self.delete(url, one)
        self.assertEqual(self.taken(url), [])

    def test_scopes_of_ids(self) -> None:
        """With the scope of a group, whatever the throughput is, an id is of its group alone."""
        url = self.fifo(DeduplicationScope="messageGroup")
        self.put(url, "Test", "group1", "same")
        self.put(url, "Test", "group2", "same")
        self.assertEqual(len(self.taken(url)), 2)
        other = self.made("p.fifo", FifoQueue="true", ContentBasedDeduplication="true")
        self.put(other, "Test", "group1", "same")
        self.put(other, "Test", "group2", "same")
        (one,) = self.received(other)
        self.delete(other, one)
        self.put(other, "Test", "group1", "same")
        self.assertEqual(self.taken(other), [])

    def test_attributes_of_the_system(self) -> None:
        url = self.fifo(VisibilityTimeout="0")
        self.put(url, "message-body-1", "group-1", "dedup-1")
        for count in ("1", "2"):
            (one,) = self.received(url)
            self.assertEqual(one["MD5OfBody"], "19c9e282d65f9733bc6b35d50062c7ee")
            system = one["Attributes"]
            expected = {"MessageDeduplicationId": "dedup-1", "MessageGroupId": "group-1"}
            expected["ApproximateReceiveCount"] = count
            self.assertEqual({name: system.pop(name) for name in expected}, expected)
            names = {"ApproximateFirstReceiveTimestamp", "SenderId", "SentTimestamp", "SequenceNumber"}
            self.assertEqual(set(system), names)


class AttributeTests(SqsTestCase):
    def test_bytes(self) -> None:
        url = self.made()
        value = base64.b64encode(b"traceparent\x1e00-774062d6c37081a5a0b9b5b88e30627c-2d2482211f6489da-01").decode()
        attributes = {"attr1": {"BinaryValue": value, "DataType": "Binary"}}
        sent = self.sent(url, "test", MessageAttributes=attributes)
        (one,) = self.received(url)
        self.assertEqual(one["MessageAttributes"], attributes)
        for found, name in ((sent, "MD5OfMessageBody"), (one, "MD5OfBody")):
            self.assertEqual(found[name], "098f6bcd4621d373cade4e832627b4f6")
            self.assertEqual(found["MD5OfMessageAttributes"], "8cbe4db156db8a94db8b801b7addb984")

    def test_of_a_message_in_a_group(self) -> None:
        """A standard queue takes a group, and shows it; there is no sequence number."""
        url = self.made()
        sent = self.sent(url, "message", MessageGroupId="test")
        self.assertEqual(set(sent), {"MD5OfMessageBody", "MessageId"})
        (one,) = self.received(url)
        names = {"ApproximateFirstReceiveTimestamp", "ApproximateReceiveCount", "SenderId", "SentTimestamp"}
        self.assertEqual(set(one["Attributes"]), names | {"MessageGroupId"})
        self.assertEqual(one["Attributes"]["MessageGroupId"], "test")

    def test_of_dead_letters(self) -> None:
        """They keep their ids, their attributes and their trace header, and their counts go on."""
        dead = self.made("dead")
        policy = json.dumps({"deadLetterTargetArn": self.arn(dead), "maxReceiveCount": "1"})
        url = self.made("source", RedrivePolicy=policy, VisibilityTimeout="1")
        trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
        self.sent(
            url,
            "message-1",
            MessageAttributes={"MyAttribute": {"DataType": "String", "StringValue": "foobar"}},
            MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": trace}},
        )
        (before,) = self.received(url)
        self.assertEqual(before["MD5OfMessageAttributes"], "adb59cd4678ea5a855436b949cd07ab6")
        self.clock.advance(2)
        self.assertEqual(self.received(url), [])
        self.clock.advance(2)
        (letter,) = self.received(dead)
        for name in ("MessageId", "Body", "MD5OfBody", "MD5OfMessageAttributes", "MessageAttributes"):
            self.assertEqual(letter[name], before[name], name)
        system = letter["Attributes"]
        self.assertEqual((system["AWSTraceHeader"], system["DeadLetterQueueSourceArn"]), (trace, self.arn(url)))
        self.assertEqual(system["SentTimestamp"], before["Attributes"]["SentTimestamp"])
        self.assertEqual(system["ApproximateReceiveCount"], "2")

    def test_of_encryption(self) -> None:
        """A key of KMS turns the encryption of SQS off, and that one the key."""
        url = self.made()
        given = {"KmsMasterKeyId": "testKeyId", "KmsDataKeyReusePeriodSeconds": "6000"}
        self.call("SetQueueAttributes", QueueUrl=url, Attributes={**given, "SqsManagedSseEnabled": "false"})
        names = ["KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled"]
        found = self.call("GetQueueAttributes", QueueUrl=url, AttributeNames=names)["Attributes"]
        self.assertEqual(found, {**given, "SqsManagedSseEnabled": "false"})
