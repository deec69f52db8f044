"""Single messages over v2: their bodies and ranges of them, overwritten on conditions, deleted."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from queuey.model.timeid import from_seconds, make, to_v1_hex
from tests.http.api_support import BATCH, LINES, NOW, OTHER, OWNER, SETTINGS, MessagesTestCase, fields_of
from tests.http.responses import Response
from tests.http.wire_support import Client

TEXT = b"0123456789"
BAD_ID = "is not the 32 hexadecimal digits of a version-6 UUID, a hyphen, and the number of a partition"
EMPTY = "is empty; leave it out, or give it a value"
NO_IDS = ("x", "1", "-1", "0" * 32 + "-1", "%00", "x" * 5000, "..%2Fmessages", "%2E", "é", "a-b-c")


def id_at(seconds: float, partition: int = 1) -> str:
    """The id of a client's own for a time."""
    return f"{make(from_seconds(seconds), 1, 2).hex()}-{partition}"


class SingleTestCase(MessagesTestCase):
    """Messages of ``q``, which has three partitions."""

    partitions = 3

    def tag(self, id: str) -> str:
        """The entity tag of a message."""
        tag = self.one(id).header("etag") or ""
        self.assertRegex(tag, r'\A"[!#-~]+"\Z')
        return tag

    def put(self, id: str, body: bytes = b"new", query: str = "", kind: str | None = None, **fields: str) -> Response:
        """Overwrite a message, or make one."""
        return self.send("PUT", self.path(f"/{id}{query}"), body, fields_of(fields), kind)

    def replaced(self, response: Response) -> None:
        self.assertEqual((response.status, response.body, response.header("location")), (204, b"", None))
        self.assertEqual(response.header("cache-control"), "no-store")


