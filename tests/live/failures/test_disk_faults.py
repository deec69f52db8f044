"""Full disks, and folders and files that are spoiled, over real sockets."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from random import Random

import apsw

from queuey.storage.sqlite.database import files, schema
from tests.live.clients import ask, make_queue, read_all
from tests.live.daemon.test_daemon import wait_until
from tests.live.failures.disks import Disk, make_read_only
from tests.live.failures.faults import JSON, FaultTestCase
from tests.live.failures.mixed import PATH, QUEUE, workers
from tests.live.running import Daemon


class FullDiskTests(FaultTestCase):
    """A disk that fills up, and has room again."""

    def set_up_disk(self, size: str, more: str = "") -> None:
        self.disk = Disk(self, self.folder / "disk", size)
        self.data = self.disk.path / "data"
        self.replace_settings(f"path = {self.folder / 'data'}", f"path = {self.data}")
        self.add_settings(more)

    def refusals(self) -> dict[int, int]:
        """How many requests of the workers were refused, by status."""
        found: dict[int, int] = {}
        for worker in self.crew:
            for status, number in worker.statuses.items():
                if status >= 500:
                    found[status] = found.get(status, 0) + number
        return found

    def work_until_full(self, daemon: Daemon) -> None:
        """Let the disk be full while the workers work; reading goes on."""
        with self.working():
            time.sleep(0.3)
            self.disk.fill()
            wait_until(lambda: sum(self.refusals().values()) > 100, "nothing is refused")
            self.assertEqual(ask(self.port, "GET", "/__heartbeat__")[0], 200)
        self.check()
        refused, answer = ask(self.port, "POST", PATH, b"x" * 300_000)
        self.assertIn(refused, (503, 507), answer)
        self.assertIn("storage-full" if refused == 507 else "storage", answer["error_msg"])

    def room_again(self) -> None:
        """Service goes on by itself once there is room."""
        wait_until(lambda: ask(self.port, "POST", PATH, b"x" * 300_000)[0] == 201, "it does not go on")
        before = self.refusals()
        with self.working():
            time.sleep(0.5)
        self.assertEqual(self.refusals(), before)
        self.check()

    def check_log(self, text: str) -> None:
        """Every refusal stands there, with what became of the change: nothing."""
        refused = [line for line in text.splitlines() if " refused " in line]
        self.assertGreater(len(refused), 100)
        self.assertEqual([line for line in refused if "(applied: no)" not in line], [])

    def serve_until_full_and_on(self) -> Daemon:
        """A daemon whose disk filled up and had room again, stopped after it had gone on."""
        daemon = self.serve()
        make_queue(self.port, QUEUE)
        self.work_until_full(daemon)
        (self.disk.path / "ballast").unlink()
        self.room_again()
        self.stop(daemon)
        return daemon

    def test_the_disk_fills_up_and_has_room_again(self) -> None:
        self.set_up_disk("160m")
        self.crew = workers(4, 1)
        daemon = self.serve_until_full_and_on()
        self.check_log(daemon.output())
        daemon = self.serve()
        self.check()
        self.stop(daemon)
        self.check_file()
        self.say(f"refused: {self.refusals()}, answered 2xx: {sum(worker.acknowledged for worker in self.crew)}")

    def test_it_is_killed_while_the_disk_is_full(self) -> None:
        """The next start either serves or says in one line why not; with room again all is there."""
        self.set_up_disk("160m")
        self.crew = workers(4, 2)
        daemon = self.serve()
        make_queue(self.port, QUEUE)
        self.work_until_full(daemon)
        daemon.signal(signal.SIGKILL)
        daemon = self.begin()
        try:
            daemon.wait_until_it_serves(self.port)
        except AssertionError:
            self.assertIn("There is no room", daemon.output().splitlines()[-1])
        else:
            self.check()
            daemon.signal(signal.SIGKILL)
        (self.disk.path / "ballast").unlink()
        daemon = self.serve()
        self.check()
        self.room_again()
        self.stop(daemon)
        self.check_file()

    def test_the_log_cannot_be_copied_into_the_database(self) -> None:
        """With more in the write-ahead log than the disk has room for twice, and a larger disk later."""
        self.set_up_disk("44m")
        self.crew = workers(3, 3)
        daemon = self.serve()
        make_queue(self.port, QUEUE)
        large = "x" * 1_000_000
        kept = []
        while (answer := ask(self.port, "POST", PATH, large.encode()))[0] == 201:
            kept.append(answer[1]["messages"][0]["key"])
        self.assertEqual(answer[0], 507)
        self.assertGreater(len(kept), 20)
        self.work_until_full(daemon)
        self.disk.change("size=200m")
        self.room_again()
        self.stop(daemon)
        daemon = self.serve()
        self.check()
        stored = {message["message_id"]: message["body"] for message in read_all(self.port, QUEUE)}
        self.assertEqual([id for id in kept if stored.get(id) != large], [])
        self.stop(daemon)
        self.check_file()

    def test_the_log_file_is_on_the_full_disk(self) -> None:
        """Lines are lost, and counted; requests are not."""
        self.set_up_disk("160m", f"[logging]\nfile = {self.folder / 'disk' / 'queuey.log'}\n")
        self.crew = workers(4, 4)
        self.serve_until_full_and_on()
        log = (self.disk.path / "queuey.log").read_text()
        self.assertIn(" log-lines-lost ", log)
        self.assertTrue(log.splitlines()[-1].partition(" ")[2].startswith("info "), log.splitlines()[-1])

    def test_a_start_without_any_room(self) -> None:
        self.set_up_disk("1m")
        self.disk.fill()
        (line,) = self.refused_start()
        self.assertIn(str(self.data), line)
        (self.disk.path / "ballast").unlink()
        self.stop(self.serve())


class SpoiledTests(FaultTestCase):
    """Folders and files that the daemon cannot or must not use: one clear line, and they stay as they are."""

    def setUp(self) -> None:
        super().setUp()
        self.file = self.data / files.DATABASE

    def make(self, number: int = 40) -> list[str]:
        """Let a daemon store messages of some size, and end; their bodies."""
        daemon = self.serve()
        make_queue(self.port, QUEUE)
        bodies = [f"{place}-" + "x" * 3000 for place in range(number)]
        batch = json.dumps({"messages": [{"body": body} for body in bodies]}).encode()
        self.assertEqual(ask(self.port, "POST", PATH, batch, **JSON)[0], 201)
        self.stop(daemon)
        return bodies

    def refused(self, *words: str) -> None:
        """A start says one line with these words, and changes nothing."""
        before = self.file.read_bytes()
        (line,) = self.refused_start()
        for word in (str(self.data), *words):
            self.assertIn(word, line)
        self.assertEqual(self.file.read_bytes(), before)

    def test_a_foreign_file(self) -> None:
        self.data.mkdir()
        self.file.write_bytes(b"These are the notes of somebody else. " * 100)
        self.refused("it is no database")
        self.file.unlink()
        other = apsw.Connection(str(self.file))
        other.execute("CREATE TABLE notes (text)")
        other.close()
        self.refused("a database of another program")

    def test_a_newer_schema(self) -> None:
        self.make()
        newer = apsw.Connection(str(self.file))
        newer.pragma("user_version", schema.CURRENT + 1)
        newer.close()
        self.refused(f"version {schema.CURRENT + 1}", f"up to {schema.CURRENT}")

    def test_a_folder_that_can_only_be_read(self) -> None:
        bodies = self.make()
        if os.geteuid() == 0:
            disk = Disk(self, self.folder / "disk", "8m")
            shutil.copytree(self.data, disk.path / "data")
            disk.change("ro")
            self.replace_settings(str(self.data), str(disk.path / "data"))
            (line,) = self.refused_start()
            self.assertIn("Read-only file system", line)
            disk.change("rw")
            self.data = disk.path / "data"
        else:
            self.data.chmod(0o500)
            (self.data / files.LOCK).chmod(0o400)
            self.refused("Permission denied")
            self.data.chmod(0o700)
            (self.data / files.LOCK).chmod(0o600)
        daemon = self.serve()
        self.assertEqual([message["body"] for message in read_all(self.port, QUEUE)], bodies)
        self.stop(daemon)

    def test_a_file_that_can_only_be_read(self) -> None:
        """The folder can be written to, the database cannot."""
        self.make()
        make_read_only(self, self.file)
        self.refused("can only be read")

    def test_a_damaged_page(self) -> None:
        """A start is refused in one line, or what needs the page is answered 503 or cut off: no answer is wrong."""
        bodies = self.make()
        whole = self.file.read_bytes()
        pages = len(whole) // files.PAGE
        outcomes = {self.serve_damaged(page, bodies, whole) for page in (1, 2, pages // 3, pages - 1)}
        self.assertEqual(outcomes, {"refused at the start", "503", "200"})

    def serve_damaged(self, page: int, bodies: list[str], whole: bytes) -> str:
        """What a daemon does with such a page; the file is whole again afterwards."""
        with self.file.open("r+b") as file:
            file.seek((page - 1) * files.PAGE)
            file.write(Random(page).randbytes(files.PAGE))
        daemon = self.begin()
        try:
            daemon.wait_until_it_serves(self.port)
        except AssertionError:
            self.assertEqual(daemon.wait(), 1)
            self.assertRegex(daemon.output().splitlines()[-1], r"\Aqueuey: The database .* cannot be used: .*")
            return "refused at the start"
        else:
            return self.read_damaged(bodies)
        finally:
            daemon.kill()
            self.assertNotIn("Traceback", daemon.output())
            self.file.write_bytes(whole)

    def read_damaged(self, bodies: list[str]) -> str:
        status, answer = ask(self.port, "GET", f"{PATH}?limit=1000")
        if status == 200:
            self.assertEqual([message["body"] for message in answer["messages"]], bodies)
        else:
            self.assertEqual((status, list(answer["error_msg"])), (503, ["storage"]))
        return str(status)
