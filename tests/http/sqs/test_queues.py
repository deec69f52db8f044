"""Queues over SQS: made, found, listed, changed and deleted; and who may do that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from queuey import config
from queuey.errors import StorageFull
from queuey.http.sqs.errors import CODES, of
from queuey.model.applications.aws_accounts import account_of
from queuey.model.telemetry.counts import Counter
from tests.http.api_support import SETTINGS
from tests.http.responses import Response
from tests.http.sqs.support import OTHER_PAIR, SQS_SETTINGS, SqsTestCase
from tests.http.wire_support import Connection, encode_request

BATCHES: Any = {"content_type": "application/vnd.queuey.messages+json"}


class QueueTests(SqsTestCase):
    def attributes(self, url: str, *names: str) -> dict[str, str]:
        found: dict[str, str] = self.call("GetQueueAttributes", QueueUrl=url, AttributeNames=list(names) or ["All"])[
            "Attributes"
        ]
        return found

    def test_made_and_made_again(self) -> None:
        url = self.made("a", VisibilityTimeout="7", DelaySeconds="1")
        self.assertEqual(url, f"http://localhost/sqs/{account_of('app')}/a")
        self.assertRegex(account_of("app"), "^[0-9]{12}$")
        self.assertEqual(self.made("a", VisibilityTimeout="7"), url)
        self.assertEqual(self.made("a"), url)
        text = self.fails("QueueNameExists", "CreateQueue", QueueName="a", Attributes={"VisibilityTimeout": "8"})
        self.assertIn("VisibilityTimeout", text)
        self.assertEqual(self.call("GetQueueUrl", QueueName="a")["QueueUrl"], url)
        self.fails("QueueDoesNotExist", "GetQueueUrl", QueueName="b")
        owner = {"QueueName": "a", "QueueOwnerAWSAccountId": account_of("app")}
        self.assertEqual(self.call("GetQueueUrl", **owner)["QueueUrl"], url)
        self.fails("QueueDoesNotExist", "GetQueueUrl", QueueName="a", QueueOwnerAWSAccountId="1" * 12)
        self.assertEqual(self.call("DeleteQueue", QueueUrl=url), {})
        self.fails("QueueDoesNotExist", "GetQueueUrl", QueueName="a")
        self.assertEqual(self.attributes(self.made("a"))["VisibilityTimeout"], "30")

    def test_the_url_is_of_the_host_that_was_asked(self) -> None:
        self.path = "/"
        self.assertEqual(self.made("a"), f"http://localhost/{account_of('app')}/a")
        self.path = "/sqs/"
        self.assertEqual(self.made("a"), f"http://localhost/sqs/{account_of('app')}/a")

    def test_the_root_is_for_clients_of_sqs_alone(self) -> None:
        """All other requests find nothing there, as before there was SQS."""
        for method, fields in (("GET", {}), ("PUT", {}), ("POST", {}), ("POST", {"authorization": "Bearer x"})):
            response = self.answers(encode_request(method, "/", fields, None if method == "GET" else b"x"), method)
            self.assertEqual((response.status, response.json["status"]), (404, "error"), method)
        for fields in ({"x-amz-target": "AmazonSQS.ListQueues"}, {"authorization": "AWS4-HMAC-SHA256 x"}):
            response = self.answers(encode_request("POST", "/", fields, b"{}"), "POST")
            self.assertIn(response.json["__type"].rpartition("#")[2], CODES)

    def answers(self, data: bytes, method: str) -> Response:
        return Connection(self.assembly.site).send(data).response(method)

    def test_only_the_end_of_a_url_counts(self) -> None:
        self.made("a")
        for url in ("https://elsewhere:1/x/a", "a", "http://h/sqs/999999999999/a"):
            self.assertEqual(self.sent(url)["MD5OfMessageBody"], "5d41402abc4b2a76b9719d911017c592")
        for url in ("", "http://h/", "http://h/1/"):
            self.fails("InvalidAddress", "SendMessage", QueueUrl=url, MessageBody="x")
        for url in ("http://h/1/" + "x" * 81, "http://h/1/none"):
            self.fails("QueueDoesNotExist", "SendMessage", QueueUrl=url, MessageBody="x")

    def test_names(self) -> None:
        for name in ("a" * 80, "A-b_9", "0"):
            self.made(name)
        self.made("a" * 75 + ".fifo", FifoQueue="true")
        for name in ("a" * 81, "a.b", "a b", "é", "a" * 76 + ".fifo", ".fifo", ""):
            for more in ({}, {"FifoQueue": "true"}):
                self.fails("InvalidParameterValueException", "CreateQueue", QueueName=name, Attributes=more)
        self.fails("InvalidParameterValueException", "CreateQueue", QueueName="x.fifo")
        self.fails("InvalidParameterValueException", "CreateQueue", QueueName="x", Attributes={"FifoQueue": "true"})

    def test_listed(self) -> None:
        self.assertEqual(self.call("ListQueues"), {})
        urls = [self.made(f"a{n}") for n in range(5)]
        self.made("b")
        self.assertEqual(self.call("ListQueues", QueueNamePrefix="a"), {"QueueUrls": urls})
        found: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = self.call("ListQueues", QueueNamePrefix="a", MaxResults=2, **token)
            found += page["QueueUrls"]
            if "NextToken" not in page:
                break
            token = {"NextToken": page["NextToken"]}
        self.assertEqual(found, urls)
        self.fails("InvalidParameterValueException", "ListQueues", MaxResults=1001)

    def test_attributes(self) -> None:
        url = self.made("a")
        found = self.attributes(url)
        self.assertEqual(found["QueueArn"], f"arn:aws:sqs:us-east-1:{account_of('app')}:a")
        self.assertEqual(
            {name: found[name] for name in ("DelaySeconds", "MaximumMessageSize", "MessageRetentionPeriod")},
            {"DelaySeconds": "0", "MaximumMessageSize": "1048576", "MessageRetentionPeriod": "345600"},
        )
        self.assertEqual(found["CreatedTimestamp"], str(int(self.clock.seconds())))
        changed = {"VisibilityTimeout": "0", "MessageRetentionPeriod": "60", "MaximumMessageSize": "1024"}
        self.clock.advance(100)
        self.call("SetQueueAttributes", QueueUrl=url, Attributes=changed)
        self.assertEqual({name: self.attributes(url)[name] for name in changed}, changed)
        self.assertEqual(self.attributes(url, "LastModifiedTimestamp").popitem()[1], str(int(self.clock.seconds())))
        self.assertEqual(list(self.attributes(url, "QueueArn")), ["QueueArn"])
        self.assertEqual(self.call("GetQueueAttributes", QueueUrl=url), {})
        self.fails("InvalidParameterValueException", "SendMessage", QueueUrl=url, MessageBody="x" * 1025)
        self.assertEqual(self.sent(url)["MD5OfMessageBody"], "5d41402abc4b2a76b9719d911017c592")
        self.assertEqual([len(self.received(url)) for _ in range(2)], [1, 1])

    def test_attributes_that_are_wrong(self) -> None:
        url = self.made("a")
        for code, name, value in (
            ("InvalidAttributeValue", "VisibilityTimeout", "43201"),
            ("InvalidAttributeValue", "VisibilityTimeout", "-1"),
            ("InvalidAttributeValue", "DelaySeconds", "x"),
            ("InvalidAttributeValue", "DelaySeconds", ""),
            ("InvalidAttributeValue", "DelaySeconds", "٣"),
            ("InvalidAttributeValue", "QueueyKeep", "perhaps"),
            ("InvalidAttributeName", "Color", "red"),
            ("InvalidAttributeName", "VisibilityTimeout ", "1"),
            ("InvalidAttributeName", "QueueArn", "x"),
            ("UnsupportedOperation", "Policy", "{}"),
            ("InvalidParameterValueException", "RedrivePolicy", "{"),
            ("InvalidParameterValueException", "RedrivePolicy", "{}"),
            ("InvalidParameterValueException", "RedrivePolicy", self.policy("none")),
            ("InvalidParameterValueException", "RedrivePolicy", self.policy("a", most=0)),
            ("InvalidParameterValueException", "RedrivePolicy", self.policy("a", account="1" * 12)),
        ):
            self.fails(code, "SetQueueAttributes", QueueUrl=url, Attributes={name: value})
            self.fails(code, "CreateQueue", QueueName="b", Attributes={name: value})
        for name in ("ContentBasedDeduplication", "FifoQueue"):
            self.fails("InvalidAttributeName", "SetQueueAttributes", QueueUrl=url, Attributes={name: "true"})
        self.fails("InvalidAttributeName", "GetQueueAttributes", QueueUrl=url, AttributeNames=["Color"])
        self.fails("QueueDoesNotExist", "GetQueueUrl", QueueName="b")

    def policy(self, name: str, most: int = 3, account: str = account_of("app")) -> str:
        return json.dumps({"deadLetterTargetArn": f"arn:aws:sqs:us-east-1:{account}:{name}", "maxReceiveCount": most})

    def test_a_redrive_policy(self) -> None:
        self.made("dead")
        url = self.made("a", RedrivePolicy=self.policy("dead"))
        self.assertEqual(json.loads(self.attributes(url)["RedrivePolicy"]), json.loads(self.policy("dead")))
        self.assertEqual(self.made("a", RedrivePolicy=self.policy("dead")), url)
        own = {"RedrivePolicy": self.policy("a")}
        self.fails("InvalidParameterValueException", "SetQueueAttributes", QueueUrl=url, Attributes=own)
        asked = {"RedrivePolicy": self.policy("dead", 4)}
        self.fails("QueueNameExists", "CreateQueue", QueueName="a", Attributes=asked)
        self.call("SetQueueAttributes", QueueUrl=url, Attributes={"RedrivePolicy": ""})
        self.assertNotIn("RedrivePolicy", self.attributes(url))

    def test_tags(self) -> None:
        url = self.call("CreateQueue", QueueName="a", tags={"team": "x"})["QueueUrl"]
        self.call("TagQueue", QueueUrl=url, Tags={"cost": "1", "team": "y"})
        self.assertEqual(self.call("ListQueueTags", QueueUrl=url), {"Tags": {"team": "y", "cost": "1"}})
        many = {str(n): "x" for n in range(49)}
        self.fails("InvalidParameterValueException", "TagQueue", QueueUrl=url, Tags=many)
        self.fails("InvalidParameterValueException", "TagQueue", QueueUrl=url, Tags={"x" * 129: "x"})
        self.fails("InvalidParameterValueException", "TagQueue", QueueUrl=url, Tags={"aws:x": "x"})
        self.call("UntagQueue", QueueUrl=url, TagKeys=["team", "cost", "none"])
        self.assertEqual(self.call("ListQueueTags", QueueUrl=url), {})

    def test_a_closed_queue(self) -> None:
        url = self.made("a")
        self.sent(url)
        self.expect(200, self.send("PATCH", "/queues/a", {"closed": True}, content_type="application/merge-patch+json"))
        self.fails("UnsupportedOperation", "SendMessage", QueueUrl=url, MessageBody="x")
        self.assertEqual(len(self.received(url)), 1)

    def test_many_messages(self) -> None:
        """They are counted beyond what is counted of a lag."""
        url = self.made("a")
        for _ in range(3):
            self.expect(201, self.send("POST", "/queues/a/messages", {"messages": [{"body": "x"}] * 500}, **BATCHES))
        self.sent(url, DelaySeconds=100)
        self.assertEqual(len(self.received(url)), 10)
        self.assertEqual(self.counts(url), (1490, 10, 1))

    def test_a_queue_of_v2(self) -> None:
        self.expect(201, self.send("PUT", "/queues/o%C3%A9", {}))
        url = self.call("GetQueueUrl", QueueName="oé")["QueueUrl"]
        self.assertTrue(url.endswith("/o%C3%A9"))
        self.sent(url)
        self.assertEqual(self.counts(url), (1, 0, 0))
        self.assertEqual(self.attributes(url, "QueueyKeep"), {"QueueyKeep": "true"})
        self.assertEqual(self.attributes(url, "All")["QueueyKeep"], "true")
        other = self.made("a")
        self.assertEqual(self.attributes(other, "QueueyKeep"), {"QueueyKeep": "false"})
        self.assertNotIn("QueueyKeep", self.attributes(other, "All"))
        self.assertIn("QueueyKeep", self.attributes(other, "All", "QueueyKeep"))
        self.assertEqual(len(self.received(url)), 1)
        self.assertEqual(self.counts(url), (0, 1, 0))


class CallTests(SqsTestCase):
    """Calls that are none, and who may call."""

    def test_a_full_store(self) -> None:
        """It is no fault of the client, so SDKs try again; the limits of an application are."""
        for limit, code in (("storage", "ServiceUnavailable"), ("max_messages", "OverLimit")):
            found = of(StorageFull("There is no room.", limit=limit))
            assert found is not None
            self.assertEqual((found.code, found.text), (code, "There is no room."))

    def test_operations_that_are_not_there(self) -> None:
        self.fails("InvalidAction", "Nonsense")
        self.fails("InvalidAction", "")

    def test_bodies_that_are_none(self) -> None:
        for body in (b"{", b"[]", b"7", b"\xff", b"[" * 5000):
            self.failed("SerializationException", self.raw("ListQueues", body))
        for given in ({"QueueNamePrefix": 7}, {"MaxResults": True}, {"MaxResults": 1.5}):
            self.fails("SerializationException", "ListQueues", **given)
        self.assertEqual(self.call("ListQueues", QueueNamePrefix=None, Else=1), {})

    def test_an_application_that_has_it_off(self) -> None:
        self.failed("InvalidClientTokenId", self.raw("ListQueues", {}, OTHER_PAIR))

    def test_switched_off_while_a_receive_waits(self) -> None:
        url = self.made()
        waiting = self.start_call("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=10)
        self.use(SETTINGS)
        self.sent_by_v2()
        self.clock.advance(0.1)
        self.failed("InvalidClientTokenId", waiting.response("POST", only_json=False))
        self.use(SQS_SETTINGS)
        self.assertEqual(len(self.received(url)), 1)

    def test_a_queue_of_others(self) -> None:
        """An application that is not among the principals of its queue does not receive from it."""
        url = self.made()
        self.expect(200, self.send("PUT", "/queues/q", {"principals": ["bid:a@b.org"]}))
        self.sent(url)
        self.fails("AccessDenied", "ReceiveMessage", QueueUrl=url)
        self.fails("AccessDenied", "PurgeQueue", QueueUrl=url)

    def test_refused_before_the_body_is_read(self) -> None:
        """Without a signature no body is waited for."""
        for path in ("/", "/sqs", "/sqs/"):
            connection = Connection(self.assembly.site)
            fields = {"Content-Length": "1000000", "Expect": "100-continue", "x-amz-target": "AmazonSQS.ListQueues"}
            connection.send(encode_request("POST", path, fields))
            self.failed("MissingAuthenticationToken", connection.response("POST", only_json=False))

    def test_a_body_that_is_too_long(self) -> None:
        response = self.raw("ListQueues", b" " * ((8 << 20) + 1))
        self.assertEqual(response.status, 413)
        self.assertTrue(response.header("x-amzn-query-error"))

    def test_tags_that_take_too_much(self) -> None:
        """As many and as long as there may be, of characters that take four bytes each: nothing changes."""
        url = self.made("q")
        tags = {f"{n:03}" + "\U0001f600" * 125: "\U0001f600" * 256 for n in range(50)}
        text = self.fails("InvalidAttributeValue", "TagQueue", QueueUrl=url, Tags=tags)
        self.assertIn("bytes together", text)
        self.assertEqual(self.call("ListQueueTags", QueueUrl=url), {})
        self.fails("InvalidAttributeValue", "CreateQueue", QueueName="new", tags=tags)
        self.fails("QueueDoesNotExist", "GetQueueUrl", QueueName="new")
        plain = {f"{n:03}" + "x" * 125: "y" * 256 for n in range(50)}
        self.call("TagQueue", QueueUrl=url, Tags=plain)
        self.assertEqual(self.call("ListQueueTags", QueueUrl=url)["Tags"], plain)

    def test_the_route_is_the_operation(self) -> None:
        """Metrics and the access log tell operations apart, and names that clients make up are no routes."""
        self.made("q")
        for name in ("Fly", "ListQueues"):
            self.raw(name, {})
        self.path = "/"
        self.raw("ListQueues", {})
        (metric,) = [one for one in self.assembly.metrics if one.name == "queuey_http_requests_total"]
        assert isinstance(metric, Counter)
        found = {labels[0]: number for labels, number in metric.values.items()}
        self.assertEqual(found, {"/sqs/CreateQueue": 1, "/sqs": 1, "/sqs/ListQueues": 2})

    def test_other_methods(self) -> None:
        found = [self.ask(method, path).status for method, path in (("PUT", "/sqs"), ("GET", "/"), ("GET", "/?a=b"))]
        self.assertEqual(found, [405, 404, 404])

    def sent_by_v2(self) -> None:
        self.expect(201, self.send("POST", "/queues/q/messages", b"x"))

    def use(self, settings: str) -> None:
        """Put other settings in force."""
        file = Path(self.mktemp())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(settings)
        self.assembly.use(config.load(file))


class BusyTests(SqsTestCase):
    """A receive that is one too many is empty, after a second; other calls get an error that asks to come later."""

    settings = SQS_SETTINGS + "request_rate = 1\nrequest_burst = 2\n"

    def test_too_many_requests(self) -> None:
        url = self.made()
        self.assertEqual(len(self.call("ListQueues")["QueueUrls"]), 1)
        waiting = self.start_call("ReceiveMessage", QueueUrl=url)
        self.assertEqual(waiting.received, b"")
        self.clock.advance(0.5)
        self.assertEqual(waiting.received, b"")
        refused = self.start_call("ListQueues")
        self.clock.pump([0.1] * 10)
        self.assertEqual(self.answer_of(waiting), {})
        self.failed("RequestThrottled", refused.response("POST", only_json=False))


class CrowdTests(SqsTestCase):
    settings = SQS_SETTINGS + "max_waits = 1\n"

    def test_too_many_wait(self) -> None:
        url = self.made()
        first = self.start_call("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20)
        second = self.start_call("ReceiveMessage", QueueUrl=url, WaitTimeSeconds=20)
        self.clock.advance(1.1)
        self.assertEqual(self.answer_of(second), {})
        self.sent(url)
        self.clock.advance(0.1)
        self.assertEqual(len(self.answer_of(first)["Messages"]), 1)
