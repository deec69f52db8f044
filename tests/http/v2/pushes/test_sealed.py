"""What is secret of pushes: sealed in the store, masked when it is shown, and sealed again with another key."""

from __future__ import annotations

import json
from base64 import b64decode, urlsafe_b64encode
from typing import Any

from queuey.core.groups.group_changes import GroupChanges
from queuey.model.groups.rows import encode_group
from queuey.model.groups.settings import Group
from queuey.model.pushes.settings import MASK, MAX_HEADER_BYTES, Push
from tests.http.push_support import SEALING, SETTINGS, URL, PushTestCase
from tests.ops.support import OpsTestCase
from tests.ops.test_methods import AuditedTestCase

TOKEN = "Bearer of-the-endpoint"
SECOND = "fedcba9876543210" * 4
BOTH = SETTINGS.replace(SEALING, f"{SECOND}\n    {SEALING}")
ONLY_SECOND = SETTINGS.replace(SEALING, SECOND)


class SealedTestCase(PushTestCase):
    def sent(self, body: str = "x") -> tuple[str, dict[str, str]]:
        """Send a message; return the URL and the header fields of the request."""
        self.pass_time(1.1)
        self.appended(body)
        request = self.sender.sent[-1]
        assert request.body.decode() == body
        return request.target.url, dict(request.headers)

    def stored(self) -> str:
        """All values of the store."""
        store: Any = self.store
        while hasattr(store, "_store"):
            store = store._store
        return repr(vars(store.states))

    def group_of(self, push: str = "p") -> Group:
        means = self.assembly.pushes._means
        return self.successResultOf(means.groups.read(self.successResultOf(means.directory.find("app", "q")), push))

    def unseal(self, push: str = "p") -> None:
        """Store a push as versions did that sealed only the secrets."""
        means = self.assembly.pushes._means
        queue = self.successResultOf(means.directory.find("app", "q"))

        def edited(current: Push | None) -> Push:
            assert current is not None
            return means.sealing.opened(current)

        changes = GroupChanges(push=edited)
        self.successResultOf(means.groups.change(queue, self.group_of(push), changes, lambda _: None))


class StoredTests(SealedTestCase):
    def test_never_stored_plainly(self) -> None:
        """What the store has of a push, and a backup with it, contains neither its secret, in any form, nor the values
        of its header fields, nor the path and the query of its URL."""
        url = "https://hook.example.com/services/T0K3N?key=0f-the-query"
        (secret,) = self.pushed(url=url, headers={"Authorization": TOKEN})["secrets"]
        self.sender.answer = 500
        self.appended("a")
        self.attempts()
        stored, text = self.stored(), secret["secret"].removeprefix("whsec_")
        self.assertIn("hook.example.com", stored)
        raw = b64decode(text)
        for form in (text, raw.hex(), repr(raw)[2:-1], urlsafe_b64encode(raw).decode()):
            self.assertNotIn(form, stored)
        for hidden in (TOKEN, TOKEN.encode().hex(), "T0K3N", "0f-the-query"):
            self.assertNotIn(hidden, stored)
        push = self.group_of().settings.push
        self.assertNotIn("T0K3N", repr(push))

    def test_stored_by_earlier_versions(self) -> None:
        """A push that is not sealed is sent and shown like any other one, and its next change seals it."""
        self.pushed(headers={"Authorization": TOKEN})
        self.unseal()
        self.assertEqual(json.loads(encode_group(self.group_of()))["format"], 2)
        self.assertIn(TOKEN, self.stored())
        url, headers = self.sent()
        self.assertEqual((url, headers["Authorization"]), (URL, TOKEN))
        self.assertEqual(self.shown()["headers"], {"Authorization": MASK})
        self.expect(200, self.change_push({"timeout": 7}))
        self.assertNotIn(TOKEN, self.stored())
        self.assertEqual(json.loads(encode_group(self.group_of()))["format"], 3)
        url, headers = self.sent()
        self.assertEqual((url, headers["Authorization"]), (URL, TOKEN))


