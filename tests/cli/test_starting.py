"""What ``queuey check`` finds of a machine: the processes are files of a made-up /proc, and no socket is opened."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from queuey import config
from queuey.cli import main
from queuey.cli.processes import Processes
from queuey.cli.starting import Findings, look
from tests.storage.quick import quick_directory

SETTINGS = """\
[server]
http = tcp:5000:interface=127.0.0.1
    unix:http.sock
ops = tcp6:5001:interface=\\:\\:1

[storage]
path = deep/data

[logging]
file = log/queuey.log

[application_keys]
app = f25bfb8fe200475c8a0532a9cbe7651e
"""
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


class MachineTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = quick_directory(self)
        (self.folder / "log").mkdir()
        self.proc = self.folder / "proc"
        self.proc.mkdir()
        self.file = self.folder / "queuey.ini"
        self.file.write_text(SETTINGS)
        self.taken: dict[int, int] = {}

    def bind(self, family: int, address: tuple[str, int]) -> AbstractContextManager[None]:
        """Bind nothing; a port that is taken fails as the kernel fails."""
        if address[1] in self.taken:
            number = self.taken[address[1]]
            raise OSError(number, os.strerror(number))
        self.taken[address[1]] = errno.EADDRINUSE
        self.bound.append((family, *address))
        return nullcontext()

    def look(self) -> Findings:
        taken, self.bound = dict(self.taken), list[tuple[int, str, int]]()
        try:
            return look(config.load(self.file), Processes(self.proc), self.bind)
        finally:
            self.taken = taken

    def process(self, pid: int, name: str, words: Sequence[str], inodes: Sequence[int] = ()) -> None:
        """A process, and the sockets that it has open."""
        folder = self.proc / str(pid)
        (folder / "fd").mkdir(parents=True)
        (folder / "comm").write_text(f"{name}\n")
        (folder / "cmdline").write_text("".join(f"{word}\0" for word in words))
        (folder / "cwd").symlink_to(self.folder)
        for number, inode in enumerate(inodes):
            (folder / "fd" / str(number)).symlink_to(f"socket:[{inode}]")

    def listening(self, port: int, inode: int) -> None:
        """A port that is listened on."""
        self.taken[port] = errno.EADDRINUSE
        (self.proc / "net").mkdir(exist_ok=True)
        with (self.proc / "net" / "tcp").open("a") as table:
            zeros = "00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0"
            table.write(f"{HEAD}   0: 0100007F:{port:04X} {zeros} {inode} 1 0 100 0 0 10 0\n")

    def locked(self, pid: int) -> None:
        """The data, with the lock of a process."""
        data = self.folder / "deep" / "data"
        data.mkdir(parents=True)
        (data / "queuey.lock").write_text(f"{pid}\n")
        inode = (data / "queuey.lock").stat().st_ino
        (self.proc / "locks").write_text(
            f"1: POSIX  ADVISORY  WRITE 9 00:1:9 0 EOF\n2: FLOCK  ADVISORY  WRITE {pid} 00:1b:{inode} 0 EOF\n"
        )


class FoldersTests(MachineTestCase):
    """Folders and files."""

    def test_ready(self) -> None:
        """Nothing is wrong, what is missing would be made, and nothing is left behind."""
        before = sorted(self.folder.rglob("*"))
        self.assertEqual(self.look(), Findings((), None))
        self.assertEqual(sorted(self.folder.rglob("*")), before)
        self.assertEqual(self.bound, [(socket.AF_INET, "127.0.0.1", 5000), (socket.AF_INET6, "::1", 5001)])

    def test_everything_at_once(self) -> None:
        """One line for each, with its setting."""
        (self.folder / "log").rmdir()
        (self.folder / "deep").write_text("a file")
        (self.folder / "http.sock").write_text("a file")
        self.file.write_text(SETTINGS.replace("[storage]", "ops_backups = queuey.ini/backups\n\n[storage]"))
        folder = self.folder
        self.assertEqual(
            self.look().problems,
            (
                f"[storage] path: {folder}/deep/data cannot be made: {folder}/deep is not a folder",
                f"[logging] file: {folder}/log/queuey.log cannot be made: {folder}/log is not there",
                f"[server] ops_backups: {folder}/queuey.ini/backups cannot be made: {self.file} is not a folder",
                f"[server] http: cannot listen on unix:{folder}/http.sock: a file that is not a socket is there",
            ),
        )

    def test_folders_in_the_way(self) -> None:
        """A folder in the place of a file, and a file in that of a folder."""
        (self.folder / "log" / "queuey.log").mkdir()
        (self.folder / "deep").mkdir()
        (self.folder / "deep" / "data").write_text("a file")
        path, file = self.look().problems
        self.assertEqual(path, f"[storage] path: {self.folder}/deep/data is not a folder")
        self.assertEqual(file, f"[logging] file: {self.folder}/log/queuey.log is a folder")

    def test_another_backend(self) -> None:
        """What is kept in memory needs no folder."""
        self.file.write_text(SETTINGS.replace("path = deep/data", "backend = memory"))
        (self.folder / "deep").write_text("a file")
        self.assertEqual(self.look().problems, ())

    def test_sockets_of_systemd(self) -> None:
        """They are handed over, and cannot be tried; port 0 is always free."""
        http = "systemd:domain=INET:index=0\n    tcp:0"
        self.file.write_text(SETTINGS.replace("tcp:5000:interface=127.0.0.1\n    unix:http.sock", http))
        self.assertEqual(self.look().problems, ())
        self.assertEqual(len(self.bound), 1)


class PortsTests(MachineTestCase):
    """Ports that are taken, by the daemon of these settings or by others."""

    taken_line = "[server] http: cannot listen on tcp:5000:interface=127.0.0.1: Address already in use"

    def test_another_program(self) -> None:
        """It is named, as far as it can be seen."""
        self.listening(5000, 77)
        self.assertEqual(self.look().problems, (self.taken_line,))
        self.process(4711, "nginx", ["nginx", "--secret"], [76, 77])
        self.assertEqual(self.look().problems, (f"{self.taken_line}, by process 4711 (nginx)",))

    def test_not_allowed(self) -> None:
        """A port that this user may not have."""
        self.taken[5000] = errno.EACCES
        self.assertEqual(
            self.look().problems, (self.taken_line.replace("Address already in use", "Permission denied"),)
        )

    def test_twice(self) -> None:
        """Two endpoints of the same file on one port."""
        self.file.write_text(SETTINGS.replace("tcp6:5001:interface=\\:\\:1", "tcp:5000:interface=127.0.0.1"))
        self.assertEqual(self.look().problems, (self.taken_line.replace("http:", "ops:"),))

    def test_the_daemon_itself(self) -> None:
        """The daemon that serves these settings has its ports and its data, and that is no problem."""
        for words in (["--config", "queuey.ini"], ["-c", str(self.file)], [f"--config={self.file}"], ["-cqueuey.ini"]):
            self.process(4711, "twistd", ["python", "/opt/bin/twistd", "-n", "queuey", *words], [77])
            if not self.taken:
                self.listening(5000, 77)
                self.locked(4711)
            self.assertEqual(self.look(), Findings((), 4711))
            for each in sorted((self.proc / "4711").rglob("*"), reverse=True):
                each.rmdir() if each.is_dir() and not each.is_symlink() else each.unlink()
            (self.proc / "4711").rmdir()

    def test_a_daemon_whose_sockets_cannot_be_seen(self) -> None:
        """Another user sees the command line of the daemon, and not what it has open."""
        self.process(4711, "twistd", ["twistd", "queuey", "--config", str(self.file)])
        self.listening(5000, 77)
        self.assertEqual(self.look(), Findings((), 4711))

    def test_a_daemon_that_is_known_by_its_data(self) -> None:
        """Started with the settings under another name, it has the port and the lock of the data."""
        self.process(4711, "twistd", ["twistd", "queuey", "--config", "/elsewhere.ini"], [77])
        self.locked(4711)
        self.listening(5000, 77)
        self.assertEqual(self.look(), Findings((), None))

    def test_another_daemon(self) -> None:
        """One that serves the same data on another port is in the way."""
        self.process(4711, "twistd", ["twistd", "queuey", "--config", "/elsewhere.ini"], [77])
        self.locked(4711)
        (problem,) = self.look().problems
        self.assertIn("deep/data is in use by process 4711 (twistd), which does not serve these settings", problem)

    def test_a_lock_that_is_left(self) -> None:
        """A number in the file of the lock is not enough: it stays there after the end of a daemon."""
        self.locked(4711)
        (self.proc / "locks").unlink()
        self.assertEqual(self.look().problems, ())

    def test_a_local_socket(self) -> None:
        """One that another program listens on, and one that is left of a daemon that was killed."""
        path = self.folder / "http.sock"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        self.assertEqual(self.look().problems, ())
        (self.proc / "net").mkdir()
        row = "00000000: 00000002 00000000 00010000 0001 01"
        (self.proc / "net" / "unix").write_text(f"Num RefCount Protocol Flags Type St Inode Path\n{row} 77 {path}\n")
        self.process(4711, "nginx", ["nginx"], [77])
        (problem,) = self.look().problems
        self.assertEqual(
            problem,
            f"[server] http: cannot listen on unix:{path}: Address already in use, by process 4711 (nginx)",
        )


class CommandTests(MachineTestCase):
    """The command, on this machine."""

    def check(self, *argv: str) -> tuple[int, str, str]:
        stdout, stderr = StringIO(), StringIO()
        return main(["check", *argv, str(self.file)], stdout, stderr), stdout.getvalue(), stderr.getvalue()

    def test_not_ready(self) -> None:
        """Status 3, with the settings printed; --settings-only looks at the file alone."""
        self.file.write_text(
            "[server]\nhttp = tcp:0\n[logging]\nfile = no/q.log\n[application_keys]\napp = sixteen-letters-0\n"
        )
        status, out, err = self.check()
        self.assertEqual(status, 3)
        self.assertIn("[server]", out)
        self.assertEqual(
            err, f"{self.file}: [logging] file: {self.folder}/no/q.log cannot be made: {self.folder}/no is not there\n"
        )
        self.assertEqual(self.check("--settings-only"), (0, out, ""))
