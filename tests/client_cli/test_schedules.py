"""``queuey schedules``."""

from __future__ import annotations

import json

from tests.client.support import answer, problem
from tests.client.test_schedules import SCHEDULE
from tests.client_cli.support import CommandTestCase

MISSING = problem("no-such-schedule", 404)
CRON, MESSAGE = "cron=30 2 * * *", 'message={"body": "sales"}'


class SchedulesTests(CommandTestCase):
    def test_ls(self) -> None:
        printed = self.succeed("schedules", "ls", "orders", replies=(answer({"schedules": [SCHEDULE]}),))
        values = ("nightly", "30 2 * * *", "Europe/Berlin", SCHEDULE["next"], "failing", SCHEDULE["since"])
        self.assertEqual(printed, "\t".join((*map(str, values), "12", "storage-full")) + "\n")
        replies = (answer({"schedules": [SCHEDULE]}),)
        self.assertEqual(json.loads(self.succeed("schedules", "ls", "orders", "--json", replies=replies)), [SCHEDULE])

    def test_show(self) -> None:
        printed = self.succeed("schedules", "show", "orders", "nightly", replies=(answer(SCHEDULE),))
        self.assertIn("state\tfailing\n", printed)
        self.assertIn("sales", printed)
        self.assertIn(
            "queuey schedules ls", self.fail_with(3, "schedules", "show", "orders", "none", replies=(MISSING,))
        )

    def test_set(self) -> None:
        """What it does is no setting."""
        replies = (MISSING, answer(SCHEDULE, 201))
        printed = self.succeed("schedules", "set", "orders", "nightly", CRON, MESSAGE, replies=replies)
        self.assertEqual(self.server.sent(), {"cron": "30 2 * * *", "message": {"body": "sales"}})
        self.assertIn("+\tcron\t30 2 * * *\t-\n", printed)
        for name in ("next", "failures", "last_error_detail", "last_error_time", "last_posted"):
            self.assertNotIn(name, printed)
        replies = (answer(SCHEDULE), answer({**SCHEDULE, "missed": "once"}))
        printed = self.succeed("schedules", "set", "orders", "nightly", "missed=once", replies=replies)
        self.assertIn("~\tmissed\tonce\tskip\n", printed)
        self.assertEqual(self.server.asks[-1].method, "PATCH")
        self.fail_with(3, "schedules", "set", "orders", "nightly", "missed=once", replies=(MISSING, MISSING))

    def test_pause_and_resume(self) -> None:
        for what, state, next in (("pause", "paused", None), ("resume", "active", SCHEDULE["next"])):
            replies = (answer({**SCHEDULE, "state": state, "next": next}),)
            printed = self.succeed("schedules", what, "orders", "nightly", replies=replies)
            self.assertEqual(printed, f"nightly\t{state}\t{next or '-'}\n")
            self.assertTrue(self.server.asks[0].url.endswith(f"/schedules/nightly/{what}"))

    def test_rm(self) -> None:
        self.succeed("schedules", "rm", "orders", "nightly", "--yes", replies=(answer(None, 204),))
        self.fail_with(3, "schedules", "rm", "orders", "nightly", "--yes", replies=(MISSING,))
        self.succeed("schedules", "rm", "orders", "nightly", "--yes", "--missing-ok", replies=(MISSING,))
        self.fail_with(2, "schedules", "rm", "orders", "nightly")
