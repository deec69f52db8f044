"""What each method does, on a whole house in memory."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import ILogObserver, globalLogPublisher

from queuey.config import policies
from queuey.config.kinds import size_text
from queuey.config.mistakes import Mistake
from queuey.errors import AlreadyThere, Conflict, StorageFull, Unavailable
from queuey.http.connection.limits import OVERLOADED, TIMEOUT, TOO_LARGE
from queuey.http.root import HEARTBEAT
from queuey.logs import open_log
from queuey.model import members
from queuey.model.application import MAX_KEYS, digest_of
from queuey.model.aws_keys import aws_key
from queuey.model.policy import Policy
from queuey.ops import faults
from queuey.ops.audit import Audited, audit_logger
from queuey.ops.door import render_refusal
from queuey.ops.methods.store import Store
from queuey.ops.rpc import CallContext
from queuey.service.operators import new_key
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


class ApplicationsTests(AuditedTestCase):
    """Applications, keys, policies and limits."""

    def test_from_the_first_to_the_last(self) -> None:
        made = self.call("applications.set", name="shop", create_queues="on-write", max_queues=2)
        self.assertEqual((made["name"], made["source"], made["revision"], made["keys"]), ("shop", "store", 1, []))
        self.assertEqual((made["policy"]["create_queues"], made["limits"]["max_queues"]), ("on-write", 2))
        self.assertRegex(made["made"], TIME)
        key = self.call("keys.add", application="shop")
        pair = aws_key(digest_of(key["key"]))
        found = {"id", "made", "key", "aws_access_key_id", "aws_secret_access_key"}
        self.assertEqual(set(key), found)
        self.assertEqual((key["aws_access_key_id"], key["aws_secret_access_key"]), (pair.id, pair.secret))
        self.assertEqual(self.post_as("shop", key["key"]), 201)
        (listed,) = self.call("keys.list", application="shop")
        self.assertEqual(listed, {"id": key["id"], "made": key["made"], "used_here": key["made"]})
        # A minute later the key is used again; what is noted is the begin of that minute.
        self.clock.advance(60)
        self.assertEqual(self.post_as("shop", key["key"]), 201)
        (listed,) = self.call("keys.list", application="shop")
        self.assertEqual(listed["used_here"], "2023-11-14T22:14:00Z")
        other = self.call("keys.add", application="shop", digest=f"sha256:{digest_of('own').hex()}")
        self.assertEqual(set(other), {"id", "made"})
        self.assertEqual(self.post_as("shop", "own"), 201)
        self.assertTrue(self.call("keys.revoke", application="shop", id=key["id"]))
        self.assertEqual((self.post_as("shop", key["key"]), self.post_as("shop", "own")), (401, 201))
        self.assertEqual(self.fault("applications.remove", name="shop")["data"]["code"], "precondition-failed")
        self.assertTrue(self.call("queues.remove", application="shop", queue="q"))
        self.assertTrue(self.call("applications.remove", name="shop"))
        self.assertEqual(self.post_as("shop", "own"), 404)
        self.assertEqual(self.fault("applications.get", name="shop")["data"]["code"], "no-such-application")

    def test_queues_that_were_kept(self) -> None:
        """They can be found and ended though their application is no more."""
        self.call("applications.set", name="shop", create_queues="on-write")
        self.assertEqual(self.post_as("shop", self.call("keys.add", application="shop")["key"]), 201)
        self.assertTrue(self.call("applications.remove", name="shop", keep_queues=True))
        self.assertEqual([one["name"] for one in self.call("queues.list", application="shop")["queues"]], ["q"])
        self.assertTrue(self.call("queues.remove", application="shop", queue="q"))
        self.assertEqual(self.fault("queues.list", application="shop")["data"]["code"], "no-such-application")

    def test_a_key_in_the_place_of_its_id_is_not_written_down(self) -> None:
        self.call("applications.set", name="shop")
        key = self.call("keys.add", application="shop")["key"]
        self.assertEqual(len(self.audited()), 2)
        error = self.fault("keys.revoke", application="shop", id=key)
        self.assertEqual(
            error["data"]["errors"][0]["detail"], "is not the id of a key; allowed: 12 hex digits in lower case"
        )
        self.assertNotIn(key, str(error))
        self.assertEqual(self.audited(), [])
        self.assertEqual(self.fault("keys.revoke", application="shop", id="0" * 12)["code"], faults.INVALID_PARAMS)

    def test_listing(self) -> None:
        for name in ("shop", "shed", "mill"):
            self.call("applications.set", name=name)
        found = self.call("applications.list")
        self.assertEqual([one["name"] for one in found["applications"]], ["app", "mill", "other", "shed", "shop"])
        self.assertEqual(
            found["applications"][0],
            {"name": "app", "source": "settings", "keys": 2, "made": None, "changed": None, "revision": None},
        )
        self.assertIsNone(found["next"])
        page = self.call("applications.list", prefix="sh", limit=1)
        self.assertEqual(([one["name"] for one in page["applications"]], page["next"]), (["shed"], "shed"))
        page = self.call("applications.list", prefix="sh", after="shed")
        self.assertEqual(([one["name"] for one in page["applications"]], page["next"]), (["shop"], None))

    def test_policies_and_limits_are_two_halves(self) -> None:
        self.call("applications.set", name="shop")
        policy = self.call("policies.set", application="shop", ttl=60)
        limits = self.call("limits.set", application="shop", max_body=500)
        self.assertEqual((policy["ttl"], limits["max_body"]), (60, 500))
        self.assertEqual(set(policy) & set(limits), set())
        self.assertEqual(set(policy) | set(limits), {member.name for member in members.MEMBERS})
        self.assertEqual(self.call("policies.get", application="shop"), policy)
        self.assertEqual(self.call("limits.get", application="shop"), limits)
        self.assertEqual(self.call("policies.set", application="shop", ttl=None)["ttl"], 259_200)
        error = self.fault("policies.set", application="shop", max_body=5)
        self.assertEqual(error["data"]["errors"][0]["parameter"], "'max_body'")
        self.assertEqual(self.fault("limits.set", application="nobody")["data"]["code"], "no-such-application")
        self.assertEqual(
            self.fault("limits.set", application="shop", revision=1)["data"]["code"], "precondition-failed"
        )

    def test_all_that_is_wrong_at_once(self) -> None:
        """Members, other parameters, and names that are neither."""
        error = self.fault("applications.set", name=7, ttl="7", max_queues=-1, request_rate=True, cors_origins=1, foo=1)
        wrong = [one["parameter"] for one in error["data"]["errors"]]
        self.assertEqual(wrong, ["'foo'", "name", "ttl", "cors_origins", "max_queues", "request_rate"])
        self.assertIn("max_queues is out of range; allowed: 1 to 1000000000; null for the default", error["message"])

    def test_the_settings_are_read_only(self) -> None:
        shown = self.call("applications.get", name="app")
        self.assertEqual((shown["source"], shown["revision"], len(shown["keys"])), ("settings", None, 2))
        for method, params in (
            ("applications.set", {"name": "app"}),
            ("applications.remove", {"name": "app"}),
            ("keys.add", {"application": "app"}),
            ("keys.revoke", {"application": "app", "id": shown["keys"][0]["id"]}),
            ("policies.set", {"application": "app", "ttl": 5}),
            ("limits.set", {"application": "app"}),
        ):
            self.assertEqual(self.fault(method, **params)["data"]["code"], "forbidden", method)

    def test_what_cannot_be_kept_is_refused(self) -> None:
        error = self.fault("applications.set", name="shop", guarantee="exactly-once", consistency="weak")
        self.assertEqual(error["data"]["code"], "not-promised")
        self.assertEqual(self.fault("applications.get", name="shop")["data"]["code"], "no-such-application")

    def test_changes_are_audited_and_keys_are_not(self) -> None:
        self.assembly.log.set_level("error")
        self.call("applications.set", name="shop", ttl=60)
        self.call("policies.set", application="shop", ttl=61)
        key = self.call("keys.add", application="shop")
        self.call("keys.add", application="shop", digest=f"sha256:{digest_of('own').hex()}")
        self.fault("keys.add", application="nobody")
        self.call("applications.get", name="shop")
        made, changed, added, own, failed = self.audited()
        self.assertEqual((made["method"], made["before"]), ("applications.set", "null"))
        self.assertEqual(json.loads(made["about"]), {"name": "shop", "ttl": 60})
        self.assertEqual(json.loads(changed["before"])["members"], {"ttl": 60})
        self.assertEqual(json.loads(changed["after"])["members"], {"ttl": 61})
        self.assertEqual(json.loads(added["after"])["keys"], [key["id"]])
        self.assertEqual(json.loads(own["about"]), {"application": "shop"})
        self.assertEqual(failed["outcome"], "no-such-application, applied: no")
        for line in (made, changed, added, own, failed):
            self.assertRegex(line["who"], r"^192\.0\.2\.7 [0-9a-f]{32}$")
            text = repr(line)
            for secret in (key["key"], digest_of(key["key"]).hex(), digest_of("own").hex()):
                self.assertNotIn(secret, text)

    def test_no_level_of_the_log_hides_a_change(self) -> None:
        file = Path(self.mktemp())
        log = open_log(file, "text", "error", 2, self.clock.seconds)
        self.addCleanup(log.close)
        audit_logger(log, lambda: NOW)(Audited("me", "drain", {}, False, True, "done"))
        self.assertEqual(file.read_text(), "2023-11-14T22:13:20.000Z info audit me drain {}: false -> true (done)\n")

    def test_lists_as_one_text(self) -> None:
        """Origins and names may be written as in a settings file, and numbers and words in either form."""
        for given, kept in (
            ("http://a.example", ["http://a.example"]),
            ("http://a,http://b", ["http://a", "http://b"]),
        ):
            self.call("applications.set", name="shop", cors_origins=given)
            self.assertEqual(self.call("policies.get", application="shop")["cors_origins"], kept)
        self.call("applications.set", name="shop", consistency="very-strong", ttl=60.0)
        policy = self.call("policies.get", application="shop")
        self.assertEqual((policy["consistency"], policy["ttl"]), ("very_strong", 60))
        error = self.fault("applications.set", name="shop", cors_origins="a b")
        self.assertIn("cors_origins", str(error))

    def test_pages_may_call_what_is_let_in_at_run_time(self) -> None:
        origin = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
        self.call("applications.set", name="shop", cors_origins=["https://shop.example"])
        answer = self.ask("OPTIONS", "/v2/shop/queues/q/messages", origin)
        self.assertEqual(answer.header("access-control-allow-origin"), "https://shop.example")
        self.call("policies.set", application="shop", cors_origins=None)
        answer = self.ask("OPTIONS", "/v2/shop/queues/q/messages", origin)
        self.assertIsNone(answer.header("access-control-allow-origin"))

    def test_new_keys_can_be_sent_and_differ(self) -> None:
        keys = {new_key() for _ in range(100)}
        self.assertEqual(len(keys), 100)
        for key in keys:
            self.assertRegex(key, r"^[A-Za-z0-9_-]{43}$")

    def test_every_member_of_a_policy_can_be_said(self) -> None:
        """Whoever adds one to policies adds it here too."""
        fields = {field.name for field in attrs.fields(Policy)} - {"application"}
        self.assertEqual({member.field for member in members.MEMBERS}, fields)

    def test_members_are_those_of_the_settings(self) -> None:
        """With the same names and the same bounds, whichever way they are said."""
        table = {key.name: key for key in policies.APPLICATION if key is not policies.KEYS}
        self.assertEqual({member.name for member in members.MEMBERS}, set(table))
        for member in members.MEMBERS:
            if member.type != "number":
                continue
            text = member.allowed.replace("the max_body of [server]", str(256 << 20))
            low, high = (json.loads(number) for number in re.findall(r"[0-9.]+", text)[:2])
            is_size = member.name.endswith(("_bytes", "_body"))
            for good in (low, high):
                said = size_text(good) if is_size else str(good)
                self.assertEqual(table[member.name].kind.read(said, Path()), member.read(good), member.name)
            for wrong in (low * 0.9 if isinstance(low, float) else low - 1, high + 1):
                self.assertRaises(ValueError, member.read, wrong)
                self.assertRaises(Mistake, table[member.name].kind.read, str(wrong), Path())


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
