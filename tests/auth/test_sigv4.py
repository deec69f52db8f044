"""Signatures of AWS clients: those that are right, and a table of forged ones, none of which is let in."""

from __future__ import annotations

import hashlib
from typing import Any

import attrs
from twisted.internet.defer import fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from queuey.auth.sigv4 import WINDOW, AwsSignatures
from queuey.errors import BadSignature, Unavailable
from queuey.interfaces import AwsRequest
from queuey.model.applications.application import digest_of, key_id
from queuey.model.applications.aws_keys import AwsKey, aws_key, key_id_of
from tests.auth.aws_support import Signing

NOW = 1_700_000_000.0
DIGEST, OTHER = digest_of("a-key-of-some-length"), digest_of("another-key-of-shop")
PAIR = aws_key(DIGEST)
BODY = b'{"QueueUrl": "http://localhost/1/q"}'
TARGET = {"x-amz-target": "AmazonSQS.SendMessage", "content-type": "application/x-amz-json-1.0"}
RIGHT = Signing(PAIR, NOW, body=BODY, more=TARGET)
ELSEWHERE = aws_key(digest_of("a-key-of-nobody"))


def signature_of(signing: Signing) -> str:
    return signing.fields()["authorization"]


def replaced(old: str, new: str, count: int = -1) -> AwsRequest:
    """The right request with something else in its Authorization field."""
    given = signature_of(RIGHT)
    assert old in given, (old, given)
    return RIGHT.request(fields={"authorization": given.replace(old, new, count).encode()})


def with_field(name: str, *values: bytes) -> AwsRequest:
    return RIGHT.request(fields={name: list(values)})


HASH = hashlib.sha256(BODY).hexdigest()
SIGNATURE = signature_of(RIGHT)[-64:]

