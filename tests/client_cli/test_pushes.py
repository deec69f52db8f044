"""``queuey pushes``."""

from __future__ import annotations

import json

from tests.client.support import answer, problem
from tests.client.test_pushes import ATTEMPT, NEW, PUSH, URL
from tests.client_cli.support import CommandTestCase

MISSING = problem("no-such-push", 404)


class PushesTests(CommandTestCase):
    def test_ls(self) -> None:
        printed = self.succeed("pushes", "ls", "orders", replies=(answer({"pushes": [PUSH]}),))
        self.assertEqual(printed, f"billing\t{URL}\tfailing\t2025-11-26T12:14:43.1698736Z\t12\ttimeout\n")

    def test_show(self) -> None:
        printed = self.succeed("pushes", "show", "orders", "billing", replies=(answer(PUSH),))
        self.assertIn("timeout\t15\n", printed)
        self.assertIn("state\tfailing\n", printed)

    def test_set(self) -> None:
        """A new push shows its secret, once; what it does is no setting."""
        replies = (MISSING, answer(NEW, 201))
        printed = self.succeed("pushes", "set", "orders", "billing", f"url={URL}", replies=replies)
        self.assertIn(f"+\turl\t{URL}\t-\n", printed)
        self.assertTrue(printed.endswith("secret\twhsec_x\n"), printed)
        self.assertNotIn("failures", printed)
        replies = (answer(PUSH), answer({**PUSH, "rate": 5}))
        printed = self.succeed("pushes", "set", "orders", "billing", "rate=5", replies=replies)
        self.assertIn("~\trate\t5\t-\n", printed)
        self.assertNotIn("secret", printed)
        replies = (MISSING, answer(NEW, 201))
        found = json.loads(self.succeed("pushes", "set", "orders", "billing", "--json", f"url={URL}", replies=replies))
        self.assertEqual(found, NEW)
        self.assertIn("queuey pushes set", self.fail_with(3, "pushes", "show", "orders", "none", replies=(MISSING,)))

    def test_test(self) -> None:
        """Its status says whether the endpoint took the message."""
        told: dict[str, object] = {"status": 204, "milliseconds": 35, "error": None, "reason": None}
        printed = self.succeed("pushes", "test", "orders", "billing", replies=(answer(told),))
        self.assertEqual(printed, "status\t204\nmilliseconds\t35\nerror\t-\nreason\t-\n")
        failed = {"status": 500, "milliseconds": 35, "error": "status-500", "reason": "status-500: no\nsuch"}
        result = self.run_command("pushes", "test", "orders", "billing", replies=(answer(failed),))
        self.assertEqual((result.exit_code, result.stdout.splitlines()[-1]), (4, "reason\tstatus-500: no\\nsuch"))

    def test_pause_and_resume(self) -> None:
        for what, state in (("pause", "paused"), ("resume", "active")):
            printed = self.succeed("pushes", what, "orders", "billing", replies=(answer({**PUSH, "state": state}),))
            self.assertEqual(printed, f"billing\t{state}\n")
            self.assertTrue(self.server.asks[0].url.endswith(f"/pushes/billing/{what}"))

    def test_attempts(self) -> None:
        printed = self.succeed("pushes", "attempts", "orders", "billing", replies=(answer({"attempts": [ATTEMPT]}),))
        self.assertEqual(printed, "2025-11-26T12:14:44.030124Z\t1-1\t2\t-\t15000\ttimeout\n")

    def test_secrets(self) -> None:
        replies = (answer({"id": "ab", "secret": "whsec_y"}, 201),)
        printed = self.succeed("pushes", "add-secret", "orders", "billing", replies=replies)
        self.assertEqual(printed, "id\tab\nsecret\twhsec_y\n")
        self.succeed("pushes", "remove-secret", "orders", "billing", "ab", "--yes", replies=(answer(None, 204),))
        self.fail_with(2, "pushes", "remove-secret", "orders", "billing", "ab")

    def test_rm(self) -> None:
        self.succeed("pushes", "rm", "orders", "billing", "--yes", replies=(answer(None, 204),))
        self.fail_with(3, "pushes", "rm", "orders", "billing", "--yes", replies=(MISSING,))
        self.succeed("pushes", "rm", "orders", "billing", "--yes", "--missing-ok", replies=(MISSING,))
        self.fail_with(2, "pushes", "rm", "orders", "billing")
