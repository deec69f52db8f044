"""Messages: what they weigh, tags that tell two writes apart, and conditions on what is there."""

from __future__ import annotations

from itertools import combinations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.messages.message import ANYWAY, Condition, Content, Message, tag_of
from queuey.model.timeid import Ticks, make

quick = settings(deadline=None, database=None)

ID = make(Ticks(1), 0, 1)
CONTENTS = st.builds(Content, st.binary(max_size=3), st.text("ab", max_size=3), st.binary(max_size=3))
MESSAGES = st.builds(
    Message,
    st.just(1),
    st.integers(1, 3).map(lambda number: make(Ticks(number), 0, 1)),
    CONTENTS,
    st.integers(0, 30).map(Ticks),
)


class SizeTests(SynchronousTestCase):
    def test_all_that_comes_with_it(self) -> None:
        self.assertEqual(Content(b"123", "45", b"6789").size, 9)
        self.assertEqual(Content(b"").size, 0)


class TagTests(SynchronousTestCase):
    """An entity tag is another one after each write that changes anything."""

    @quick
    @given(MESSAGES, MESSAGES)
    def test_no_two_are_alike(self, one: Message, other: Message) -> None:
        self.assertEqual(tag_of(one) == tag_of(other), one == other)

    def test_it_can_stand_in_a_head(self) -> None:
        message = Message(1, ID, Content(b"\xff", 'text/x; a="é"', b"{}"), Ticks(5))
        self.assertRegex(tag_of(message), r"\A[0-9a-f]{32}\Z")

    def test_where_one_part_ends(self) -> None:
        """What is moved from one part to the next makes another tag."""
        parts = (Content(b"c", "a", b"b"), Content(b"bc", "a", b""), Content(b"c", "ab", b""), Content(b"abc", "", b""))
        tags = {tag_of(Message(1, ID, content, Ticks(5))) for content in parts}
        self.assertEqual(len(tags), len(parts))

    def test_the_same_in_every_process(self) -> None:
        """A client keeps a tag over an upgrade of the server."""
        message = Message(1, ID, Content(b"x", "text/plain", b"{}"), Ticks(5))
        self.assertEqual(tag_of(message), "e4e2e8fa736c17f33130d6ea1ac613dc")


class ConditionTests(SynchronousTestCase):
    """Whether a condition holds of a message, of another one, and of none."""

    def setUp(self) -> None:
        self.message = Message(1, ID, Content(b"x"), Ticks(5))
        self.tag = tag_of(self.message)
        self.changed = attrs.evolve(self.message, expires=Ticks(6))

    def check(self, condition: Condition, message: bool, changed: bool, none: bool) -> None:
        found = [condition.holds(each) for each in (self.message, self.changed, None)]
        self.assertEqual(found, [message, changed, none], condition)

    def test_each(self) -> None:
        these = frozenset({self.tag, "x"})
        self.check(ANYWAY, True, True, True)
        self.check(Condition(absent=True), False, False, True)
        self.check(Condition(present=True), True, True, False)
        self.check(Condition(tags=these), True, False, False)
        self.check(Condition(tags=frozenset()), False, False, False)
        self.check(Condition(others=these), False, True, True)
        self.check(Condition(others=frozenset({"x"})), True, True, True)

    def test_several(self) -> None:
        """All of them have to hold."""
        these = frozenset({self.tag})
        each = [
            Condition(absent=True),
            Condition(present=True),
            Condition(tags=these),
            Condition(tags=frozenset({tag_of(self.changed)})),
            Condition(others=these),
        ]
        for one, other in combinations(each, 2):
            if one.tags is not None and other.tags is not None:
                continue
            both = Condition(
                one.absent or other.absent,
                one.present or other.present,
                one.tags if other.tags is None else other.tags,
                one.others | other.others,
            )
            found = (one.holds(at) and other.holds(at) for at in (self.message, self.changed, None))
            self.check(both, *found)
