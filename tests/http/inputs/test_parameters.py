"""Parameters, one by one and together."""

from __future__ import annotations

from enum import Enum

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import InvalidRequest
from queuey.http.inputs.mistakes import Mistakes
from queuey.http.inputs.parameters import Parameters, whole_number
from queuey.model.fields import Whole


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class WholeNumberTests(SynchronousTestCase):
    """What counts as a whole number."""

    @given(st.integers(min_value=-(10**39), max_value=10**39))
    def test_every_number(self, number: int) -> None:
        """Digits are read as they are, leading zeros and a plus sign aside."""
        self.assertEqual(whole_number(str(number)), number)
        self.assertEqual(whole_number(f" {'-' if number < 0 else '+'}000{abs(number)} "), number)

    def test_others(self) -> None:
        """Fractions, exponents, words and digits of other scripts are none."""
        for text in ("", " ", "x", "1.0", "1e3", "0x1", "1_000", "--1", "+-1", "1 2", "\u0661", "NaN", "inf"):
            self.assertIsNone(whole_number(text), text)

    def test_thousands_of_digits(self) -> None:
        """They are read without being looked at one by one, and are beyond every bound."""
        self.assertEqual(whole_number("9" * 100_000), 10**40)
        self.assertEqual(whole_number("-" + "9" * 100_000), -(10**40))
        self.assertEqual(whole_number("0" * 100_000 + "7"), 7)
        self.assertEqual((whole_number("0" * 100_000), whole_number("-0")), (0, 0))
        for text in ("0" * 60_000 + "x", "0" * 30_000 + "1" * 30_000 + "x", "+" + "0" * 60_000 + "."):
            self.assertIsNone(whole_number(text))


class ParametersTests(SynchronousTestCase):
    """What is refused, and in which words."""

    def problems(self, parameters: Parameters) -> dict[str, str]:
        refusal: InvalidRequest = self.assertRaises(InvalidRequest, parameters.check)
        return refusal.problems

    def test_good(self) -> None:
        """Values within bounds; empty and absent ones are the default."""
        given = Parameters({"n": "3", "c": "red", "b": "YES", "off": "0", "e": "", "t": "text"})
        self.assertEqual(given.number(Whole("n", 1, 3)), 3)
        self.assertIs(given.choice("c", Colour), Colour.RED)
        self.assertIs(given.boolean("b"), True)
        self.assertIs(given.boolean("off"), False)
        self.assertEqual(given.text("t"), "text")
        for absent in ("e", "nothing"):
            self.assertIsNone(given.number(Whole(absent, 1, 3)))
            self.assertIsNone(given.choice(absent, Colour))
            self.assertIs(given.boolean(absent), False)
            self.assertIsNone(given.text(absent))
        given.check()

    def test_all_at_once(self) -> None:
        """Every problem is named, each in the words that clients know."""
        given = Parameters({"a": "fred", "b": "4", "c": "0", "d": "blue", "e": "perhaps"})
        given.number(Whole("a", 1, 1))
        given.number(Whole("b", 1, 1))
        given.number(Whole("c", 1, 9))
        given.choice("d", Colour)
        given.boolean("e")
        self.assertEqual(
            self.problems(given),
            {
                "a": '"fred" is not a number',
                "b": "4 is greater than maximum value 1",
                "c": "0 is less than minimum value 1",
                "d": '"blue" is not one of red, green',
                "e": '"perhaps" is not a boolean',
            },
        )

    def test_booleans(self) -> None:
        """The eight words, in any case."""
        for word, meant in (("true", True), ("1", True), ("Yes", True), ("ON", True),
                            ("FALSE", False), ("0", False), ("no", False), ("Off", False)):  # fmt: skip
            given = Parameters({"b": word})
            self.assertIs(given.boolean("b"), meant)
            given.check()

    def test_prefix(self) -> None:
        """Mistakes of several messages are noted together under their own names."""
        mistakes = Mistakes()
        for index in range(2):
            Parameters({"ttl": "x"}, mistakes, f"{index}.").number(Whole("ttl", 1, 2))
        self.assertEqual([name for name, _ in mistakes.named], ["0.ttl", "1.ttl"])

    def test_many(self) -> None:
        """The first hundred are named, and it is said how many there are."""
        mistakes = Mistakes()
        for index in range(2500):
            Parameters({"ttl": "x"}, mistakes, f"{index}.").number(Whole("ttl", 1, 2))
        problems = self.problems(Parameters({}, mistakes))
        named = dict.fromkeys((f"{index}.ttl" for index in range(100)), '"x" is not a number')
        more = "There are 2500 mistakes, of which the first 100 are named."
        self.assertEqual(problems, {**named, "InvalidParameter": more})
