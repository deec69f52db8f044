"""Every alert of a daemon, and of its embedded store, is raised by its cause and not before it.

Those of a cluster are in :mod:`tests.live.cassandra.operating.test_alerts`.
"""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import apsw

from queuey.storage.sqlite.database import files
from tests.live.alerts import faulty
from tests.live.alerts.expressions import ROOT
from tests.live.alerts.scrapes import Scrape, scrape
from tests.live.alerts.support import AlertCase, wait_for
from tests.live.clients import HEADERS, TIMEOUT, ask, make_queue
from tests.live.daemon.test_daemon import LiveTestCase, wait_until
from tests.live.failures.disks import Disk
from tests.live.failures.faults import JSON
from tests.live.operating.rotating import call
from tests.live.running import WORKERS, Daemon, children, free_port

MIB: Final = 1 << 20
TEXT: Final = {"Content-Type": "text/plain"}
MESSAGES: Final = "/v2/queuey/queues/q/messages"


class DaemonCase(LiveTestCase, AlertCase):
    """A daemon of which everything can be asked, with faults in its folder."""

    command: Sequence[str] = (sys.executable, faulty.__file__, ".")

    def setUp(self) -> None:
        super().setUp()
        self.ops = free_port()
        self.to = f"http://127.0.0.1:{self.ops}"
        self.replace_settings("[server]\n", f"[server]\nops = tcp:{self.ops}:interface=127.0.0.1\n")

    def begin(self) -> Daemon:
        """Start it by the command of these tests."""
        environment = {"PYTHONPATH": str(ROOT)}
        daemon = Daemon(self.command, ["--config", str(self.settings)], self.folder, environment)
        self.addCleanup(daemon.kill)
        return daemon

    def post(self, body: bytes = b"x") -> int:
        """Post a message; the status."""
        status: int = ask(self.port, "POST", MESSAGES, body, **TEXT)[0]
        return status

    def work(self) -> None:
        """What a daemon does on any day."""
        for _ in range(20):
            self.assertEqual(self.post(), 201)
            self.assertEqual(ask(self.port, "GET", f"{MESSAGES}?limit=1")[0], 200)

    def calm(self) -> list[Scrape]:
        """Two scrapes, with work between them."""
        first = scrape(self.ops)
        self.work()
        return [first, scrape(self.ops)]

    def calm_without(self, *names: str) -> list[Scrape]:
        """The same of a time in which none of these alerts is raised: a machine that does much else may be slow."""
        for _ in range(20):
            calm = self.calm()
            if not any(self.is_raised(name, calm) for name in names):
                return calm
        raise AssertionError(f"one of {', '.join(names)} is raised all the time")

    def wait_for(self, condition: Callable[[Scrape], bool], why: str) -> Scrape:
        """Scrape until it is so."""
        return wait_for(self.ops, condition, why)

    @contextmanager
    def posts(self, count: int) -> Any:
        """Let so many posts be under way at once; their statuses come when they are over."""
        statuses: list[int] = []
        with ExitStack() as open_ones:
            connections = [http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT) for _ in range(count)]
            for connection in connections:
                open_ones.callback(connection.close)
                connection.request("POST", MESSAGES, b"x", {**HEADERS, **TEXT})
            yield statuses
            statuses += [connection.getresponse().status for connection in connections]