class GetTests(SingleTestCase):
    """GET …/messages/{id}."""

    def test_all_of_it(self) -> None:
        """The body as it was sent, what else there is to know, and what keeps browsers from running it."""
        headers = quote('{"a": "\u00e9"}')
        stored = self.append(TEXT, "?ttl=60&partition=2", "text/html;charset=utf-8", Queuey_Headers=headers).json
        (message,) = stored["messages"]
        response = self.one(message["id"])
        expires = (response.header("queuey-expires") or "")[19:]
        self.assertEqual((response.status, response.body), (200, TEXT))
        given = dict(response.headers)
        for name in ("date", "x-request-id"):
            del given[name]
        self.assertEqual(
            given,
            {
                "content-type": "text/html;charset=utf-8",
                "content-length": "10",
                "etag": self.tag(message["id"]),
                "accept-ranges": "bytes",
                "cache-control": "private, no-cache",
                "content-security-policy": "default-src 'none'; sandbox",
                "x-content-type-options": "nosniff",
                "referrer-policy": "no-referrer",
                "queuey-id": message["id"],
                "queuey-partition": "2",
                "queuey-timestamp": message["timestamp"],
                "queuey-expires": f"2023-11-14T22:14:20{expires}",
                "queuey-headers": "{%22a%22:%22%C3%A9%22}",
                "vary": "Origin, Accept",
            },
        )
        (shown,) = self.page()["messages"]
        for name in ("id", "timestamp", "expires"):
            self.assertEqual(response.header(f"queuey-{name}"), shown[name])

    def test_as_sent(self) -> None:
        """Any bytes with any type, whatever is asked for; without own headers there is no field of them."""
        for body, kind in ((b"", None), (b"\xff\0", "image/png"), (b"<script>", "text/html"), (b"x" * 300_000, "a/b")):
            response = self.one(self.appended(body, **({"Content_Type": kind} if kind else {})), Accept="text/plain")
            self.assertEqual((response.status, response.body), (200, body))
            self.assertEqual(response.header("content-type"), kind or "application/octet-stream")
            self.assertIsNone(response.header("queuey-headers"))

    def test_head(self) -> None:
        """As GET, without the body; a range is passed over."""
        id = self.appended(TEXT)
        get = self.one(id)
        for fields in ({}, {"Range": "bytes=0-1"}, {"Range": "nonsense"}):
            head = self.one(id, "HEAD", **fields)
            self.assertEqual((head.status, head.body), (200, b""))
            for name, value in get.headers:
                if name not in ("date", "x-request-id"):
                    self.assertEqual(head.header(name), value)
        self.assertEqual(self.one(id_at(NOW), "HEAD").status, 404)

    def test_absent(self) -> None:
        """404, whatever is wrong with the id, and no cache keeps that."""
        id = self.appended("x", "?partition=1")
        self.make("p")
        other = self.appended("y", queue="p")
        digits = id[:32]
        for absent in (*NO_IDS, other, digits, f"{digits}-2", f"{digits}-3", f"{digits}-4", f"{digits}-0",
                       f"{digits}-01", f"{digits}-201", f"{digits}--1", f"{digits}-999999999999",
                       f"{digits}-1-1", f"-{id}", f"{id[1:]}", f"0{id}", f"{id},{id}",
                       f"{digits[:12]}1{digits[13:]}-1", f"{id}%0A",
                       f"{digits}-%D9%A1", f"{digits}-+1", f"{digits} -1".replace(" ", "%20")):  # fmt: skip
            for method in ("GET", "DELETE"):
                self.gone(self.send(method, self.path(f"/{quote(absent, safe='%,+')}")))
        v1 = self.read("/v1/app/q")[0]["message_id"]
        self.gone(self.send("GET", self.path(f"/{v1}-1")))
        self.assertEqual(self.one(id.upper()).body, b"x")

    def test_expired(self) -> None:
        """It is gone."""
        id = self.appended("x", "?ttl=1")
        self.clock.advance(1.1)
        self.gone(self.one(id))
        self.gone(self.one(id, "DELETE"))

    def test_parameters(self) -> None:
        """There are none."""
        id = self.appended()
        for method in ("GET", "DELETE"):
            errors = self.errors("invalid-parameters", self.send(method, self.path(f"/{id}?x=1")))
            self.assertEqual(errors, {"x": "is not known; there are none here"})
        self.assertEqual(self.one(id).status, 200)

    def test_types_that_are_none(self) -> None:
        """Whatever v1 has stored as one, it cannot break the answer."""
        bytes = "application/octet-stream"
        for kind, shown in (("nonsense", bytes), ("text/pl\u00c3\u00a4in", bytes), ("text/css", "text/css")):
            self.expect(201, self.ask("POST", "/v1/app/q", {**OWNER, "Content-Type": kind, "X-Partition": "1"}, b"x"))
            message = self.page("limit=1&order=desc")["messages"][0]
            self.assertEqual((message["content_type"], message["body"]), (shown, "x"))
            self.assertEqual(self.one(message["id"]).header("content-type"), shown)


