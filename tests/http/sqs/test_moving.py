"""Tasks that move dead letters, and which queues may name a queue as their dead-letter queue."""

from __future__ import annotations

import json
from typing import Any

from queuey.model.queues.sqs_queue import MAX_SILENCE
from tests.http.group_support import PATCH
from tests.http.sqs.support import SqsTestCase


class MovingTests(SqsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.dead = self.made("dead")
        policy = {"deadLetterTargetArn": self.arn(self.dead), "maxReceiveCount": 1}
        self.work = self.made("work", RedrivePolicy=json.dumps(policy), VisibilityTimeout="5")

    def die(self, number: int) -> set[str]:
        """Let messages become dead letters; return their ids."""
        ids = {self.sent(self.work, f"m{n}")["MessageId"] for n in range(number)}
        while self.received(self.work):
            pass
        self.clock.advance(6)
        self.assertEqual(self.received(self.work), [])
        self.clock.advance(1)
        self.assertEqual(self.counts(self.dead)[0], number)
        return ids

    def start(self, **more: Any) -> str:
        answer = self.call("StartMessageMoveTask", SourceArn=self.arn(self.dead), **more)
        self.assertEqual(set(answer), {"TaskHandle"})
        handle: str = answer["TaskHandle"]
        return handle

    def tasks(self, number: int = 10) -> list[Any]:
        answer = self.call("ListMessageMoveTasks", SourceArn=self.arn(self.dead), MaxResults=number)
        found: list[Any] = answer.get("Results", [])
        return found

    def test_back_to_where_they_came_from(self) -> None:
        ids = self.die(3)
        self.start()
        self.clock.pump([1] * 5)
        (task,) = self.tasks()
        self.assertEqual((task["Status"], task["ApproximateNumberOfMessagesMoved"]), ("COMPLETED", 3))
        self.assertEqual((task["ApproximateNumberOfMessagesToMove"], task["SourceArn"]), (3, self.arn(self.dead)))
        self.assertNotIn("TaskHandle", task)
        self.assertEqual(self.counts(self.dead)[0], 0)
        again = self.received(self.work)
        self.assertEqual({one["MessageId"] for one in again}, ids)
        self.assertEqual({one["Attributes"]["ApproximateReceiveCount"] for one in again}, {"1"})

    def test_to_another_queue(self) -> None:
        ids = self.die(3)
        other = self.made("other")
        self.start(DestinationArn=self.arn(other))
        self.clock.pump([1] * 5)
        (task,) = self.tasks()
        self.assertEqual((task["Status"], task["DestinationArn"]), ("COMPLETED", self.arn(other)))
        got = self.received(other)
        self.assertEqual({one["Body"] for one in got}, {"m0", "m1", "m2"})
        self.assertEqual({one["MessageId"] for one in got}, ids)
        self.assertNotIn("DeadLetterQueueSourceArn", got[0]["Attributes"])
        self.assertEqual((self.counts(self.dead)[0], self.received(self.work)), (0, []))

    def test_so_many_a_second(self) -> None:
        self.die(6)
        self.start(MaxNumberOfMessagesPerSecond=2)
        (task,) = self.tasks()
        self.assertEqual((task["Status"], task["ApproximateNumberOfMessagesMoved"]), ("RUNNING", 2))
        self.assertEqual(task["MaxNumberOfMessagesPerSecond"], 2)
        text = self.fails("InvalidParameterValueException", "StartMessageMoveTask", SourceArn=self.arn(self.dead))
        self.assertIn("already a task running", text)
        self.clock.advance(1)
        self.assertEqual(self.tasks()[0]["ApproximateNumberOfMessagesMoved"], 4)
        answer = self.call("CancelMessageMoveTask", TaskHandle=task["TaskHandle"])
        self.assertEqual(answer, {"ApproximateNumberOfMessagesMoved": 4})
        self.assertEqual(self.tasks()[0]["Status"], "CANCELLING")
        self.clock.pump([1] * 3)
        self.assertEqual(self.tasks()[0]["Status"], "CANCELLED")
        self.assertEqual(len(self.received(self.work)), 6 - self.counts(self.dead)[0])
        self.fails("InvalidParameterValueException", "CancelMessageMoveTask", TaskHandle=task["TaskHandle"])

    def test_the_other_queue_is_deleted_meanwhile(self) -> None:
        """The task fails, and what it has not moved stays."""
        self.die(5)
        other = self.made("other")
        self.start(DestinationArn=self.arn(other), MaxNumberOfMessagesPerSecond=1)
        self.call("DeleteQueue", QueueUrl=other)
        self.clock.pump([1] * 10)
        (task,) = self.tasks()
        self.assertEqual(task["Status"], "FAILED")
        self.assertEqual(task["FailureReason"], "AWS.SimpleQueueService.NonExistentQueue")
        moved = task["ApproximateNumberOfMessagesMoved"]
        self.assertLessEqual(moved, 1)
        self.assertEqual(self.counts(self.dead)[0], 5 - moved)

    def test_a_message_from_nowhere(self) -> None:
        """It was sent to the dead-letter queue itself, and stays."""
        self.sent(self.dead, "by hand")
        self.die_beside(1)
        self.start()
        self.clock.pump([1] * 5)
        (task,) = self.tasks()
        self.assertEqual((task["Status"], task["FailureReason"]), ("FAILED", "CouldNotDetermineMessageSource"))
        self.assertEqual(task["ApproximateNumberOfMessagesMoved"], 1)
        self.assertEqual([one["Body"] for one in self.received(self.dead)], ["by hand"])

    def test_back_to_a_closed_queue(self) -> None:
        """It takes no copies: those whose originals are gone stay, and the task says why; the others move."""
        self.die(3)
        name = self.work.rpartition("/")[2]
        page = self.expect(200, self.send("GET", f"/queues/{name}/messages"))
        self.assertEqual(self.send("DELETE", f"/queues/{name}/messages/{page['messages'][0]['id']}").status, 204)
        self.expect(200, self.send("PATCH", f"/queues/{name}", {"closed": True}, content_type=PATCH))
        self.start()
        self.clock.pump([1] * 5)
        (task,) = self.tasks()
        self.assertEqual((task["Status"], task["ApproximateNumberOfMessagesMoved"]), ("FAILED", 2))
        self.assertIn("takes no copies of some: queue-closed", task["FailureReason"])

    def die_beside(self, number: int) -> None:
        for n in range(number):
            self.sent(self.work, f"m{n}")
        self.received(self.work)
        self.clock.advance(6)
        self.received(self.work)
        self.clock.advance(1)

    def test_ended_with_its_process(self) -> None:
        self.die(3)
        handle = self.start(MaxNumberOfMessagesPerSecond=1)
        calls = self.clock.getDelayedCalls()
        for call in calls:
            call.cancel()
        self.clock.advance(MAX_SILENCE / 1000 + 1)
        (task,) = self.tasks()
        self.assertEqual(task["Status"], "FAILED")
        self.assertIn("has ended", task["FailureReason"])
        self.fails("InvalidParameterValueException", "CancelMessageMoveTask", TaskHandle=handle)
        self.start()
        self.clock.pump([1] * 5)
        self.assertEqual([one["Status"] for one in self.tasks()], ["COMPLETED", "FAILED"])
        self.assertEqual(len(self.tasks(1)), 1)
        self.assertEqual(len(self.received(self.work)), 3)

    def test_refused(self) -> None:
        arn = self.arn(self.dead)
        lone = self.made("lone")
        fifo = self.made("f.fifo", FifoQueue="true")
        for code, given in (
            ("MissingRequiredParameterException", {}),
            ("InvalidParameterValueException", {"SourceArn": "x"}),
            ("InvalidParameterValueException", {"SourceArn": self.arn(lone)}),
            ("ResourceNotFoundException", {"SourceArn": arn + "x"}),
            ("ResourceNotFoundException", {"SourceArn": arn, "DestinationArn": arn + "x"}),
            ("InvalidParameterValueException", {"SourceArn": arn, "DestinationArn": arn}),
            ("InvalidParameterValueException", {"SourceArn": arn, "DestinationArn": self.arn(fifo)}),
            ("InvalidParameterValueException", {"SourceArn": arn, "MaxNumberOfMessagesPerSecond": 501}),
        ):
            self.fails(code, "StartMessageMoveTask", **given)
        for handle in ("x", "e30=", "W10=", "bm8="):
            self.fails("InvalidParameterValueException", "CancelMessageMoveTask", TaskHandle=handle)
        self.assertEqual(self.tasks(), [])
        self.fails("InvalidParameterValueException", "ListMessageMoveTasks", SourceArn=arn, MaxResults=11)


class AllowTests(SqsTestCase):
    def allow(self, policy: Any) -> None:
        text = json.dumps(policy)
        self.call("SetQueueAttributes", QueueUrl=self.dead, Attributes={"RedriveAllowPolicy": text})

    def test_who_may(self) -> None:
        self.dead = self.made("dead")
        work = self.made("work")
        redrive = {
            "RedrivePolicy": json.dumps({"deadLetterTargetArn": self.arn(self.dead), "maxReceiveCount": 1}),
        }
        elsewhere = self.arn(work).replace("us-east-1", "eu-west-1")
        for policy, allowed in (
            ({"redrivePermission": "denyAll"}, False),
            ({"redrivePermission": "allowAll"}, True),
            ({"redrivePermission": "byQueue", "sourceQueueArns": [self.arn(self.dead)]}, False),
            ({"redrivePermission": "byQueue", "sourceQueueArns": [self.arn(self.dead), elsewhere]}, True),
        ):
            self.allow(policy)
            if allowed:
                self.call("SetQueueAttributes", QueueUrl=work, Attributes=redrive)
            else:
                code = "InvalidParameterValueException"
                self.fails(code, "SetQueueAttributes", QueueUrl=work, Attributes=redrive)
                self.fails(code, "CreateQueue", QueueName="new", Attributes=redrive)
                self.fails("QueueDoesNotExist", "GetQueueUrl", QueueName="new")
        code = "InvalidParameterValueException"
        self.assertIn(
            "same type",
            self.fails(code, "CreateQueue", QueueName="n.fifo", Attributes={**redrive, "FifoQueue": "true"}),
        )

    def test_what_is_no_policy(self) -> None:
        url = self.made("q")
        for text in (
            "x", "[]", "{}", '{"redrivePermission": "some"}', '{"redrivePermission": "byQueue"}',
            '{"redrivePermission": "byQueue", "sourceQueueArns": []}',
            '{"redrivePermission": "byQueue", "sourceQueueArns": [1]}',
            '{"redrivePermission": "denyAll", "sourceQueueArns": ["a"]}',
            '{"redrivePermission": "allowAll", "more": 1}',
            json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": ["a"] * 11}),
        ):  # fmt: skip
            self.fails(
                "InvalidAttributeValue", "SetQueueAttributes", QueueUrl=url, Attributes={"RedriveAllowPolicy": text}
            )
