"""Signatures that are ignored: any will do, and one there has to be."""

from __future__ import annotations

from queuey.model.applications.aws_keys import AwsKey
from tests.http.sqs.support import SQS_SETTINGS, SqsTestCase
from tests.http.wire_support import Connection, encode_request


class UncheckedTests(SqsTestCase):
    settings = f"{SQS_SETTINGS}\n[sqs]\nsignatures = ignore\napplication = app\n"

    def test_any_credentials(self) -> None:
        for pair in (self.pair, AwsKey("test", "test"), AwsKey("AKIAIOSFODNN7EXAMPLE", "x")):
            self.assertEqual(self.raw("CreateQueue", {"QueueName": "q"}, pair).status, 200)
        self.sent(self.made("q"), "x")
        self.assertEqual(len(self.received(self.made("q"), WaitTimeSeconds=1)), 1)

    def test_pages_of_other_sites_cannot_use_it(self) -> None:
        """A browser sends the field Authorization for them only if that is allowed, and it is not."""
        fields = {"x-amz-target": "AmazonSQS.ListQueues"}
        response = Connection(self.assembly.site).send(encode_request("POST", "/sqs", fields, b"{}")).response("POST")
        self.failed("MissingAuthenticationToken", response)
        preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        data = encode_request("OPTIONS", "/sqs", preflight)
        self.assertEqual(Connection(self.assembly.site).send(data).response("OPTIONS").status, 405)
