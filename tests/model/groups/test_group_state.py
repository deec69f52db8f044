"""The state of a group as bytes: small at all its limits, read back as it was, and refused where it cannot be."""

from __future__ import annotations

import attrs
import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.interfaces import MAX_STATE
from queuey.model.groups import snapshot
from queuey.model.groups.entries import (
    LEASED,
    MARKED,
    MAX_ACKED,
    MAX_ASIDE,
    MAX_CLAIMS,
    MAX_DELIVERIES,
    MAX_MOVES,
    MAX_REASON,
    MAX_REASONS,
    MAX_SETBACKS,
    MAX_TARGETS,
    TOKEN,
    WAITING,
    Claim,
    Entry,
    In,
    Move,
    Out,
    Target,
    UnreadableState,
    fitting,
    room_for_move,
)
from queuey.model.groups.snapshot import MAX_OPEN, MAX_TOKENS, GroupState, decode, encode, stamped
from queuey.model.queues.queue import MAX_NAME_BYTES, MAX_PARTITIONS, name_problem
from queuey.model.timeid import HIGHEST, LOWEST, MAX_TICKS, MessageId, Ticks

GREATEST = (1 << 64) - 1
PLAIN = GroupState(b"12345678", LOWEST)


def id_of(number: int) -> MessageId:
    return MessageId(number.to_bytes(16, "big"))


ids = st.binary(min_size=16, max_size=16).map(MessageId)
tokens = st.binary(min_size=TOKEN, max_size=TOKEN)
numbers = st.integers(0, GREATEST)
times = st.integers(0, MAX_TICKS * 2).map(Ticks)
targets = st.builds(Target, st.sampled_from(["dead", "tot-ü"]), st.sampled_from([0, 7, (1 << 128) - 1]))
moves = st.one_of(
    st.builds(Out, targets, st.text(max_size=20)), st.builds(In, targets, st.integers(0, MAX_PARTITIONS), ids)
)
entries = st.builds(
    Entry,
    numbers,
    times,
    st.integers(0, MAX_DELIVERIES),
    st.sampled_from([WAITING, LEASED]),
    st.integers(0, MAX_SETBACKS),
    st.sampled_from([0, 0, 1, (1 << 32) - 1]),
)


@st.composite
def states(draw: st.DrawFn) -> GroupState:
    found = dict(sorted(draw(st.dictionaries(ids, entries, max_size=12)).items()))
    marked: dict[MessageId, Move] = {}
    for id in draw(st.lists(st.sampled_from(sorted(found)), unique=True)) if found else ():
        found[id] = msgspec.structs.replace(found[id], kind=MARKED)
        marked[id] = draw(moves)
    return GroupState(
        draw(st.binary(min_size=8, max_size=8)),
        draw(ids),
        draw(numbers),
        found,
        tuple(draw(st.lists(numbers, max_size=9))),
        tuple(draw(st.lists(ids, max_size=9))),
        draw(numbers),
        draw(st.dictionaries(tokens, st.builds(Claim, numbers, st.integers(0, MAX_OPEN), times), max_size=5)),
        marked,
        tuple(draw(st.lists(tokens, max_size=MAX_TOKENS))),
    )


