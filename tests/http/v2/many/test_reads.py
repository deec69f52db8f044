"""Reads of many queues over v2."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from queuey import config
from queuey.core.many import reading
from queuey.model.applications.application import key_id
from queuey.model.applications.signing import Grant, sign
from tests.http.api_support import KEY, NOW, OTHER, OWNER, SETTINGS, V2TestCase
from tests.http.responses import Response
from tests.http.wire_support import Connection

ANYBODY: dict[str, str] = {}


class ManyCase(V2TestCase):
    def setUp(self) -> None:
        super().setUp()
        for name in ("a", "b", "room-1"):
            self.make(name)

    def make(self, name: str, **settings: Any) -> None:
        self.expect(201, self.send("PUT", f"/queues/{name}", settings))

    def put(self, name: str, body: str) -> None:
        typed = {**OWNER, "Content-Type": "text/plain"}
        self.expect(201, self.ask("POST", f"/v2/app/queues/{name}/messages", typed, body.encode()))

    def reads(self, headers: Any = OWNER, query: str = "", /, **asked: Any) -> Response:
        typed = {**headers, "Content-Type": "application/json"}
        return self.ask("POST", f"/v2/app/reads{query}", typed, json.dumps(asked).encode())

    def page(self, **asked: Any) -> Any:
        return self.expect(200, self.reads(**asked))

    def texts(self, page: Any) -> list[str]:
        return [f"{message['queue']}:{message['body']}" for message in page["messages"]]


class PagesTests(ManyCase):
    """Pages."""

    def test_names_and_prefixes(self) -> None:
        for number, name in enumerate(("a", "room-1", "b", "a")):
            self.put(name, str(number))
        page = self.page(queues=["b", "a"], start="oldest")
        self.assertEqual(self.texts(page), ["a:0", "b:2", "a:3"])
        self.assertEqual((page["more"], page["resume"], page["queues"], page["not_readable"]), (False, "exact", 2, 0))
        self.assertEqual(len(page["next"]), 42)
        page = self.page(prefixes=["room-"], queues=["b"], start="oldest", limit=1)
        self.assertEqual((self.texts(page), page["more"]), (["room-1:1"], True))
        # The place is one in all queues.
        self.assertEqual(self.texts(self.page(queues=["a", "b"], after=page["next"])), ["b:2", "a:3"])

    def test_it_begins_at_what_comes(self) -> None:
        self.put("a", "before")
        page = self.page(queues=["a"])
        self.assertEqual(page["messages"], [])
        self.put("a", "after")
        self.assertEqual(self.texts(self.page(queues=["a"], after=page["next"])), ["a:after"])

    def test_places(self) -> None:
        self.put("a", "0")
        self.put("b", "1")
        first, second = self.page(queues=["a", "b"], start="oldest")["messages"]
        self.assertEqual(self.texts(self.page(queues=["a", "b"], after=first["id"])), ["b:1"])
        self.assertEqual(self.texts(self.page(queues=["a", "b"], after=first["place"])), ["b:1"])
        self.assertEqual(self.texts(self.page(queues=["a", "b"], since=second["timestamp"])), ["b:1"])

    def test_queues_that_come(self) -> None:
        page = self.page(prefixes=["room-"])
        self.make("room-2")
        self.put("room-2", "first")
        page = self.page(prefixes=["room-"], after=page["next"])
        self.assertEqual((self.texts(page), page["queues"]), (["room-2:first"], 2))

    def test_lines(self) -> None:
        self.put("a", "0")
        body = json.dumps({"queues": ["a"], "start": "oldest"}).encode()
        typed = {**OWNER, "Content-Type": "application/json", "Accept": "application/x-ndjson"}
        response = self.client.start("POST", "/v2/app/reads", typed, body).response("POST", only_json=False)
        message, end = [json.loads(line) for line in response.body.splitlines()]
        self.assertEqual((message["queue"], message["body"], end["more"]), ("a", "0", False))

    def test_large_pages(self) -> None:
        for number in range(6):
            self.put("ab"[number % 2], str(number) * 150_000)
        page = self.page(queues=["a", "b"], start="oldest")
        self.assertEqual([message["body"][0] for message in page["messages"]], list("012345"))

    def test_gaps(self) -> None:
        for name in "abab":
            self.put(name, "x")
        page = self.page(queues=["a", "b"], start="oldest", limit=1)
        self.assertEqual(self.send("DELETE", "/queues/b/messages?before=now").status, 204)
        page = self.page(queues=["a", "b"], after=page["next"])
        self.assertEqual((self.texts(page), page["resume"]), (["a:x"], "truncated"))
        ((gap),) = page["gaps"]
        self.assertEqual((gap["queue"], gap["why"], len(gap["first"])), ("b", "purged", 42))

    def test_json_bodies(self) -> None:
        typed = {**OWNER, "Content-Type": "application/json"}
        self.expect(201, self.ask("POST", "/v2/app/queues/a/messages", typed, b'{"pears": 3}'))
        (message,) = self.page(queues=["a"], start="oldest", json=True)["messages"]
        self.assertEqual(message["json"], {"pears": 3})


class RefusalsTests(ManyCase):
    """What is refused."""

    def test_bodies(self) -> None:
        cursor = self.page(queues=["a"])["next"]
        for asked, places in (
            ({}, [""]),
            ({"queues": None, "prefixes": None}, [""]),
            ({"queues": []}, ["/queues"]),
            ({"queues": ["a", "a", "b/c", 3]}, ["/queues/3", "/queues/1", "/queues/2"]),
            ({"prefixes": ["x:"] * 11}, ["/prefixes"]),
            ({"prefixes": ["x:"]}, ["/prefixes/0"]),
            ({"queues": ["a"], "after": cursor, "since": "0"}, ["/since"]),
            ({"queues": ["a"], "wait": 21}, ["/wait"]),
            ({"queues": ["a"], "limit": 0, "fresh": 1, "start": "here"}, ["/start", "/limit", "/fresh"]),
            ({"queues": ["a"], "order": "desc"}, ["/order"]),
        ):
            problem = self.expect(400, self.reads(**asked))
            self.assertEqual((problem["code"], [one["pointer"] for one in problem["errors"]]), ("invalid-body", places))
        self.expect(400, self.reads(OWNER, "?limit=3", queues=["a"]))

    def test_cursors(self) -> None:
        self.put("a", "0")
        one = self.expect(200, self.send("GET", "/queues/a/messages"))["next"]
        many = self.page(queues=["a"])["next"]
        self.assertEqual(self.expect(400, self.reads(queues=["a"], after=one))["code"], "cursor-mismatch")
        self.assertEqual(self.expect(400, self.reads(queues=["a"], after="x" + many))["code"], "invalid-cursor")
        answer = self.send("GET", f"/queues/a/messages?after={many}")
        self.assertEqual(self.expect(400, answer)["code"], "cursor-mismatch")

    def test_who_may_not_read(self) -> None:
        self.make("public", type="public")
        self.assertEqual(self.expect(401, self.reads(ANYBODY, queues=["a"]))["code"], "unauthorized")
        problem = self.expect(403, self.reads(OTHER, queues=["b", "public", "a"]))
        self.assertEqual([one["pointer"] for one in problem["errors"]], ["/queues/0", "/queues/2"])
        page = self.expect(200, self.reads(OTHER, queues=["public"], prefixes=["room-"]))
        self.assertEqual((page["queues"], page["not_readable"]), (1, 1))
        self.expect(401, self.reads({"Authorization": "Application wrong"}, queues=["public"]))

    def test_names_without_a_queue(self) -> None:
        problem = self.expect(404, self.reads(queues=["a", "none"]))
        self.assertEqual((problem["code"], problem["errors"][0]["pointer"]), ("no-such-queue", "/queues/1"))

    def test_too_many_queues(self) -> None:
        self.patch(reading, "MAX_QUEUES", 2)
        problem = self.expect(400, self.reads(prefixes=[""], start="oldest"))
        self.assertEqual((problem["code"], problem["limit"]), ("too-many-queues", "max_live_queues"))
        self.page(prefixes=[""])

    def test_other_methods(self) -> None:
        self.expect(405, self.send("GET", "/reads"))
        self.assertEqual(self.expect(200, self.send("GET", ""))["limits"]["max_live_queues"], 10_000)


class OnWriteTests(ManyCase):
    settings = SETTINGS + "[application:app]\ncreate_queues = on-write\n"

    def test_names_whose_queues_come(self) -> None:
        page = self.page(queues=["later"])
        self.put("later", "first")
        self.assertEqual(self.texts(self.page(queues=["later"], after=page["next"])), ["later:first"])
        self.expect(403, self.reads(OTHER, queues=["a"]))
        self.expect(404, self.reads(OTHER, queues=["never"]))


class WaitsTests(ManyCase):
    """Reads that wait."""

    def wait(self, headers: Any = OWNER, **asked: Any) -> Connection:
        typed = {**headers, "Content-Type": "application/json"}
        connection = self.client.start("POST", "/v2/app/reads", typed, json.dumps({"wait": 20, **asked}).encode())
        self.assertEqual(connection.received, b"")
        return connection

    def test_what_comes(self) -> None:
        waiting = self.wait(queues=["a"], prefixes=["room-"])
        self.clock.advance(1)
        self.assertEqual(waiting.received, b"")
        self.put("room-1", "0")
        self.clock.advance(0)
        self.assertEqual(self.texts(self.expect(200, waiting.response())), ["room-1:0"])
        self.assertEqual(self.assembly.waits.waiting, 0)

    def test_nothing_comes(self) -> None:
        waiting = self.wait(queues=["a"])
        for _ in range(20):
            self.clock.advance(1)
        self.assertEqual(self.expect(200, waiting.response())["messages"], [])

    def test_a_queue_that_is_deleted(self) -> None:
        waiting = self.wait(queues=["a", "b"])
        self.assertEqual(self.send("DELETE", "/queues/b").status, 204)
        for _ in range(20):
            self.clock.advance(1)
        problem = self.expect(404, waiting.response())
        self.assertEqual(problem["errors"][0]["pointer"], "/queues/1")

    def test_a_client_that_hangs_up(self) -> None:
        waiting = self.wait(queues=["a"])
        waiting.hang_up()
        self.clock.advance(0)
        self.assertEqual(self.assembly.waits.waiting, 0)

    def test_a_key_that_is_revoked(self) -> None:
        waiting = self.wait(queues=["a"])
        file = Path(self.mktemp())
        file.write_text(SETTINGS.replace(f"app = {KEY}\n    ", "app = "))
        self.assembly.use(config.load(file))
        for _ in range(4):
            self.clock.advance(0.5)
        self.expect(401, waiting.response())
        self.assertEqual(self.assembly.waits.waiting, 0)


class SignedTests(ManyCase):
    settings = SETTINGS + "[application:app]\nsigned_urls = true\n"

    def query(self, line: str, words: str = "read", until: int = int(NOW) + 60) -> str:
        digest = sha256(KEY.encode()).digest()
        signature = sign(digest, Grant("app", line, words, str(until)))
        return f"?signed_by={key_id(digest)}&signed_for={words}&signed_until={until}&signature={signature}"

    def test_what_it_is_signed_for(self) -> None:
        self.put("a", "0")
        query = self.query("a,b,:room-")
        page = self.expect(200, self.reads(ANYBODY, query, queues=["b", "a"], prefixes=["room-"], start="oldest"))
        self.assertEqual(self.texts(page), ["a:0"])
        for asked in ({"queues": ["a"]}, {"queues": ["a", "b"]}, {"prefixes": ["room-"]}):
            self.expect(401, self.reads(ANYBODY, query, **asked))
        self.expect(401, self.reads(ANYBODY, self.query("a", until=int(NOW) - 1), queues=["a"]))
        self.expect(403, self.reads(ANYBODY, self.query("a", "write"), queues=["a"]))
        self.expect(200, self.reads(ANYBODY, self.query("a"), queues=["a"]))