class DaemonAlertTests(DaemonCase):
    """What happens to a process and to its clients."""

    def setUp(self) -> None:
        super().setUp()
        self.log = self.folder / "log"
        self.log.symlink_to(self.folder / "log.real")
        self.add_settings(f"[logging]\nfile = {self.log}\n")
        self.daemon = self.serve()
        make_queue(self.port, "q")

    def test_clients(self) -> None:
        """Defects, and clients that ask too much."""
        calm = self.calm()
        (self.folder / "defect").touch()
        self.assertEqual({self.post() for _ in range(5)}, {500})
        (self.folder / "defect").unlink()
        after = scrape(self.ops)
        self.check_alert("QueueyIncidents", calm, [after])
        self.check_alert("QueueyErrors", calm, [after])

        self.add_settings("[application:queuey]\nrequest_rate = 1\nrequest_burst = 1\n")
        before = scrape(self.ops)
        self.reload()
        with self.posts(120) as statuses:
            pass
        self.assertGreater(statuses.count(429), 70)
        self.check_alert("QueueyRefusals", calm, [before, scrape(self.ops)])

    def test_process(self) -> None:
        """It is stopped for a while, has too few descriptors, cannot log, is drained, has no room, and ends."""
        calm = self.calm_without("QueueyReactorDelayed")
        before = scrape(self.ops)
        os.kill(self.daemon.pid, signal.SIGSTOP)
        time.sleep(2)
        os.kill(self.daemon.pid, signal.SIGCONT)
        name = "queuey_reactor_delay_seconds_sum"
        late = self.wait_for(lambda now: now.total(name) > before.total(name) + 0.9, "the delay is not noticed")
        self.check_alert("QueueyReactorDelayed", calm, [before, late])

        self.check_alert("QueueyFewDescriptors", calm, [self.few_descriptors()])

        self.assertTrue(call(self.to, "drain"))
        drained = self.wait_for(lambda now: now.total("queuey_ready") == 0, "it is ready though it is drained")
        self.check_alert("QueueyDrainLeftOn", calm, [drained])
        self.assertFalse(self.is_raised("QueueyNotReady", [*calm, drained]))
        call(self.to, "undrain")
        self.wait_for(lambda now: now.total("queuey_ready") == 1, "it is not ready though nobody drains it")

        self.replace_settings("[server]\n", "[server]\ndisk_floor = 1024TiB\n")
        self.reload()
        full = self.wait_for(lambda now: now.total("queuey_ready") == 0, "it is ready without room")
        self.check_alert("QueueyNotReady", calm, [full])
        self.replace_settings("disk_floor = 1024TiB\n", "")

        before = scrape(self.ops)
        self.log.unlink()
        self.log.symlink_to("/dev/full")
        os.kill(self.daemon.pid, signal.SIGUSR1)
        lost = self.wait_for(lambda now: now.total("queuey_log_lines_lost_total") > 0, "no line is lost")
        self.check_alert("QueueyLogLinesLost", calm, [before, lost])
        self.log.unlink()

        starts = [self.start_anew() for _ in range(3)]
        self.assertFalse(self.is_raised("QueueyRestarts", [*calm, *starts[:2]], 5))
        self.check_alert("QueueyRestarts", calm, starts, 5)

        self.daemon.kill()
        self.check_alert("QueueyDown", calm, [scrape(self.ops)])
        self.check_alert("QueueyMissing", calm, [Scrape({}, frozenset())])
        self.assertTrue(self.is_raised("QueueyMissing", [one.of_job("other") for one in calm]))

    def few_descriptors(self) -> Scrape:
        """Open more connections than the daemon has room for; the log says so."""
        accepting, of = ([self.daemon.pid], "process") if WORKERS == 1 else (children(self.daemon.pid), "queuey_worker")
        most = 100
        allowed = [resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in accepting]
        with ExitStack() as held:
            for pid, (_, hard) in zip(accepting, allowed, strict=True):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, hard))
            # Whatever part of them each accepts, one has more than four fifths of what it may have.
            for _ in range(75 + 100 * (len(accepting) - 1)):
                held.enter_context(socket.create_connection(("127.0.0.1", self.port), TIMEOUT))
            few = self.wait_for(lambda now: now.most(f"{of}_open_fds") > 85, "connections are not there")
        for pid, limits in zip(accepting, allowed, strict=True):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        return few

    def reload(self) -> None:
        """Let it read its settings again."""
        before = self.log.read_text().count(" reloaded ")
        os.kill(self.daemon.pid, signal.SIGHUP)
        wait_until(lambda: self.log.read_text().count(" reloaded ") > before, "it does not reload")

    def start_anew(self) -> Scrape:
        """End it as a crash does, and start it again; what it says then."""
        self.daemon.kill()
        self.daemon = self.serve()
        return scrape(self.ops)