class PutTests(SingleTestCase):
    """PUT …/messages/{id}."""

    def test_replaces(self) -> None:
        """Everything except the id and what follows from it; the time to live begins again."""
        id = self.appended(TEXT, "?ttl=60&partition=2", content_type="text/plain", Queuey_Headers='{"a":1}')
        self.appended(b"after", "?ttl=100")
        self.clock.advance(50)
        response = self.put(id, b"\xff", "?ttl=30", "image/png", Queuey_Headers='{"b":2}')
        self.replaced(response)
        message, _ = self.page()["messages"]
        self.assertEqual(message["expires"][:19], "2023-11-14T22:14:40")
        self.assertEqual(
            (message["id"], message["body_base64"], message["content_type"], message["headers"], message["partition"]),
            (id, "/w==", "image/png", {"b": 2}, 2),
        )
        self.clock.advance(29)
        self.assertEqual(self.one(id).body, b"\xff")
        self.clock.advance(2)
        self.gone(self.one(id))

    def test_goes_to_defaults(self) -> None:
        """What is left out is not what it was."""
        self.make("short", ttl=5)
        id = self.appended(TEXT, "?ttl=60", queue="short", content_type="text/plain", Queuey_Headers='{"a":1}')
        response = self.send("PUT", self.path(f"/{id}", "short"), b"", OWNER, None)
        self.replaced(response)
        (message,) = self.page(queue="short")["messages"]
        self.assertEqual((message["body"], message["content_type"], message["headers"], message["expires"][:19]),
                         ("", "application/octet-stream", {}, "2023-11-14T22:13:25"))  # fmt: skip

    def test_any_type(self) -> None:
        """It is always one message, and only the query has options."""
        id = self.appended(TEXT)
        for kind in ("application/json", BATCH, LINES, "application/x-www-form-urlencoded"):
            self.replaced(self.put(id, b"ttl=0&x=1", kind=kind))
            self.assertEqual(self.one(id).header("content-type"), kind)
        self.assertEqual(self.texts(), ["ttl=0&x=1"])

    def test_new(self) -> None:
        """An id of now makes one, which others see in its place."""
        first = self.appended("first")
        self.clock.advance(10)
        id = id_at(NOW + 10.2, 3)
        response = self.put(id, b"mine", "?ttl=60", "text/plain")
        self.assertEqual((response.status, response.body), (201, b""))
        self.assertEqual(response.header("location"), f"/v2/app/queues/q/messages/{id}")
        self.assertEqual(response.header("cache-control"), "no-store")
        self.assertEqual(self.one(id).body, b"mine")
        self.replaced(self.put(id, b"mine again"))
        self.clock.advance(1)
        last = self.appended("last")
        self.assertEqual([message["id"] for message in self.page()["messages"]], [first, id, last])
        self.assertEqual(self.texts(), ["first", "mine again", "last"])

    def test_out_of_range(self) -> None:
        """A new id is neither of the past nor of the future, and the answer says which could be."""
        self.appended("x")
        self.clock.advance(10)
        for seconds in (-3600, -1, 0, NOW, NOW + 9, NOW + 10.6, NOW + 60, NOW + 2_592_000, 4_000_000_000):
            problem = self.problem("id-out-of-range", self.put(id_at(seconds)))
            self.assertEqual((problem["applied"], problem["retryable"]), ("no", False))
            self.assertIn("The id of a new one has a time after 2023-11-14T22:13:", problem["detail"])
        self.assertEqual(self.texts(), ["x"])

    def test_gone(self) -> None:
        """A deleted or expired message is not brought back: its id is one of the past."""
        id, short = self.appended("x"), self.appended("y", "?ttl=1")
        self.clock.advance(2)
        self.assertEqual(self.one(id, "DELETE").status, 204)
        for each in (id, short):
            self.problem("id-out-of-range", self.put(each))
        self.assertEqual(self.texts(), [])

    def test_ids_that_are_none(self) -> None:
        """They are refused, and it is said why."""
        digits = make(from_seconds(NOW + 0.1), 1, 2).hex()
        for id in (*NO_IDS, digits, f"{digits}-0", f"{digits}-201", f"{digits}-01", f"{digits}-x",
                   f"{to_v1_hex(make(from_seconds(NOW), 1, 2))}-1"):  # fmt: skip
            errors = self.errors("invalid-parameters", self.put(quote(id, safe="%")))
            self.assertEqual(errors, {"id": BAD_ID}, id)
        errors = self.errors("invalid-parameters", self.put(f"{digits}-4"))
        self.assertEqual(errors, {"id": "is of partition 4, and the queue has 3"})
        self.assertEqual(self.texts(), [])

    def test_other_queue(self) -> None:
        """A message of another queue is not touched."""
        self.make("p", partitions=3)
        other = self.appended("y", queue="p")
        self.clock.advance(5)
        self.problem("id-out-of-range", self.put(other))
        self.assertEqual(self.texts(queue="p"), ["y"])

    def test_wrong(self) -> None:
        """Nothing is changed."""
        id = self.appended("x")
        for query, errors in (
            ("?partition=1&key=a", dict.fromkeys(("partition", "key"), "is not known; known here: ttl")),
        ):
            self.assertEqual(self.errors("invalid-parameters", self.put(id, query=query)), errors)
        for name, value in (
            ("Content-Type", "text"),
            ("Content-Range", "bytes 0-0/1"),
        ):
            response = self.send("PUT", self.path(f"/{id}"), b"y", {**OWNER, name: value}, None)
            self.assertEqual(list(self.errors("invalid-parameters", response)), [name])
        response = self.put(id, Queuey_Headers='{"queuey-only":"x"}')
        self.assertIn('begins with "queuey-"', self.errors("invalid-parameters", response)["Queuey-Headers"])
        self.problem("content-encoding", self.put(id, Content_Encoding="gzip"))
        self.assertEqual(self.texts(), ["x"])

    def test_limits(self) -> None:
        """As where it is posted."""
        id = self.appended("x")
        self.assembly = self.make_assembly(SETTINGS + "[application:app]\nmax_body = 10\n")
        self.client = Client(self.assembly.site)
        self.replaced(self.put(id, b"x" * 10))
        self.assertEqual(self.problem("too-large", self.put(id, b"x" * 11))["limit"], "max_body")