FORGED: dict[str, tuple[AwsRequest, str]] = {
    "another body": (RIGHT.request(body=BODY + b" "), "SignatureDoesNotMatch"),
    "no body": (RIGHT.request(body=b""), "SignatureDoesNotMatch"),
    "another path": (RIGHT.request(path=b"/"), "SignatureDoesNotMatch"),
    "a longer path": (RIGHT.request(path=b"/sqs/"), "SignatureDoesNotMatch"),
    "an encoded path": (RIGHT.request(path=b"/%73qs"), "SignatureDoesNotMatch"),
    "a path in capitals": (RIGHT.request(path=b"/SQS"), "SignatureDoesNotMatch"),
    "another method": (RIGHT.request(method=b"GET"), "SignatureDoesNotMatch"),
    "a method in small letters": (RIGHT.request(method=b"post"), "SignatureDoesNotMatch"),
    "a query": (RIGHT.request(query=b"a=b"), "SignatureDoesNotMatch"),
    "a query without a value": (RIGHT.request(query=b"Action"), "SignatureDoesNotMatch"),
    "another host": (with_field("host", b"elsewhere"), "SignatureDoesNotMatch"),
    "a port with the host": (with_field("host", b"localhost:80"), "SignatureDoesNotMatch"),
    "two hosts": (with_field("host", b"localhost", b"localhost"), "SignatureDoesNotMatch"),
    "no host": (RIGHT.request(fields={"host": None}), "SignatureDoesNotMatch"),
    "another operation": (with_field("x-amz-target", b"AmazonSQS.DeleteQueue"), "SignatureDoesNotMatch"),
    "two operations": (
        with_field("x-amz-target", b"AmazonSQS.SendMessage", b"AmazonSQS.DeleteQueue"),
        "SignatureDoesNotMatch",
    ),
    "no operation": (RIGHT.request(fields={"x-amz-target": None}), "SignatureDoesNotMatch"),
    "another type": (with_field("content-type", b"text/plain"), "SignatureDoesNotMatch"),
    "an operation that is not signed": (
        Signing(PAIR, NOW, body=BODY, unsigned={"x-amz-target": "AmazonSQS.SendMessage"}).request(),
        "SignatureDoesNotMatch",
    ),
    "a field of AWS that is not signed": (with_field("x-amz-meta", b"1"), "SignatureDoesNotMatch"),
    "a hash that is not signed": (with_field("x-amz-content-sha256", HASH.encode()), "SignatureDoesNotMatch"),
    "the hash of another body": (
        attrs.evolve(RIGHT, more={**TARGET, "x-amz-content-sha256": "0" * 64}).request(),
        "SignatureDoesNotMatch",
    ),
    "an unsigned payload": (
        attrs.evolve(RIGHT, more={**TARGET, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}).request(),
        "SignatureDoesNotMatch",
    ),
    "a streamed payload": (
        attrs.evolve(RIGHT, more={**TARGET, "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}).request(),
        "SignatureDoesNotMatch",
    ),
    "another hash than that of the body": (
        attrs.evolve(RIGHT, more={**TARGET, "x-amz-content-sha256": HASH}).request(body=b"{}"),
        "SignatureDoesNotMatch",
    ),
    "a session": (
        attrs.evolve(RIGHT, more={**TARGET, "x-amz-security-token": "t"}).request(),
        "InvalidClientTokenId",
    ),
    "a session that is not signed": (with_field("x-amz-security-token", b"t"), "InvalidClientTokenId"),
    "no signature": (RIGHT.request(fields={"authorization": None}), "MissingAuthenticationToken"),
    "two signatures": (
        with_field("authorization", *[signature_of(RIGHT).encode()] * 2),
        "IncompleteSignature",
    ),
    "an empty one": (with_field("authorization", b""), "IncompleteSignature"),
    "an application's key": (with_field("authorization", b"Application a-key-of-some-length"), "IncompleteSignature"),
    "a presigned one": (
        RIGHT.request(
            fields={"authorization": None},
            query=f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature={SIGNATURE}".encode(),
        ),
        "IncompleteSignature",
    ),
    "another signature": (replaced(SIGNATURE, "0" * 64), "SignatureDoesNotMatch"),
    "one digit is another": (
        replaced(SIGNATURE, SIGNATURE[:-1] + ("0" if SIGNATURE[-1] != "0" else "1")),
        "SignatureDoesNotMatch",
    ),
    "a signature in capitals": (replaced(SIGNATURE, SIGNATURE.upper()), "IncompleteSignature"),
    "a shorter signature": (replaced(SIGNATURE, SIGNATURE[:-1]), "IncompleteSignature"),
    "a longer signature": (replaced(SIGNATURE, SIGNATURE + "0"), "IncompleteSignature"),
    "no signature in it": (replaced(f", Signature={SIGNATURE}", ""), "IncompleteSignature"),
    "an empty name": (replaced("SignedHeaders=content-type;", "SignedHeaders=;"), "SignatureDoesNotMatch"),
    "no credential in it": (replaced("Credential=", "Credentials="), "IncompleteSignature"),
    "another algorithm": (replaced("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), "IncompleteSignature"),
    "an asymmetric algorithm": (replaced("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), "IncompleteSignature"),
    "an algorithm in small letters": (replaced("AWS4-HMAC-SHA256", "aws4-hmac-sha256"), "IncompleteSignature"),
    "text behind it": (
        with_field("authorization", signature_of(RIGHT).encode() + b", Signature=" + b"0" * 64),
        "IncompleteSignature",
    ),
    "a line in it": (replaced(", SignedHeaders", ",\n SignedHeaders"), "IncompleteSignature"),
    "a name left out": (replaced("content-type;host", "host"), "SignatureDoesNotMatch"),
    "the host left out": (replaced("content-type;host;", "content-type;"), "IncompleteSignature"),
    "the date left out": (replaced(";x-amz-date", ""), "IncompleteSignature"),
    "a name that is not there": (replaced("content-type;host", "accept;content-type;host"), "SignatureDoesNotMatch"),
    "names in another order": (replaced("content-type;host", "host;content-type"), "IncompleteSignature"),
    "a name twice": (replaced("content-type;host", "content-type;host;host"), "IncompleteSignature"),
    "a name in capitals": (replaced("content-type;host", "Content-Type;host"), "IncompleteSignature"),
    "another service": (replaced("/sqs/", "/s3/"), "SignatureDoesNotMatch"),
    "signed for another service": (attrs.evolve(RIGHT, service="s3").request(), "SignatureDoesNotMatch"),
    "another end of the scope": (replaced("aws4_request", "aws5_request"), "SignatureDoesNotMatch"),
    "signed for another end": (attrs.evolve(RIGHT, end="aws4_requests").request(), "SignatureDoesNotMatch"),
    "another region": (replaced("us-east-1", "eu-west-1"), "SignatureDoesNotMatch"),
    "no region": (replaced("us-east-1", ""), "IncompleteSignature"),
    "another date in the scope": (replaced("/20231114/", "/20231115/"), "SignatureDoesNotMatch"),
    "signed for another date": (attrs.evolve(RIGHT, scope_date="20231113").request(), "SignatureDoesNotMatch"),
    "no date": (RIGHT.request(fields={"x-amz-date": None}), "IncompleteSignature"),
    "two dates": (with_field("x-amz-date", *[RIGHT.time.encode()] * 2), "IncompleteSignature"),
    "a date in words": (with_field("x-amz-date", b"Tue, 14 Nov 2023 22:13:20 GMT"), "IncompleteSignature"),
    "a month that is none": (with_field("x-amz-date", b"20231314T221320Z"), "IncompleteSignature"),
    "a date in other digits": (with_field("x-amz-date", "２0231114T221320Z".encode()), "IncompleteSignature"),
    "another time": (with_field("x-amz-date", b"20231114T221321Z"), "SignatureDoesNotMatch"),
    "too old": (attrs.evolve(RIGHT, now=NOW - WINDOW - 1).request(), "SignatureDoesNotMatch"),
    "too early": (attrs.evolve(RIGHT, now=NOW + WINDOW + 1).request(), "SignatureDoesNotMatch"),
    "of another day": (attrs.evolve(RIGHT, now=NOW - 86_400).request(), "SignatureDoesNotMatch"),
    "of the year 1": (with_field("x-amz-date", b"00010101T000000Z"), "SignatureDoesNotMatch"),
    "an unknown key": (attrs.evolve(RIGHT, key=ELSEWHERE).request(), "InvalidClientTokenId"),
    "a key of AWS": (attrs.evolve(RIGHT, key=AwsKey("AKIAIOSFODNN7EXAMPLE", "x")).request(), "InvalidClientTokenId"),
    "another key's name": (replaced(PAIR.id, aws_key(OTHER).id), "SignatureDoesNotMatch"),
    "another key's secret": (
        attrs.evolve(RIGHT, key=AwsKey(PAIR.id, aws_key(OTHER).secret)).request(),
        "SignatureDoesNotMatch",
    ),
    "an empty secret": (attrs.evolve(RIGHT, key=AwsKey(PAIR.id, "")).request(), "SignatureDoesNotMatch"),
    "the key as the secret": (
        attrs.evolve(RIGHT, key=AwsKey(PAIR.id, "a-key-of-some-length")).request(),
        "SignatureDoesNotMatch",
    ),
    "the digest as the secret": (
        attrs.evolve(RIGHT, key=AwsKey(PAIR.id, DIGEST.hex())).request(),
        "SignatureDoesNotMatch",
    ),
    "the name of the key in small letters": (replaced(PAIR.id, PAIR.id.lower()), "InvalidClientTokenId"),
    "the name of the key without its end": (replaced(PAIR.id, PAIR.id[:14]), "InvalidClientTokenId"),
    "no name of a key": (replaced(PAIR.id, ""), "IncompleteSignature"),
}
"""What may be made of a right request by everyone who has seen it, and other requests that nobody signed so."""


class SignatureTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = NOW
        self.used: list[bytes] = []
        self.keys = {"shop": [DIGEST, OTHER], "blog": [digest_of("the-key-of-blog")]}
        self.signatures = AwsSignatures(
            lambda id: succeed([(d, name) for name, ds in self.keys.items() for d in ds if key_id(d) == id]),
            lambda name: succeed(tuple(self.keys.get(name, ()))),
            self.used.append,
            lambda: self.now,
        )

    def right(self, request: AwsRequest) -> str:
        self.signatures.check_head(request)
        signer = self.successResultOf(self.signatures.check(request))
        self.assertEqual(self.used.pop(), signer.digest)
        return signer.application

    def refused(self, request: AwsRequest, code: str) -> None:
        error = self.failureResultOf(self.signatures.check(request), BadSignature).value
        self.assertEqual((error.code, self.used), (code, []), error.text)
        for secret in (PAIR.secret, DIGEST.hex(), SIGNATURE):
            self.assertNotIn(secret, error.text)

    def test_the_cache_of_signing_keys(self) -> None:
        """It tells days, regions and keys apart, and lets no one in whose key is gone."""
        signings = [
            attrs.evolve(RIGHT, now=NOW + day * 86_400, region=region, key=aws_key(digest))
            for day in (0, 1)
            for region in ("us-east-1", "eu-west-1")
            for digest in (DIGEST, OTHER)
        ]
        for signing in [*signings, *signings]:
            self.now = signing.now
            self.assertEqual(self.right(signing.request()), "shop", signing)
        false = attrs.evolve(signings[-1], key=AwsKey(aws_key(OTHER).id, PAIR.secret))
        self.refused(false.request(), "SignatureDoesNotMatch")
        self.keys["shop"].remove(OTHER)
        self.refused(signings[-1].request(), "InvalidClientTokenId")

    def test_what_is_signed_rightly(self) -> None:
        more: Any = {**TARGET, "x-amz-content-sha256": HASH, "amz-sdk-request": "attempt=1;  max=3"}
        for signing in (
            RIGHT,
            attrs.evolve(RIGHT, now=NOW - WINDOW),
            attrs.evolve(RIGHT, now=NOW + WINDOW),
            attrs.evolve(RIGHT, region="mars-north-1"),
            attrs.evolve(RIGHT, path="/sqs/"),
            attrs.evolve(RIGHT, path="/"),
            attrs.evolve(RIGHT, query="A=1&b=%20~"),
            attrs.evolve(RIGHT, more=more),
            attrs.evolve(RIGHT, key=aws_key(OTHER)),
            attrs.evolve(RIGHT, body=b""),
        ):
            self.assertEqual(self.right(signing.request()), "shop", signing)

    def test_a_query_in_another_order(self) -> None:
        signing = attrs.evolve(RIGHT, query="A=1&a=&b=2")
        self.assertEqual(self.right(signing.request(query=b"b=2&a&A=%31")), "shop")

    def test_spaces_in_fields(self) -> None:
        signing = attrs.evolve(RIGHT, more={**TARGET, "x-amz-meta": "a b"})
        self.assertEqual(self.right(signing.request(fields={"x-amz-meta": b"  a \t b "})), "shop")

    def test_forged_ones(self) -> None:
        self.assertGreaterEqual(len(FORGED), 60)
        for name, (request, code) in FORGED.items():
            try:
                self.refused(request, code)
            except BaseException as error:
                raise AssertionError(name) from error

    def test_the_head_alone_refuses_what_needs_no_body(self) -> None:
        for name in ("no signature", "too old", "a session", "a name that is not there", "two dates", "no host"):
            request, code = FORGED[name]
            error = self.assertRaises(BadSignature, self.signatures.check_head, request)
            self.assertEqual(error.code, code, name)

    def test_replayed_after_its_time(self) -> None:
        request = RIGHT.request()
        self.now = NOW + WINDOW
        self.assertEqual(self.right(request), "shop")
        self.now += 1
        self.refused(request, "SignatureDoesNotMatch")

    def test_a_key_that_is_revoked(self) -> None:
        signer = self.successResultOf(self.signatures.check(RIGHT.request()))
        self.used.clear()
        self.assertTrue(self.successResultOf(self.signatures.holds(signer)))
        del self.keys["shop"][0]
        self.assertFalse(self.successResultOf(self.signatures.holds(signer)))
        self.refused(RIGHT.request(), "InvalidClientTokenId")

    def test_two_keys_with_one_id(self) -> None:
        """The one that has signed is found among all that have the id."""
        twin = DIGEST[:6] + OTHER[6:]
        self.keys["blog"].append(twin)
        self.assertEqual((key_id(twin), aws_key(twin).id), (key_id(DIGEST), PAIR.id))
        self.assertEqual(self.right(RIGHT.request()), "shop")
        self.assertEqual(self.right(attrs.evolve(RIGHT, key=aws_key(twin)).request()), "blog")

    def test_the_store_does_not_answer(self) -> None:
        owners = lambda _: fail(Unavailable("no answer"))  # noqa: E731
        signatures = AwsSignatures(owners, lambda _: succeed(()), self.used.append, lambda: NOW)
        self.failureResultOf(signatures.check(RIGHT.request()), Unavailable)


class PairTests(SynchronousTestCase):
    def test_its_form(self) -> None:
        self.assertRegex(PAIR.id, "^QK[0-9A-F]{12}QUEUEY$")
        self.assertRegex(PAIR.secret, "^[A-Za-z0-9+/]{40}$")
        self.assertEqual(key_id_of(PAIR.id), key_id(DIGEST))
        self.assertNotIn(PAIR.secret, repr(PAIR))

    def test_it_never_changes(self) -> None:
        """Clients keep the pair, so a later version makes the same."""
        self.assertEqual(PAIR, AwsKey("QK7602AFE257E4QUEUEY", "cqkQLZzfJeZCpnvuFD893MtR1ITpfM4BETfq5SfE"))
