"""Schedules of a whole daemon on SQLite: two workers, one of which is killed, and kill -9 of all of them."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from tests import runs_in
from tests.live.clients import ask, make_queue
from tests.live.daemon.test_daemon import LiveTestCase
from tests.live.running import Daemon, children

QUEUE = "/v2/queuey/queues/q"
JSON = {"Content-Type": "application/json"}


class ScheduleLiveTests(LiveTestCase):
    def posted(self) -> int:
        """The number of messages that there are."""
        return len(ask(self.port, "GET", f"{QUEUE}/messages")[1]["messages"])

    def wait_for(self, count: int, why: str) -> None:
        until = time.monotonic() + 90
        while self.posted() < count:
            self.assertLess(time.monotonic(), until, why)
            time.sleep(0.2)

    @runs_in("test-long")
    def test_once_a_minute(self) -> None:
        """Each minute has one message, through the death of a worker and of the whole daemon."""
        self.replace_settings("workers = 1", "workers = 2")
        daemon = self.serve()
        make_queue(self.port, "q")
        body: Any = b'{"cron": "* * * * *", "missed": "once", "message": {"body": "tick"}}'
        self.assertEqual(ask(self.port, "PUT", f"{QUEUE}/schedules/s", body, **JSON)[0], 201)
        began = int(time.time() // 60)
        self.wait_for(1, "the first message")
        os.kill(children(daemon.pid)[0], signal.SIGKILL)
        self.wait_for(2, "the second message, after a worker died")
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.wait()
        daemon = self.serve()
        self.wait_for(3, "the third message, after a restart")
        time.sleep(5)
        self.assertEqual(self.posted(), int(time.time() // 60) - began)
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        self.assertNotIn("Traceback", daemon.output())

    @runs_in("test-long")
    def test_reloads(self) -> None:
        """An application that is removed and comes back, and quotas, while schedules run."""
        self.replace_settings("workers = 1", "workers = 2")
        settings = self.settings.read_text()
        daemon = self.serve()
        make_queue(self.port, "q")
        body: Any = b'{"cron": "* * * * *", "message": {"body": "tick"}}'
        self.assertEqual(ask(self.port, "PUT", f"{QUEUE}/schedules/s", body, **JSON)[0], 201)
        self.wait_for(1, "the first message")

        self.reload(daemon, settings.replace("\nqueuey = ", "\nother = "))
        self.assertIn(ask(self.port, "GET", f"{QUEUE}/messages")[0], (401, 403, 404))
        time.sleep(70)  # a minute passes
        self.reload(daemon, settings)
        self.assertEqual(self.posted(), 1)
        self.wait_for(2, "the first message after the application came back")

        held = self.posted()
        self.reload(daemon, f"{settings}\n[application:queuey]\nmax_queue_messages = {held}\n")
        until = time.monotonic() + 90
        while self.shown()["state"] != "failing":
            self.assertLess(time.monotonic(), until, "the quota has no effect")
            time.sleep(0.5)
        self.assertEqual((self.shown()["last_error"], self.posted()), ("storage-full", held))
        self.reload(daemon, settings)
        self.wait_for(held + 1, "the first message with a larger quota")
        self.assertEqual((self.shown()["state"], self.shown()["failures"]), ("active", 0))
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        self.assertNotIn("Traceback", daemon.output())

    def shown(self) -> Any:
        """The schedule."""
        return ask(self.port, "GET", f"{QUEUE}/schedules/s")[1]

    def reload(self, daemon: Daemon, settings: str) -> None:
        """Put other settings in force."""
        before = daemon.output().count(" reloaded ")
        self.settings.write_text(settings)
        os.kill(daemon.pid, signal.SIGHUP)
        until = time.monotonic() + 60
        while daemon.output().count(" reloaded ") == before:
            self.assertLess(time.monotonic(), until, daemon.output())
            time.sleep(0.1)
