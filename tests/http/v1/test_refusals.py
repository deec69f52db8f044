"""The errors of v1: their order, their texts, and the answers when storage fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from queuey.errors import BadIdentity, IdentityUnavailable, QueueyError, StorageFull, Unavailable
from queuey.http.answers.errors import STATUS
from queuey.interfaces import IStore
from queuey.model.applications.policy import Ack
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import Slice, Window, WindowSlice
from tests.http.api_support import KEY, OTHER, OTHER_KEY, OWNER, SETTINGS, SPARE_KEY, ApiTestCase
from tests.http.wire_support import encode_request

ID = "5a92f3b0cd6e11f0a1b200163e0c7f01"


class CallerTests(ApiTestCase):
    """Who may do what."""

    def setUp(self) -> None:
        super().setUp()
        self.make_queue("plain")
        self.make_queue("public", type="public")
        self.make_queue("shared", principles="app:other,bid:ann@example.org")

    def statuses(self, headers: dict[str, str], queue: str) -> list[int]:
        """What a caller gets for posting, reading, looking up, overwriting, deleting messages, changing the queue."""
        path = f"/v1/app/{queue}"
        return [
            self.ask(method, path + rest, headers, body).status
            for method, rest, body in (
                ("POST", "", b"x"),
                ("GET", "", None),
                ("GET", f"/{ID}", None),
                ("PUT", f"/{ID}", b"x"),
                ("DELETE", f"/{ID}", None),
                ("PUT", "", None),
            )
        ]

    def test_messages(self) -> None:
        """Owners write; principals read and delete, owners do where there are none; everyone reads what is public."""
        self.assertEqual(self.statuses(OWNER, "plain"), [201, 200, 200, 200, 200, 200])
        self.assertEqual(self.statuses(OWNER, "shared"), [201, 403, 403, 200, 403, 200])
        self.assertEqual(self.statuses(OTHER, "plain"), [403] * 6)
        self.assertEqual(self.statuses(OTHER, "public"), [403, 200, 200, 403, 403, 403])
        self.assertEqual(self.statuses(OTHER, "shared"), [403, 200, 200, 403, 200, 403])
        self.assertEqual(self.statuses({}, "plain"), [403] * 6)
        self.assertEqual(self.statuses({}, "public"), [403, 200, 200, 403, 403, 403])

    def test_no_cache_keeps_answers(self) -> None:
        """Neither answers nor refusals: a signed URL has no Authorization that would forbid it to a shared cache."""
        for method, path, status in (
            ("GET", "/v1/app", 200), ("POST", "/v1/app/plain", 201), ("GET", "/v1/app/plain", 200),
            ("HEAD", "/v1/app/plain", 200), ("GET", f"/v1/app/plain/{ID}", 200), ("GET", "/v1/app/plain?limit=0", 400),
            ("GET", "/v1/nope/q", 404), ("PATCH", "/v1/app/plain", 405), ("OPTIONS", "/v1/app/plain", 204),
            ("GET", "/__heartbeat__", 200),
        ):  # fmt: skip
            response = self.ask(method, path, OWNER, b"x" if method == "POST" else None)
            self.assertEqual((response.status, response.header("cache-control")), (status, "no-store"), path)
        self.assertEqual(self.ask("GET", "/v1/app/plain", {}).header("cache-control"), "no-store")

    def test_application(self) -> None:
        """Listing, creating and deleting queues are the owner's."""
        for headers in ({}, OTHER):
            for response in (
                self.ask("GET", "/v1/app", headers),
                self.form("POST", "/v1/app", headers, queue_name="new"),
                self.ask("DELETE", "/v1/app/public", headers),
            ):
                errors = self.refused(403, response)
                self.assertEqual(list(errors), ["Forbidden"])
                self.assertIn("Access was denied", errors["Forbidden"])
        self.assertEqual(self.ask("DELETE", "/v1/app/public").status, 200)

    def test_ways_to_show_a_key(self) -> None:
        """Schemes in any case, several credentials in one header, several keys of one application."""
        for value in (
            f"Application {SPARE_KEY}",
            f"application {KEY}",
            f"APPLICATION   {KEY}  ",
            f"Application {KEY}; BrowserID abc",
            f"Application {OTHER_KEY};Application {KEY}",
            f";Bearer x; ;Application {KEY};",
        ):
            self.assertEqual(self.ask("GET", "/v1/app", {"Authorization": value}).status, 200, value)

    def test_anonymous(self) -> None:
        """No credentials, other schemes, or a scheme without a value: denied, and not called false."""
        for value in ("", "Application", "Application ", "Basic YTpi", "Bearer x", KEY, f"Application{KEY}", ";;"):
            self.assertEqual(
                list(self.refused(403, self.ask("GET", "/v1/app", {"Authorization": value}))), ["Forbidden"]
            )

    def test_false_keys(self) -> None:
        """A key is compared whole; one false one among several refuses the request, where none is needed too."""
        for key in (f"{KEY}x", KEY[:-1], KEY.upper(), f"'{KEY}'", "x", f"{KEY} {KEY}", "\xff\xfe"):
            response = self.ask("GET", "/v1/app", {"Authorization": f"Application {key}"})
            self.assertEqual(self.refused(401, response), {"InvalidApplicationKey": "Invalid application key"}, key)
            self.assertEqual(response.header("www-authenticate"), "Application")
        both = {"Authorization": f"Application {KEY}; Application x"}
        self.assertEqual(list(self.refused(401, self.ask("GET", "/v1/app", both))), ["InvalidApplicationKey"])
        self.assertEqual(list(self.refused(401, self.ask("GET", "/v1/app/public", both))), ["InvalidApplicationKey"])


