"""Odd targets of requests: paths, queries, numbers and names."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import quote, urlencode

from hypothesis import strategies as st

T = TypeVar("T")


ID = "3a51f7d4c1b611eea5560242ac120002"
"""An id as this version makes them, of a message that nobody posted."""


def large(*drawn: tuple[bytes, int]) -> st.SearchStrategy[bytes]:
    """One of these, as many times as it says; made when it is drawn, so that no report is as large as that."""
    return st.sampled_from(drawn).map(lambda pair: pair[0] * pair[1])


def short(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """The same, with a name in reports instead of all that it is made of."""

    @st.composite
    def drawn(draw: st.DrawFn) -> T:
        return draw(strategy)

    return drawn()


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


LATIN = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40).filter(
    lambda text: all(ch >= " " and not 0x7F <= ord(ch) < 0x80 for ch in text)
)


_ODD = st.sampled_from(
    [
        "",
        "..",
        ".",
        "%",
        "%2",
        "%zz",
        "%ff",
        "%00",
        "%0d%0a",
        "%2F",
        "%2f..%2f",
        "%ED%A0%80",
        "*",
        ";a=b",
        "a,b",
        "a:b",
        "%25",
        "+",
        "~",
        "a" * 50,
        "a" * 51,
        "%F0%9F%98%80" * 50,
        "%C2%85",
        "%E2%80%AE",
        "\\",
        "<script>",
        "%7F",
        "'",
        '"',
    ]
)


_NAMES = st.sampled_from(["app", "other", "q", "r", "nobody", "v1", "v2", "__heartbeat__"])


IDS = st.lists(
    st.one_of(
        st.sampled_from([ID, ID.upper(), "1:" + ID, "2%3A" + ID, "0:" + ID, "201:" + ID, "9" * 5000 + ":" + ID]),
        st.sampled_from(
            [":" + ID, "-1:" + ID, "1:1:" + ID, ID[:-1], ID + "0", "0" * 32, "f" * 32, " " + ID, "%20" + ID]
        ),
        st.sampled_from(["0000000000001" + "000" + "8000000000000000", "fffffffffffff1ffbfffffffffffffff"[:32], ""]),
    ),
    max_size=4,
).map(",".join)


SEGMENTS = st.one_of(_NAMES, _NAMES, IDS, _ODD, ANY_TEXT.map(lambda text: quote(text, safe="")))


ODD_NUMBERS = (
    *("", "0", "1", "2", "200", "201", "1000", "1001", "33554432", "33554433", "-1", "+1", "01", " 1", "1 ", "1.0"),
    *("1e3", "0x1", "9" * 30, "9" * 5000, "-" + "9" * 5000, "0" * 5000, "9" * 5000 + ".0", "." + "9" * 5000, "NaN"),
    *("inf", "1_0", "١", "²", "1,2", "null", "true", "-", "+", ".", "1e400", "\x00", "1\n", "😀", "a" * 32, "f" * 32),
)


NUMBERS = st.one_of(
    st.sampled_from(ODD_NUMBERS),
    st.integers(-5, 1 << 70).map(str),
    st.floats().map(str),
    ANY_TEXT,
)


VALUES = short(
    st.one_of(
        NUMBERS,
        st.sampled_from(
            ["ascending", "descending", "user", "public", "weak", "strong", "very_strong", "Public", "yes", "off"]
        ),
        st.sampled_from(
            ["app:app", "bid:a@b.example", "app:app,bid:a@b", ",", ",,", "app:", "bid:@", "q", "r", ID, ID[:31]]
        ),
        st.sampled_from(
            ["1699999999.1234567", "1699999999.12345678", ".5", "5.", ".", "1" * 400 + ".0", "0", "1e400", "1,2,,3"]
        ),
        ANY_TEXT,
    )
)


PARAMETERS = st.sampled_from(
    [
        "limit",
        "since",
        "order",
        "partitions",
        "details",
        "include_count",
        "offset",
        "queue_name",
        "type",
        "consistency",
        "principles",
        "ttl",
        "partition",
        "",
        "x",
        "ü",
        "__proto__",
    ]
)


FIELDS = st.lists(st.tuples(PARAMETERS, VALUES), max_size=5)


_RAW = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=80)


QUERIES = short(
    st.one_of(
        st.just(""),
        FIELDS.map(lambda fields: "?" + urlencode(fields)),
        _RAW.map(lambda text: "?" + text),
        st.sampled_from(
            ["?", "??", "?&&&", "?limit", "?limit=%", "?limit=%ff", "?%ff=1", "?=", "?" + "a&" * 1001, "?a=%00"]
        ),
    )
)


TARGETS = short(
    st.one_of(
        st.tuples(st.lists(SEGMENTS, max_size=5), QUERIES, st.sampled_from(["", "/", "//"])).map(
            lambda drawn: "/" + "/".join(drawn[0]) + drawn[2] + drawn[1]
        ),
        st.tuples(st.lists(SEGMENTS, min_size=1, max_size=3), QUERIES).map(
            lambda drawn: "/v1/" + "/".join(drawn[0]) + drawn[1]
        ),
        _RAW.map(lambda text: "/" + text),
        st.sampled_from(["/v1/app", "/v1/app/q", "/v1/other/q", f"/v1/app/q/{ID}", "/v1/app/r"]),
        st.sampled_from(
            ["*", "http://localhost/v1/app", "http://localhost", "//", "/v1//app", "/v1/app//", "", "v1/app"]
        ),
    )
)
