"""Backups of a daemon under load, restored and compared; the recipes of docs/backup.rst as they stand there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import apsw

from queuey.model.timeid import from_v1_hex
from queuey.storage.sqlite.database import files
from tests import runs_in
from tests.live.clients import KEY, Poster, ask, make_queue, read_all
from tests.live.daemon.test_daemon import LiveTestCase, wait_until
from tests.live.failures.disks import Disk
from tests.live.running import LIMIT, Daemon, free_port, write_settings
from tests.manual import commands

LONG = bool(os.environ.get("QUEUEY_LONG"))
BIN = Path(sys.executable).parent
PAGE = Path(__file__).parents[3] / "docs" / "backup.rst"
JSON = {"Content-Type": "application/json"}


class BackupTestCase(LiveTestCase):
    """A daemon, and the command beside it."""

    def setUp(self) -> None:
        super().setUp()
        self.target = self.folder / "backups" / "backup"
        self.target.parent.mkdir()
        self.key = self.folder / "key"
        self.key.write_text(KEY)

    def command(self, *arguments: str | Path) -> list[str]:
        return [str(BIN / "queuey"), *map(str, arguments)]

    def back_up(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = self.command("backup", *(arguments or ("--config", self.settings, self.target)))
        return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)

    def refused(self, done: subprocess.CompletedProcess[str], *words: str) -> None:
        """It failed in one line with these words, and left nothing."""
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertRegex(done.stderr, r"\A[^\n]+\n\Z")
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(os.listdir(self.target.parent), [])

    def fill(self, batches: int, size: int = 3000) -> None:
        """Store messages of some size, 300 in each batch."""
        make_queue(self.port, "large")
        batch = json.dumps({"messages": [{"body": "x" * size}] * 300}).encode()
        for _ in range(batches):
            self.assertEqual(ask(self.port, "POST", "/v1/queuey/large", batch, **JSON)[0], 201)

    def serve_from(self, data: Path) -> int:
        """A second daemon, on these data; its port."""
        folder, port = self.folder / f"from-{data.name}", free_port()
        folder.mkdir()
        settings = write_settings(folder, port)
        settings.write_text(settings.read_text().replace(str(folder / "data"), str(data)))
        daemon = Daemon(BIN / "twistd", ["--config", str(settings)], folder, {})
        self.addCleanup(daemon.kill)
        daemon.wait_until_it_serves(port)
        return port

    def look(self, data: Path, statement: str) -> Any:
        connection = apsw.Connection(str(data / files.DATABASE), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return connection.execute(statement).get
        finally:
            connection.close(True)


class BackupTests(BackupTestCase):
    """queuey backup."""

    def test_under_load(self) -> None:
        """No request is refused meanwhile; what was acknowledged before it began is in it, and ids rise from it."""
        daemon = self.serve()
        make_queue(self.port, "q")
        self.fill(200 if LONG else 30)
        posters = [Poster(self.port, "q", f"p{number}").start() for number in range(6)]
        time.sleep(0.5)
        longest, taken = 0, []
        for number in range(8 if LONG else 3):
            before = [list(poster.acknowledged) for poster in posters]
            target = self.target.with_name(f"backup-{number}")
            began = time.monotonic()
            command = self.command("backup", "--config", self.settings, target)
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
                while running.poll() is None:
                    longest = max(longest, (self.folder / "data" / f"{files.DATABASE}-wal").stat().st_size)
                    time.sleep(0.01)
            taken.append(time.monotonic() - began)
            self.assertEqual(running.returncode, 0)
            self.compare(target, posters, before)
        for poster in posters:
            poster.finish()
            self.assertEqual((poster.refused, poster.unknown), ([], []))
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        self.check_restored(self.target.with_name("backup-0"), posters)
        size = (self.target.with_name("backup-0") / files.DATABASE).stat().st_size
        sys.stdout.write(
            f"backups of {size / 1e6:.0f} MB took {min(taken):.2f} to {max(taken):.2f} s under "
            f"{sum(len(poster.acknowledged) for poster in posters)} POSTs; the log came to {longest / 1e6:.0f} MB\n"
        )

    def compare(self, target: Path, posters: list[Poster], before: list[list[tuple[str, str]]]) -> None:
        """What the file holds, without a daemon."""
        self.assertEqual(self.look(target, "PRAGMA integrity_check"), "ok")
        connection = apsw.Connection(str(target / files.DATABASE), flags=apsw.SQLITE_OPEN_READONLY)
        rows = connection.execute("SELECT body, id FROM messages WHERE size < 100").fetchall()
        connection.close()
        stored = {bytes(body).decode(): id for body, id in rows}  # type: ignore[arg-type]
        for acknowledged in before:
            self.assertGreater(len(acknowledged), 0)
            lost = [body for body, key in acknowledged if stored.get(body) != from_v1_hex(key)]
            self.assertEqual(lost, [])
        # No gaps: what is there of a poster, who waits for each answer, is all up to some message.
        for poster in posters:
            numbers = sorted(int(body.rpartition("-")[2]) for body in stored if body.startswith(f"{poster.name}-"))
            self.assertEqual(numbers, list(range(len(numbers))))

    def check_restored(self, target: Path, posters: list[Poster]) -> None:
        """A daemon serves from it, and goes on with greater ids."""
        port = self.serve_from(target)
        messages = read_all(port, "q")
        known = {key: body for poster in posters for body, key in poster.acknowledged}
        self.assertEqual({m["message_id"]: m["body"] for m in messages}, {m["message_id"]: known[m["message_id"]]
                                                                          for m in messages})  # fmt: skip
        _, answer = ask(port, "POST", "/v1/queuey/q", b"after")
        new, last = (from_v1_hex(id) for id in (answer["messages"][0]["key"], messages[-1]["message_id"]))
        assert new is not None
        assert last is not None
        self.assertGreater(new, last)
        self.assertEqual(len(read_all(port, "q")), len(messages) + 1)

    def test_refused(self) -> None:
        """One line, status 1, nothing left."""
        self.refused(self.back_up("--data", self.folder, self.target), "is no store of Queuey")
        self.serve()
        self.refused(self.back_up("--data", self.folder / "data", self.folder / "data"), "is there already")
        self.refused(self.back_up("--config", self.key, self.target), str(self.key))

    def test_a_full_disk(self) -> None:
        disk = Disk(self, self.folder / "disk", "1m")
        self.target = disk.path / "backup"
        self.serve()
        self.fill(4)
        self.refused(self.back_up(), f"There is no room on the disk for the backup {self.target}.")
        disk.change("size=20m")
        done = self.back_up()
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_interrupted(self) -> None:
        """It ends soon, and leaves nothing."""
        self.serve()
        self.fill(60)
        for number, status in ((signal.SIGTERM, 130), (signal.SIGINT, 130)):
            command = ["env", "--default-signal=INT", *self.command("backup", "--config", self.settings, self.target)]
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
                wait_until(lambda: bool(os.listdir(self.target.parent)), "no backup begins")
                running.send_signal(number)
                _, said = running.communicate(timeout=LIMIT)
            self.assertEqual((running.returncode, said), (status, "interrupted\n"))
            self.assertEqual(os.listdir(self.target.parent), [])


class RecipeTests(BackupTestCase):
    """The commands of the page, typed into a shell, with the folders of a test."""

    def prepare(self) -> dict[str, str]:
        """What stands in the page, and what is meant here; ``systemctl`` runs a daemon in the background."""
        return {
            "/opt/queuey/bin/": f"{BIN}/",
            "/etc/queuey/queuey.ini": str(self.settings),
            "/var/lib/queuey": str(self.folder / "data"),
            "/var/backups/queuey": str(self.target.parent),
            "/etc/queuey/shop.key": str(self.key),
            "http://127.0.0.1:5000": f"http://127.0.0.1:{self.port}",
            "runuser -u queuey -- ": "",
            "-o queuey ": "",
            " shop orders ": " queuey orders ",
        }

    def shell(self, typed: list[str]) -> None:
        functions = f"""\
