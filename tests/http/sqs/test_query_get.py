"""The Query protocol by GET, signed in the header or in the URL; and large forms, which are decoded in slices."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote_plus, urlencode

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey.deferreds import TurnQueue
from queuey.http.heads.targets import without_secrets
from queuey.http.sqs.errors import SqsError
from queuey.http.sqs.query import MAX_FIELDS, SLICE, fields
from queuey.model.applications.aws_accounts import account_of
from tests.auth.aws_support import Signing
from tests.auth.test_sigv4_presigned import Presigning
from tests.http.responses import Response
from tests.http.sqs.support import SqsTestCase, Turns
from tests.http.wire_support import Connection, encode_request

ODD = (b"", b"&", b"a", b"a=", b"=b", b"a=1&a=2", b"a=%", b"a=%4", b"a=%zz", b"%41=b&&", b"a=b=c", b"a;b=c")
FORM = "application/x-www-form-urlencoded"


class GetTests(SqsTestCase):
    def asked(self, target: str, fields: object = (), method: str = "GET") -> Response:
        connection = Connection(self.assembly.site).send(encode_request(method, target, fields))  # type: ignore[arg-type]
        response = connection.response(method, only_json=False)
        connection.hang_up()
        return response

    def signed(self, path: str, query: str) -> Response:
        signing = Signing(self.pair, self.clock.seconds(), "GET", path, query, b"")
        return self.asked(f"{path}?{query}", signing.fields())

    def presigned(self, path: str, *parameters: tuple[str, str], **more: object) -> str:
        made = Presigning(self.pair, self.clock.seconds(), path=path, parameters=parameters, **more)  # type: ignore[arg-type]
        return f"{path}?{made.query()}"

    def test_signed_in_the_header(self) -> None:
        self.made("q")
        for path in ("/sqs", "/sqs/", "/"):
            answer = self.signed(path, "Action=ListQueues&Version=2012-11-05")
            self.assertEqual((answer.status, answer.header("content-type")), (200, "text/xml"), answer)
            self.assertIn(b"/q</QueueUrl>", answer.body)
        for path in (f"/{account_of('app')}/q", "/sqs/1/q"):
            self.assertEqual(self.signed(path, "Action=SendMessage&MessageBody=hello").status, 200)
        url = self.made("q")
        self.assertEqual([one["Body"] for one in self.received(url)], ["hello"] * 2)

    def test_presigned(self) -> None:
        url = self.made("q")
        send = self.presigned(f"/{account_of('app')}/q", ("Action", "SendMessage"), ("MessageBody", "a b+c&d=\u00e9"))
        answer = self.asked(send, {"Host": "localhost"})
        self.assertEqual((answer.status, answer.header("cache-control")), (200, "no-store"), answer)
        self.assertEqual([one["Body"] for one in self.received(url)], ["a b+c&d=\u00e9"])
        root = self.presigned("/", ("Action", "ListQueues"))
        self.assertEqual(self.asked(root, {"Host": "localhost"}).status, 200)
        self.clock.advance(61)
        self.refused_as(self.asked(root, {"Host": "localhost"}), 403, b"<Code>SignatureDoesNotMatch</Code>")

    def refused_as(self, answer: Response, status: int, text: bytes) -> None:
        self.assertEqual((answer.status, answer.header("content-type")), (status, "text/xml"), answer)
        self.assertIn(text, answer.body)

    def test_refused(self) -> None:
        self.made("q")
        for target in ("/?Action=ListQueues", "/sqs", "/sqs/1/q", f"/{account_of('app')}/q", "/sqs?Action=ListQueues"):
            self.refused_as(self.asked(target), 403, b"<Code>MissingAuthenticationToken</Code>")
        self.refused_as(self.asked("/?X-Amz-Signature=0"), 400, b"<Code>IncompleteSignature</Code>")
        self.refused_as(self.signed("/sqs", "Action=Fly"), 400, b"<Code>InvalidAction</Code>")
        for path in ("/sqs", "/sqs/1/q"):
            self.assertEqual(self.signed(path, "").body, b"<UnknownOperationException/>\n")
            self.refused_as(self.signed(path, "Version=2012-11-05"), 404, b"<UnknownOperationException/>")

    def test_operations_on_all_queues_at_the_path_of_one(self) -> None:
        self.made("q")
        self.refused_as(self.signed("/sqs/1/q", "Action=ListQueues"), 400, b"<Code>InvalidAction</Code>")

    def test_an_empty_result(self) -> None:
        self.made("q")
        self.assertIn(b"<ReceiveMessageResult/>", self.signed("/sqs/1/q", "Action=ReceiveMessage").body)
        self.refused_as(self.signed("/sqs", "Action=ListQueues&a=%FF"), 400, b"<Code>MalformedInput</Code>")

    def test_not_of_sqs(self) -> None:
        for method, target in (("GET", "/"), ("GET", "/?a=b"), ("GET", "/12345678901x/q"), ("HEAD", "/sqs")):
            self.assertIn(self.asked(target, method=method).status, (404, 405), (method, target))

    def test_the_log_shows_no_signature(self) -> None:
        target = self.presigned("/sqs", ("Action", "SendMessage"), ("MessageBody", "a-secret"))
        shown = without_secrets(target.encode())
        for secret in (target[-64:], "a-secret"):
            self.assertNotIn(secret.encode(), shown)


class LargeFormTests(SqsTestCase):
    def test_in_slices(self) -> None:
        """A form of several MiB lets others have their turns while it is decoded."""
        body = urlencode({"Action": "ListQueues", "Text": "\u00e9" * (SLICE // 2)}).encode()
        more = {"content-type": FORM}
        signing = Signing(self.pair, self.clock.seconds(), "POST", self.path, "", body, more=more)
        connection = Connection(self.assembly.site).send(encode_request("POST", self.path, signing.fields(), body))
        self.assertEqual(connection.responses("POST", only_json=False), [])
        self.clock.advance(0)
        self.assertEqual(connection.response("POST", only_json=False).status, 200)


class FieldsTests(SynchronousTestCase):
    def fields(self, form: bytes) -> dict[str, str]:
        """The fields of a form, whatever turns that takes."""
        clock = Clock()
        decoding = Deferred.fromCoroutine(fields(form, TurnQueue(clock)))
        while clock.getDelayedCalls():
            clock.advance(0)
        return self.successResultOf(decoding)

    @given(st.lists(st.tuples(st.text(max_size=5), st.text()), max_size=5))
    def test_as_others_read_them(self, pairs: list[tuple[str, str]]) -> None:
        form = urlencode(pairs)
        self.assertEqual(self.fields(form.encode()), dict(parse_qsl(form, keep_blank_values=True)))

    def test_slices(self) -> None:
        """Long values, and many short ones, are decoded in as many turns as they have slices."""
        for form in (b"a=" + b"%41" * SLICE, (b"a=" + b"%41" * 99 + b"&") * (SLICE // 100)):
            turns = Turns()
            self.successResultOf(Deferred.fromCoroutine(fields(form, turns)))
            self.assertIn(turns.given, (2, 3))

    def test_no_slice_cuts_a_character(self) -> None:
        for begin in range(8):
            text = "x" * begin + "\u20ac\U0001f600 +" * (SLICE // 10)
            self.assertEqual(self.fields(f"a={quote_plus(text)}&b=c".encode()), {"a": text, "b": "c"})

    def test_odd_ones(self) -> None:
        for form in ODD:
            self.assertEqual(self.fields(form), dict(parse_qsl(form.decode(), keep_blank_values=True)), form)
        for end in range(SLICE - 4, SLICE + 4):
            for rest in (b"%", b"%4", b"%41", b"%%%", b"%%41"):
                form = b"a=" + b"x" * end + rest
                self.assertEqual(self.fields(form), dict(parse_qsl(form.decode())), (end, rest))

    def test_wrong_ones(self) -> None:
        for form in (b"a=%ff", b"%ff=a", b"a=\xff", b"a=b&" * MAX_FIELDS):
            clock = Clock()
            self.failureResultOf(Deferred.fromCoroutine(fields(form, TurnQueue(clock))), SqsError)


class LargeAnswerTests(SqsTestCase):
    def test_no_more_than_may_be_escaped_in_a_turn(self) -> None:
        """An answer in XML has a mebibyte of bodies at most, or one message; one in JSON may have more."""
        url = self.made("q")
        for _ in range(4):
            self.sent(url, "<" * (400 << 10))
        query = urlencode({"Action": "ReceiveMessage", "MaxNumberOfMessages": 10, "VisibilityTimeout": 0})
        signing = Signing(self.pair, self.clock.seconds(), "GET", "/sqs/1/q", query.replace("+", "%20"), b"")
        data = encode_request("GET", f"/sqs/1/q?{query}", signing.fields())
        answer = Connection(self.assembly.site).send(data).response("GET", only_json=False)
        self.assertEqual(answer.body.count(b"<Message>"), 2)
        self.assertEqual(len(self.received(url)), 4)
