"""The port of its own: it serves SQS at the root, the heartbeat, and no other API."""

from __future__ import annotations

from urllib.parse import urlsplit

from queuey.http.wire import TICK
from queuey.model.applications.aws_accounts import account_of
from tests.auth.aws_support import Signing
from tests.http.api_support import KEY
from tests.http.responses import Response
from tests.http.sqs.support import SqsTestCase
from tests.http.wire_support import Connection, encode_request


class PortTests(SqsTestCase):
    path = "/"

    def asked(self, data: bytes, method: str = "POST") -> Response:
        connection = Connection(self.assembly.sqs).send(data)
        response = connection.response(method, only_json=False)
        connection.hang_up()
        return response

    def test_a_message(self) -> None:
        made = self.asked(self.encoded("CreateQueue", {"QueueName": "q"}))
        url = made.json["QueueUrl"]
        self.assertEqual(urlsplit(url).path, f"/{account_of('app')}/q")
        sent = self.asked(self.encoded("SendMessage", {"QueueUrl": url, "MessageBody": "hello"}))
        self.assertEqual(sent.status, 200, sent)
        (one,) = self.asked(self.encoded("ReceiveMessage", {"QueueUrl": url})).json["Messages"]
        self.assertEqual(one["Body"], "hello")

    def test_the_query_protocol(self) -> None:
        self.made("q")
        form = {"content-type": "application/x-www-form-urlencoded"}
        body = b"Action=SendMessage&MessageBody=hello"
        path = f"/{account_of('app')}/q"
        signing = Signing(self.pair, self.clock.seconds(), "POST", path, "", body, more=form)
        answer = self.asked(encode_request("POST", path, signing.fields(), body))
        self.assertEqual(answer.status, 200, answer)
        self.assertIn(b"<SendMessageResponse", answer.body)

    def test_the_heartbeat(self) -> None:
        self.assertEqual(self.asked(encode_request("GET", "/__heartbeat__", {}), "GET").status, 200)

    def test_no_other_api(self) -> None:
        fields = {"Authorization": f"Application {KEY}", "Content-Type": "text/plain"}
        for method, path, body in (
            ("GET", "/v1/app", b""),
            ("POST", "/v1/app/q", b"x"),
            ("PUT", "/v2/app/queues/q", b"{}"),
            ("POST", "/v2/app/queues/q/messages", b"x"),
            ("GET", "/v2/openapi.json", b""),
            ("GET", "/", b""),
            ("POST", "/other", b"x"),
            ("OPTIONS", "/v2/app/queues/q", b""),
        ):
            answer = self.asked(encode_request(method, path, fields, body), method)
            self.assertEqual(answer.status, 404, (method, path, answer))
            self.assertIn(b"serves clients of Amazon SQS alone", answer.body)

    def test_one_connection(self) -> None:
        """A head that was served before makes no other API reachable, and the other way round."""
        connection = Connection(self.assembly.sqs)
        fields = {"Authorization": f"Application {KEY}"}
        for _ in range(3):
            connection.send(encode_request("GET", "/v1/app", fields))
            connection.send(self.encoded("ListQueues", {}))
        answers = connection.responses(*["GET", "POST"] * 3, only_json=False)
        self.assertEqual([one.status for one in answers], [404, 200] * 3)

    def test_without_a_signature(self) -> None:
        """Clients get an error that they know, in the protocol that they speak."""
        answer = self.asked(encode_request("POST", "/", {"Content-Type": "application/x-amz-json-1.0"}, b"{}"))
        self.failed("MissingAuthenticationToken", answer)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self.asked(encode_request("POST", "/", form, b"Action=ListQueues"))
        self.assertEqual((answer.status, b"<Code>MissingAuthenticationToken</Code>" in answer.body), (403, True))

    def test_it_counts_as_the_site(self) -> None:
        """Its connections are those of the site, which ends them."""
        connection = Connection(self.assembly.sqs)
        self.assertEqual(self.assembly.site.connections, 1)
        self.assertNoResult(drained := self.assembly.site.drain())
        self.clock.pump([TICK] * 6)
        connection.settle()
        self.successResultOf(drained)
        self.assertFalse(connection.open)
