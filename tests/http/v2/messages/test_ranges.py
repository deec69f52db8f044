"""GET of single messages on conditions, and of parts of them."""

from __future__ import annotations

from tests.http.api_support import NOW, OWNER
from tests.http.v2.messages.test_single import TEXT, SingleTestCase, id_at

BAD_RANGE = "is not a range of bytes, as in bytes=0-99, bytes=100- or bytes=-100"
BAD_TAGS = "is not *, nor entity tags in double quotes, separated by commas"


class ConditionalGetTests(SingleTestCase):
    """If-Match and If-None-Match on GET."""

    def test_unchanged(self) -> None:
        """304 for who has it already, with what a cache needs."""
        id = self.appended(TEXT)
        tag = self.tag(id)
        for held in (tag, f'"x", {tag}', f"W/{tag}", "*"):
            for method in ("GET", "HEAD"):
                response = self.one(id, method, If_None_Match=held, Range="bytes=0-1")
                self.assertEqual((response.status, response.body), (304, b""))
                self.assertEqual(
                    (response.header("etag"), response.header("cache-control")), (tag, "private, no-cache")
                )
                self.assertEqual(response.header("vary"), "Origin, Accept")
        for held in ('"x"', f'"{tag[1:-2]}"'):
            self.assertEqual(self.one(id, If_None_Match=held).body, TEXT)

    def test_if_match(self) -> None:
        """412 where it is another one by now; the tag has to be strong."""
        id = self.appended(TEXT)
        tag = self.tag(id)
        for held in (tag, f'"x" , {tag}', "*"):
            self.assertEqual(self.one(id, If_Match=held).body, TEXT)
        for held in ('"x"', f"W/{tag}"):
            self.assertEqual(self.problem("precondition-failed", self.one(id, If_Match=held))["applied"], "no")
        self.problem("precondition-failed", self.one(id, If_Match='"x"', If_None_Match=tag))
        self.assertEqual(self.one(id, If_Match=tag, If_None_Match=tag).status, 304)

    def test_none(self) -> None:
        """What is no condition is refused; what is not there is not there on any."""
        id = self.appended(TEXT)
        for name in ("If-Match", "If-None-Match"):
            for held in ("x", '"x', "", "*, *", '"a" "b"', 'w/"a"'):
                errors = self.errors("invalid-parameters", self.one(id, **{name: held}))
                self.assertEqual(errors, {name: BAD_TAGS})
            self.gone(self.one(id_at(NOW), **{name: "*"}))


