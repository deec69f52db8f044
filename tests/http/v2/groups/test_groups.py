"""Consumer groups over v2: created, changed, listed, read and deleted, and the permissions for it."""

from __future__ import annotations

from itertools import product
from typing import Any

from tests.http.api_support import OTHER, OWNER, SETTINGS
from tests.http.group_support import PATCH, GroupTestCase
from tests.http.wire_support import Client

CREATED = "2023-11-14T22:13:20.0000000Z"
DEFAULTS: dict[str, Any] = {
    "start": "oldest",
    "lease": 30,
    "max_deliveries": 0,
    "dead_letter": None,
    "order": "none",
    "guarantee": "at-least-once",
    "max_in_flight": 120_000,
}
EVERYTHING: dict[str, Any] = {
    "start": "2023-11-14T22:00:00.0000000Z",
    "lease": 43200,
    "max_deliveries": 1000,
    "dead_letter": "dead",
    "order": "partition",
    "guarantee": "exactly-once",
    "max_in_flight": 1_000_000,
}
THIRD = {"Authorization": "Application the-key-of-third"}
HERE = "https://app.example.org"


class PatchTests(GroupTestCase):
    """PATCH /v2/{app}/queues/{queue}/groups/{group}."""

    def setUp(self) -> None:
        super().setUp()
        self.make("dead")

    def test_changes(self) -> None:
        """What is given, and nothing else."""
        old = self.made(**EVERYTHING)
        for change in ({"lease": 5}, {"order": "none", "start": "newest"}, {"guarantee": "at-most-once"}):
            response = self.change(change)
            group = self.expect(200, response)
            self.assertEqual(group, {**old, **change, "version": group["version"]})
            self.assertNotEqual(group["version"], old["version"])
            self.assertEqual(response.header("etag"), f'"{group["version"]}"')
            old = group

    def test_null(self) -> None:
        """It brings a member to its default."""
        self.made(**EVERYTHING)
        for name, default in DEFAULTS.items():
            self.assertEqual(self.expect(200, self.change({name: None}))[name], default)

    def test_nothing(self) -> None:
        """An empty patch, and an equal one, change nothing."""
        group = self.made(**EVERYTHING)
        for body in (None, {}, EVERYTHING, self.get()):
            self.assertEqual(self.expect(200, self.change(body)), group)

    def test_in_force(self) -> None:
        """The next claim goes by it."""
        self.made()
        self.appended("a")
        self.expect(200, self.change({"lease": 7}))
        (message,) = self.claimed()
        self.assertEqual((message["lease"], message["lease_until"]), (7, "2023-11-14T22:13:27.0000000Z"))

    def test_refused(self) -> None:
        """As PUT does, and other types."""
        group = self.made()
        self.assertEqual(
            list(self.errors("invalid-body", self.change({"lease": 0, "order": ""}))), ["/lease", "/order"]
        )
        self.assertEqual(list(self.errors("invalid-body", self.change({"dead_letter": "nope"}))), ["/dead_letter"])
        self.assertEqual(list(self.errors("invalid-body", self.change({"version": "x"}))), ["/version"])
        response = self.change({"lease": 5}, content_type="application/json")
        self.problem("unsupported-media-type", response)
        self.assertEqual(response.header("accept-patch"), PATCH)
        self.problem("no-such-group", self.change({"lease": 5}, "nope"))
        self.assertEqual(self.expect(200, self.change({})), group)


class ListTests(GroupTestCase):
    """GET /v2/{app}/queues/{queue}/groups."""

    def names(self, queue: str = "q") -> list[str]:
        return [group["name"] for group in self.expect(200, self.send("GET", f"/queues/{queue}/groups"))["groups"]]

    def test_by_name(self) -> None:
        """All of this queue, and of this life of it."""
        self.assertEqual(self.names(), [])
        self.make("p")
        for name in ("b", "a", "C", "~"):
            self.made(name)
        self.made("x", "p")
        self.assertEqual(self.names(), ["C", "a", "b", "~"])
        self.assertEqual(self.names("p"), ["x"])
        self.assertEqual(self.send("DELETE", self.group("", "a")).status, 204)
        self.assertEqual(self.names(), ["C", "b", "~"])

    def test_shown(self) -> None:
        """As PUT shows them."""
        groups = [self.made("a", lease=5), self.made("b", order="partition")]
        response = self.send("GET", "/queues/q/groups")
        self.assertEqual(self.expect(200, response), {"groups": groups})
        self.assertEqual(response.header("cache-control"), "no-store")


