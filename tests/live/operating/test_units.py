"""The samples for systemd and logrotate: checked by those programs, held against the settings, and carried out."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from queuey import config
from queuey.service.parts.health import LATE
from tests.live.clients import HEADERS, Poster, ask, make_queue
from tests.live.daemon.test_daemon import TWISTD, LiveTestCase, wait_until
from tests.live.running import LIMIT, Daemon, answers
from tests.live.samples import ROOT, sample

ENVIRONMENT = Path(sys.executable).parent.parent
SERVICE, SOCKET = "systemd/queuey.service", "systemd/queuey.socket"
TEMPLATE = "systemd/queuey@.service"


def program(name: str) -> str:
    """Where a program is, or a skip."""
    found = shutil.which(name)
    if found is None:
        raise SkipTest(f"there is no {name}")
    return found


def values(unit: str, name: str) -> list[str]:
    """What a unit says of a directive, in order."""
    return re.findall(rf"(?m)^{name}=(.*)$", sample(unit, {}))


class VerifiedTests(SynchronousTestCase):
    """What systemd itself says of the units."""

    def analyze(self, *arguments: str) -> str:
        """Run systemd-analyze beside the units, which then name the programs of this environment; its output."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        for unit in (SERVICE, TEMPLATE):
            (folder / Path(unit).name).write_text(sample(unit, {"/opt/queuey": str(ENVIRONMENT)}))
        (folder / "queuey.socket").write_text(sample(SOCKET, {}))
        command = [program("systemd-analyze"), "--no-pager", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT)
        output = done.stdout + done.stderr
        if "unrecognized option" in output:
            raise SkipTest("this systemd-analyze is too old")
        self.assertEqual(done.returncode, 0, output)
        return output

    def test_no_mistake(self) -> None:
        """Every directive is known, and every program is there; of other units there may be something to say."""
        told = self.analyze("verify", "./queuey.service", "./queuey@a.service", "./queuey.socket")
        self.assertEqual([line for line in told.splitlines() if re.search(r"queuey(@\w*)?\.", line)], [])

    def test_little_exposure(self) -> None:
        """The services may do little else but serve: at most 2 of 10 points of exposure."""
        self.analyze("security", "--offline=true", "--threshold=20", "./queuey.service")
        self.analyze("security", "--offline=true", "--threshold=20", "./queuey@a.service")

    def test_user(self) -> None:
        """The user and the group are those of the units."""
        found = program("systemd-sysusers")
        command = [
            found,
            "--dry-run",
            f"--root={Path(self.mktemp()).absolute()}",
            str(ROOT / "etc/sysusers.d/queuey.conf"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
        if "unrecognized option" in done.stderr:
            raise SkipTest("this systemd-sysusers is too old")
        self.assertEqual(done.returncode, 0, done.stderr)
        for unit in (SERVICE, TEMPLATE):
            for name, kind in (("User", "user"), ("Group", "group")):
                self.assertIn(f"Creating {kind} '{values(unit, name)[0]}'", done.stdout + done.stderr)

    def test_folders_of_tmpfiles(self) -> None:
        """They are made as they are described, by their own program."""
        found, root = program("systemd-tmpfiles"), Path(self.mktemp()).absolute()
        root.mkdir()
        rules = root / "queuey.conf"
        user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
        text = sample("tmpfiles.d/queuey.conf", {"queuey queuey": f"{user} {group}", "root queuey": f"{user} {group}"})
        rules.write_text(text.replace(" /", f" {root}/"))
        done = subprocess.run([found, "--create", str(rules)], capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual(done.returncode, 0, done.stderr)
        modes = {name: (root / name).stat().st_mode & 0o777 for name in ("etc/queuey", "run/queuey")}
        self.assertEqual(modes, {"etc/queuey": 0o750, "run/queuey": 0o755})


class MatchTests(SynchronousTestCase):
    """The units fit the sample of the settings."""

    run_in = "test"

    def setUp(self) -> None:
        self.settings = config.load(ROOT / "etc" / "queuey.ini")

    def test_folders(self) -> None:
        """What systemd makes is where the data and the log go; the rest of the machine cannot be written to."""
        storage = self.settings.storage
        assert isinstance(storage, config.SQLiteStorage)
        self.assertEqual([f"/var/lib/{name}" for name in values(SERVICE, "StateDirectory")], [str(storage.path)])
        log = self.settings.logging.file
        assert log is not None
        self.assertEqual([f"/var/log/{name}" for name in values(SERVICE, "LogsDirectory")], [str(log.parent)])
        self.assertIn(f"\n{log} {{\n", sample("logrotate/queuey", {}))

    def test_template(self) -> None:
        """It differs from the service in what several front ends have together or apart, and in nothing else."""
        lines = {unit: {*sample(unit, {}).partition("[Unit]")[2].splitlines()} for unit in (SERVICE, TEMPLATE)}
        own = {line.replace("%i.ini", "queuey.ini") for line in lines[TEMPLATE]} - lines[SERVICE]
        self.assertEqual(
            own,
            {
                "Description=Queuey, a message queue over HTTP, front end %i",
                "Sockets=queuey.socket",
                "ReadWritePaths=/run/queuey",
            },
        )
        missing = {
            line.partition("=")[0]
            for line in lines[SERVICE]
            if line.replace("queuey.ini", "%i.ini") not in lines[TEMPLATE]
        }
        state = {"StateDirectory", "StateDirectoryMode", "RuntimeDirectory", "RuntimeDirectoryMode"}
        self.assertEqual(missing, {"Description", *state})

    def test_supervised(self) -> None:
        """The manager waits for the daemon's word, and for its reactor's."""
        for unit in (SERVICE, TEMPLATE):
            self.assertEqual((values(unit, "Type"), values(unit, "NotifyAccess")), (["notify"], ["main"]))
            self.assertGreater(int(values(unit, "WatchdogSec")[0]), 2 * LATE)

    def test_limits(self) -> None:
        """The daemon is given more time than it takes, and more descriptors than it opens."""
        (seconds,), (descriptors,) = values(SERVICE, "TimeoutStopSec"), values(SERVICE, "LimitNOFILE")
        self.assertGreater(int(seconds), self.settings.server.stop_timeout + 10)
        self.assertGreater(int(descriptors), 2 * self.settings.server.max_connections + 100)

    def test_socket(self) -> None:
        """The socket is the port that the settings would listen on, under the name that they would use."""
        (address,), (name,) = values(SOCKET, "ListenStream"), values(SOCKET, "FileDescriptorName")
        host, _, port = address.rpartition(":")
        self.assertEqual(self.settings.server.http, (f"tcp:{port}:interface={host}",))
        endpoint = f"systemd:domain=INET:name={name}"
        self.assertIn(f"#   http = {endpoint}\n", sample(SOCKET, {}))
        self.assertIn(f"#   http = {endpoint}\n", sample(TEMPLATE, {}))
        self.assertIn(endpoint, (ROOT / "etc" / "queuey.ini").read_text())


class CommandTests(LiveTestCase):
    """The commands of the service, run without systemd."""

    def command(self, line: str, daemon: Daemon | None = None) -> list[str]:
        """A command of the service for the settings of this test."""
        replaced = line.replace("/opt/queuey", str(ENVIRONMENT)).replace("/etc/queuey/queuey.ini", str(self.settings))
        return shlex.split(replaced.replace("$MAINPID", str(daemon.pid) if daemon else ""))

    def reload(self, daemon: Daemon) -> bool:
        """Run the commands of a reload until one fails; whether none did."""
        for line in values(SERVICE, "ExecReload"):
            if subprocess.run(self.command(line, daemon), capture_output=True, timeout=LIMIT).returncode:
                return False
        return True

    def test_start(self) -> None:
        """It is the command that all tests here start the daemon with."""
        (line,) = values(SERVICE, "ExecStart")
        options = ["--nodaemon", "--pidfile=", "queuey", "--config", str(self.settings)]
        self.assertEqual(self.command(line), [str(TWISTD), *options])

    def test_reload(self) -> None:
        """Good settings are taken over."""
        daemon = self.serve()
        self.replace_settings("f25bfb8fe200475c8a0532a9cbe7651e", "another-key")
        self.assertTrue(self.reload(daemon))
        wait_until(lambda: " reloaded " in daemon.output(), "not reloaded")
        self.assertEqual(ask(self.port, "GET", "/v1/queuey", Authorization="Application another-key")[0], 200)

    def test_reload_of_a_bad_file(self) -> None:
        """The reload fails, and the daemon gets no signal."""
        daemon = self.serve()
        self.add_settings("[server]\nmax_bodi = 1\n")
        self.assertFalse(self.reload(daemon))
        self.assertNotIn("reload", daemon.output())


class HeldSocketTests(LiveTestCase):
    """What queuey.socket is for: the port is open while no daemon is there."""

    def start(self, held: socket.socket) -> subprocess.Popen[bytes]:
        """Start a daemon that is given a socket as systemd does it."""
        (name,) = values(SOCKET, "FileDescriptorName")
        given = f"exec 3<&{held.fileno()}; LISTEN_FDS=1 LISTEN_FDNAMES={name} LISTEN_PID=$$"
        command = f'{given} exec "$0" --nodaemon --pidfile= queuey --config "$1"'
        with (self.folder / "output").open("ab") as output:
            process = subprocess.Popen(
                ["sh", "-c", command, TWISTD, self.settings],
                cwd=self.folder,
                pass_fds=[held.fileno()],
                stdout=output,
                stderr=output,
            )
        self.addCleanup(process.wait, LIMIT)
        self.addCleanup(process.kill)
        return process

    def test_requests_wait_for_the_next_daemon(self) -> None:
        """A request that comes between two daemons is answered by the second one."""
        endpoint = re.findall(r"(?m)^#   http = (.*)$", sample(SOCKET, {}))[0]
        self.replace_settings(f"tcp:{self.port}:interface=127.0.0.1", endpoint)
        with socket.create_server(("127.0.0.1", self.port)) as held:
            first = self.start(held)
            wait_until(lambda: answers(f"http://127.0.0.1:{self.port}/__heartbeat__"), "does not serve")
            first.send_signal(signal.SIGTERM)
            self.assertEqual(first.wait(LIMIT), 0)
            found: list[int] = []
            asking = threading.Thread(target=lambda: found.append(ask(self.port, "GET", "/v1/queuey")[0]))
            asking.start()
            time.sleep(0.3)
            self.assertEqual(found, [])
            second = self.start(held)
            asking.join(LIMIT)
            self.assertEqual(found, [200])
            second.send_signal(signal.SIGTERM)
            self.assertEqual(second.wait(LIMIT), 0)


class LogRotationTests(LiveTestCase):
    """The sample for logrotate."""

    def setUp(self) -> None:
        super().setUp()
        self.add_settings("[logging]\nfile = queuey.log\n")
        self.log = self.folder / "queuey.log"

    def rotate(self, daemon: Daemon, *options: str) -> str:
        """Run logrotate with the sample for this test's log and daemon; what it printed."""
        rules, user = self.folder / "rules", pwd.getpwuid(os.getuid())
        replacements = {
            "/var/log/queuey/queuey.log": str(self.log),
            "su queuey queuey": f"su {user.pw_name} {grp.getgrgid(user.pw_gid).gr_name}",
            "systemctl kill --kill-who=main --signal=SIGUSR1 queuey.service": f"kill -USR1 {daemon.pid}",
        }
        rules.write_text(sample("logrotate/queuey", replacements))
        rules.chmod(0o600)
        command = [program("logrotate"), *options, "--state", str(self.folder / "state"), str(rules)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stderr

    def test_dry_run(self) -> None:
        """It is understood, and there is nothing to complain of."""
        told = self.rotate(self.serve(), "--debug")
        self.assertIn(f"considering log {self.log}", told)
        self.assertNotIn("error", told)

    def test_rotate(self) -> None:
        """Under load no line is lost, over two rotations, the older one packed."""
        daemon = self.serve()
        make_queue(self.port, "q")
        poster = Poster(self.port, "q", "p").start()
        for _ in range(2):
            time.sleep(0.3)
            self.rotate(daemon, "--force")
            wait_until(lambda: self.log.exists() and self.log.stat().st_size > 0, "no new log")
        poster.finish()
        self.assertEqual(poster.unknown, [])
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        packed = subprocess.run(["gzip", "-dc", f"{self.log}.2.gz"], capture_output=True, check=True, timeout=LIMIT)
        text = packed.stdout.decode() + Path(f"{self.log}.1").read_text() + self.log.read_text()
        self.assertEqual(text.count(" access 201 POST /v1/queuey/q "), len(poster.acknowledged))
        self.assertNotIn(HEADERS["Authorization"], text)
