"""W3C Trace Context: the cases of the standard, and of the suite that its authors publish beside it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.telemetry.trace import MAX_STATE, TraceContext, context_of, own_context, with_context

TRACE, SPAN = "12345678901234567890123456789012", "1234567890123456"
PARENT = f"00-{TRACE}-{SPAN}-01"
ROOM = 8192
HEX = st.sampled_from("0123456789abcdef")
TRACES = st.text(HEX, min_size=32, max_size=32).filter(lambda text: text.strip("0"))
SPANS = st.text(HEX, min_size=16, max_size=16).filter(lambda text: text.strip("0"))
CONTEXTS = st.builds(TraceContext, TRACES, SPANS, st.integers(0, 255), st.sampled_from(["", "a=1", "a=1,b@c=2 2"]))
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=3)
HEADERS = st.dictionaries(st.text() | st.sampled_from(["from", "traceparent", "tracestate"]), VALUES)

ALL_OF_A_KEY = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
ALL_OF_A_VALUE = "".join(chr(one) for one in range(0x20, 0x7F) if chr(one) not in ",=")


def compact(value: Any) -> bytes:
    """Headers as they are stored."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def parsed(parent: str, *states: str) -> TraceContext | None:
    return context_of([parent.encode("latin-1")], [state.encode("latin-1") for state in states])


