"""What each method does, on a whole daemon in memory."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import ILogObserver, globalLogPublisher

from queuey.errors import AlreadyThere, Conflict, StorageFull, Unavailable
from queuey.http.connection.limits import OVERLOADED, TIMEOUT, TOO_LARGE
from queuey.http.root import HEARTBEAT
from queuey.model.applications.application import MAX_KEYS, digest_of
from queuey.ops import faults
from queuey.ops.access import render_refusal
from queuey.ops.methods.store import Store
from queuey.ops.rpc import CallContext
from tests.http.api_support import KEY, NOW, OWNER, SETTINGS
from tests.ops.support import OpsTestCase

TIME = r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"


class AuditedTestCase(OpsTestCase):
    """Hears what is logged."""

    def setUp(self) -> None:
        super().setUp()
        self.events: list[dict[str, Any]] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def audited(self) -> list[dict[str, Any]]:
        """The audit lines since it was last asked."""
        found = [event for event in self.events if event.get("event") == "audit"]
        del self.events[:]
        return found

    def post_as(self, application: str, key: str) -> int:
        """The status of a message that an application posts with a key."""
        headers = {"Authorization": f"Application {key}", "Content-Type": "text/plain"}
        return self.ask("POST", f"/v2/{application}/queues/q/messages", headers, b"hello").status


class QueuesTests(AuditedTestCase):
    """Queues of any application."""

    def test_seeing_and_ending_them(self) -> None:
        queue = self.make_queue("q", partitions="2")
        for text in ("one", "two"):
            self.posted(queue, text)
        found = self.call("queues.list", application="app")
        self.assertEqual([one["name"] for one in found["queues"]], ["q"])
        described = self.call("queues.describe", application="app", queue="q")
        self.assertEqual((described["partitions"], described["messages"]), (2, 2))
        self.assertEqual((described["bytes"], described["approximate"]), (6, False))
        self.assertRegex(described["oldest"], r"\A20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]{16}Z\Z")
        self.assertEqual(self.fault("queues.purge", "app", "q", "never")["data"]["code"], "invalid-parameters")
        self.call("queues.purge", "app", "q", "2001-01-01T00:00:00Z")
        self.assertEqual(self.call("queues.describe", "app", "q")["messages"], 2)
        self.clock.advance(1)
        self.call("queues.purge", "app", "q", "oldest")
        self.assertEqual(self.call("queues.describe", "app", "q")["messages"], 2)
        self.call("queues.purge", application="app", queue="q")
        self.assertIsNone(self.call("queues.describe", "app", "q")["oldest"])
        self.assertEqual(self.call("queues.describe", "app", "q")["messages"], 0)
        for word in ("now", "newest"):
            self.posted(queue, "three")
            self.clock.advance(1)
            self.call("queues.purge", "app", "q", word)
            self.assertEqual(self.call("queues.describe", "app", "q")["messages"], 0)
        self.call("queues.remove", application="app", queue="q")
        for method in ("queues.describe", "queues.purge", "queues.remove"):
            self.assertEqual(self.fault(method, "app", "q")["data"]["code"], "no-such-queue")
        self.assertEqual(self.fault("queues.list", "nobody")["data"]["code"], "no-such-application")
        lines = [(line["method"], line["outcome"]) for line in self.audited()]
        self.assertEqual(
            [method for method, outcome in lines if outcome == "done"], ["queues.purge"] * 5 + ["queues.remove"]
        )

    def test_pages(self) -> None:
        for name in ("a", "b", "c"):
            self.make_queue(name)
        page = self.call("queues.list", application="app", limit=2)
        self.assertEqual(([one["name"] for one in page["queues"]], page["next"]), (["a", "b"], "b"))
        page = self.call("queues.list", application="app", after="b")
        self.assertEqual(([one["name"] for one in page["queues"]], page["next"]), (["c"], None))
        page = self.call("queues.list", application="app", prefix="b")
        self.assertEqual([one["name"] for one in page["queues"]], ["b"])


class DaemonTests(AuditedTestCase):
    """The daemon itself."""

    def test_status(self) -> None:
        status = self.call("status")
        self.assertEqual((status["backend"], status["store"], status["draining"]), ("memory", "answers", False))
        self.assertRegex(status["started"], TIME)
        self.clock.advance(61)
        self.assertEqual(self.call("status")["uptime"], 61)
        self.patch(self.assembly.store, "ping", lambda: fail(Unavailable("The disk is gone.")))
        self.assertEqual(self.call("status")["store"], "The disk is gone.")

    def test_drain(self) -> None:
        self.assertEqual(self.ask("GET", HEARTBEAT).status, 200)
        self.assertTrue(self.call("drain"))
        answer = self.ask("GET", HEARTBEAT)
        self.assertEqual((answer.status, list(answer.error), answer.header("retry-after")), (503, ["draining"], "1"))
        queue = self.make_queue()
        self.posted(queue, "it goes on serving")
        self.assertFalse(self.call("undrain"))
        self.assertEqual(self.ask("GET", HEARTBEAT).status, 200)
        self.assertEqual(
            [(line["before"], line["after"]) for line in self.audited()], [("false", "true"), ("true", "false")]
        )

    def test_level(self) -> None:
        self.assertEqual(self.call("log.level"), "info")
        self.assertEqual(self.audited(), [])
        self.assertEqual(self.call("log.level", level="debug"), "debug")
        self.assertEqual(self.assembly.log.level, "debug")
        (line,) = self.audited()
        self.assertEqual((line["before"], line["after"]), ('"info"', '"debug"'))
        self.assembly.use(self.assembly.in_force.settings)
        self.assertEqual(self.call("log.level"), "info")

    def test_a_store_that_is_no_folder(self) -> None:
        self.assertEqual(self.call("store.check"), {"answers": True, "integrity": None})
        self.assertEqual(self.fault("store.backup")["data"]["code"], "not-promised")


class RetryTests(OpsTestCase):
    """Whether an error says truly that the same call may succeed later."""

    def retryable(self, method: str, **params: Any) -> tuple[str, bool]:
        data = self.fault(method, **params)["data"]
        return data["code"], data["retryable"]

    def test_keys(self) -> None:
        """A key that is there stays there, and a full application has no room until a key is revoked."""
        self.call("applications.set", name="shop", max_queues=5)
        key = {"application": "shop", "digest": f"sha256:{digest_of('own').hex()}"}
        self.call("keys.add", **key)
        beginning = key["digest"][:-50]  # whose id is the same
        for digest in (key["digest"], beginning + "0" * 50):
            self.assertEqual(self.retryable("keys.add", application="shop", digest=digest), ("conflict", False))
        for _ in range(MAX_KEYS - 1):
            self.call("keys.add", application="shop")
        self.assertEqual(self.retryable("keys.add", application="shop"), ("storage-full", False))

    def test_what_is_no_call(self) -> None:
        """It is none the next time either."""
        self.assertEqual(self.retryable("no.such"), ("no-such-method", False))
        self.assertEqual(self.retryable("log.level", level="loud"), ("invalid-parameters", False))
        for body in (b"", b"[]", b"{"):
            self.assertIs(self.error(self.expect(200, self.send_call(body)))["data"]["retryable"], False)

    def test_refusals(self) -> None:
        """What is refused before it is read says whether it is for want of room, or for what it is."""
        for refusal, word, retryable in (
            (TOO_LARGE, "too-large", False),
            (TIMEOUT, "request-timeout", True),
            (OVERLOADED, "overloaded", True),
        ):
            data = json.loads(render_refusal(None, refusal)[1])["error"]["data"]
            self.assertEqual((data["code"], data["retryable"], data["applied"]), (word, retryable, "no"))


class Made:
    path, bytes, messages, queues = Path("/b/name"), 7, 8, 9


class Caring:
    """What can be done to a store, as a test says."""

    def __init__(self) -> None:
        self.checking: Deferred[str] = succeed("ok")
        self.targets: list[Path] = []
        self.error: Exception | None = None

    def check(self) -> Deferred[str]:
        return self.checking

    def back_up(self, target: Path) -> Deferred[Any]:
        self.targets.append(target)
        return succeed(Made) if self.error is None else fail(self.error)


class StoreTests(OpsTestCase):
    """A store that is a folder."""

    def setUp(self) -> None:
        super().setUp()
        self.care = Caring()
        self.folder: Path | None = Path("/b")
        self.methods = Store(self.assembly.store, self.care, lambda: self.folder, lambda: NOW)

    def done(self, work: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def failed(self, work: Any, *kinds: type[Exception]) -> Any:
        return self.failureResultOf(Deferred.fromCoroutine(work), *kinds).value

    def test_check(self) -> None:
        self.assertEqual(self.done(self.methods.jsonrpc_check(CallContext("me")))["integrity"], "ok")
        self.care.checking = Deferred()
        checking = Deferred.fromCoroutine(self.methods.jsonrpc_check(CallContext("me")))
        error = self.failed(self.methods.jsonrpc_backup(CallContext("me")), Exception)
        self.assertIn("already", str(error))
        self.care.checking.callback("row 7 is missing")
        self.assertEqual(self.successResultOf(checking)["integrity"], "row 7 is missing")
        self.done(self.methods.jsonrpc_backup(CallContext("me")))

    def test_backup(self) -> None:
        call = CallContext("me")
        found = self.done(self.methods.jsonrpc_backup(call))
        self.assertEqual(found, {"path": "/b/name", "bytes": 7, "messages": 8, "queues": 9})
        self.assertEqual(call.after, found)
        self.done(self.methods.jsonrpc_backup(CallContext("me"), name="before-the-move"))
        self.assertEqual(self.care.targets, [Path("/b/queuey-20231114T221320Z"), Path("/b/before-the-move")])

    def test_a_folder_that_is_there(self) -> None:
        """To ask for the same name again fails again; a name that is made of the time is another one a second later."""
        self.care.error = AlreadyThere("It is there already.")
        named = self.failed(self.methods.jsonrpc_backup(CallContext("me"), name="monday"), AlreadyThere)
        self.assertEqual((faults.of(named).word, faults.of(named).members["retryable"]), ("conflict", False))
        timed = self.failed(self.methods.jsonrpc_backup(CallContext("me")), Conflict)
        self.assertEqual((faults.of(timed).word, faults.of(timed).members["retryable"]), ("conflict", True))

    def test_names_of_no_folder_of_its_own(self) -> None:
        for name in ("", ".", "..", "../x", "/etc", "a/b", ".hidden", "x" * 101, "a b", "\0"):
            error = self.failed(self.methods.jsonrpc_backup(CallContext("me"), name=name), Exception)
            self.assertEqual(error.word, "invalid-parameters", name)
        self.assertEqual(self.care.targets, [])

    def test_no_folder_and_no_room(self) -> None:
        self.care.error = StorageFull("There is no room.")
        self.failed(self.methods.jsonrpc_backup(CallContext("me")), StorageFull)
        self.care.error = None
        self.done(self.methods.jsonrpc_backup(CallContext("me")))
        self.folder = None
        error = self.failed(self.methods.jsonrpc_backup(CallContext("me")), Exception)
        self.assertIn("ops_backups", str(error))


class SecretsTests(AuditedTestCase):
    """What is secret is nowhere but where it has to be."""

    settings = SETTINGS + "[server]\nops_token = the-token-of-the-operators\n"

    def test_no_repr_has_any(self) -> None:
        text = repr(self.assembly) + repr(self.assembly.in_force.settings) + repr(self.assembly.in_force.given())
        for secret in (KEY, "the-token-of-the-operators"):
            self.assertNotIn(secret, text)
            self.assertNotIn(digest_of(secret).hex(), text)
            self.assertNotIn(repr(digest_of(secret)), text)
        self.assertIsNotNone(re.search("max_body", text))


class GroupsTests(AuditedTestCase):
    """Consumer groups of any queue."""

    def test_seeing_and_moving_them(self) -> None:
        queue = self.make_queue("q", partitions="2")
        for number in range(3):
            self.posted(queue, str(number), partition="1")
        group = "/v2/app/queues/q/groups/workers"
        typed = {**OWNER, "Content-Type": "application/json"}
        self.assertEqual(self.ask("PUT", group, typed, b'{"lease": 60}').status, 201)
        (listed,) = self.call("groups.list", application="app", queue="q")
        self.assertEqual((listed["name"], listed["lease"], listed["order"]), ("workers", 60, "none"))
        claimed = self.expect(200, self.ask("POST", f"{group}/claims", typed, b'{"limit": 1}'))
        self.assertEqual(len(claimed["messages"]), 1)
        described = self.call("groups.describe", application="app", queue="q", group="workers")
        first, second = described["partitions"]
        self.assertEqual((first["behind"], first["in_flight"], second["behind"]), (3, 1, 0))
        for time in (first["oldest"], first["settled_through"]):
            self.assertRegex(time, r"\A20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]{16}Z\Z")
        self.assertIsNone(second["oldest"])
        self.assertEqual(set(listed), set(described) - {"partitions"})
        self.clock.advance(1)
        self.call("groups.seek", application="app", queue="q", group="workers", to="newest", partitions=[1])
        first, _ = self.call("groups.describe", "app", "q", "workers")["partitions"]
        self.assertEqual((first["behind"], first["in_flight"]), (0, 0))
        self.call("groups.seek", "app", "q", "workers", "2001-01-01T00:00:00Z")
        first, _ = self.call("groups.describe", "app", "q", "workers")["partitions"]
        self.assertEqual(first["behind"], 3)
        self.call("groups.seek", "app", "q", "workers", "now")
        first, _ = self.call("groups.describe", "app", "q", "workers")["partitions"]
        self.assertEqual(first["behind"], 0)
        self.call("groups.seek", "app", "q", "workers", "oldest")
        first, _ = self.call("groups.describe", "app", "q", "workers")["partitions"]
        self.assertEqual(first["behind"], 3)
        for secret in ("gid", "secret"):
            self.assertNotIn(secret, described)
        self.assertEqual([line["method"] for line in self.audited()], ["groups.seek"] * 4)

    def test_what_is_wrong(self) -> None:
        self.make_queue("q")
        self.assertEqual(self.call("groups.list", "app", "q"), [])
        self.assertEqual(self.fault("groups.describe", "app", "q", "none")["data"]["code"], "no-such-group")
        self.assertEqual(self.fault("groups.list", "app", "none")["data"]["code"], "no-such-queue")
        typed = {**OWNER, "Content-Type": "application/json"}
        self.ask("PUT", "/v2/app/queues/q/groups/workers", typed, b"{}")
        for to, some in (("never", None), ("oldest", []), ("oldest", [0]), ("oldest", [2]), ("oldest", [1, 1])):
            params = {"application": "app", "queue": "q", "group": "workers", "to": to, "partitions": some}
            self.assertEqual(self.fault("groups.seek", **params)["data"]["code"], "invalid-parameters", (to, some))
