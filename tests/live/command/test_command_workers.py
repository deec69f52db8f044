"""``queuey claim`` with a command, and ``queuey bench``, against a real daemon."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

from queuey_client import Group
from tests import runs_in
from tests.live.command.commanding import LIMIT, CommandTestCase
from tests.live.daemon.test_daemon import wait_until

run_in = "test"


class WorkerTests(CommandTestCase):
    """``queuey claim ... -- COMMAND``."""

    def test_exit_statuses(self) -> None:
        """0 acks, 65 rejects, 75 gives it again soon, another after a pause."""
        queue = self.client.queue("q")
        queue.ensure()
        self.client.queue("failed").ensure()
        group = queue.group("g")
        group.ensure(dead_letter="failed", max_deliveries=2)
        queue.post_all(["0", "65", "75", "1"])
        done = self.shell(
            "queuey claim q g -n 6 -j 2 -- "
            "sh -c 'read -r code; echo $code $QUEUEY_DELIVERIES $QUEUEY_GROUP; exit $code'"
        )
        self.assertEqual(sorted(done.stdout.split("\n")), ["", "0 1 g", "1 1 g", "1 2 g", "65 1 g", "75 1 g", "75 2 g"])
        wait_until(lambda: len(list(self.client.queue("failed").messages())) == 3, "three are given up")
        letters = {each.text: each.headers["queuey-dead-letter"] for each in self.client.queue("failed").messages()}
        self.assertEqual(letters["65"]["reason"], "sh ended with status 65")
        self.assertEqual(self.shell("queuey redrive q g --all --reason 'status 65'").stdout, "moved\t1\n")

    def test_leases_are_extended(self) -> None:
        queue = self.client.queue("q")
        queue.ensure()
        queue.group("g").ensure()
        queue.post("x")
        command = "queuey claim q g --lease 1 -j 2 --wait 1.5 -- sh -c 'echo $QUEUEY_DELIVERIES; sleep 3'"
        self.assertEqual(self.shell(command).stdout, "1\n")
        self.assertEqual(queue.group("g").info().lag[0].behind, 0)

    def begun(self) -> tuple[subprocess.Popen[str], Group]:
        """Start a worker with a lease of a second, which works on a message for long."""
        queue = self.client.queue("q")
        queue.ensure()
        group = queue.group("g")
        group.ensure()
        queue.post("x")
        process = self.start("claim", "q", "g", "--lease", "1", "--", "sh", "-c", "echo begun; exec sleep 20")
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), "begun\n")
        return process, group

    def test_killed(self) -> None:
        """The message goes to another worker when the lease ends."""
        process, group = self.begun()
        process.kill()
        (delivery,) = group.claim(1, wait=20)
        self.assertEqual(delivery.deliveries, 2)
        group.ack(delivery)

    def test_paused(self) -> None:
        """A worker that was paused for longer than the lease ends its command: another one has the message."""
        process, group = self.begun()
        process.send_signal(signal.SIGSTOP)
        (delivery,) = group.claim(1, wait=20)
        process.send_signal(signal.SIGCONT)
        assert process.stderr is not None
        self.assertIn("another worker has it", process.stderr.readline())
        group.ack(delivery)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(LIMIT), 0)
        self.assertEqual(group.info().lag[0].behind, 0)

    def test_a_command_that_is_not_there(self) -> None:
        """It ends, and the message is given back."""
        queue = self.client.queue("q")
        queue.ensure()
        queue.group("g").ensure()
        queue.post("x")
        self.assertIn("No such file", self.shell("queuey claim q g -- /nowhere/command", 1).stderr)
        self.assertEqual(len(queue.group("g").claim(1, wait=5)), 1)

    @runs_in("test-long")
    def test_fail_empty(self) -> None:
        self.client.queue("q").ensure()
        self.client.queue("q").group("g").ensure()
        self.shell("queuey claim q g --fail-empty --wait 0.2 -- cat", 6)
        self.shell("queuey tail q --idle 0.2 --fail-empty", 6)


class BenchTests(CommandTestCase):
    """``queuey bench``."""

    def setUp(self) -> None:
        super().setUp()
        self.client.queue("orders").ensure()
        self.client.queue("orders").post_all(["x"] * 7)

    def bench(self, arguments: str) -> dict[str, Any]:
        """Run it. :return: what it found."""
        found: dict[str, Any] = json.loads(self.shell(f"queuey bench {arguments} --json --csv times.csv").stdout)
        self.assertEqual((found["lost"], found["errors"]), (0, 0))
        self.assertGreater(found["requests"], 0)
        self.assertTrue((self.folder / "times.csv").read_text())
        return found

    @runs_in("test-long")
    def test_kinds(self) -> None:
        for kind in ("batch", "stream", "claim", "mixed"):
            self.assertEqual(self.bench(f"{kind} -c 3 -d 0.2")["kind"], kind)
        self.assertEqual([each.name for each in self.client.queues()], ["orders"])

    def test_rate_and_processes(self) -> None:
        """A rate is that of all processes together, and bounds the requests."""
        found = self.bench("post -c 2 -d 0.5 --processes 2 --rate 40")
        self.assertEqual((found["processes"], found["clients"]), (2, 4))
        self.assertLessEqual(found["requests"], 20)
