"""What each token may do, and what of it the log has."""

from __future__ import annotations

from typing import Any

from twisted.logger import globalLogPublisher

from queuey.model.applications.rights import Right
from queuey.ops.dashboard.rights import NEEDED, NEVER
from tests.ops.dashboard.support import TOKENS, DashboardCase


class RightsTests(DashboardCase):
    def setUp(self) -> None:
        super().setUp()
        self.events: list[Any] = []
        observer: Any = self.events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def audited(self) -> list[tuple[str, str, str]]:
        return [
            (event["who"].rpartition(" ")[0], event["method"], event["outcome"])
            for event in self.events
            if event.get("event") == "audit"
        ]

    def test_each_method_has_a_right(self) -> None:
        """A new method is refused until somebody has decided who may call it; changes need ``operate``."""
        methods = set(self.call("system.listMethods"))
        self.assertEqual(methods - set(NEEDED), NEVER)
        rpc = self.assembly.dashboard.site.hooks.resource._rpc  # type: ignore[attr-defined]
        for name in methods - NEVER:
            if rpc._getFunction(name).changes:
                self.assertIn(NEEDED[name], (Right.OPERATE, Right.PEEK), name)

    def test_who_may_what(self) -> None:
        for who, may in {
            "watcher": {Right.WATCH},
            "reader": {Right.WATCH, Right.PEEK},
            "worker": {Right.WATCH, Right.OPERATE},
            "all": set(Right),
        }.items():
            for name in self.call("system.listMethods"):
                answer = self.called(who, name, unknown=1)
                code = answer["error"]["data"]["code"]
                self.assertEqual(code == "forbidden", NEEDED.get(name) not in may, (who, name))

    def test_a_refused_call(self) -> None:
        """It changes nothing, and the log has who tried it."""
        answer = self.called("watcher", "applications.set", name="mine")
        self.assertEqual((answer["error"]["data"]["code"], answer["error"]["data"]["applied"]), ("forbidden", "no"))
        self.assertIn("needs the right operate", answer["error"]["message"])
        self.assertEqual(self.audited(), [("token watcher 192.0.2.7", "applications.set", "forbidden, applied: no")])
        self.assertNotIn("mine", str(self.call("applications.list")))

    def test_a_change(self) -> None:
        """The log has the name of the token, and nothing that is secret."""
        key = self.called("worker", "keys.add", application=self.made())["result"]["key"]
        self.assertEqual(self.audited()[-1], ("token worker 192.0.2.7", "keys.add", "done"))
        for secret in (key, *TOKENS.values()):
            self.assertNotIn(secret, str(self.events))

    def made(self) -> str:
        self.call("applications.set", name="mine")
        return "mine"

    def test_no_token_makes_another(self) -> None:
        answer = self.called("all", "dashboard.token")
        self.assertEqual(answer["error"]["data"]["code"], "forbidden")

    def test_system(self) -> None:
        answer = self.called("watcher", "system.methodHelp", method="keys.add")
        self.assertIn("Add a key", answer["result"])


class NoPeekTests(DashboardCase):
    more = "dashboard_peek = false"

    def test_taken_away_from_all(self) -> None:
        for who in ("reader", "all"):
            if "messages.peek" not in self.call("system.listMethods"):
                continue
            answer = self.called(who, "messages.peek", application="app", queue="q")
            self.assertIn("dashboard_peek = false", answer["error"]["message"])
