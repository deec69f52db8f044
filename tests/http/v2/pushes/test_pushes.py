"""Pushes over v2: made, changed, listed, tested, paused and ended; and who may do what with them."""

from __future__ import annotations

from typing import Any

from queuey.http.v2.pushes.push_json import REPORTED
from queuey.interfaces import Unsent
from queuey.model.pushes.settings import MASK
from queuey.model.pushes.signatures import MAX_SECRETS
from tests.http.api_support import OTHER, OWNER
from tests.http.push_support import PATCH, SEALING, SETTINGS, URL, PushTestCase, said

DEFAULTS: dict[str, Any] = {
    "timeout": 15,
    "parallel": 8,
    "rate": None,
    "format": "raw",
    "headers": {},
    "header_prefix": "message-",
    "event_type": "queuey.message",
    "reject_on": [],
    "replies": None,
    "start": "oldest",
    "max_deliveries": 0,
    "dead_letter": None,
    "order": "none",
}
EVERYTHING: dict[str, Any] = {
    "timeout": 300,
    "parallel": 64,
    "rate": 0.5,
    "format": "cloudevents",
    "headers": {"Authorization": MASK},
    "header_prefix": "x-order-",
    "event_type": "order.paid",
    "reject_on": [400, 422],
    "replies": "answers",
    "start": "newest",
    "max_deliveries": 5,
    "dead_letter": "dead",
    "order": "key",
}
BAD: tuple[tuple[str, Any], ...] = (
    ("url", None),
    ("url", 7),
    ("url", "http://user@hook.example.com/"),
    ("url", "http://other.example.com/"),
    ("url", "http://hook.example.com:22/"),
    ("url", "ftp://hook.example.com/"),
    ("timeout", 0),
    ("timeout", 301),
    ("parallel", 65),
    ("rate", 0),
    ("rate", "x"),
    ("format", "xml"),
    ("headers", []),
    ("headers", {"A": 7}),
    ("headers", {"Host": "a"}),
    ("headers", {"A": "b\r\nC: d"}),
    ("headers", {f"a{number}": "b" for number in range(21)}),
    ("headers", {"A": "b", "a": "b"}),
    ("headers", {"A": "b" * 4096}),
    ("header_prefix", "webhook-"),
    ("header_prefix", ""),
    ("event_type", ""),
    ("event_type", "é"),
    ("reject_on", 400),
    ("reject_on", [500]),
    ("reject_on", [400, 400]),
    ("replies", "q"),
    ("replies", "none-such"),
    ("replies", "a/b"),
    ("dead_letter", "q"),
    ("order", "x"),
    ("max_deliveries", -1),
    ("start", "x"),
)


