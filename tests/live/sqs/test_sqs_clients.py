"""The AWS CLI, and the SDKs of SQS for Node.js and Go: all of what a client does, against a daemon, signed."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

from tests import runs_in
from tests.live.sqs.support import GO_PROGRAM, HERE, PROGRAMS, SqsCase, needed_go, needed_library, needed_program

run_in = "test"

CALLS = """
queue true 1
received true grüezi <&> \U0001f600 Zürich 7 0,255
times 1 true
hidden 0
visible true 2
deleted 0
batch e0 e2
failed e1 InvalidParameterValue true
bodies m0 m2
extended 2 0
removed 2 x ReceiptHandleIsInvalid
left 0 60
error AWS.SimpleQueueService.NonExistentQueue true
error QueueAlreadyExists true
error InvalidAttributeName true
error InvalidAttributeValue true
error ReceiptHandleIsInvalid true
error InvalidParameterValue none
error InvalidMessageContents true
error AWS.SimpleQueueService.EmptyBatchRequest true
error AWS.SimpleQueueService.BatchEntryIdsNotDistinct true
error AWS.SimpleQueueService.TooManyEntriesInBatchRequest true
error InvalidParameterValue none
error SignatureDoesNotMatch none
error InvalidClientTokenId none
numbers true true
order A0 B0
next A1 A true
error MissingParameter none
queues 0
"""
"""What the programs in JavaScript and in Go print: the code of each error, and whether it has its class."""


class SdkTests(SqsCase):
    """The same calls by both SDKs, each tried once."""

    def test_javascript(self) -> None:
        node = needed_library(self.folder)
        shutil.copy(HERE / "javascript" / "calls.mjs", self.folder)
        self.assertEqual(self.run_program(node, "calls.mjs", self.endpoint), CALLS.lstrip())

    @runs_in("test-long")
    def test_go(self) -> None:
        """In the long run alone, since to compile the SDK takes a minute of processor time."""
        needed_go()
        self.assertEqual(self.run_program(GO_PROGRAM, self.endpoint), CALLS.lstrip())


class CommandTests(SqsCase):
    """The AWS CLI."""

    def setUp(self) -> None:
        super().setUp()
        needed_program("aws")
        self.process = subprocess.Popen(
            [PROGRAMS / "python", HERE / "cli.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment(),
        )
        self.addCleanup(self.end)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, operation: str, **given: Any) -> tuple[int, str, str]:
        """Run a command. :return: its exit status, and what it printed."""
        words = ["--endpoint-url", self.endpoint, "sqs", operation]
        for name, value in given.items():
            words.append(f"--{name.replace('_', '-')}")
            words.append(value if isinstance(value, str) else json.dumps(value))
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        status, output, errors = json.loads(self.process.stdout.readline())
        return status, output, errors

    def call(self, operation: str, **given: Any) -> Any:
        status, output, errors = self.ask(operation, **given)
        self.assertEqual((status, errors), (0, ""))
        return json.loads(output) if output else {}

    def fails(self, code: str, operation: str, **given: Any) -> None:
        status, _, errors = self.ask(operation, **given)
        self.assertNotEqual(status, 0)
        self.assertIn(f"({code})", errors)

    def receive(self, url: str, **more: Any) -> list[Any]:
        given = {"max_number_of_messages": "10", "attribute_names": "All", "message_attribute_names": "All", **more}
        found: list[Any] = self.call("receive-message", queue_url=url, **given).get("Messages", [])
        return found

    def test_messages(self) -> None:
        url = self.call("create-queue", queue_name="q", attributes={"VisibilityTimeout": "60"})["QueueUrl"]
        self.assertEqual(self.call("get-queue-url", queue_name="q")["QueueUrl"], url)
        self.assertEqual(self.call("list-queues")["QueueUrls"], [url])
        attributes = {"city": {"DataType": "String", "StringValue": "Zürich"}}
        sent = self.call("send-message", queue_url=url, message_body="grüezi", message_attributes=attributes)
        (one,) = self.receive(url, wait_time_seconds="5")
        self.assertEqual((one["MessageId"], one["Body"]), (sent["MessageId"], "grüezi"))
        self.assertEqual(one["MessageAttributes"], attributes)
        self.assertEqual(self.receive(url), [])
        handle = one["ReceiptHandle"]
        self.call("change-message-visibility", queue_url=url, receipt_handle=handle, visibility_timeout="0")
        (again,) = self.receive(url, wait_time_seconds="5")
        self.assertEqual(again["Attributes"]["ApproximateReceiveCount"], "2")
        earlier = {"receipt_handle": handle, "visibility_timeout": "5"}
        self.fails("AWS.SimpleQueueService.MessageNotInflight", "change-message-visibility", queue_url=url, **earlier)
        self.call("delete-message", queue_url=url, receipt_handle=again["ReceiptHandle"])
        self.assertEqual(self.receive(url), [])
        self.fails("AWS.SimpleQueueService.NonExistentQueue", "get-queue-url", queue_name="none")
        self.fails("ReceiptHandleIsInvalid", "delete-message", queue_url=url, receipt_handle="x")
        gone = {"receipt_handle": again["ReceiptHandle"], "visibility_timeout": "5"}
        self.fails("InvalidParameterValue", "change-message-visibility", queue_url=url, **gone)
        entries = [{"Id": "x", "MessageBody": "x"}] * 2
        repeated = "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"
        self.fails(repeated, "send-message-batch", queue_url=url, entries=entries)

    def test_fifo_queues_and_batches(self) -> None:
        attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        url = self.call("create-queue", queue_name="q.fifo", attributes=attributes)["QueueUrl"]
        self.fails("MissingParameter", "send-message", queue_url=url, message_body="x")
        bodies = ("A0", "A1", "B0", "A0")
        entries = [{"Id": str(n), "MessageBody": body, "MessageGroupId": body[0]} for n, body in enumerate(bodies)]
        without = [*entries, {"Id": "bad", "MessageBody": "x"}]
        self.fails("InvalidParameterValue", "send-message-batch", queue_url=url, entries=without)
        sent = self.call("send-message-batch", queue_url=url, entries=entries)
        numbers = [int(one["SequenceNumber"]) for one in sent["Successful"]]
        self.assertEqual((numbers[:3], numbers[3]), (sorted(set(numbers[:3])), numbers[0]))
        self.assertNotIn("Failed", sent)
        (first,) = self.receive(url, max_number_of_messages="1")
        others = self.receive(url)
        self.assertEqual((first["Body"], [one["Body"] for one in others]), ("A0", ["B0"]))
        handles = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate([first, *others])]
        longer = [{**one, "VisibilityTimeout": 90} for one in handles]
        changed = self.call("change-message-visibility-batch", queue_url=url, entries=longer)
        self.assertEqual((len(changed["Successful"]), "Failed" in changed), (2, False))
        gone = self.call("delete-message-batch", queue_url=url, entries=[*handles, {"Id": "x", "ReceiptHandle": "x"}])
        self.assertEqual(len(gone["Successful"]), 2)
        self.assertEqual([one["Code"] for one in gone["Failed"]], ["ReceiptHandleIsInvalid"])
        self.assertEqual([one["Body"] for one in self.receive(url)], ["A1"])
        self.call("purge-queue", queue_url=url)
        self.call("delete-queue", queue_url=url)
        self.fails("AWS.SimpleQueueService.NonExistentQueue", "list-queue-tags", queue_url=url)
