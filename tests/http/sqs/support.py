"""Requests of SQS clients to a daemon in memory."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from queuey.deferreds import TurnQueue
from queuey.http.sqs.errors import CODES
from queuey.model.applications.application import digest_of
from queuey.model.applications.aws_keys import AwsKey, aws_key
from tests.auth.aws_support import Signing
from tests.http.api_support import KEY, OTHER_KEY, SETTINGS, V2TestCase
from tests.http.responses import Response
from tests.http.wire_support import Connection, encode_request

OTHER_PAIR = aws_key(digest_of(OTHER_KEY))

SQS_SETTINGS = f"""
{SETTINGS}
[application:app]
sqs = true
"""


class SqsTestCase(V2TestCase):
    """Signs requests with a key of the application ``app``, which clients of SQS may use."""

    settings = SQS_SETTINGS
    pair = aws_key(digest_of(KEY))
    path = "/sqs"

    def encoded(
        self,
        operation: str,
        members: Any,
        pair: AwsKey | None = None,
        invocation: str | None = None,
        trace: str | None = None,
    ) -> bytes:
        body = members if isinstance(members, bytes) else json.dumps(members).encode()
        unsigned = {} if invocation is None else {"amz-sdk-invocation-id": invocation}
        if trace is not None:
            unsigned["x-amzn-trace-id"] = trace
        more = {"x-amz-target": f"AmazonSQS.{operation}", "content-type": "application/x-amz-json-1.0"}
        signing = Signing(pair or self.pair, self.clock.seconds(), "POST", self.path, "", body, more=more)
        signing.unsigned.update(unsigned)
        return encode_request("POST", self.path, signing.fields(), body)

    def start_call(self, operation: str, **members: Any) -> Connection:
        """Begin a call whose answer may take its time."""
        return Connection(self.assembly.site).send(self.encoded(operation, members))

    def raw(self, operation: str, members: Any, pair: AwsKey | None = None, invocation: str | None = None) -> Response:
        connection = Connection(self.assembly.site).send(self.encoded(operation, members, pair, invocation))
        response = connection.response("POST", only_json=False)
        connection.hang_up()
        self.assertEqual(response.header("content-type"), "application/x-amz-json-1.0")
        return response

    def answer_of(self, call: Connection) -> Any:
        """What a call that has waited is answered."""
        response = call.response("POST", only_json=False)
        self.assertEqual(response.status, 200, response)
        return response.json

    def call(self, operation: str, **members: Any) -> Any:
        """The answer to a call that succeeds."""
        response = self.raw(operation, members)
        self.assertEqual(response.status, 200, response)
        self.assertTrue(response.header("x-amzn-requestid"))
        return response.json

    def fails(self, code: str, operation: str, **members: Any) -> str:
        """The text of the error of a call."""
        return self.failed(code, self.raw(operation, members))

    def failed(self, code: str, response: Response) -> str:
        old, status = CODES[code]
        self.assertEqual(response.status, status, response)
        self.assertEqual(response.json["__type"], f"com.amazonaws.sqs#{code}", response)
        fault = "Receiver" if status >= 500 else "Sender"
        self.assertEqual(response.header("x-amzn-query-error"), f"{old};{fault}")
        text: str = response.json["message"]
        self.assertTrue(text)
        return text

    def made(self, name: str = "q", **attributes: str) -> str:
        """Make a queue through SQS, and give its URL."""
        url: str = self.call("CreateQueue", QueueName=name, Attributes=attributes)["QueueUrl"]
        return url

    def sent(self, url: str, body: str = "hello", **more: Any) -> Any:
        return self.call("SendMessage", QueueUrl=url, MessageBody=body, **more)

    def received(self, url: str, number: int = 10, **more: Any) -> list[Any]:
        answer = self.call(
            "ReceiveMessage",
            QueueUrl=url,
            MaxNumberOfMessages=number,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
            **more,
        )
        found: list[Any] = answer.get("Messages", [])
        return found

    def arn(self, url: str) -> str:
        """The ARN of a queue."""
        found = self.call("GetQueueAttributes", QueueUrl=url, AttributeNames=["QueueArn"])
        text: str = found["Attributes"]["QueueArn"]
        return text

    def counts(self, url: str) -> tuple[int, int, int]:
        """How many messages are visible, hidden and delayed."""
        names = [f"ApproximateNumberOfMessages{end}" for end in ("", "NotVisible", "Delayed")]
        found = self.call("GetQueueAttributes", QueueUrl=url, AttributeNames=names)["Attributes"]
        return (int(found[names[0]]), int(found[names[1]]), int(found[names[2]]))


class Turns(TurnQueue):
    """Gives turns at once, and counts them."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.given = 0

    def next(self) -> Deferred[None]:
        self.given += 1
        return succeed(None)
