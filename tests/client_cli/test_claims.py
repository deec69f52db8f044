"""``queuey claim`` without a command, and ``queuey settle``."""

from __future__ import annotations

import json
from typing import Any

from tests.client.support import answer, message, problem
from tests.client_cli.support import CommandTestCase


def claimed(*numbers: int) -> Any:
    lease = {"lease": 30, "deliveries": 1, "lease_until": "2025-11-26T12:15:13Z"}
    return answer({"messages": [{**message(number), "receipt": f"r{number}", **lease} for number in numbers]})


def outcomes(**found: str) -> Any:
    return {"outcomes": [{"receipt": receipt, "outcome": outcome} for receipt, outcome in found.items()]}


class ClaimTests(CommandTestCase):
    def test_rows(self) -> None:
        printed = self.succeed("claim", "jobs", "workers", replies=(claimed(1),))
        self.assertEqual(printed, f"r1\t{1:032x}-1\t1\ttext/plain\tbody 1\n")
        self.assertEqual(self.server.sent(), {"limit": 1, "wait": 0})

    def test_until_the_limit(self) -> None:
        printed = self.succeed("claim", "jobs", "workers", "-n", "3", "--ndjson", "--lease", "1m",
                               replies=(claimed(1, 2), claimed()))  # fmt: skip
        found = [json.loads(line) for line in printed.splitlines()]
        self.assertEqual([(each["receipt"], each["group"]) for each in found], [("r1", "workers"), ("r2", "workers")])
        self.assertEqual([self.server.sent(at) for at in (0, 1)], [
            {"limit": 3, "wait": 0, "lease": 60}, {"limit": 1, "wait": 0, "lease": 60},
        ])  # fmt: skip

    def test_ack(self) -> None:
        replies = (claimed(1), answer(outcomes(r1="acked")))
        self.succeed("claim", "jobs", "workers", "--ack", "--raw", replies=replies)
        self.assertEqual(self.server.sent(), {"ack": ["r1"]})

    def test_nothing(self) -> None:
        self.assertEqual(self.succeed("claim", "jobs", "workers", replies=(claimed(),)), "")
        self.fail_with(6, "claim", "jobs", "workers", "--fail-empty", replies=(claimed(),))

    def test_options_of_the_other_kind(self) -> None:
        self.fail_with(2, "claim", "jobs", "workers", "--ack", "--", "true")


class SettleTests(CommandTestCase):
    def test_arguments(self) -> None:
        for action, options, sent in (
            ("ack", (), {"ack": ["r1", "r2"]}),
            ("retry", ("--delay", "1m"), {"retry": [{"receipt": r, "delay": 60} for r in ("r1", "r2")]}),
            ("reject", ("--reason", "x"), {"reject": [{"receipt": r, "reason": "x"} for r in ("r1", "r2")]}),
            ("extend", ("--lease", "5"), {"extend": [{"receipt": r, "lease": 5} for r in ("r1", "r2")]}),
        ):
            replies = (answer(outcomes(r1="done", r2="done")),)
            printed = self.succeed("settle", "jobs", "workers", action, "r1", "r2", *options, replies=replies)
            self.assertEqual((printed, self.server.sent()), ("r1\tdone\nr2\tdone\n", sent))

    def test_standard_input(self) -> None:
        """Receipts, rows of claims, and objects."""
        text = 'r1\nr2\tid\tbody\n{"receipt": "r3", "body": "x"}\n\n'
        replies = (answer(outcomes(r1="acked", r2="acked", r3="acked")),)
        self.succeed("settle", "jobs", "workers", "ack", "-", replies=replies, input=text)
        self.assertEqual(self.server.sent(), {"ack": ["r1", "r2", "r3"]})

    def test_many(self) -> None:
        text = "".join(f"r{number}\n" for number in range(1500))
        replies = (answer(outcomes(r0="acked")), answer(outcomes(r1000="acked")))
        self.succeed("settle", "jobs", "workers", "ack", "-", replies=replies, input=text)
        self.assertEqual([len(self.server.sent(at)["ack"]) for at in (0, 1)], [1000, 500])

    def test_stale(self) -> None:
        reply = problem("stale-receipts", 409, applied="partly", **outcomes(r1="acked", r2="stale"))
        result = self.run_command("settle", "jobs", "workers", "ack", "r1", "r2", replies=(reply,))
        self.assertEqual((result.exit_code, result.stdout), (7, "r1\tacked\nr2\tstale\n"))
        self.assertIn("some receipts are not valid", result.stderr)

    def test_wrong(self) -> None:
        self.fail_with(2, "settle", "jobs", "workers", "ack")
        self.fail_with(2, "settle", "jobs", "workers", "ack", "r1", "--reason", "x")
        self.fail_with(2, "settle", "jobs", "workers", "fly", "r1")
        self.fail_with(2, "settle", "jobs", "workers", "ack", "-", input="{}\n")
