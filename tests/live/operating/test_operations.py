"""The pages for operators: their commands are carried out in their order, and what they state is measured."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from twisted.trial.unittest import SkipTest

from queuey import config
from tests.live.clients import ask, make_queue
from tests.live.daemon.test_daemon import LiveTestCase, wait_until
from tests.live.running import LIMIT, WORKERS, children
from tests.live.samples import ROOT
from tests.manual import commands, whole

ENVIRONMENT = Path(sys.executable).parent.parent
#: What changes the whole machine, or is no part of Queuey; test_wheel installs, test_units does what systemd would, and
#: tests.live.alerts read what promtool would.
NOT_RUN = ("python3 -m venv ", "/opt/queuey/bin/pip ", "chown ", "systemctl ", "systemd-", "promtool ", "cqlsh ")
#: The command at which the daemon starts.
START = "systemctl enable --now queuey.service"
MARK = "-- ended with "


class RecipeTests(LiveTestCase):
    """The commands, on a machine that is a folder."""

    def here(self, text: str) -> str:
        """The same of this test's folder and port, and without users and groups that only an installed machine has."""
        text = text.replace("/opt/queuey", str(ENVIRONMENT))
        moved = re.sub(r"(?<![\w.])/(?=(etc|run|var)/)", f"{self.folder}/", text)
        moved = re.sub(r"( -[go] (queuey|prometheus))+ ", " ", moved).replace("runuser -u queuey -- ", "")
        return moved.replace(":5000", f":{self.port}")

    def run_all(self, typed: list[str]) -> str:
        """Run commands in one shell; what they printed."""
        chosen = [command for command in typed if not command.startswith(NOT_RUN)]
        self.assertGreater(len(chosen), 3)
        lines = [f"{self.here(command)}\nstatus=$?; echo; echo '{MARK}'$status" for command in chosen]
        done = subprocess.run(
            ["bash", "-s"], cwd=ROOT, input="\n".join(lines), capture_output=True, text=True, timeout=2 * LIMIT
        )
        statuses = re.findall(rf"(?m)^{MARK}(\d+)$", done.stdout)
        failed = [command for command, status in zip(chosen, statuses, strict=True) if status != "0"]
        self.assertEqual(failed, [], done.stdout + done.stderr)
        return done.stdout

    def install(self, typed: list[str]) -> Path:
        """Do what comes before the start, and what the page says in words; the settings."""
        for folder in (
            "etc/systemd/system",
            "etc/logrotate.d",
            "etc/prometheus",
            "run/queuey",
            "var/lib",
            "var/log/queuey",
        ):
            (self.folder / folder).mkdir(parents=True)
        told = self.run_all(typed)
        (line,) = re.findall(r"(?m)^shop = sha256:[0-9a-f]{64}$", told)
        settings = self.folder / "etc" / "queuey" / "queuey.ini"
        self.assertEqual(settings.stat().st_mode & 0o777, 0o640)
        text = self.here(settings.read_text()).replace("tcp:5000:", f"tcp:{self.port}:")
        text = text.replace("[application_keys]", f"[application_keys]\n{line}")
        text = text.replace("#ops =\n", f"ops = unix:{self.folder}/run/queuey/ops.sock\n")
        settings.write_text(text + "\n[global]\nlogger = a section that gives a warning\n")
        return settings

    def test_operations(self) -> None:
        """From the installation to the upgrade; each command ends well."""
        typed = commands(whole("operations"))
        start = typed.index(START)
        self.settings = self.install(typed[:start])
        daemon = self.serve()
        log = self.folder / "var/log/queuey/queuey.log"
        told = self.run_all(typed[start:] + commands((ROOT / "docs" / "log.rst").read_text(encoding="utf-8")))
        self.assertIn('{"status":"ok"}', told)
        self.assertIn(" warn settings ", told)
        self.assertIn('{"ready":true,"checks":{"store":{"ok":true,', told)
        wait_until(lambda: " reloaded " in log.read_text(), "not reloaded")
        self.check_blocks()
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        self.assertEqual({path.name for path in (self.folder / "var/lib/queuey").iterdir()},
                         {"queuey.sqlite", "queuey.lock"})  # fmt: skip

    def check_blocks(self) -> None:
        """What the page shows of the settings is right, with the certificate that its command has made."""
        chain = self.folder / "etc/queuey/chain.pem"
        chain.write_text((self.folder / "etc/queuey/certificate.pem").read_text())
        blocks = re.findall(r"(?m)^\.\. code-block:: ini\n\n((?:   .*\n|\n)+)", whole("operations"))
        self.assertEqual(len(blocks), 6)
        for number, block in enumerate(blocks):
            file = self.folder / f"block{number}.ini"
            file.write_text(re.sub(r"(?m)^   ", "", self.here(block)).replace("sha256:...", f"sha256:{'0' * 64}"))
            self.assertEqual(len(config.load(file).server.http), 1)