class OrderTests(ApiTestCase):
    """Of several things that are wrong, which one is said."""

    def test_order(self) -> None:
        """HTTP, path, method, application, key, queue, right, parameters."""
        self.make_queue()
        false, bad = {"Authorization": "Application false"}, "?limit=x"
        for method, path, headers, status, name in (
            ("GET", "/v1/nope/nope/%ff", false, 400, "BadRequest"),
            ("GET", f"/v1/nope/nope/x/y{bad}", false, 404, "NotFound"),
            ("PATCH", f"/v1/nope{bad}", false, 405, "MethodNotAllowed"),
            ("GET", f"/v1/nope{bad}", false, 404, "InvalidApplication"),
            ("GET", f"/v1/app/nope{bad}", false, 401, "InvalidApplicationKey"),
            ("GET", f"/v1/app/nope{bad}", {}, 404, "InvalidQueueName"),
            ("GET", f"/v1/app/q{bad}", {}, 403, "Forbidden"),
            ("GET", f"/v1/app/q{bad}", OWNER, 400, "limit"),
        ):
            self.assertEqual(list(self.refused(status, self.ask(method, path, headers))), [name])


class PathTests(ApiTestCase):
    """Paths and methods."""

    def test_nothing_there(self) -> None:
        """404 in JSON, whatever the path looks like."""
        self.make_queue()
        for path in ("/", "/v1", "/v1/", "/v3/app", "//v1/app", "/v1//app", "/v1/app//q", "/v1/app/q/", "/v1/app/q//",
                     f"/v1/app/q/{ID}/x", "/favicon.ico", "/V1/app", "/v1/app/a%2Fb/", "/v1%2fapp", "/__heartbeat__/x",
                     "/%00"):  # fmt: skip
            expected = 200 if path == "/v1/app/q/" else 404
            response = self.ask("GET", path)
            self.assertEqual(response.status, expected, path)
            if expected == 404:
                self.assertEqual(list(response.error), ["NotFound"], path)

    def test_dots_are_names_of_nothing(self) -> None:
        """They are not resolved, and no queue has them as its name."""
        for path in ("/v1/app/..", "/v1/app/.", "/v1/app/%2E%2e"):
            self.assertEqual(list(self.refused(404, self.ask("GET", path))), ["InvalidQueueName"])

    def test_encoded_slash(self) -> None:
        """It is part of a name, and no name here has one."""
        self.make_queue("a")
        for path, status, name in (
            ("/v1/app/a%2Fb", 404, "InvalidQueueName"),
            ("/v1/app%2fa", 404, "InvalidApplication"),
            (f"/v1/app/a/1%2F{ID}", 400, "InvalidMessageID"),
        ):
            self.assertEqual(list(self.refused(status, self.ask("GET", path))), [name])

    def test_slash_at_the_end(self) -> None:
        """It makes no difference."""
        queue = self.make_queue()
        key = self.posted(f"{queue}/", "x")["key"]
        self.assertEqual(self.bodies(f"{queue}/"), ["x"])
        self.assertEqual(self.bodies(f"{queue}/{key}/"), ["x"])
        self.assertEqual(self.ask("GET", "/v1/app/").status, 200)
        self.assertEqual(self.ask("GET", "/__heartbeat__/", {}).status, 200)

    def test_methods(self) -> None:
        """405 names what the path takes."""
        self.make_queue()
        for path, allow in (
            ("/v1/app", "GET, HEAD, OPTIONS, POST"),
            ("/v1/app/q", "DELETE, GET, HEAD, OPTIONS, POST, PUT"),
            (f"/v1/app/q/{ID}", "DELETE, GET, HEAD, OPTIONS, PUT"),
            ("/__heartbeat__", "GET, HEAD"),
        ):
            for method in ("PATCH", "TRACE", "FROB", "get"):
                response = self.ask(method, path)
                self.assertEqual(list(self.refused(405, response)), ["MethodNotAllowed"])
                self.assertEqual(response.header("allow"), allow)

    def test_head(self) -> None:
        """The same head as GET, and no body."""
        queue = self.make_queue()
        self.posted(queue, "x")
        for path in ("/v1/app", queue, "/__heartbeat__", "/v1/app/none", "/nothing"):
            get, head = self.ask("GET", path), self.ask("HEAD", path)
            self.assertEqual((head.status, head.body), (get.status, b""))
            self.assertEqual(head.header("content-length"), get.header("content-length"))
            self.assertEqual(head.header("content-type"), "application/json")

    def test_head_of_a_long_answer(self) -> None:
        """It does not read what it does not send."""
        for number in range(1500):
            self.make_queue(f"q{number}")
        names, asked = self.store.names, []

        def count(*arguments: Any) -> Any:
            asked.append(arguments)
            return names(*arguments)

        self.store.names = count  # type: ignore[method-assign,assignment]
        self.assertEqual(self.ask("HEAD", "/v1/app").status, 200)
        self.assertEqual(len(asked), 1)

    def test_heartbeat(self) -> None:
        """It needs no credentials, and does not look at those that come."""
        for headers in ({}, OWNER, {"Authorization": "Application false"}):
            self.assertEqual(self.expect(200, self.ask("GET", "/__heartbeat__", headers)), {"status": "ok"})

    def test_one_connection(self) -> None:
        """Refusals of handlers leave the connection usable, and are answered in order."""
        self.make_queue()
        connection = self.client.start("GET", "/nothing")
        connection.send(encode_request("PATCH", "/v1/app") + encode_request("GET", "/v1/app/q", OWNER))
        self.assertEqual([r.status for r in connection.responses()], [404, 405, 200])
        self.assertEqual(self.flushLoggedErrors(), [])


