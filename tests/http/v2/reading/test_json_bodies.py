"""Bodies that are JSON, shown as JSON: what becomes of them, and what stays text."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.http.inputs.json_size import MAX_VALUES
from queuey.http.v2.representations.json_bodies import MAX_DEPTH, MAX_DIGITS, MAX_SIZE, is_json_type, json_text
from queuey.model.messages.message import Content
from tests.http.api_support import BATCH, LINES, OWNER, MessagesTestCase
from tests.http.group_support import GroupTestCase

JSON = "application/json"

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
PIECES = st.sampled_from(
    [b"{", b"}", b"[", b"]", b'"', b"\\", b"\\u", b"d83d", b"\\ud83d\\ude00", b"dc00", b",", b":", b"1", b"-", b".5",
     b"e9", b"true", b"null", b" ", b"\n", b"\xc3\xa9", b"\xff", b"\x7f", b"\x00", b"a", b'"a"']
)  # fmt: skip


def shown(body: bytes, content_type: str = JSON) -> str | None:
    """What a body is shown as."""
    return json_text(Content(body, content_type))


class TextTests(SynchronousTestCase):
    """The text of one body."""

    @given(VALUES, st.booleans(), st.sampled_from([None, 1, "\t"]))
    def test_every_value(self, value: Any, ascii: bool, indent: Any) -> None:
        """It says what the body says, in one line of ASCII."""
        try:
            body = json.dumps(value, ensure_ascii=ascii, indent=indent).encode()
        except UnicodeEncodeError:
            return
        text = shown(b"\r\n " + body + b"\n")
        assert text is not None
        self.assertEqual(json.loads(text), value)
        # JSON leaves the delete character as it is.
        self.assertTrue(text.isascii() and text.replace("\x7f", "").isprintable(), text)

    @given(st.lists(PIECES, max_size=9).map(b"".join))
    def test_every_body(self, body: bytes) -> None:
        """It is what a strict parser takes, or text."""
        text = shown(body)
        if text is None:
            return
        self.assertEqual(json.loads(text), json.loads(body))
        text.encode("ascii")
        json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8")

    def test_as_it_was_written(self) -> None:
        """Numbers keep their digits, members their order, and names that come twice do so."""
        for text in (
            "0.10",
            "1e999",
            "123456789012345678901234567890.000",
            '{"b":1,"a":2,"b":3}',
            '"\\u00e9\\/\\ud83d\\ude00"',
            '"\\\\u00e9 \\" \\\\"',
            "[1,  2]",
        ):
            self.assertEqual(shown(text.encode()), text)
        self.assertEqual(shown('{"é":"\\\\\\"😀"}'.encode()), '{"\\u00e9":"\\\\\\"\\ud83d\\ude00"}')
        self.assertEqual(shown(b'[1,\r\n\t"a\x7f"]\n'), '[1,   "a\x7f"]')

    def test_not_json(self) -> None:
        """Whatever is not JSON stays text."""
        for body in (
            b"", b" ",
            b"NaN", b"[Infinity]", b"{'a':1}", b"[1,]", b"01", b"1 2", b'"a\nb"', b'"\xff"', b'"\xed\xa0\x80"',
            b'"\\ud800"', b'"\\udc00"', b'"\\ud800x"', b"\xef\xbb\xbf1", b'{"a"', b"tru", b"\x1e",
        ):  # fmt: skip
            self.assertIsNone(shown(body), body)

    def test_depth(self) -> None:
        """What is nested deeper than parsers take stays text; brackets in texts do not count."""
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            deep = opening * MAX_DEPTH + b"1" + closing * MAX_DEPTH
            self.assertIsNotNone(shown(deep))
            self.assertIsNone(shown(opening + deep + closing))
        self.assertIsNone(shown(b"[" * 400_000 + b"]" * 400_000))
        self.assertIsNotNone(shown(b'["' + b"[" * 1000 + b'\\"\\\\"]'))
        self.assertIsNotNone(shown(b"[" + b",".join([b"[[]]"] * 1000) + b"]"))

    def test_numbers(self) -> None:
        """A number with more digits than parsers take stays text; digits in texts do not count."""
        self.assertIsNotNone(shown(b"[%b]" % (b"7" * MAX_DIGITS)))
        for long in (b"[%b]", b"[1.%b]", b'{"a":-%be1}'):
            self.assertIsNone(shown(long % (b"7" * (MAX_DIGITS + 1))))
        self.assertIsNotNone(shown(b'["%b"]' % (b"7" * 5000)))

    def test_many_values(self) -> None:
        """More values than a request may have stay text."""
        self.assertIsNotNone(shown(b"[%b]" % b",".join([b"1"] * (MAX_VALUES - 1))))
        self.assertIsNone(shown(b"[%b]" % b",".join([b"1"] * (MAX_VALUES + 1))))

    def test_size(self) -> None:
        """A body that is larger than others stays text."""
        self.assertIsNotNone(shown(b'"%b"' % (b"x" * (MAX_SIZE - 2))))
        self.assertIsNone(shown(b'"%b"' % (b"x" * (MAX_SIZE - 1))))

    def test_types(self) -> None:
        """The type of the message decides."""
        types: tuple[str | None, ...] = (None, "text/plain", "application/jsonl", "application/json-seq", "text/json+x")
        for name in types:
            self.assertFalse(is_json_type(name), name)
        for name in (JSON, "APPLICATION/JSON", "application/json; charset=utf-8", "application/ld+json ;a=b"):
            self.assertTrue(is_json_type(name), name)
        self.assertIsNone(shown(b"1", "text/plain"))
        self.assertIsNone(json_text(Content(b"1")))


class ReadingTests(MessagesTestCase):
    """Pages with ``json=true``."""

    def setUp(self) -> None:
        super().setUp()
        self.expect(201, self.append(b'{"pears": 3}', content_type=JSON))
        self.expect(201, self.append(b"{pears", content_type=JSON))
        self.expect(201, self.append(b"3", content_type="text/plain"))
        self.expect(201, self.append(b"\xff", content_type=JSON))

    def bodies_of(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        names = ("json", "body", "body_base64")
        return [{name: message[name] for name in names if name in message} for message in messages]

    EXPECTED: ClassVar[list[dict[str, Any]]] = [
        {"json": {"pears": 3}},
        {"body": "{pears"},
        {"body": "3"},
        {"body_base64": "/w=="},
    ]

    def test_page(self) -> None:
        """Each has one of three members."""
        response = self.send("GET", self.path("?json=true"))
        page = self.expect(200, response)
        self.assertEqual(self.bodies_of(page["messages"]), self.EXPECTED)
        plain = self.page("json=false")
        self.assertEqual(plain, self.page())
        self.assertEqual(plain["messages"][0]["body"], '{"pears": 3}')
        self.assertEqual(plain["next"], page["next"])

    def test_lines(self) -> None:
        """Lines have them as well."""
        response = self.raw("GET", self.path("?json=true"), {**OWNER, "Accept": LINES})
        *messages, last = [json.loads(line) for line in response.body.splitlines()]
        self.assertEqual(self.bodies_of(messages), self.EXPECTED)
        self.assertIn("next", last)

    def test_line_breaks(self) -> None:
        """A body of several lines is one line."""
        self.append(b'{\n"a":\r\n[1]}\n', content_type=JSON)
        response = self.raw("GET", self.path("?json=true"), {**OWNER, "Accept": LINES})
        self.assertEqual(len(response.body.splitlines()), 6)

    def test_links(self) -> None:
        """The next page is of the same form."""
        response = self.send("GET", self.path("?json=true&limit=1"))
        self.assertIn("json=true", response.header("link") or "")

    def test_tags(self) -> None:
        """A page has another tag than the same page of texts."""
        tags = {self.send("GET", self.path(f"?limit=1{more}")).header("etag") for more in ("", "&json=true")}
        self.assertEqual(len(tags), 2)

    def test_large(self) -> None:
        """Pages in pieces too."""
        for _ in range(3):
            self.append(b'["%b"]' % (b"x" * 200_000), content_type=JSON)
        page = self.expect(200, self.send("GET", self.path("?json=true")))
        self.assertEqual([len(one["json"][0]) for one in page["messages"][4:]], [200_000] * 3)

    def test_columns(self) -> None:
        """Messages that are alike are shown in this way too."""
        body = json.dumps({"messages": [{"body": f"[{n}]", "content_type": JSON} for n in range(50)]}).encode()
        self.expect(201, self.send("POST", self.path(), body, OWNER, BATCH))
        page = self.expect(200, self.send("GET", self.path("?json=true&limit=1000")))
        self.assertEqual([one["json"] for one in page["messages"][4:]], [[n] for n in range(50)])

    def test_wrong(self) -> None:
        """It is true or false."""
        errors = self.errors("invalid-parameters", self.send("GET", self.path("?json=1")))
        self.assertEqual(errors, {"json": '"1" is neither true nor false'})


class ClaimTests(GroupTestCase):
    """Claims with ``json``."""

    def test_claim(self) -> None:
        """The member json of a claim does the same."""
        for json_wanted in (True, False, None):
            self.append(b'{"pears": 3}', content_type=JSON)
            answer = self.expect(200, self.ask_claim({"json": json_wanted}))
            (message,) = answer["messages"]
            self.assertEqual("json" in message, json_wanted is True)
            self.assertEqual(message.get("json") or json.loads(message["body"]), {"pears": 3})

    def test_large(self) -> None:
        """An answer in pieces too."""
        for _ in range(3):
            self.append(b'["%b"]' % (b"x" * 200_000), content_type=JSON)
        answer = self.expect(200, self.ask_claim({"json": True}))
        self.assertEqual([len(one["json"][0]) for one in answer["messages"]], [200_000] * 3)

    def test_wrong(self) -> None:
        """It is true or false."""
        errors = self.errors("invalid-body", self.ask_claim({"json": "true"}))
        self.assertEqual(errors, {"/json": "is neither true nor false"})