class GetTests(GroupTestCase):
    """GET /v2/{app}/queues/{queue}/groups/{group}."""

    partitions = 2

    def test_lag(self) -> None:
        """Where it is, partition by partition, as messages come and go."""
        self.make("dead")
        self.made(max_deliveries=9)
        empty = {"in_flight": 0, "waiting": 0, "set_aside": 0, "behind": {"count": 0, "exact": True}, "oldest": None}
        self.assertEqual((self.lag(1), self.lag(2)), (empty, empty))
        ids = [self.appended(f"{number}", "?partition=1") for number in range(5)]
        other = self.appended("x", "?partition=2")
        behind = {"count": 5, "exact": True}
        self.assertEqual(self.lag(1), {**empty, "behind": behind, "oldest": ids[0]})
        first, second, third = self.receipts(limit=3, partitions=[1])
        self.assertEqual(self.lag(1), {**empty, "in_flight": 3, "behind": behind, "oldest": ids[0]})
        self.settled(ack=[first], retry=[{"receipt": second, "delay": 60}], reject=[third])
        behind = {"count": 3, "exact": True}
        expected = {**empty, "waiting": 1, "set_aside": 1, "behind": behind, "oldest": ids[1]}
        self.assertEqual((self.lag(1), self.lag(2)["oldest"]), (expected, other))

    def test_oldest_age(self) -> None:
        """Seconds since the oldest that is not settled was posted."""
        self.made()
        self.assertIsNone(self.get()["lag"][0]["oldest_age"])
        self.appended("a", "?partition=1")
        self.clock.advance(8.5)
        self.assertAlmostEqual(self.get()["lag"][0]["oldest_age"], 8.5, 3)

    def test_settled_through(self) -> None:
        """A cursor: who reads on from there sees what is not settled."""
        self.made()
        for number in range(4):
            self.appended(f"{number}", "?partition=2")
        receipts = self.receipts(partitions=[2])
        for done, left in ((0, ["0", "1", "2", "3"]), (2, ["1", "2", "3"]), (1, ["3"]), (3, [])):
            if done:
                self.settled(ack=[receipts[{2: 0, 1: 1, 3: 3}[done]]])
            if done == 1:
                self.settled(ack=[receipts[2]])
            place = self.get()["lag"][1]["settled_through"]
            self.assertEqual(self.texts(f"partition=2&after={place}"), left)

    def test_tag(self) -> None:
        """It is of the settings; the answer is whole all the same."""
        group = self.made()
        tag = f'"{group["version"]}"'
        response = self.send("GET", self.group(), None, {**OWNER, "If-None-Match": tag})
        self.assertEqual((self.expect(200, response)["version"], response.header("etag")), (group["version"], tag))
        self.assertEqual(response.header("cache-control"), "no-store")

    def test_nothing_there(self) -> None:
        """No queue, no group."""
        self.problem("no-such-group", self.send("GET", self.group()))
        self.problem("no-such-queue", self.send("GET", self.group("", "g", "nope")))
        self.problem("no-such-queue", self.send("GET", "/queues/nope/groups"))


class DeleteTests(GroupTestCase):
    """DELETE /v2/{app}/queues/{queue}/groups/{group}, and what becomes of groups whose queue is deleted."""

    def test_delete(self) -> None:
        """It is gone, and messages stay; a new group of the name begins at its own start, and accepts no receipt of the
        old one."""
        self.made()
        self.appended("a")
        receipt = self.receipt()
        response = self.send("DELETE", self.group())
        self.assertEqual((response.status, response.body), (204, b""))
        for method, rest in (("GET", ""), ("DELETE", ""), ("POST", "/settlements"), ("POST", "/seek")):
            self.problem("no-such-group", self.send(method, self.group(rest)))
        self.made()
        self.assertEqual(self.stale("no", ack=[receipt]), ["invalid"])
        self.assertEqual(self.given(), ["a"])
        self.assertEqual(self.texts(), ["a"])

    def test_queue(self) -> None:
        """Its groups end with it, and a new one of its name has none."""
        self.made()
        self.appended("a")
        receipt = self.receipt()
        self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
        for method, rest in (("GET", ""), ("PUT", ""), ("POST", "/claims"), ("POST", "/settlements")):
            self.problem("no-such-queue", self.send(method, self.group(rest)))
        self.make("q")
        self.problem("no-such-group", self.send("GET", self.group()))
        self.assertEqual(self.expect(200, self.send("GET", "/queues/q/groups")), {"groups": []})
        self.appended("b")
        self.assertEqual(self.given(), ["b"])
        self.assertEqual(self.stale("no", ack=[receipt]), ["invalid"])

    def test_others_stay(self) -> None:
        """Groups of one queue know nothing of each other."""
        self.appended("a")
        mine, theirs = self.receipt("mine"), self.receipt("theirs")
        self.assertEqual(self.send("DELETE", self.group("", "mine")).status, 204)
        self.assertEqual(self.settled("theirs", ack=[theirs]), ["acked"])
        self.assertEqual(self.stale("no", "theirs", ack=[mine]), ["invalid"])