class PutTests(PushTestCase):
    def test_new(self) -> None:
        """It has the defaults, a secret that is shown this once, an ETag and an address."""
        response = self.put_push()
        push = self.expect(201, response)
        (secret,) = push["secrets"]
        self.assertRegex(secret["secret"], r"\Awhsec_[A-Za-z0-9+/]{43}=\Z")
        told = {"name": "p", "url": URL, **DEFAULTS, "secrets": [secret], "state": "active", "since": None}
        told |= {"failures": 0, "last_error": None, "blocked": None}
        self.assertEqual(push, {**told, "created": push["created"], "version": push["version"]})
        self.assertEqual(response.header("location"), "/v2/app/queues/q/pushes/p")
        self.assertEqual(response.header("etag"), f'"{push["version"]}"')
        del secret["secret"]
        self.assertEqual(self.shown(), push)
        again = self.put_push()
        self.assertEqual(self.expect(200, again), push)
        self.assertEqual(self.expect(200, self.send("GET", "/queues/q/pushes")), {"pushes": [push]})

    def test_everything(self) -> None:
        self.make("answers")
        self.make("dead")
        made = self.pushed(**{**EVERYTHING, "headers": {"Authorization": "Bearer x"}})
        self.assertEqual({name: made[name] for name in EVERYTHING}, EVERYTHING)
        # A PATCH changes what it names, and null goes to the default.
        changed = self.expect(200, self.change_push({"timeout": 9, "headers": None, "replies": None, "order": None}))
        told = {**EVERYTHING, "timeout": 9, "headers": {}, "replies": None, "order": "none"}
        self.assertEqual({name: changed[name] for name in EVERYTHING}, told)
        # A PUT replaces all of it, but for the secrets.
        replaced = self.expect(200, self.put_push())
        self.assertEqual({name: replaced[name] for name in DEFAULTS if name != "start"}, _without_start(DEFAULTS))
        self.assertEqual(replaced["secrets"], changed["secrets"])

    def test_bad(self) -> None:
        """What is wrong is named, and nothing is made."""
        for name, value in BAD:
            found = self.errors("invalid-body", self.put_push("p", {"url": URL, name: value}))
            self.assertEqual(list(found), [f"/{name}"], (name, value))
        self.assertEqual(self.expect(200, self.send("GET", "/queues/q/pushes")), {"pushes": []})
        self.assertEqual(self.expect(200, self.send("GET", "/queues/q/groups")), {"groups": []})
        self.pushed()
        for name, value in BAD:
            if value is not None:
                self.problem("invalid-body", self.change_push({name: value}))
        self.problem("invalid-body", self.change_push({"lease": 7}))
        self.problem("invalid-body", self.change_push({"url": None}))

    def test_reported(self) -> None:
        """A PATCH of what only shows what the push does is refused, and says what changes it; a PUT ignores it."""
        self.pushed()
        made = self.expect(200, self.send("GET", self.push()))
        for name, hint in REPORTED.items():
            found = self.errors("invalid-body", self.change_push({name: made[name], "timeout": 9}))
            self.assertEqual(found, {f"/{name}": f"is read-only: {hint}"})
        self.assertIn("POST to /pause or /resume", REPORTED["state"])
        self.assertEqual(self.expect(200, self.send("GET", self.push())), made)
        self.expect(200, self.put_push("p", {**made, "state": "paused"}))
        self.assertEqual(self.expect(200, self.send("GET", self.push()))["state"], "active")

    def test_names(self) -> None:
        self.errors("invalid-parameters", self.put_push("a%20b"))
        for method in ("GET", "DELETE"):
            for name in ("none", "a%20b"):
                self.problem("no-such-push", self.send(method, self.push("", name)))
        self.made("g")
        for what in ("test", "pause", "resume", "secrets"):
            self.problem("no-such-push", self.send("POST", self.push(f"/{what}", "g")))
        self.problem("no-such-push", self.send("GET", self.push("/attempts", "g")))

    def test_group_gets_a_push(self) -> None:
        """A group that is there keeps its position, and the secret is shown."""
        self.appended("a")
        self.made("p")
        self.assertEqual(self.settled("p", ack=self.receipts("p")), ["acked"])
        self.appended("b")
        push = self.expect(200, self.put_push())
        self.assertIn("secret", push["secrets"][0])
        self.pass_time(1.1)
        self.assertEqual(self.sender.bodies, ["b"])

    def test_group_is_no_push_yet(self) -> None:
        """If-None-Match makes a push of a group that has none, and If-Match does not."""
        self.made("p")
        self.problem("precondition-failed", self.put_push(If_Match="*"))
        self.expect(200, self.put_push(If_None_Match="*"))
        self.problem("precondition-failed", self.put_push(If_None_Match="*"))

    def test_conditions(self) -> None:
        push = self.pushed()
        self.problem("precondition-failed", self.put_push(If_None_Match="*"))
        self.problem("precondition-failed", self.change_push({"timeout": 1}, If_Match='"x"'))
        tag = f'"{push["version"]}"'
        self.expect(200, self.change_push({"timeout": 1}, If_Match=tag))
        self.problem("precondition-failed", self.send("DELETE", self.push(), None, {**OWNER, "If-Match": tag}))

    def test_delete(self) -> None:
        """The push and its group go; the messages stay, and nothing is sent any more."""
        self.pushed()
        self.assertEqual(self.send("DELETE", self.push()).status, 204)
        self.problem("no-such-push", self.send("GET", self.push()))
        self.problem("no-such-group", self.send("GET", self.group("", "p")))
        self.appended("a")
        self.pass_time(3)
        self.assertEqual((self.sender.sent, self.texts()), ([], ["a"]))


def _without_start(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "start"}


class AccessTests(PushTestCase):
    def test_only_the_application(self) -> None:
        """Neither strangers, nor another application, nor principals of the queue."""
        self.pushed()
        for headers in ({}, OTHER):
            for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/attempts"), ("POST", "/test")):
                answer = self.send(method, self.push(path), None, headers)
                self.assertIn(answer.status, (401, 403), (method, path))
        self.assertEqual(self.sender.sent, [])


class OffTests(PushTestCase):
    settings = SETTINGS.replace("push = true", "push = false")

    def test_off(self) -> None:
        """Without push = true none can be made."""
        self.problem("forbidden", self.put_push())