class TagTests(SingleTestCase):
    """Entity tags, and writes that depend on them."""

    def test_new_on_each_write(self) -> None:
        """Whatever is written, and by which API; not by being read."""
        id = self.appended(TEXT)
        v1 = self.read("/v1/app/q?partitions=1,2,3")[0]["message_id"]
        seen = [self.tag(id)]
        for _ in range(5):
            self.clock.advance(0.3)
            self.assertEqual(self.tag(id), seen[0])
        writes = [
            lambda: self.put(id, TEXT),
            lambda: self.put(id, TEXT),
            lambda: self.put(id, TEXT, "?ttl=60"),
            lambda: self.put(id, b"x"),
            lambda: self.put(id, b"x", kind="text/plain"),
            lambda: self.put(id, b"x", kind="text/plain", Queuey_Headers="{}"),
            lambda: self.ask("PUT", f"/v1/app/q/{id[33:]}:{v1}", OWNER, b"x"),
        ]
        for write in writes:
            self.clock.advance(1)
            self.assertLess(write().status, 300)
            seen.append(self.tag(id))
        self.assertEqual(len(set(seen)), len(writes) + 1)

    def test_differ(self) -> None:
        """Messages with the same content have others."""
        self.assertEqual(len({self.tag(self.appended(TEXT)) for _ in range(10)}), 10)

    def test_if_match(self) -> None:
        """Only what was read is overwritten."""
        id = self.appended(TEXT)
        tag = self.tag(id)
        self.clock.advance(1)
        self.replaced(self.put(id, b"one", If_Match=f'"x", {tag}'))
        for held in (tag, '"x"', f"W/{self.tag(id)}"):
            problem = self.problem("precondition-failed", self.put(id, b"two", If_Match=held))
            self.assertEqual((problem["applied"], problem["retryable"]), ("no", False))
        self.assertEqual(self.one(id).body, b"one")
        self.clock.advance(1)
        self.replaced(self.put(id, b"two", If_Match=self.tag(id)))
        self.replaced(self.put(id, b"three", If_Match="*"))
        self.assertEqual(self.texts(), ["three"])

    def test_if_match_of_nothing(self) -> None:
        """Where there is none, none is made."""
        self.clock.advance(10)
        for held in ("*", '"x"'):
            self.problem("precondition-failed", self.put(id_at(NOW + 10.1), If_Match=held))
        id = self.appended("x", "?ttl=1")
        tag = self.tag(id)
        self.clock.advance(2)
        self.problem("precondition-failed", self.put(id, If_Match=tag))
        self.assertEqual(self.texts(), [])

    def test_if_none_match(self) -> None:
        """Only a new one is made."""
        self.clock.advance(10)
        id = id_at(NOW + 10.1)
        self.assertEqual(self.put(id, b"one", If_None_Match="*").status, 201)
        self.problem("precondition-failed", self.put(id, b"two", If_None_Match="*"))
        tag = self.tag(id)
        for held in (tag, f"W/{tag}", f'"x", {tag}'):
            self.problem("precondition-failed", self.put(id, b"two", If_None_Match=held))
        self.assertEqual(self.one(id).body, b"one")
        self.replaced(self.put(id, b"two", If_None_Match='"x"'))
        self.assertEqual(self.one(id).body, b"two")
        self.assertEqual(self.put(id_at(NOW + 10.2), b"new", If_None_Match='"x"').status, 201)


