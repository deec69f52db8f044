"""The benchmark of peers, as far as it starts nothing: settings, what is refused, and what is compared."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench import brokers, peers
from bench.brokers import BODY, SIZE, Side


def saying(function: Callable[[], object]) -> str:
    """What a function prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        function()
    return output.getvalue()


def result(answered: int, refused: int = 0, rate: float = 10.0) -> dict[str, Any]:
    """What a load generator prints, as far as it matters here."""
    return {"answered": answered, "refused": refused, "rate": rate}


def side(name: str, rate: float = 10.0, stored: int = 100, refused: int = 0) -> Side:
    """A server that acknowledges seven messages of each load."""
    return Side(name, lambda connections, seconds: result(7, refused, rate), lambda: stored)


class SettingsTests(SynchronousTestCase):
    """The arguments of each peer."""

    folder = Path("/nowhere")

    def test_redis_syncs_before_each_answer(self) -> None:
        lines = brokers.redis_settings(self.folder, 1234).splitlines()
        for line in ("appendonly yes", "appendfsync always", "bind 127.0.0.1", "port 1234", "dir /nowhere"):
            self.assertIn(line, lines)

    def test_nchan_keeps_messages_in_redis(self) -> None:
        text = brokers.nchan_settings(self.folder, 1234, 5678, 2, "")
        for line in (
            "worker_processes 2;",
            "listen 127.0.0.1:1234;",
            "nchan_redis_server redis://127.0.0.1:5678;",
            "nchan_redis_storage_mode distributed;",
            "nchan_redis_pass redis;",
            "daemon off;",
        ):
            self.assertIn(line, text)
        self.assertNotIn("user ", text)
        self.assertEqual(text.count("{"), text.count("}"))
        self.assertIn("\nuser root;\n", brokers.nchan_settings(self.folder, 1234, 5678, 2, "root"))

    def test_webdis(self) -> None:
        found = json.loads(brokers.webdis_settings(self.folder, 1234, 5678, 3))
        self.assertEqual(
            {name: found[name] for name in ("http_host", "http_port", "redis_port", "threads", "daemonize")},
            {"http_host": "127.0.0.1", "http_port": 1234, "redis_port": 5678, "threads": 3, "daemonize": False},
        )

    def test_rabbitmq_keeps_to_its_folder_and_to_loopback(self) -> None:
        environment = brokers.rabbitmq_environment(self.folder, 1234, 5678)
        self.assertEqual((environment["ERL_EPMD_PORT"], environment["RABBITMQ_DIST_PORT"]), ("1234", "5678"))
        for name in ("HOME", *(name for name in environment if name.endswith(("_FILE", "_BASE")))):
            self.assertRegex(environment[name], "^(/nowhere|/dev/null)", name)
        settings = brokers.rabbitmq_settings(1234, 5678).splitlines()
        self.assertLessEqual({"listeners.tcp.1 = 127.0.0.1:1234", "management.tcp.ip = 127.0.0.1"}, set(settings))

    def test_a_publication_over_http_is_persistent(self) -> None:
        head, _, body = brokers.publication("q").partition(b"\r\n\r\n")
        told = json.loads(body)
        self.assertEqual(told["properties"], {"delivery_mode": 2})
        self.assertEqual((told["routing_key"], told["payload"].encode()), ("q", BODY))
        self.assertIn(f"Content-Length: {len(body)}".encode(), head)
        self.assertIn(b"Authorization: Basic " + base64.b64encode(b"guest:guest"), head)


class SideTests(SynchronousTestCase):
    """What a server has acknowledged is what it has to store."""

    def test_what_is_acknowledged_is_added_up(self) -> None:
        one = side("one", rate=12.5)
        self.assertEqual([one.rate(32, 1.0), one.rate(128, 1.0)], [12.5, 12.5])
        self.assertEqual(one.acknowledged, 14)

    def test_a_refusal_is_an_error(self) -> None:
        error = self.assertRaises(SystemExit, side("one", refused=2).rate, 32, 1.0)
        self.assertEqual(str(error), "one refused 2 of 7 messages")

    def test_silence_is_an_error(self) -> None:
        silent = Side("one", lambda connections, seconds: result(0), lambda: 0)
        self.assertRaises(SystemExit, silent.rate, 32, 1.0)

    def test_enough_is_stored(self) -> None:
        one = side("one", stored=7)
        one.rate(32, 1.0)
        self.assertEqual(saying(one.check), "one: 7 acknowledged, 7 stored\n")

    def test_less_is_stored(self) -> None:
        one = side("one", stored=6)
        one.rate(32, 1.0)
        error = self.assertRaises(SystemExit, saying, one.check)
        self.assertEqual(str(error), "one stores 6 of 7 messages that it has acknowledged")

    def test_room_is_that_of_all_files(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="queuey-test-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        (folder / "below").mkdir()
        (folder / "one").write_bytes(b"x" * SIZE)
        (folder / "below" / "two").write_bytes(b"x" * (2 * SIZE - 1))
        self.assertEqual(brokers.room(folder), 2)


class CompareTests(SynchronousTestCase):
    """All take turns, and each of ours is held against each of the peers."""

    def test_what_is_asked_is_asked_of_several_workers(self) -> None:
        ours = [side("queuey v1, workers: 1", 10.0), side("queuey v1, workers: 2", 30.0)]
        others = [side("nchan, workers: 1", 20.0), side("RabbitMQ over HTTP", 5.0)]
        said = saying(lambda: peers.compare(ours, others, 32, 2, 1.0, 2)).splitlines()
        self.assertEqual(said[0], "== 32 connections")
        self.assertEqual(said[1], "queuey v1, workers: 1: 10/s of [10, 10]")
        self.assertEqual(
            said[5:],
            [
                "queuey v1, workers: 1 / nchan, workers: 1: 0.50",
                "queuey v1, workers: 1 / RabbitMQ over HTTP: 2.00",
                "queuey v1, workers: 2 / nchan, workers: 1: 1.50 (at least 1.00)",
                "queuey v1, workers: 2 / RabbitMQ over HTTP: 6.00",
            ],
        )

    def test_what_is_missing_is_named(self) -> None:
        programs = {"sh": "shell", "queuey-nothing": "nothing", "/nowhere/module": "module", "/": "root"}
        self.assertEqual(brokers.missing(programs), ["nothing", "module"])
