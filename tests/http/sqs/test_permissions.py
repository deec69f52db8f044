"""Policies of queues: refused, or kept and shown; the answers are those that were recorded from AWS."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.http.sqs.support import SQS_SETTINGS, SqsTestCase
from tests.http.sqs.test_query import QueryTestCase

OTHER: Final = "668614515564"
POLICY: Final = json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": "own", "Effect": "Deny"}]})


class RefusedTests(SqsTestCase):
    """As it is without a setting."""

    def test_they_are_refused(self) -> None:
        url = self.made()
        permission = {"Label": "a", "AWSAccountIds": [OTHER], "Actions": ["*"]}
        for operation, given in (
            ("AddPermission", permission),
            ("RemovePermission", {"Label": "a"}),
            ("SetQueueAttributes", {"Attributes": {"Policy": POLICY}}),
        ):
            self.assertIn("not enforced", self.fails("UnsupportedOperation", operation, QueueUrl=url, **given))
        self.fails("UnsupportedOperation", "CreateQueue", QueueName="r", Attributes={"Policy": POLICY})
        self.call("SetQueueAttributes", QueueUrl=url, Attributes={"Policy": ""})


class KeptTests(SqsTestCase):
    settings = f"{SQS_SETTINGS}sqs_policies = keep\n"

    def setUp(self) -> None:
        super().setUp()
        self.url = self.made()

    def policy(self) -> Any:
        """The policy of the queue; ``None`` if it has none."""
        found = self.call("GetQueueAttributes", QueueUrl=self.url, AttributeNames=["Policy"])
        return json.loads(found["Attributes"]["Policy"]) if found else None

    def add(self, label: str, accounts: list[str], actions: list[str]) -> None:
        self.assertEqual(self.call("AddPermission", **self.permission(label, accounts, actions)), {})

    def permission(self, label: str, accounts: list[str], actions: list[str]) -> dict[str, Any]:
        return {"QueueUrl": self.url, "Label": label, "AWSAccountIds": accounts, "Actions": actions}

    def test_permissions(self) -> None:
        arn = self.arn(self.url)
        account = arn.split(":")[4]
        own, other = f"arn:aws:iam::{account}:root", f"arn:aws:iam::{OTHER}:root"
        first = {
            "Sid": "first",
            "Effect": "Allow",
            "Principal": {"AWS": [own, other]},
            "Action": "SQS:ReceiveMessage",
            "Resource": arn,
        }
        second = {
            **first, "Sid": "second", "Principal": {"AWS": own}, "Action": ["SQS:SendMessage", "SQS:PurgeQueue"]
        }  # fmt: skip
        head = {"Version": "2008-10-17", "Id": f"{arn}/SQSDefaultPolicy"}
        self.assertIsNone(self.policy())
        self.add("first", [account, OTHER], ["ReceiveMessage"])
        self.assertEqual(self.policy(), {**head, "Statement": [first]})
        text = self.fails(
            "InvalidParameterValueException", "AddPermission", **self.permission("first", [OTHER], ["ReceiveMessage"])
        )
        self.assertEqual(text, "Value first for parameter Label is invalid. Reason: Already exists.")
        self.add("second", [account], ["SendMessage", "PurgeQueue"])
        self.assertEqual(self.policy(), {**head, "Statement": [first, second]})
        self.call("RemovePermission", QueueUrl=self.url, Label="first")
        self.assertEqual(self.policy(), {**head, "Statement": [second]})
        self.call("RemovePermission", QueueUrl=self.url, Label="second")
        self.assertIsNone(self.policy())
        text = self.fails("InvalidParameterValueException", "RemovePermission", QueueUrl=self.url, Label="second")
        self.assertEqual(text, "Value second for parameter Label is invalid. Reason: can't find label.")

    def test_permissions_that_are_none(self) -> None:
        many = ["SendMessage"] * 8
        for code, accounts, actions in (
            ("InvalidParameterValueException", [OTHER], ["RemovePermission"]),
            ("InvalidParameterValueException", [], ["SendMessage"]),
            ("InvalidParameterValueException", ["1"], ["SendMessage"]),
            ("MissingRequiredParameterException", [OTHER], []),
            ("OverLimit", [OTHER], many),
        ):
            self.fails(code, "AddPermission", **self.permission("a", accounts, actions))
        self.fails("InvalidParameterValueException", "AddPermission", **self.permission("a b", [OTHER], ["*"]))
        self.assertIsNone(self.policy())

    def test_a_policy_as_an_attribute(self) -> None:
        made = self.made("r", Policy=POLICY)
        self.assertEqual(self.made("r", Policy=POLICY), made)
        self.call("SetQueueAttributes", QueueUrl=self.url, Attributes={"Policy": POLICY})
        self.assertEqual(self.policy(), json.loads(POLICY))
        self.add("more", [OTHER], ["*"])
        self.assertEqual([one["Sid"] for one in self.policy()["Statement"]], ["own", "more"])
        for wrong in ("x", "[]", json.dumps({"x": "y" * 8192})):
            attributes = {"Policy": wrong}
            self.fails("InvalidAttributeValue", "SetQueueAttributes", QueueUrl=self.url, Attributes=attributes)
        self.call("SetQueueAttributes", QueueUrl=self.url, Attributes={"Policy": ""})
        self.assertIsNone(self.policy())

    def test_a_policy_has_a_limit(self) -> None:
        for n in range(100):
            response = self.raw("AddPermission", self.permission(f"label-{n}", [OTHER], ["*"]))
            if response.status != 200:
                self.failed("InvalidAttributeValue", response)
                break
        self.assertEqual(len(self.policy()["Statement"]), n)
        self.assertGreater(n, 20)

    def test_it_has_no_effect(self) -> None:
        denied = {"Effect": "Deny", "Principal": "*", "Action": "SQS:*", "Resource": self.arn(self.url)}
        policy = json.dumps({"Version": "2012-10-17", "Statement": denied})
        self.call("SetQueueAttributes", QueueUrl=self.url, Attributes={"Policy": policy})
        self.sent(self.url)
        self.assertEqual(len(self.received(self.url)), 1)
        self.add("more", [OTHER], ["*"])
        self.assertEqual(self.policy()["Statement"][0], denied)


class QueryTests(QueryTestCase):
    settings = KeptTests.settings

    def test_permissions(self) -> None:
        url = self.call("CreateQueue", QueueName="q")["QueueUrl"]
        permission = {"Label": "a", "AWSAccountIds": [OTHER, "1" * 12], "Actions": ["SendMessage", "GetQueueUrl"]}
        self.call("AddPermission", QueueUrl=url, **permission)
        found = self.call("GetQueueAttributes", QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
        (statement,) = json.loads(found)["Statement"]
        self.assertEqual(len(statement["Principal"]["AWS"]), 2)
        self.assertEqual(statement["Action"], ["SQS:SendMessage", "SQS:GetQueueUrl"])
        self.call("RemovePermission", QueueUrl=url, Label="a")
