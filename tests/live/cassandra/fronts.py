"""Front ends on a cluster, as processes that tests stop, pause and kill; and the base of tests that do so."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from tests.live.cassandra.histories import SHOWN, History, Outcome, Stored, problems, quantile
from tests.live.cassandra.load import Poster, Queue, Reader, Target, Worker, read_everything, wait_until
from tests.live.cassandra.shared import new_keyspace
from tests.live.clients import HEADERS, make_queue
from tests.live.running import Daemon, free_port

TWISTD: Final = Path(sys.executable).parent / "twistd"
ROOT: Final = Path(__file__).parents[3]
LONG: Final = bool(os.environ.get("QUEUEY_LONG"))

ANSWER: Final = 15.0
"""Seconds within which any request must be answered, whatever is broken."""

FLIGHT: Final = {"strong": 2.0, "very_strong": 5.0}
"""Seconds for which a write may be under way, and what was written after it be withheld; by consistency."""

SKEW: Final = 0.5
"""Seconds by which clocks may be apart: ``frontends = many`` shows nothing for that much longer."""

SETTLE: Final = FLIGHT["strong"] + SKEW

LEEWAY: Final = 0.6
"""Seconds by which an answer may be late on top of that."""

STEP: Final = 4
"""Seconds for each of which a rate is told."""

SETTINGS: Final = """\
[server]
http = tcp:{port}:interface=127.0.0.1
ops = tcp:{ops}:interface=127.0.0.1
max_body = 16MiB

[application_keys]
queuey = f25bfb8fe200475c8a0532a9cbe7651e

[storage]
backend = cassandra
"""


class Front:
    """One front end: a daemon on one port, which may be started again."""

    def __init__(self, name: str, folder: Path, storage: dict[str, object], twistd: Sequence[str] = ()) -> None:
        """Start nothing yet.

        :param storage: what ``[storage]`` says of the cluster.
        :param twistd: what to run in place of twistd.
        """
        self.name = name
        self.port, self.ops = free_port(), free_port()
        self.folder = folder
        self.folder.mkdir()
        self._runs = 0
        self._twistd = list(twistd) or [str(TWISTD)]
        self._daemon: Daemon | None = None
        self.configure(storage)

    def configure(self, storage: dict[str, object]) -> None:
        """Write its settings."""
        lines = "".join(f"{key} = {value}\n" for key, value in storage.items())
        (self.folder / "queuey.ini").write_text(SETTINGS.format(port=self.port, ops=self.ops) + lines, encoding="utf-8")

    @property
    def process(self) -> str:
        """The name of its process, which is another one after each start."""
        return f"{self.name}{self._runs}"

    @property
    def daemon(self) -> Daemon:
        """Its process."""
        assert self._daemon is not None, "it was never started"
        return self._daemon

    def start(self) -> Front:
        """Start it, and do not wait."""
        (self.folder / "output").unlink(missing_ok=True)
        self._runs += 1
        arguments = ["--config", str(self.folder / "queuey.ini")]
        self._daemon = Daemon(self._twistd, arguments, self.folder, {"PYTHONPATH": str(ROOT)})
        return self

    def serve(self) -> Front:
        """Start it, and wait until it serves."""
        self.start()
        self.wait_until_it_serves(300)
        return self

    def log(self) -> str:
        """What this run of it has printed."""
        return self.daemon.output()

    def news(self) -> str:
        """The end of its log, without what is said of each request."""
        lines = [line for line in self.log().splitlines() if " access " not in line and " refused " not in line]
        return "\n".join(lines[-30:])

    def lines(self, word: str) -> list[str]:
        """The lines of its log with this event word."""
        return [line for line in self.log().splitlines() if f" {word} " in f"{line} "]

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        """One request over a connection of its own.

        :return: the status, the document, and the headers.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER)
        try:
            connection.request(method, path, body, {**HEADERS, **headers})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null"), dict(answer.getheaders())
        finally:
            connection.close()

    def heartbeat(self) -> int:
        """The status of its heartbeat; 0 where nothing listens."""
        try:
            return self.ask("GET", "/__heartbeat__")[0]
        except OSError:
            return 0

    def serves(self) -> bool:
        """Whether its heartbeat is answered 200 now."""
        return self.heartbeat() == 200

    def wait_until_it_serves(self, seconds: float) -> float:
        """Wait for its heartbeat; how many seconds that took."""
        return wait_until(self.serves, seconds, lambda: f"{self.name} does not serve:\n{self.news()}")

    def wait_for_line(self, word: str, seconds: float) -> str:
        """Wait for a line of its log with this event word; the last one of them."""
        wait_until(lambda: bool(self.lines(word)), seconds, lambda: f"{word} in the log:\n{self.news()}")
        return self.lines(word)[-1]

    def refused(self) -> list[str]:
        """Start it where it must end with status 1 and no traceback; the lines that are none of its log."""
        self.start()
        status = self.daemon.wait()
        assert status == 1, f"status {status}\n{self.news()}"
        assert "Traceback" not in self.log(), self.log()
        return [line for line in self.log().splitlines() if not re.match(r"\d{4}-\d\d-\d\dT", line)]

    def stop(self) -> None:
        """SIGTERM: it finishes what is under way, and ends with status 0 and no traceback."""
        status = self.daemon.signal(signal.SIGTERM)
        assert status == 0, f"status {status}\n{self.news()}"

    def kill(self) -> None:
        """SIGKILL."""
        self.daemon.kill()

    def pause(self) -> None:
        """SIGSTOP."""
        os.kill(self.daemon.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.daemon.pid, signal.SIGCONT)


