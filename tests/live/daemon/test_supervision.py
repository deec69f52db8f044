"""What a real daemon reports to a service manager, and sockets that it inherits."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import apsw
from twisted.trial.unittest import SkipTest

from queuey.ops.health import LIMIT as CHECK_LIMIT
from tests import runs_in
from tests.live.clients import HEADERS, TIMEOUT, ask, make_queue
from tests.live.daemon.managing import TWISTD, Managed, Manager
from tests.live.daemon.test_daemon import LiveTestCase, wait_until
from tests.live.running import LIMIT, WORKERS, free_port

#: Runs twistd; SIGUSR2 holds the thread of the reactor up, and no other, for as long as a file is there.
HELD_UP = """
import pathlib, signal, sys, time
there, held = pathlib.Path("hold"), pathlib.Path("held")
def hold(*_):
    held.touch()
    while there.exists():
        time.sleep(0.02)
signal.signal(signal.SIGUSR2, hold)
from twisted.scripts.twistd import run
run()
"""

WATCHDOG = 0.6
"""Seconds within which the manager wants to hear from the reactor."""


class ManagedCase(LiveTestCase):
    """A daemon with a port for operators, and a manager."""

    address = ""

    def setUp(self) -> None:
        super().setUp()
        self.ops = free_port()
        self.set_server(f"ops = tcp:{self.ops}:interface=127.0.0.1")
        self.manager = Manager(self.address or str(self.folder / "notify"))
        self.addCleanup(self.manager.end)
        self.environment = {"NOTIFY_SOCKET": self.manager.address, "WATCHDOG_USEC": str(round(WATCHDOG * 1e6))}

    def set_server(self, line: str) -> None:
        self.replace_settings("[server]\n", f"[server]\n{line}\n")

    def start(self, *program: str, sockets: dict[str, socket.socket] | None = None, **environment: str) -> Managed:
        told = {**self.environment, **environment}
        daemon = Managed(self.settings, sockets or {}, told, program or (str(TWISTD),))
        self.addCleanup(daemon.kill)
        return daemon

    def serve(self, *program: str, sockets: dict[str, socket.socket] | None = None, **environment: str) -> Managed:  # type: ignore[override]
        """Start a daemon, and wait for its word that it serves."""
        told = len(self.manager.values("READY"))
        daemon = self.start(*program, sockets=sockets, **environment)
        wait_until(
            lambda: len(self.manager.values("READY")) > told or daemon.process.poll() is not None, "it is not ready"
        )
        self.assertIsNone(daemon.process.poll(), daemon.output())
        return daemon

    def health(self, path: str) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.ops, timeout=TIMEOUT)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())["checks"]
        finally:
            connection.close()

    def bad(self, path: str = "/ready") -> list[str]:
        """The checks that are not well."""
        return [name for name, check in self.health(path)[1].items() if not check["ok"]]


class NotifyTests(ManagedCase):
    """A whole life, as the manager hears of it."""

    @runs_in("test")
    def test_life(self) -> None:
        """Readiness once requests are answered, settings that are read again, and an end that takes its time."""
        self.set_server("drain_pause = 3600")
        daemon = self.serve()
        self.assertEqual(ask(self.port, "GET", "/__heartbeat__")[0], 200)
        self.assertEqual((self.health("/live")[0], self.bad()), (200, []))
        self.assertEqual(self.manager.values("STATUS"), ["opens the store", "serves"])

        before = time.monotonic()
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: len(self.manager.values("READY")) == 2, "it did not read its settings anew")
        names = [name for _, lines in self.manager.told for name in lines if name in ("READY", "RELOADING")]
        self.assertEqual(names, ["READY", "RELOADING", "READY"])
        (began,) = self.manager.values("MONOTONIC_USEC")
        self.assertTrue(before <= int(began) / 1e6 + 1e-6 <= time.monotonic(), "it is a time of this CLOCK_MONOTONIC")

        make_queue(self.port, "q")
        kept = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        self.addCleanup(kept.close)
        kept.request("GET", "/v1/queuey/q", headers=HEADERS)
        answer = kept.getresponse()
        answer.read()
        self.assertIsNone(answer.getheader("Connection"))

        daemon.signal(signal.SIGTERM)
        wait_until(lambda: bool(self.manager.values("STOPPING")), "it does not say that it stops")
        wait_until(lambda: self.bad() == ["draining"], "it is ready")
        self.assertEqual((self.health("/live")[0], ask(self.port, "GET", "/__heartbeat__")[0]), (200, 503))
        kept.request("GET", "/v1/queuey/q", headers=HEADERS)
        answer = kept.getresponse()
        answer.read()
        self.assertEqual((answer.status, answer.getheader("Connection")), (200, "close"))
        self.assertEqual(ask(self.port, "POST", "/v1/queuey/q", b"x")[0], 201, "it goes on accepting")
        extended = len(self.manager.values("EXTEND_TIMEOUT_USEC"))
        wait_until(lambda: len(self.manager.values("EXTEND_TIMEOUT_USEC")) > extended + 2, "it asks for no more time")

        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0, daemon.output())
        self.assertEqual(self.manager.values("STATUS")[-2:], ["finishes what is under way", "closes the store"])
        self.assertEqual(len(self.manager.values("READY")), 2)

    def test_pause(self) -> None:
        """It ends by itself, after the pause, and what an operator has drained before waits for less of it."""
        self.set_server("drain_pause = 1.5")
        daemon = self.serve()
        began = time.monotonic()
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)
        self.assertGreaterEqual(time.monotonic() - began, 1.5)
        self.assertIn(" draining not ready any more; goes on accepting for 1.5 s", daemon.output())

    def test_drained_before(self) -> None:
        self.set_server("drain_pause = 1")
        daemon = self.serve()
        call = {"jsonrpc": "2.0", "method": "drain", "id": 1}
        connection = http.client.HTTPConnection("127.0.0.1", self.ops, timeout=TIMEOUT)
        self.addCleanup(connection.close)
        connection.request("POST", "/rpc", json.dumps(call), {"Content-Type": "application/json"})
        self.assertEqual(json.loads(connection.getresponse().read())["result"], True)
        self.assertEqual(self.bad(), ["draining"])
        time.sleep(1)
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)
        self.assertNotIn(" draining ", daemon.output())

    def test_start_that_is_refused(self) -> None:
        """The manager does not hear that it serves."""
        with socket.create_server(("127.0.0.1", self.port)):
            self.assertEqual(self.start().wait(), 1)
        (self.folder / "data").write_text("this is no folder")
        self.assertEqual(self.start().wait(), 1)
        self.assertEqual(self.manager.values("STATUS"), ["opens the store"])
        self.assertEqual(self.manager.values("READY"), [])


class AbstractTests(ManagedCase):
    """A manager without a file."""

    def setUp(self) -> None:
        self.address = f"@queuey-test-{uuid.uuid4().hex}"
        super().setUp()

    def test_told(self) -> None:
        daemon = self.serve()
        wait_until(lambda: len(self.manager.values("WATCHDOG")) > 2, "the reactor is not heard of")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)
        self.assertEqual(self.manager.values("STOPPING"), ["1"])


class WatchdogTests(ManagedCase):
    """The reactor is heard of as long as it turns, and no longer."""

    def test_held_up(self) -> None:
        """Nothing is heard while only the reactor's thread stands still, and again once it goes on."""
        daemon = self.serve(sys.executable, "-c", HELD_UP)
        wait_until(lambda: len(self.manager.values("WATCHDOG")) > 2, "the reactor is not heard of")
        (self.folder / "hold").touch()
        daemon.signal(signal.SIGUSR2)
        wait_until((self.folder / "held").exists, "it was not held up")
        self.manager.catch_up()
        heard = len(self.manager.told)
        time.sleep(5 * WATCHDOG)
        self.manager.catch_up()
        self.assertEqual([lines for _, lines in self.manager.told[heard:-1]], [])
        (self.folder / "hold").unlink()
        wait_until(lambda: len(self.manager.values("WATCHDOG")) > 10, "the reactor is not heard of again")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)

    def test_store_that_hangs(self) -> None:
        """It is not ready, which is said in time; it is alive, and the reactor is heard of."""
        daemon = self.serve()
        other = apsw.Connection(str(self.folder / "data" / "queuey.sqlite"))
        other.execute("BEGIN IMMEDIATE")
        heard = len(self.manager.values("WATCHDOG"))
        for _ in range(2):
            status, checks = self.health("/ready")
            self.assertEqual((status, self.health("/live")[0]), (503, 200))
            self.assertEqual([name for name, check in checks.items() if not check["ok"]], ["store"])
            # The store itself gives up after another second, and later requests get its error.
            late = (f"There was no answer within {CHECK_LIMIT:g} s.", "The storage did not answer in 3 s.")
            self.assertIn(checks["store"]["reason"], late)
        wait_until(lambda: len(self.manager.values("WATCHDOG")) > heard + 2, "the reactor is not heard of")
        other.execute("ROLLBACK")
        other.close()
        wait_until(lambda: self.bad() == [], "it is not ready again")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)

    def test_watchdog_of_another_process(self) -> None:
        """Only the process that is meant beats."""
        daemon = self.serve(WATCHDOG_PID=str(os.getpid()))
        time.sleep(2 * WATCHDOG)
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0)
        self.assertEqual(self.manager.values("WATCHDOG"), [])