class DeleteTests(SingleTestCase):
    """DELETE …/messages/{id}."""

    def test_once(self) -> None:
        """Then it is not there any more; the others are."""
        one, two = self.appended("one"), self.appended("two")
        response = self.one(one, "DELETE")
        self.assertEqual((response.status, response.body, response.header("cache-control")), (204, b"", "no-store"))
        self.gone(self.one(one, "DELETE"))
        self.gone(self.one(one))
        self.assertEqual([message["id"] for message in self.page()["messages"]], [two])

    def test_conditions(self) -> None:
        """There are none; a client that sends one must not think that it was kept."""
        id = self.appended("x")
        for name in ("If-Match", "If-None-Match"):
            errors = self.errors("invalid-parameters", self.one(id, "DELETE", **{name: self.tag(id)}))
            self.assertEqual(errors, {name: "is not taken where a message is deleted"})
        self.assertEqual(self.texts(), ["x"])


class WhoTests(SingleTestCase):
    """Who may do what with a message."""

    def test_callers(self) -> None:
        """Readers read and delete, the application writes; of a public queue everyone reads."""
        cases: dict[str, tuple[dict[str, Any], dict[str, tuple[int, ...]]]] = {
            "plain": ({}, {"owner": (200, 204, 204), "other": (403, 403, 403), "nobody": (401, 401, 401)}),
            "shared": (
                {"principals": ["app:other"]},
                {"owner": (403, 204, 403), "other": (200, 403, 204), "nobody": (401, 401, 401)},
            ),
            "public": (
                {"type": "public"},
                {"owner": (200, 204, 204), "other": (200, 403, 403), "nobody": (200, 401, 401)},
            ),
        }
        callers: dict[str, dict[str, str]] = {"owner": OWNER, "other": OTHER, "nobody": {}}
        for queue, (settings, expected) in cases.items():
            self.make(queue, **settings)
            for caller, statuses in expected.items():
                path = self.path(f"/{self.appended('x', queue=queue)}", queue)
                found = [self.raw(method, path, callers[caller], b"y" if method == "PUT" else None).status
                         for method in ("GET", "PUT", "DELETE")]  # fmt: skip
                self.assertEqual(tuple(found), statuses, (queue, caller))

    def test_false_credentials(self) -> None:
        """They are not taken for none."""
        self.make("public", type="public")
        id = self.appended("x", queue="public")
        self.problem("unauthorized", self.one(id, queue="public", Authorization="Application nope"))

    def test_absent(self) -> None:
        """Without the permission, no answer shows what is there."""
        for id in (self.appended("x"), id_at(NOW), "nonsense"):
            for method, body in (("GET", None), ("PUT", b"y"), ("DELETE", None)):
                self.problem("forbidden", self.send(method, self.path(f"/{id}"), body, OTHER, None))
        self.problem("no-such-queue", self.send("GET", self.path(f"/{id_at(NOW)}", "nope")))
        self.problem("no-such-queue", self.send("PUT", self.path(f"/{id_at(NOW)}", "nope"), b"x", OWNER, None))
