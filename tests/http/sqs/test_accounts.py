"""The account of an application is the one that its settings name."""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import urlsplit

from tests.http.sqs.support import SQS_SETTINGS, SqsTestCase

ACCOUNT: Final = "000000000000"


class UrlTests(SqsTestCase):
    """URLs of queues begin as the settings say, whichever host the client has used."""

    settings = f"{SQS_SETTINGS}[sqs]\nurl = https://queues.example.org/x/\n"

    def test_in_answers(self) -> None:
        url = self.made("a")
        path = urlsplit(url).path
        self.assertEqual(url, f"https://queues.example.org{path}")
        self.assertTrue(path.startswith("/x/") and path.endswith("/a"), path)
        self.assertEqual(self.call("ListQueues")["QueueUrls"], [url])
        self.assertEqual(self.call("GetQueueUrl", QueueName="a")["QueueUrl"], url)
        self.sent(url)
        self.assertEqual(len(self.received(url)), 1)


class AccountTests(SqsTestCase):
    settings = f"{SQS_SETTINGS}sqs_account = {ACCOUNT}\n"

    def policy(self, url: str, most: int = 1) -> str:
        return json.dumps({"deadLetterTargetArn": self.arn(url), "maxReceiveCount": most})

    def test_in_urls(self) -> None:
        url = self.made("a")
        self.assertEqual(urlsplit(url).path, f"/sqs/{ACCOUNT}/a")
        self.assertEqual(self.call("ListQueues")["QueueUrls"], [url])
        for more in ({}, {"QueueOwnerAWSAccountId": ACCOUNT}):
            self.assertEqual(self.call("GetQueueUrl", QueueName="a", **more)["QueueUrl"], url)
        self.fails("QueueDoesNotExist", "GetQueueUrl", QueueName="a", QueueOwnerAWSAccountId="1" * 12)

    def test_in_arns(self) -> None:
        """They are shown with it, and taken with it alone."""
        dead = self.made("dead")
        self.assertEqual(self.arn(dead), f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead")
        url = self.made("a", RedrivePolicy=self.policy(dead))
        self.assertEqual(self.made("a", RedrivePolicy=self.policy(dead)), url)
        self.assertEqual(self.call("ListDeadLetterSourceQueues", QueueUrl=dead)["queueUrls"], [url])
        other = self.policy(dead).replace(ACCOUNT, "1" * 12)
        self.fails(
            "InvalidParameterValueException", "SetQueueAttributes", QueueUrl=url, Attributes={"RedrivePolicy": other}
        )
        allowed = json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [self.arn(url)]})
        self.call("SetQueueAttributes", QueueUrl=dead, Attributes={"RedriveAllowPolicy": allowed})
        self.call("SetQueueAttributes", QueueUrl=url, Attributes={"RedrivePolicy": self.policy(dead, 2)})
        self.fails(
            "InvalidParameterValueException",
            "CreateQueue",
            QueueName="b",
            Attributes={"RedrivePolicy": self.policy(dead)},
        )

    def test_of_dead_letters(self) -> None:
        """A letter names its queue with the account, and a task moves it back by ARNs of the account."""
        dead = self.made("dead")
        url = self.made("a", RedrivePolicy=self.policy(dead), VisibilityTimeout="0")
        self.sent(url)
        self.assertEqual(len(self.received(url)), 1)
        self.clock.advance(1)
        self.assertEqual(self.received(url), [])
        self.clock.advance(5)
        (letter,) = self.received(dead, VisibilityTimeout=0)
        self.assertEqual(letter["Attributes"]["DeadLetterQueueSourceArn"], self.arn(url))
        handle = self.call("StartMessageMoveTask", SourceArn=self.arn(dead))["TaskHandle"]
        self.assertTrue(handle)
        self.fails(
            "InvalidParameterValueException",
            "StartMessageMoveTask",
            SourceArn=self.arn(dead).replace(ACCOUNT, "1" * 12),
        )
