"""Receipts: only those that were sealed with the key are accepted."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.groups.receipts import RECEIPT, Receipt, Receipts, address_of
from queuey.model.messages.message import Address
from queuey.model.timeid import MessageId

RECEIPTS = Receipts(b"a secret of 16 b")
ONE = Receipt(77, b"12345678", 200, MessageId(bytes(range(16))), 12)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

receipts = st.builds(
    Receipt,
    st.integers(0, (1 << 128) - 1),
    st.binary(min_size=8, max_size=8),
    st.integers(0, 255),
    st.binary(min_size=16, max_size=16).map(MessageId),
    st.integers(0, (1 << 64) - 1),
)


class ReceiptTests(SynchronousTestCase):
    @given(receipts)
    def test_what_was_made_is_read(self, receipt: Receipt) -> None:
        text = RECEIPTS.text(receipt)
        self.assertEqual(RECEIPTS.parse(text, receipt.incarnation), receipt)
        self.assertEqual(address_of(text), Address(receipt.partition, receipt.id))
        self.assertTrue(re.fullmatch(r"[A-Za-z0-9_-]+", text))
        self.assertEqual(len(text), RECEIPT)

    def test_that_of_another_queue(self) -> None:
        self.assertIsNone(RECEIPTS.parse(RECEIPTS.text(ONE), 78))

    def test_that_of_another_key(self) -> None:
        self.assertIsNone(Receipts(b"another secret..").parse(RECEIPTS.text(ONE), 77))

    def test_no_two_have_the_same_text(self) -> None:
        others = (
            attrs.evolve(ONE, generation=b"12345679"),
            attrs.evolve(ONE, partition=1),
            attrs.evolve(ONE, id=MessageId(bytes(16))),
            attrs.evolve(ONE, number=13),
        )
        self.assertEqual(len({RECEIPTS.text(one) for one in (ONE, *others)}), 5)

    @given(st.integers(0, RECEIPT - 1), st.sampled_from(ALPHABET + "+/=é\n "))
    def test_one_other_character(self, at: int, other: str) -> None:
        text = RECEIPTS.text(ONE)
        if text[at] != other:
            self.assertIsNone(RECEIPTS.parse(text[:at] + other + text[at + 1 :], 77))

    @given(st.integers(0, RECEIPT - 1), st.text(max_size=3))
    def test_one_that_was_cut(self, size: int, more: str) -> None:
        text = RECEIPTS.text(ONE)
        for damaged in (text[:size], text[size:], text + more + "A", "A" + text, text[:-1] + "=", text + "===="):
            if damaged != text:
                self.assertIsNone(RECEIPTS.parse(damaged, 77))

    @given(st.text(max_size=RECEIPT + 2) | st.text(ALPHABET, min_size=RECEIPT, max_size=RECEIPT))
    def test_any_text(self, text: str) -> None:
        self.assertIsNone(RECEIPTS.parse(text, 77))

    def test_the_other_alphabet_of_base64(self) -> None:
        """A receipt is written in one way alone: two texts never stand for the same."""
        for number in range(100):
            text = RECEIPTS.text(attrs.evolve(ONE, number=number))
            other = text.replace("-", "+").replace("_", "/")
            if other != text:
                self.assertIsNone(RECEIPTS.parse(other, 77))
                return
        self.fail("none of them has such a character")

    def test_another_version(self) -> None:
        """What a later version authenticates under the same key is no receipt of this one."""
        made = Receipts(RECEIPTS._key)
        body = b"\x02" + bytes(49)
        text = urlsafe_b64encode(body + made._seal(body)).decode()
        self.assertIsNone(RECEIPTS.parse(text, 0))

    def test_a_key_that_is_too_short(self) -> None:
        self.assertRaises(ValueError, Receipts, b"short")
