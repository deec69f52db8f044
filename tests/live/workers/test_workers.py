"""A daemon with several workers: all see each change, a worker that dies costs nothing, and all end together."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any

from tests.live.clients import HEADERS, TIMEOUT, make_queue
from tests.live.daemon.test_daemon import TWISTD, LiveTestCase, wait_until
from tests.live.running import Daemon, children, free_port

WORKERS = 3
CONNECTIONS = 24
"""So many that no worker gets none of them."""

CHANGES = 30


AT_EXIT = """
import atexit, gc, os, sys

@atexit.register
def tell():
    with open(f"{os.environ['TOLD']}/{os.getpid()}", "w") as file:
        file.write(f"{sys.getswitchinterval():.4f} {gc.get_freeze_count() > 0}")
"""
"""What Python runs first in each process, which tells at its end how the interpreter was set."""


class WorkersCase(LiveTestCase):
    """A daemon with some workers, and an operators' port."""

    def setUp(self) -> None:
        super().setUp()
        self.ops = free_port()
        text = self.settings.read_text()
        text = re.sub(r"(?m)^workers = .*$", f"workers = {WORKERS}\nops = tcp:{self.ops}:interface=127.0.0.1", text)
        self.settings.write_text(text)
        self.daemon = self.serve()
        self.wait_for_workers(WORKERS)

    def pids(self) -> list[int]:
        """The workers that run now."""
        return children(self.daemon.pid)

    def wait_for_workers(self, ups: int) -> None:
        wait_until(lambda: self.daemon.output().count(" worker-up ") >= ups, f"not {ups} workers were up")

    def metrics(self) -> dict[str, float]:
        """The metrics of the daemon, by their names and labels."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ops, timeout=TIMEOUT)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    def call(self, method: str, **parameters: object) -> Any:
        """A method of the operators' port."""
        document = {"jsonrpc": "2.0", "method": method, "params": parameters, "id": 1}
        connection = http.client.HTTPConnection("127.0.0.1", self.ops, timeout=TIMEOUT)
        connection.request("POST", "/rpc", json.dumps(document), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer["result"]

    def ready(self) -> Any:
        """What the daemon says of whether it is ready."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ops, timeout=TIMEOUT)
        connection.request("GET", "/ready")
        found = json.loads(connection.getresponse().read())
        connection.close()
        return found

    def connections(self) -> list[http.client.HTTPConnection]:
        """Connections that are open, over all workers."""
        made = [http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT) for _ in range(CONNECTIONS)]
        for connection in made:
            self.addCleanup(connection.close)
            self.assertEqual(over(connection, "GET", "/__heartbeat__")[0], 200)
        return made


def over(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, Any]:
    """A request over a connection that stays open."""
    connection.request(method, path, body, {**HEADERS, **headers})
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text) if text else None


def page_over(connection: http.client.HTTPConnection, path: str, known: str) -> tuple[int, str | None, bytes]:
    """The status, the entity tag and the body of a page.

    :param known: the tag that the client has already, or nothing.
    """
    fields = {"If-None-Match": known} if known else {}
    connection.request("GET", path, None, {**HEADERS, **fields})
    answer = connection.getresponse()
    return answer.status, answer.getheader("ETag"), answer.read()


def runs(pid: int) -> bool:
    """Whether a process runs, and is not only remembered."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class TogetherTests(WorkersCase):
    """Several processes are one daemon."""

    run_in = "test"

    def begin(self) -> Daemon:
        """Start it with what lets each process tell at its end how its interpreter was set."""
        (self.folder / "sitecustomize.py").write_text(AT_EXIT)
        self.told = self.folder / "told"
        self.told.mkdir()
        environment = {"PYTHONPATH": str(self.folder), "TOLD": str(self.told)}
        daemon = Daemon(TWISTD, ["--config", str(self.settings)], self.folder, environment)
        self.addCleanup(daemon.kill)
        return daemon

    def test_one_daemon(self) -> None:
        self.a_worker_accepts_before_the_log_says_so()
        self.connections_are_spread()
        self.what_one_changes_the_others_see()
        self.settled_pages_are_the_same_everywhere()
        self.a_reader_waits_at_another_worker()
        self.groups_are_shared()
        self.counts_add_up()
        self.uses_of_keys_are_told()
        self.all_are_drained()
        self.all_read_the_settings_anew()
        self.all_open_the_log_anew()
        pids = [self.daemon.pid, *self.pids()]
        self.assertEqual(self.daemon.signal(signal.SIGTERM), 0)
        self.each_process_was_set_for_its_threads_and_its_objects(pids)
        output = self.daemon.output()
        for word in ("incident", "store-defect", "worker-ended", "worker-orphaned", "Traceback"):
            self.assertNotIn(word, output)

    def each_process_was_set_for_its_threads_and_its_objects(self, pids: list[int]) -> None:
        told = {int(file.name): file.read_text() for file in self.told.iterdir()}
        self.assertEqual({pid: told.get(pid) for pid in pids}, dict.fromkeys(pids, "0.0001 True"))
        self.assertEqual(len(pids), WORKERS + 1)

    def connections_are_spread(self) -> None:
        """Each worker has some of the connections, and all are the daemon's."""
        self.opened = self.connections()
        self.assertGreaterEqual(self.metrics()["queuey_http_connections"], CONNECTIONS)
        self.assertEqual(self.metrics()["queuey_workers"], WORKERS)
        self.assertEqual(len(self.pids()), WORKERS)
        told = self.metrics()
        for name in ("cpu_seconds_total", "resident_memory_bytes", "max_fds"):
            for number in range(1, WORKERS + 1):
                self.assertGreater(told[f'queuey_worker_{name}{{worker="{number}"}}'], 0)
        opened = [told[f'queuey_worker_open_fds{{worker="{number}"}}'] for number in range(1, WORKERS + 1)]
        self.assertGreater(sum(opened), CONNECTIONS)
        self.assertLess(told["process_open_fds"], CONNECTIONS + min(opened))
        ready = self.ready()["checks"]["workers"]
        self.assertEqual(ready, {"ok": True, "reason": f"{WORKERS} workers accept."})

    def a_worker_accepts_before_the_log_says_so(self) -> None:
        """Requests are answered when the log says that the daemon serves."""
        output = self.daemon.output()
        self.assertLess(output.index(" worker-up "), output.index(" started "), output)

    def what_one_changes_the_others_see(self) -> None:
        """Settings, and messages on pages: never older than an answer."""
        path = "/v2/queuey/queues/shared"
        self.assertEqual(over(self.opened[0], "PUT", path, b"{}", **{"Content-Type": "application/json"})[0], 201)
        for connection in self.opened:
            self.assertEqual(over(connection, "GET", path)[1]["partitions"], 1)
        for number in range(CHANGES):
            one, other = self.opened[number % CONNECTIONS], self.opened[(7 * number + 3) % CONNECTIONS]
            ttl = json.dumps({"ttl": 1000 + number}).encode()
            status, _ = over(one, "PATCH", path, ttl, **{"Content-Type": "application/merge-patch+json"})
            self.assertEqual(status, 200)
            self.assertEqual(over(other, "GET", path)[1]["ttl"], 1000 + number)
        _, made = over(self.opened[0], "POST", f"{path}/messages", b"0")
        message = f"{path}/messages/{made['messages'][0]['id']}"
        for number in range(CHANGES):
            one, other = self.opened[number % CONNECTIONS], self.opened[(5 * number + 2) % CONNECTIONS]
            over(other, "GET", f"{path}/messages?limit=1")
            body = b"%d" % number
            self.assertIn(over(one, "PUT", message, body, **{"Content-Type": "text/plain"})[0], (200, 204))
            page = over(other, "GET", f"{path}/messages?limit=1")[1]
            self.assertEqual([each["body"] for each in page["messages"]], [str(number)])
        self.assertEqual(over(self.opened[1], "DELETE", path)[0], 204)
        self.assertEqual({over(connection, "GET", path)[0] for connection in self.opened}, {404})

    def settled_pages_are_the_same_everywhere(self) -> None:
        """A page has one entity tag, whichever worker is asked; a client that has it gets 304 until the page
        changes."""
        make_queue(self.port, "settled")
        path = "/v2/queuey/queues/settled/messages"
        ids = [over(self.opened[0], "POST", path, b"%d" % number)[1]["messages"][0]["id"] for number in range(3)]
        for number in range(3):
            whole = {page_over(connection, f"{path}?limit=2", "") for connection in self.opened}
            ((status, tag, body),) = whole
            self.assertEqual((status, len(json.loads(body)["messages"])), (200, 2))
            known = {page_over(connection, f"{path}?limit=2", tag or "") for connection in self.opened}
            self.assertEqual(known, {(304, tag, b"")})
            one, other = self.opened[number], self.opened[-1 - number]
            text = {"Content-Type": "text/plain"}
            self.assertEqual(over(one, "PUT", f"{path}/{ids[0]}", b"new", **text)[0], 204)
            self.assertEqual(page_over(other, f"{path}?limit=2", tag or "")[0], 200)

    def a_reader_waits_at_another_worker(self) -> None:
        """A waiting reader gets what comes through any worker, long before the time is over."""
        make_queue(self.port, "waited")
        path = "/v2/queuey/queues/waited/messages"
        waiting = self.opened[: CONNECTIONS // 2]
        for connection in waiting:
            connection.request("GET", f"{path}?wait=20", None, HEADERS)
        wait_until(lambda: self.metrics()["queuey_waiting_reads"] == len(waiting), "not all readers wait")
        (found,) = self.call("live.list")["applications"]
        self.assertEqual((found["application"], found["reads"]), ("queuey", len(waiting)))
        began = time.monotonic()
        self.assertEqual(over(self.opened[-1], "POST", path, b"x")[0], 201)
        for connection in waiting:
            page = json.loads(connection.getresponse().read())
            self.assertEqual([each["body"] for each in page["messages"]], ["x"])
        self.assertLess(time.monotonic() - began, 20)

    def groups_are_shared(self) -> None:
        """Claims through all workers get each message once, and what one has claimed another may ack."""
        make_queue(self.port, "work")
        path = "/v2/queuey/queues/work"
        for number in range(60):
            self.assertEqual(
                over(self.opened[number % CONNECTIONS], "POST", f"{path}/messages", b"%d" % number)[0], 201
            )
        got: list[str] = []
        as_json = {"Content-Type": "application/json"}
        for number in range(60):
            claim = over(
                self.opened[number % CONNECTIONS], "POST", f"{path}/groups/g/claims", b'{"limit":1}', **as_json
            )
            (message,) = claim[1]["messages"]
            got.append(message["body"])
            ack = json.dumps({"ack": [message["receipt"]]}).encode()
            other = self.opened[(number + 5) % CONNECTIONS]
            self.assertEqual(over(other, "POST", f"{path}/groups/g/settlements", ack, **as_json)[0], 200)
        self.assertEqual(sorted(got, key=int), [str(number) for number in range(60)])

    def counts_add_up(self) -> None:
        """What all workers have counted is one sum, to the last request; and what all ask the store is counted once."""
        key = 'queuey_http_requests_total{method="GET",route="/v2/<application>",status="200"}'
        before = self.metrics().get(key, 0)
        for connection in self.opened:
            self.assertEqual(over(connection, "GET", "/v2/queuey")[0], 200)
        self.assertEqual(self.metrics()[key] - before, CONNECTIONS)
        path = "/v2/queuey/queues/counted/messages"
        make_queue(self.port, "counted")
        key = 'queuey_store_operations_total{operation="append",outcome="ok"}'
        before = self.metrics()[key]
        for connection in self.opened:
            self.assertEqual(over(connection, "POST", path, b"x")[0], 201)
        self.assertEqual(self.metrics()[key] - before, CONNECTIONS)
        make_queue(self.port, "counted-once")
        self.assertEqual(over(self.opened[0], "POST", path.replace("counted", "counted-once"), b"x")[0], 201)
        self.metrics()
        all_of_them, one = self.call("queues.report", prefix="counted")["queues"]
        self.assertEqual((all_of_them["name"], one["name"]), ("counted", "counted-once"))
        self.assertEqual(round(all_of_them["rates"]["stored"] / one["rates"]["stored"]), CONNECTIONS)

    def uses_of_keys_are_told(self) -> None:
        """Who rotates a key sees that it is in use, whichever worker it was shown to."""
        self.call("applications.set", name="rotating")
        secret = self.call("keys.add", application="rotating")["key"]
        (key,) = self.call("keys.list", application="rotating")
        self.assertIsNone(key["used_here"])
        shown = {"Authorization": f"Application {secret}"}
        # A worker may know the applications as they were a moment ago, for as long as max_age allows.
        there = partial(over, self.opened[0], "GET", "/v2/rotating", None, **shown)
        wait_until(lambda: there()[0] == 200, "the application was not known")
        wait_until(lambda: bool(self.call("keys.list", application="rotating")[0]["used_here"]), "it was not told")

    def all_are_drained(self) -> None:
        """The heartbeat of each asks to leave the daemon out, and no more after that."""
        self.assertTrue(self.call("drain"))
        self.heartbeats(503)
        self.assertFalse(self.call("undrain"))
        self.heartbeats(200)

    def heartbeats(self, status: int) -> None:
        wait_until(
            lambda: {over(connection, "GET", "/__heartbeat__")[0] for connection in self.opened} == {status},
            f"not every worker answers {status}",
        )

    def all_read_the_settings_anew(self) -> None:
        """A key that is added holds everywhere."""
        self.add_settings("[application:other]\nkeys = another-key-of-it\n")
        os.kill(self.daemon.pid, signal.SIGHUP)
        key = "Application another-key-of-it"
        wait_until(
            lambda: {over(connection, "GET", "/v2/other", Authorization=key)[0] for connection in self.opened} == {200},
            "not every worker knows the key",
        )

    def all_open_the_log_anew(self) -> None:
        """SIGUSR1 ends no process."""
        os.kill(self.daemon.pid, signal.SIGUSR1)
        self.heartbeats(200)
        self.assertEqual(len(self.pids()), WORKERS)


class SettingsTests(LiveTestCase):
    """What does not go together."""

    def test_a_log_that_is_twistds(self) -> None:
        """Workers write the log that the settings describe."""
        self.settings.write_text(re.sub(r"(?m)^workers = .*$", "workers = 2", self.settings.read_text()))
        log = self.folder / "twistd.log"
        daemon = Daemon(
            [str(TWISTD), "--logfile", str(log)],
            ["--config", str(self.settings)],
            self.folder,
            {},
        )
        self.addCleanup(daemon.kill)
        self.assertEqual(daemon.wait(), 1)
        self.assertIn("[server] workers: more than 1 write the log", daemon.output())

    def test_a_unix_socket(self) -> None:
        """Workers accept on it too; it keeps its mode, and is gone at the end."""
        path = self.folder / "queuey.sock"
        mode = 0o640
        text = re.sub(r"(?m)^workers = .*$", f"    unix:{path}:mode={mode:o}\nworkers = 2", self.settings.read_text())
        self.settings.write_text(text)
        daemon = self.serve()
        wait_until(lambda: daemon.output().count(" worker-up ") == 2, "not both workers were up")
        self.assertEqual(path.stat().st_mode & 0o777, mode)
        for _ in range(8):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(TIMEOUT)
                client.connect(str(path))
                client.sendall(b"GET /__heartbeat__ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                self.assertTrue(b"".join(iter(lambda: client.recv(65536), b"")).startswith(b"HTTP/1.1 200 "))
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        self.assertFalse(path.exists())