class LimitTests(ApiTestCase):
    """What an application may have."""

    settings = (
        SETTINGS + "[application:app]\nmax_queues = 2\nmax_bytes = 100\nmax_body = 60\nttl = 10\nconsistency = weak\n"
    )

    def test_max_queues(self) -> None:
        """One more is refused; one that exists is no more."""
        self.make_queue("a")
        self.make_queue("b")
        errors = self.refused(507, self.form("POST", "/v1/app", queue_name="c"))
        self.assertEqual(list(errors), ["storage-full"])
        self.assertIn("2", errors["storage-full"])
        self.assertEqual(self.form("POST", "/v1/app", queue_name="b").status, 201)
        self.ask("DELETE", "/v1/app/a")
        self.assertEqual(self.form("POST", "/v1/app", queue_name="c").status, 201)

    def test_max_bytes(self) -> None:
        """What would pass the limit is refused, and not stored."""
        queue = self.make_queue()
        self.posted(queue, "x" * 60)
        self.assertEqual(list(self.refused(507, self.post(queue, "y" * 41))), ["storage-full"])
        self.posted(queue, "z" * 40)
        self.assertEqual(self.bodies(queue), ["x" * 60, "z" * 40])

    def test_max_body(self) -> None:
        """A body over the application's limit is too large, before anything of it is looked at."""
        queue = self.make_queue()
        self.posted(queue, "x" * 60)
        errors = self.refused(413, self.post(queue, b"\xff" * 61))
        self.assertEqual(errors, {"RequestTooLarge": "A body of this application has at most 60 bytes."})

    def test_defaults(self) -> None:
        """Its messages' time to live and its queues' consistency are what its settings say."""
        queue = self.make_queue()
        answer = self.expect(200, self.ask("GET", "/v1/app?details=1"))
        self.assertEqual(answer["queues"][0]["consistency"], "weak")
        self.posted(queue, "x")
        self.clock.advance(9.9)
        self.assertEqual(self.bodies(queue), ["x"])
        self.clock.advance(0.1)
        self.assertEqual(self.bodies(queue), [])