class RangeTests(SingleTestCase):
    """Parts of a message."""

    def setUp(self) -> None:
        super().setUp()
        self.message = self.appended(TEXT, content_type="text/plain", Queuey_Headers='{"a":1}')

    def part(self, start: int, end: int, value: str, **fields: str) -> None:
        """A range is answered with the bytes from one place to before another."""
        response = self.one(self.message, Range=value, **fields)
        self.assertEqual((response.status, response.body), (206, TEXT[start:end]), value)
        self.assertEqual(response.header("content-range"), f"bytes {start}-{end - 1}/10")
        whole = self.one(self.message)
        for name, value in whole.headers:
            if name not in ("date", "x-request-id", "content-length"):
                self.assertEqual(response.header(name), value)

    def whole(self, value: str, **fields: str) -> None:
        """A range is answered with everything."""
        response = self.one(self.message, Range=value, **fields)
        self.assertEqual((response.status, response.body, response.header("content-range")), (200, TEXT, None), value)

    def outside(self, id: str, value: str, length: int) -> None:
        """A range is none."""
        response = self.one(id, Range=value)
        self.assertEqual(self.problem("range-not-satisfiable", response)["applied"], "no")
        self.assertEqual(response.header("content-range"), f"bytes */{length}")

    def test_parts(self) -> None:
        """From the first to the last byte that is named, which are in it."""
        self.part(0, 1, "bytes=0-0")
        self.part(2, 6, "bytes=2-5")
        self.part(9, 10, "bytes=9-9")
        self.part(0, 10, "bytes=0-9")
        self.part(4, 10, "bytes=4-")
        self.part(0, 10, "bytes=0-")
        self.part(7, 10, "bytes=-3")
        self.part(0, 10, "bytes=-10")
        self.part(2, 6, "Bytes=2-5")
        self.part(2, 6, "bytes= 2-5 ")
        self.part(2, 6, "bytes=002-005")

    def test_more_than_there_is(self) -> None:
        """What is there of it."""
        self.part(5, 10, "bytes=5-10")
        self.part(5, 10, f"bytes=5-{'9' * 100}")
        self.part(0, 10, "bytes=-11")
        self.part(0, 10, f"bytes=-{'9' * 5000}")

    def test_outside(self) -> None:
        """416 says how long the message is."""
        for value in ("bytes=10-", "bytes=10-20", "bytes=-0", f"bytes={'9' * 5000}-", f"bytes={'9' * 20}-{'9' * 20}"):
            self.outside(self.message, value, 10)
        empty = self.appended(b"")
        for value in ("bytes=0-", "bytes=0-0", "bytes=-1", "bytes=1-1"):
            self.outside(empty, value, 0)
        self.assertEqual(self.one(empty).status, 200)

    def test_several(self) -> None:
        """There is no answer in parts: all of it is one that has them."""
        for value in ("bytes=0-1,3-4", "bytes=0-1, -1", "bytes=0-0,100-200", "bytes=20-,30-"):
            self.whole(value)

    def test_very_many(self) -> None:
        """They are not looked at one by one."""
        self.whole(f"bytes={'0-,' * 100}x")
        self.whole(f"bytes={',' * 1000}")

    def test_other_units(self) -> None:
        """Those are not known, and so passed over, as HTTP has it."""
        for value in ("lines=0-1", "byte=0-1", "", "bytes", "0-1", "bytes 0-1", "items=x"):
            self.whole(value)

    def test_malformed(self) -> None:
        """What is no range of bytes is refused, and never taken for something else."""
        for value in ("bytes=", "bytes=-", "bytes=a-b", "bytes=0-1,", "bytes=,0-1", "bytes=1", "bytes=0-1-2",
                      "bytes=0--1", "bytes=+0-1", "bytes=0.5-1", "bytes=\u0661-", "bytes=0 - 1",
                      "bytes=0-1;2"):  # fmt: skip
            errors = self.errors("invalid-parameters", self.one(self.message, Range=value.encode().decode("latin-1")))
            self.assertEqual(errors, {"Range": BAD_RANGE}, value)
        for value in ("bytes=5-2", "bytes=1-0"):
            errors = self.errors("invalid-parameters", self.one(self.message, Range=value))
            self.assertEqual(errors, {"Range": "ends before it begins"})
        fields = [*OWNER.items(), ("Range", "bytes=0-1"), ("Range", "bytes=3-4")]
        errors = self.errors("invalid-parameters", self.raw("GET", self.path(f"/{self.message}"), fields))
        self.assertEqual(errors, {"Range": "came more than once"})

    def test_if_range(self) -> None:
        """The part is of the message that the client has the rest of; otherwise all of it comes."""
        tag = self.tag(self.message)
        self.part(2, 6, "bytes=2-5", If_Range=tag)
        for held in ('"x"', f"W/{tag}", tag[1:-1], "*", f'{tag}, "x"', "Tue, 14 Nov 2023 22:13:20 GMT", ""):
            self.whole("bytes=2-5", If_Range=held)
            self.whole("bytes=20-", If_Range=held)
        self.outside(self.message, "bytes=20-", 10)
        self.replaced(self.put(self.message, TEXT, kind="text/plain"))
        self.clock.advance(1)
        self.whole("bytes=2-5", If_Range=tag)

    def test_conditions_first(self) -> None:
        """A range is looked at only where the rest of the request holds."""
        tag = self.tag(self.message)
        self.assertEqual(self.one(self.message, Range="bytes=20-", If_None_Match=tag).status, 304)
        self.problem("precondition-failed", self.one(self.message, Range="bytes=20-", If_Match='"x"'))
        self.part(2, 6, "bytes=2-5", If_Match=tag)

    def test_together(self) -> None:
        """Parts of a large message make all of it."""
        body = bytes(range(256)) * 2000
        id, found = self.appended(body), b""
        tag = self.tag(id)
        while len(found) < len(body):
            response = self.one(id, Range=f"bytes={len(found)}-{len(found) + 99_999}", If_Range=tag)
            self.assertEqual(response.status, 206)
            found += response.body
        self.assertEqual(found, body)
