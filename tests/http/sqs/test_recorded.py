"""What AWS answers, as others have recorded it: codes and texts of errors, defaults, and which calls it takes.

LocalStack's developers keep such answers beside their tests. Each is here as a call of ours; docs/sqs.rst says where
Queuey answers otherwise on purpose.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from queuey.model.applications.aws_accounts import account_of
from tests.http.sqs.support import SqsTestCase
from tests.http.sqs.test_query import QueryTestCase

URL: Final = "http://localhost/sqs/1/q"
FIFO_URL: Final = f"{URL}.fifo"
LONG: Final = "a" * 129
ID: Final = "can only include alphanumeric and punctuation characters. 1 to 128 in length."
ENTRY_ID: Final = (
    "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters "
    "long."
)
GROUP: Final = "The request must contain the parameter MessageGroupId."
DEDUPLICATION: Final = (
    "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
)
SSE: Final = (
    "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE."
)
INVALID: Final = "InvalidParameterValueException"


def entries(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"Id": f"e{number}", "MessageBody": "x", **more} for number in range(count)]


def handle(source: str) -> str:
    """A handle of a task that there is not."""
    return base64.b64encode(json.dumps({"taskId": "10f57157", "sourceArn": source}).encode()).decode()


def arn(name: str, owner: str | None = None) -> str:
    return f"arn:aws:sqs:us-east-1:{owner or account_of('app')}:{name}"


ERRORS: Final[tuple[tuple[str, str, str, dict[str, Any]], ...]] = (
    ("MissingRequiredParameterException", "The request must contain the parameter MessageBody.", "SendMessage",
     {"MessageBody": ""}),
    ("MissingRequiredParameterException", GROUP, "SendMessage", {"QueueUrl": FIFO_URL, "MessageBody": "x"}),
    (INVALID, DEDUPLICATION, "SendMessage", {"QueueUrl": FIFO_URL, "MessageBody": "x", "MessageGroupId": "g"}),
    (INVALID, GROUP, "SendMessageBatch",
     {"QueueUrl": FIFO_URL, "Entries": [*entries(1, MessageGroupId="g", MessageDeduplicationId="d"),
                                        {"Id": "x", "MessageBody": "x"}]}),
    (INVALID, DEDUPLICATION, "SendMessageBatch", {"QueueUrl": FIFO_URL, "Entries": entries(2, MessageGroupId="g")}),
    (INVALID, "Value 2 for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid "
     "for this queue type.", "SendMessage",
     {"QueueUrl": FIFO_URL, "MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "d",
      "DelaySeconds": 2}),
    *((INVALID, f"Value {value} for parameter MessageGroupId is invalid. Reason: MessageGroupId {ID}", "SendMessage",
       {"MessageBody": "x", "MessageGroupId": value}) for value in ("", LONG, "group 123")),
    *((INVALID, f"Value {value} for parameter MessageDeduplicationId is invalid. Reason: MessageDeduplicationId {ID}",
       "SendMessage",
       {"QueueUrl": FIFO_URL, "MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": value})
      for value in ("", LONG, "group 123")),
    (INVALID, "Message (user) attribute 'ErrorDetails' must contain a non-empty value of type 'String'.", "SendMessage",
     {"MessageBody": "x", "MessageAttributes": {"ErrorDetails": {"DataType": "String", "StringValue": ""}}}),
    (INVALID, "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.", "SendMessage",
     {"MessageBody": "x" * 1_048_577}),
    ("BatchRequestTooLong", "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.",
     "SendMessageBatch", {"Entries": [{"Id": "a", "MessageBody": "x" * 1_048_576}, {"Id": "b", "MessageBody": "x"}]}),
    ("BatchRequestTooLong", "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.",
     "SendMessageBatch", {"Entries": [{"Id": "a", "MessageBody": "x" * 1_048_577}]}),
    ("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent 20.",
     "SendMessageBatch", {"Entries": entries(20)}),
    *(("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent 20.", name,
       {"Entries": [{"Id": str(number), "ReceiptHandle": "x", "VisibilityTimeout": 1} for number in range(20)]})
      for name in ("DeleteMessageBatch", "ChangeMessageVisibilityBatch")),
    *(("InvalidBatchEntryId", ENTRY_ID, "DeleteMessageBatch", {"Entries": [{"Id": id, "ReceiptHandle": "x"}]})
      for id in ("", "testLongId" * 10, "invalid:id")),
    ("InvalidBatchEntryId", ENTRY_ID, "SendMessageBatch", {"Entries": [{"Id": ".!@#", "MessageBody": "x"}]}),
    *(("EmptyBatchRequest", f"There should be at least one {name}BatchRequestEntry in the request.", f"{name}Batch",
       {"Entries": []}) for name in ("SendMessage", "DeleteMessage", "ChangeMessageVisibility")),
    (INVALID, "Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.",
     "ReceiveMessage", {"MaxNumberOfMessages": 11}),
    *((INVALID, f"Value {wait} for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.",
       "ReceiveMessage", {"WaitTimeSeconds": wait}) for wait in (-1, 21)),
    ("InvalidAttributeName", "Unknown Attribute FifoQueue.", "SetQueueAttributes",
     {"Attributes": {"FifoQueue": "true"}}),
    ("InvalidAttributeName", "Unknown Attribute FifoQueue.", "SetQueueAttributes",
     {"Attributes": {"FifoQueue": "false"}}),
    ("InvalidAttributeValue",
     "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.", "SetQueueAttributes",
     {"QueueUrl": FIFO_URL, "Attributes": {"FifoQueue": "false"}}),
    *(("InvalidAttributeName", f"Unknown Attribute {name}.", "CreateQueue",
       {"QueueName": "new", "Attributes": {name: "false"}}) for name in ("FifoQueue", "ContentBasedDeduplication")),
    *(("InvalidAttributeName", f"You can specify the {name} only when FifoQueue is set to true.", "CreateQueue",
       {"QueueName": "new", "Attributes": {name: value}})
      for name, value in (("DeduplicationScope", "queue"), ("FifoThroughputLimit", "perQueue"))),
    ("InvalidAttributeName", SSE, "SetQueueAttributes",
     {"Attributes": {"KmsMasterKeyId": "id", "SqsManagedSseEnabled": "true"}}),
    ("QueueNameExists", "A queue already exists with the same name and a different value for attribute DelaySeconds",
     "CreateQueue", {"QueueName": "q", "Attributes": {"DelaySeconds": "2"}}),
    ("QueueDoesNotExist", "The specified queue does not exist.", "GetQueueUrl", {"QueueName": "nowhere"}),
    ("QueueDoesNotExist", "The specified queue does not exist.", "SendMessage",
     {"QueueUrl": f"{URL}x", "MessageBody": "x"}),
    ("QueueDoesNotExist", "The specified queue does not exist.", "GetQueueAttributes", {"QueueUrl": "http://elsewhere"}),
    (INVALID, "Source queue must be configured as a Dead Letter Queue.", "StartMessageMoveTask",
     {"SourceArn": arn("q")}),
    ("ResourceNotFoundException", "The resource that you specified for the DestinationArn parameter doesn't exist.",
     "StartMessageMoveTask", {"SourceArn": arn("dead"), "DestinationArn": arn("nowhere")}),
    (INVALID, "Value for parameter TaskHandle is invalid.", "CancelMessageMoveTask", {"TaskHandle": "foobared"}),
    ("ResourceNotFoundException", "The resource that you specified for the SourceArn parameter doesn't exist.",
     "CancelMessageMoveTask", {"TaskHandle": handle(arn("nowhere", "878966065785"))}),
    ("ResourceNotFoundException", "Task does not exist.", "CancelMessageMoveTask", {"TaskHandle": handle(arn("q"))}),
    # Those that moto's developers have verified on AWS.
    (INVALID, "Tag keys must be between 1 and 128 characters in length.", "UntagQueue", {"TagKeys": []}),
    ("MissingRequiredParameterException", "The request must contain the parameter Tags.", "TagQueue", {"Tags": {}}),
    (INVALID, "Too many tags added for queue q.", "TagQueue", {"Tags": {str(number): "" for number in range(51)}}),
    ("BatchEntryIdsNotDistinct", "Id e1 repeated.", "SendMessageBatch",
     {"Entries": [*entries(2), *reversed(entries(2))]}),
)  # fmt: skip
"""The code, the text, the operation, and the members, to which the URL of the queue ``q`` is added if it is missing."""


class ErrorTests(SqsTestCase):
    def test_each(self) -> None:
        self.made("q")
        self.made("q.fifo", FifoQueue="true")
        self.made("dead")
        policy = json.dumps({"deadLetterTargetArn": arn("dead"), "maxReceiveCount": 1})
        self.made("source", RedrivePolicy=policy)
        for code, text, operation, members in ERRORS:
            found = self.fails(code, operation, **{"QueueUrl": URL, **members})
            self.assertEqual(found, text, (operation, str(members)[:200]))
        for url in (URL, FIFO_URL):
            self.assertEqual(self.received(url), [], "something was stored")


class TakenTests(SqsTestCase):
    def test_too_large_for_the_queue(self) -> None:
        url = self.made("q", MaximumMessageSize="1024")
        text = "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes."
        self.assertEqual(self.fails(INVALID, "SendMessage", QueueUrl=url, MessageBody="x" * 1025), text)
        some = [{"Id": "a", "MessageBody": "x" * 1025}, {"Id": "b", "MessageBody": "x" * 1024}]
        answer = self.call("SendMessageBatch", QueueUrl=url, Entries=some)
        text = "One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes."
        (failed,) = answer["Failed"]
        self.assertEqual(failed, {"Id": "a", "Code": "InvalidParameterValue", "Message": text, "SenderFault": True})
        self.assertEqual([one["Id"] for one in answer["Successful"]], ["b"])

    def test_hidden_after_its_time(self) -> None:
        """A handle past its time hides a message of a standard queue, and deletes it."""
        url = self.made("q", VisibilityTimeout="1")
        self.sent(url)
        (one,) = self.received(url)
        self.clock.advance(2)
        given = {"QueueUrl": url, "ReceiptHandle": one["ReceiptHandle"]}
        self.assertEqual(self.call("ChangeMessageVisibility", **given, VisibilityTimeout=2), {})
        self.assertEqual(self.received(url), [])
        self.clock.advance(3)
        self.assertEqual(self.call("DeleteMessage", **given), {})
        self.assertEqual(self.received(url), [])

    def test_hidden_after_its_deletion(self) -> None:
        url = self.made("q")
        self.sent(url)
        (one,) = self.received(url)
        given = {"QueueUrl": url, "ReceiptHandle": one["ReceiptHandle"]}
        self.call("DeleteMessage", **given)
        expected = f"Value {one['ReceiptHandle']} for parameter ReceiptHandle is invalid. "
        expected += "Reason: Message does not exist or is not available for visibility timeout change."
        self.assertEqual(self.fails(INVALID, "ChangeMessageVisibility", **given, VisibilityTimeout=42), expected)

    def test_a_fifo_queue_is_stricter(self) -> None:
        url = self.made("q.fifo", VisibilityTimeout="1", FifoQueue="true", ContentBasedDeduplication="true")
        self.sent(url, MessageGroupId="g")
        (one,) = self.received(url)
        self.clock.advance(2)
        given = {"QueueUrl": url, "ReceiptHandle": one["ReceiptHandle"]}
        expected = f"Value {one['ReceiptHandle']} for parameter ReceiptHandle is invalid. "
        expected += "Reason: The receipt handle has expired."
        self.assertEqual(self.fails(INVALID, "DeleteMessage", **given), expected)

    def test_defaults(self) -> None:
        """``SqsManagedSseEnabled`` is true on AWS, which encrypts."""
        found = self.call("GetQueueAttributes", QueueUrl=self.made(), AttributeNames=["All"])["Attributes"]
        for name in ("CreatedTimestamp", "LastModifiedTimestamp"):
            del found[name]
        expected = {
            "ApproximateNumberOfMessages": "0",
            "ApproximateNumberOfMessagesDelayed": "0",
            "ApproximateNumberOfMessagesNotVisible": "0",
            "DelaySeconds": "0",
            "MaximumMessageSize": "1048576",
            "MessageRetentionPeriod": "345600",
            "QueueArn": arn("q"),
            "ReceiveMessageWaitTimeSeconds": "0",
            "SqsManagedSseEnabled": "false",
            "VisibilityTimeout": "30",
        }
        self.assertEqual(found, expected)

    def test_attributes_that_are_asked_for(self) -> None:
        url = self.made("q", VisibilityTimeout="0")
        given = {name: {"DataType": "String", "StringValue": "v"} for name in ("Hello", "General", "Help.Me")}
        self.sent(url, MessageAttributes=given)
        for names, expected in (
            ([], set()),
            (["All"], set(given)),
            (["*"], set(given)),
            ([".*"], set(given)),
            (["Foo", "Help"], set()),
            (["Hello", "General"], {"Hello", "General"}),
            (["Foo", "Hello"], {"Hello"}),
            (["Hel.*"], {"Hello", "Help.Me"}),
        ):
            (one,) = self.call("ReceiveMessage", QueueUrl=url, MessageAttributeNames=names)["Messages"]
            self.assertEqual(set(one.get("MessageAttributes", {})), expected, names)

    def test_tags(self) -> None:
        url = self.made()
        self.call("TagQueue", QueueUrl=url, Tags={"tag1": "value1", "tag2": "value2", "tag3": ""})
        self.call("UntagQueue", QueueUrl=url, TagKeys=["tag1", "tag3"])
        self.assertEqual(self.call("ListQueueTags", QueueUrl=url), {"Tags": {"tag2": "value2"}})
        self.call("UntagQueue", QueueUrl=url, TagKeys=["tag2"])
        self.assertEqual(self.call("ListQueueTags", QueueUrl=url), {})


class OldProtocolTests(QueryTestCase):
    def test_a_queue_that_is_not_there(self) -> None:
        text = self.fails("QueueDoesNotExist", "GetQueueUrl", QueueName="nowhere")
        self.assertEqual(text, "The specified queue does not exist for this wsdl version.")
