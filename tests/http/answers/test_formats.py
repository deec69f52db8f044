"""Addresses and messages as the JSON of both APIs."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.http.answers.bulk_json import ascii_texts_json
from queuey.http.v1.representations import ADDRESSES, MESSAGES, stored
from queuey.http.v2.representations.addresses import ADDRESSES as V2_ADDRESSES
from queuey.http.v2.representations.addresses import answer_stored
from queuey.http.v2.representations.fields import content_type_of
from queuey.http.v2.representations.messages import PLAIN
from queuey.model.messages.batch import Addresses
from queuey.model.messages.message import Address, Content, Message
from queuey.model.timeid import (
    EPOCH,
    MAX_TICKS,
    SECOND,
    MessageId,
    Ticks,
    make,
    make_run,
    ticks_of,
    timestamp,
    to_rfc3339,
    to_v1_hex,
)

NOW = EPOCH + 1_800_000_001 * SECOND
STEPS = st.lists(st.tuples(st.integers(0, 2000), st.sampled_from([1, 2]), st.sampled_from([3, 4])), max_size=20)
STARTS = st.sampled_from([0, EPOCH - 3000, EPOCH, NOW, NOW - 3000, NOW - 5000, MAX_TICKS - 40_000])


class _Asked:
    """A request to ``/q``, and what it was answered."""

    path = b"/q"

    def answer(self, status: int, headers: object, body: bytes, own: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self.answered, self.own = json.loads(body), own


class AddressTests(SynchronousTestCase):
    """Each is as it would be alone, whichever came before it."""

    @settings(deadline=None, database=None)
    @given(STARTS, STEPS)
    def test_each_is_as_if_it_were_alone(self, ticks: int, steps: list[tuple[int, int, int]]) -> None:
        addresses = []
        for number, (step, sequence, node) in enumerate(steps):
            ticks += step
            addresses.append(Address(number % 3 + 1, make(Ticks(ticks), sequence, node)))
        self.assertEqual(
            [json.loads(text) for text in ADDRESSES.each(addresses)],
            [{"key": to_v1_hex(a.id), "timestamp": timestamp(a.id), "partition": a.partition} for a in addresses],
        )

    @settings(deadline=None, database=None)
    @given(STARTS, STEPS)
    def test_one_answer_after_another(self, ticks: int, steps: list[tuple[int, int, int]]) -> None:
        """Messages that are posted singly, too, are rendered as if each were alone, in both APIs."""
        for number, (step, sequence, node) in enumerate(steps):
            ticks += step
            address = Address(number % 3 + 1, make(Ticks(ticks), sequence, node))
            asked = _Asked()
            stored(asked, (address,))  # type: ignore[arg-type]
            self.assertEqual(
                asked.answered,
                {
                    "status": "ok",
                    "messages": [
                        {
                            "key": to_v1_hex(address.id),
                            "timestamp": timestamp(address.id),
                            "partition": address.partition,
                        }
                    ],
                },
            )
            if ticks >= EPOCH:
                answer_stored(asked, (address,), '{"a":"%d%%"}', duplicate=number == 1)  # type: ignore[arg-type]
                id = f"{address.id.hex()}-{address.partition}"
                told = {"id": id, "partition": address.partition, "timestamp": to_rfc3339(ticks_of(address.id))}
                self.assertEqual(
                    asked.answered, {"messages": [told], "stored": {"a": "%d%%"}, "duplicate": number == 1}
                )
                self.assertEqual(asked.own, ((b"Location", f"/q/{id}".encode()),))

    @settings(deadline=None, database=None)
    @given(STARTS, st.lists(st.tuples(st.integers(1, 1500), st.integers(0, 1), st.sampled_from([3, 4])), max_size=6))
    def test_many_at_once(self, ticks: int, runs: list[tuple[int, int, int]]) -> None:
        """Whole batches are rendered as if each message were alone, wherever their times break off."""
        ids: list[MessageId] = []
        for count, gap, node in runs:
            ids += make_run(Ticks(ticks + gap), count, 1, node)
            ticks += gap + count
        addresses = Addresses([number % 3 + 1 for number in range(len(ids))], ids)
        each = [Address(number % 3 + 1, id) for number, id in enumerate(ids)]
        asked = _Asked()
        if len(ids) > 1:
            stored(asked, addresses)  # type: ignore[arg-type]
            self.assertEqual(asked.answered["messages"], [json.loads(text) for text in ADDRESSES.each(each)])
        if ticks >= EPOCH + 10_000:
            self.assertEqual(V2_ADDRESSES.joined(addresses, "\n"), "\n".join(V2_ADDRESSES.each(each)))


# Whatever is special to JSON, to what joins texts, or to one of the two ways to write it; mostly ASCII.
_ODD = st.sampled_from(
    [bytes([number]) for number in range(128)] + [b"\\u001e", b'",', "\u2028\u00e9".encode(), b"\xff"]
)
BODIES = st.lists(st.lists(_ODD, max_size=4).map(b"".join), max_size=5)
TIMES = st.integers(0, 4).map(lambda n: EPOCH + n) | st.integers(0, MAX_TICKS) | st.just(NOW) | st.just(EPOCH - 1)
HEADERS = st.sampled_from([None, b'{"a":"b"}', '{"a":"\u00e9"}'.encode()])
TYPES = st.sampled_from([None, "text/plain", 'a/b;c="d"', "no type", "\u00e9"])


class MessagesTests(SynchronousTestCase):
    """Messages are written as ``json`` would write them, byte for byte."""

    @settings(deadline=None, database=None)
    @given(BODIES)
    def test_texts(self, bodies: list[bytes]) -> None:
        found = ascii_texts_json(bodies)
        if found is not None:
            self.assertEqual([f'"{text}"' for text in found], [json.dumps(body.decode()) for body in bodies])

    def test_only_what_is_plain_is_written_at_once(self) -> None:
        for number in range(128):
            alone = ascii_texts_json([bytes([number])])
            self.assertEqual(alone is None, number in (0x1E, 0x7F), number)
        self.assertIsNone(ascii_texts_json([b"a", "\u00e9".encode()]))
        self.assertIsNone(ascii_texts_json([b"a", b"\\u001e"]))
        self.assertEqual(ascii_texts_json([b"a\\", b'",', b""]), ["a" + "\\" * 2, '\\",', ""])

    @settings(deadline=None, database=None)
    @given(BODIES, TIMES, st.integers(1, 256), HEADERS, TYPES)
    def test_messages(
        self, bodies: list[bytes], time: int, partition: int, headers: bytes | None, kind: str | None
    ) -> None:
        messages = [
            Message(partition, make(Ticks(time), 3, number), Content(body, kind, headers), Ticks(time + SECOND))
            for number, body in enumerate(bodies)
        ]
        self.assertEqual(
            [json.dumps(json.loads(text), separators=(",", ":")) for text in MESSAGES.each(messages)],
            MESSAGES.each(messages),
        )
        self.assertEqual(
            [json.loads(text) for text in MESSAGES.each(messages)],
            [
                {
                    "message_id": to_v1_hex(message.id),
                    "timestamp": timestamp(message.id),
                    "body": message.content.body.decode("utf-8", "replace"),
                    "partition": partition,
                }
                for message in messages
            ],
        )
        for message, text in zip(messages, PLAIN.each(messages), strict=True):
            shown = json.loads(text)
            self.assertEqual(json.dumps(shown, separators=(",", ":")), text)
            self.assertEqual(shown["id"], f"{message.id.hex()}-{partition}")
            self.assertEqual(shown["timestamp"], to_rfc3339(ticks_of(message.id)))
            self.assertEqual(shown["expires"], to_rfc3339(message.expires))
            self.assertEqual(shown["content_type"], content_type_of(message.content))
            self.assertEqual(shown["headers"], json.loads(headers or b"{}"))
