"""Pushes of any application, as operators see, pause and resume them."""

from __future__ import annotations

from typing import Any

from tests.http.push_support import SETTINGS, PushTestCase
from tests.ops.support import OpsTestCase
from tests.ops.test_methods import AuditedTestCase

PUSH = {"application": "app", "queue": "q", "push": "p"}


class PushesTests(PushTestCase, AuditedTestCase, OpsTestCase):
    def names(self, **params: Any) -> list[str]:
        """The queues and names of a list."""
        found = self.call("pushes.list", application="app", **params)["pushes"]
        return [f"{one['queue']}/{one['name']}" for one in found]

    def test_listed(self) -> None:
        """All pushes of an application, or those of a queue or in a state, page by page."""
        self.assertEqual(self.call("pushes.list", application="app"), {"pushes": [], "next": None})
        self.make("r")
        for queue, name in (("r", "a"), ("q", "b"), ("q", "a")):
            self.pushed(name, queue)
        self.assertEqual(self.names(), ["q/a", "q/b", "r/a"])
        self.assertEqual((self.names(queue="r"), self.names(queue="none")), (["r/a"], []))
        self.assertEqual(self.call("pushes.list", application="other")["pushes"], [])
        self.assertEqual(self.fault("pushes.list", application="none")["data"]["code"], "no-such-application")
        page = self.call("pushes.list", application="app", limit=2)
        self.assertEqual(([one["name"] for one in page["pushes"]], page["next"]), (["a", "b"], "q/b"))
        self.assertEqual(
            (self.names(after="q/b"), self.names(after="q"), self.names(limit=3)[-1]),
            (["r/a"], ["q/a", "q/b", "r/a"], "r/a"),
        )
        self.assertIsNone(self.call("pushes.list", application="app", limit=3)["next"])
        self.call("pushes.pause", application="app", queue="q", push="b")
        self.assertEqual((self.names(state="paused"), self.names(state="active")), (["q/b"], ["q/a", "r/a"]))
        page = self.call("pushes.list", application="app", state="active", limit=1)
        self.assertEqual(([one["queue"] for one in page["pushes"]], page["next"]), (["q"], "q/a"))
        self.assertEqual(self.fault("pushes.list", application="app", state="x")["data"]["code"], "invalid-parameters")
        self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
        self.assertEqual(self.names(), ["r/a"])

    def test_shown(self) -> None:
        """A push and its attempts, without its secrets and the values of its fixed header fields."""
        made = self.pushed(headers={"Authorization": "Bearer hidden"})
        self.sender.answer = 500
        self.appended("a")
        self.pass_time(1.1)
        found = self.call("pushes.describe", **PUSH)
        (attempt,) = found["attempts"]
        self.assertEqual((attempt["status"], found["failures"], found["headers"]), (500, 1, ["Authorization"]))
        self.assertNotIn("hidden", str(found))
        self.assertNotIn(made["secrets"][0]["secret"], str(found))
        self.assertEqual(self.fault("pushes.describe", **{**PUSH, "push": "none"})["data"]["code"], "no-such-group")
        self.made("g")
        self.assertEqual(self.fault("pushes.describe", **{**PUSH, "push": "g"})["data"]["code"], "no-such-push")

    def test_paused(self) -> None:
        """A paused push sends nothing until it goes on; both are written to the log, without secrets."""
        self.pushed(headers={"Authorization": "Bearer hidden"})
        self.audited()
        self.assertEqual(self.call("pushes.pause", **PUSH)["state"], "paused")
        self.appended("a")
        self.assertEqual(self.sender.sent, [])
        self.assertEqual(self.call("pushes.resume", **PUSH)["state"], "active")
        self.pass_time(0.1)
        self.assertEqual(self.sender.bodies, ["a"])
        lines = self.audited()
        self.assertEqual([one["method"] for one in lines], ["pushes.pause", "pushes.resume"])
        self.assertIn('"paused"', lines[0]["after"])
        self.assertNotIn("hidden", str(lines))

    def test_application_without_pushes(self) -> None:
        """Operators can pause and look at what an application may not send any more."""
        self.pushed()
        self.use(SETTINGS.replace("push = true", "push = false"))
        self.assertEqual(self.names(), ["q/p"])
        self.assertEqual(self.call("pushes.pause", **PUSH)["state"], "paused")