class MeasuredTests(LiveTestCase):
    """The numbers under "Sizing"."""

    def setUp(self) -> None:
        super().setUp()
        self.text = whole("operations")

    def test_disk(self) -> None:
        """Bytes on disk for each message, within 5 %, with fewer messages than the page has."""
        rows = re.findall(r"(?m)^([\d,]+) +[\d,]+ +([\d,]+)$", self.text)
        self.assertEqual(len(rows), 3)
        for row in rows:
            size, expected = (int(cell.replace(",", "")) for cell in row)
            taken = self.taken(size, max(500, min(20_000, 6_000_000 // size)))
            self.assertLess(abs(taken / expected - 1), 0.05, (size, taken))

    def taken(self, size: int, number: int) -> float:
        """Bytes by which the database becomes larger for each of about so many messages."""
        database = self.folder / "data" / "queuey.sqlite"
        self.post(b"", 0)
        before = database.stat().st_size
        batch = min(500, 900_000 // size)
        self.post(json.dumps({"messages": [{"body": "x" * size}] * batch}).encode(), number // batch)
        return (database.stat().st_size - before) / (number // batch * batch)

    def post(self, body: bytes, times: int) -> None:
        """Post a batch again and again to a daemon that is stopped afterwards."""
        daemon = self.serve()
        make_queue(self.port, "q")
        for _ in range(times):
            answer = ask(self.port, "POST", "/v1/queuey/q", body, **{"Content-Type": "application/json"})
            self.assertEqual(answer[0], 201)
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)

    def test_process(self) -> None:
        """Descriptors and memory of a daemon that has just started, and what workers and a connection add."""
        if not Path("/proc/self/fd").exists():
            raise SkipTest("there is no /proc")
        (found,) = re.findall(
            r"Daemon: (\d+) \+ connections. Each worker: (\d+) \+ its\s+connections, plus (\d+) in", self.text
        )
        descriptors, more = int(found[0]), int(found[1]) + int(found[2])
        (memory,) = re.findall(r"The process takes (\d+) MiB", self.text)
        workers = WORKERS if WORKERS > 1 else 0
        daemon = self.serve()
        wait_until(lambda: daemon.output().count(" worker-up ") == workers, "not all workers are up")
        processes = [daemon.pid, *children(daemon.pid)]

        def opened() -> int:
            return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in processes)

        def check(connections: int) -> None:
            expected = descriptors + workers * more + connections
            wait_until(lambda: abs(opened() - expected) <= 2, f"not {expected} descriptors")

        check(0)
        for pid in processes:
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
            resident = int(re.findall(r"(?m)^VmRSS:\s+(\d+) kB$", status)[0]) / 1024
            self.assertLess(abs(resident / int(memory) - 1), 0.25, resident)
        with ExitStack() as stack:
            for _ in range(40):
                stack.enter_context(socket.create_connection(("127.0.0.1", self.port), LIMIT))
            check(40)
