"""boto3 against a daemon: every operation, signed by botocore, with answers parsed by its own model."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.session import get_session

from queuey.http.sqs.attributes import SHOWN
from queuey.http.sqs.errors import CODES, NO_OPERATION
from queuey.http.sqs.operations import OPERATIONS, Kind
from queuey.model.applications.application import digest_of
from queuey.model.applications.aws_keys import AwsKey, aws_key
from tests.live.clients import KEY
from tests.live.daemon.test_daemon import LiveTestCase

run_in = "test"

PAIR = aws_key(digest_of(KEY))
TYPES = {
    "string": Kind.TEXT,
    "integer": Kind.NUMBER,
}


class BotoTests(LiveTestCase):
    """Calls over a socket."""

    def setUp(self) -> None:
        super().setUp()
        self.add_settings("[application:queuey]\nsqs = true\n")
        self.daemon = self.serve()
        self.sqs = self.client("/sqs")

    def client(self, path: str, pair: AwsKey = PAIR) -> Any:
        found = boto3.client(
            "sqs",
            endpoint_url=f"http://127.0.0.1:{self.port}{path}",
            region_name="us-east-1",
            aws_access_key_id=pair.id,
            aws_secret_access_key=pair.secret,
            config=Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=30),
        )
        self.addCleanup(found.close)
        return found

    def refused(self, code: str, call: Any, **given: Any) -> None:
        error = self.assertRaises(ClientError, call, **given)
        self.assertEqual(error.response["Error"]["Code"], code)

    def receive(self, url: str, **more: Any) -> list[Any]:
        given = {"MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"], "MessageSystemAttributeNames": ["All"]}
        found: list[Any] = self.sqs.receive_message(QueueUrl=url, **{**given, **more}).get("Messages", [])
        return found

    def test_a_message(self) -> None:
        url = self.sqs.create_queue(QueueName="q", Attributes={"VisibilityTimeout": "60"}, tags={"a": "b"})["QueueUrl"]
        self.assertEqual(self.sqs.get_queue_url(QueueName="q")["QueueUrl"], url)
        self.assertEqual(self.sqs.list_queues(QueueNamePrefix="q")["QueueUrls"], [url])
        self.assertEqual(self.sqs.list_queue_tags(QueueUrl=url)["Tags"], {"a": "b"})
        attributes = {
            "city": {"DataType": "String", "StringValue": "Zürich"},
            "raw": {"DataType": "Binary", "BinaryValue": b"\0\xff"},
        }
        text = "grüezi \U0001f600 <&>"
        sent = self.sqs.send_message(QueueUrl=url, MessageBody=text, MessageAttributes=attributes)
        self.assertEqual(sent["MD5OfMessageBody"], hashlib.md5(text.encode(), usedforsecurity=False).hexdigest())
        (one,) = self.receive(url)
        self.assertEqual((one["Body"], one["MessageAttributes"]), (text, attributes))
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        self.assertEqual(found["ApproximateNumberOfMessagesNotVisible"], "1")
        given = {"QueueUrl": url, "ReceiptHandle": one["ReceiptHandle"]}
        self.sqs.change_message_visibility(**given, VisibilityTimeout=0)
        (again,) = self.receive(url)
        self.assertEqual(again["Attributes"]["ApproximateReceiveCount"], "2")
        self.sqs.delete_message(QueueUrl=url, ReceiptHandle=again["ReceiptHandle"])
        self.assertEqual(self.receive(url), [])
        self.sqs.purge_queue(QueueUrl=url)
        self.sqs.delete_queue(QueueUrl=url)
        self.refused("AWS.SimpleQueueService.NonExistentQueue", self.sqs.get_queue_url, QueueName="q")
        self.assertRaises(self.sqs.exceptions.QueueDoesNotExist, self.sqs.get_queue_url, QueueName="q")

    def test_at_the_root(self) -> None:
        """For clients that take no path; and a long poll is answered when a message comes."""
        other = self.client("")
        url = other.create_queue(QueueName="q")["QueueUrl"]
        timer = threading.Timer(0.3, lambda: other.send_message(QueueUrl=url, MessageBody="late"))
        timer.start()
        self.addCleanup(timer.join)
        (one,) = self.receive(url, WaitTimeSeconds=20)
        self.assertEqual(one["Body"], "late")

    def test_batches_and_groups(self) -> None:
        dead = self.sqs.create_queue(QueueName="dead.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
        settings = {"FifoQueue": "true", "ContentBasedDeduplication": "true", "RedrivePolicy": policy}
        url = self.sqs.create_queue(QueueName="q.fifo", Attributes=settings)["QueueUrl"]
        self.assertEqual(self.sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"], [url])
        entries = [{"Id": f"e{n}", "MessageBody": f"m{n}", "MessageGroupId": "A"} for n in range(10)]
        sent = self.sqs.send_message_batch(QueueUrl=url, Entries=entries)
        numbers = [int(one["SequenceNumber"]) for one in sent["Successful"]]
        self.assertEqual(numbers, sorted(set(numbers)))
        got = self.receive(url)
        self.assertEqual([one["Body"] for one in got], [f"m{n}" for n in range(10)])
        handles = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(got)]
        done = self.sqs.delete_message_batch(QueueUrl=url, Entries=handles[:9])
        self.assertEqual((len(done["Successful"]), "Failed" in done), (9, False))
        hidden = self.sqs.change_message_visibility_batch(
            QueueUrl=url, Entries=[{**handles[9], "VisibilityTimeout": 0}, {"Id": "x", "ReceiptHandle": "x"}]
        )
        self.assertEqual([one["Code"] for one in hidden["Failed"]], ["ReceiptHandleIsInvalid"])
        self.assertEqual(self.receive(url, WaitTimeSeconds=1), [])
        (letter,) = self.receive(dead, WaitTimeSeconds=5)
        self.assertEqual((letter["Body"], letter["MessageId"]), ("m9", got[9]["MessageId"]))

    def test_killed_between_send_and_receive(self) -> None:
        """What was answered is there after kill -9, once; what was deleted does not come back."""
        url = self.sqs.create_queue(QueueName="q", Attributes={"VisibilityTimeout": "1"})["QueueUrl"]
        fifo = self.sqs.create_queue(QueueName="q.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        for n in range(20):
            self.sqs.send_message(QueueUrl=url, MessageBody=f"m{n}")
            given = {"MessageGroupId": str(n % 2), "MessageDeduplicationId": str(n)}
            self.sqs.send_message(QueueUrl=fifo, MessageBody=f"m{n}", **given)
        deleted = self.receive(url, MaxNumberOfMessages=5)
        for one in deleted:
            self.sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
        self.daemon.kill()
        self.daemon = self.serve()
        # A repeat of what the daemon had answered before is no second message.
        again = {"MessageBody": "m19", "MessageGroupId": "1", "MessageDeduplicationId": "19"}
        self.sqs.send_message(QueueUrl=fifo, **again)
        self.assertEqual(self.all(url), {f"m{n}" for n in range(20)} - {one["Body"] for one in deleted})
        groups: dict[str, list[int]] = {"0": [], "1": []}
        while found := self.receive(fifo):
            for one in found:
                groups[one["Attributes"]["MessageGroupId"]].append(int(one["Body"][1:]))
                self.sqs.delete_message(QueueUrl=fifo, ReceiptHandle=one["ReceiptHandle"])
        self.assertEqual(groups, {"0": [*range(0, 20, 2)], "1": [*range(1, 20, 2)]})

    def all(self, url: str) -> set[str]:
        """Receive and delete what there is; return the bodies, of which no two are the same."""
        bodies: list[str] = []
        while found := self.receive(url, WaitTimeSeconds=2):
            for one in found:
                bodies.append(one["Body"])
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
        self.assertEqual(len(set(bodies)), len(bodies))
        return set(bodies)

    def test_false_credentials(self) -> None:
        for pair, code in (
            (AwsKey(PAIR.id, "false"), "SignatureDoesNotMatch"),
            (AwsKey("AKIAIOSFODNN7EXAMPLE", PAIR.secret), "InvalidClientTokenId"),
        ):
            self.refused(code, self.client("/sqs", pair).list_queues)
        log = (self.folder / "log").read_text() if (self.folder / "log").exists() else ""
        self.assertNotIn(PAIR.secret, log)

    def test_the_model_of_aws(self) -> None:
        """Our table has the operations, members, types and errors that botocore has, and no others."""
        model = get_session().get_service_model("sqs")
        self.assertEqual({*OPERATIONS}, {*model.operation_names})
        for name, operation in OPERATIONS.items():
            shape = model.operation_model(name).input_shape
            self.assertEqual({one.name for one in operation.members}, set(shape.members), name)
            self.assertEqual({one.name for one in operation.members if one.required}, set(shape.required_members), name)
            for one in operation.members:
                kind = TYPES.get(shape.members[one.name].type_name)
                if kind is not None:
                    self.assertEqual(one.kind, kind, (name, one.name))
        ours = {"AccessDenied", "InternalFailure", "ServiceUnavailable", "IncompleteSignature", "SignatureDoesNotMatch"}
        ours |= {"InvalidAction", "InvalidClientTokenId", "MissingAuthenticationToken", "SerializationException"}
        ours |= {"InvalidParameterValueException", "MissingRequiredParameterException", NO_OPERATION}
        known = {
            shape for shape in model.shape_names if getattr(model.shape_for(shape), "metadata", {}).get("exception")
        }
        self.assertEqual({code for code in CODES if code not in known}, ours)
        for code in CODES.keys() & known:
            error = model.shape_for(code).metadata.get("error", {})
            self.assertEqual(CODES[code][0], error.get("code", CODES[code][0]), code)
        names = set(model.shape_for("QueueAttributeName").enum) - {"All"}
        self.assertEqual(SHOWN - names, {"QueueyKeep"})
        self.assertEqual(names - SHOWN, set())
