"""Celery, signed: the daemon is killed between a send and its receive, and a worker in the middle of a task."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter

from tests.live.daemon.test_daemon import wait_until
from tests.live.sqs.support import HERE, PROGRAMS, SqsCase, needed_program

VISIBILITY = 4
"""Seconds after which a message comes again that was not deleted."""

ROUNDS = 4
MANY = 100
"""Messages that each process of a worker may have, more than there are.

kombu counts a message whose ack has failed as one that the worker still has. If that happens to as many as the worker
may have, it receives no more, and so it never notices that the daemon is back.
"""

TASKS = 10
"""Tasks of a round."""


class CeleryTests(SqsCase):
    def setUp(self) -> None:
        super().setUp()
        needed_program("celery")
        self.notes = self.folder / "notes"
        self.notes.touch()
        self.place = {
            "PYTHONPATH": str(HERE),
            "SQS_PLACE": f"127.0.0.1:{self.port}",
            "SQS_VISIBILITY": str(VISIBILITY),
            "SQS_NOTES": str(self.notes),
            "SQS_PREFETCH": "1",
        }
        with (self.folder / "producer.log").open("wb") as log:
            self.producer = subprocess.Popen(
                [PROGRAMS / "python", HERE / "celery_send.py"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self.environment(**self.place),
            )
        self.addCleanup(self.end_producer)

    def end_producer(self) -> None:
        self.producer.kill()
        self.producer.communicate()

    def send(self, *task: object) -> None:
        """Send a task, and wait until it is accepted."""
        assert self.producer.stdin is not None
        assert self.producer.stdout is not None
        self.producer.stdin.write(json.dumps(task) + "\n")
        self.producer.stdin.flush()
        self.assertEqual(self.producer.stdout.readline(), "accepted\n", self.log("producer"))

    def start_worker(self, name: str) -> subprocess.Popen[bytes]:
        """Start a worker with processes of its own."""
        options = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-c", "2", "-l", "INFO"]
        with (self.folder / f"{name}.log").open("wb") as log:
            worker = subprocess.Popen(
                [PROGRAMS / "celery", "-A", "celery_tasks", "worker", "-n", f"{name}@%h", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self.environment(**self.place),
                start_new_session=True,
            )
        self.addCleanup(self.kill_worker, worker)
        return worker

    def kill_worker(self, worker: subprocess.Popen[bytes]) -> None:
        """End a worker and its processes by SIGKILL."""
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(60)

    def restart(self) -> None:
        """End the daemon by SIGKILL, and start another one over the same data."""
        self.daemon.kill()
        self.daemon = self.serve()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-8000:]

    def noted(self, word: str) -> Counter[str]:
        """How often each task noted a word."""
        lines = [line.split(" ", 1) for line in self.notes.read_text().splitlines()]
        return Counter(name for found, name in lines if found == word)

    def wait_for(self, names: set[str], log: str) -> None:
        try:
            wait_until(lambda: names <= self.noted("done").keys(), "tasks are not done")
        except AssertionError as error:
            left = sorted(names - self.noted("done").keys())
            raise AssertionError(f"{error}: {left}\n{self.log(log)}\n{self.log('producer')}") from None

    def left(self) -> int:
        """How many messages the queue has that are not deleted."""
        sqs = self.boto()
        url = sqs.get_queue_url(QueueName="jobs")["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return sum(int(found[f"ApproximateNumberOfMessages{end}"]) for end in ("", "NotVisible", "Delayed"))

    def test_the_daemon_is_killed(self) -> None:
        """What was accepted is done: by a worker that starts afterwards, and by one that is there meanwhile."""
        self.place["SQS_PREFETCH"] = str(MANY)
        names = set()
        for round in range(ROUNDS):
            if round == 1:
                self.start_worker("worker")
            some = {f"{round}-{n}" for n in range(TASKS)}
            for name in sorted(some):
                self.send("note", name)
            names |= some
            self.restart()  # while the worker, if there is one, waits for a message or deletes one
            if round:
                self.wait_for(names, "worker")
        wait_until(lambda: self.left() == 0, f"messages are left: {self.log('worker')}")
        self.assertEqual(self.noted("done").keys(), names)

    def test_a_worker_is_killed(self) -> None:
        """Its task is given to another worker, after the visibility timeout, and done once; no other one is lost."""
        first = self.start_worker("first")
        self.send("slow", "task", 3)
        wait_until(lambda: self.noted("began")["task"] == 1, f"it does not begin: {self.log('first')}")
        self.kill_worker(first)
        names = {f"{n}" for n in range(TASKS)}
        for name in sorted(names):
            self.send("note", name)
        self.start_worker("second")
        self.wait_for({*names, "task"}, "second")
        self.assertEqual((self.noted("began"), self.noted("done")), (Counter(task=2), Counter({*names, "task"})))
        wait_until(lambda: self.left() == 0, f"messages are left: {self.log('second')}")
