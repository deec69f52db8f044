"""Receipts: only those that were sealed with the key are accepted."""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
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
    def parsed(self, text: str, incarnation: int) -> Receipt | None:
        (receipt,) = RECEIPTS.parse((text,), incarnation)
        return receipt

    @given(receipts)
    def test_what_was_made_is_read(self, receipt: Receipt) -> None:
        text = RECEIPTS.text(receipt)
        self.assertEqual(self.parsed(text, receipt.incarnation), receipt)
        self.assertEqual(address_of(text), Address(receipt.partition, receipt.id))
        self.assertTrue(re.fullmatch(r"[A-Za-z0-9_-]+", text))
        self.assertEqual(len(text), RECEIPT)

    @given(
        st.lists(receipts, max_size=5),
        st.text(max_size=RECEIPT) | st.text(ALPHABET, min_size=RECEIPT, max_size=RECEIPT),
    )
    def test_several_at_once(self, several: list[Receipt], wrong: str) -> None:
        """A text that is no receipt does not spoil those beside it."""
        ours = [replace(one, incarnation=77) for one in several]
        texts = [RECEIPTS.text(one) for one in ours]
        self.assertEqual(RECEIPTS.parse(texts, 77), ours)
        self.assertEqual(RECEIPTS.parse([*texts, wrong, *texts], 77), [*ours, None, *ours])
        leases = [(one.id, one.number) for one in ours]
        made = RECEIPTS.texts(77, ONE.generation, ONE.partition, leases)
        alike = [replace(one, generation=ONE.generation, partition=ONE.partition) for one in ours]
        self.assertEqual(made, [RECEIPTS.text(one) for one in alike])

    def test_the_text_of_a_receipt(self) -> None:
        """Receipts that were given out before a restart with another version are still valid."""
        for size in (16, 64, 65, 200):
            key = bytes(range(size))
            begin = b"\x01" + (77).to_bytes(16, "big") + ONE.generation + bytes((200,))
            body = begin + ONE.id + (12).to_bytes(8, "big")
            seal = hmac.new(key, b"queuey receipt\0" + body, "sha256").digest()[:16]
            self.assertEqual(Receipts(key).text(ONE), urlsafe_b64encode(body + seal).decode())

    def test_that_of_another_queue(self) -> None:
        self.assertIsNone(self.parsed(RECEIPTS.text(ONE), 78))

    def test_that_of_another_key(self) -> None:
        self.assertIsNone(self.parsed(Receipts(b"another secret..").text(ONE), 77))

    def test_no_two_have_the_same_text(self) -> None:
        others = (
            replace(ONE, generation=b"12345679"),
            replace(ONE, partition=1),
            replace(ONE, id=MessageId(bytes(16))),
            replace(ONE, number=13),
        )
        self.assertEqual(len({RECEIPTS.text(one) for one in (ONE, *others)}), 5)

    @given(st.integers(0, RECEIPT - 1), st.sampled_from(ALPHABET + "+/=é\n "))
    def test_one_other_character(self, at: int, other: str) -> None:
        text = RECEIPTS.text(ONE)
        if text[at] != other:
            self.assertIsNone(self.parsed(text[:at] + other + text[at + 1 :], 77))

    @given(st.integers(0, RECEIPT - 1), st.text(max_size=3))
    def test_one_that_was_cut(self, size: int, more: str) -> None:
        text = RECEIPTS.text(ONE)
        for damaged in (text[:size], text[size:], text + more + "A", "A" + text, text[:-1] + "=", text + "===="):
            if damaged != text:
                self.assertIsNone(self.parsed(damaged, 77))

    @given(st.text(max_size=RECEIPT + 2) | st.text(ALPHABET, min_size=RECEIPT, max_size=RECEIPT))
    def test_any_text(self, text: str) -> None:
        self.assertIsNone(self.parsed(text, 77))

    def test_the_other_alphabet_of_base64(self) -> None:
        """A receipt is written in one way alone: two texts never stand for the same."""
        for number in range(100):
            text = RECEIPTS.text(replace(ONE, number=number))
            other = text.replace("-", "+").replace("_", "/")
            if other != text:
                self.assertIsNone(self.parsed(other, 77))
                return
        self.fail("none of them has such a character")

    def test_another_version(self) -> None:
        """What a later version authenticates under the same key is no receipt of this one."""
        body = b"\x02" + bytes(49)
        text = urlsafe_b64encode(body + RECEIPTS._seal(body)).decode()
        self.assertIsNone(self.parsed(text, 0))

    def test_a_key_that_is_too_short(self) -> None:
        self.assertRaises(ValueError, Receipts, b"short")
