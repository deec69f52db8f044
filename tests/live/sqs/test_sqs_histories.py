"""FIFO queues of SQS on SQLite, below which daemons and workers are killed and paused and the disk is filled."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError
from twisted.trial.unittest import SynchronousTestCase

from tests import LONG, runs_in
from tests.histories.clients import new_seed
from tests.histories.groups.crew import ServerClock
from tests.histories.groups.daemons import OneDaemon
from tests.histories.groups.history import GroupHistory
from tests.histories.sqs.clients import UnansweredError
from tests.live.sqs.fifo import Field, client
from tests.live.sqs.support import ALLOWED

ROUNDS = 12 if LONG else 3
"""How often each thing happens."""

CALM = 2.0
"""Seconds between two of them."""


BODY: Final = b'{"Messages":[{"MessageId":"some"}]}'
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Last: 1\r\n\r\n" % len(BODY) + BODY
"""An answer to a receive."""


class CutAnswerTests(SynchronousTestCase):
    """The client of histories takes no answer that was cut, wherever that was, for an answer without messages."""

    def received(self, answer: bytes) -> Any:
        """What the client makes of an answer after which the connection ends."""
        with socket.create_server(("127.0.0.1", 0)) as listener, closing(client(listener.getsockname()[1])) as sqs:
            server = threading.Thread(target=self.serve, args=(listener, answer))
            server.start()
            try:
                return sqs.receive_message(QueueUrl="http://127.0.0.1/1/q")
            finally:
                server.join()

    def serve(self, listener: socket.socket, answer: bytes) -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as given:
            size = 0
            for line in iter(given.readline, b"\r\n"):
                name, _, value = line.partition(b":")
                size = int(value) if name.lower() == b"content-length" else size
            given.read(size)
            connection.sendall(answer)

    @runs_in("test")
    def test_cut(self) -> None:
        self.assertEqual(self.received(ANSWER)["Messages"], [{"MessageId": "some"}])
        head = len(ANSWER) - len(BODY)
        for size in (0, 12, head - 20, head - 14, head - 2, head, head + 2, len(ANSWER) - 1):
            with self.assertRaises((UnansweredError, BotoCoreError), msg=repr(ANSWER[:size])):
                self.received(ANSWER[:size])


class HistoryTests(SynchronousTestCase):
    """Order in each group, nothing lost, nothing twice, whatever happens to the daemon."""

    @runs_in("test")
    def test_killed(self) -> None:
        """Two workers, of which one is killed, and then the whole daemon."""
        self.run_history(2, 1, ("kill_worker", "kill"))

    def test_one_process(self) -> None:
        self.run_history(1, ROUNDS, ("kill", "pause", "kill", "fill"))

    def test_workers(self) -> None:
        self.run_history(2, ROUNDS, ("kill_worker", "pause", "kill", "fill"))

    def run_history(self, workers: int, rounds: int, faults: tuple[str, ...]) -> None:
        seed = new_seed()
        ends = ExitStack()
        self.addCleanup(ends.close)
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="queuey-test-")))
        daemon = OneDaemon(folder, seed, GroupHistory(), ServerClock(), ends, workers, ALLOWED)
        daemon.start()
        field = Field([daemon.proxy.port], seed)
        ends.callback(field.close)
        field.make_queue(daemon.port)
        with field.at_work():
            for _ in range(rounds):
                for fault in faults:
                    time.sleep(CALM)
                    getattr(daemon, fault)()
            time.sleep(CALM)
            daemon.proxy.calm()
        wrong = field.judge(daemon.port)
        daemon.stop()
        field.report()
        self.assertEqual([*wrong, *daemon.defects()], [])
        self.assertEqual(field.idle(), [])