class HandedDownTests(ManagedCase):
    """Sockets that the manager has opened and keeps."""

    def setUp(self) -> None:
        super().setUp()
        self.replace_settings(f"tcp:{self.port}:interface=127.0.0.1", "\n  systemd:domain=INET:name=queuey\n"
                              "  systemd:domain=UNIX:name=queuey-local")  # fmt: skip
        self.replace_settings(f"ops = tcp:{self.ops}:interface=127.0.0.1",
                              f"ops = systemd:domain=UNIX:name=queuey-ops\nops_token = {'t' * 20}")  # fmt: skip
        self.sockets = {"queuey-ops": self.local("ops"), "queuey": socket.create_server(("127.0.0.1", self.port),
                        backlog=1024), "queuey-local": self.local("http")}  # fmt: skip
        for one in self.sockets.values():
            self.addCleanup(one.close)

    def local(self, name: str) -> socket.socket:
        """A socket that only its owner may open."""
        made = socket.socket(socket.AF_UNIX)
        made.bind(str(self.folder / name))
        os.chmod(self.folder / name, 0o600)
        made.listen(1024)
        return made

    def get(self, name: str, path: str) -> tuple[int, Any]:
        """Ask through a socket's file."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(TIMEOUT)
            asking.connect(str(self.folder / name))
            asking.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            head, _, body = b"".join(iter(lambda: asking.recv(65536), b"")).partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)

    def test_files_are_not_ours(self) -> None:
        """Two daemons, one after the other: files keep their modes and stay, and connections wait in between."""
        for _ in range(2):
            daemon = self.serve(sockets=self.sockets)
            self.assertEqual(ask(self.port, "GET", "/__heartbeat__")[0], 200)
            self.assertEqual(self.get("http", "/__heartbeat__")[0], 200)
            names = ("store", "clock", "lease", "draining", "disk", *(["workers"] if WORKERS > 1 else []))
            well = {"ready": True, "checks": {name: {"ok": True} for name in names}}
            self.assertEqual(self.get("ops", "/ready"), (200, well))
            daemon.signal(signal.SIGTERM)
            self.assertEqual(daemon.wait(), 0, daemon.output())
            for name in ("http", "ops"):
                self.assertEqual(stat.S_IMODE((self.folder / name).stat().st_mode), 0o600)

    def test_many_wait(self) -> None:
        """A daemon does not make the queue of a socket shorter: hundreds wait for the next one."""
        daemon = self.serve(sockets=self.sockets)
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0, daemon.output())
        with ExitStack() as stack:
            waiting = []
            for number in range(300):
                made = stack.enter_context(socket.socket(socket.AF_INET if number % 2 else socket.AF_UNIX))
                made.settimeout(5)
                made.connect(("127.0.0.1", self.port) if number % 2 else str(self.folder / "http"))
                made.sendall(b"GET /__heartbeat__ HTTP/1.0\r\nHost: localhost\r\n\r\n")
                made.settimeout(LIMIT)
                waiting.append(made)
            daemon = self.serve(sockets=self.sockets)
            answers = [made.recv(65536) for made in waiting]
        self.assertEqual({answer.split()[1] for answer in answers}, {b"200"})
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0, daemon.output())


class SystemdTests(ManagedCase):
    """What systemd itself makes of it."""

    def test_socket_activate(self) -> None:
        """Its own program for sockets hands one down, and starts the daemon with the first connection."""
        found = shutil.which("systemd-socket-activate")
        if found is None:
            raise SkipTest("there is no systemd-socket-activate")
        self.replace_settings(f"tcp:{self.port}:interface=127.0.0.1", "systemd:domain=INET:name=queuey")
        command = [found, f"--listen=127.0.0.1:{self.port}", "--fdname=queuey"]
        command += [f"--setenv={name}={value}" for name, value in self.environment.items()]
        daemon = self.start(*command, str(TWISTD))
        wait_until(lambda: self.is_listening() or daemon.process.poll() is not None, "nothing listens")
        self.assertEqual(ask(self.port, "GET", "/__heartbeat__")[0], 200, daemon.output())
        wait_until(lambda: bool(self.manager.values("READY")), "it is not ready")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait(), 0, daemon.output())

    def is_listening(self) -> bool:
        """Whether something listens on the port; no connection is made for that, which would start the daemon."""
        listening = "0A"
        lines = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
        return any(line[1].endswith(f":{self.port:04X}") and line[3] == listening for line in lines)

    def test_service(self) -> None:
        """A service of Type=notify is active once it serves, tells its status, and is stopped in order."""
        if not Path("/run/systemd/system").exists() or os.getuid() != 0:
            raise SkipTest("no systemd that runs this machine, or not root")
        unit = f"queuey-test-{uuid.uuid4().hex}.service"
        properties = ("Type=notify", "NotifyAccess=main", "WatchdogSec=10", f"WorkingDirectory={self.folder}")
        command = ["systemd-run", "--collect", f"--unit={unit}", *(f"--property={one}" for one in properties)]
        command += [str(TWISTD), "--nodaemon", "--pidfile=", "queuey", "--config", str(self.settings)]
        subprocess.run(command, check=True, capture_output=True, timeout=LIMIT)
        self.addCleanup(subprocess.run, ["systemctl", "kill", "--signal=KILL", unit], capture_output=True)
        self.assertEqual(ask(self.port, "GET", "/__heartbeat__")[0], 200)
        show = ["systemctl", "show", "--property=StatusText", "--property=ActiveState", unit]
        shown = subprocess.run(show, check=True, capture_output=True, text=True, timeout=LIMIT).stdout
        self.assertEqual(set(shown.split("\n")), {"StatusText=serves", "ActiveState=active", ""})
        subprocess.run(["systemctl", "stop", unit], check=True, capture_output=True, timeout=LIMIT)
