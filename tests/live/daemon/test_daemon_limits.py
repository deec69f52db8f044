"""A daemon whose store hangs, or that has few file descriptors."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import apsw

from tests.live.clients import Poster, ask, make_queue
from tests.live.daemon.test_daemon import TWISTD, LiveTestCase
from tests.live.running import LIMIT, Daemon


class StuckTests(LiveTestCase):
    """A database that another program keeps for itself."""

    def test_answered_in_time(self) -> None:
        """Writes and the heartbeat are answered 503 after some seconds, however many wait; reads go on, and so does all
        else when the other program is done."""
        daemon = self.serve()
        make_queue(self.port, "q")
        other = apsw.Connection(str(self.folder / "data" / "queuey.sqlite"))
        other.execute("BEGIN IMMEDIATE")
        statuses: list[int] = []
        began = time.monotonic()
        threads = [
            threading.Thread(target=lambda: statuses.append(ask(self.port, "POST", "/v1/queuey/q", b"x")[0]))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        self.assertEqual(ask(self.port, "GET", "/v1/queuey/q")[0], 200)
        self.assertEqual(ask(self.port, "GET", "/__heartbeat__")[0], 503)
        for thread in threads:
            thread.join(LIMIT)
        self.assertEqual(statuses, [503] * 20)
        # One wait for the lock after another would have taken twenty times five seconds.
        self.assertLess(time.monotonic() - began, 60)
        other.execute("ROLLBACK")
        other.close()
        self.assertEqual(ask(self.port, "POST", "/v1/queuey/q", b"x")[0], 201)
        self.assertEqual(ask(self.port, "GET", "/__heartbeat__")[0], 200)
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)

    def test_stop(self) -> None:
        """The daemon stops all the same, within twice its stop_timeout."""
        self.replace_settings("[server]", "[server]\nstop_timeout = 1")
        daemon = self.serve()
        make_queue(self.port, "q")
        other = apsw.Connection(str(self.folder / "data" / "queuey.sqlite"))
        other.execute("BEGIN IMMEDIATE")
        poster = Poster(self.port, "q", "p").start()
        time.sleep(0.3)
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        self.assertIn(" store-stuck ", daemon.output())
        self.assertEqual(poster.finish().acknowledged, [])
        other.close()


class DescriptorTests(LiveTestCase):
    """As many connections as the settings allow."""

    def limited(self, hard: int) -> Daemon:
        self.replace_settings("[server]", "[server]\nmax_connections = 400")
        command = ["prlimit", f"--nofile=256:{hard}", str(TWISTD)]
        daemon = Daemon(command, ["--config", str(self.settings)], self.folder, {})
        self.addCleanup(daemon.kill)
        daemon.wait_until_it_serves(self.port)
        return daemon

    def test_raised(self) -> None:
        """The soft limit of open files is raised to what is needed."""
        daemon = self.limited(2000)
        limits = Path(f"/proc/{daemon.pid}/limits").read_text()
        self.assertRegex(limits, r"Max open files +900 +2000 ")
        self.assertNotIn(" settings ", daemon.output())

    def test_not_enough(self) -> None:
        """If max_connections cannot be reached, the log says what to raise, or what to lower."""
        daemon = self.limited(460)
        output = daemon.output()
        self.assertIn("this process may open 460 files, and max_connections = 400 needs 500: raise the limit", output)
        self.assertIn("LimitNOFILE=900", output)
        self.assertIn("set max_connections = 360 in [server]", output)

    def test_enough_without_room_to_spare(self) -> None:
        """All connections fit; those above max_connections may find no descriptor, and no warning is needed."""
        self.assertNotIn(" settings ", self.limited(600).output())
