"""Queues over v2: making, replacing, changing, listing, ending them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from queuey.model.queues.queue import MAX_PRINCIPAL, MAX_PRINCIPALS, QueueSettings
from tests.http.api_support import OTHER, OWNER, SETTINGS, V2TestCase
from tests.http.responses import Response

CREATED = "2023-11-14T22:13:20.0000000Z"
DEFAULTS = {
    "type": "user",
    "partitions": 1,
    "consistency": "strong",
    "guarantee": "at-least-once",
    "principals": [],
    "ttl": 259200,
    "closed": False,
}
EVERYTHING = {
    "type": "public",
    "partitions": 200,
    "consistency": "very-strong",
    "guarantee": "exactly-once",
    "principals": ["bid:first.last+tag@mail.example", "app:other"],
    "ttl": 1,
}
PATCH = "application/merge-patch+json"


class QueueTestCase(V2TestCase):
    """Queues of the application ``app``."""

    def put(self, name: str, body: Any = None, **headers: str) -> Response:
        fields = {**OWNER, **{key.replace("_", "-"): value for key, value in headers.items()}}
        return self.send("PUT", f"/queues/{quote(name, safe='')}", body, fields)

    def made(self, name: str, **settings: Any) -> dict[str, Any]:
        """Make a queue, and give what is said of it."""
        queue: dict[str, Any] = self.expect(201, self.put(name, settings))
        return queue

    def change(self, name: str, body: Any, content_type: str | None = PATCH, **headers: str) -> Response:
        fields = {**OWNER, **{key.replace("_", "-"): value for key, value in headers.items()}}
        return self.send("PATCH", f"/queues/{name}", body, fields, content_type)

    def get(self, name: str) -> dict[str, Any]:
        queue: dict[str, Any] = self.expect(200, self.send("GET", f"/queues/{name}"))
        return queue


class PutTests(QueueTestCase):
    """PUT /v2/{app}/queues/{queue}."""

    def test_new(self) -> None:
        """It has the defaults, a version that is its ETag, and an address."""
        response = self.put("a b")
        queue = self.expect(201, response)
        self.assertEqual(queue, {"name": "a b", **DEFAULTS, "created": CREATED, "version": queue["version"]})
        self.assertEqual(response.header("etag"), f'"{queue["version"]}"')
        self.assertEqual(response.header("location"), "/v2/app/queues/a%20b")
        self.assertEqual(response.header("cache-control"), "no-store")
        self.assertEqual(self.get("a%20b"), queue)

    def test_everything(self) -> None:
        """Each setting is kept, and shown as it was given."""
        queue = self.made("q", **EVERYTHING)
        self.assertEqual({name: queue[name] for name in EVERYTHING}, EVERYTHING)
        self.assertEqual(self.get("q"), queue)

    def test_equal(self) -> None:
        """An equal one changes nothing, however it is written."""
        queue = self.made("q")
        for body in (None, b"", {}, DEFAULTS, queue, {"ttl": None, "principals": None}, b'{"partitions": 1.0}'):
            response = self.put("q", body)
            self.assertEqual(self.expect(200, response), queue)
            self.assertEqual((response.header("etag"), response.header("location")), (f'"{queue["version"]}"', None))

    def test_replaces(self) -> None:
        """What is left out goes to its default, and messages stay."""
        old = self.made("q", **EVERYTHING)
        self.post("/v1/app/q", "kept", partition="1")
        queue = self.expect(200, self.put("q", {"partitions": 200, "type": "public"}))
        self.assertEqual(queue, {**old, **DEFAULTS, "partitions": 200, "type": "public", "version": queue["version"]})
        self.assertNotEqual(queue["version"], old["version"])
        self.assertEqual(self.bodies("/v1/app/q"), ["kept"])

    def test_fewer_partitions(self) -> None:
        """They may not become fewer, by the default neither, and then nothing else is changed."""
        queue = self.made("q", partitions=3)
        for body in ({"partitions": 2, "ttl": 9}, {"ttl": 9}, {"partitions": None}):
            self.assertEqual(self.problem("partitions-shrink", self.put("q", body))["applied"], "no")
        self.assertEqual(self.get("q"), queue)

    def test_get_edit_put(self) -> None:
        """What GET gives can be edited and put back, as long as no other client has changed it."""
        self.made("q", partitions=2)
        queue = self.get("q")
        changed = self.expect(200, self.put("q", {**queue, "ttl": 60}))
        self.assertEqual(changed, {**queue, "ttl": 60, "version": changed["version"]})
        errors = self.errors("invalid-body", self.put("q", {**queue, "ttl": 61}))
        self.assertEqual(errors, {"/version": f'is read-only, and is "{changed["version"]}"'})
        self.assertEqual(self.get("q"), changed)

    def test_read_only(self) -> None:
        """Other values of what the server sets are refused, and for a new queue any."""
        queue = self.made("q")
        for body, errors in (
            ({"name": "p"}, {"/name": 'is read-only, and the path names the queue "q"'}),
            ({"name": 1}, {"/name": 'is read-only, and the path names the queue "q"'}),
            ({"created": "2023-11-14T22:13:21Z"}, {"/created": f'is read-only, and is "{CREATED}"'}),
            ({"created": 1}, {"/created": f'is read-only, and is "{CREATED}"'}),
            ({"version": 1}, {"/version": f'is read-only, and is "{queue["version"]}"'}),
        ):
            self.assertEqual(self.errors("invalid-body", self.put("q", body)), errors)
        self.assertEqual(self.put("q", {"created": "2023-11-14T23:13:20+01:00", "name": "q"}).status, 200)
        for member in ("created", "version"):
            errors = self.errors("invalid-body", self.put("new", {member: queue[member]}))
            self.assertEqual(errors, {f"/{member}": "is read-only, and there is no such queue yet"})
        self.problem("no-such-queue", self.send("GET", "/queues/new"))

    def test_all_that_is_wrong(self) -> None:
        """Every invalid member is named at once, and nothing is made."""
        errors = self.errors(
            "invalid-body",
            self.put("q", {"type": "x", "partitions": 201, "consistency": "VERY-STRONG", "guarantee": 5, "ttl": True,
                           "principals": ["app:app", "fred", 7, "app:"]}),
        )  # fmt: skip
        neither = "none of app:<application>, bid:<e-mail address> or sub:<issuer>#<subject>"
        self.assertEqual(
            errors,
            {
                "/type": '"x" is not one of public, user',
                "/partitions": "is not a whole number from 1 to 200",
                "/consistency": '"VERY-STRONG" is not one of weak, strong, very-strong',
                "/guarantee": "is not text",
                "/ttl": "is not a whole number from 1 to 33554432",
                "/principals/1": f'"fred" is {neither}',
                "/principals/2": f"this is {neither}",
                "/principals/3": f'"app:" is {neither}',
            },
        )
        self.problem("no-such-queue", self.send("GET", "/queues/q"))

    def test_bounds_of_principals(self) -> None:
        """A queue has a bounded number of principals of bounded length, and none with a control character."""
        many = [f"bid:{number}@example.org" for number in range(MAX_PRINCIPALS + 1)]
        self.assertEqual(self.put("q", {"principals": many[1:]}).status, 201)
        self.assertEqual(
            self.errors("invalid-body", self.put("q", {"principals": many})),
            {"/principals": f"has {MAX_PRINCIPALS + 1} principals, and a queue has at most {MAX_PRINCIPALS}"},
        )
        self.assertEqual(
            self.errors("invalid-body", self.put("q", {"principals": ["app:" + "a" * MAX_PRINCIPAL]})),
            {"/principals/0": f"has {MAX_PRINCIPAL + 4} characters, and a principal has at most {MAX_PRINCIPAL}"},
        )
        for body in (b'{"principals": ["bid:a\\u0000@b.org"]}', b'{"principals": ["bid:a\\u009b@b.org"]}'):
            self.assertEqual(list(self.errors("invalid-body", self.put("q", body))), ["/principals/0"])
        self.assertEqual(self.get("q")["principals"], many[1:])

    def test_queues_of_an_earlier_version(self) -> None:
        """A queue that has more and longer principals than may be given now is shown, used and changed otherwise."""
        many = [f"bid:{number}@example.org" for number in range(300)]
        old = ("app:app", *many, "bid:a\ud800\0@b.org", "app:" + "x" * 999)
        self.successResultOf(self.store.create("app", "old", QueueSettings(principals=old), None))
        self.assertEqual(self.get("old")["principals"], list(old))
        changed = self.expect(200, self.change("old", {"ttl": 60}))
        self.assertEqual((changed["ttl"], changed["principals"]), (60, list(old)))
        self.expect(200, self.send("GET", "/queues/old/messages"))

    def test_very_wrong(self) -> None:
        """The answer stays small, however much is wrong."""
        wrong = {"principals": ["x"] * MAX_PRINCIPALS}
        for body, count in ((wrong, MAX_PRINCIPALS), ({f"x{n}": 1 for n in range(40_000)}, 40_000)):
            response = self.put("q", body)
            problem = self.problem("invalid-body", response)
            self.assertIn(f"There are {count} mistakes, of which the first", problem["detail"])
            self.assertLessEqual(len(problem["errors"]), 100)
            self.assertLess(len(response.body), 64 << 10)

    def test_long_type(self) -> None:
        """A type that is none is found to be none at once, however long it is."""
        for kind in (f"application/json{';  ' * 10_000}=", f"application/json{'; a=b' * 5000};c"):
            response = self.send("PUT", "/queues/q", {}, OWNER, kind)
            self.assertEqual(list(self.errors("invalid-parameters", response)), ["Content-Type"])
        self.assertEqual(self.send("PUT", "/queues/q", {}, OWNER, f"application/json{';  ' * 1000}").status, 201)

    def test_bodies_that_are_none(self) -> None:
        """JSON is read strictly."""
        for body, detail in (
            (b"[]", "The body is not a JSON object."),
            (b"null", "The body is not a JSON object."),
            (b"{", "The body is not JSON."),
            (b'{"ttl": NaN}', "The body is not JSON."),
            (b'{"ttl": 5,}', "The body is not JSON."),
            (b'\xef\xbb\xbf{"ttl": 5}', "The body is not JSON."),
            (b"[" * 40_000, "The body is not JSON."),
            (b"[" * 100_000, "The JSON has more than 50000 values."),
            (b"[%b1]" % (b"1," * 50_001), "The JSON has more than 50000 values."),
            (b'{"ttl": ' + b"9" * 10_000 + b"}", "The body is not JSON."),
            (b'{"ttl": 5, "ttl": 5}', 'The JSON has the name "ttl" twice in one object.'),
            (b'{"type": "\\ud800"}', "The JSON has a text with half of a surrogate pair."),
            (b'{"type": "\xff"}', "The body is not UTF-8 text."),
        ):
            problem = self.problem("invalid-body", self.put("q", body))
            self.assertEqual((problem["detail"], problem["errors"]), (detail, [{"pointer": "", "detail": detail}]))

    def test_types(self) -> None:
        """Only JSON in UTF-8, however it is said; an empty body needs no type."""
        for kind in ("application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"'):
            self.assertEqual(self.send("PUT", "/queues/q", b"{}", OWNER, kind).status // 100, 2)
        for kind in ("application/x-www-form-urlencoded", "text/json", PATCH, "multipart/form-data; boundary=x"):
            response = self.send("PUT", "/queues/p", b"{}", OWNER, kind)
            said = f"The body must be application/json, not {kind.partition(';')[0]}."
            self.assertEqual(self.problem("unsupported-media-type", response)["detail"], said)
            self.assertEqual(response.header("accept"), "application/json")
        response = self.send("PUT", "/queues/p", b"{}", OWNER, None)
        said = "The body must be application/json, and the request has no Content-Type."
        self.assertEqual(self.problem("unsupported-media-type", response)["detail"], said)
        response = self.send("PUT", "/queues/p", b"{}", OWNER, "application/json; charset=latin-1")
        said = "JSON must be UTF-8 text, not latin-1."
        self.assertEqual(self.problem("unsupported-media-type", response)["detail"], said)
        errors = self.errors("invalid-parameters", self.send("PUT", "/queues/p", b"{}", OWNER, "json"))
        self.assertEqual(errors, {"Content-Type": '"json" is not a media type'})
        self.problem("no-such-queue", self.send("GET", "/queues/p"))

    def test_names(self) -> None:
        """Any Unicode; what URLs and lists part is refused."""
        for name in ("Größe", "\N{PILE OF POO}" * 50, "%2F", "x?y#z&a=b", "...", "queues", "messages"):
            self.assertEqual(self.made(name)["name"], name)
            self.assertEqual(self.get(quote(name, safe=""))["name"], name)
        for name in ("x" * 81, "a/b", "a,b", "a:b", "a\nb", "\0", ".", ".."):
            errors = self.errors("invalid-parameters", self.put(name))
            self.assertEqual(list(errors), ["queue"], name)

    def test_too_many(self) -> None:
        """The limit that was met is named."""
        settings = SETTINGS + "[application:app]\nmax_queues = 1\n"
        self.assembly = self.make_assembly(settings)
        self.client = self.client.__class__(self.assembly.site)
        self.made("a")
        self.assertEqual(self.problem("storage-full", self.put("b"))["limit"], "max_queues")
        self.assertEqual(self.put("a", {"ttl": 5}).status, 200)

    def test_seen_through_v1(self) -> None:
        """It is the same queue, and what v1 changes keeps what only v2 knows."""
        self.made("q", guarantee="at-most-once", ttl=5, consistency="very-strong")
        self.expect(200, self.form("PUT", "/v1/app/q", OWNER, partitions="2"))
        queue = self.get("q")
        self.assertEqual((queue["partitions"], queue["guarantee"], queue["ttl"]), (2, "at-most-once", 5))
        self.post("/v1/app/q", "x", partition="1")
        self.assertEqual(self.bodies("/v1/app/q"), ["x"])
        self.clock.advance(5)
        self.assertEqual(self.bodies("/v1/app/q"), [])


class GetTests(QueueTestCase):
    """GET /v2/{app}/queues/{queue}."""

    def test_unchanged(self) -> None:
        """304 for who has it already."""
        queue = self.made("q")
        for held in (f'"{queue["version"]}"', f'W/"{queue["version"]}", "x"', "*"):
            response = self.send("GET", "/queues/q", None, {**OWNER, "If-None-Match": held})
            self.assertEqual((response.status, response.header("etag")), (304, f'"{queue["version"]}"'))
            self.assertEqual(response.body, b"")
        self.assertEqual(self.send("GET", "/queues/q", None, {**OWNER, "If-None-Match": '"x"'}).status, 200)

    def test_who_sees_principals(self) -> None:
        """The application and they themselves; others see the rest of a public queue, and nothing of another."""
        principals = ["app:other", "bid:ann@example.org"]
        self.made("public", type="public", principals=principals)
        self.made("private", principals=principals)
        self.made("plain")
        for name in ("public", "private"):
            for caller in (OWNER, OTHER):
                queue = self.expect(200, self.send("GET", f"/queues/{name}", None, caller))
                self.assertEqual(queue["principals"], principals)
        response = self.send("GET", "/queues/public", None, {})
        queue = self.expect(200, response)
        self.assertEqual(set(self.get("public")) - set(queue), {"principals"})
        self.assertEqual(response.header("etag"), f'W/"{queue["version"]}"')
        response = self.send("GET", "/queues/private", None, {})
        self.problem("unauthorized", response)
        self.assertEqual(response.header("www-authenticate"), "Application")
        self.problem("forbidden", self.send("GET", "/queues/plain", None, OTHER))

    def test_absent(self) -> None:
        """404, whatever the name."""
        for name in ("nope", "x" * 81, "a%00b", "%2E%2E"):
            self.problem("no-such-queue", self.send("GET", f"/queues/{name}"))


class DeleteTests(QueueTestCase):
    """DELETE /v2/{app}/queues/{queue}."""

    def test_delete(self) -> None:
        """The queue and its messages; once."""
        self.made("q")
        self.post("/v1/app/q", "gone", partition="1")
        response = self.send("DELETE", "/queues/q")
        self.assertEqual((response.status, response.body, response.header("cache-control")), (204, b"", "no-store"))
        self.problem("no-such-queue", self.send("DELETE", "/queues/q"))
        self.made("q")
        self.assertEqual(self.bodies("/v1/app/q"), [])


class ListTests(QueueTestCase):
    """GET /v2/{app}/queues."""

    def page(self, query: str = "") -> tuple[list[str], str | None]:
        """The names on a page, and where the next begins."""
        response = self.send("GET", f"/queues{query}")
        answer = self.expect(200, response)
        self.assertEqual(set(answer), {"queues", "next"})
        self.assertEqual(answer["next"] is None, response.header("link") is None)
        return [queue["name"] for queue in answer["queues"]], answer["next"]

    def test_none(self) -> None:
        """An application without queues has an empty page."""
        self.assertEqual(self.page(), ([], None))

    def test_whole_queues(self) -> None:
        """Each is shown as GET shows it, in the order of code points."""
        names = ["a", "B", "é", "\N{PILE OF POO}", "a b"]
        made = {name: self.made(name, ttl=5) for name in names}
        self.assertEqual(
            self.expect(200, self.send("GET", "/queues"))["queues"], [made[name] for name in sorted(names)]
        )

    def test_pages(self) -> None:
        """Each but the last says what comes after it; the last one never lies about that."""
        for number in range(4):
            self.made(f"q{number}")
        self.assertEqual(self.page("?limit=2"), (["q0", "q1"], "q1"))
        self.assertEqual(self.page("?limit=2&after=q1"), (["q2", "q3"], None))
        self.assertEqual(self.page("?limit=4"), (["q0", "q1", "q2", "q3"], None))
        self.assertEqual(self.page("?after=q"), (["q0", "q1", "q2", "q3"], None))
        self.assertEqual(self.page("?after=q3"), ([], None))

    def test_prefix(self) -> None:
        """Only the names that begin so; it is part of the link."""
        for name in ("a", "a&b", "a&c", "b"):
            self.made(name)
        self.assertEqual(self.page("?prefix=a%26"), (["a&b", "a&c"], None))
        response = self.send("GET", "/queues?prefix=a&limit=1")
        self.assertEqual(response.header("link"), '</v2/app/queues?prefix=a&after=a&limit=1>; rel="next"')
        response = self.send("GET", "/queues?prefix=a&limit=1&after=a")
        link = response.header("link") or ""
        self.assertEqual(link, '</v2/app/queues?prefix=a&after=a%26b&limit=1>; rel="next"')
        following = self.expect(200, self.ask("GET", link[1:].partition(">")[0]))
        self.assertEqual([queue["name"] for queue in following["queues"]], ["a&c"])

    def test_default_limit(self) -> None:
        """A hundred."""
        for number in range(101):
            self.made(f"{number:03}")
        names, next = self.page()
        self.assertEqual((len(names), next), (100, "099"))
        self.assertEqual(len(self.page("?limit=1000")[0]), 101)

    def test_wrong(self) -> None:
        """Each thing that is wrong is named."""
        for query, name, text in (
            ("limit=+1", "limit", '" 1" is not a whole number from 1 to 1000'),
            ("after=%ff", "after", "is not UTF-8 text, percent-encoded"),
            ("after=%zz", "after", "is not UTF-8 text, percent-encoded"),
        ):
            response = self.send("GET", f"/queues?{query}")
            self.assertEqual(self.errors("invalid-parameters", response), {name: text}, query)
        errors = self.errors("invalid-parameters", self.send("GET", "/queues?limit=x&Prefix=a&after="))
        self.assertEqual(set(errors), {"limit", "Prefix", "after"})

    def test_whose(self) -> None:
        """The application's alone."""
        self.problem("forbidden", self.send("GET", "/queues", None, OTHER))
        self.problem("unauthorized", self.send("GET", "/queues", None, {}))
