"""Settled pages over v2: their entity tags, and 304 for clients that have them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.http.api_support import LINES, OTHER, OWNER
from tests.http.responses import Response
from tests.http.test_api_fuzz import bounded
from tests.http.v2.reading.test_pages import ReadingTestCase

FRAME = ("date", "x-request-id", "content-length")


class SettledTestCase(ReadingTestCase):
    """Gets pages on conditions."""

    def get(self, query: str = "", method: str = "GET", **fields: str) -> Response:
        """The answer to a read."""
        names = {name.replace("_", "-"): value for name, value in fields.items()}
        return self.raw(method, self.path(query), {**OWNER, **names})

    def tag(self, query: str = "", **fields: str) -> str:
        """The entity tag of a page, which is strong."""
        response = self.get(query, **fields)
        tag = response.header("etag") or ""
        self.assertRegex(tag, r'\A"[0-9a-f]{32}"\Z', response)
        return tag

    def known(self, tag: str, query: str = "", **fields: str) -> bool:
        """Whether a page with that tag is as it was; if not, it is there."""
        response = self.get(query, If_None_Match=tag, **fields)
        self.assertEqual(
            (response.status, response.body == b""), (304, True) if response.status == 304 else (200, False)
        )
        return response.status == 304


class SettledTests(SettledTestCase):
    """The requests that get 304."""

    def test_a_page_that_is_as_it_was(self) -> None:
        self.fill(4)
        whole = self.get("?limit=2")
        response = self.get("?limit=2", If_None_Match=whole.header("etag") or "")
        self.assertEqual((response.status, response.body), (304, b""))
        self.assertIsNone(response.header("content-type"))
        for name in ("etag", "cache-control", "vary"):
            self.assertEqual(response.header(name), whole.header(name), name)
        self.assertEqual(whole.header("cache-control"), "private, no-cache")
        self.fill(3, 4)
        self.clock.advance(60)
        again = self.get("?limit=2")
        self.assertEqual((again.body, again.header("etag")), (whole.body, whole.header("etag")))

    def test_head(self) -> None:
        """It has the fields of a GET, and gets 304 as one."""
        self.fill(4)
        whole, head = self.get("?limit=2"), self.get("?limit=2", "HEAD")
        fields = [[field for field in answer.headers if field[0].lower() not in FRAME] for answer in (whole, head)]
        self.assertEqual(*fields)
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(self.get("?limit=2", "HEAD", If_None_Match=head.header("etag") or "").status, 304)

    def test_what_if_none_match_may_be(self) -> None:
        self.fill(4)
        tag = self.tag("?limit=2")
        for value in (f"W/{tag}", f'"a", {tag}', f'{tag},W/"b"', "*"):
            self.assertTrue(self.known(value, "?limit=2"), value)
        for value in ('"a"', tag.upper(), f'"{tag[1:-1]}-"'):
            self.assertFalse(self.known(value, "?limit=2"), value)
        for value in (tag[1:-1], "", f"{tag} {tag}"):
            errors = self.errors("invalid-parameters", self.get("?limit=2", If_None_Match=value))
            self.assertEqual(list(errors), ["If-None-Match"])

    def test_if_match(self) -> None:
        self.fill(4)
        tag = self.tag("?limit=2")
        for value in (tag, f'"a", {tag}', "*"):
            self.assertEqual(self.get("?limit=2", If_Match=value).status, 200, value)
        for value in ('"a"', f"W/{tag}"):
            problem = self.problem("precondition-failed", self.get("?limit=2", If_Match=value))
            self.assertIn(f"The page has the ETag {tag}", problem["detail"])
        problem = self.problem("precondition-failed", self.get("", If_Match=tag))
        self.assertIn("The page has no ETag", problem["detail"])

    def test_each_page_has_its_own(self) -> None:
        """Another limit, another place to begin, another form: no tag of one is that of another."""
        ids = self.fill(9)
        queries = ["?limit=2", "?limit=3", "?limit=2&partition=1", f"?limit=2&after={ids[0]}", "?limit=2&since=1",
                   f"?limit=2&after={ids[1]}"]  # fmt: skip
        tags = [self.tag(query, Accept=kind) for query in queries for kind in ("application/json", LINES)]
        self.assertEqual(len(set(tags)), len(tags))

    def test_what_is_not_settled_has_none(self) -> None:
        ids = self.fill(4)
        self.append(bytes(300_000))
        self.append(b"last")
        for query in ("", "?limit=6", "?order=desc&limit=2", "?fresh=true&limit=2", "?limit=5", f"?after={ids[3]}"):
            response = self.get(query)
            self.assertEqual((response.header("etag"), response.header("cache-control")), (None, "no-store"), query)
        self.assertFalse(self.known('"a"'))

    def test_each_change_shows(self) -> None:
        ids = self.fill(5)
        changes: list[tuple[str, str, bytes | None]] = [
            ("PUT", f"/{ids[0]}", b"0"),
            ("PUT", f"/{ids[1]}", b"new"),
            ("DELETE", f"/{ids[0]}", None),
            ("DELETE", f"?before={ids[2]}", None),
        ]
        tag = self.tag("?limit=2")
        for method, rest, body in changes:
            self.assertTrue(self.known(tag, "?limit=2"))
            self.assertEqual(self.raw(method, self.path(rest), OWNER, body).status, 204)
            self.assertFalse(self.known(tag, "?limit=2"), rest)
            tag = self.tag("?limit=2")

    def test_expiry_shows(self) -> None:
        self.appended("a", "?ttl=9")
        self.fill(3)
        tag = self.tag("?limit=2")
        self.clock.advance(5.9)
        self.assertTrue(self.known(tag, "?limit=2"))
        self.clock.advance(0.1)
        self.assertFalse(self.known(tag, "?limit=2"))

    def test_the_end_of_what_follows_shows(self) -> None:
        """The message by which it is known that there is more is on no page, but the page is another one without it."""
        self.appended("a")
        self.appended("b", "?ttl=5")
        tag = self.tag("?limit=1")
        self.clock.advance(5)
        self.assertFalse(self.known(tag, "?limit=1"))
        self.assertFalse(self.page("limit=1")["more"])

    def test_a_cursor_that_grows_old_shows(self) -> None:
        ids = self.fill(1)
        self.append(b"a", "?ttl=600000")
        self.append(b"b", "?ttl=600000")
        query = f"?after={ids[0]}&limit=1"
        tag = self.tag(query)
        self.clock.advance(259_000)
        self.assertTrue(self.known(tag, query))
        self.clock.advance(1000)
        self.assertFalse(self.known(tag, query))
        self.assertEqual(self.page(query[1:])["resume"], "truncated")

    def test_another_life_of_the_queue(self) -> None:
        self.fill(3)
        tag = self.tag("?limit=2")
        self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
        self.make("q", partitions=3)
        self.fill(3)
        self.assertFalse(self.known(tag, "?limit=2"))

    def test_who_may_not_read_is_told_so(self) -> None:
        """A client that has the tag."""
        self.fill(3)
        tag = self.tag("?limit=2")
        for fields, status in (({}, 401), (OTHER, 403)):
            response = self.raw("GET", self.path("?limit=2"), {**fields, "If-None-Match": tag})
            self.assertEqual((response.status, response.header("etag")), (status, None))

    def test_the_end_of_a_settled_page(self) -> None:
        """It is complete up to its last message, and nothing newer is on it."""
        self.fill(3)
        page = self.page("limit=2")
        self.assertEqual(page["stable_until"], page["messages"][-1]["timestamp"])
        self.assertGreater(self.page()["stable_until"], self.page()["messages"][-1]["timestamp"])


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", "put", "delete", "purge", "wait", "read", "read"]),
        st.integers(0, 7),
        st.integers(1, 3),
    ),
    min_size=3,
    max_size=12,
)
QUERIES = ("?limit=1", "?limit=2", "?limit=3&partition=1", "?limit=2&max_bytes=3", "?limit=1&since=1700000003")
FORMS = ("application/json", LINES)


class RandomTests(SettledTestCase):
    """Whatever happens between two reads, a client that gets 304 has what it would be given."""

    examples = 25
    untold = 0
    told = 0

    def do(self, ids: list[str], step: str, number: int, seconds: int) -> None:
        """Something that may make a page another one."""
        some = ids[number % len(ids)]
        if step == "append":
            ids.append(self.appended(str(number), f"?partition={seconds}&ttl={seconds + number}"))
        elif step == "put":
            self.raw("PUT", self.path(f"/{some}?ttl={seconds + number}"), OWNER, b"put")
        elif step == "delete":
            self.raw("DELETE", self.path(f"/{some}"))
        elif step == "purge" and not number:
            self.raw("DELETE", self.path(f"?before={some}"))
        elif step == "wait":
            self.clock.advance(seconds / 2)

    def check(self, seen: dict[tuple[str, str], dict[str, bytes]]) -> None:
        """Ask for each page on the condition of every tag that it has had."""
        for query in QUERIES:
            for form in FORMS:
                tags = seen.setdefault((query, form), {})
                asked = self.get(query, Accept=form, If_None_Match=", ".join(tags) or '"none"')
                whole = self.get(query, Accept=form)
                tag = whole.header("etag")
                self.assertEqual(whole.status, 200)
                if asked.status == 304:
                    type(self).told += 1
                    self.assertEqual((asked.header("etag"), tags.get(tag or "")), (tag, whole.body))
                else:
                    type(self).untold += tag is not None
                    self.assertNotIn(tag, tags)
                    self.assertEqual((asked.body, asked.header("etag")), (whole.body, tag))
                if tag is not None:
                    self.assertEqual(tags.setdefault(tag, whole.body), whole.body)

    def run_steps(self, steps: list[tuple[str, int, int]]) -> None:
        ids = [self.appended(str(n), f"?partition={n % 3 + 1}&ttl={n + 3}") for n in range(4)]
        seen: dict[tuple[str, str], dict[str, bytes]] = {}
        for step, number, seconds in steps:
            self.do(ids, step, number, seconds)
            self.check(seen)
        # What has been seen of other pages is no page of these.
        bodies: dict[str, bytes] = {}
        for tags in seen.values():
            for tag, body in tags.items():
                self.assertEqual(bodies.setdefault(tag, body), body)
        self.send("DELETE", "/queues/q")
        self.make("q", partitions=3)

    def test_nobody_is_told_304_of_another_page(self) -> None:
        @bounded(self.examples)
        @given(STEPS)
        def steps(steps: list[tuple[str, int, int]]) -> None:
            self.run_steps(steps)

        steps()
        self.assertGreater(min(self.told, self.untold), self.examples)
