"""The methods about applications and their keys."""

from __future__ import annotations

import json
import re
from pathlib import Path

import attrs

from queuey.config.declarations import policies
from queuey.config.kinds.kinds import size_text
from queuey.config.mistakes import Mistake
from queuey.logs import open_log
from queuey.model.applications import members
from queuey.model.applications.application import digest_of
from queuey.model.applications.aws_keys import aws_key
from queuey.model.applications.policy import Policy
from queuey.ops import faults
from queuey.ops.audit import Audited, audit_logger
from queuey.service.parts.operators import new_key
from tests.http.api_support import NOW
from tests.ops.test_methods import TIME, AuditedTestCase


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
        """A limit that is added to policies is added here too."""
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
