"""An application far over its rates beside one without rates: only the first is refused requests."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import attrs

from tests.live.daemon.test_daemon import LiveTestCase, wait_until
from tests.live.running import WORKERS, Daemon

NOISY, QUIET = "the-key-of-the-noisy-one", "the-key-of-the-quiet-one"
RATE: Final = 20
BURST: Final = 40

CONNECTIONS: Final = 32
"""Of the noisy one; each asks as soon as it is answered."""

POSTS: Final = 100
"""Of each connection of the quiet one."""

TIMEOUT: Final = 60.0
LIMITS: Final = f"request_rate = {RATE}\nrequest_burst = {BURST}\n"
SETTINGS: Final = f"""
[logging]
file = queuey.log
format = json
[application:quiet]
keys = {QUIET}
create_queues = on-write
[application:noisy]
keys = {NOISY}
create_queues = on-write
{LIMITS}"""


@attrs.define
class Clients:
    """Clients that post to a queue, each over one connection, until there is nothing more to post.

    :ivar more: whether a client goes on, which is asked with how many it has posted.
    :ivar statuses: of all answers.
    :ivar wrong: what else came, or did not.
    """

    port: int
    application: str
    key: str
    number: int
    more: Callable[[int], bool]
    statuses: Counter[int] = attrs.Factory(Counter)
    wrong: list[str] = attrs.Factory(list)
    _threads: list[threading.Thread] = attrs.Factory(list)

    def start(self) -> Clients:
        """Begin."""
        self._threads = [threading.Thread(target=self._run) for _ in range(self.number)]
        for thread in self._threads:
            thread.start()
        return self

    def finish(self) -> Clients:
        """Wait for the last answer."""
        for thread in self._threads:
            thread.join()
        return self

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        path, headers = f"/v2/{self.application}/queues/q/messages", {"Authorization": f"Application {self.key}"}
        posted = 0
        try:
            while self.more(posted):
                connection.request("POST", path, b"x", headers)
                answer = connection.getresponse()
                document = json.loads(answer.read())
                posted += 1
                self.statuses[answer.status] += 1
                if answer.status == http.client.TOO_MANY_REQUESTS:
                    told = document["code"], document["limit"], document["applied"], answer.headers["Retry-After"]
                    if told != ("too-many-requests", "request_rate", "no", "1"):
                        self.wrong.append(f"{told}")
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            self.wrong.append(repr(error))
        finally:
            connection.close()


class NoisyTests(LiveTestCase):
    """One daemon, two applications."""

    def setUp(self) -> None:
        super().setUp()
        self.add_settings(SETTINGS)

    def ask(self, key: str, path: str) -> tuple[http.client.HTTPMessage, dict[str, object]]:
        """The header fields and the JSON of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request("GET", path, headers={"Authorization": f"Application {key}"})
            answer = connection.getresponse()
            return answer.headers, json.loads(answer.read())
        finally:
            connection.close()

    def stored(self, application: str, key: str) -> int:
        """How many messages its queue has, page by page; each page is asked for until it is given."""
        count, after = 0, ""
        while True:
            _, page = self.ask(key, f"/v2/{application}/queues/q/messages?limit=1000{after}")
            messages = page.get("messages")
            if messages is None:
                time.sleep(0.1)
                continue
            assert isinstance(messages, list)
            count += len(messages)
            if not page["more"]:
                return count
            after = f"&after={page['next']}"

    def lines(self, status: int) -> int:
        """Lines of the log about requests of the noisy one with that status."""
        log = (self.folder / "queuey.log").read_text().splitlines()
        found = [line for line in map(json.loads, log) if line.get("app") == "noisy"]
        return sum(line.get("status") == status and line.get("method") == "POST" for line in found)

    def stop(self, daemon: Daemon) -> None:
        self.assertEqual(daemon.signal(signal.SIGTERM), 0, daemon.output())
        self.assertNotIn("Traceback", (self.folder / "queuey.log").read_text() + daemon.output())

    def test_a_noisy_neighbour(self) -> None:
        """It has what its bucket holds and gains, and is refused the rest; the other has all that it asks for.

        Each worker has a bucket of its own.
        """
        daemon = self.serve()
        over = threading.Event()
        began = time.monotonic()
        noisy = Clients(self.port, "noisy", NOISY, CONNECTIONS, lambda _: not over.is_set()).start()
        wait_until(lambda: noisy.statuses[429] > CONNECTIONS, "nobody was refused")
        quiet = Clients(self.port, "quiet", QUIET, 4, lambda posted: posted < POSTS).start().finish()
        over.set()
        noisy.finish()
        seconds = time.monotonic() - began
        self.assertEqual((quiet.statuses, quiet.wrong, noisy.wrong), (Counter({201: 4 * POSTS}), [], []))
        served, refused = noisy.statuses[201], noisy.statuses[429]
        self.assertEqual(sum(noisy.statuses.values()), served + refused, noisy.statuses)
        self.assertGreaterEqual(served, BURST)
        self.assertLessEqual(served, WORKERS * (BURST + RATE * seconds))
        # A refusal comes at once for twenty of them a second, and otherwise after half a second at the least.
        self.assertLessEqual(refused, WORKERS * (20 + 20 * seconds) + CONNECTIONS * (2 * seconds + 1))
        self.assertEqual((self.stored("noisy", NOISY), self.stored("quiet", QUIET)), (served, 4 * POSTS))
        self.stop(daemon)
        self.assertEqual((self.lines(201), self.lines(429)), (served, refused))

    def test_limits_that_are_changed(self) -> None:
        """A running daemon takes them over; nothing is given away, and then nothing is refused."""
        daemon = self.serve()
        for _ in range(BURST):
            self.ask(NOISY, "/v2/noisy/queues")
        self.replace_settings(LIMITS, f"request_rate = 0.001\nrequest_burst = {10 * BURST}\n")
        os.kill(daemon.pid, signal.SIGHUP)
        policy = f'"request_rate";q={10 * BURST};w={10_000 * BURST}'
        wait_until(lambda: self.ask(NOISY, "/v2/noisy")[0].get("RateLimit-Policy") == policy, "no other limits")
        fields, answer = self.ask(NOISY, "/v2/noisy")
        left = int(fields["RateLimit"].partition(";r=")[2].partition(";")[0])
        self.assertLess(left, BURST, answer)
        self.replace_settings(f"request_rate = 0.001\nrequest_burst = {10 * BURST}\n", "")
        os.kill(daemon.pid, signal.SIGHUP)
        wait_until(lambda: "RateLimit" not in self.ask(NOISY, "/v2/noisy")[0], "no end of the limits")
        clients = Clients(self.port, "noisy", NOISY, 4, lambda posted: posted < POSTS).start().finish()
        self.assertEqual((clients.statuses, clients.wrong), (Counter({201: 4 * POSTS}), []))
        self.stop(daemon)
