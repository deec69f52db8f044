"""FIFO queues: the order of each message group, and deduplication."""

from __future__ import annotations

from typing import Any

from queuey.model.groups.entries import MAX_CLAIMS
from tests.http.sqs.support import SqsTestCase


class FifoTests(SqsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.q = self.made("q.fifo", FifoQueue="true", ContentBasedDeduplication="true", VisibilityTimeout="20")

    def put(self, body: str, group: str = "A", **more: Any) -> Any:
        return self.sent(self.q, body, MessageGroupId=group, **more)

    def taken(self, number: int = 10) -> list[Any]:
        return self.received(self.q, number)

    def delete(self, one: Any) -> None:
        self.call("DeleteMessage", QueueUrl=self.q, ReceiptHandle=one["ReceiptHandle"])

    def test_a_group_waits_for_its_first_message(self) -> None:
        numbers = [int(self.put(f"{group}{n}", group)["SequenceNumber"]) for n in range(3) for group in "AB"]
        self.assertEqual(numbers, sorted(set(numbers)))
        (first,) = self.taken(1)
        system = first["Attributes"]
        self.assertEqual((first["Body"], system["MessageGroupId"]), ("A0", "A"))
        self.assertEqual(int(system["SequenceNumber"]), numbers[0])
        rest = self.taken()
        self.assertEqual([one["Body"] for one in rest], ["B0", "B1", "B2"])
        self.delete(first)
        self.assertEqual([one["Body"] for one in self.taken()], ["A1", "A2"])
        self.clock.advance(21)
        self.assertEqual([one["Body"] for one in self.taken()], ["B0", "B1", "B2", "A1", "A2"])

    def test_repeats(self) -> None:
        first = self.put("x")
        self.assertEqual(self.put("x"), first)
        self.assertEqual(self.put("x", "B"), first)
        other = self.put("x", MessageDeduplicationId="d")
        self.assertEqual(self.put("y", MessageDeduplicationId="d")["MessageId"], other["MessageId"])
        self.assertEqual(self.counts(self.q), (2, 0, 0))
        for one in self.taken():
            self.delete(one)
        self.assertEqual(self.put("x")["MessageId"], first["MessageId"])
        self.assertEqual(self.counts(self.q), (0, 0, 0))
        self.clock.advance(301)
        self.assertNotEqual(self.put("x")["MessageId"], first["MessageId"])

    def test_a_purge_forgets_ids(self) -> None:
        first = self.put("x")
        self.clock.advance(1)
        self.call("PurgeQueue", QueueUrl=self.q)
        self.clock.advance(1)
        second = self.put("x")
        self.assertNotEqual(second["MessageId"], first["MessageId"])
        self.assertEqual(self.put("x"), second)
        self.clock.advance(1)
        self.call("PurgeQueue", QueueUrl=self.q)
        self.clock.advance(1)
        third = self.put("x")["MessageId"]
        self.assertNotIn(third, (first["MessageId"], second["MessageId"]))
        self.assertEqual([one["MessageId"] for one in self.taken()], [third])

    def test_repeats_of_each_group(self) -> None:
        asked = {"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
        self.call("SetQueueAttributes", QueueUrl=self.q, Attributes=asked)
        self.assertNotEqual(self.put("x")["MessageId"], self.put("x", "B")["MessageId"])
        self.assertEqual(self.put("x")["MessageId"], self.put("x")["MessageId"])

    def test_a_batch(self) -> None:
        entries = [{"Id": str(n), "MessageBody": "same" if n < 2 else str(n), "MessageGroupId": "A"} for n in range(5)]
        entries.append({"Id": "x", "MessageBody": "x", "MessageGroupId": "A", "DelaySeconds": 1})  # type: ignore[dict-item]
        answer = self.call("SendMessageBatch", QueueUrl=self.q, Entries=entries)
        ids = [one["MessageId"] for one in answer["Successful"]]
        self.assertEqual((len(ids), len(set(ids)), ids[0]), (5, 4, ids[1]))
        self.assertEqual([one["Code"] for one in answer["Failed"]], ["InvalidParameterValue"])
        self.assertEqual([one["Body"] for one in self.taken()], ["same", "2", "3", "4"])

    def test_a_receipt_past_its_time(self) -> None:
        self.put("x")
        (one,) = self.taken()
        self.clock.advance(21)
        given = {"QueueUrl": self.q, "ReceiptHandle": one["ReceiptHandle"]}
        self.assertIn("expired", self.fails("InvalidParameterValueException", "DeleteMessage", **given))
        self.assertEqual(len(self.taken()), 1)

    def test_the_same_attempt_again(self) -> None:
        self.put("x")
        asked = {"QueueUrl": self.q, "ReceiveRequestAttemptId": "once"}
        first = self.call("ReceiveMessage", **asked)
        self.assertEqual((self.call("ReceiveMessage", **asked), len(first["Messages"])), (first, 1))
        self.assertEqual(self.taken(), [])

    def test_many_attempts(self) -> None:
        """So many of them are remembered; more get messages as well, and wait for some."""
        self.fill_with_attempts()
        again = {"QueueUrl": self.q, "MaxNumberOfMessages": 1, "ReceiveRequestAttemptId": "more"}
        self.assertEqual(self.call("ReceiveMessage", **again)["Messages"][0]["Body"], f"{MAX_CLAIMS}")
        self.taken(9)
        self.assertEqual(self.call("ReceiveMessage", **again), {})
        waiting = self.start_call("ReceiveMessage", **again, WaitTimeSeconds=20)
        self.put("late")
        self.clock.advance(1)
        (late,) = self.answer_of(waiting)["Messages"]
        self.assertEqual(late["Body"], "late")
        self.clock.advance(21)
        self.assertEqual(len({self.call("ReceiveMessage", **again)["Messages"][0]["Body"] for _ in range(3)}), 1)

    def test_an_attempt_that_waits_while_many_others_are_made(self) -> None:
        """The limit is reached while it waits: it gets the next message all the same."""
        waiting = self.start_call("ReceiveMessage", QueueUrl=self.q, ReceiveRequestAttemptId="w", WaitTimeSeconds=20)
        self.fill_with_attempts()
        self.clock.advance(0)
        self.assertEqual(self.answer_of(waiting)["Messages"][0]["Body"], f"{MAX_CLAIMS}")

    def test_an_attempt_while_too_many_messages_are_in_flight(self) -> None:
        """It waits until one is deleted, and is remembered."""
        self.put("first", "A")
        self.put("second", "B")
        (first,) = self.taken(1)
        merge = "application/merge-patch+json"
        self.expect(200, self.send("PATCH", "/queues/q.fifo/groups/sqs", {"max_in_flight": 1}, content_type=merge))
        asked = {"QueueUrl": self.q, "ReceiveRequestAttemptId": "once"}
        self.assertEqual(self.call("ReceiveMessage", **asked), {})
        waiting = self.start_call("ReceiveMessage", **asked, WaitTimeSeconds=10)
        self.delete(first)
        self.clock.advance(1)
        found = self.answer_of(waiting)
        self.assertEqual([one["Body"] for one in found["Messages"]], ["second"])
        self.assertEqual(self.call("ReceiveMessage", **asked), found)

    def fill_with_attempts(self, number: int = MAX_CLAIMS) -> None:
        """Receive ``number`` messages, each under an attempt id of its own. At least ten messages stay in the queue."""
        for start in range(0, MAX_CLAIMS, 10):
            entries = [
                {"Id": f"{n}", "MessageBody": f"{n}", "MessageGroupId": f"{n}"} for n in range(start, start + 10)
            ]
            self.assertEqual(len(self.call("SendMessageBatch", QueueUrl=self.q, Entries=entries)["Successful"]), 10)
        for n in range(number):
            asked = {"QueueUrl": self.q, "MaxNumberOfMessages": 1, "ReceiveRequestAttemptId": f"a{n}"}
            found = self.call("ReceiveMessage", **asked)["Messages"]
            self.assertEqual(found[0]["Body"], f"{n}")
            self.delete(found[0])

    def test_what_is_not_taken(self) -> None:
        self.fails("MissingRequiredParameterException", "SendMessage", QueueUrl=self.q, MessageBody="x")
        more = {"QueueUrl": self.q, "MessageBody": "x", "MessageGroupId": "A"}
        self.fails("InvalidParameterValueException", "SendMessage", **more, DelaySeconds=1)
        self.fails("InvalidParameterValueException", "SendMessage", **more, MessageDeduplicationId="x" * 129)
        self.call("SetQueueAttributes", QueueUrl=self.q, Attributes={"ContentBasedDeduplication": "false"})
        self.fails("InvalidParameterValueException", "SendMessage", **more)
        self.fails("InvalidAttributeValue", "SetQueueAttributes", QueueUrl=self.q, Attributes={"FifoQueue": "false"})
