"""Files of a daemon and of the commands can be read by its own user alone, with any umask."""

from __future__ import annotations

import grp
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from unittest import skipUnless

from queuey.storage.sqlite.database import files
from tests.live.clients import ask, make_queue
from tests.live.daemon.test_daemon import TWISTD, LiveTestCase, wait_until
from tests.live.operating.rotating import call
from tests.live.running import LIMIT, Daemon

QUEUEY = Path(sys.executable).parent / "queuey"
SECRET = b"what nobody else may read"
ROOT = os.geteuid() == 0
STRANGER = 65534
"""A user who has no part in Queuey."""

READERS = next(one.gr_gid for one in grp.getgrall() if one.gr_gid not in (0, STRANGER))
"""A group of this machine."""

READING = """\
import pathlib, sys
for path in map(pathlib.Path, sys.argv[2:]):
    try:
        if sys.argv[1].encode() in path.read_bytes():
            print(path)
    except PermissionError:
        pass
"""
MORE = """
[logging]
file = log/queuey.log
"""


class FileModesTestCase(LiveTestCase):
    """A daemon with a log, a socket for operators and a folder for backups, in folders that others may look into."""

    group = ""

    def setUp(self) -> None:
        super().setUp()
        self.folder.chmod(0o755)
        for name in ("data", "log", "copied"):
            (self.folder / name).mkdir()
            (self.folder / name).chmod(0o755)
        ops = f"[server]\nops = unix:ops.sock\nops_backups = backups\n{self.group}"
        self.settings.write_text(self.settings.read_text().replace("[server]\n", ops) + MORE)
        self.log = self.folder / "log" / "queuey.log"

    def begin(self) -> Daemon:
        """Start a daemon with the umask that takes nothing away."""
        command = ["sh", "-c", 'umask 0; exec "$@"', "sh", str(TWISTD)]
        daemon = Daemon(command, ["--config", str(self.settings)], self.folder, {})
        self.addCleanup(daemon.kill)
        return daemon

    def command(self, *arguments: str | Path) -> None:
        command = ["sh", "-c", 'umask 0; exec "$@"', "sh", str(QUEUEY), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def write_everything(self) -> Daemon:
        """Let a daemon, and the commands beside it, make every file that they make."""
        daemon = self.serve()
        make_queue(self.port, "q")
        self.assertEqual(ask(self.port, "POST", "/v1/queuey/q", SECRET)[0], 201)
        call(f"unix:{self.folder}/ops.sock", "store.backup", name="of-the-daemon")
        self.command("backup", "--config", self.settings, self.folder / "backups" / "of-the-command")
        target = self.folder / "target.ini"
        target.write_text(self.settings.read_text().replace(str(self.folder / "data"), str(self.folder / "copied")))
        self.command("copy", self.settings, target)
        self.log.rename(self.log.with_suffix(".log.1"))
        os.kill(daemon.pid, signal.SIGUSR1)
        wait_until(self.log.exists, "the log is not opened anew")
        return daemon

    def modes(self) -> dict[str, int]:
        """The modes of all files and folders that were written, by their places."""
        found = {}
        for name in ("data", "log", "copied", "backups"):
            for path in (self.folder / name, *(self.folder / name).rglob("*")):
                # The folder of all backups may be another program's too.
                if path.is_dir() or stat.S_ISREG(path.stat().st_mode):
                    found[str(path.relative_to(self.folder))] = stat.S_IMODE(path.stat().st_mode)
        return found

    def check(self, file: int, folder: int) -> None:
        found = self.modes()
        self.assertGreaterEqual(len(found), 15)
        for name in ("", "-wal", "-shm"):
            self.assertIn(f"data/{files.DATABASE}{name}", found)
        wrong = {name: oct(mode) for name, mode in found.items()
                 if mode != (folder if (self.folder / name).is_dir() else file)}  # fmt: skip
        self.assertEqual(wrong, {})
        self.assertEqual(stat.S_IMODE((self.folder / "ops.sock").stat().st_mode), 0o600)

    def lines(self, word: str) -> list[str]:
        logs = [path.read_text() for path in sorted(self.log.parent.iterdir(), reverse=True)]
        return [line for text in logs for line in text.splitlines() if line.split(" ")[2] == word]

    def read_by_a_stranger(self, *groups: int) -> set[str]:
        """The folders in whose files another user of the machine finds the body of a message.

        :param groups: that this user is a member of.
        """
        every = [str(self.folder / name) for name in self.modes() if (self.folder / name).is_file()]
        python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
        done = subprocess.run(
            [python, "-c", READING, SECRET.decode(), *every],
            capture_output=True, text=True, timeout=LIMIT, cwd="/", user=STRANGER, group=STRANGER, extra_groups=groups,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        return {Path(line).relative_to(self.folder).parts[0] for line in done.stdout.split()}


class OwnUserTests(FileModesTestCase):
    """Without file_group."""

    def test_everything(self) -> None:
        """Folders were there with the mode 755, and the umask takes nothing away."""
        daemon = self.write_everything()
        self.check(0o600, 0o700)
        if ROOT:  # which alone can be another user
            self.assertEqual(self.read_by_a_stranger(), set())
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)

    def test_files_of_before(self) -> None:
        """A store and a log that others could read are closed to them, and the log names them."""
        self.assertEqual(self.serve().signal(signal.SIGTERM), 0)
        for path in (self.folder / "data", self.folder / "data" / files.DATABASE, self.log):
            path.chmod(0o755 if path.is_dir() else 0o644)
        before = len(self.lines("files-tightened"))
        self.assertEqual(self.serve().signal(signal.SIGTERM), 0)
        told = self.lines("files-tightened")[before:]
        self.assertEqual(len(told), 2)
        for name in (f"{self.log} (644)", f"{self.folder}/data (755)", f"{self.folder}/data/{files.DATABASE} (644)"):
            self.assertIn(name, "".join(told))
        for path in (self.folder / "data" / files.DATABASE, self.log):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)


@skipUnless(ROOT, "only root can give files to any group")
class GroupTests(FileModesTestCase):
    """With file_group."""

    group = f"file_group = {grp.getgrgid(READERS).gr_name}\n" if ROOT else ""

    def test_everything(self) -> None:
        """Members of the group read everything; others read nothing."""
        self.write_everything()
        self.check(0o640, 0o750)
        self.assertEqual(self.read_by_a_stranger(), set())
        self.assertEqual(self.read_by_a_stranger(READERS), {"data", "copied", "backups"})
