"""Signed URLs: what is signed, to the byte, and what a grant may say."""

from __future__ import annotations

import hmac
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.applications.access import Operation, allowed
from queuey.model.applications.signing import WORDS, Grant, sign, signed_by
from queuey.model.queues.queue import Queue, QueueSettings, is_principal
from queuey.model.timeid import Ticks

DIGEST = sha256(b"a-key-of-some-length").digest()
GRANT = Grant("shop", "orders", "read,write", "1800000000")


def queue(*principals: str) -> Queue:
    return Queue("shop", "orders", QueueSettings(principals=principals), 1, "v", Ticks(0))


class SignTests(SynchronousTestCase):
    def test_known_answer(self) -> None:
        """As other programs make it; the documentation has three of them."""
        self.assertEqual(GRANT.text(), b"shop\norders\nread,write\n1800000000\n")
        self.assertEqual(Grant("a", "\u00e9 \u4f60", "read", "1", "5").text(), b"a\n\xc3\xa9 \xe4\xbd\xa0\nread\n1\n5")
        key = hmac.new(DIGEST, b"queuey signed URL", sha256).digest()
        self.assertEqual(sign(DIGEST, GRANT), hmac.new(key, GRANT.text(), sha256).hexdigest())
        self.assertEqual(sign(DIGEST, GRANT), "ed786acf271956436eb2efe6204bf1b0579a7aaaa3dd9ebaa97708df15287f1e")

    def test_one_of_several_keys(self) -> None:
        signature = sign(DIGEST, GRANT)
        self.assertEqual(signed_by([sha256(b"other").digest(), DIGEST], GRANT, signature), DIGEST)
        self.assertEqual(signed_by([DIGEST, sha256(b"other").digest()], GRANT, signature), DIGEST)
        self.assertIsNone(signed_by([sha256(b"other").digest()], GRANT, signature))
        self.assertIsNone(signed_by([], GRANT, signature))

    @given(st.lists(st.text("ab\u00e9,1", max_size=2), min_size=10, max_size=10))
    def test_every_part_is_signed(self, parts: list[str]) -> None:
        """No two grants have one text."""
        first, second = Grant(*parts[:5]), Grant(*parts[5:])
        self.assertEqual(first == second, first.text() == second.text())

    def test_problems(self) -> None:
        """There is one way to write each grant."""
        for words in ("claim", "delete", "read", "write", "read,write", "claim,delete,read,write"):
            self.assertIsNone(Grant("a", "q", words, "1").problem(), words)
        for words in ("", "write,read", "read,read", "read, write", "read,", "Read", "admin", "read;write", ","):
            self.assertIn("is signed for something else", Grant("a", "q", words, "1").problem() or "", words)
        for until in ("", "0", "01", "1.5", "-1", "1e9", " 1", "\u0661", "1" * 13, "1\n"):
            self.assertIn("seconds since 1970", Grant("a", "q", "read", until).problem() or "", until)
        for rate in ("0", "01", "1.5", "-1", "1000000", "x", "\u0661", "1\n"):
            self.assertIn("is not signed for a rate", Grant("a", "q", "read", "1", rate).problem() or "", rate)
        for rate in ("", "1", "999999"):
            self.assertIsNone(Grant("a", "q", "read", "1", rate).problem())


class AccessTests(SynchronousTestCase):
    """The permissions of a client that has a URL."""

    def test_what_it_was_signed_for(self) -> None:
        """That, on the queue, and nothing else anywhere."""
        for word, operations in WORDS.items():
            caller = Grant("shop", "orders", word, "1").principals("0" * 64)
            for operation in Operation:
                expected = operation in operations or operation is Operation.DESCRIBE
                self.assertEqual(allowed(operation, caller, "shop", queue()), expected, (word, operation))
                self.assertEqual(allowed(operation, caller, "shop", None), operation is Operation.DESCRIBE)

    def test_no_more_than_the_key_that_signed(self) -> None:
        """Where a queue has principals the application is not among them, and cannot sign for their part."""
        caller = Grant("shop", "orders", "delete,read,write", "1").principals("0" * 64)
        for operation, expected in ((Operation.READ_MESSAGES, False), (Operation.WRITE_MESSAGES, True)):
            self.assertEqual(allowed(operation, caller, "shop", queue("bid:a@b.org")), expected)
        self.assertTrue(allowed(Operation.READ_MESSAGES, caller, "shop", queue("bid:a@b.org", "app:shop")))
        both = caller | {"bid:a@b.org"}
        self.assertTrue(allowed(Operation.READ_MESSAGES, both, "shop", queue("bid:a@b.org")))

    def test_holders_are_told_apart(self) -> None:
        """By their URLs, so that none of them meets an Idempotency-Key of another."""
        one, other = (GRANT.principals(digit * 64) for digit in "01")
        self.assertEqual(len(one - other), 1)

    def test_nobody_else_is_known_by_it(self) -> None:
        """No queue can have such a principal."""
        self.assertFalse([one for one in GRANT.principals("0" * 64) if is_principal(one)])

    def test_every_operation_on_messages_has_a_word(self) -> None:
        """And none has two."""
        granted = [operation for operations in WORDS.values() for operation in operations]
        self.assertEqual(len(granted), len(set(granted)))
        self.assertEqual({one.name for one in granted}, {one.name for one in Operation if "MESSAGES" in one.name})
