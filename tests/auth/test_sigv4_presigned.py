"""Presigned URLs: those that are right, and a table of forged ones, none of which is let in."""

from __future__ import annotations

import hashlib
import time
from typing import Any
from urllib.parse import quote

import attrs
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from queuey.auth.sigv4 import MAX_EXPIRES, WINDOW, AwsSignatures, UncheckedAwsSignatures
from queuey.errors import BadSignature
from queuey.interfaces import AwsRequest
from queuey.model.applications.application import digest_of, key_id
from queuey.model.applications.aws_keys import AwsKey, aws_key
from tests.auth.aws_support import hmac256

NOW = 1_700_000_000.0
DIGEST, OTHER = digest_of("a-key-of-some-length"), digest_of("another-key-of-shop")
PAIR = aws_key(DIGEST)
EMPTY = hashlib.sha256(b"").hexdigest()


@attrs.frozen
class Presigning:
    """How a URL is presigned; each part can be another than it should be."""

    key: AwsKey = PAIR
    now: float = NOW
    expires: str = "60"
    method: str = "GET"
    path: str = "/sqs/1/q"
    parameters: tuple[tuple[str, str], ...] = (("Action", "SendMessage"), ("MessageBody", "a b+c&d=\u00e9"))
    fields: tuple[tuple[str, str], ...] = (("host", "localhost"),)
    service: str = "sqs"
    algorithm: str = "AWS4-HMAC-SHA256"
    scope_date: str | None = None
    hashed: str = EMPTY
    more: tuple[tuple[str, str], ...] = ()

    def query(self) -> str:
        """The query of the URL, its signature last."""
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.now))
        date = self.scope_date or moment[:8]
        scope = f"{date}/us-east-1/{self.service}/aws4_request"
        names = ";".join(name for name, _ in self.fields)
        given = [
            *self.parameters,
            ("X-Amz-Algorithm", self.algorithm),
            ("X-Amz-Credential", f"{self.key.id}/{scope}"),
            ("X-Amz-Date", moment),
            ("X-Amz-Expires", self.expires),
            ("X-Amz-SignedHeaders", names),
            *self.more,
        ]
        text = "&".join(sorted(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in given))
        fields = "".join(f"{name}:{value}\n" for name, value in self.fields)
        canonical = "\n".join([self.method, self.path, text, fields, names, self.hashed])
        signed = "\n".join([self.algorithm, moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.key.secret).encode()
        for part in scope.split("/"):
            key = hmac256(key, part)
        return f"{text}&X-Amz-Signature={hmac256(key, signed).hex()}"

    def request(self, query: str | None = None, **changed: Any) -> AwsRequest:
        """The request as it arrives."""
        fields = {name.encode(): [value.encode()] for name, value in self.fields}
        made = AwsRequest(self.method.encode(), self.path.encode(), (query or self.query()).encode(), fields, b"")
        return attrs.evolve(made, **changed)


RIGHT = Presigning()
QUERY = RIGHT.query()
SIGNATURE = QUERY[-64:]


def replaced(old: str, new: str) -> AwsRequest:
    assert old in QUERY, old
    return RIGHT.request(QUERY.replace(old, new, 1))


def with_field(name: bytes, value: bytes) -> AwsRequest:
    return RIGHT.request(fields={b"host": [b"localhost"], name: [value]})


FALSE, INCOMPLETE = "SignatureDoesNotMatch", "IncompleteSignature"
FORGED: dict[str, tuple[AwsRequest, str]] = {
    "another body": (RIGHT.request(body=b"Action=DeleteQueue"), FALSE),
    "another path": (RIGHT.request(path=b"/sqs/1/r"), FALSE),
    "another method": (RIGHT.request(method=b"POST"), FALSE),
    "another host": (RIGHT.request(fields={b"host": [b"elsewhere"]}), FALSE),
    "no host": (RIGHT.request(fields={}), FALSE),
    "another operation": (replaced("Action=SendMessage", "Action=DeleteQueue"), FALSE),
    "one more parameter": (RIGHT.request(f"{QUERY}&DelaySeconds=1"), FALSE),
    "another operation behind it": (RIGHT.request(f"{QUERY}&Action=DeleteQueue"), FALSE),
    "a parameter less": (replaced("Action=SendMessage&", ""), FALSE),
    "another text": (replaced("a%20b%2Bc", "a%20b%2Bd"), FALSE),
    "a plus that becomes a space": (replaced("a%20b%2Bc", "a%20b+c"), FALSE),
    "a longer life": (replaced("X-Amz-Expires=60", "X-Amz-Expires=61"), FALSE),
    "another time": (replaced("221320Z", "221321Z"), FALSE),
    "another region": (replaced("us-east-1", "us-east-2"), FALSE),
    "another service": (replaced("%2Fsqs%2F", "%2Fs3%2F"), FALSE),
    "signed for another service": (attrs.evolve(RIGHT, service="s3").request(), FALSE),
    "signed for another date": (attrs.evolve(RIGHT, scope_date="20231113").request(), FALSE),
    "another key's name": (replaced(PAIR.id, aws_key(OTHER).id), FALSE),
    "another key's secret": (attrs.evolve(RIGHT, key=AwsKey(PAIR.id, aws_key(OTHER).secret)).request(), FALSE),
    "an unknown key": (
        attrs.evolve(RIGHT, key=aws_key(digest_of("a-key-of-nobody"))).request(),
        "InvalidClientTokenId",
    ),
    "another signature": (replaced(SIGNATURE, "0" * 64), FALSE),
    "an unsigned payload": (attrs.evolve(RIGHT, hashed="UNSIGNED-PAYLOAD").request(), FALSE),
    "a field of AWS that is not signed": (with_field(b"x-amz-target", b"AmazonSQS.DeleteQueue"), FALSE),
    "a name that is not there": (replaced("SignedHeaders=host", "SignedHeaders=accept%3Bhost"), FALSE),
    "too old": (attrs.evolve(RIGHT, now=NOW - 61).request(), FALSE),
    "too early": (attrs.evolve(RIGHT, now=NOW + WINDOW + 1).request(), FALSE),
    "older than any": (attrs.evolve(RIGHT, now=NOW - MAX_EXPIRES - 1, expires=str(MAX_EXPIRES)).request(), FALSE),
    "a life that is too long": (attrs.evolve(RIGHT, expires=str(MAX_EXPIRES + 1)).request(), INCOMPLETE),
    "no life": (attrs.evolve(RIGHT, expires="0").request(), INCOMPLETE),
    "a life before": (attrs.evolve(RIGHT, expires="-60").request(), INCOMPLETE),
    "a life in words": (attrs.evolve(RIGHT, expires="1e3").request(), INCOMPLETE),
    "a life in other digits": (attrs.evolve(RIGHT, expires="\uff16\uff10").request(), INCOMPLETE),
    "two lives": (attrs.evolve(RIGHT, more=(("X-Amz-Expires", "61"),)).request(), INCOMPLETE),
    "a second life behind it": (RIGHT.request(f"{QUERY}&X-Amz-Expires=604800"), INCOMPLETE),
    "a second life, encoded": (RIGHT.request(f"{QUERY}&%58-Amz-Expires=604800"), INCOMPLETE),
    "two signatures": (RIGHT.request(f"{QUERY}&X-Amz-Signature={SIGNATURE}"), INCOMPLETE),
    "one in the header too": (with_field(b"authorization", b"AWS4-HMAC-SHA256 "), INCOMPLETE),
    "a key in the header too": (with_field(b"authorization", b"Application a-key-of-some-length"), INCOMPLETE),
    "no life at all": (replaced("&X-Amz-Expires=60", ""), INCOMPLETE),
    "no date": (replaced("&X-Amz-Date=20231114T221320Z", ""), INCOMPLETE),
    "no names": (replaced("&X-Amz-SignedHeaders=host", ""), INCOMPLETE),
    "empty names": (replaced("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders="), INCOMPLETE),
    "the host left out": (attrs.evolve(RIGHT, fields=(("accept", "x"),)).request(), INCOMPLETE),
    "names in another order": (
        attrs.evolve(RIGHT, fields=(("host", "localhost"), ("accept", "x"))).request(),
        INCOMPLETE,
    ),
    "no signature in it": (replaced(f"&X-Amz-Signature={SIGNATURE}", ""), INCOMPLETE),
    "a shorter signature": (replaced(SIGNATURE, SIGNATURE[:-1]), INCOMPLETE),
    "a signature in capitals": (replaced(SIGNATURE, SIGNATURE.upper()), INCOMPLETE),
    "another algorithm": (attrs.evolve(RIGHT, algorithm="AWS4-HMAC-SHA1").request(), INCOMPLETE),
    "a credential without a date": (replaced("%2F20231114", ""), INCOMPLETE),
    "a month that is none": (replaced("20231114T", "20231314T"), INCOMPLETE),
    "a parameter of AWS that is unknown": (attrs.evolve(RIGHT, more=(("X-Amz-Meta", "1"),)).request(), INCOMPLETE),
    "a session": (attrs.evolve(RIGHT, more=(("X-Amz-Security-Token", "t"),)).request(), "InvalidClientTokenId"),
    "names in small letters": (RIGHT.request(QUERY.replace("X-Amz", "x-amz")), "MissingAuthenticationToken"),
}
"""What may be made of a right URL by everyone who has seen it, and other URLs that nobody signed so."""


class PresignedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = NOW
        self.signatures = AwsSignatures(
            lambda id: succeed([(one, "shop") for one in (DIGEST, OTHER) if key_id(one) == id]),
            lambda name: succeed((DIGEST, OTHER)),
            lambda digest: None,
            lambda: self.now,
        )

    def right(self, request: AwsRequest) -> None:
        self.signatures.check_head(request)
        self.assertEqual(self.successResultOf(self.signatures.check(request)).application, "shop")

    def test_what_is_signed_rightly(self) -> None:
        for signing in (
            RIGHT,
            attrs.evolve(RIGHT, now=NOW - 60),
            attrs.evolve(RIGHT, now=NOW + WINDOW),
            attrs.evolve(RIGHT, now=NOW - MAX_EXPIRES, expires=str(MAX_EXPIRES)),
            attrs.evolve(RIGHT, key=aws_key(OTHER)),
            attrs.evolve(RIGHT, fields=(("accept", "x"), ("host", "localhost"))),
            attrs.evolve(RIGHT, method="POST", path="/"),
        ):
            self.right(signing.request())

    def test_in_another_order_and_other_words(self) -> None:
        """The order of parameters and how they are encoded are not signed, as what they say is the same."""
        self.right(RIGHT.request("&".join(reversed(QUERY.split("&")))))
        self.right(replaced("a%20b", "a+b"))
        self.right(replaced("SendMessage", "%53endMessage"))

    def test_forged_ones(self) -> None:
        self.assertGreaterEqual(len(FORGED), 50)
        for name, (request, code) in FORGED.items():
            error = self.failureResultOf(self.signatures.check(request), BadSignature).value
            self.assertEqual(error.code, code, (name, error.text))
            for secret in (PAIR.secret, DIGEST.hex(), SIGNATURE):
                self.assertNotIn(secret, error.text)

    def test_its_end(self) -> None:
        self.now = NOW + 60
        self.right(RIGHT.request())
        self.now += 1
        error = self.failureResultOf(self.signatures.check(RIGHT.request()), BadSignature).value
        self.assertIn("expired", error.text)

    def test_signed_by_botocore(self) -> None:
        """By the clock of today, since botocore has no other."""
        url = "http://localhost/sqs/1/q?Action=SendMessage&MessageBody=a%20b%2B%C3%A9"
        asked = AWSRequest("GET", url)
        SigV4QueryAuth(Credentials(PAIR.id, PAIR.secret), "sqs", "us-east-1", expires=600).add_auth(asked)
        path, _, query = asked.url.removeprefix("http://localhost").partition("?")
        self.now = time.time()
        self.right(AwsRequest(b"GET", path.encode(), query.encode(), {b"host": [b"localhost"]}, b""))

    def test_unchecked_ones(self) -> None:
        """Where signatures are not checked, any page could have a browser ask for a URL, so that none counts."""
        error = self.failureResultOf(UncheckedAwsSignatures("shop").check(RIGHT.request()), BadSignature).value
        self.assertEqual(error.code, "MissingAuthenticationToken")
