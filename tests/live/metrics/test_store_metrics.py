"""The metrics of a daemon's SQLite store compared with the requests that it got."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.live.clients import ask, make_queue
from tests.live.running import Daemon, free_port, write_settings
from tests.live.scraping import Metrics, scrape, until

TWISTD = Path(sys.executable).parent / "twistd"
JSON = {"Content-Type": "application/json"}
POSTS, READS = 40, 7
OPERATIONS = "queuey_store_operations_total"
GROUP = ("queuey", "postmen", "letters")


class StoreMetricsTests(SynchronousTestCase):
    """One daemon, and a day of it."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="queuey-metrics-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.port, self.ops = free_port(), free_port()
        ops = f"[server]\nops = tcp:{self.ops}:interface=127.0.0.1\n"
        metrics = "[metrics]\ngroups =\n    */letters/*\n    queuey/nothing/nobody\ngroup_every = 1\n"
        metrics += "queues = */letters\nqueue_every = 1\n"
        settings = write_settings(self.folder, self.port)
        settings.write_text(settings.read_text().replace("[server]\n", ops) + metrics)
        self.daemon = Daemon(TWISTD, ["--config", str(settings)], self.folder, {})
        self.addCleanup(self.daemon.kill)
        self.daemon.wait_until_it_serves(self.port)

    def since(self, before: Metrics, *name: str) -> float:
        return scrape(self.ops).get(name, 0) - before.get(name, 0)

    def test_a_day(self) -> None:
        make_queue(self.port, "letters")
        before = scrape(self.ops)
        for number in range(POSTS):
            self.assertEqual(ask(self.port, "POST", "/v1/queuey/letters", b"%d" % number)[0], 201)
        for _ in range(READS):
            self.assertEqual(ask(self.port, "GET", "/v2/queuey/queues/letters/messages?limit=5")[0], 200)
        self.assertEqual(ask(self.port, "GET", "/v1/queuey/nothing")[0], 404)
        self.counted(before)
        self.files()
        self.groups()
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0, self.daemon.output())
        self.assertNotIn("Traceback", self.daemon.output())

    def counted(self, before: Metrics) -> None:
        """Each operation and each commit, exactly."""
        self.assertEqual(self.since(before, OPERATIONS, "append", "ok"), POSTS)
        self.assertEqual(self.since(before, "queuey_store_operation_duration_seconds_count", "append"), POSTS)
        self.assertEqual(self.since(before, OPERATIONS, "merge", "ok"), READS)
        self.assertEqual(self.since(before, "queuey_sqlite_pile_size_count"), POSTS)
        self.assertEqual(self.since(before, "queuey_sqlite_sync_duration_seconds_count"), POSTS)
        self.assertGreaterEqual(self.since(before, "queuey_sqlite_pile_size_sum"), POSTS)
        found = scrape(self.ops)
        self.assertGreater(found["queuey_sqlite_sync_duration_seconds_sum",], 0)
        self.assertEqual((found["queuey_store_up",], found["queuey_stable_time_age_seconds",]), (1, 0))
        self.assertEqual(found["queuey_sqlite_waiting_writes",], 0)
        # A client that waited for the daemon to serve may have given up.
        more = {name for name in found if name[0] == OPERATIONS and found[name] > before.get(name, 0)}
        self.assertEqual([name for name in more if name[2] not in ("ok", "refused")], [])

    def files(self) -> None:
        """The files, as they are once nothing is written any more."""
        database = self.folder / "data" / "queuey.sqlite"
        until(
            self.ops,
            lambda found: (
                found["queuey_sqlite_wal_bytes",] == os.stat(f"{database}-wal").st_size
                and found["queuey_sqlite_database_bytes",] == os.stat(database).st_size
            ),
        )
        self.assertGreater(scrape(self.ops)["queuey_disk_free_bytes",], 0)

    def groups(self) -> None:
        """A group that comes, settles some, and ends."""
        path = "/v2/queuey/queues/letters/groups/postmen"
        status, claimed = ask(self.port, "POST", f"{path}/claims", json.dumps({"limit": 15}).encode(), **JSON)
        self.assertEqual((status, len(claimed["messages"])), (200, 15))
        lag, oldest = ("queuey_group_lag_messages", *GROUP), ("queuey_group_oldest_unsettled_seconds", *GROUP)
        held = ("queuey_queue_messages", "queuey", "letters")
        until(self.ops, lambda found: found.get(lag) == POSTS)
        until(self.ops, lambda found: found.get(held) == POSTS)
        receipts = [message["receipt"] for message in claimed["messages"]]
        self.assertEqual(
            ask(self.port, "POST", f"{path}/settlements", json.dumps({"ack": receipts}).encode(), **JSON)[0], 200
        )
        found = until(self.ops, lambda found: found.get(lag) == POSTS - 15)
        self.assertGreater(found[oldest], 0)
        self.assertEqual(ask(self.port, "DELETE", "/v1/queuey/letters")[0], 200)
        found = until(self.ops, lambda found: lag not in found and held not in found)
        self.assertNotIn(oldest, found)
