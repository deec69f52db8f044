"""The Query protocol: forms and XML, which the serializer and the parser of botocore write and read."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any
from urllib.parse import urlencode
from xml.etree.ElementTree import fromstring

from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.http.sqs.errors import CODES
from queuey.http.sqs.message_attributes import encoded
from queuey.http.sqs.operations import OPERATIONS
from queuey.http.sqs.query import MAX_FIELDS
from queuey.http.sqs.xml import NAMESPACE, document, error
from queuey.model.applications.aws_accounts import account_of
from queuey.model.applications.aws_keys import AwsKey
from tests.auth.aws_support import Signing
from tests.http.responses import Response
from tests.http.sqs.support import SQS_SETTINGS, SqsTestCase
from tests.http.wire_support import Connection, encode_request

FORM = "application/x-www-form-urlencoded; charset=utf-8"
ACTIONS = [*OPERATIONS, "Fly"]
NAMES = st.sampled_from(
    ["QueueUrl", "QueueName", "MessageBody", "Attribute.1.Name", "Attribute.1.Value", "Attribute..Name", "Tag.1.Key",
     "SendMessageBatchRequestEntry.1.Id", "SendMessageBatchRequestEntry.1.MessageBody", "DelaySeconds", "MaxResults",
     "MessageAttribute.1.Name", "MessageAttribute.1.Value.DataType", "MessageAttribute.1.Value.StringValue",
     "MessageAttribute.1.Value.BinaryValue", "AttributeName.1", "ReceiptHandle", "VisibilityTimeout", "SourceArn",
     "TaskHandle", "DeleteMessageBatchRequestEntry.9999.Id", "MaxNumberOfMessages", "NextToken", "Version"]
) | st.just("Action")  # fmt: skip
VALUES = st.sampled_from([*ACTIONS, *ACTIONS, "q", "q", "1", "-1", "All", "String", "Binary", "2012-11-05"]) | st.text()
MD5 = hashlib.md5(b"x", usedforsecurity=False).hexdigest()
LISTS = {
    "AttributeNameList": "AttributeName",
    "MessageAttributeNameList": "MessageAttributeName",
    "MessageSystemAttributeList": "MessageSystemAttributeName",
    "TagKeyList": "TagKey",
    "AWSAccountIdList": "AWSAccountId",
    "ActionNameList": "ActionName",
    "QueueUrlList": "QueueUrl",
    "MessageList": "Message",
    "BatchResultErrorEntryList": "BatchResultErrorEntry",
}
MAPS = {
    "QueueAttributeMap": ("Attribute", "Name"),
    "MessageSystemAttributeMap": ("Attribute", "Name"),
    "TagMap": ("Tag", "Key"),
    "MessageBodyAttributeMap": ("MessageAttribute", "Name"),
    "MessageBodySystemAttributeMap": ("MessageSystemAttribute", "Name"),
}


def query_model() -> ServiceModel:
    """The model of botocore, with what those of before the end of 2023 said of names in forms and XML."""
    found = copy.deepcopy(Loader().load_service_model("sqs", "service-2"))
    found["metadata"].update(protocol="query", protocols=["query"], xmlNamespace=NAMESPACE)
    for name, operation in found["operations"].items():
        if "output" in operation:
            operation["output"]["resultWrapper"] = f"{name}Result"
    shapes = found["shapes"]
    for name, shape in shapes.items():
        if shape["type"] == "list":
            item = shape["member"]["shape"]
            shape["member"]["locationName"] = LISTS.get(name, item)
            shape["flattened"] = True
        elif shape["type"] == "map" and name in MAPS:
            entry, key = MAPS[name]
            shape["key"]["locationName"], shape["value"]["locationName"], shape["flattened"] = key, "Value", True
            for owner in shapes.values():
                for member in owner.get("members", {}).values():
                    if member["shape"] == name:
                        member["locationName"] = entry
    return ServiceModel(found, "sqs")


class QueryTestCase(SqsTestCase):
    """Calls operations as an old botocore does."""

    model = query_model()
    path = "/sqs"

    def post_form(self, body: bytes, path: str | None = None, pair: AwsKey | None = None) -> Response:
        at = path or self.path
        more = {"content-type": FORM}
        fields = Signing(pair or self.pair, self.clock.seconds(), "POST", at, "", body, more=more).fields()
        connection = Connection(self.assembly.site).send(encode_request("POST", at, fields, body))
        response = connection.response("POST", only_json=False)
        connection.hang_up()
        self.assertEqual(response.header("content-type"), "text/xml")
        return response

    def encode(self, operation: str, members: Any) -> bytes:
        found = create_serializer("query").serialize_to_request(members, self.model.operation_model(operation))
        return urlencode(found["body"]).encode()

    def parsed(self, operation: str, response: Response) -> Any:
        given = {"body": response.body, "headers": {}, "status_code": response.status}
        return create_parser("query").parse(given, self.model.operation_model(operation).output_shape)

    def call(self, operation: str, **members: Any) -> Any:
        """The answer to a call that succeeds; what is encoded for JSON is not for forms."""
        response = self.post_form(self.encode(operation, members))
        self.assertEqual(response.status, 200, response)
        self.assertIn(f'<{operation}Response xmlns="{NAMESPACE}">'.encode(), response.body)
        found = self.parsed(operation, response)
        self.assertEqual(found.pop("ResponseMetadata")["RequestId"], response.header("x-amzn-requestid"))
        return found

    def fails(self, code: str, operation: str, **members: Any) -> str:
        response = self.post_form(self.encode(operation, members))
        return self.failed_as(code, response)

    def failed_as(self, code: str, response: Response) -> str:
        old, status = CODES[code]
        self.assertEqual(response.status, status, response)
        self.assertIn(f'<ErrorResponse xmlns="{NAMESPACE}">'.encode(), response.body)
        found = self.parsed("SendMessage", response)
        self.assertEqual((found["Error"]["Code"], found["Error"]["Type"]), (old, "Sender"))
        self.assertEqual(found["ResponseMetadata"]["RequestId"], response.header("x-amzn-requestid"))
        text: str = found["Error"]["Message"]
        return text


class QueryTests(QueryTestCase):
    def test_a_message(self) -> None:
        url = self.call("CreateQueue", QueueName="q", Attributes={"VisibilityTimeout": "60"}, tags={"a": "b"})[
            "QueueUrl"
        ]
        self.assertEqual(self.call("GetQueueUrl", QueueName="q"), {"QueueUrl": url})
        self.assertEqual(self.call("ListQueues", MaxResults=5), {"QueueUrls": [url]})
        self.assertEqual(self.call("ListQueueTags", QueueUrl=url), {"Tags": {"a": "b"}})
        attributes = {
            "city": {"DataType": "String", "StringValue": "Z\u00fcrich & <b>"},
            "number": {"DataType": "Number.int", "StringValue": "1"},
            "raw": {"DataType": "Binary", "BinaryValue": b"\0\xff"},
        }
        text = "gr\u00fcezi \U0001f600 <&>]]> \"'\r\n\ttab  "
        sent = self.call("SendMessage", QueueUrl=url, MessageBody=text, MessageAttributes=attributes)
        self.assertEqual(sent["MD5OfMessageBody"], hashlib.md5(text.encode(), usedforsecurity=False).hexdigest())
        (one,) = self.received(url)
        self.assertEqual((one["Body"], one["MessageAttributes"]), (text, attributes))
        self.assertEqual((one["MessageId"], one["MD5OfBody"]), (sent["MessageId"], sent["MD5OfMessageBody"]))
        self.assertEqual(one["MD5OfMessageAttributes"], sent["MD5OfMessageAttributes"])
        self.assertEqual(one["Attributes"]["ApproximateReceiveCount"], "1")
        self.assertEqual(self.counts(url), (0, 1, 0))
        handle = {"QueueUrl": url, "ReceiptHandle": one["ReceiptHandle"]}
        self.assertEqual(self.call("ChangeMessageVisibility", **handle, VisibilityTimeout=0), {})
        (again,) = self.received(url)
        handle["ReceiptHandle"] = again["ReceiptHandle"]
        for operation in ("DeleteMessage", "DeleteMessage"):
            self.assertEqual(self.call(operation, **handle), {})
        self.assertEqual(self.received(url), [])
        self.assertEqual(self.call("SetQueueAttributes", QueueUrl=url, Attributes={"DelaySeconds": "1"}), {})
        self.assertEqual(self.call("TagQueue", QueueUrl=url, Tags={"c": "\x01"}), {})
        self.assertEqual(self.call("ListQueueTags", QueueUrl=url)["Tags"], {"a": "b", "c": "\ufffd"})
        self.assertEqual(self.call("UntagQueue", QueueUrl=url, TagKeys=["a", "c"]), {})
        self.assertEqual(self.call("ListQueueTags", QueueUrl=url), {})
        self.assertEqual(self.call("PurgeQueue", QueueUrl=url), {})
        self.assertEqual(self.call("DeleteQueue", QueueUrl=url), {})
        self.assertEqual(self.call("ListQueues"), {})

    def received(self, url: str, number: int = 10, **more: Any) -> list[Any]:
        names = {"MessageAttributeNames": ["All"], "AttributeNames": ["All"]}
        found: list[Any] = self.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=number, **names, **more).get(
            "Messages", []
        )
        return found

    def test_batches(self) -> None:
        url = self.call("CreateQueue", QueueName="q.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        attributes = {"a": {"DataType": "String", "StringValue": "1"}}
        entries = [
            {"Id": f"e{n}", "MessageBody": f"m{n}", "MessageGroupId": "A", "MessageDeduplicationId": str(n)}
            for n in range(10)
        ]
        entries[1]["MessageAttributes"] = attributes  # type: ignore[assignment]
        entries[9]["DelaySeconds"] = 1  # type: ignore[assignment]
        sent = self.call("SendMessageBatch", QueueUrl=url, Entries=entries)
        self.assertEqual([one["Id"] for one in sent["Successful"]], [f"e{n}" for n in range(9)])
        (failed,) = sent["Failed"]
        self.assertEqual((failed["Id"], failed["SenderFault"], failed["Code"]), ("e9", True, "InvalidParameterValue"))
        got = self.received(url)
        self.assertEqual([one["Body"] for one in got], [f"m{n}" for n in range(9)])
        self.assertEqual(got[1]["MessageAttributes"], attributes)
        handles = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(got)]
        hidden = [{**one, "VisibilityTimeout": 0} for one in handles]
        done = self.call("ChangeMessageVisibilityBatch", QueueUrl=url, Entries=hidden[:2])
        self.assertEqual(done, {"Successful": [{"Id": "0"}, {"Id": "1"}]})
        done = self.call("DeleteMessageBatch", QueueUrl=url, Entries=[*handles[2:], {"Id": "x", "ReceiptHandle": "x"}])
        self.assertEqual((len(done["Successful"]), done["Failed"][0]["Code"]), (7, "ReceiptHandleIsInvalid"))
        self.fails("EmptyBatchRequest", "SendMessageBatch", QueueUrl=url, Entries=[])

    def test_dead_letters(self) -> None:
        dead = self.call("CreateQueue", QueueName="dead")["QueueUrl"]
        arn = self.arn(dead)
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
        url = self.call("CreateQueue", QueueName="q", Attributes={"RedrivePolicy": policy})["QueueUrl"]
        self.assertEqual(self.call("ListDeadLetterSourceQueues", QueueUrl=dead), {"queueUrls": [url]})
        self.assertTrue(self.call("StartMessageMoveTask", SourceArn=arn)["TaskHandle"])
        self.clock.advance(1)
        (task,) = self.call("ListMessageMoveTasks", SourceArn=arn)["Results"]
        self.assertEqual((task["Status"], task["ApproximateNumberOfMessagesMoved"]), ("COMPLETED", 0))

    def test_errors(self) -> None:
        missing = f"http://localhost/{account_of('app')}/none"
        self.fails("QueueDoesNotExist", "SendMessage", QueueUrl=missing, MessageBody="x")
        url = self.call("CreateQueue", QueueName="q")["QueueUrl"]
        text = self.fails("ReceiptHandleIsInvalid", "DeleteMessage", QueueUrl=url, ReceiptHandle="<&>")
        self.assertIn("<&>", text)
        self.fails("InvalidParameterValueException", "ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=11)
        self.fails("InvalidMessageContents", "SendMessage", QueueUrl=url, MessageBody="\x01")
        self.fails("UnsupportedOperation", "AddPermission", QueueUrl=url, Label="a", AWSAccountIds=["1"], Actions=["*"])

    def test_at_the_path_of_a_queue(self) -> None:
        """The field QueueUrl need not be there then."""
        self.call("CreateQueue", QueueName="q")
        body = b"Action=SendMessage&MessageBody=x"
        for prefix in ("", "/sqs"):
            response = self.post_form(body, f"{prefix}/{account_of('app')}/q")
            self.assertEqual(self.parsed("SendMessage", response)["MD5OfMessageBody"], MD5)
            self.failed_as("QueueDoesNotExist", self.post_form(body, f"{prefix}/{account_of('app')}/r"))
            response = self.post_form(b"Action=GetQueueUrl&QueueName=q", f"{prefix}/{account_of('app')}/r")
            url = f"http://localhost{prefix}/{account_of('app')}/q"
            self.assertEqual(self.parsed("GetQueueUrl", response)["QueueUrl"], url)
            for action in (b"CreateQueue&QueueName=n", b"ListQueues"):
                response = self.post_form(b"Action=" + action, f"{prefix}/{account_of('app')}/q")
                self.failed_as("InvalidAction", response)
        self.assertEqual(self.post_form(body, "/").status, 400)
        for path in ("/123/q", "/12345678901a/q", "/sqs/q", f"/{account_of('app')}/q/r"):
            data = encode_request("POST", path, {"content-type": FORM}, body)
            self.assertEqual(Connection(self.assembly.site).send(data).response("POST").status, 404, path)

    def test_forms_that_are_wrong(self) -> None:
        self.call("CreateQueue", QueueName="q")
        for body, code in (
            (b"Action=", "InvalidAction"),
            (b"Action=Fly", "InvalidAction"),
            (b"Action=%3Cx%3E", "InvalidAction"),
            (b"\xff=\xff", "SerializationException"),
            (b"Action=%FF", "SerializationException"),
            (b"&".join([b"a=b"] * (MAX_FIELDS + 1)), "SerializationException"),
            (b"Action=ListQueues&Version=2009-02-01", "InvalidParameterValueException"),
            (b"Action=ListQueues&MaxResults=x", "SerializationException"),
            (b"Action=ListQueues&MaxResults=" + b"9" * 5000, "SerializationException"),
            (b"Action=SendMessage&QueueUrl=q", "MissingRequiredParameterException"),
            (b"Action=SendMessageBatch&QueueUrl=q", "EmptyBatchRequest"),
            (b"Action=DeleteMessageBatch&QueueUrl=q&DeleteMessageBatchRequestEntry.1.x=y", "InvalidBatchEntryId"),
            (b"Action=SetQueueAttributes&QueueUrl=q&Attribute.1.Name=Fly&Attribute.1.Value=1", "InvalidAttributeName"),
            (b"Action=SendMessage&QueueUrl=q&MessageBody=x&MessageAttribute.1.Name=a",
             "InvalidParameterValueException"),
        ):  # fmt: skip
            self.failed_as(code, self.post_form(body))

    def test_order_is_that_of_the_numbers(self) -> None:
        self.call("CreateQueue", QueueName="q")
        entries = [(f"SendMessageBatchRequestEntry.{n}", f"m{n}") for n in (10, 2, 1)]
        body = "&".join(f"{start}.Id={text}&{start}.MessageBody={text}" for start, text in entries)
        answer = self.parsed("SendMessageBatch", self.post_form(f"Action=SendMessageBatch&QueueUrl=q&{body}".encode()))
        self.assertEqual([one["Id"] for one in answer["Successful"]], ["m1", "m2", "m10"])

    def test_signatures(self) -> None:
        body = b"Action=ListQueues"
        response = self.post_form(body, pair=AwsKey(self.pair.id, "false"))
        self.failed_as("SignatureDoesNotMatch", response)
        fields = {"content-type": FORM}
        connection = Connection(self.assembly.site).send(encode_request("POST", "/sqs", fields, body))
        self.failed_as("MissingAuthenticationToken", connection.response("POST", only_json=False))
        fields = {"content-type": FORM, "Content-Length": str(1 << 30)}
        connection = Connection(self.assembly.site).send(encode_request("POST", "/sqs", fields))
        response = connection.response("POST", only_json=False)
        self.assertEqual((response.header("content-type"), response.status), ("text/xml", 413))

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
    def test_any_form(self, pairs: list[tuple[str, str]]) -> None:
        """Whatever is asked is answered in XML, and never by a defect."""
        response = self.post_form(urlencode(pairs).encode())
        self.assertLess(response.status, 500, response)
        fromstring(response.body)


class XmlTests(SynchronousTestCase):
    @given(st.recursive(st.text(), lambda inner: st.dictionaries(st.sampled_from(["Tags", "a", "Messages"]), inner)))
    def test_any_text(self, value: Any) -> None:
        """Every text that a message may have comes back as it was, and all others as far as XML has them."""
        answer = {"Body": value, "Tags": {str(value): str(value)}}
        found = fromstring(document("ReceiveMessage", answer, "id"))
        text = found.findtext(f"{{{NAMESPACE}}}ReceiveMessageResult/{{{NAMESPACE}}}Tag/{{{NAMESPACE}}}Value") or ""
        if encoded(str(value)) is not None:
            self.assertEqual(text, str(value))
        else:
            self.assertEqual(len(text), len(str(value)))
        error("Code", str(value), True, "id")


class BusyTests(QueryTestCase):
    settings = SQS_SETTINGS + "request_rate = 1\nrequest_burst = 2\n"

    def test_a_receive_is_never_refused(self) -> None:
        """One too many is empty, after a second, in this protocol too."""
        self.call("CreateQueue", QueueName="q")
        body = self.encode("ReceiveMessage", {"QueueUrl": "q"})
        calls = []
        for _ in range(4):
            signing = Signing(self.pair, self.clock.seconds(), "POST", "/sqs", "", body, more={"content-type": FORM})
            calls.append(Connection(self.assembly.site).send(encode_request("POST", "/sqs", signing.fields(), body)))
        self.clock.pump([0.5] * 8)
        for one in calls:
            response = one.response("POST", only_json=False)
            self.assertEqual((response.status, self.parsed("ReceiveMessage", response).get("Messages")), (200, None))