class Through:
    """A front end as a Target of clients who go on with another one where theirs is down."""

    def __init__(self, fronts: Sequence[Front]) -> None:
        self._fronts = list(fronts)

    @property
    def _front(self) -> Front:
        return self._fronts[0]

    @property
    def port(self) -> int:
        return self._front.port

    @property
    def process(self) -> str:
        return self._front.process

    def turn(self) -> None:
        """From the next connection on, ask the next one."""
        self._fronts.append(self._fronts.pop(0))


class FrontTestCase(SynchronousTestCase):
    """A folder and a keyspace of its own, front ends that end with the test, and the history of all clients."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="queuey-fronts-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.keyspace = new_keyspace()
        self.history = History()
        self.fronts: list[Front] = []
        self._clients = count()

    def front(self, name: str, hosts: Sequence[str], port: int, twistd: Sequence[str] = (), **storage: object) -> Front:
        """A front end that is not started yet.

        :param hosts: the nodes that its settings name.
        :param port: of CQL on all of them.
        :param storage: more of ``[storage]``.
        """
        where = ", ".join(f"{host}:{port}" for host in hosts)
        found = Front(name, self.folder / name, {"host": where, "database": self.keyspace, **storage}, twistd)
        self.fronts.append(found)
        self.addCleanup(self._end, found)
        return found

    @staticmethod
    def _end(front: Front) -> None:
        if front._daemon is not None:
            front.kill()

    def say(self, text: str) -> None:
        """Print a figure."""
        sys.stdout.write(f"{self.id().rpartition('.')[2]}: {text}\n")

    def make(self, front: Front, *queues: Queue) -> None:
        """Make queues."""
        for queue in queues:
            make_queue(front.port, queue.name, partitions=queue.partitions, consistency=queue.consistency)

    def posters(self, target: Target, queues: Sequence[Queue], number: int, pause: float = 0.02) -> list[Worker]:
        """Clients that post."""
        names = [f"{target.process}-w{next(self._clients)}" for _ in range(number)]
        return [Poster(name, target, queues, self.history, pause, place) for place, name in enumerate(names)]

    def readers(self, target: Target, queues: Sequence[Queue], number: int = 1, limit: int = 50) -> list[Worker]:
        """Clients that poll."""
        names = [f"{target.process}-r{next(self._clients)}" for _ in range(number)]
        return [Reader(name, target, queues, self.history, 0.05, limit) for name in names]

    def check(self, fronts: Sequence[Front], queues: Sequence[Queue], *, sole: bool) -> list[Stored]:
        """What all clients did and saw fits together, and every front end shows all of it, and the same.

        :return: what is there.
        """
        delays = {queue.name: FLIGHT[queue.consistency] + (0 if sole else SKEW) + LEEWAY for queue in queues}
        if not sole:
            time.sleep(max(delays.values()) + 1)
        found = [read_everything(front, queues) for front in fronts]
        for other in found[1:]:
            self.assertEqual(set(other), set(found[0]))
        wrong = problems(self.history, found[0], sole=sole, delays=delays)
        self.say(self.history.summary())
        self.say_why()
        self.assertEqual(wrong, [], "\n".join(wrong))
        self.assertEqual([line for front in self.fronts for line in self.defects(front)], [])
        return found[0]

    def say_why(self) -> None:
        """Print why requests were refused in the runs of the front ends that go on, the most frequent reasons first."""
        refused = [line.split(": ", 1)[1] for front in self.fronts for line in front.lines("refused")]
        for text, number in Counter(refused).most_common(SHOWN):
            self.say(f"refused {number} times: {text}")

    @staticmethod
    def defects(front: Front) -> list[str]:
        """Lines of a front end's log that speak of defects of its own."""
        if front._daemon is None:
            return []
        words = (" critical ", " error ", "Traceback", "Unhandled error")
        return [line for line in front.log().splitlines() if any(word in line for word in words)]

    def latencies(self, process: str, since: float, until: float) -> str:
        """How long acknowledged POSTs to a process took in some time, as a line of figures."""
        posts = [
            post
            for post in self.history.of_outcome(Outcome.OK)
            if post.process == process and since <= post.invoked <= until
        ]
        took = [post.ended - post.invoked for post in posts]
        figures = ", ".join(f"{name} {quantile(took, share):.3f} s" for name, share in (("p50", 0.5), ("p99", 0.99)))
        ended = Counter(int((post.ended - since) // STEP) for post in posts)
        rates = " ".join(f"{ended[step] / STEP:.0f}" for step in range(int((until - since) / STEP)))
        longest = f"longest {max(took, default=0):.3f} s"
        return f"{process}: {len(took)} POSTs acknowledged, {figures}, {longest}; a second, in each {STEP} s: {rates}"
