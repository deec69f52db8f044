"""A disk that hangs when the daemon is about to end."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from tests.live.alerts import faulty
from tests.live.clients import ask, make_queue, read_all
from tests.live.daemon.test_daemon import LiveTestCase, wait_until
from tests.live.running import Daemon, free_port

ROOT = Path(__file__).parents[3]


class StopTests(LiveTestCase):
    """What waits for the disk is a thread of the store, so that the daemon ends within its limits."""

    def setUp(self) -> None:
        super().setUp()
        self.ops = free_port()
        ops = f"ops = tcp:{self.ops}:interface=127.0.0.1"
        self.replace_settings("[server]", f"[server]\n{ops}\nstop_timeout = 3")

    def begin(self) -> Daemon:
        command = [sys.executable, faulty.__file__, "."]
        daemon = Daemon(command, ["--config", str(self.settings)], self.folder, {"PYTHONPATH": str(ROOT)})
        self.addCleanup(daemon.kill)
        return daemon

    def test_the_last_checkpoint_hangs(self) -> None:
        """Operators are answered meanwhile, and after stop_timeout the daemon ends, with status 0."""
        daemon = self.serve()
        make_queue(self.port, "q")
        self.assertEqual(ask(self.port, "POST", "/v1/queuey/q", b"x")[0], 201)
        (self.folder / "sync").write_text("60")
        began = time.monotonic()
        daemon.send(signal.SIGTERM)
        wait_until(lambda: " stopping " in daemon.output(), "it does not stop")
        self.assertEqual(ask(self.ops, "GET", "/live")[0], 200)
        self.assertEqual(daemon.wait(), 0)
        # Twice the limit, and as much again for a machine that does much else; the disk hangs for longer.
        self.assertLess(time.monotonic() - began, 30)
        self.assertIn(" store-stuck ", daemon.output())
        (self.folder / "sync").unlink()
        daemon = self.serve()
        self.assertEqual([message["body"] for message in read_all(self.port, "q")], ["x"])
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