set -e
systemctl() {{
    case $1 in
    start) {BIN}/twistd --pidfile={self.folder}/pid queuey --config {self.settings} ;;
    stop) kill "$(cat {self.folder}/pid)"; while [ -e {self.folder}/pid ]; do sleep 0.05; done ;;
    esac
}}
"""
        text = "\n".join(typed)
        for old, new in self.prepare().items():
            text = text.replace(old, new)
        done = subprocess.run(
            ["bash", "-s"], input=functions + text, capture_output=True, text=True, timeout=LIMIT, cwd=self.folder
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    def end(self) -> None:
        try:
            os.kill(int((self.folder / "pid").read_text()), signal.SIGKILL)
        except (OSError, ValueError):
            return

    @runs_in("test")
    def test_the_page(self) -> None:
        """Backup, restoring all, restoring one queue: in their order, on one store."""
        typed = commands(PAGE.read_text(encoding="utf-8"))
        self.assertEqual([one.split()[0].rpartition("/")[2] for one in typed],
                         ["install", "runuser", "systemctl", "mv", "cp", "systemctl", "queuey"])  # fmt: skip
        self.add_settings("[logging]\nfile = queuey.log\n")
        self.addCleanup(self.end)
        self.shell(["systemctl start"])
        make_queue(self.port, "orders", partitions=2, type="public")
        for number in range(20):
            headers = {"X-Partition": str(1 + number % 2), "Content-Type": "text/x-order", "X-TTL": "5000"}
            self.assertEqual(ask(self.port, "POST", "/v1/queuey/orders", b"%d" % number, **headers)[0], 201)
        everything = self.everything()
        self.shell(typed[:2])
        ask(self.port, "POST", "/v1/queuey/orders", b"after the backup")
        self.shell(typed[2:6])
        self.assertEqual(self.everything(), everything)
        self.assertEqual(ask(self.port, "DELETE", "/v1/queuey/orders")[0], 200)
        self.shell(typed[6:])
        self.assertEqual(self.everything(), everything)
        self.assertEqual(self.described()["type"], "public")
        types = "SELECT count(*) FROM messages JOIN queues USING (queue) WHERE content_type = 'text/x-order'"
        self.assertEqual(self.look(self.folder / "data", types), 20)

    def everything(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = ask(self.port, "GET", "/v1/queuey/orders?partitions=1,2")[1]["messages"]
        self.assertEqual(len(messages), 20)
        return messages

    def described(self) -> dict[str, Any]:
        (queue,) = ask(self.port, "GET", "/v1/queuey?details=1")[1]["queues"]
        return dict(queue)

    def test_restoring_many_into_a_busy_daemon(self) -> None:
        """Others go on; a second time nothing is left to do."""
        self.serve()
        make_queue(self.port, "q")
        self.fill(2, size=100)
        stored = read_all(self.port, "large")
        self.assertEqual(self.back_up().returncode, 0)
        gone = [message["message_id"] for message in stored[::3]]
        for place in range(0, len(gone), 50):
            ask(self.port, "DELETE", f"/v1/queuey/large/{','.join(gone[place : place + 50])}")
        self.assertEqual(len(read_all(self.port, "large")), len(stored) - len(gone))
        poster = Poster(self.port, "q", "p").start()
        for put in (len(gone), 0):
            began = time.monotonic()
            done = subprocess.run(
                self.command("restore-queue", self.target, "queuey", "large", "--to", f"http://127.0.0.1:{self.port}",
                             "--key-file", self.key),
                capture_output=True, text=True, timeout=LIMIT,
            )  # fmt: skip
            self.assertEqual(
                (done.returncode, done.stdout, done.stderr),
                (0, f"{put} messages were put, {len(stored) - put} were there\n", ""),
            )
            sys.stdout.write(f"restoring took {time.monotonic() - began:.2f} s\n")
        poster.finish()
        self.assertEqual((poster.refused, poster.unknown), ([], []))
        self.assertEqual(read_all(self.port, "large"), stored)
