"""Workers that end, are killed, or get another certificate."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import subprocess

from twisted.trial.unittest import SkipTest

from tests import runs_in
from tests.live.clients import TIMEOUT, Poster, ask, make_queue, read_all
from tests.live.daemon.test_daemon import LiveTestCase, wait_until
from tests.live.running import LIMIT, children, free_port
from tests.live.workers.test_workers import CONNECTIONS, WORKERS, WorkersCase, over, runs


class EndTests(WorkersCase):
    """Processes that end."""

    @runs_in("test")
    def test_a_worker_is_killed_under_load(self) -> None:
        """Nothing acknowledged is lost, those at other workers notice nothing, and another worker takes its place."""
        make_queue(self.port, "q")
        posters: list[Poster] = []

        def busy() -> bool:
            return all(len(poster.acknowledged) > 5 or poster.unknown for poster in posters)

        for round in range(2):
            posters += [Poster(self.port, "q", f"r{round}p{number}").start() for number in range(8)]
            wait_until(busy, "nothing is acknowledged")
            victim = self.pids()[0]
            os.kill(victim, signal.SIGKILL)
            self.wait_for_workers(WORKERS + round + 1)
            self.assertNotIn(victim, self.pids())
        for poster in posters:
            poster.finish()
            self.assertEqual(poster.refused, [])
        self.assertGreater(sum(not poster.unknown for poster in posters), 0)
        stored = {message["body"]: message["message_id"] for message in read_all(self.port, "q")}
        acknowledged = dict(pair for poster in posters for pair in poster.acknowledged)
        self.assertEqual({body: stored.get(body) for body in acknowledged}, acknowledged)
        unknown = {body for poster in posters for body in poster.unknown}
        self.assertEqual(set(stored) - set(acknowledged) - unknown, set())
        self.assertEqual(self.metrics()["queuey_worker_restarts_total"], 2)
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)

    def test_the_daemon_is_killed(self) -> None:
        """Its workers end at once, and another daemon finds the port and the data free."""
        make_queue(self.port, "q")
        workers = self.pids()
        self.assertEqual(self.daemon.signal(signal.SIGKILL), -signal.SIGKILL)
        wait_until(lambda: not any(runs(pid) for pid in workers), "workers have not ended")
        self.assertEqual(self.daemon.output().count(" worker-orphaned "), WORKERS)
        again = self.serve()
        self.assertEqual(ask(self.port, "POST", "/v1/queuey/q", b"x")[0], 201)
        self.assertEqual(again.signal(signal.SIGTERM), 0)

    def test_the_daemon_is_killed_while_its_workers_start(self) -> None:
        """No process is left that holds the port, and does not know yet that it is of no use."""
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)
        daemon = self.begin()
        wait_until(lambda: len(children(daemon.pid)) == WORKERS, "workers are not started")
        starting = children(daemon.pid)
        self.assertEqual(daemon.signal(signal.SIGKILL), -signal.SIGKILL)
        wait_until(lambda: not any(runs(pid) for pid in starting), "workers have not ended")
        self.assertNotIn(" worker-", daemon.output().rpartition(" stopped ")[2])
        daemon = self.serve()
        self.assertNotIn("Address already in use", daemon.output())
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)

    def test_what_changes_while_a_worker_begins(self) -> None:
        """It gets that change too, and does not serve by the settings of its start."""
        before = self.pids()
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: len(set(self.pids()) - set(before)) == 1, "no other worker was started")
        (fresh,) = set(self.pids()) - set(before)
        os.kill(fresh, signal.SIGSTOP)
        self.assertEqual(self.daemon.output().count(" worker-up "), WORKERS)
        self.add_settings("[application:other]\nkeys = another-key-of-it\n")
        os.kill(self.daemon.pid, signal.SIGHUP)
        wait_until(lambda: " reloaded " in self.daemon.output(), "the settings were not read anew")
        self.assertTrue(self.call("drain"))
        wait_until(lambda: 503 in self.asked("/__heartbeat__"), "nobody was told to drain")
        os.kill(fresh, signal.SIGCONT)
        self.wait_for_workers(WORKERS + 1)
        wait_until(lambda: self.asked("/__heartbeat__") == {503}, "not every worker drains")
        key = "Application another-key-of-it"
        self.assertEqual(self.asked("/v2/other", Authorization=key), {200})
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)

    def asked(self, path: str, **headers: str) -> set[int]:
        """The statuses of a GET by new connections, more of them than workers."""
        made = [http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT) for _ in range(CONNECTIONS)]
        try:
            return {over(connection, "GET", path, None, **headers)[0] for connection in made}
        finally:
            for connection in made:
                connection.close()


class CertificateTests(LiveTestCase):
    """TLS at workers."""

    def test_one_that_is_bad_by_then(self) -> None:
        """A certificate that was good when the daemon looked, and is not when a worker does, ends no process."""
        openssl = shutil.which("openssl")
        if openssl is None:
            raise SkipTest("there is no openssl to make a certificate with")
        command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=example.org"]
        command += ["-keyout", str(self.folder / "key.pem"), "-out", str(self.folder / "cert.pem")]
        subprocess.run(command, check=True, capture_output=True, timeout=LIMIT)
        secure = f"    ssl:{free_port()}:privateKey=key.pem:certKey=cert.pem:interface=127.0.0.1"
        text = re.sub(r"(?m)^workers = .*$", f"{secure}\nworkers = 2", self.settings.read_text())
        self.settings.write_text(text)
        daemon = self.serve()
        wait_until(lambda: daemon.output().count(" worker-up ") == 2, "not both workers were up")
        before = children(daemon.pid)
        for pid in before:
            os.kill(pid, signal.SIGSTOP)
        os.kill(daemon.pid, signal.SIGHUP)
        wait_until(lambda: " reloaded " in daemon.output(), "the settings were not read anew")
        (self.folder / "cert.pem").write_text("no certificate")
        for pid in before:
            os.kill(pid, signal.SIGCONT)
        wait_until(lambda: daemon.output().count(" reload-refused ") == 2, "not both workers have said so")
        self.assertEqual(ask(self.port, "GET", "/__heartbeat__")[0], 200)
        self.assertEqual(children(daemon.pid), before)
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