class MaskTests(SealedTestCase):
    def test_masked(self) -> None:
        """Every answer has the names and masks; the requests have the values."""
        made = self.pushed(headers={"Authorization": TOKEN, "X-Shop": "7"})
        masked = {"Authorization": MASK, "X-Shop": MASK}
        self.assertEqual((made["headers"], made["url"]), (masked, URL))
        for answer in (
            self.shown(),
            self.expect(200, self.send("GET", "/queues/q/pushes"))["pushes"][0],
            self.expect(200, self.change_push({"timeout": 7})),
            self.act("pause"),
            self.act("resume"),
        ):
            self.assertEqual((answer["headers"], answer["url"]), (masked, URL))
        _, headers = self.sent()
        self.assertEqual((headers["Authorization"], headers["X-Shop"]), (TOKEN, "7"))

    def test_mask_keeps_the_value(self) -> None:
        """What was shown can be sent back; a mask stays what it stands for, and other values replace theirs."""
        self.pushed(headers={"Authorization": TOKEN, "X-Shop": "7"})
        shown = self.shown()
        again = self.expect(200, self.send("PUT", self.push(), shown))
        self.assertEqual(again["version"], shown["version"])
        changed = self.expect(200, self.change_push({"headers": {"authorization": MASK, "X-New": "8"}}))
        self.assertEqual(changed["headers"], {"authorization": MASK, "X-New": MASK})
        self.expect(200, self.change_push({"url": "https://hook.example.com/other"}))
        url, headers = self.sent()
        self.assertEqual(url, "https://hook.example.com/other")
        self.assertEqual((headers["authorization"], headers["X-New"]), (TOKEN, "8"))
        self.assertNotIn("X-Shop", headers)

    def test_mask_at_another_endpoint(self) -> None:
        """The values are not sent to another scheme, host or port unless they are given again."""
        self.pushed(headers={"Authorization": TOKEN})
        for url in ("https://other.example.com/", "https://hook.example.com:8443/", "http://hook.example.com/"):
            for change in ({"url": url}, {"url": url, "headers": {"Authorization": MASK}}):
                errors = self.errors("invalid-body", self.change_push(change))
                self.assertEqual(list(errors), ["/headers"], change)
        self.assertEqual(self.shown()["url"], URL)
        self.expect(200, self.change_push({"url": "http://hook.example.com/", "headers": {"Authorization": "new"}}))
        url, headers = self.sent()
        self.assertEqual((url, headers["Authorization"]), ("http://hook.example.com/", "new"))

    def test_mask_of_nothing(self) -> None:
        """A mask for a field that the push does not have is refused, and so is one of a new push."""
        body = {"url": URL, "headers": {"X-New": MASK}}
        self.assertEqual(list(self.errors("invalid-body", self.put_push(body=body))), ["/headers"])
        self.pushed(headers={"Authorization": TOKEN})
        for response in (self.put_push(body=body), self.change_push({"headers": {"X-New": MASK}})):
            self.assertEqual(list(self.errors("invalid-body", response)), ["/headers"])
        self.assertEqual(self.shown()["headers"], {"Authorization": MASK})

    def test_bound(self) -> None:
        """The values that masks keep count."""
        half = "v" * (MAX_HEADER_BYTES // 2)
        self.pushed(headers={"A": half})
        found = self.errors("invalid-body", self.change_push({"headers": {"A": MASK, "B": half}}))
        self.assertEqual(list(found), ["/headers"])


class LostKeyTests(SealedTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.pushed(headers={"Authorization": TOKEN})
        self.use(ONLY_SECOND)
        self.pass_time(12)

    def test_lost_key(self) -> None:
        """Without the key the push is blocked and shown without its path, and changes that need the values are
        refused. It can be paused, and other settings can be changed."""
        self.appended("a")
        self.pass_time(12)
        shown = self.shown()
        self.assertEqual(self.sender.sent, [])
        self.assertEqual((shown["state"], shown["url"]), ("blocked", "https://hook.example.com/"))
        self.assertEqual(shown["headers"], {"Authorization": MASK})
        self.assertIn("key", shown["blocked"])
        for change in ({"url": URL}, {"headers": {"authorization": MASK}}, {"headers": {"X-New": "8"}}):
            self.problem("forbidden", self.change_push(change))
        self.problem("forbidden", self.send("POST", self.push("/test")))
        self.assertEqual(self.act("pause")["state"], "paused")
        self.assertEqual(self.act("resume")["state"], "blocked")
        self.assertEqual(self.expect(200, self.change_push({"timeout": 7}))["timeout"], 7)
        self.use(BOTH)
        self.pass_time(12)
        self.assertEqual(self.sender.bodies, ["a"])
        self.assertEqual(dict(self.sender.sent[-1].headers)["Authorization"], TOKEN)

    def test_repaired(self) -> None:
        """New values and another secret make a push of which the key is lost as good as new."""
        old = self.shown()["secrets"][0]["id"]
        self.expect(200, self.put_push(body={"url": URL, "headers": {"Authorization": "other"}}))
        self.expect(201, self.send("POST", self.push("/secrets")))
        self.assertEqual(self.send("DELETE", self.push(f"/secrets/{old}")).status, 204)
        self.pass_time(12)
        _, headers = self.sent()
        self.assertEqual(headers["Authorization"], "other")


class ResealTests(SealedTestCase, AuditedTestCase, OpsTestCase):
    def seal(self, **params: Any) -> Any:
        return self.call("pushes.seal", **params)

    def test_another_key(self) -> None:
        """After one call, or one for each page, the old key can go; nothing else of the pushes has changed."""
        self.make("r")
        secrets = [self.pushed(name, queue)["secrets"][0]["secret"] for queue, name in (("r", "a"), ("q", "p"))]
        self.pushed("b", headers={"Authorization": TOKEN})
        self.unseal("b")
        self.assertEqual(self.seal(limit=1), {"sealed": 1, "current": 0, "failed": [], "next": "app/q/b"})
        self.use(BOTH)
        self.audited()
        self.assertEqual(self.seal(limit=2), {"sealed": 2, "current": 0, "failed": [], "next": "app/q/p"})
        self.assertEqual(self.seal(after="app/q/p"), {"sealed": 1, "current": 0, "failed": [], "next": None})
        self.assertEqual(self.seal(), {"sealed": 0, "current": 3, "failed": [], "next": None})
        self.assertEqual([one["method"] for one in self.audited()], ["pushes.seal"] * 3)
        self.use(ONLY_SECOND)
        self.pass_time(12)
        self.appended("a")
        self.assertEqual(len(self.sender.sent), 2)
        (with_token,) = [one for one in self.sender.sent if "Authorization" in dict(one.headers)]
        self.assertEqual((dict(with_token.headers)["Authorization"], with_token.target.url), (TOKEN, URL))
        (of_p,) = [one for one in self.sender.sent if one is not with_token]
        self.assertTrue(self.verify(of_p, secrets[1]))

    def test_not_sealed(self) -> None:
        """Pushes whose key is not in the settings are named, and so are those of applications that are not served; one
        that is gone is not."""
        self.pushed()
        self.pushed("gone")
        self.assertEqual(self.send("DELETE", self.push("", "gone")).status, 204)
        self.use(ONLY_SECOND)
        found = self.seal()
        (failed,) = found.pop("failed")
        self.assertEqual(found, {"sealed": 0, "current": 0, "next": None})
        self.assertEqual((failed["application"], failed["queue"], failed["push"]), ("app", "q", "p"))
        self.assertIn("key", failed["why"])
        self.use(BOTH.replace("[application:app]\npush = true\npush_hosts = hook.example.com 10.0.0.7\n", ""))
        self.assertEqual(self.seal()["sealed"], 1)

    def test_without_keys(self) -> None:
        self.pushed()
        self.use(SETTINGS[: SETTINGS.index("[push]")])
        self.assertEqual(len(self.seal()["failed"]), 1)

    def test_operators_see_no_query(self) -> None:
        """Operators and their log see the URL without its query."""
        self.pushed(url="https://hook.example.com/in?key=hidden", headers={"Authorization": TOKEN})
        about = {"application": "app", "queue": "q", "push": "p"}
        self.audited()
        for answer in (
            self.call("pushes.list", application="app")["pushes"][0],
            self.call("pushes.describe", **about),
            self.call("pushes.pause", **about),
        ):
            self.assertEqual(answer["url"], "https://hook.example.com/in?...")
            self.assertNotIn("hidden", str(answer))
            self.assertNotIn(TOKEN, str(answer))
        self.assertNotIn("hidden", str(self.audited()))