class NoSealTests(PushTestCase):
    settings = SETTINGS[: SETTINGS.index("[push]")]

    def test_no_seal(self) -> None:
        """Without a key that seals secrets none can be made."""
        self.problem("forbidden", self.put_push())


class SecretTests(PushTestCase):
    def test_rotation(self) -> None:
        """While there are two secrets, both sign; one that is removed signs no more."""
        (first,) = self.pushed()["secrets"]
        response = self.send("POST", self.push("/secrets"))
        second = self.expect(201, response)
        self.assertEqual([one["id"] for one in self.shown()["secrets"]], [second["id"], first["id"]])
        self.appended("a")
        self.assertTrue(self.verify(self.sender.sent[-1], first["secret"]))
        self.assertTrue(self.verify(self.sender.sent[-1], second["secret"]))
        self.assertEqual(self.send("DELETE", self.push(f"/secrets/{first['id']}")).status, 204)
        self.pass_time(1.1)
        self.appended("b")
        self.assertFalse(self.verify(self.sender.sent[-1], first["secret"]))
        self.assertTrue(self.verify(self.sender.sent[-1], second["secret"]))
        self.problem("no-such-push", self.send("DELETE", self.push(f"/secrets/{first['id']}")))
        self.problem("not-promised", self.send("DELETE", self.push(f"/secrets/{second['id']}")))

    def test_bound(self) -> None:
        self.pushed()
        for _ in range(MAX_SECRETS - 1):
            self.expect(201, self.send("POST", self.push("/secrets")))
        self.problem("not-promised", self.send("POST", self.push("/secrets")))


class ActionTests(PushTestCase):
    def test_test(self) -> None:
        """A test message is sent at once, and the answer has its outcome; nothing is stored."""
        (secret,) = self.pushed()["secrets"]
        self.assertEqual(self.act("test"), {"status": 204, "milliseconds": 0, "error": None, "reason": None})
        (request,) = self.sender.sent
        self.assertTrue(self.verify(request, secret["secret"]))
        self.assertRegex(self.sender.ids[0], r"\Atest-[0-9a-f]{32}\Z")
        self.sender.answer = said(500, b"because" + b"x" * 5000)
        told = self.act("test")
        self.assertEqual((told["status"], told["error"]), (500, "status-500"))
        self.assertEqual(told["reason"], ("status-500: because" + "x" * 5000)[: 12 + 1024])
        self.sender.answer = Unsent.REFUSED
        told = self.act("test")
        self.assertEqual((told["status"], told["error"], told["reason"]), (None, "address-refused", "address-refused"))
        self.assertEqual(self.attempts(), [])

    def test_pause(self) -> None:
        """A push that is paused sends nothing, and goes on where it was."""
        self.pushed()
        paused = self.act("pause")
        self.assertEqual(paused["state"], "paused")
        self.assertRegex(paused["since"], r"\A2023-11-14T22:13:2")
        self.assertEqual(self.act("pause"), paused)
        self.appended("a")
        self.pass_time(5)
        self.assertEqual((self.sender.sent, self.lag(group="p")["behind"]["count"]), ([], 1))
        resumed = self.act("resume")
        self.assertEqual((resumed["state"], resumed["since"]), ("active", None))
        self.pass_time(1.1)
        self.assertEqual(self.sender.bodies, ["a"])

    def test_bodies_and_queries(self) -> None:
        """Actions take neither members nor parameters."""
        self.pushed()
        for what in ("test", "pause", "resume", "secrets"):
            self.problem("invalid-body", self.send("POST", self.push(f"/{what}"), {"a": 1}))
            self.problem("invalid-parameters", self.send("POST", self.push(f"/{what}?a=1")))
        self.problem("invalid-parameters", self.send("GET", self.push("/attempts?limit=1")))
        self.assertEqual(self.send("PATCH", self.push(), {"timeout": 3}, OWNER, "application/json").status, 415)
        self.assertEqual(PATCH, "application/merge-patch+json")


class FeatureTests(PushTestCase):
    """What GET /v2/{application} says of pushes."""

    def has_pushes(self) -> bool:
        return "pushes" in self.expect(200, self.send("GET", ""))["features"]

    def test_feature(self) -> None:
        """They are a feature only as long as the settings allow the application to make some, as a change then is."""
        self.assertTrue(self.has_pushes())
        for without in ("push = true", "push_hosts = hook.example.com 10.0.0.7", f"secrets = {SEALING}"):
            self.use(SETTINGS.replace(without, ""))
            self.assertFalse(self.has_pushes(), without)
            self.assertIn(self.put_push().status, (400, 403), without)
        self.use(SETTINGS)
        self.assertTrue(self.has_pushes())