class PushTests(DaemonCase):
    """A push whose endpoint is down."""

    def test_endpoint_that_is_down(self) -> None:
        """Ten attempts in a row fail; other applications are not named."""
        endpoint = free_port()
        self.add_settings(
            "[application:queuey]\npush = true\npush_hosts = 127.0.0.1\n"
            f"[push]\nsecrets = {'7' * 64}\nnetworks = 127.0.0.0/8\nports = {endpoint}\n"
        )
        self.serve()
        make_queue(self.port, "q")
        body = json.dumps({"url": f"http://127.0.0.1:{endpoint}/"}).encode()
        self.assertEqual(ask(self.port, "PUT", "/v2/queuey/queues/q/pushes/p", body, **JSON)[0], 201)
        calm = [scrape(self.ops)] * 2
        for _ in range(10):
            self.assertEqual(self.post(), 201)
        down = self.wait_for(lambda now: now.total("queuey_pushes_failing") == 1, "no push fails")
        self.check_alert("QueueyPushesFailing", calm, [down])

        def listed() -> list[tuple[str, str]]:
            found = call(self.to, "pushes.list", application="queuey", state="failing")["pushes"]
            return [(one["name"], one["last_error"]) for one in found]

        wait_until(lambda: listed() == [("p", "no-connection")], "the list does not have it")


class ScheduleTests(DaemonCase):
    """A schedule whose queue is full."""

    def test_queue_that_is_full(self) -> None:
        self.add_settings("[application:queuey]\nmax_queue_messages = 1\n")
        self.serve()
        make_queue(self.port, "q")
        body = b'{"cron": "* * * * *", "message": {"body": "x"}}'
        self.assertEqual(ask(self.port, "PUT", "/v2/queuey/queues/q/schedules/s", body, **JSON)[0], 201)
        self.assertEqual(self.post(), 201)
        calm = [self.wait_for(lambda now: now.total("queuey_schedules") == 1, "it is not counted")] * 2
        until = time.monotonic() + 90
        while not (found := call(self.to, "schedules.list", application="queuey", state="failing")["schedules"]):
            self.assertLess(time.monotonic(), until, "it does not fail")
            time.sleep(0.5)
        self.assertEqual([(one["name"], one["last_error"]) for one in found], [("s", "storage-full")])
        failing = self.wait_for(lambda now: now.total("queuey_schedule_failures_total") > 0, "no failure is counted")
        self.check_alert("QueueySchedulesFailing", calm, [failing])


class SlowDiskTests(DaemonCase):
    """A disk that takes very long for a sync, and then a second for each."""

    def test_slow_syncs(self) -> None:
        """Each of them takes long, and what is written waits for it."""
        self.serve()
        make_queue(self.port, "q")
        calm = self.calm_without("QueueySyncSlow", "QueueyStoreSlow", "QueueyWritesPileUp")
        before = scrape(self.ops)
        (self.folder / "sync").write_text("60")
        with self.posts(150) as statuses:
            waiting = self.wait_for(lambda now: now.total("queuey_sqlite_waiting_writes") > 100, "nothing waits")
            (self.folder / "sync").write_text("1")
        self.assertEqual(set(statuses), {201})
        after = scrape(self.ops)
        self.check_alert("QueueyWritesPileUp", calm, [waiting])
        self.check_alert("QueueySyncSlow", calm, [before, after])
        self.check_alert("QueueyStoreSlow", calm, [before, after])


