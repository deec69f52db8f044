"""Queries, header fields and JSON bodies of v2, read strictly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.http.answers.problems import Problem
from queuey.http.heads.head import RequestLine
from queuey.http.v2.inputs.header_fields import field, media_type
from queuey.http.v2.inputs.parameters import Members, Query
from queuey.http.v2.inputs.strict_json import strict_json
from queuey.http.v2.inputs.tags import Tags, tags
from queuey.model.fields import Real, Whole
from queuey.model.timeid import EPOCH, SECOND

NUMBER, MANY = Whole("number", 1, 5), Whole("many", 1, 5)
SPAN = Real("span", 0, 20, unit="seconds")
NAMES = ("text", "number", "span", "time", "word", "flag", "many")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)


class Word(Enum):
    """Two words."""

    ONE = "one"
    TWO = "two"


class Asked:
    """As much of a request as is read here."""

    def __init__(self, query: bytes = b"", **fields: str | list[str]) -> None:
        self.line = RequestLine(b"GET", b"/", b"/", query, None, True)
        self.fields = {
            name.replace("_", "-").encode(): [value.encode("latin-1") for value in ([v] if isinstance(v, str) else v)]
            for name, v in fields.items()
        }


def query(text: str | bytes) -> Query:
    """A query with every kind of parameter."""
    asked: Any = Asked(text.encode() if isinstance(text, str) else text)
    return Query(asked, NAMES, ("many",))


class QueryTests(SynchronousTestCase):
    """The parameters of a URI."""

    def wrong(self, asked: Query) -> Mapping[str, str]:
        """What is wrong, by parameter."""
        problem = self.assertRaises(Problem, asked.check)
        self.assertEqual((problem.code, problem.applied), ("invalid-parameters", "no"))
        for error in problem.errors:
            self.assertIn(f"{error['parameter']}: {error['detail']}", problem.detail)
        return {error["parameter"]: error["detail"] for error in problem.errors}

    def test_nothing(self) -> None:
        """Everything may be left out."""
        asked = query("")
        self.assertEqual([asked.text("text"), asked.number(NUMBER), asked.many(MANY)], [None, None, ()])
        self.assertEqual([asked.seconds(SPAN), asked.log_place("time")], [None, None])
        self.assertEqual([asked.choice("word", Word), asked.boolean("flag")], [None, False])
        asked.check()

    def test_everything(self) -> None:
        """Each kind of value."""
        asked = query("text=a+b%2Bc&number=5&span=1.5&time=1&word=two&flag=true&many=3&many=1&many=3")
        self.assertEqual([asked.text("text"), asked.number(NUMBER)], ["a b+c", 5])
        self.assertEqual(
            [asked.many(MANY), asked.seconds(SPAN)],
            [(1, 3), SECOND * 3 // 2],
        )
        self.assertEqual([asked.log_place("time"), asked.choice("word", Word)], [EPOCH + SECOND, Word.TWO])
        self.assertTrue(asked.boolean("flag"))
        self.assertFalse(query("flag=false").boolean("flag"))
        asked.check()

    @given(st.dictionaries(st.sampled_from(NAMES), TEXTS.filter(bool)))
    def test_any_text(self, values: Mapping[str, str]) -> None:
        """Every text comes through as it was, whichever way it was encoded."""
        for text in (urlencode(values), urlencode(values, quote_via=quote)):
            asked = query(text)
            asked.check()
            self.assertEqual({name: asked.text(name) for name in values}, values)

    @given(st.binary(max_size=40))
    def test_any_bytes(self, data: bytes) -> None:
        """Nothing else than a problem comes of whatever was sent."""
        asked = query(data.replace(b" ", b"").replace(b"#", b""))
        for name in NAMES:
            asked.number(Whole(name, 1, 5))
            asked.seconds(Real(name, 0, 5, unit="seconds"))
            asked.log_place(name)
            asked.many(Whole(name, 1, 5))
        try:
            asked.check()
        except Problem as problem:
            json.dumps(problem.errors)

    def test_wrong_everywhere(self) -> None:
        """All of it is said at once."""
        asked = query("text=&number=6&span=x&time=y&word=z&flag=1&many=0&other=1")
        asked.number(NUMBER)
        asked.seconds(SPAN)
        asked.log_place("time")
        asked.choice("word", Word)
        asked.boolean("flag")
        asked.many(MANY)
        self.assertEqual(
            self.wrong(asked),
            {
                "text": "is empty; leave it out, or give it a value",
                "number": '"6" is not a whole number from 1 to 5',
                "span": '"x" is not a number of seconds from 0 to 20',
                "time": '"y" is neither a time (RFC 3339, or seconds since 1970) nor one of oldest, newest, now',
                "word": '"z" is not one of one, two',
                "flag": '"1" is neither true nor false',
                "many": '"0" is not a whole number from 1 to 5',
                "other": "is not known; known here: text, number, span, time, word, flag, many",
            },
        )

    def test_a_range_of_one(self) -> None:
        """A queue with one partition takes one number, and the refusal names it."""
        asked = query("number=2&many=-1")
        asked.number(Whole("number", 1, 1))
        asked.many(Whole("many", 1, 1))
        self.assertEqual(self.wrong(asked), {"number": 'must be 1, not "2"', "many": 'must be 1, not "-1"'})

    def test_names_that_are_wrong(self) -> None:
        """Twice, without a value, in another case, in broken encoding, very long."""
        for text, name in (
            ("text=a&text=b", "text"),
            ("text=a&%74ext=b", "text"),
            ("text", "text"),
            ("Text=a", "Text"),
            ("many=1&many=", "many"),
            ("=a", ""),
            ("&text=a", ""),
            ("text=a&", ""),
            ("%ff=a", "%ff"),
            ("text%=a", "text%"),
            ("x" * 200 + "=a", "x" * 100 + "..."),
        ):
            self.assertEqual(list(self.wrong(query(text))), [name], text)

    def test_numbers(self) -> None:
        """Digits, and nothing around them."""
        for raw in ("+1", "-1", "1.0", "1e0", "%201", "0x1", "1_0", "%D9%A1", "9" * 50, "6", "0"):
            asked = query(f"number={raw}")
            self.assertIsNone(asked.number(NUMBER), raw)
            self.assertEqual(list(self.wrong(asked)), ["number"], raw)
        self.assertEqual(query("number=005").number(NUMBER), 5)

    def test_spans(self) -> None:
        """Decimal seconds, the bounds included, cut to a tick."""
        for raw, ticks in (
            ("0", 0),
            ("20", 20 * SECOND),
            ("0.5", SECOND // 2),
            ("0.00000019", 1),
            ("20.00000001", 20 * SECOND),
            ("1e-05", SECOND // 100_000),
            ("1.5E%2B1", 15 * SECOND),
            ("2e-99", 0),
        ):
            self.assertEqual(query(f"span={raw}").seconds(SPAN), ticks, raw)
        for raw in ("20.1", "-1", "1.", ".5", "1e2", "1e", "1e999", "e1", "inf", "9" * 5000, "1.2.3", "%D9%A1"):
            asked = query(f"span={raw}")
            self.assertIsNone(asked.seconds(SPAN), raw)
            self.assertEqual(list(self.wrong(asked)), ["span"], raw)


class FieldTests(SynchronousTestCase):
    """Header fields."""

    def test_single(self) -> None:
        """One value; an empty one counts as absent."""
        asked: Any = Asked(x="  a ", empty=" ", two=["a", "b"], latin="\xff")
        self.assertEqual([field(asked, name) for name in (b"x", b"empty", b"absent")], ["a", None, None])
        for name, text in ((b"two", "came more than once"), (b"latin", "is not UTF-8 text")):
            problem = self.assertRaises(Problem, field, asked, name)
            self.assertEqual(problem.errors, ({"parameter": name.decode().title(), "detail": text},))

    def test_media_types(self) -> None:
        """The type in lower case, and as it was sent; what is none is refused."""
        for raw, kind in (
            ("text/Plain", "text/plain"),
            ("a/b;c=d", "a/b"),
            ('a/b ; c="d;e\\"" ; f=g', "a/b"),
            ("a/b;", "a/b"),
            ("application/vnd.x+json; charset=utf-8", "application/vnd.x+json"),
        ):
            asked: Any = Asked(content_type=raw)
            self.assertEqual(media_type(asked), (kind, raw))
        for raw in ("a", "a/", "/b", "a/b/c", "a b/c", "a/b; c", "a/b; c=", 'a/b; c="d', "a/b,c/d", "\xe9/b", "*"):
            asked = Asked(content_type=raw)
            self.assertRaises(Problem, media_type, asked)
        self.assertIsNone(media_type(Asked()))  # type: ignore[arg-type]

    def test_tags(self) -> None:
        """Entity tags, strong and weak, over several fields."""
        for raw, expected in (
            ("*", Tags(any=True)),
            ('"a"', Tags(False, frozenset("a"))),
            ('"a", W/"b","c"', Tags(False, frozenset("ac"), frozenset("b"))),
            ('""', Tags(False, frozenset([""]))),
            ('"a,b"', Tags(False, frozenset(["a,b"]))),
        ):
            asked: Any = Asked(if_match=raw)
            self.assertEqual(tags(asked, b"if-match"), expected, raw)
        asked = Asked(if_match=['"a"', '"b"'])
        self.assertEqual(tags(asked, b"if-match"), Tags(False, frozenset("ab")))
        self.assertIsNone(tags(asked, b"if-none-match"))


class JSONTests(SynchronousTestCase):
    """Bodies."""

    @given(VALUES)
    def test_any_value(self, value: Any) -> None:
        """It comes through as it was, with and without escapes."""
        for ascii_only in (True, False):
            self.assertEqual(strict_json(json.dumps(value, ensure_ascii=ascii_only).encode()), value)

    @given(st.binary(max_size=30) | st.text(alphabet='{}[]",:\\ud8019eE+-.truefalsn ', max_size=30).map(str.encode))
    def test_any_bytes(self, data: bytes) -> None:
        """Nothing else than a problem comes of it, and what is taken can be written again."""
        try:
            value = strict_json(data)
        except Problem as problem:
            self.assertEqual(problem.code, "invalid-body")
        else:
            json.dumps(value, ensure_ascii=False).encode()

    def test_pairs(self) -> None:
        """Both halves of a pair are a character; one of them alone is none."""
        self.assertEqual(strict_json(b'"\\ud83d\\ude00"'), "\N{GRINNING FACE}")
        for text in (b'"\\ud83d"', b'"\\ude00\\ud83d"', b'{"\\ud83d": 1}', b'[["\\udfff"]]'):
            self.assertRaises(Problem, strict_json, text)

    def test_members(self) -> None:
        """Numbers have one kind; true is none of them."""
        members = Members({"a": 5.0, "b": True, "c": None, "d": "x", "e": 1.5, "f": "one"})
        self.assertEqual([members.number(Whole(name, 1, 5)) for name in "acz"], [5, None, None])
        self.assertEqual((members.text("d"), members.choice("f", Word), "c" in members), ("x", Word.ONE, True))
        members.check()
        for name in "bde":
            self.assertIsNone(members.number(Whole(name, 1, 5)))
        members.choice("d", Word)
        members.text("a")
        problem = self.assertRaises(Problem, members.check)
        self.assertEqual([error["pointer"] for error in problem.errors], ["/b", "/d", "/e", "/d", "/a"])
