"""What headers say of messages that a group has moved."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.messages.dead_letter_headers import (
    LETTER,
    ONLY,
    ORIGIN,
    Letter,
    copy_for,
    copy_key,
    dead_letter,
    is_only_for_another,
    letter_key,
    letter_of,
)
from queuey.model.messages.message import Address, Content
from queuey.model.timeid import MessageId

GID = bytes(range(16))
IDS = st.binary(min_size=16, max_size=16).map(MessageId)
ADDRESSES = st.builds(Address, st.integers(1, 200), IDS)
LETTERS = st.builds(
    Letter,
    st.text(max_size=50),
    ADDRESSES,
    st.text(max_size=64),
    st.binary(min_size=16, max_size=16),
    st.integers(0, 65_535),
    st.text(max_size=256),
)
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=3)
HEADERS = st.none() | st.dictionaries(st.text() | st.sampled_from(["from", "Queuey"]), VALUES).map(
    lambda headers: json.dumps(headers, ensure_ascii=False).encode("utf-8", "replace")
)


def content(headers: bytes | None) -> Content:
    return Content(b"body", "text/plain", headers)


def own(of: Content) -> dict[str, Any]:
    """The headers without what is of ours."""
    found = json.loads(of.headers or b"{}")
    return {name: value for name, value in found.items() if name not in (LETTER, ONLY, ORIGIN)}


class LetterTests(SynchronousTestCase):
    @given(HEADERS, LETTERS)
    def test_there_and_back(self, headers: bytes | None, letter: Letter) -> None:
        before = content(headers)
        after = dead_letter(before, letter)
        self.assertEqual(letter_of(after), letter)
        self.assertEqual((after.body, after.content_type, own(after)), (b"body", "text/plain", own(before)))
        again = dead_letter(copy_for(after, GID), letter)
        self.assertEqual((letter_of(again), own(again)), (letter, own(before)))

    @given(HEADERS | st.binary(max_size=40))
    def test_what_is_none(self, headers: bytes | None) -> None:
        """Nothing that a sender gives can be more than no dead letter."""
        self.assertIsNone(letter_of(content(headers)))
        self.assertIsNone(letter_of(content(b'{"queuey-dead-letter":%s}' % (headers or b"null"))))

    def test_what_lacks_something(self) -> None:
        told = {"queue": "q", "id": "00" * 16 + "-1", "group": "g", "gid": "00", "deliveries": 1, "reason": ""}
        self.assertIsNotNone(letter_of(content(json.dumps({LETTER: told}).encode())))
        for name in told:
            values: tuple[Any, ...] = (None, [], "x", -1)
            for value in values:
                changed = {**told, name: value}
                if value == "x" and name in ("queue", "group", "reason"):
                    continue
                if value is None:
                    del changed[name]
                found = letter_of(content(json.dumps({LETTER: changed}).encode()))
                if name in ("id", "gid") or value is None:
                    self.assertIsNone(found, changed)

    def test_headers_that_cannot_be_kept(self) -> None:
        """No sender could have given them; the message goes on its way without."""
        letter = Letter("q", Address(1, MessageId(bytes(16))), "g", GID, 1, "")
        for headers in (b'{"a":"\\ud800"}', b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"\xff"):
            self.assertEqual(list(json.loads(dead_letter(content(headers), letter).headers or b"")), [LETTER])
            self.assertEqual(list(json.loads(copy_for(content(headers), GID).headers or b"")), [ONLY])


class CopyTests(SynchronousTestCase):
    @given(HEADERS)
    def test_who_it_is_for(self, headers: bytes | None) -> None:
        before = content(headers)
        copy = copy_for(before, GID)
        self.assertEqual(own(copy), own(before))
        self.assertFalse(is_only_for_another(copy, GID))
        self.assertTrue(is_only_for_another(copy, bytes(16)))

    @given(HEADERS, st.lists(LETTERS, min_size=1, max_size=3))
    def test_origin(self, headers: bytes | None, letters: list[Letter]) -> None:
        """However often a message becomes a dead letter and a copy, who goes by ids knows it by its first one."""
        now = content(headers)
        for letter in letters:
            now = copy_for(dead_letter(now, letter), GID)
        first = letters[0].address
        self.assertEqual(json.loads(now.headers or b"")[ORIGIN], f"{first.id.hex()}-{first.partition}")
        self.assertNotIn(LETTER, json.loads(now.headers or b""))

    @given(st.binary(max_size=40))
    def test_any_headers(self, headers: bytes) -> None:
        self.assertFalse(is_only_for_another(content(headers), GID))

    def test_by_chance(self) -> None:
        for headers in (b'{"a":"queuey-only"}', b'["queuey-only"]', b'{"queuey-only":["00"]}', b'"queuey-only"'):
            self.assertFalse(is_only_for_another(content(headers), GID), headers)


class KeyTests(SynchronousTestCase):
    def test_they_are_apart(self) -> None:
        """Each of what they are made of tells one from another."""
        one, other = Address(1, MessageId(bytes(16))), Address(2, MessageId(bytes(16)))
        moved = Address(1, MessageId(bytes(15) + b"x"))
        keys = [
            *(
                letter_key(gid, place, number)
                for gid in (GID, bytes(16))
                for place in (one, other, moved)
                for number in (1, 2)
            ),
            *(
                copy_key(gid, life, place)
                for gid in (GID, bytes(16))
                for place in (one, other, moved)
                for life in (1, 2)
            ),
        ]
        self.assertEqual(len(set(keys)), 24)
        self.assertEqual({len(key) for key in keys}, {32})

    def test_they_stay_as_they_are(self) -> None:
        """A move that one version has begun is known to the next."""
        place = Address(3, MessageId(bytes(range(16))))
        self.assertEqual(letter_key(GID, place, 7).hex()[:16], "bac85bbc83b3351c")
        self.assertEqual(copy_key(GID, 7, place).hex()[:16], "38b11a5ad90e03c9")
