"""Rows of groups and the index of their names, as bytes."""

from __future__ import annotations

import json

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.interfaces import MAX_STATE
from queuey.model.groups.rows import (
    MAX_GROUPS,
    UnreadableGroup,
    decode_group,
    decode_names,
    encode_group,
    encode_names,
    group_key,
    groups_key,
    state_key,
)
from queuey.model.groups.settings import Group, GroupSettings
from queuey.model.pushes.settings import MAX_HEADERS, Push, Secret, closed_push, open_push, private_part
from queuey.model.pushes.signatures import MAX_SECRETS
from queuey.model.pushes.targets import MAX_URL
from queuey.model.queues.queue import Guarantee, states_prefix
from queuey.model.reading.start import Start
from queuey.model.timeid import MAX_TICKS, MessageId, Ticks
from tests.model.groups.folded import Order

NAMES = st.from_regex(r"[A-Za-z0-9._~-]{1,64}", fullmatch=True)
SETTINGS = st.builds(
    GroupSettings,
    st.sampled_from(Start) | st.integers(0, MAX_TICKS).map(Ticks),
    st.integers(1, 43_200),
    st.integers(0, 1000),
    st.none() | st.text(max_size=50),
    st.sampled_from(Order),
    st.none() | st.sampled_from(Guarantee),
)
GROUPS = st.builds(
    Group,
    st.integers(0, (1 << 128) - 1),
    NAMES,
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=32, max_size=32),
    SETTINGS,
    st.binary(min_size=16, max_size=16).map(MessageId),
    st.integers(0, MAX_TICKS).map(Ticks),
    st.text(),
    st.booleans(),
)


class RowTests(SynchronousTestCase):
    @given(GROUPS)
    def test_there_and_back(self, group: Group) -> None:
        value = encode_group(group)
        self.assertEqual(decode_group(value, group.queue, group.version), group)
        self.assertTrue(len(value) < 2000)

    @given(GROUPS)
    def test_with_a_push(self, group: Group) -> None:
        """A group with a push has a format that versions without pushes refuse to read; it fits into a value."""
        secrets = tuple(Secret(f"{number:012x}", bytes(300), group.created) for number in range(MAX_SECRETS))
        headers = tuple((f"{number:02}" + "n" * 100, "v" * 102) for number in range(MAX_HEADERS))
        push = Push("https://e.example/" + "a" * (MAX_URL - 18), headers=headers, secrets=secrets)
        private = private_part(push)
        closed = closed_push(push, private.hex().encode() * 2)  # longer than what encrypts it makes of it
        self.assertEqual(open_push(closed, private), push)
        for each, format in ((push, 2), (closed, 3)):
            both = attrs.evolve(group, settings=attrs.evolve(group.settings, push=each))
            value = encode_group(both)
            self.assertEqual(json.loads(value)["format"], format)
            self.assertEqual(decode_group(value, group.queue, group.version), both)
            self.assertLess(len(value), MAX_STATE)
            for damaged in ("{}", '{"url": 7}', "[1]"):
                row = json.loads(value) | {"push": json.loads(damaged)}
                with self.assertRaises(UnreadableGroup):
                    decode_group(json.dumps(row).encode(), group.queue, "v")

    @given(GROUPS, st.binary(max_size=4), st.integers(0, 2000), st.integers(0, 4))
    def test_what_is_damaged_is_said_to_be(self, group: Group, piece: bytes, at: int, length: int) -> None:
        """Or is a group all the same; nothing else."""
        value = encode_group(group)
        value = value[:at] + piece + value[at + length :]
        try:
            decode_group(value, group.queue, group.version)
        except UnreadableGroup as problem:
            self.assertRegex(str(problem), "damaged|format")

    def test_it_stays_as_it_is(self) -> None:
        """What was stored once is read by every later version."""
        value = (
            b'{"format":1,"name":"g","gid":"000102030405060708090a0b0c0d0e0f","secret":"'
            + b"5a" * 32
            + b'","start":139192928000000000,"lease":30,"max_deliveries":5,"dead_letter":"d\\u00e9",'
            + b'"order":"partition","guarantee":"at-most-once","place":"1ee80f2d1a4a60008000000000000000",'
            + b'"created":139192928000000001,"ended":false}'
        )
        group = Group(
            7,
            "g",
            bytes(range(16)),
            b"Z" * 32,
            GroupSettings(Ticks(139_192_928_000_000_000), 30, 5, "dé", Order.PARTITION, Guarantee.AT_MOST_ONCE),
            MessageId(bytes.fromhex("1ee80f2d1a4a60008000000000000000")),
            Ticks(139_192_928_000_000_001),
            "v",
        )
        self.assertEqual((decode_group(value, 7, "v"), encode_group(group)), (group, value))


class IndexTests(SynchronousTestCase):
    @given(st.frozensets(NAMES, max_size=30))
    def test_there_and_back(self, names: frozenset[str]) -> None:
        self.assertEqual(decode_names(encode_names(names)), names)

    def test_as_many_as_there_may_be(self) -> None:
        names = [f"{number:064}" for number in range(MAX_GROUPS)]
        self.assertLessEqual(len(encode_names(names)), MAX_STATE)

    def test_it_stays_as_it_is(self) -> None:
        self.assertEqual(encode_names(["b", "a~"]), b"1\na~\nb")

    def test_what_is_damaged(self) -> None:
        for value, text in (
            (b"", "damaged"),
            (b"x\na", "damaged"),
            (b"1\n\xff", "damaged"),
            (b"2\na", "format 2"),
            (b"0\na", "format 0"),
        ):
            with self.assertRaisesRegex(UnreadableGroup, text):
                decode_names(value)


class KeyTests(SynchronousTestCase):
    def test_of_one_life(self) -> None:
        """All of them begin with what belongs to no other life."""
        lives = [0, 1, 16, 17, (1 << 128) - 1]
        keys = {
            life: [groups_key(life), group_key(life, "g"), group_key(life, "groups"), state_key(life, bytes(16), 200)]
            for life in lives
        }
        for life in lives:
            for other in lives:
                starts = {key.startswith(states_prefix(other)) for key in keys[life]}
                self.assertEqual(starts, {life == other})
        every = [key for some in keys.values() for key in some]
        self.assertEqual(len(set(every)), len(every))
