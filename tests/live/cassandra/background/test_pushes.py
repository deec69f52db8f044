"""Pushes of three front ends on one node: each push has one owner, and another one when that is killed."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.live.cassandra.fronts import Front, FrontTestCase
from tests.live.cassandra.shared import cql_node
from tests.live.clients import make_queue
from tests.live.pushes.test_pushes import BATCH, JSON, QUEUE, Receiver, out_of_order, quickest, repeated

PUSHES = 6
PATIENCE = 400.0
"""Seconds for what three front ends do on a busy machine, leases of a minute included."""


class PushTests(FrontTestCase):
    def setUp(self) -> None:
        super().setUp()
        host, port = cql_node()
        self.receiver = Receiver()
        self.addCleanup(self.receiver.close)
        self.fronts = [self.front(name, [host], port, frontends="many") for name in "abc"]
        for front in self.fronts:
            with (front.folder / "queuey.ini").open("a") as file:
                file.write(
                    f"[application:queuey]\npush = true\npush_hosts = 127.0.0.1\n"
                    f"[push]\nsecrets = {'7' * 64}\nnetworks = 127.0.0.0/8\nports = {self.receiver.port}\n"
                )
            front.start()
        for front in self.fronts:
            front.wait_until_it_serves(300)

    def make_push(self, front: Front, name: str, **settings: Any) -> None:
        url = f"http://127.0.0.1:{self.receiver.port}/{name}"
        body = json.dumps({"url": url, "timeout": 1, **settings}).encode()
        status, push, _ = front.ask("PUT", f"{QUEUE}/pushes/{name}", body, **JSON)
        self.assertEqual(status, 201, push)
        self.receiver.secrets[f"/{name}"] = push["secrets"][0]["secret"]

    def post(self, front: Front, texts: list[str], key: str | None = None) -> None:
        messages = [{"body": json.dumps({"text": text})} | ({} if key is None else {"key": key}) for text in texts]
        body = json.dumps({"messages": messages}).encode()
        status, answer, _ = front.ask("POST", f"{QUEUE}/messages", body, **BATCH)
        self.assertEqual(status, 201, answer)

    def all_taken(self, count: int) -> None:
        until = time.monotonic() + PATIENCE
        while len(self.receiver.taken) < count:
            self.assertLess(time.monotonic(), until, f"{len(self.receiver.taken)} of {count}")
            time.sleep(0.2)

    def all_listed(self, front: Front, push: str, count: int) -> None:
        """Wait until the attempts are listed, which are stored about a second after they were made. On a busy machine
        there are others beside those of which the endpoint took the message."""
        until, taken = time.monotonic() + PATIENCE, list[Any]()
        while len(taken) < count:
            self.assertLess(time.monotonic(), until, f"{len(taken)} of {count}")
            attempts = front.ask("GET", f"{QUEUE}/pushes/{push}/attempts")[1]["attempts"]
            taken = [one for one in attempts if one["error"] is None]
            time.sleep(0.2)
        self.assertEqual(len(taken), count)

    def test_shared(self) -> None:
        """What is made by one front end is sent by its owner, paused by any, and taken over by the others."""
        first, second, third = self.fronts
        make_queue(first.port, "q")
        for number in range(PUSHES):
            self.make_push(self.fronts[number % 3], f"p{number}")
        self.post(second, [f"{number}" for number in range(20)])
        self.all_taken(20 * PUSHES)
        status, paused, _ = third.ask("POST", f"{QUEUE}/pushes/p0/pause")
        self.assertEqual((status, paused["state"]), (200, "paused"))
        time.sleep(5)
        first.kill()
        self.post(second, ["after"])
        self.all_taken(21 * PUSHES - 1)
        time.sleep(3)
        self.assertEqual(len(self.receiver.taken), 21 * PUSHES - 1)
        self.assertEqual(second.ask("POST", f"{QUEUE}/pushes/p0/resume")[0], 200)
        self.all_taken(21 * PUSHES)
        self.assertEqual((set(self.receiver.taken.values()), self.receiver.false), ({1}, 0))
        self.all_listed(third, "p0", 21)

    def test_flow(self) -> None:
        """parallel and rate hold for all three together, whichever takes the messages and the changes."""
        make_queue(self.fronts[0].port, "q")
        self.receiver.slow = 0.1
        self.make_push(self.fronts[0], "few", parallel=2)
        self.make_push(self.fronts[1], "slowly", rate=20)
        for front in self.fronts:
            self.post(front, [f"{front.name}{number}" for number in range(20)])
        self.all_taken(120)
        self.assertEqual(self.receiver.most["/few"], 2)
        times = [time for id, (time,) in self.receiver.times.items() if id.startswith("/slowly ")]
        self.assertGreater(quickest(times, 60), 1.5)

    def test_through_kills(self) -> None:
        """3,000 messages that all three share to one push, to an endpoint that fails at random, through kills of each
        front end: every message is taken, none again after its 2xx was stored, and those of a key in their order."""
        make_queue(self.fronts[0].port, "q")
        self.make_push(self.fronts[0], "any", parallel=16)
        self.make_push(self.fronts[1], "ordered", order="key", parallel=16)
        self.receiver.failing = 0.02
        kills: list[float] = []
        for part, front in enumerate(self.fronts):
            texts = [f"x{part * 700 + number:04}" for number in range(700)]
            self.post(self.fronts[(part + 1) % 3], texts)
            for key in "abcdef":
                texts = [f"{key}{part * 50 + number:04}" for number in range(50)]
                self.post(self.fronts[(part + 2) % 3], texts, key)
            self.all_taken(part * 2000 + 600)
            front.kill()
            kills.append(time.monotonic())
            front.start()
            front.wait_until_it_serves(300)
        self.receiver.failing = 0
        self.all_taken(6000)
        self.assertEqual((repeated(self.receiver, kills), self.receiver.false), ([], 0))
        for key in "abcdef":
            self.assertEqual(out_of_order([text for text in self.receiver.ordered if text[0] == key]), [])