class CallerTests(GroupTestCase):
    """Who may do what."""

    settings = SETTINGS.replace("other =", "third = the-key-of-third\nother =")

    SEE = (("GET", ""), ("GET", "/g"))
    CHANGE = (("PUT", "/g"), ("PATCH", "/g"), ("DELETE", "/nope"), ("POST", "/g/seek"), ("POST", "/g/redrive"))
    WORK = (("POST", "/g/claims"), ("POST", "/g/settlements"))

    def allowed(self, queue: str, caller: dict[str, str]) -> set[tuple[str, str]]:
        """What a caller may do; all else is refused as it should be."""
        found = set()
        for method, path in (*self.SEE, *self.CHANGE, *self.WORK):
            response = self.send(method, f"/queues/{queue}/groups{path}", None, caller)
            if response.status in (401, 403):
                self.problem("forbidden" if caller else "unauthorized", response)
            else:
                self.assertIn(response.status, (200, 400, 404), response)
                found.add((method, path))
        return found

    def test_table(self) -> None:
        """The application's key, the queue's principals, others, and callers without credentials; public queues make no
        difference."""
        everything, see, work = {*self.SEE, *self.CHANGE, *self.WORK}, set(self.SEE), set(self.WORK)
        change = set(self.CHANGE)
        nothing = set[tuple[str, str]]()
        for kind, (principals, expected) in product(
            ("user", "public"),
            (
                ([], (everything, nothing, nothing, nothing)),
                (["app:other"], (see | change, see | work, nothing, nothing)),
                (["app:app", "app:other"], (everything, see | work, nothing, nothing)),
            ),
        ):
            name = f"{kind}-{len(principals)}"
            self.make(name, type=kind, principals=principals)
            self.made("g", name)
            for caller, found in zip((OWNER, OTHER, THIRD, {}), expected, strict=True):
                self.assertEqual(self.allowed(name, caller), found, (name, caller))

    def test_order(self) -> None:
        """What is refused first: the application, the key, the queue, the right, the group, and then what is wrong."""
        for path, headers, code in (
            ("/v2/nope/queues/q/groups/g?x=", OWNER, "no-such-application"),
            ("/v2/app/queues/nope/groups/g?x=", {"Authorization": "Application no"}, "unauthorized"),
            ("/v2/app/queues/nope/groups/g?x=", OTHER, "no-such-queue"),
            ("/v2/app/queues/q/groups/g?x=", OTHER, "forbidden"),
            ("/v2/app/queues/q/groups/g?x=", OWNER, "invalid-parameters"),
            ("/v2/app/queues/q/groups/g", OWNER, "no-such-group"),
        ):
            self.problem(code, self.ask("GET", path, headers))

    def test_who_makes_by_claiming(self) -> None:
        """Only the application: for others an unknown group is 404, whatever their claim looks like."""
        self.make("shared", principals=["app:other", "app:app"])
        for body in (None, {"limit": 0}):
            response = self.send("POST", self.group("/claims", "new", "shared"), body, OTHER)
            self.problem("no-such-group", response)
        self.problem("invalid-body", self.send("POST", self.group("/claims", "new", "shared"), {"limit": 0}))
        self.problem("no-such-group", self.send("GET", self.group("", "new", "shared")))
        self.expect(200, self.send("POST", self.group("/claims", "new", "shared")))
        self.expect(200, self.send("POST", self.group("/claims", "new", "shared"), None, OTHER))
        self.assertEqual(self.get("new", "shared")["lease"], 30)

    def test_create_on_write(self) -> None:
        """Only a message makes a queue."""
        self.client = Client(self.make_assembly(f"{SETTINGS}[application:app]\ncreate_queues = on-write\n").site)
        for method, rest in (("GET", ""), ("PUT", ""), ("POST", "/claims"), ("POST", "/settlements")):
            self.problem("no-such-queue", self.send(method, self.group(rest, "g", "new")))

    def test_other_applications(self) -> None:
        """A queue of the same name is another one, and its receipts are foreign."""
        self.expect(201, self.ask("PUT", "/v2/other/queues/q", OTHER))
        self.expect(201, self.ask("PUT", "/v2/other/queues/q/groups/g", OTHER))
        self.appended("a")
        receipt = self.receipt()
        body = b'{"ack": ["%b"]}' % receipt.encode()
        fields = {**OTHER, "Content-Type": "application/json"}
        problem = self.problem(
            "stale-receipts", self.ask("POST", "/v2/other/queues/q/groups/g/settlements", fields, body)
        )
        self.assertEqual(problem["outcomes"], [{"receipt": receipt, "outcome": "invalid"}])
        self.assertEqual(self.settled(ack=[receipt]), ["acked"])


