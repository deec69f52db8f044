"""Starting on a cluster: waiting for it, errors of one line, and tables that were created by hand."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor  # noqa: TID251
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from queuey.deferreds import deferred
from queuey.storage.cassandra.cluster.cql.session import CQLSession
from queuey.storage.cassandra.cluster.port import Kind, Level, Statement
from queuey.storage.cassandra.cluster.settings import Host, SessionSettings
from queuey.storage.cassandra.scripts import scripts
from tests.live.cassandra.shared import cql_node, new_keyspace
from tests.live.running import Daemon, free_port

reactor: Any = _reactor
BIN = Path(sys.executable).parent
TEXT = """\
[server]
http = tcp:{port}:interface=127.0.0.1
[storage]
backend = cassandra
host = {host}
database = {keyspace}
{more}
[application_keys]
app = some-long-key
"""
REPLICATION = "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"


class StartCase(TestCase):
    timeout = 120

    def setUp(self) -> None:
        address, port = cql_node()
        self.node = f"{address}:{port}"
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.keyspace = new_keyspace()
        self.port = free_port()

    def write(self, host: str = "", more: str = "") -> Path:
        file = self.folder / "queuey.ini"
        text = TEXT.format(port=self.port, host=host or self.node, keyspace=self.keyspace, more=more)
        file.write_text(text, encoding="utf-8")
        return file

    def start(self, host: str = "", more: str = "") -> Daemon:
        daemon = Daemon(BIN / "twistd", ["--config", str(self.write(host, more))], self.folder, {})
        self.addCleanup(daemon.kill)
        return daemon

    def refused(self, daemon: Daemon) -> str:
        """The one line of a daemon that will not serve."""
        self.assertEqual(daemon.wait(), 1)
        output = daemon.output()
        self.assertNotIn("Traceback", output)
        lines = [line for line in output.splitlines() if line.startswith("queuey: ")]
        self.assertEqual(len(lines), 1, output)
        return lines[0]

    @deferred
    async def cql(self, *texts: str) -> None:
        """Define something beside the daemon."""
        address, port = cql_node()
        session = CQLSession(SessionSettings((Host(address, int(port)),)), reactor, deferToThread)
        try:
            await session.connect()
            for text in texts:
                await session.execute(Statement(text, Kind.DEFINITION), (), Level.ONE)
        finally:
            await session.close()

    def queuey(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "queuey", *arguments], cwd=self.folder, capture_output=True, text=True, timeout=100
        )


class WaitingTests(StartCase):
    def test_no_cassandra_at_the_address(self) -> None:
        nowhere = f"127.0.0.1:{free_port()}"
        daemon = self.start(nowhere)
        url = f"http://127.0.0.1:{self.port}/__heartbeat__"
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(url, timeout=5)
            except urllib.error.HTTPError as error:
                body = error.read().decode()
                if error.code == 503 and f"waiting for Cassandra at {nowhere}" in body:
                    self.assertEqual(error.headers["Retry-After"], "5")
                    break
            except OSError:
                pass
            self.assertLess(time.monotonic(), deadline, daemon.output())
            time.sleep(0.2)
        time.sleep(2)
        self.assertEqual(daemon.output().count("info store-waits "), 1, daemon.output())
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        self.assertNotIn("Traceback", daemon.output())
        self.assertNotIn("start-refused", daemon.output())


class RefusedTests(StartCase):
    def test_the_keyspace_of_another_program(self) -> Any:
        @deferred
        async def steps() -> None:
            await self.cql(
                f"CREATE KEYSPACE {self.keyspace} WITH replication = {REPLICATION}",
                f"CREATE TABLE {self.keyspace}.other (k text PRIMARY KEY)",
            )
            line = await deferToThread(lambda: self.refused(self.start()))
            self.assertIn(f"The keyspace {self.keyspace} is not Queuey's", line)

        return steps()

    def test_a_data_centre_that_is_none(self) -> None:
        line = self.refused(self.start(more="replication = nowhere:3"))
        self.assertIn("nowhere", line)

    def test_a_local_data_centre_that_is_none(self) -> None:
        self.assertIn("nowhere", self.refused(self.start(more="local_dc = nowhere")))

    def test_with_a_log_file(self) -> None:
        daemon = self.start(more="replication = nowhere:3\n[logging]\nfile = the.log")
        self.refused(daemon)
        log = (self.folder / "the.log").read_text()
        self.assertIn(" error start-refused Cassandra refuses to make the tables", log)
        self.assertNotIn("Traceback", log)


class SchemaCommandTests(StartCase):
    def test_by_hand(self) -> None:
        daemon = self.start(more="create_schema = false")
        deadline = time.monotonic() + 60
        while "type queuey schema --config FILE --apply" not in daemon.output():
            self.assertLess(time.monotonic(), deadline, daemon.output())
            time.sleep(0.2)
        for _ in range(2):
            done = self.queuey("schema", "--config", "queuey.ini", "--apply")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            text = f"the keyspace {self.keyspace} has the tables of version {scripts()[-1].number}\n"
            self.assertEqual(done.stdout, text)
        daemon.wait_until_it_serves(self.port)
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)

    def test_where_nobody_answers(self) -> None:
        nowhere = f"127.0.0.1:{free_port()}"
        self.write(nowhere)
        done = self.queuey("schema", "--config", "queuey.ini", "--apply")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn(f"Cassandra at {nowhere}", done.stderr)