class RoomTests(DaemonCase):
    """Files that grow, and a disk that has little room."""

    def test_the_disk_has_less_and_less_room(self) -> None:
        """It will be full within a day, and then has less than 1 GiB."""
        disk = Disk(self, self.folder / "disk", "2000m")
        self.replace_settings(f"path = {self.folder / 'data'}", f"path = {disk.path / 'data'}")
        self.serve()
        make_queue(self.port, "q")
        self.wait_for(lambda now: now.total("queuey_disk_free_bytes") > 0, "the room is not known")
        calm = self.calm()
        disk.change("size=1600m")
        less = self.wait_for(lambda now: now.total("queuey_disk_free_bytes") < 1700 * MIB, "it is not noticed")
        self.check_alert("QueueyDiskFilling", calm, [less], 32)
        self.assertFalse(self.is_raised("QueueyDiskLow", [*calm, less]))
        disk.change("size=900m")
        low = self.wait_for(lambda now: now.total("queuey_disk_free_bytes") < 1000 * MIB, "it is not noticed")
        self.check_alert("QueueyDiskLow", calm, [low])

    def test_the_log_cannot_be_started_over(self) -> None:
        """Somebody reads an old state of the database, while much is written."""
        self.replace_settings("[server]\n", "[server]\nmax_body = 16MiB\n")
        self.serve()
        make_queue(self.port, "q")
        calm = self.calm()
        reader = apsw.Connection(str(self.folder / "data" / files.DATABASE), flags=apsw.SQLITE_OPEN_READONLY)
        self.addCleanup(reader.close)
        reader.execute("BEGIN").execute("SELECT count(*) FROM messages").fetchall()
        for _ in range(10):
            self.assertEqual(self.post(os.urandom(8 * MIB).hex().encode()), 201)
        large = self.wait_for(lambda now: now.total("queuey_sqlite_wal_bytes") > 128 * MIB, "the log does not grow")
        self.check_alert("QueueyWalLarge", calm, [large])


class TimeTests(DaemonCase):
    """What depends on how old things are; the clock is the test's."""

    def set(self, seconds: int) -> None:
        """Set the clock; the file always has all of the figure."""
        (self.folder / "clock").write_text(f"{seconds:10d}")

    def test_queues(self) -> None:
        """One that is deep, and whose oldest message is old."""
        self.set(-100_000)
        self.add_settings("[metrics]\nqueues = queuey/q\nqueue_every = 1\n")
        self.serve()
        make_queue(self.port, "q")
        calm = [self.wait_for(lambda now: now.has("queuey_queue_messages"), "the queue is not followed")] * 2

        batch = json.dumps({"messages": [{"body": "x"}] * 1000}).encode()
        kind = {"Content-Type": "application/vnd.queuey.messages+json"}
        for _ in range(10):
            self.assertEqual(ask(self.port, "POST", MESSAGES, batch, **kind)[0], 201)
        deep = self.wait_for(lambda now: now.total("queuey_queue_messages") >= 10_000, "nothing is deep")
        self.check_alert("QueueyQueueDeep", calm, [deep])

        self.set(0)
        old = self.wait_for(lambda now: now.total("queuey_queue_oldest_seconds") > 86_400, "nothing is old")
        self.check_alert("QueueyQueueOld", calm, [old])

    def test_groups(self) -> None:
        """One that is behind, one that is stuck; and the clock is set back."""
        self.set(-1000)
        self.add_settings("[metrics]\ngroups = queuey/q/*\ngroup_every = 1\n")
        self.serve()
        make_queue(self.port, "q")
        claims = "/v2/queuey/queues/q/groups/workers/claims"
        self.assertEqual(ask(self.port, "POST", claims, b'{"limit": 1}', **JSON)[1]["messages"], [])
        calm = [self.wait_for(lambda now: now.has("queuey_group_lag_messages"), "the group is not followed")] * 2

        batch = json.dumps({"messages": [{"body": "x"}] * 1000}).encode()
        kind = {"Content-Type": "application/vnd.queuey.messages+json"}
        self.assertEqual(ask(self.port, "POST", MESSAGES, batch, **kind)[0], 201)
        behind = self.wait_for(lambda now: now.total("queuey_group_lag_messages") >= 1000, "nothing is behind")
        self.check_alert("QueueyGroupBehind", calm, [behind])

        self.set(0)
        old = self.wait_for(lambda now: now.total("queuey_group_oldest_unsettled_seconds") > 900, "nothing is old")
        self.check_alert("QueueyGroupStuck", calm, [old])

        self.assertEqual(self.post(), 201)
        self.set(-1000)
        back = self.wait_for(lambda now: now.total("queuey_stable_time_age_seconds") < -900, "the time is as it was")
        self.check_alert("QueueyClockSetBack", calm, [back])