class FrameTests(GroupTestCase):
    """What the paths of groups have in common with all others."""

    PATHS = (
        ("/queues/q/groups", "GET, HEAD, OPTIONS"),
        ("/queues/q/groups/g", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        *((f"/queues/q/groups/g/{name}", "OPTIONS, POST") for name in ("claims", "settlements", "seek", "redrive")),
    )

    def setUp(self) -> None:
        super().setUp()
        self.made()

    def test_methods(self) -> None:
        """405 names those that there are."""
        for path, methods in self.PATHS:
            for method in {"GET", "PUT", "POST", "PATCH", "DELETE", "TRACE"} - set(methods.split(", ")):
                response = self.send(method, path, b"")
                self.problem("method-not-allowed", response)
                self.assertEqual(response.header("allow"), methods)

    def test_nothing_there(self) -> None:
        """A slash at the end makes another path."""
        for path in (*(f"{path}/" for path, _ in self.PATHS), "/queues/q/groups/g/x", "/queues/q/groups//claims",
                     "/queues/q/groups/g/claims/1", "/queues/q/Groups"):  # fmt: skip
            for method in ("GET", "POST"):
                self.problem("nothing-here", self.send(method, path, b""))

    def test_head(self) -> None:
        """As GET, without the body."""
        for path in ("/queues/q/groups", "/queues/q/groups/g", "/queues/q/groups/nope"):
            get, head = self.send("GET", path), self.send("HEAD", path)
            self.assertEqual((head.status, head.body), (get.status, b""))
            for name in ("content-type", "content-length", "etag", "cache-control", "vary"):
                self.assertEqual(head.header(name), get.header(name), name)

    def test_strict(self) -> None:
        """Parameters, encodings and other types of bodies are refused everywhere."""
        for path, methods in self.PATHS:
            for method in set(methods.split(", ")) - {"OPTIONS", "HEAD"}:
                errors = self.errors("invalid-parameters", self.send(method, f"{path}?x=1"))
                self.assertEqual(errors, {"x": "is not known; there are none here"})
                self.problem("content-encoding", self.send(method, path, b"", {**OWNER, "Content-Encoding": "gzip"}))
                if method in ("PUT", "PATCH", "POST"):
                    self.problem("unsupported-media-type", self.send(method, path, b"{}", OWNER, "text/plain"))
                    for body in (b"[]", b"{", b"\xff", b'{"a": 1, "a": 1}', b"null"):
                        kind = PATCH if method == "PATCH" else "application/json"
                        self.problem("invalid-body", self.send(method, path, body, OWNER, kind))
        self.assertEqual(self.get()["lease"], 30)

    def test_cors(self) -> None:
        """Pages of other origins, before authentication and on every answer."""
        self.client = Client(self.make_assembly(f"{SETTINGS}[application:app]\ncors_origins = {HERE}\n").site)
        asking = {"Origin": HERE, "Access-Control-Request-Method": "POST"}
        for path, methods in self.PATHS:
            response = self.send("OPTIONS", path, None, asking)
            self.assertEqual((response.status, response.header("access-control-allow-origin")), (204, HERE))
            self.assertEqual(response.header("access-control-allow-methods"), methods)
        for response in (
            self.send("GET", self.group(), None, {**OWNER, "Origin": HERE}),
            self.ask_claim(None, Origin=HERE),
            self.ask_settle({"ack": ["x"]}, Origin=HERE),
            self.ask_settle({"ack": 1}, Origin=HERE),
        ):
            self.assertEqual(response.header("access-control-allow-origin"), HERE)
            self.assertIn("ETag", response.header("access-control-expose-headers") or "")
