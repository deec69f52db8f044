"""The whole API in memory: the real house on the memory store, with a clock that tests set."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey import config
from queuey.interfaces import IStore
from queuey.logs import open_log
from queuey.service.assembly import House, assemble
from queuey.storage.caching import CachedStore
from queuey.storage.memory import MemoryStore
from queuey.storage.pages import Told
from tests.http.wire_support import Client, Fields, Response

NOW = 1_700_000_000.0
KEY, OTHER_KEY, SPARE_KEY = "the-key-of-app", "the-key-of-other", "another-key-of-app"
OWNER = {"Authorization": f"Application {KEY}"}
OTHER = {"Authorization": f"Application {OTHER_KEY}"}

SETTINGS = f"""
[storage]
backend = memory
[application_keys]
app = {KEY}
    {SPARE_KEY}
other = {OTHER_KEY}
"""


class ApiTestCase(SynchronousTestCase):
    """Sends requests to a house of its own."""

    settings = SETTINGS

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.store = self.make_store()
        self.store.open()
        self.house = self.make_house(self.settings)
        self.client = Client(self.house.site)

    def make_store(self) -> IStore:
        numbers, told = count(1), Told(self.clock.seconds)
        store = MemoryStore(self.clock, told, 1 << 28, 1 << 40, 7, lambda: f"v{next(numbers)}")
        return CachedStore(store, told, 100, 1 << 20)

    def make_house(self, settings: str) -> House:
        file = Path(self.mktemp())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(settings)
        log = open_log(None, "text", "info", 2, self.clock.seconds)
        return assemble(config.load(file), self.clock, self.clock.seconds, self.store, log)

    def ask(self, method: str, path: str, headers: Fields = OWNER, body: bytes | None = None) -> Response:
        """Send a request; its answer must be JSON."""
        return self.client.request(method, path, headers, body)

    def expect(self, status: int, response: Response) -> Any:
        """What an answer of that status says."""
        self.assertEqual(response.status, status, response.body)
        return response.json

    def refused(self, status: int, response: Response) -> dict[str, str]:
        """The errors that an answer of that status names."""
        self.assertEqual(response.status, status, response.body)
        return response.error

    def form(self, method: str, path: str, headers: Fields = OWNER, /, **fields: str) -> Response:
        typed = [*dict(headers).items(), ("Content-Type", "application/x-www-form-urlencoded")]
        return self.ask(method, path, typed, urlencode(fields).encode())

    def make_queue(self, name: str = "q", **fields: str) -> str:
        """Make a queue of the application ``app``, and give its path."""
        self.expect(201, self.form("POST", "/v1/app", queue_name=name, **fields))
        return f"/v1/app/{name}"

    def post(self, queue: str, body: str | bytes, headers: Fields = OWNER, /, **options: str) -> Response:
        """Post one message; options are ``ttl`` and ``partition``."""
        fields = [
            *dict(headers).items(),
            *((f"X-{name.title() if name != 'ttl' else 'TTL'}", v) for name, v in options.items()),
        ]
        return self.ask("POST", queue, fields, body.encode() if isinstance(body, str) else body)

    def posted(self, queue: str, body: str, **options: str) -> dict[str, Any]:
        """Post one message, and give what is said of it."""
        (stored,) = self.expect(201, self.post(queue, body, **options))["messages"]
        return dict(stored)

    def post_json(self, queue: str, document: Any, content_type: str = "application/json") -> Response:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.ask("POST", queue, [*OWNER.items(), ("Content-Type", content_type)], body)

    def read(self, queue: str, query: str = "", headers: Fields = OWNER) -> list[dict[str, Any]]:
        """The messages that a read gives."""
        answer = self.expect(200, self.ask("GET", queue + (f"?{query}" if query else ""), headers))
        self.assertEqual(answer["status"], "ok")
        messages: list[dict[str, Any]] = answer["messages"]
        return messages

    def bodies(self, queue: str, query: str = "") -> list[str]:
        """The bodies that a read gives."""
        return [message["body"] for message in self.read(queue, query)]