_NEVER = ("open", "close", "states", "capabilities", "cached", "health_problems")
"""What asks no database, so that it cannot fail as others do."""


@implementer(IStore)
class Failing:
    """A store whose methods, all or some, fail from a moment on."""

    def __init__(self, store: IStore) -> None:
        self._store = store
        self.error: Exception | None = None
        self.slices = 0
        self.methods: frozenset[str] | None = None

    def __getattr__(self, name: str) -> object:
        method = getattr(self._store, name)
        if self.error is None or name in _NEVER:
            return method
        if self.methods is not None and name not in self.methods:
            return method
        error = self.error
        return lambda *args: fail(error)

    def read_range(self, queue: Queue, window: Window, ack: Ack) -> Deferred[WindowSlice]:
        """Give one slice that has a rest, then fail."""
        if self.slices:
            self.slices -= 1
            return self._store.read_range(queue, window, ack).addCallback(lambda found: Slice(found.messages, window))
        return self.__getattr__("read_range")(queue, window, ack)  # type: ignore[operator,no-any-return]


class FailureTests(ApiTestCase):
    """What is answered when storage fails, or a defect shows."""

    def setUp(self) -> None:
        super().setUp()
        self.queue = self.make_queue()
        self.posted(self.queue, "x")

    def make_store(self) -> IStore:
        self.failing = Failing(super().make_store())
        return self.failing

    def test_unavailable(self) -> None:
        """503 that says when to come again; the heartbeat too."""
        self.failing.error = Unavailable("The store does not answer.", applied="unknown", retry_after=7)
        for response in (
            self.post(self.queue, "y"),
            self.ask("GET", self.queue),
            self.ask("GET", "/v1/app"),
            self.form("POST", "/v1/app", queue_name="new"),
            self.ask("GET", "/__heartbeat__"),
        ):
            self.assertEqual(self.refused(503, response), {"storage": "The store does not answer."})
            self.assertEqual(response.header("retry-after"), "7")

    def test_full(self) -> None:
        """507, and the word for it."""
        self.failing.error = StorageFull("There is no room.")
        self.assertEqual(self.refused(507, self.post(self.queue, "y")), {"storage-full": "There is no room."})

    def test_defect(self) -> None:
        """500 with an incident id and no detail; the log has the traceback."""
        self.failing.error = ZeroDivisionError("secret detail")
        errors = self.refused(500, self.post(self.queue, "y"))
        self.assertEqual(list(errors), ["error"])
        self.assertNotIn("secret", errors["error"])
        self.assertRegex(errors["error"], "[0-9a-f]{32}")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_fails_in_the_middle(self) -> None:
        """An answer that has begun is cut off, so that no client takes it for whole."""
        self.failing.slices, self.failing.error = 1, Unavailable("gone")
        self.failing.methods = frozenset({"read_range"})
        connection = self.client.start("GET", self.queue, OWNER)
        self.assertFalse(connection.open)
        self.assertTrue(connection.received.startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertFalse(connection.received.endswith(b"0\r\n\r\n"))


class TableTests(SynchronousTestCase):
    """The table of statuses."""

    def test_every_error_has_a_status(self) -> None:
        """But for those that never reach a client of v1."""
        inside = {"ConfigurationError", "Conflict"}
        inside |= {"PreconditionFailed", "IdOutOfRange", "KeyReused", "KeyInUse", "NoSuchGroup", "NoSuchMessage"}
        inside |= {"BadCursor", "CursorMismatch", "QueueReplaced", "TooManyQueues"}
        inside |= {"NoSuchPush", "NoSuchSchedule", "PushBlocked", "_Changed"}
        kinds: Sequence[type[QueueyError]] = [*QueueyError.__subclasses__(), BadIdentity, IdentityUnavailable]
        self.assertEqual({kind for kind in kinds if kind.__name__ not in inside}, set(STATUS))
