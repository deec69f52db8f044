"""The endpoints that a daemon listens on, and settings that it reads again."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time

from twisted.trial.unittest import SkipTest

from tests import runs_in
from tests.live.clients import HEADERS, TIMEOUT, Poster, ask, make_queue
from tests.live.daemon.test_daemon import TWISTD, LiveTestCase, wait_until
from tests.live.running import LIMIT, free_port


class ReloadTests(LiveTestCase):
    """SIGHUP and SIGUSR1, under load."""

    def setUp(self) -> None:
        super().setUp()
        self.add_settings("[logging]\nfile = queuey.log\n")
        self.log = self.folder / "queuey.log"

    def logged(self, word: str) -> None:
        wait_until(lambda: word in self.log.read_text(), f"{word} was not logged")

    @runs_in("test")
    def test_settings_are_read_anew(self) -> None:
        """Keys, limits and origins change as one, and no request is dropped."""
        daemon = self.serve()
        make_queue(self.port, "q")
        poster = Poster(self.port, "q", "p").start()
        self.add_settings("[application:queuey]\nmax_body = 50\nkeys = another-key\ncors_origins = *\n")
        os.kill(daemon.pid, signal.SIGHUP)
        self.logged(" reloaded ")
        self.assertEqual(ask(self.port, "GET", "/v1/queuey", Authorization="Application another-key")[0], 200)
        self.assertEqual(ask(self.port, "POST", "/v1/queuey/q", b"x" * 51)[0], 413)
        poster.finish()
        self.assertEqual((poster.refused, poster.unknown), ([], []))

    def test_a_bad_file_changes_nothing(self) -> None:
        """One line says what is wrong with it."""
        daemon = self.serve()
        self.replace_settings("f25bfb8fe200475c8a0532a9cbe7651e", "a-new-key")
        self.add_settings("[server]\nmax_bodi = 1\n")
        os.kill(daemon.pid, signal.SIGHUP)
        self.logged(" reload-refused ")
        self.assertEqual(ask(self.port, "GET", "/v1/queuey")[0], 200)

    def test_what_takes_a_restart_is_named(self) -> None:
        """And not changed, while the rest is."""
        daemon = self.serve()
        self.replace_settings("interface=127.0.0.1", "interface=127.0.0.2")
        self.add_settings("[application:queuey]\nkeys = another-key\n")
        os.kill(daemon.pid, signal.SIGHUP)
        self.logged(" restart-needed ")
        self.assertEqual(ask(self.port, "GET", "/v1/queuey", Authorization="Application another-key")[0], 200)

    def test_log_is_reopened(self) -> None:
        """After the file was moved away, SIGUSR1 begins a new one; nothing is lost between."""
        daemon = self.serve()
        make_queue(self.port, "q")
        poster = Poster(self.port, "q", "p").start()
        time.sleep(0.2)
        self.log.rename(self.folder / "queuey.log.1")
        time.sleep(0.1)
        os.kill(daemon.pid, signal.SIGUSR1)
        wait_until(self.log.exists, "no new log")
        time.sleep(0.2)
        poster.finish()
        self.assertEqual(poster.unknown, [])
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        lines = (self.folder / "queuey.log.1").read_text() + self.log.read_text()
        self.assertEqual(lines.count("access 201 POST /v1/queuey/q "), len(poster.acknowledged))
        self.assertIn("access 201", self.log.read_text())

    def test_what_a_client_saw_is_logged(self) -> None:
        """A client that has an answer finds its line in the log at once, also if the daemon is killed then, whether the
        connection goes on, ends with the answer, or had several requests in one piece."""
        daemon = self.serve()
        make_queue(self.port, "q")
        for fields in ({}, {"Connection": "close"}) * 10:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
            connection.request("POST", "/v1/queuey/q", b"x", {**HEADERS, **fields})
            answer = connection.getresponse()
            answer.read()
            self.assertIn(f" id={answer.headers['X-Request-Id']}\n", self.log.read_text())
            connection.close()
        request = "GET /v1/queuey/q?limit=1 HTTP/1.1\r\nHost: a\r\nX-Request-Id: number-%d\r\nAuthorization: %s\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as plain, plain.makefile("rb") as answers:
            plain.sendall("".join(request % (number, HEADERS["Authorization"]) for number in range(20)).encode())
            while b"number-19" not in answers.readline():
                pass
            daemon.kill()
        found = [int(number) for number in re.findall(r" id=number-(\d+)\n", self.log.read_text())]
        self.assertEqual(found, list(range(20)))

    def test_what_is_not_logged(self) -> None:
        """No key and no body, in either format; an access line has what operators look for."""
        self.add_settings("format = json\n")
        daemon = self.serve()
        make_queue(self.port, "q")
        ask(self.port, "POST", "/v1/queuey/q", b"a secret body", **{"X-Request-Id": "my-id"})
        ask(self.port, "GET", "/v1/queuey/q", Authorization="Application a-secret-key")
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        text = self.log.read_text()
        for secret in ("secret", HEADERS["Authorization"].split()[1]):
            self.assertNotIn(secret, text)
        lines = [json.loads(line) for line in text.splitlines()]
        (line,) = [line for line in lines if line.get("id") == "my-id"]
        expected = {"event": "access", "status": 201, "method": "POST", "path": "/v1/queuey/q", "client": "127.0.0.1",
                    "app": "queuey", "queue": "q"}  # fmt: skip
        self.assertEqual({name: line.get(name) for name in expected}, expected)
        self.assertTrue({"time", "in", "out", "ms"} <= set(line))


class EndpointTests(LiveTestCase):
    """Everything that can be listened on."""

    def listen_on(self, *endpoints: str) -> None:
        self.replace_settings(
            f"http = tcp:{self.port}:interface=127.0.0.1",
            f"http = tcp:{self.port}:interface=127.0.0.1\n" + "".join(f"    {each}\n" for each in endpoints),
        )

    def heartbeat(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(LIMIT)
            connection.sendall(b"GET /__heartbeat__ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer)
        self.assertTrue(answer.endswith(b'{"status":"ok"}'), answer)

    def test_several(self) -> None:
        """TCP on both versions of IP, and a unix socket, in one daemon."""
        six, path = free_port(), self.folder / "q.sock"
        self.listen_on(f"tcp6:{six}:interface=\\:\\:1", f"unix:{path}:mode=600")
        daemon = self.serve()
        self.heartbeat(socket.create_connection(("127.0.0.1", self.port), LIMIT))
        if socket.has_ipv6:
            self.heartbeat(socket.create_connection(("::1", six), LIMIT))
        unix = socket.socket(socket.AF_UNIX)
        unix.connect(str(path))
        self.heartbeat(unix)
        self.assertIn("client=unix", daemon.output())
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        self.assertFalse(path.exists())

    def make_certificate(self, name: str) -> None:
        """A certificate that signs itself, and its key, as the settings name them."""
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                   "-keyout", str(self.folder / "key.pem"), "-out", str(self.folder / "cert.pem")]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=LIMIT)

    def certificate(self, port: int) -> bytes:
        """The certificate that is served now, after a request has been answered with it."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = context.wrap_socket(socket.create_connection(("127.0.0.1", port), LIMIT))
        served = connection.getpeercert(binary_form=True)
        self.heartbeat(connection)
        assert served is not None
        return served

    @runs_in("test")
    def test_tls(self) -> None:
        """TLS with a certificate that SIGHUP reads again; one that is bad changes nothing."""
        if shutil.which("openssl") is None:
            raise SkipTest("there is no openssl to make a certificate with")
        port = free_port()
        self.make_certificate("first.example.org")
        self.listen_on(f"ssl:{port}:privateKey=key.pem:certKey=cert.pem:interface=127.0.0.1")
        self.add_settings("[logging]\nfile = queuey.log\n")
        daemon, log = self.serve(), self.folder / "queuey.log"
        first = self.certificate(port)
        self.assertIn(b"first.example.org", first)
        self.make_certificate("second.example.org")
        os.kill(daemon.pid, signal.SIGHUP)
        wait_until(lambda: " reloaded " in log.read_text(), "not reloaded")
        second = self.certificate(port)
        self.assertIn(b"second.example.org", second)
        (self.folder / "cert.pem").write_text("no certificate")
        os.kill(daemon.pid, signal.SIGHUP)
        wait_until(lambda: " reload-refused " in log.read_text(), "not refused")
        self.assertEqual(self.certificate(port), second)
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)

    def test_systemd_socket(self) -> None:
        """A socket that systemd listens on already."""
        activate = shutil.which("systemd-socket-activate")
        if activate is None:
            raise SkipTest("there is no systemd-socket-activate")
        port = free_port()
        self.listen_on("systemd:domain=INET:name=http")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [activate, f"--listen=127.0.0.1:{port}", "--fdname=http", "-E", "PYTHONPATH",
                   str(TWISTD), "--nodaemon", "--pidfile=", "queuey", "--config", str(self.settings)]  # fmt: skip
        with (self.folder / "output").open("wb") as output:
            process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=output, stderr=output)
        self.addCleanup(process.wait, LIMIT)
        self.addCleanup(process.kill)
        wait_until(lambda: "Listening" in (self.folder / "output").read_text(), "it does not listen")
        self.heartbeat(socket.create_connection(("127.0.0.1", port), LIMIT))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(LIMIT), 0)

    def test_no_systemd_socket(self) -> None:
        """One that was not given is said in one line."""
        self.listen_on("systemd:domain=INET:name=http")
        lines = self.refused_start()
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("systemd:domain=INET:name=http", lines[0])
