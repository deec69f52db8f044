"""The heads of answers come from cached templates; fields of one answer never appear in another."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey import config
from queuey.http.connection.limits import AccessLine
from queuey.http.requests.answering import (
    BY_LENGTH,
    IN_CHUNKS,
    Field,
    check_own,
    make_template,
    merge_fields,
    template_of,
)
from queuey.http.requests.request import Request
from tests.http.api_support import OTHER, OWNER, SETTINGS, ApiTestCase
from tests.http.responses import Response, parse_responses
from tests.http.wire_support import Connection, Handler, encode_request, make_site

DATE = b"Date: now\r\n"
NAMES = st.sampled_from([b"Content-Type", b"Vary", b"ETag", b"X-%d", b"Retry-After"])
VALUES = st.sampled_from([b"", b"a", b"100%", b"%b %d %%", b"caf\xe9", b"application/json"])
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=4).map(tuple)
HERE = "https://app.example.org"


def spelled(status: int, fields: list[Field], framing: bytes, close: bool) -> bytes:
    """The head, written down in one go."""
    phrase = {200: b"OK", 404: b"Not Found", 499: b"Unknown"}[status]
    lines = [b"HTTP/1.1 %d %b" % (status, phrase), DATE[:-2], b"X-Request-Id: an-id"]
    lines += [name + b": " + value for name, value in fields]
    lines += [framing] if framing else []
    lines += [b"Connection: close"] if close else []
    return b"\r\n".join([*lines, b"", b""])


class TemplateTests(SynchronousTestCase):
    """Filled in, it is the head that it stands for."""

    @given(
        st.sampled_from([200, 404, 499]), FIELDS, FIELDS, FIELDS, st.sampled_from([b"", b"text/plain"]), st.booleans()
    )
    def test_filled_in(
        self,
        status: int,
        first: tuple[Field, ...],
        own: tuple[Field, ...],
        added: tuple[Field, ...],
        kind: bytes,
        close: bool,
    ) -> None:
        names = {name for name, _ in (*first, *own)}
        fields = [*first, *own, *(field for field in added if field[0] not in names)]
        if kind and b"Content-Type" not in names:
            # What is added to every answer takes no place of a type that the body has.
            fields.append((b"Content-Type", kind))
        values = (DATE, b"an-id", *(value for _, value in own))
        for framing, line, more in (
            (BY_LENGTH, b"Content-Length: 17", (17,)),
            (IN_CHUNKS, b"Transfer-Encoding: chunked", ()),
            (b"", b"", ()),
        ):
            for _ in range(2):
                template = template_of(status, first, check_own(own)[0] if own else (), added, kind, framing, close)
                self.assertEqual(template % (*values, *more), spelled(status, fields, line, close))

    def test_line_ends(self) -> None:
        """Nothing that a field has ends its line, wherever it comes from; the error does not show it."""
        for bad in (b"a\r\nSet-Cookie: b", b"a\nb", b"a\rb", b"a\0b"):
            for first, added in (((b"X-A", bad),), ()), ((), ((b"X-A", bad),)), (((bad, b"x"),), ()):
                error = self.assertRaises(ValueError, template_of, 200, first, (), added, b"", BY_LENGTH, False)
                self.assertIn("a line end in one of the header fields", str(error))
            error = self.assertRaises(ValueError, check_own, ((b"X-A", b"fine"), (b"X-B", bad)))
            self.assertEqual(str(error), "a line end in one of the header fields [b'X-A', b'X-B']")
            self.assertRaises(ValueError, make_template, 200, [(b"X-A", bad)], BY_LENGTH, False)

    def test_nothing_is_changed(self) -> None:
        """What a template is made of stays as it was."""
        first: list[Field] = [(b"X-A", b"1")]
        merge_fields(first, (b"X-B",), (), None, (), b"text/plain")
        self.assertEqual(first, [(b"X-A", b"1")])


class ConnectionTests(SynchronousTestCase):
    """One answer after the other on a connection whose requests have the same head."""

    def ask(self, *answers: tuple[int, tuple[Field, ...], bytes, tuple[Field, ...]], more: str = "") -> list[Response]:
        """Have requests answered in this way, one after the other."""
        following = iter(answers)
        self.lines: list[AccessLine] = []

        def handle(request: Request) -> None:
            request.answer(*next(following))

        connection = Connection(make_site(Handler(handle), access=self.lines.append))
        for _ in answers:
            connection.send(encode_request("GET", "/q?a=1", [("X-More", more)] if more else ()))
        found = connection.responses(*["GET"] * len(answers))
        self.assertEqual([len(line.request_id) > 0 and line.status for line in self.lines], [one[0] for one in answers])
        return found

    def test_one_after_the_other(self) -> None:
        """Each has its own status, fields, length and id."""
        json, tagged = ((b"Content-Type", b"application/json"),), ((b"ETag", b'"1"'),)
        asked: list[tuple[int, tuple[Field, ...], bytes, tuple[Field, ...]]] = [
            (201, json, b'"first"', ((b"Location", b"/one"),)),
            (404, json, b"1", ()),
            (201, json, b'"third one"', ((b"Location", b"/two"),)),
            (204, (), b"", ()),
            (200, (*json, *tagged), b"{}", ()),
            (200, json, b"{}", ((b"ETag", b'"2"'),)),
            (200, json, b"", ()),
        ]
        found = self.ask(*asked)
        self.assertEqual([each.status for each in found], [201, 404, 201, 204, 200, 200, 200])
        self.assertEqual([each.body for each in found], [body for _, _, body, _ in asked])
        self.assertEqual([each.header("location") for each in found], ["/one", None, "/two", *[None] * 4])
        self.assertEqual([each.header("etag") for each in found], [*[None] * 4, '"1"', '"2"', None])
        self.assertEqual([each.header("content-length") for each in found], ["7", "1", "11", None, "2", "2", "0"])
        ids = [each.header("x-request-id") for each in found]
        self.assertEqual(ids, [f"id-{number}" for number in range(1, 8)])
        self.assertEqual([line.request_id for line in self.lines], ids)
        self.assertEqual({(line.method, line.path) for line in self.lines}, {("GET", "/q?a=...")})

    def test_closing(self) -> None:
        """That a connection ends is said where it does, and nowhere else."""
        site = make_site(Handler(lambda request: request.answer(200, (), b"1")))
        for fields, closes in (((), False), ((("Connection", "close"),), True), ((), False)):
            connection = Connection(site).send(encode_request("GET", "/", fields))
            self.assertEqual((connection.response().closes, connection.open), (closes, not closes))

    def test_own_fields_with_line_ends(self) -> None:
        """They are a defect, and nothing of them is sent."""
        site = make_site(Handler(lambda request: request.answer(200, (), b"1", ((b"Location", b"/\r\nX-Evil: 1"),))))
        response = Connection(site).send(encode_request("GET", "/")).response()
        self.assertEqual(response.status, 500)
        self.assertIsNone(response.header("x-evil"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class ApplicationTests(ApiTestCase):
    """Nothing of an application, or of an API, is in the answers of another."""

    settings = SETTINGS + f"[application:app]\ncors_origins = {HERE}\nrequest_rate = 1000\n"

    def fields(self, connection: Connection, method: str, path: str, headers: dict[str, str]) -> tuple[int, set[str]]:
        """The status and the names of the fields of the answer to one more request."""
        before = len(connection.received)
        connection.send(encode_request(method, path, {**headers, "Origin": HERE}, b"x" if method == "POST" else None))
        (response,) = parse_responses(connection.received[before:], (method,), closed=False)
        always = {"date", "x-request-id", "content-type", "content-length"}
        return response.status, {name for name, _ in response.headers} - always

    def test_in_turns(self) -> None:
        self.make_queue()
        self.expect(201, self.form("POST", "/v1/other", OTHER, queue_name="q"))
        cors = {"vary", "access-control-allow-origin", "access-control-expose-headers"}
        rates = {"ratelimit", "ratelimit-policy"}
        connection = Connection(self.assembly.site)
        for _ in range(2):
            for method, path, headers, status, names in (
                ("POST", "/v1/app/q", OWNER, 201, cors | rates | {"cache-control"}),
                ("POST", "/v1/other/q", OTHER, 201, {"cache-control"}),
                ("POST", "/v2/app/queues/q/messages", OWNER, 201, cors | rates | {"cache-control", "location"}),
                ("POST", "/v2/other/queues/q/messages", OTHER, 201, {"vary", "cache-control", "location"}),
                ("GET", "/v1/app/none", OWNER, 404, cors | rates | {"cache-control"}),
                ("GET", "/v1/other/none", OTHER, 404, {"cache-control"}),
                ("GET", "/v2/other/queues/none", OTHER, 404, {"vary", "cache-control"}),
                ("GET", "/v1/nope", OTHER, 404, {"cache-control"}),
            ):
                self.assertEqual(self.fields(connection, method, path, dict(headers)), (status, names), (method, path))

    def test_other_settings(self) -> None:
        """What a reload changes is in the next answer, on a connection that goes on."""
        self.make_queue()
        connection = Connection(self.assembly.site)
        for origins in (HERE, "", HERE):
            text = SETTINGS + f"[application:app]\ncors_origins = {origins}\n"
            file = Path(self.mktemp())
            file.write_text(text)
            self.assembly.use(config.load(file))
            _, names = self.fields(connection, "POST", "/v1/app/q", dict(OWNER))
            self.assertEqual("access-control-allow-origin" in names, bool(origins))