def at_all_limits(move: Move) -> GroupState:
    """The longest state there is; every move names another one of the dead-letter queues that it may name."""
    entry = Entry(GREATEST, Ticks(GREATEST), MAX_DELIVERIES, LEASED, MAX_SETBACKS, (1 << 32) - 1)
    found = {id_of(number): entry for number in range(MAX_OPEN)}
    marked: dict[MessageId, Move] = {}
    name = chr(0x10FFFF) * (MAX_NAME_BYTES // 4)
    while len(marked) < MAX_MOVES:
        target = Target(name, (1 << 128) - 1 - len(marked) % MAX_TARGETS)
        id = id_of(MAX_OPEN - 1 - len(marked))
        found[id] = msgspec.structs.replace(entry, kind=MARKED)
        if isinstance(move, Out):
            marked[id] = Out(target, fitting("r" * (MAX_REASONS // MAX_MOVES), marked))
        else:
            marked[id] = msgspec.structs.replace(move, source=target)
    return GroupState(
        b"\xff" * 8,
        HIGHEST,
        GREATEST,
        found,
        (GREATEST,) * MAX_ACKED,
        (HIGHEST,) * MAX_ASIDE,
        GREATEST,
        {n.to_bytes(TOKEN, "big"): Claim(GREATEST, MAX_OPEN, Ticks(GREATEST)) for n in range(MAX_CLAIMS)},
        marked,
        (b"\xff" * TOKEN,) * MAX_TOKENS,
    )


class BytesTests(SynchronousTestCase):
    @given(states())
    def test_what_is_written_is_read(self, state: GroupState) -> None:
        found = decode(encode(state))
        self.assertEqual(found, state)
        self.assertEqual([list(found.open), list(found.claims)], [list(state.open), list(state.claims)])
        self.assertTrue(all(type(entry) is Entry for entry in found.open.values()))

    def test_it_is_small_at_all_limits(self) -> None:
        for move in (Out(Target("", 0)), In(Target("", 0), MAX_PARTITIONS, HIGHEST)):
            state = at_all_limits(move)
            value = encode(state)
            self.assertLessEqual(len(value) + MAX_REASONS, MAX_STATE)  # some moves may be out, and some in
            self.assertGreater(len(value), 50_000)
            self.assertEqual(decode(value), state)
        self.assertIsNone(name_problem(chr(0xFFFFF) * (MAX_NAME_BYTES // 4)))

    def test_an_empty_one(self) -> None:
        value = encode(PLAIN)
        self.assertLess(len(value), 100)
        self.assertEqual(decode(value), PLAIN)

    def test_a_later_version(self) -> None:
        error = self.assertRaises(UnreadableState, decode, b"\x03" + encode(PLAIN)[1:])
        self.assertIn("format 3, of a later version", str(error))

    @given(states(), st.data())
    def test_damage(self, state: GroupState, data: st.DataObject) -> None:
        value = encode(state)
        at = data.draw(st.integers(0, len(value) - 1))
        changed = bytes((value[at] ^ data.draw(st.integers(1, 255)),))
        for damaged in (value[:at], value[:at] + changed + value[at + 1 :], value + b"\0", value[1:]):
            with self.assertRaises(UnreadableState):
                decode(damaged)

    @given(st.binary(max_size=200), st.integers(0, 200))
    def test_what_has_a_checksum_and_is_none_the_less_no_state(self, data: bytes, cut: int) -> None:
        for content in (b"\x01" + data, b"\0" + data, encode(PLAIN)[:-4] + data, encode(PLAIN)[:cut]):
            try:
                found = decode(snapshot._sealed(content))
            except UnreadableState:
                continue
            self.assertEqual(decode(encode(found)), found)

    def test_marks_and_moves_that_do_not_agree(self) -> None:
        marked = {id_of(1): Entry(1, Ticks(0), 0, MARKED)}
        out: dict[MessageId, Move] = {id_of(1): Out(Target("dead", 1))}
        waiting = {id_of(1): Entry(1, Ticks(0), 0, WAITING)}
        for wrong in (attrs.evolve(PLAIN, open=marked), attrs.evolve(PLAIN, open=waiting, moves=out)):
            with self.assertRaises(UnreadableState):
                decode(encode(wrong))
        self.assertTrue(decode(encode(attrs.evolve(PLAIN, open=marked, moves=out))))


class LimitTests(SynchronousTestCase):
    def test_tokens(self) -> None:
        state = PLAIN
        for number in range(MAX_TOKENS + 3):
            state = stamped(state, id_of(number))
        self.assertEqual(state.tokens, tuple(id_of(number) for number in range(3, MAX_TOKENS + 3)))

    def test_moves(self) -> None:
        out: dict[MessageId, Move] = {id_of(n): Out(Target("dead", n % MAX_TARGETS)) for n in range(MAX_MOVES - 1)}
        self.assertTrue(room_for_move(out, Target("dead", 0)))
        self.assertFalse(room_for_move(out, Target("dead", MAX_TARGETS)))
        self.assertFalse(room_for_move({**out, HIGHEST: Out(Target("dead", 0))}, Target("dead", 0)))

    def test_reasons(self) -> None:
        self.assertEqual(fitting("why", {}), "why")
        self.assertEqual(fitting("ü" * MAX_REASON, {}), "ü" * (MAX_REASON // 2))
        self.assertEqual(fitting("a" + "ü" * MAX_REASON, {}), "a" + "ü" * (MAX_REASON // 2 - 1))
        self.assertEqual(fitting("\ud800", {}), "?")
        moves: dict[MessageId, Move] = {}
        for number, size in enumerate((1024, 512, 256, 256, 0)):
            self.assertEqual(fitting("why", moves), "why" if size else "")
            found = fitting("r" * 2000, moves)
            self.assertEqual(len(found), size)
            moves[id_of(number)] = Out(Target("dead", 0), found)
        self.assertEqual(fitting("", moves), "")
