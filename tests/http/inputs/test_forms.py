"""Forms and queries."""

from __future__ import annotations

from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import InvalidRequest
from queuey.http.inputs.forms import MAX_ESCAPES, parse_form, parse_query

URLENCODED = "application/x-www-form-urlencoded"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def multipart(*fields: tuple[str, str]) -> bytes:
    """A multipart body with the boundary ``b``."""
    parts = "".join(f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields)
    return f"{parts}--b--\r\n".encode()


class FormTests(SynchronousTestCase):
    """Bodies as forms."""

    def refused(self, body: bytes, content_type: str | None) -> str:
        refusal: InvalidRequest = self.assertRaises(InvalidRequest, parse_form, body, content_type)
        return refusal.problems["InvalidParameter"]

    @given(st.dictionaries(TEXT, TEXT, max_size=5))
    def test_urlencoded(self, fields: dict[str, str]) -> None:
        """What was encoded is decoded, in queries too."""
        encoded = urlencode(fields).encode()
        self.assertEqual(parse_form(encoded, URLENCODED + "; charset=utf-8"), fields)
        self.assertEqual(parse_form(encoded, None), fields)
        self.assertEqual(parse_query(encoded), fields)

    def test_last_wins(self) -> None:
        """Of a repeated field, in either kind of form."""
        self.assertEqual(parse_form(b"a=1&a=2&b=", URLENCODED), {"a": "2", "b": ""})
        self.assertEqual(
            parse_form(multipart(("a", "1"), ("a", "\u20ac"), ("b", "")), "Multipart/Form-Data; boundary=b"),
            {"a": "\u20ac", "b": ""},
        )

    def test_empty(self) -> None:
        """A body of no bytes is a form of no fields, whatever its type says."""
        for content_type in (None, URLENCODED, "application/json", "multipart/form-data"):
            self.assertEqual(parse_form(b"", content_type), {})

    def test_bad(self) -> None:
        """Whatever is no form is refused, and named."""
        self.assertIn("latin-1", self.refused(b"a=1", URLENCODED + "; charset=latin-1"))
        self.assertIn("application/json", self.refused(b"{}", "application/json"))
        self.assertIn("UTF-8", self.refused(b"a=%ff", URLENCODED))
        self.assertIn("UTF-8", self.refused(b"a=\xff", URLENCODED))
        self.assertIn("1000", self.refused(b"&".join(b"a=1" for _ in range(1001)), URLENCODED))
        self.assertIn("boundary", self.refused(multipart(("a", "1")), "multipart/form-data"))
        for body in (b"garbage", multipart(("a", "1"))[:-8], multipart(("a", "1")).replace(b"form-data", b"x")):
            self.assertIn("multipart", self.refused(body, "multipart/form-data; boundary=b"))
        self.assertIn(
            "multipart", self.refused(multipart(("a", "x")).replace(b"x", b"\xff"), "multipart/form-data; boundary=b")
        )

    def test_many_escapes(self) -> None:
        """Each takes its time to decode, so there is a bound; and what is shown of a type is cut."""
        self.assertEqual(parse_form(b"a=" + b"%41" * MAX_ESCAPES, None), {"a": "A" * MAX_ESCAPES})
        self.assertIn(str(MAX_ESCAPES), self.refused(b"a=" + b"%41" * (MAX_ESCAPES + 1), None))
        for kind in ("a/" + "b" * 60_000, f"{URLENCODED}; charset={'b' * 60_000}"):
            self.assertLess(len(self.refused(b"a=1", kind)), 300)

    @given(st.binary(max_size=200))
    def test_anything(self, body: bytes) -> None:
        """Any bytes are a form, or are refused."""
        for content_type in (URLENCODED, "multipart/form-data; boundary=b"):
            try:
                parse_form(body, content_type)
            except InvalidRequest as refusal:
                self.assertEqual(list(refusal.problems), ["InvalidParameter"])

    def test_query_not_text(self) -> None:
        """A query that is not percent-encoded UTF-8 is refused."""
        for query in (b"a=%ff", b"a=\xc3\xa4"):
            self.assertRaises(InvalidRequest, parse_query, query)
