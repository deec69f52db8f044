"""Schedules of any application, as operators see, pause and resume them."""

from __future__ import annotations

import json
from typing import Any

from tests.http.v2.test_schedules import BODY, ScheduleTestCase
from tests.ops.support import OpsTestCase
from tests.ops.test_methods import AuditedTestCase

SCHEDULE = {"application": "app", "queue": "q", "schedule": "s"}


class SchedulesTests(ScheduleTestCase, AuditedTestCase, OpsTestCase):
    def names(self, **params: Any) -> list[str]:
        """The queues and names of a list."""
        found = self.call("schedules.list", application="app", **params)["schedules"]
        return [f"{one['queue']}/{one['name']}" for one in found]

    def scheduled(self, name: str, queue: str) -> None:
        self.assertEqual(self.send("PUT", f"/queues/{queue}/schedules/{name}", BODY).status, 201)

    def test_listed(self) -> None:
        """All schedules of an application, or those of a queue or in a state, page by page."""
        self.assertEqual(self.call("schedules.list", application="app"), {"schedules": [], "next": None})
        self.make("r")
        for queue, name in (("r", "a"), ("q", "b"), ("q", "a")):
            self.scheduled(name, queue)
        self.assertEqual(self.names(), ["q/a", "q/b", "r/a"])
        self.assertEqual((self.names(queue="r"), self.names(queue="none")), (["r/a"], []))
        self.assertEqual(self.call("schedules.list", application="other")["schedules"], [])
        self.assertEqual(self.fault("schedules.list", application="none")["data"]["code"], "no-such-application")
        page = self.call("schedules.list", application="app", limit=2)
        self.assertEqual(([one["name"] for one in page["schedules"]], page["next"]), (["a", "b"], "q/b"))
        self.assertEqual(self.names(after="q/b"), ["r/a"])
        self.assertNotIn("message", page["schedules"][0])
        self.call("schedules.pause", application="app", queue="q", schedule="b")
        self.assertEqual((self.names(state="paused"), self.names(state="active")), (["q/b"], ["q/a", "r/a"]))
        self.assertEqual(
            self.fault("schedules.list", application="app", state="x")["data"]["code"], "invalid-parameters"
        )
        self.assertEqual(self.send("DELETE", "/queues/q").status, 204)
        self.assertEqual(self.names(), ["r/a"])

    def test_shown(self) -> None:
        """What operators may not read is not shown."""
        self.put_schedule(body={**BODY, "message": {"body": "hidden", "headers": {"token": "hidden"}, "key": "k"}})
        found = self.call("schedules.describe", **SCHEDULE)
        self.assertEqual(found["message"], {"bytes": 6, "content_type": "text/plain;charset=utf-8", "key": "k"})
        self.assertEqual((found["name"], found["state"], found["failures"]), ("s", "active", 0))
        self.assertNotIn("hidden", str(found))
        none = {**SCHEDULE, "schedule": "none"}
        self.assertEqual(self.fault("schedules.describe", **none)["data"]["code"], "no-such-schedule")

    def test_application_that_is_removed_and_made_again(self) -> None:
        """Its schedules post nothing meanwhile, and go on then."""

        def ask(method: str, path: str, document: Any = None) -> Any:
            headers = {"Authorization": f"Application {key}", "Content-Type": "application/json"}
            body = None if document is None else json.dumps(document).encode()
            answer = self.ask(method, f"/v2/shop/queues/q{path}", headers, body)
            self.assertLess(answer.status, 300, answer)
            return answer.json

        self.call("applications.set", name="shop")
        key = self.call("keys.add", application="shop")["key"]
        ask("PUT", "", {})
        ask("PUT", "/schedules/s", BODY)
        self.run_for(61)
        self.call("applications.remove", name="shop", keep_queues=True)
        self.run_for(300)
        self.call("applications.set", name="shop")
        key = self.call("keys.add", application="shop")["key"]
        self.assertEqual(len(ask("GET", "/messages")["messages"]), 1)
        self.run_for(70)
        self.assertIn(len(ask("GET", "/messages")["messages"]), (2, 3))
        self.assertEqual(ask("GET", "/schedules/s")["state"], "active")

    def test_paused(self) -> None:
        """A paused schedule posts nothing until it goes on; both are written to the log, without the message."""
        self.put_schedule(body={**BODY, "message": {"body": "hidden"}})
        self.audited()
        self.assertEqual(self.call("schedules.pause", **SCHEDULE)["state"], "paused")
        self.run_for(120)
        self.assertEqual(self.seen(), [])
        self.assertEqual(self.call("schedules.resume", **SCHEDULE)["state"], "active")
        self.run_for(61)
        self.assertEqual(self.seen(), ["hidden"])
        lines = self.audited()
        self.assertEqual([one["method"] for one in lines], ["schedules.pause", "schedules.resume"])
        self.assertIn('"paused"', lines[0]["after"])
        self.assertNotIn("hidden", str(lines))
        self.assertEqual(
            self.fault("schedules.pause", **{**SCHEDULE, "schedule": "none"})["data"]["code"], "no-such-schedule"
        )
