"""Clients that follow a queue while its daemon is killed and started, and before a daemon that has no live reads."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from tests import tried
from tests.live.client.test_client_faces import FACES, ROOT, ClientTestCase, Program
from tests.live.clients import KEY, TIMEOUT, Poster, make_queue
from tests.live.command.commanding import BIN
from tests.live.daemon.test_daemon import wait_until

run_in = "test"

ROUNDS: Final = tried(2, 10)
LAST: Final = "the last one"

NOT_FOUND: Final = (
    b'{"code":"not-found","status":404,"title":"There is nothing at this path","retryable":false,"applied":"no"}'
)


class OlderServer(ThreadingHTTPServer):
    """Stands before a daemon, and knows no live reads: what an older release answers for their path.

    :ivar refused: how often it was asked for one.
    """

    daemon_threads = True

    def __init__(self, target: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.target = target
        self.refused = 0
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Listen no longer."""
        self.shutdown()
        self.server_close()


class _Passing(BaseHTTPRequestHandler):
    server: OlderServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Pass a request on, and its answer back."""
        if self.path.partition("?")[0].endswith("/events"):
            self.server.refused += 1
            self._answer(404, "application/problem+json", NOT_FOUND)
            return
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=TIMEOUT + 30)
        ) as daemon:
            daemon.request("GET", self.path, None, {"Authorization": self.headers["Authorization"]})
            answer = daemon.getresponse()
            self._answer(answer.status, answer.headers["Content-Type"], answer.read())

    def _answer(self, status: int, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        """Serve a connection; the client may leave at any time."""
        with contextlib.suppress(OSError):
            super().handle()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


class FollowingTests(ClientTestCase):
    """The three faces, the JavaScript client and the command, each in a process of its own."""

    def setUp(self) -> None:
        super().setUp()
        # Clients come back within this time after a daemon has stopped.
        self.replace_settings("[server]\n", "[server]\nstop_timeout = 2\n")
        self.daemon = self.serve()
        make_queue(self.port, "q")

    def follow(self, port: int) -> dict[str, Program]:
        """Start them all."""
        url = f"http://127.0.0.1:{port}"
        followers = {face: self.begin_program("follow", face, url, "q", LAST) for face in FACES}
        known = (f"QUEUEY_URL={url}", "QUEUEY_APPLICATION=queuey", f"QUEUEY_KEY={KEY}")
        command = ("env", *known, str(BIN / "queuey"), "tail", "q", "--raw", "--since", "1h")
        followers["tail"] = Program(self.folder / "tail", command=command)
        if (node := shutil.which("node")) is not None:
            script = str(ROOT / "client" / "js" / "test" / "live" / "program.js")
            followers["node"] = Program(self.folder / "node", "follow", url, "q", LAST, command=(node, script))
        for each in followers.values():
            self.addCleanup(each.kill)
        return followers

    def judge(self, followers: dict[str, Program], posters: list[Poster]) -> None:
        """All have printed every message that was acknowledged, once, in one order."""
        self.client().queue("q").post(LAST)
        acknowledged = {body for poster in posters for body, _ in poster.acknowledged} | {LAST}
        unknown = {body for poster in posters for body in poster.unknown}
        for face, program in followers.items():
            if face != "tail":
                self.assertEqual(program.wait(), 0, f"{face}: {program.output()[-3000:]}")
        tail = followers["tail"]
        wait_until(lambda: tail.output().endswith(f"{LAST}\n"), f"tail: {tail.output()[-3000:]}")
        tail.process.send_signal(signal.SIGINT)
        self.assertEqual(tail.wait(), 130)
        for face, program in followers.items():
            # The command says on standard error what it tries again.
            found = [line for line in program.output().splitlines() if not line.startswith("queuey: ")]
            twice, lost = len(found) - len(set(found)), sorted(acknowledged - set(found))
            invented = sorted(set(found) - acknowledged - unknown)
            self.assertEqual((twice, lost[:5], invented[:5]), (0, [], []), face)
        self.say(f"{len(acknowledged)} messages to {len(followers)} clients")

    def test_restarts(self) -> None:
        """A daemon is killed and stopped while messages come: none is missing, and none comes twice."""
        followers, posters = self.follow(self.port), list[Poster]()
        for number in range(ROUNDS):
            poster = Poster(self.port, "q", str(number)).start()
            self.wait_for(followers, number)
            self.daemon.signal(signal.SIGKILL if number % 2 == 0 else signal.SIGTERM)
            posters.append(poster.finish())
            self.daemon = self.serve()
        self.judge(followers, posters)
        self.stop(self.daemon)

    def wait_for(self, followers: dict[str, Program], number: int) -> None:
        """Wait until a message of a round has come to each of them."""
        for name, program in followers.items():
            try:
                wait_until(lambda program=program: f"{number}-" in program.output(), name)  # type: ignore[misc]
            except AssertionError:
                self.fail(f"{name} gets no message of {number}: {program.output()[-3000:]}")

    def test_an_older_daemon(self) -> None:
        """Each asks for a live read once, and then waits for pages."""
        older = OlderServer(self.port)
        self.addCleanup(older.close)
        followers = self.follow(older.server_port)
        poster = Poster(self.port, "q", "0").start()
        self.wait_for(followers, 0)
        self.judge(followers, [poster.finish()])
        self.assertEqual(older.refused, len(followers))
        self.stop(self.daemon)