class ParentTests(SynchronousTestCase):
    """``traceparent``."""

    def test_taken(self) -> None:
        """What the standard takes, and what is made of it."""
        for given_, flags in (
            (PARENT, 1),
            (f"00-{TRACE}-{SPAN}-00", 0),
            (f"00-{TRACE}-{SPAN}-ff", 255),
            (f"01-{TRACE}-{SPAN}-01", 1),
            (f"cc-{TRACE}-{SPAN}-01", 1),
            (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", 1),
            (f"fe-{TRACE}-{SPAN}-ff-", 1),
        ):
            self.assertEqual(parsed(given_), TraceContext(TRACE, SPAN, flags), given_)

    def test_ignored(self) -> None:
        """What the standard ignores."""
        for given_ in (
            "",
            "00",
            f"ff-{TRACE}-{SPAN}-01",
            f"00-{'0' * 32}-{SPAN}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"cc-{'0' * 32}-{SPAN}-01",
            f"00-{TRACE}-{SPAN}-01.",
            f"00-{TRACE}-{SPAN}-01-",
            f"00-{TRACE}-{SPAN}-01-what-the-future-will-be-like",
            f"cc-{TRACE}-{SPAN}-01.what-the-future-will-be-like",
            f"cc-{TRACE}-{SPAN}-0",
            f".0-{TRACE}-{SPAN}-01",
            f"0.-{TRACE}-{SPAN}-01",
            f"000-{TRACE}-{SPAN}-01",
            f"0-{TRACE}-{SPAN}-01",
            f"0000-{TRACE}-{SPAN}-01",
            f"00-.{TRACE[1:]}-{SPAN}-01",
            f"00-{TRACE[:-1]}.-{SPAN}-01",
            f"00-{TRACE}0-{SPAN}-01",
            f"00-{TRACE[1:]}-{SPAN}-01",
            f"00-{TRACE}-.{SPAN[1:]}-01",
            f"00-{TRACE}-{SPAN}0-01",
            f"00-{TRACE}-{SPAN[1:]}-01",
            f"00-{TRACE}-{SPAN}-.0",
            f"00-{TRACE}-{SPAN}-0.",
            f"00-{TRACE}-{SPAN}-001",
            f"00-{TRACE}-{SPAN}-1",
            f"00-{TRACE}-{SPAN}",
            f"00-{'A' * 32}-{SPAN}-01",
            f"00-{TRACE}-{'B' * 16}-01",
            f"0A-{TRACE}-{SPAN}-01",
            f"00-{TRACE}-{SPAN}-0F",
            f"00_{TRACE}_{SPAN}_01",
            f" {PARENT}",
            f"{PARENT}\n",
            f"00-{TRACE[:-1]}\xb2-{SPAN}-01",
            f"{PARENT},{PARENT}",
        ):
            self.assertIsNone(parsed(given_), given_)

    def test_several_are_as_good_as_none(self) -> None:
        """Also if they say the same: it is unknown which hop added which."""
        self.assertIsNone(context_of([PARENT.encode()] * 2, ()))
        self.assertIsNone(context_of([], [b"foo=1"]))

    @given(CONTEXTS)
    def test_what_is_written_is_read(self, context: TraceContext) -> None:
        """A context comes back as it was."""
        self.assertEqual(parsed(context.parent, context.state), context)

    @given(st.binary(), st.lists(st.binary(), max_size=3))
    def test_anything_else_is_ignored(self, parent: bytes, states: list[bytes]) -> None:
        """No bytes are refused, and none but a traceparent are taken."""
        self.assertIsNone(context_of([parent], states))


class StateTests(SynchronousTestCase):
    """``tracestate``."""

    def kept(self, *states: str) -> str:
        context = parsed(PARENT, *states)
        assert context is not None
        return context.state

    def test_kept(self) -> None:
        """In its order, several fields as one, without what is empty or blank between members."""
        members = [f"bar{number:02}={number:02}" for number in range(1, 33)]
        for states, kept in (
            (["foo=1,bar=2"], "foo=1,bar=2"),
            (["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"),
            (["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
            ([" foo=1", "\tbar=2\t"], "foo=1,bar=2"),
            (["", "foo=1", "", " ,\t,"], "foo=1"),
            ([""], ""),
            ([f"{ALL_OF_A_KEY}={ALL_OF_A_VALUE}"], f"{ALL_OF_A_KEY}={ALL_OF_A_VALUE}"),
            (["a@z0-9_-*/=1"], "a@z0-9_-*/=1"),
            (["1a@b= 2 3"], "1a@b= 2 3"),
            (["foo=1", f"{'z' * 256}=1"], f"foo=1,{'z' * 256}=1"),
            ([f"{'t' * 241}@{'v' * 14}=1"], f"{'t' * 241}@{'v' * 14}=1"),
            ([f"foo={'v' * 256}"], f"foo={'v' * 256}"),
            ([",".join(members[:16]), ",".join(members[16:])], ",".join(members)),
        ):
            self.assertEqual(self.kept(*states), kept, states)

    def test_thrown_away(self) -> None:
        """What is wrong in any part of it, all of it; the parent stays."""
        many = [f"bar{number:02}={number:02}" for number in range(33)]
        for states in (
            ["foo=1,foo=1"],
            ["foo=1", "foo=2"],
            ["foo =1"],
            ["FOO=1"],
            ["foo.bar=1"],
            ["foo@=1,bar=2"],
            ["@foo=1,bar=2"],
            ["foo@@bar=1,bar=2"],
            ["foo@bar@baz=1,bar=2"],
            ["1foo=1"],
            ["foo=1", f"{'z' * 257}=1"],
            [f"{'t' * 242}@v=1"],
            [f"t@{'v' * 15}=1"],
            [f"foo={'v' * 257}"],
            ["foo=bar=baz"],
            ["foo=,bar=3"],
            ["foo"],
            ["foo=\u00e9"],
            ["foo=1;bar=2=3"],
            [",".join(many)],
        ):
            self.assertEqual(self.kept(*states), "", states)

    def test_where_there_is_no_room(self) -> None:
        """Long members go first, from the end, and then others from the end."""
        short = [f"k{number:02}={'v' * 90}" for number in range(10)]
        long = [f"l{number}={'w' * 150}" for number in range(3)]
        self.assertEqual(self.kept(",".join([*long, *short])), ",".join(short))
        self.assertEqual(self.kept(",".join([long[0], *short[:8], long[1]])), ",".join([long[0], *short[:8]]))
        many = [f"k{number:02}={'v' * 100}" for number in range(32)]
        self.assertEqual(self.kept(",".join(many)), ",".join(many[:9]))

    @given(st.lists(st.text(st.characters(max_codepoint=255))))
    def test_what_is_kept_is_a_state(self, states: list[str]) -> None:
        """Whatever comes, what is kept has the length and the form that it may have, and is kept as it is again."""
        kept = self.kept(*states)
        self.assertLessEqual(len(kept), MAX_STATE)
        self.assertEqual(self.kept(kept), kept)


class HeaderTests(SynchronousTestCase):
    """A context among a message's own headers."""

    context = TraceContext(TRACE, SPAN, 1, "foo=1")

    def test_added(self) -> None:
        """Beside what there is."""
        told = {"traceparent": PARENT, "tracestate": "foo=1"}
        self.assertEqual(with_context(None, self.context, ROOM), compact(told))
        self.assertEqual(with_context(b"{}", self.context, ROOM), compact(told))
        self.assertEqual(with_context(b'{"from":"\xc3\xa9"}', self.context, ROOM), compact({"from": "é", **told}))
        self.assertEqual(
            with_context(b'{"a":"traceparent"}', TraceContext(TRACE, SPAN, 0), ROOM),
            compact({"a": "traceparent", "traceparent": f"00-{TRACE}-{SPAN}-00"}),
        )

    def test_a_sender_is_not_contradicted(self) -> None:
        """Who says something of a trace in the message keeps that, whatever it is."""
        for headers in ({"traceparent": "mine"}, {"traceparent": None}, {"tracestate": "a=1"}):
            self.assertEqual(with_context(compact(headers), self.context, ROOM), compact(headers))

    def test_no_more_than_there_is_room_for(self) -> None:
        """Without the state, or without all of it."""
        whole = len(compact({"from": "x", "traceparent": PARENT, "tracestate": "foo=1"}))
        parent = len(compact({"from": "x", "traceparent": PARENT}))
        for room, names in (
            (whole, ["from", "traceparent", "tracestate"]),
            (whole - 1, ["from", "traceparent"]),
            (parent, ["from", "traceparent"]),
            (parent - 1, ["from"]),
        ):
            self.assertEqual(list(json.loads(with_context(b'{"from":"x"}', self.context, room) or b"")), names, room)

    def test_read_back(self) -> None:
        """Only what is a context."""
        self.assertEqual(own_context(compact({"traceparent": PARENT, "tracestate": "foo=1"})), self.context)
        self.assertEqual(own_context(compact({"traceparent": PARENT, "tracestate": 5})), TraceContext(TRACE, SPAN, 1))
        for headers in (None, b"{}", b'{"a":"traceparent"}', b'["traceparent"]', b'"traceparent"', b"traceparent"):
            self.assertIsNone(own_context(headers))
        for wrong in (None, 5, [PARENT], "", f"{PARENT}-", "\ud800"):
            self.assertIsNone(own_context(json.dumps({"traceparent": wrong}).encode()), wrong)

    @given(HEADERS, CONTEXTS)
    def test_all_else_stays(self, headers: dict[str, Any], context: TraceContext) -> None:
        """The headers are an object as before, with the context unless they said something themselves."""
        stored = json.dumps(headers, separators=(",", ":")).encode()
        after = json.loads(with_context(stored, context, 1 << 20) or b"")
        if {"traceparent", "tracestate"} & set(headers):
            self.assertEqual(after, headers)
        else:
            told = {"traceparent": context.parent} | ({"tracestate": context.state} if context.state else {})
            self.assertEqual(after, {**headers, **told})
            self.assertEqual(own_context(with_context(stored, context, 1 << 20)), context)
